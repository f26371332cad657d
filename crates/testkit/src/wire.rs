//! Small clients of the Redis and the HTTP port, for tests that look at every answer.
//!
//! One request at a time; an error of the connection is an error, an error answer is an answer.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// Bytes of one answer, whatever its length field says.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// An answer of the Redis port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `+OK` and its kin.
    Simple(String),
    /// `-ERR …`, without the dash.
    Error(String),
    /// `:1`.
    Integer(i64),
    /// A string; of bytes that are no text, what can be shown of them.
    Bulk(String),
    /// Nothing there.
    Nil,
    /// Several.
    Array(Vec<Reply>),
}

impl Reply {
    /// The strings of an array.
    ///
    /// # Errors
    /// For every other answer.
    pub fn texts(self) -> Result<Vec<String>> {
        let Reply::Array(items) = self else {
            bail!("{self:?} is no array");
        };
        let text = |item| match item {
            Reply::Bulk(text) | Reply::Simple(text) => Ok(text),
            other => bail!("{other:?} is no string"),
        };
        items.into_iter().map(text).collect()
    }
}

/// A connection to the Redis port, speaking RESP2.
#[derive(Debug)]
pub struct Redis(BufReader<TcpStream>);

impl Redis {
    /// Connects; who logs in sends AUTH.
    ///
    /// # Errors
    /// Those of the network.
    pub async fn connect(address: SocketAddr) -> Result<Redis> {
        Ok(Redis(BufReader::new(TcpStream::connect(address).await?)))
    }

    /// Sends a command, its words separated by single spaces, and waits for the answer.
    ///
    /// # Errors
    /// Those of the connection, and answers that are not of the protocol.
    pub async fn say(&mut self, command: &str) -> Result<Reply> {
        let words: Vec<&str> = command.split(' ').collect();
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.0.get_mut().write_all(request.as_bytes()).await?;
        self.reply().await
    }

    async fn reply(&mut self) -> Result<Reply> {
        let line = read_line(&mut self.0).await?;
        let (kind, rest) = line.split_at_checked(1).context("an empty answer")?;
        Ok(match kind {
            "+" => Reply::Simple(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Integer(rest.parse()?),
            "$" if rest == "-1" => Reply::Nil,
            "$" => {
                let mut bytes = read_exactly(&mut self.0, rest.parse::<usize>()? + 2).await?;
                bytes.truncate(bytes.len() - 2);
                Reply::Bulk(String::from_utf8_lossy(&bytes).into_owned())
            }
            "*" if rest == "-1" => Reply::Nil,
            "*" => {
                let mut items = Vec::new();
                for _ in 0..rest.parse::<usize>()? {
                    items.push(Box::pin(self.reply()).await?);
                }
                Reply::Array(items)
            }
            _ => bail!("not of the protocol: {line}"),
        })
    }
}

/// An answer of the HTTP port.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Body; null if there is none.
    pub body: Value,
}

impl Answer {
    /// The SQLSTATE of a problem.
    pub fn code(&self) -> Option<&str> {
        self.body.get("code")?.as_str()
    }
}

/// A connection to the HTTP port that is kept for further requests.
#[derive(Debug)]
pub struct Http {
    stream: BufReader<TcpStream>,
    /// Goes with every request: `Name: value` lines.
    pub headers: String,
}

impl Http {
    /// Connects.
    ///
    /// # Errors
    /// Those of the network.
    pub async fn connect(address: SocketAddr) -> Result<Http> {
        let stream = BufReader::new(TcpStream::connect(address).await?);
        let headers = String::new();
        Ok(Http { stream, headers })
    }

    /// Sends a request with a JSON body, if any, as part of a transaction, if any.
    ///
    /// # Errors
    /// Those of the connection, and answers that are no HTTP.
    pub async fn send(
        &mut self,
        request: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Answer> {
        self.send_as(request, token, "application/json", body).await
    }

    /// As [`Http::send`], with a content type.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn send_as(
        &mut self,
        request: &str,
        token: Option<&str>,
        content_type: &str,
        body: Option<&Value>,
    ) -> Result<Answer> {
        let (method, path) = request.split_once(' ').context("no method and path")?;
        let body = body.map_or_else(String::new, Value::to_string);
        let mut text = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n{}",
            body.len(),
            self.headers
        );
        if !body.is_empty() {
            text.push_str(&format!("Content-Type: {content_type}\r\n"));
        }
        if let Some(token) = token {
            text.push_str(&format!("Tessera-Transaction: {token}\r\n"));
        }
        text.push_str("\r\n");
        text.push_str(&body);
        self.stream.get_mut().write_all(text.as_bytes()).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<Answer> {
        let first = read_line(&mut self.stream).await?;
        let status = first.split(' ').nth(1).context("no status")?.parse()?;
        let mut length = 0;
        loop {
            let line = read_line(&mut self.stream).await?.to_ascii_lowercase();
            match line.split_once(": ") {
                Some(("content-length", value)) => length = value.parse()?,
                Some(("transfer-encoding", _)) => bail!("a streamed answer"),
                Some(_) => {}
                None => break,
            }
        }
        let bytes = read_exactly(&mut self.stream, length).await?;
        let body = match bytes.as_slice() {
            [] => Value::Null,
            bytes => serde_json::from_slice(bytes).with_context(|| first.clone())?,
        };
        Ok(Answer { status, body })
    }
}

async fn read_line(stream: &mut BufReader<TcpStream>) -> Result<String> {
    let mut line = String::new();
    let count = stream.read_line(&mut line).await?;
    ensure!(count > 0 && line.ends_with('\n'), "the server hung up");
    Ok(line.trim_end().to_owned())
}

async fn read_exactly(stream: &mut BufReader<TcpStream>, length: usize) -> Result<Vec<u8>> {
    ensure!(length <= ANSWER_BYTES_MAX, "an answer of {length} bytes");
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}
