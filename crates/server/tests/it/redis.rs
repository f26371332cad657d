//! The Redis port of a real server: logins, one transaction over two protocols, key spaces that are
//! dropped, metrics.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::harness::{TestServer, folder, serve};

/// A client that sends inline commands and reads answers of one line.
struct Redis(BufReader<TcpStream>);

impl Redis {
    fn connect(address: SocketAddr) -> Redis {
        Redis(BufReader::new(TcpStream::connect(address).unwrap()))
    }

    /// The answer's first line; of a bulk string its content.
    fn say(&mut self, command: &str) -> String {
        let socket = self.0.get_mut();
        socket
            .write_all(format!("{command}\r\n").as_bytes())
            .unwrap();
        let line = self.line();
        match line.strip_prefix('$') {
            Some("-1") | None => line,
            Some(_) => self.line(),
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

#[test]
fn a_redis_client_logs_in_with_a_user_of_the_catalog() {
    let (_folder, data_dir) = folder();
    let mut command = serve(&data_dir);
    command.env("TESSERA_ADMIN_PASSWORD", "open sesame");
    let server = TestServer::start_with(command.args(["--redis", "127.0.0.1:0"]));
    let address = server.redis.expect("the port is part of the ready line");
    let mut redis = Redis::connect(address);
    assert!(redis.say("GET a").starts_with("-NOAUTH"));
    assert!(redis.say("AUTH admin wrong").starts_with("-WRONGPASS"));
    assert_eq!(redis.say("AUTH admin \"open sesame\""), "+OK");
    assert_eq!(redis.say("SET a 1"), "+OK");
    assert_eq!(redis.say("GET a"), "1");
    drop(redis);
    server.kill();
    let mut command = serve(&data_dir);
    let server = TestServer::start_with(command.args(["--redis", "127.0.0.1:0"]));
    let mut redis = Redis::connect(server.redis.unwrap());
    assert_eq!(redis.say("AUTH \"open sesame\""), "+OK");
    assert_eq!(
        redis.say("GET a"),
        "1",
        "acknowledged, so it survives a kill"
    );
    server.stop(&["login", "password"]);
}

/// Stock in a key, an order in a table: both or neither, whoever commits.
#[test]
fn one_transaction_spans_sql_and_keys() {
    let (_folder, data_dir) = folder();
    let mut command = serve(&data_dir);
    command.args(["--auth", "trust", "--redis", "127.0.0.1:0"]);
    let server = TestServer::start_with(&mut command);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(server.postgres.port());
        config.user("admin").dbname("tessera");
        let (sql, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        sql.batch_execute("CREATE TABLE orders (id int PRIMARY KEY, sku text)")
            .await
            .unwrap();
        let mut redis = Redis::connect(server.redis.unwrap());
        assert_eq!(redis.say("SET stock:a1 10"), "+OK");
        for (end, stock, orders) in [("ROLLBACK", "10", 0), ("COMMIT", "9", 1)] {
            sql.batch_execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
                .await
                .unwrap();
            let token = sql
                .query_one("SHOW tessera.transaction_token", &[])
                .await
                .unwrap();
            let token: String = token.get(0);
            assert_eq!(redis.say(&format!("TX.JOIN {token}")), "+OK");
            assert_eq!(redis.say("DECR stock:a1"), ":9");
            sql.batch_execute("INSERT INTO orders VALUES (1, 'a1')")
                .await
                .unwrap();
            sql.batch_execute(end).await.unwrap();
            let mut other = Redis::connect(server.redis.unwrap());
            assert_eq!(other.say("GET stock:a1"), stock, "after {end}");
            let count = sql.query_one("SELECT count(*) FROM orders", &[]).await;
            assert_eq!(count.unwrap().get::<_, i64>(0), orders, "after {end}");
            redis = Redis::connect(server.redis.unwrap());
        }
        // And SQL reads what Redis wrote.
        let row = sql.query_one(
            "SELECT k.key, k.value, k.type, k.ttl, o.sku FROM kv.db0 AS k, orders AS o \
             WHERE k.key = 'stock:' || o.sku",
            &[],
        );
        let row = row.await.unwrap();
        let texts: Vec<String> = (0..3).map(|at| row.get(at)).collect();
        assert_eq!(texts, ["stock:a1", "9", "string"]);
        assert_eq!(row.get::<_, Option<i64>>(3), None, "no time to live");
        let deleted = sql.execute("DELETE FROM kv.db0", &[]).await;
        assert_eq!(deleted.unwrap(), 1);
        let mut other = Redis::connect(server.redis.unwrap());
        assert_eq!(other.say("EXISTS stock:a1"), ":0");
        drop(sql);
        connection.await.unwrap().unwrap();
    });
    server.stop(&[]);
}

/// Method: the space is dropped over HTTP while a client has it open.
#[test]
fn what_is_written_after_a_drop_is_there_for_everybody() {
    let (_folder, data_dir) = folder();
    let mut command = serve(&data_dir);
    command.args(["--auth", "trust", "--redis", "127.0.0.1:0"]);
    let server = TestServer::start_with(&mut command);
    let mut numbered = Redis::connect(server.redis.unwrap());
    let mut named = Redis::connect(server.redis.unwrap());
    assert_eq!(named.say("SELECT carts"), "+OK");
    for redis in [&mut numbered, &mut named] {
        assert_eq!(redis.say("SET k old"), "+OK");
    }
    for space in ["db0", "carts"] {
        let mut stream = TcpStream::connect(server.http).unwrap();
        let request = format!(
            "DELETE /api/v1/keys/{space} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
    }
    assert_eq!(numbered.say("GET k"), "$-1");
    assert_eq!(numbered.say("SET k new"), "+OK");
    let mut other = Redis::connect(server.redis.unwrap());
    assert_eq!(other.say("GET k"), "new");
    let gone = named.say("SET k new");
    assert!(
        gone.starts_with("-ERR key space \"carts\" was dropped"),
        "{gone}"
    );
    assert_eq!(named.say("SELECT carts"), "+OK");
    assert_eq!(named.say("GET k"), "$-1");
    server.stop(&[]);
}

#[test]
fn the_port_is_in_the_metrics() {
    let (_folder, data_dir) = folder();
    let mut command = serve(&data_dir);
    command.args(["--auth", "trust", "--redis", "127.0.0.1:0"]);
    let server = TestServer::start_with(&mut command);
    let mut redis = Redis::connect(server.redis.unwrap());
    assert_eq!(redis.say("HSET h f v"), ":1");
    assert_eq!(redis.say("HGET h f"), "v");
    assert!(redis.say("INCR h").starts_with("-WRONGTYPE"));
    for (series, value) in [
        (
            "tessera_connections{protocol=\"redis\",state=\"active\"}",
            1.0,
        ),
        (
            "tessera_connections_total{protocol=\"redis\",result=\"accepted\"}",
            1.0,
        ),
        (
            "tessera_redis_commands_total{class=\"hash\",result=\"ok\"}",
            2.0,
        ),
        (
            "tessera_redis_commands_total{class=\"string\",result=\"error\"}",
            1.0,
        ),
        (
            "tessera_redis_command_duration_seconds_count{class=\"hash\"}",
            2.0,
        ),
        ("tessera_redis_error_replies_total", 1.0),
    ] {
        assert_eq!(server.metric(series), value, "{series}");
    }
    assert!(
        server.metric("tessera_network_bytes_total{protocol=\"redis\",direction=\"in\"}") > 20.0
    );
    server.stop(&[]);
}
