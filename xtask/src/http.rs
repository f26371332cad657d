//! A client of the server's HTTP API, as much as the demo and the benchmarks need: one request per
//! connection, whole answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

/// A debug build answers even a bulk insert faster than this.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// Where the API is, and who asks.
pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    pub(crate) password: String,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; an error for anything but a success.
    pub(crate) fn json(&self) -> Result<Value> {
        let text = String::from_utf8_lossy(&self.body);
        if !(200..300).contains(&self.status) {
            bail!("HTTP status {}: {text}", self.status);
        }
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| format!("not JSON: {text}"))
    }
}

/// One request.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    /// Behind `/api/v1`.
    pub(crate) path: &'a str,
    pub(crate) content_type: &'a str,
    pub(crate) body: &'a [u8],
    /// Token of the transaction that it is part of.
    pub(crate) transaction: Option<&'a str>,
}

impl Request<'_> {
    pub(crate) fn new<'a>(method: &'a str, path: &'a str) -> Request<'a> {
        Request {
            method,
            path,
            content_type: "application/json",
            body: b"",
            transaction: None,
        }
    }
}

impl Api {
    /// Who asks, as the header says it.
    pub(crate) fn authorization(&self) -> String {
        format!(
            "Basic {}",
            BASE64.encode(format!("admin:{}", self.password))
        )
    }

    /// Sends a request and reads its answer.
    pub(crate) fn send(&self, request: &Request<'_>) -> Result<Answer> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        let mut head = format!(
            "{} /api/v1{} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: {}\r\n\
             Content-Length: {}\r\nAuthorization: {}\r\n",
            request.method,
            request.path,
            self.address,
            request.content_type,
            request.body.len(),
            self.authorization()
        );
        if let Some(token) = request.transaction {
            head.push_str(&format!("Tessera-Transaction: {token}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        stream.write_all(request.body)?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        parse(&bytes).with_context(|| format!("{} {}", request.method, request.path))
    }

    /// Sends JSON and reads JSON.
    pub(crate) fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let body = body.to_string();
        let request = Request {
            body: body.as_bytes(),
            ..Request::new(method, path)
        };
        let answer = self.send(&request)?;
        answer.json().with_context(|| format!("{method} {path}"))
    }

    /// Whether there is something at a path.
    pub(crate) fn has(&self, path: &str) -> Result<bool> {
        match self.send(&Request::new("GET", path))?.status {
            200 => Ok(true),
            404 => Ok(false),
            status => bail!("GET {path}: HTTP status {status}"),
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.context("the answer has no head")?;
    let head = std::str::from_utf8(&bytes[..end])?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    if head.to_ascii_lowercase().contains("transfer-encoding") {
        bail!("the answer is streamed");
    }
    Ok(Answer {
        status: status.context("the answer has no status")?,
        body: bytes[end + 4..].to_vec(),
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]
mod tests {
    use super::parse;

    #[test]
    fn an_answer_is_taken_apart() {
        let answer = parse(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}").unwrap();
        assert_eq!((answer.status, answer.body), (404, b"{}".to_vec()));
        assert!(parse(b"HTTP/1.1 200 OK\r\n").is_err());
    }
}
