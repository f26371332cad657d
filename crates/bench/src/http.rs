//! A client of the HTTP API that costs little: one connection that is kept, whole answers with a
//! length, nothing else of HTTP.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A head longer than this is not one of ours.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Where, and as whom.
#[derive(Clone, Debug)]
pub struct Target {
    address: SocketAddr,
    authorization: String,
}

impl Target {
    /// Changes a password into a token, as clients do who send many requests.
    pub async fn log_in(address: SocketAddr, user: &str, password: &str) -> Result<Target> {
        let basic = Target {
            address,
            authorization: format!("Basic {}", BASE64.encode(format!("{user}:{password}"))),
        };
        let mut connection = Connection::open(&basic).await?;
        let answer = connection.call("POST", "/tokens", "", b"").await?;
        let text = String::from_utf8_lossy(&answer.body);
        let token = text.split('"').find(|part| part.starts_with("tsr_"));
        match (answer.status, token) {
            (201, Some(token)) => Ok(Target {
                address,
                authorization: format!("Bearer {token}"),
            }),
            (status, _) => bail!("no token: HTTP status {status}"),
        }
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// All of the body.
    pub body: Vec<u8>,
}

/// A connection that is kept.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    authorization: String,
    output: Vec<u8>,
    input: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub async fn open(target: &Target) -> Result<Connection> {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            authorization: target.authorization.clone(),
            output: Vec::new(),
            input: Vec::new(),
        })
    }

    /// Sends a request, `path` being behind `/api/v1`, and waits for its answer.
    pub async fn call(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<Answer> {
        self.output.clear();
        let mut head = |parts: &[&str]| {
            for part in parts {
                self.output.extend_from_slice(part.as_bytes());
            }
        };
        head(&[
            method,
            " /api/v1",
            path,
            " HTTP/1.1\r\nHost: localhost\r\nAuthorization: ",
        ]);
        head(&[&self.authorization, "\r\n"]);
        if !content_type.is_empty() {
            head(&["Content-Type: ", content_type, "\r\n"]);
        }
        if !body.is_empty() {
            head(&["Content-Length: ", &body.len().to_string(), "\r\n"]);
        }
        head(&["\r\n"]);
        self.output.extend_from_slice(body);
        self.stream.write_all(&self.output).await?;
        self.input.clear();
        let (status, start, length) = loop {
            self.fill().await?;
            if let Some(found) = parse(&self.input)? {
                break found;
            }
            if self.input.len() > HEAD_BYTES_MAX {
                bail!("a head without end");
            }
        };
        while self.input.len() < start + length {
            self.fill().await?;
        }
        Ok(Answer {
            status,
            body: self.input[start..start + length].to_vec(),
        })
    }

    async fn fill(&mut self) -> Result<()> {
        self.input.reserve(8 << 10);
        if self.stream.read_buf(&mut self.input).await? == 0 {
            bail!("the server has closed the connection");
        }
        Ok(())
    }
}

/// Status, start and length of the body, once the head is there.
fn parse(bytes: &[u8]) -> Result<Option<(u16, usize, usize)>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end])?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let status: u16 = status.context("no status")?.parse()?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim())
    });
    let length = match (length, status) {
        (Some(length), _) => length.parse()?,
        (None, 204 | 304) => 0,
        (None, _) => bail!("an answer without a length"),
    };
    Ok(Some((status, end + 4, length)))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]
mod tests {
    use super::*;

    #[test]
    fn heads_are_taken_apart_once_they_are_whole() {
        assert!(parse(b"HTTP/1.1 200 OK\r\nContent-Le").unwrap().is_none());
        let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 3\r\n\r\nabc";
        assert_eq!(parse(answer).unwrap(), Some((201, answer.len() - 3, 3)));
        let empty = b"HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(parse(empty).unwrap(), Some((204, empty.len(), 0)));
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
