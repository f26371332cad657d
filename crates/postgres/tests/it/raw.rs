//! A client that sends any bytes and shows every answer.

use std::fmt::Write as _;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::SOON;

pub(crate) struct Raw {
    socket: TcpStream,
    input: Vec<u8>,
    /// Process id and secret, as the server gave them.
    pub(crate) key: Option<[u8; 8]>,
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Raw {
        Raw {
            socket: TcpStream::connect(address).await.unwrap(),
            input: Vec::new(),
            key: None,
        }
    }

    /// Connected and logged in, to a server that trusts.
    pub(crate) async fn started(address: SocketAddr) -> Raw {
        let mut raw = Raw::connect(address).await;
        raw.send(&startup(&[("user", "admin"), ("database", "tessera")]))
            .await;
        raw.answers("ReadyForQuery").await;
        raw
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        // The server may have closed already; then the answers tell.
        let _ = self.socket.write_all(bytes).await;
    }

    /// Everything up to a message of this name, or the end of the connection.
    pub(crate) async fn answers(&mut self, last: &str) -> Vec<String> {
        let mut answers = Vec::new();
        loop {
            let next = tokio::time::timeout(SOON, self.message());
            let Ok(message) = next.await else {
                panic!("no answer in time; so far {answers:?}")
            };
            let Some(message) = message else {
                answers.push("closed".to_owned());
                return answers;
            };
            let is_last = message.starts_with(last);
            if !message.starts_with("ParameterStatus") && !message.starts_with("BackendKeyData") {
                answers.push(message);
            }
            if is_last {
                return answers;
            }
        }
    }

    /// One byte, as the answer to a request for TLS; `None` at the end of the connection.
    pub(crate) async fn byte(&mut self) -> Option<u8> {
        while self.input.is_empty() {
            if !self.read().await {
                return None;
            }
        }
        Some(self.input.remove(0))
    }

    async fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.socket.read(&mut buffer).await {
            Ok(0) | Err(_) => false,
            Ok(read) => {
                self.input.extend_from_slice(&buffer[..read]);
                true
            }
        }
    }

    async fn message(&mut self) -> Option<String> {
        loop {
            if self.input.len() >= 5 {
                let length = u32::from_be_bytes(self.input[1..5].try_into().unwrap()) as usize;
                if self.input.len() > length {
                    let message: Vec<u8> = self.input.drain(..=length).collect();
                    if message[0] == b'K' {
                        self.key = message[5..].try_into().ok();
                    }
                    return Some(show(message[0], &message[5..]));
                }
            }
            if !self.read().await {
                return None;
            }
        }
    }
}

/// A start-up message of protocol 3.0.
pub(crate) fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = 0x0003_0000_u32.to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
    }
    body.push(0);
    packet(&body)
}

/// A body with its length before it.
pub(crate) fn packet(body: &[u8]) -> Vec<u8> {
    let mut packet = ((body.len() + 4) as u32).to_be_bytes().to_vec();
    packet.extend_from_slice(body);
    packet
}

/// A message with its type and length.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend(packet(body));
    message
}

fn show(kind: u8, body: &[u8]) -> String {
    let text = |bytes: &[u8]| {
        String::from_utf8_lossy(bytes)
            .trim_end_matches('\0')
            .to_owned()
    };
    let i16_at = |at: usize| i16::from_be_bytes(body[at..at + 2].try_into().unwrap());
    let i32_at = |at: usize| i32::from_be_bytes(body[at..at + 4].try_into().unwrap());
    match kind {
        b'R' => match i32_at(0) {
            0 => "AuthenticationOk".to_owned(),
            10 => format!("AuthenticationSASL {}", text(&body[4..])),
            11 => format!("AuthenticationSASLContinue {}", text(&body[4..])),
            code => format!("Authentication {code}"),
        },
        b'S' => format!("ParameterStatus {}", text(body).replace('\0', "=")),
        b'K' => "BackendKeyData".to_owned(),
        b'Z' => format!("ReadyForQuery {}", body[0] as char),
        b'1' => "ParseComplete".to_owned(),
        b'2' => "BindComplete".to_owned(),
        b'3' => "CloseComplete".to_owned(),
        b'n' => "NoData".to_owned(),
        b's' => "PortalSuspended".to_owned(),
        b'I' => "EmptyQueryResponse".to_owned(),
        b'C' => format!("CommandComplete {}", text(body)),
        b'c' => "CopyDone".to_owned(),
        b'd' => format!("CopyData {:?}", text(body)),
        b'G' => format!("CopyInResponse {} columns", i16_at(1)),
        b'H' => format!("CopyOutResponse {} columns", i16_at(1)),
        b'v' => format!("NegotiateProtocolVersion {}.{}", i16_at(0), i16_at(2)),
        b't' => {
            let oids: Vec<String> = (0..i16_at(0) as usize)
                .map(|n| i32_at(2 + 4 * n).to_string())
                .collect();
            format!("ParameterDescription {}", oids.join(" "))
        }
        b'T' => {
            let mut shown = "RowDescription".to_owned();
            let mut rest = &body[2..];
            while !rest.is_empty() {
                let end = rest.iter().position(|byte| *byte == 0).unwrap();
                let oid = u32::from_be_bytes(rest[end + 7..end + 11].try_into().unwrap());
                let format = i16::from_be_bytes(rest[end + 17..end + 19].try_into().unwrap());
                write!(shown, " {}:{oid}:{format}", text(&rest[..end])).unwrap();
                rest = &rest[end + 19..];
            }
            shown
        }
        b'D' => {
            let mut shown = "DataRow".to_owned();
            let mut at = 2;
            for _ in 0..i16_at(0) {
                let length = i32_at(at);
                at += 4;
                if length < 0 {
                    shown.push_str(" NULL");
                } else {
                    let value = &body[at..at + length as usize];
                    at += length as usize;
                    write!(shown, " {}", value.escape_ascii()).unwrap();
                }
            }
            shown
        }
        b'E' | b'N' => {
            let mut fields: Vec<(u8, String)> = Vec::new();
            for part in body
                .split(|byte| *byte == 0)
                .filter(|part| !part.is_empty())
            {
                fields.push((part[0], text(&part[1..])));
            }
            let get = |letter| {
                fields
                    .iter()
                    .find(|(l, _)| *l == letter)
                    .map_or("", |(_, v)| v)
            };
            let name = if kind == b'E' { "Error" } else { "Notice" };
            format!("{name} {} {} {}", get(b'S'), get(b'C'), get(b'M'))
        }
        kind => format!("unknown message {kind}"),
    }
}
