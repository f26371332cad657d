//! The HTTP port as clients, probes and attackers see it.
#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod api;
mod changes;
mod script;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tessera_http::{HealthSource, HttpOptions, HttpServer, Status};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[derive(Default)]
struct Health {
    broken: AtomicBool,
}

impl HealthSource for Health {
    fn ready(&self) -> Status {
        if self.broken.load(Ordering::Relaxed) {
            Status::Fail("the disk of /secret/path is full".to_owned())
        } else {
            Status::Pass
        }
    }

    fn started(&self) -> Status {
        Status::Pass
    }
}

async fn start(change: impl FnOnce(&mut HttpOptions)) -> (HttpServer, Arc<Health>) {
    let mut options = HttpOptions::on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    change(&mut options);
    let health = Arc::new(Health::default());
    (
        HttpServer::start(options, health.clone()).await.unwrap(),
        health,
    )
}

/// Sends raw bytes and reads until the server closes.
async fn raw(server: &HttpServer, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(20), reading)
        .await
        .expect("an end");
    String::from_utf8(answer).unwrap()
}

async fn get(server: &HttpServer, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    raw(server, request.as_bytes()).await
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("closed")
}

#[tokio::test]
async fn health_tells_the_status_and_nothing_more() {
    let (server, health) = start(|_| {}).await;
    for path in ["/health/live", "/health/ready", "/health/startup"] {
        let answer = get(&server, path).await;
        assert_eq!(status(&answer), "200", "{path}");
        assert!(answer.ends_with("{\"status\":\"pass\"}"), "{answer}");
    }
    health.broken.store(true, Ordering::Relaxed);
    let answer = get(&server, "/health/ready").await;
    assert_eq!(status(&answer), "503");
    assert!(answer.ends_with("{\"status\":\"fail\"}"), "{answer}");
    assert_eq!(status(&get(&server, "/health/live").await), "200");
    let metrics = get(&server, "/metrics").await;
    assert!(
        metrics.contains("tessera_health_status_ratio{check=\"ready\"} 0\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn answers_carry_protective_headers_and_problems_are_problems() {
    let (server, _) = start(|_| {}).await;
    for path in ["/", "/api/v1/version", "/metrics", "/nothing"] {
        let answer = get(&server, path).await;
        for header in [
            "nosniff",
            "default-src 'none'",
            "no-store",
            "x-correlation-id: ",
        ] {
            assert!(answer.contains(header), "{path}: {answer}");
        }
        assert!(
            !answer.to_lowercase().contains("access-control"),
            "{answer}"
        );
    }
    let missing = get(&server, "/nothing").await;
    assert_eq!(status(&missing), "404");
    assert!(missing.contains("application/problem+json") && missing.contains("\"status\":404"));
    let request = b"DELETE /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(status(&raw(&server, request).await), "405");
}

/// Swagger UI comes from this server alone: every file of the page, and a policy without exceptions.
#[tokio::test]
async fn the_api_can_be_read_in_a_browser_offline() {
    let (server, _) = start(|_| {}).await;
    let page = get(&server, "/api/v1/docs").await;
    assert_eq!(status(&page), "200");
    assert!(page.contains("script-src 'self'; style-src 'self'") && !page.contains("unsafe"));
    assert!(
        !page.contains("default-src 'none'; style-src 'self'; frame"),
        "one policy"
    );
    let names = page.split("=\"/api/v1/docs/").skip(1);
    let names: Vec<&str> = names.filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(names.len(), 4, "{page}");
    for name in names {
        let request = format!(
            "GET /api/v1/docs/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        );
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{name}");
        let text = String::from_utf8_lossy(&answer);
        assert!(
            text.contains("nosniff") && text.contains("content-type: "),
            "{name}"
        );
    }
    assert_eq!(
        status(&get(&server, "/api/v1/docs/nothing.js").await),
        "404"
    );
    assert!(get(&server, "/").await.contains("href=\"/api/v1/docs\""));
}

#[tokio::test]
async fn metrics_come_in_both_formats() {
    let (server, _) = start(|_| {}).await;
    let old = get(&server, "/metrics").await;
    assert!(old.contains("text/plain; version=0.0.4") && !old.contains("# EOF"));
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
        Accept: application/openmetrics-text;version=1.0.0\r\n\r\n";
    let open = raw(&server, request).await;
    assert!(open.contains("application/openmetrics-text") && open.contains("# EOF\n"));
    let seen = "tessera_http_requests_total{route=\"/metrics\",method=\"GET\",code=\"2xx\"} ";
    assert!(open.contains(seen), "{open}");
}

/// Rows 46 to 48 and 52 of the abuse table.
#[tokio::test]
async fn abuse_gets_the_answer_of_the_table() {
    let (server, _) = start(|_| {}).await;
    let many_headers: String = (0..1000).map(|n| format!("X-{n}: 1\r\n")).collect();
    let cases: &[(&str, String, &str)] = &[
        ("a body over the limit", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\nConnection: close\r\n\r\n".into(), "413"),
        ("an endless chunk", format!("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n20000\r\n{}\r\n0\r\n\r\n", "x".repeat(0x20000)), "413"),
        ("a malformed chunk size", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nfffffffffffffffff\r\nx".into(), "400"),
        ("a length and chunks", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(), "400"),
        ("two lengths", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc".into(), "400"),
        ("1,000 headers", format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many_headers}\r\n"), "431"),
        ("a long head", format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "y".repeat(70_000)), "431"),
        ("another host", "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".into(), "421"),
        ("no host", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n".into(), "400"),
        ("another origin", "GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil\r\nCookie: a=b\r\nConnection: close\r\n\r\n".into(), "403"),
        ("not HTTP", "\x16\x03\x01 hello\r\n\r\n".into(), "400"),
    ];
    for (name, request, expected) in cases {
        let answer = raw(&server, request.as_bytes()).await;
        assert_eq!(status(&answer), *expected, "{name}: {answer}");
    }
    assert_eq!(
        status(&get(&server, "/health/live").await),
        "200",
        "still serving"
    );
}

/// The rest of row 48; a client that drips is in the unit tests of `head`, where time is simulated.
#[tokio::test]
async fn who_does_not_finish_a_head_is_cut_off_without_a_word() {
    let (server, _) = start(|options| options.head_timeout = Duration::from_millis(100)).await;
    for unfinished in ["", "GET / HTTP/1.1\r\nHost: loc"] {
        let answer = raw(&server, unfinished.as_bytes()).await;
        assert_eq!(answer, "", "{unfinished:?}");
    }
}

#[tokio::test]
async fn a_later_head_must_be_finished_in_time_too() {
    let (server, _) = start(|options| options.head_timeout = Duration::from_secs(1)).await;
    let requests = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\nGET /health/li";
    let answer = raw(&server, requests).await;
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    assert_eq!(status(&answer), "200");
}

#[tokio::test]
async fn connections_are_bounded_and_places_come_back() {
    let (server, _) = start(|options| options.connections_max = 2).await;
    let first = TcpStream::connect(server.address()).await.unwrap();
    let second = TcpStream::connect(server.address()).await.unwrap();
    assert_eq!(status(&get(&server, "/health/live").await), "closed");
    drop((first, second));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while status(&get(&server, "/health/live").await) != "200" {
        assert!(tokio::time::Instant::now() < deadline);
    }
}

#[tokio::test]
async fn a_connection_is_kept_for_several_requests_and_ends_with_the_server() {
    let (server, _) = start(|_| {}).await;
    let address = server.address();
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..3 {
        stream
            .write_all(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            assert!(stream.read_buf(&mut answer).await.unwrap() > 0);
        }
    }
    let drained = server.stop(Duration::from_secs(20)).await;
    // The listener and this connection.
    assert_eq!(
        (drained.finished, drained.cancelled, drained.stuck),
        (2, 0, 0)
    );
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    assert!(TcpStream::connect(address).await.is_err());
    let alive = tessera_tasks::alive_on(tokio::runtime::Handle::current().id());
    assert_eq!(alive, [], "leaked tasks");
}
