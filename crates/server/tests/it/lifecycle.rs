//! Start, ready, drain, crash, restart.

use std::io::Read as _;

use crate::harness::{PASSWORD, TestServer, folder, output, serve};

#[test]
fn a_ready_server_says_so_and_stops_when_asked() {
    let (_folder, data_dir) = folder();
    let server = TestServer::start(&data_dir);
    assert_eq!(
        server.head.len(),
        1,
        "nothing but the ready line: {:?}",
        server.head
    );
    for path in ["/health/live", "/health/ready", "/health/startup"] {
        assert_eq!(
            server.get(path),
            (200, "{\"status\":\"pass\"}".to_owned()),
            "{path}"
        );
    }
    let (code, body) = server.get("/api/v1/version");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (code, body["version"].as_str()),
        (200, Some(env!("CARGO_PKG_VERSION")))
    );
    assert!(server.rest_of_output().is_empty());
    let log = server.stop(&[]);
    assert!(log.contains("ready") && log.contains("stopped"), "{log}");
    assert!(!log.contains(PASSWORD));
}

#[test]
fn the_generated_password_is_printed_once_and_never_logged() {
    let (_folder, data_dir) = folder();
    let start = || {
        let mut command = serve(&data_dir);
        TestServer::start_with(command.env_remove("TESSERA_ADMIN_PASSWORD"))
    };
    let server = start();
    let line = server
        .head
        .iter()
        .find(|line| line.contains("with the password "))
        .unwrap();
    let password = line.rsplit(' ').next().unwrap().to_owned();
    assert!(password.len() >= 16);
    let mut command = server.sql_command();
    command
        .env("PGPASSWORD", &password)
        .args(["-t", "-A", "-c", "SELECT current_user"]);
    let (code, out, err) = output(&mut command);
    assert_eq!((code, out.trim()), (0, "admin"), "{err}");
    let log = server.stop(&[]);
    assert!(!log.contains(&password));
    let server = start();
    assert_eq!(server.head.len(), 1, "{:?}", server.head);
    let log = server.stop(&[]);
    assert!(!log.contains(&password));
}

#[test]
fn the_password_may_come_from_a_file() {
    let (folder, data_dir) = folder();
    let file = folder.path().join("password");
    std::fs::write(&file, format!("{PASSWORD}\nsecond line\n")).unwrap();
    let mut command = serve(&data_dir);
    command
        .env_remove("TESSERA_ADMIN_PASSWORD")
        .env("TESSERA_ADMIN_PASSWORD_FILE", &file);
    let server = TestServer::start_with(&mut command);
    assert_eq!(server.query("SELECT 1"), "1");
    server.stop(&[]);
    let (code, _, err) = output(command.env("TESSERA_ADMIN_PASSWORD", "x"));
    assert_eq!(code, 2);
    assert!(err.contains("are both set"), "{err}");
}

#[test]
fn log_lines_are_json_when_asked_for() {
    let (_folder, data_dir) = folder();
    let server = TestServer::start_with(serve(&data_dir).args(["--log-format", "json"]));
    server.signal("INT");
    let (code, log) = server.wait();
    assert_eq!(code, Some(0));
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(
            line["time"].is_string() && line["level"].is_string() && line["message"].is_string()
        );
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let (_folder, data_dir) = folder();
    let server = TestServer::start(&data_dir);
    server.query("CREATE TABLE kept (id int PRIMARY KEY, what text)");
    for round in 0..3 {
        server.query(&format!(
            "INSERT INTO kept SELECT n, 'x' FROM generate_series({}, {}) AS g(n)",
            round * 100,
            round * 100 + 99
        ));
    }
    server.kill();
    let server = TestServer::start(&data_dir);
    assert_eq!(
        server.query("SELECT count(*), min(id), max(id) FROM kept"),
        "300|0|299"
    );
    assert!(server.metric("tessera_recovery_duration_seconds") > 0.0);
    server.stop(&[]);
}

#[test]
fn a_stop_waits_for_a_running_statement_and_a_second_one_does_not() {
    let (_folder, data_dir) = folder();
    // Ten thousand million pairs: minutes of work, no memory.
    let long = "SELECT count(*) FROM generate_series(1, 100000) AS a(n), \
                generate_series(1, 100000) AS b(m) WHERE a.n + b.m < 0";
    let server = TestServer::start_with(serve(&data_dir).args(["--drain-timeout", "1h"]));
    server.query("CREATE TABLE kept (id int PRIMARY KEY)");
    server.query("INSERT INTO kept VALUES (1)");
    let mut command = server.sql_command();
    let mut client = command
        .args(["-c", long])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let started = std::time::Instant::now();
    while server.metric("tessera_statements_active") < 1.0 {
        assert!(
            started.elapsed().as_secs() < 60,
            "the statement does not start"
        );
    }
    server.signal("TERM");
    while server.get("/health/ready").0 != 503 {
        assert!(
            started.elapsed().as_secs() < 60,
            "the server does not stop being ready"
        );
    }
    assert!(
        client.try_wait().unwrap().is_none(),
        "the statement was not given its time"
    );
    server.signal("TERM");
    let (code, log) = server.wait();
    assert_eq!(code, Some(0), "{log}");
    let mut message = String::new();
    client
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut message)
        .unwrap();
    assert!(!client.wait().unwrap().success(), "{message}");
    let server = TestServer::start(&data_dir);
    assert_eq!(server.query("SELECT count(*) FROM kept"), "1");
    server.stop(&[]);
}
