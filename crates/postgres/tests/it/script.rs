//! Runs `testdata/wire/*.txt`: blocks of bytes to send, `----`, and the answers.
//!
//! Lines of a block are sent as one packet:
//! - `connect`: a new connection (also the first line of a file's first block)
//! - `startup name=value …`, `packet <bytes>`: messages before the login
//! - `<type> <fields>`: a message, its fields as below
//! - `raw <bytes>`: bytes as they are
//! - `until <message>`: wait for this one instead of ReadyForQuery
//!
//! Fields: `"text"` (with a zero byte behind, `\xNN` and `\n` inside), `'text'` (without), `i16:n`,
//! `i32:n`, `i8:n`, `x<hex>`, `text*n` (a text repeated). `UPDATE=1` writes the answers.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use crate::raw::{Raw, message, packet, startup};
use crate::support::TestServer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_get_the_answers_in_their_files() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/wire");
    let update = std::env::var_os("UPDATE").is_some();
    let mut differing = Vec::new();
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for path in files {
        let server = TestServer::trusting().await;
        let expected = fs::read_to_string(&path).unwrap();
        let found = run(&expected, server.address()).await;
        if found != expected {
            if update {
                fs::write(&path, &found).unwrap();
            } else {
                differing.push(format!("{}:\n{found}", path.display()));
            }
        }
        server.stop().await;
    }
    assert!(differing.is_empty(), "{}", differing.join("\n\n"));
}

async fn run(script: &str, address: SocketAddr) -> String {
    let mut raw = Raw::connect(address).await;
    let mut out = Vec::new();
    for block in script.trim_end().split("\n\n") {
        let command = block.split("\n----").next().unwrap();
        let mut bytes = Vec::new();
        let mut until = "ReadyForQuery";
        let mut sends = false;
        for line in command.lines().filter(|line| !line.starts_with('#')) {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            sends = true;
            match word {
                "connect" => raw = Raw::connect(address).await,
                "login" => raw = Raw::started(address).await,
                "startup" => {
                    let parameters: Vec<_> = rest
                        .split(' ')
                        .filter_map(|pair| pair.split_once('='))
                        .collect();
                    bytes.extend(startup(&parameters));
                }
                "packet" => bytes.extend(packet(&fields(rest))),
                "raw" => bytes.extend(fields(rest)),
                "until" => until = rest,
                kind => bytes.extend(message(kind.as_bytes()[0], &fields(rest))),
            }
        }
        if !sends || (bytes.is_empty() && until == "ReadyForQuery") {
            out.push(block.to_owned());
            continue;
        }
        raw.send(&bytes).await;
        let answers = if until == "byte" {
            vec![match raw.byte().await {
                Some(byte) => format!("byte {}", byte as char),
                None => "closed".to_owned(),
            }]
        } else {
            raw.answers(until).await
        };
        out.push(format!("{command}\n----\n{}", answers.join("\n")));
    }
    out.join("\n\n") + "\n"
}

/// Bytes of a line's fields.
fn fields(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let end = match rest.as_bytes()[0] {
            quote @ (b'"' | b'\'') => {
                let end = 1 + rest[1..].find(quote as char).unwrap();
                let text = unescape(&rest[1..end]);
                let times = rest[end + 1..]
                    .strip_prefix('*')
                    .map(|times| times.split(' ').next().unwrap().parse::<usize>().unwrap());
                for _ in 0..times.unwrap_or(1) {
                    bytes.extend_from_slice(&text);
                }
                if quote == b'"' {
                    bytes.push(0);
                }
                rest[end..]
                    .find(' ')
                    .map_or(rest.len(), |space| end + space)
            }
            _ => {
                let end = rest.find(' ').unwrap_or(rest.len());
                let word = &rest[..end];
                if let Some(value) = word.strip_prefix("i16:") {
                    bytes.extend(value.parse::<i16>().unwrap().to_be_bytes());
                } else if let Some(value) = word.strip_prefix("i32:") {
                    bytes.extend(value.parse::<i32>().unwrap().to_be_bytes());
                } else if let Some(value) = word.strip_prefix("i8:") {
                    bytes.extend(value.parse::<u8>().unwrap().to_be_bytes());
                } else if let Some(hex) = word.strip_prefix('x') {
                    bytes.extend(
                        (0..hex.len() / 2)
                            .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()),
                    );
                } else {
                    panic!("what is {word} in {line}?");
                }
                end
            }
        };
        rest = rest[end..].trim_start();
    }
    bytes
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match chars.next() {
            Some('n') => bytes.push(b'\n'),
            Some('t') => bytes.push(b'\t'),
            Some('x') => {
                let hex: String = chars.by_ref().take(2).collect();
                bytes.push(u8::from_str_radix(&hex, 16).unwrap());
            }
            other => panic!("unknown escape {other:?}"),
        }
    }
    bytes
}
