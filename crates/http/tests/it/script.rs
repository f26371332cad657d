//! Runs the files of `testdata/api`: requests to a real server over an engine in memory, and what
//! is expected of the answers. Each file has a server of its own.
//!
//! ```text
//! > PUT /api/v1/keys/db0/a?ttl=1000      request line; `%as: user:password` changes the login,
//! > If-None-Match: *                     `%as: nobody` sends none, `%as: Bearer x` a token
//! the body
//! < 201                                  status
//! < etag: <tag>                          a header; `-` says that it is absent
//! {"key": "<>"}                          the body; objects may have more members
//! ```
//! `<name>` takes whatever is there and keeps it; `{{name}}` puts it into a later line; `<>` only
//! takes it. Blocks are separated by empty lines; lines with `#` are comments.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use tessera_engine::{Engine, EngineOptions};
use tessera_http::{ApiOptions, HealthSource, HttpOptions, HttpServer, Status};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Password of `admin` in the scripts; `anna` and `bert` are ordinary users with it, too.
pub(crate) const PASSWORD: &str = "secret";

struct Well;

impl HealthSource for Well {
    fn ready(&self) -> Status {
        Status::Pass
    }

    fn started(&self) -> Status {
        Status::Pass
    }
}

/// A server with an engine.
pub(crate) struct World {
    pub(crate) server: HttpServer,
    pub(crate) engine: Engine,
}

impl World {
    pub(crate) async fn start(options: ApiOptions) -> World {
        World::with(options, |_| {}).await
    }

    pub(crate) async fn with(
        options: ApiOptions,
        change: impl FnOnce(&mut EngineOptions),
    ) -> World {
        let mut engine_options = EngineOptions {
            admin_password: Some(PASSWORD.to_owned()),
            query_threads: 1,
            ..EngineOptions::memory()
        };
        change(&mut engine_options);
        let engine = Engine::open(engine_options).await.unwrap();
        for user in ["anna", "bert"] {
            engine.users().add(user, PASSWORD, false).await.unwrap();
        }
        let http = HttpOptions::on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let server = HttpServer::start(http, Arc::new(Well)).await.unwrap();
        server.open(engine.clone(), options);
        World { server, engine }
    }

    pub(crate) async fn stop(self) {
        self.server.stop(Duration::from_secs(20)).await;
        self.engine.close().await.unwrap();
    }
}

/// An answer, taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        tessera_codec::json::parse(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    fn parse(bytes: &[u8]) -> Answer {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no head: {}", String::from_utf8_lossy(bytes)));
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers: HashMap<String, String> = lines
            .map(|line| {
                let (name, value) = line.split_once(':').unwrap();
                (name.to_ascii_lowercase(), value.trim().to_owned())
            })
            .collect();
        let rest = &bytes[end + 4..];
        let is_chunked = headers
            .get("transfer-encoding")
            .is_some_and(|value| value == "chunked");
        Answer {
            status: status.parse().unwrap(),
            body: if is_chunked {
                unchunked(rest)
            } else {
                rest.to_vec()
            },
            headers,
        }
    }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = rest
            .windows(2)
            .position(|window| window == b"\r\n")
            .unwrap();
        let size = std::str::from_utf8(&rest[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        rest = &rest[end + 2..];
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}

/// Sends one request and reads its answer.
pub(crate) async fn send(
    world: &World,
    head: &[String],
    login: Option<&str>,
    body: &[u8],
) -> Answer {
    Answer::parse(&send_raw(world, head, login, body).await)
}

/// The same, and its answer as it came.
pub(crate) async fn send_raw(
    world: &World,
    head: &[String],
    login: Option<&str>,
    body: &[u8],
) -> Vec<u8> {
    let mut stream = TcpStream::connect(world.server.address()).await.unwrap();
    let mut lines = head.iter();
    let mut text = format!("{} HTTP/1.1\r\n", lines.next().unwrap());
    for line in lines {
        text.push_str(line);
        text.push_str("\r\n");
    }
    if let Some(login) = login {
        text.push_str(&format!("Authorization: {login}\r\n"));
    }
    let length = body.len();
    text.push_str(&format!(
        "Host: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    ));
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(&bytes).await;
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(60), reading)
        .await
        .expect("an answer");
    answer
}

pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{user}:{password}")))
}

/// One block of a file.
#[derive(Default)]
struct Block {
    line: usize,
    login: Option<String>,
    head: Vec<String>,
    body: String,
    status: u16,
    headers: Vec<(String, String)>,
    expected: String,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut block = Block::default();
    let mut is_answer = false;
    for (at, line) in text.lines().chain([""]).enumerate() {
        if line.starts_with('#') {
            continue;
        }
        if line.is_empty() {
            if !block.head.is_empty() {
                assert!(block.status > 0, "line {at}: a block without a status");
                blocks.push(std::mem::take(&mut block));
            }
            is_answer = false;
        } else if let Some(login) = line.strip_prefix("%as: ") {
            block.login = Some(login.to_owned());
        } else if let Some(line) = line.strip_prefix("> ") {
            if block.head.is_empty() {
                block.line = at + 1;
            }
            block.head.push(line.to_owned());
        } else if let Some(line) = line.strip_prefix("< ") {
            is_answer = true;
            match line.split_once(": ") {
                Some((name, value)) => {
                    let pair = (name.to_ascii_lowercase(), value.to_owned());
                    block.headers.push(pair);
                }
                None => block.status = line.parse().unwrap(),
            }
        } else {
            let part = if is_answer {
                &mut block.expected
            } else {
                &mut block.body
            };
            if !part.is_empty() {
                part.push('\n');
            }
            part.push_str(line);
        }
    }
    blocks
}

/// What the blocks of a file have kept.
#[derive(Default)]
struct Kept(HashMap<String, String>);

impl Kept {
    fn filled(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.0 {
            text = text.replace(&format!("{{{{{name}}}}}"), value);
        }
        text
    }

    /// Whether a text is what is expected; keeps it if that is asked for.
    fn takes(&mut self, expected: &str, found: &str) -> bool {
        let expected = self.filled(expected);
        match expected
            .strip_prefix('<')
            .and_then(|rest| rest.strip_suffix('>'))
        {
            Some("") => true,
            Some(name) if name.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                self.0.insert(name.to_owned(), found.to_owned());
                true
            }
            _ => expected == found,
        }
    }

    fn fits(&mut self, expected: &Value, found: &Value) -> bool {
        match (expected, found) {
            (Value::Object(expected), Value::Object(found)) => expected
                .iter()
                .all(|(key, value)| found.get(key).is_some_and(|found| self.fits(value, found))),
            (Value::Array(expected), Value::Array(found)) => {
                expected.len() == found.len()
                    && expected.iter().zip(found).all(|(e, f)| self.fits(e, f))
            }
            (Value::String(expected), Value::String(found)) => self.takes(expected, found),
            (Value::String(expected), found) if expected.starts_with('<') => {
                self.takes(expected, &found.to_string())
            }
            (expected, found) => expected == found,
        }
    }
}

pub(crate) async fn run(file: &Path) {
    let text = std::fs::read_to_string(file).unwrap();
    let world = World::start(ApiOptions::default()).await;
    let mut kept = Kept::default();
    let mut login = Some(basic("admin", PASSWORD));
    for block in blocks(&text) {
        let place = format!("{}:{}", file.display(), block.line);
        match block.login.as_deref() {
            None => {}
            Some("nobody") => login = None,
            Some(text) if text.starts_with("Bearer ") || text.starts_with("raw ") => {
                login = Some(kept.filled(text.strip_prefix("raw ").unwrap_or(text)));
            }
            Some(text) => {
                let (user, password) = text.split_once(':').unwrap();
                login = Some(basic(user, password));
            }
        }
        let head: Vec<String> = block.head.iter().map(|line| kept.filled(line)).collect();
        let body = kept.filled(&block.body);
        let answer = send(&world, &head, login.as_deref(), body.as_bytes()).await;
        let found = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, block.status, "{place}: {found}");
        for (name, expected) in &block.headers {
            let value = answer.headers.get(name);
            if expected == "-" {
                assert_eq!(value, None, "{place}: {name}");
                continue;
            }
            let value = value.unwrap_or_else(|| panic!("{place}: no header {name}"));
            assert!(kept.takes(expected, value), "{place}: {name}: {value}");
        }
        compare(&mut kept, &block.expected, &found, &place);
    }
    world.stop().await;
}

fn compare(kept: &mut Kept, expected: &str, found: &str, place: &str) {
    if expected.is_empty() {
        return;
    }
    let expected = kept.filled(expected);
    let whole: Option<Value> = serde_json::from_str(&expected).ok();
    if let (Some(expected), Ok(found)) = (&whole, serde_json::from_str::<Value>(found)) {
        assert!(kept.fits(expected, &found), "{place}: {found:#}");
        return;
    }
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(expected.lines().count(), lines.len(), "{place}: {found}");
    for (expected, found) in expected.lines().zip(lines) {
        let parsed = (
            serde_json::from_str::<Value>(expected),
            serde_json::from_str::<Value>(found),
        );
        let fits = match &parsed {
            (Ok(expected), Ok(found)) => kept.fits(expected, found),
            _ => kept.takes(expected, found),
        };
        assert!(fits, "{place}: {found}");
    }
}
