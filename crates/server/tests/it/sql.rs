//! Statements through the whole server, and what the metrics say about them.

use tokio_postgres::NoTls;

use crate::harness::{PASSWORD, TestServer, folder, output, serve};

#[tokio::test]
async fn a_driver_logs_in_with_a_password_and_without_it_does_not() {
    let (_folder, data_dir) = folder();
    let server = TestServer::start(&data_dir);
    let mut config = tokio_postgres::Config::new();
    config
        .host("127.0.0.1")
        .port(server.postgres.port())
        .user("admin")
        .dbname("tessera");
    config.password(PASSWORD);
    let (client, connection) = config.connect(NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY, what text)")
        .await
        .unwrap();
    let inserted = client
        .execute("INSERT INTO t VALUES ($1, $2)", &[&1i32, &"one"])
        .await
        .unwrap();
    assert_eq!(inserted, 1);
    let row = client
        .query_one("SELECT what FROM t WHERE id = $1", &[&1i32])
        .await
        .unwrap();
    assert_eq!(row.get::<_, String>(0), "one");
    drop(client);
    connection.await.unwrap().unwrap();
    for password in ["", "wrong"] {
        let error = config
            .clone()
            .password(password)
            .connect(NoTls)
            .await
            .err()
            .unwrap();
        let code = error.code().map(|code| code.code().to_owned());
        assert_eq!(code.as_deref(), Some("28P01"), "{error}");
    }
    server.stop(&["password authentication failed"]);
}

#[test]
fn trust_lets_everybody_in_on_loopback() {
    let (_folder, data_dir) = folder();
    let server = TestServer::start_with(serve(&data_dir).args(["--auth", "trust"]));
    let mut command = server.sql_command();
    let (code, out, err) = output(
        command
            .env_remove("PGPASSWORD")
            .args(["-t", "-A", "-c", "SELECT 7"]),
    );
    assert_eq!((code, out.trim()), (0, "7"), "{err}");
    server.stop(&[]);
}

#[test]
fn tls_is_offered_when_configured() {
    let (folder, data_dir) = folder();
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    std::fs::write(&cert, certified.cert.pem()).unwrap();
    std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    let mut command = serve(&data_dir);
    command
        .arg("--tls-cert")
        .arg(&cert)
        .arg("--tls-key")
        .arg(&key);
    let server = TestServer::start_with(&mut command);
    let mut client = server.sql_command();
    client.args(["--sslmode", "require", "-t", "-A", "-c", "SELECT 7"]);
    let (code, out, err) = output(&mut client);
    assert_eq!((code, out.trim()), (0, "7"), "{err}");
    server.stop(&[]);
}

#[test]
fn metrics_count_what_happens() {
    let (_folder, data_dir) = folder();
    let server = TestServer::start(&data_dir);
    server.query("CREATE TABLE t (id int PRIMARY KEY, what text)");
    server.query("INSERT INTO t VALUES (1, 'one'), (2, 'two')");
    server.query("SELECT count(*) FROM t");
    for (series, least) in [
        ("tessera_wal_bytes_total", 100.0),
        ("tessera_wal_fsync_duration_seconds_count", 2.0),
        ("tessera_group_commit_batch_size_count", 2.0),
        ("process_resident_memory_bytes", 1e6),
        ("tessera_disk_free_bytes", 1.0),
        ("tessera_health_status_ratio{check=\"ready\"}", 1.0),
        (
            "tessera_connections_total{protocol=\"postgres\",result=\"accepted\"}",
            3.0,
        ),
        (
            "tessera_auth_attempts_total{protocol=\"postgres\",method=\"scram\",result=\"ok\"}",
            3.0,
        ),
        (
            "tessera_statements_total{kind=\"ddl\",path=\"vectorized\",result=\"ok\"}",
            1.0,
        ),
        (
            "tessera_txn_total{outcome=\"committed\",isolation=\"read_committed\"}",
            3.0,
        ),
    ] {
        let value = server.metric(series);
        assert!(value >= least, "{series} is {value}");
    }
    server.stop(&[]);
}

#[test]
fn users_are_managed_from_the_command_line() {
    let (folder, data_dir) = folder();
    let server = TestServer::start(&data_dir);
    let user = |arguments: &[&str]| {
        let mut command = crate::harness::tessera();
        command.args([
            "user",
            "--host",
            "127.0.0.1",
            "--port",
            &server.postgres.port().to_string(),
        ]);
        output(command.env("PGPASSWORD", PASSWORD).args(arguments))
    };
    let file = folder.path().join("new");
    std::fs::write(&file, "s3cret-enough").unwrap();
    let file = file.to_str().unwrap();
    let (code, _, err) = user(&["add", "ann", "--new-password-file", file]);
    assert_eq!(code, 0, "{err}");
    let (code, out, err) = user(&["list"]);
    assert!(
        code == 0 && out.contains("ann") && out.contains("admin"),
        "{out}{err}"
    );
    let mut command = server.sql_command();
    command.env("PGPASSWORD", "s3cret-enough").args([
        "-U",
        "ann",
        "-t",
        "-A",
        "-c",
        "SELECT current_user",
    ]);
    let (code, out, err) = output(&mut command);
    assert_eq!((code, out.trim()), (0, "ann"), "{err}");
    let (code, _, err) = user(&["drop", "ann"]);
    assert_eq!(code, 0, "{err}");
    server.stop(&["ann"]);
}
