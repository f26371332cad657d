//! What Redis itself answers: the files in `testdata/reference`, replayed over a real redis-server 7.
//!
//! `TESSERA_REDIS_REFERENCE` names its address; it loses its data. Without it there is nothing to do,
//! and that is counted as skipped. `UPDATE=1` writes the answers into the files. `cargo xtask redis`
//! brings a server of its own.

#![expect(clippy::unwrap_used, reason = "a test ends where something fails")]
#![expect(
    clippy::print_stdout,
    reason = "the summary is what this program is for"
)]

#[path = "../it/notation.rs"]
mod notation;
#[path = "../it/wire.rs"]
mod wire;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use notation::{Entry, RESP3, Step, connection, entries, normal};
use wire::{encode, parse, words};

/// Longest wait for an answer.
const SOON: Duration = Duration::from_secs(30);
/// Its clock cannot be moved, so it is waited for, and a little longer.
const CLOCK_SLACK: Duration = Duration::from_millis(5);

struct Client {
    socket: TcpStream,
    input: Vec<u8>,
}

impl Client {
    fn connect(address: &str) -> Client {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        Client {
            socket,
            input: Vec::new(),
        }
    }

    fn send(&mut self, command: &str) {
        self.socket.write_all(&encode(&words(command))).unwrap();
    }

    fn answer(&mut self) -> String {
        loop {
            if let Some((value, used)) = parse(&self.input) {
                self.input.drain(..used);
                return value.shown();
            }
            let mut part = [0; 4096];
            let read = self.socket.read(&mut part).unwrap_or(0);
            if read == 0 {
                return "no answer".to_owned();
            }
            self.input.extend_from_slice(&part[..read]);
        }
    }

    fn run(&mut self, command: &str) -> String {
        self.send(command);
        self.answer()
    }
}

/// One file, over one server.
struct Run<'a> {
    address: &'a str,
    clients: HashMap<String, Client>,
}

impl<'a> Run<'a> {
    /// Makes the server as if it had just been started.
    fn start(address: &'a str) -> Run<'a> {
        let mut client = Client::connect(address);
        for command in [
            "client kill type normal skipme yes",
            "client kill type pubsub",
            "config set notify-keyspace-events \"\"",
            "flushall",
        ] {
            client.run(command);
        }
        Run {
            address,
            clients: HashMap::new(),
        }
    }

    fn client(&mut self, name: &str) -> &mut Client {
        let address = self.address;
        self.clients
            .entry(connection(name).to_owned())
            .or_insert_with(|| {
                let mut client = Client::connect(address);
                if name == RESP3 {
                    client.run("hello 3");
                }
                client
            })
    }

    fn answer(&mut self, entry: &Entry<'_>) -> Option<String> {
        match entry.step {
            Step::Text => None,
            Step::Advance(millis) => {
                std::thread::sleep(Duration::from_millis(millis) + CLOCK_SLACK);
                None
            }
            Step::Blocked(count) => {
                let wanted = format!("blocked_clients:{count}\\r\\n");
                let mut observer = Client::connect(self.address);
                let deadline = Instant::now() + SOON;
                while !observer.run("info clients").contains(&wanted) {
                    assert!(Instant::now() < deadline, "never {wanted}");
                }
                None
            }
            Step::Send(name, command) => {
                let client = self.client(name);
                client.send(command);
                if entry.blocks {
                    return None;
                }
                Some(normal(name, &client.answer()))
            }
            Step::Receive(name) => Some(self.client(name).answer()),
        }
    }
}

/// The file with the answers that the reference gives; and differences.
fn replay(address: &str, text: &str) -> (String, Vec<String>) {
    let mut out = String::new();
    let mut differences = Vec::new();
    let mut run = Run::start(address);
    for entry in entries(text) {
        if entry.line.starts_with("# ") {
            run = Run::start(address);
        }
        let answer = run.answer(&entry).unwrap_or_default();
        let expected = entry.answer.join("\n");
        if answer != expected {
            differences.push(format!(
                "{}\nexpected {expected}\nfound    {answer}",
                entry.line
            ));
        }
        out.push_str(entry.line);
        out.push('\n');
        for line in answer.lines() {
            out.push_str(line);
            out.push('\n');
        }
        if let Some((why, ours)) = &entry.ours {
            for line in std::iter::once(why).chain(ours) {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    (out, differences)
}

fn main() -> ExitCode {
    let Ok(address) = std::env::var("TESSERA_REDIS_REFERENCE") else {
        println!("0 passed, 0 failed, 1 skipped");
        return ExitCode::SUCCESS;
    };
    let is_update = std::env::var_os("UPDATE").is_some();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/reference");
    let (mut passed, mut failed) = (0, 0);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let (found, differences) = replay(&address, &text);
        if is_update {
            std::fs::write(&file, found).unwrap();
        } else if !differences.is_empty() {
            failed += 1;
            println!("FAILED  {}\n{}", file.display(), differences.join("\n"));
            continue;
        }
        passed += 1;
    }
    println!("{passed} passed, {failed} failed, 0 skipped");
    ExitCode::from(u8::from(failed > 0))
}
