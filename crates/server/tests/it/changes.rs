//! The change stream of a real server: a client that goes on by its cursor after the server was
//! killed, notifications of Redis for what SQL does, and the end of a stream when the server stops.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::harness::{TestServer, folder, serve};

/// A client of server-sent events that remembers nothing but the last id.
struct Stream {
    lines: BufReader<TcpStream>,
    last_id: String,
}

impl Stream {
    fn open(address: SocketAddr, query: &str, last_id: &str) -> Stream {
        let mut socket = TcpStream::connect(address).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let last = match last_id {
            "" => String::new(),
            id => format!("Last-Event-ID: {id}\r\n"),
        };
        let request =
            format!("GET /api/v1/changes{query} HTTP/1.1\r\nHost: localhost\r\n{last}\r\n");
        socket.write_all(request.as_bytes()).unwrap();
        let mut stream = Stream {
            lines: BufReader::new(socket),
            last_id: last_id.to_owned(),
        };
        let status = stream.line().unwrap();
        assert!(status.contains(" 200 "), "{status}");
        stream
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let count = self.lines.read_line(&mut line).unwrap_or(0);
        (count > 0).then(|| line.trim_end().to_owned())
    }

    /// The number of the next row that was inserted; none when the connection has ended.
    fn inserted(&mut self) -> Option<i64> {
        let mut name = String::new();
        loop {
            let line = self.line()?;
            if let Some(id) = line.strip_prefix("id: ") {
                id.clone_into(&mut self.last_id);
            } else if let Some(event) = line.strip_prefix("event: ") {
                event.clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data: ")
                && name == "insert"
            {
                let data: serde_json::Value = serde_json::from_str(data).unwrap();
                return data["key"]["id"].as_i64();
            }
        }
    }
}

fn sql(server: &TestServer, statement: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(server.postgres.port());
        config.user("admin").dbname("tessera");
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        client.batch_execute(statement).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
    });
}

/// Method: rows are inserted one by one; a client reads a few of them; the server is killed; and so
/// on, three times. Property: the client, which has only its cursor, gets each row exactly once.
#[test]
fn a_client_resumes_by_its_cursor_after_kills_and_misses_nothing() {
    let (_folder, data_dir) = folder();
    let start = || {
        let mut command = serve(&data_dir);
        TestServer::start_with(command.args(["--auth", "trust"]))
    };
    let mut server = start();
    sql(&server, "CREATE TABLE t (id int PRIMARY KEY)");
    let mut last_id = String::new();
    let mut seen = Vec::new();
    for round in 0..3 {
        let query = if round == 0 { "?from=oldest" } else { "" };
        for n in round * 10..round * 10 + 10 {
            sql(&server, &format!("INSERT INTO t VALUES ({n})"));
        }
        let mut stream = Stream::open(server.http, query, &last_id);
        for _ in 0..7 {
            seen.push(stream.inserted().unwrap());
        }
        last_id = stream.last_id.clone();
        server.kill();
        server = start();
    }
    let mut stream = Stream::open(server.http, "", &last_id);
    while seen.len() < 30 {
        seen.push(stream.inserted().unwrap());
    }
    assert_eq!(seen, (0..30).collect::<Vec<_>>());
    // A stop ends the stream; it does not wait for the client.
    let ended = std::thread::spawn(move || stream.inserted());
    server.stop(&[]);
    assert_eq!(ended.join().unwrap(), None);
}

/// What SQL and expiry do to keys is told to a client of Redis.
#[test]
fn redis_clients_hear_of_what_expires() {
    let (_folder, data_dir) = folder();
    let mut command = serve(&data_dir);
    command.args(["--auth", "trust", "--redis", "127.0.0.1:0"]);
    let server = TestServer::start_with(&mut command);
    let mut socket = TcpStream::connect(server.redis.unwrap()).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    socket
        .write_all(b"CONFIG SET notify-keyspace-events Ex\r\nSUBSCRIBE __keyevent@0__:expired\r\n")
        .unwrap();
    let mut other = TcpStream::connect(server.redis.unwrap()).unwrap();
    let mut lines = BufReader::new(socket).lines().map_while(Result::ok);
    lines.find(|line| line == ":1").expect("subscribed");
    other.write_all(b"SET soon 1 PX 50\r\n").unwrap();
    lines.find(|line| line == "soon").expect("the key's name");
    drop(lines);
    server.stop(&[]);
}
