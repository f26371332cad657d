//! Data-driven tests: commands and their answers, in the notation of redis-cli.
//!
//! ```text
//! # blpop: who waits is served
//! a> blpop l 0
//! until 1 blocked
//! > rpush l x
//! (integer) 1
//! a<
//! 1) "l"
//! 2) "x"
//! advance 1500
//! ```
//! A block begins with the commands that it tests, and has a server of its own. `name>` is another
//! connection. Before `until` no answer is read; `name<` reads it later. `advance` moves the clock
//! by milliseconds. `UPDATE=1` writes the answers.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::{Client, TestServer};

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// What the other tests say they test.
const ELSEWHERE: [&str; 2] = [include_str!("login.rs"), include_str!("transactions.rs")];

/// Commands that the blocks, or the heads of other tests, say they test.
pub(crate) fn tested_commands() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in ELSEWHERE.iter().flat_map(|text| text.lines()) {
        if let Some(commands) = line.strip_prefix("//! Commands: ") {
            names.extend(commands.split(", ").map(str::to_owned));
        }
    }
    for file in files() {
        let text = std::fs::read_to_string(file).unwrap();
        for line in text.lines() {
            let head = line.strip_prefix("# ");
            if let Some((commands, _)) = head.and_then(|line| line.split_once(": ")) {
                names.extend(commands.split(", ").map(str::to_owned));
            }
        }
    }
    names
}

enum Step<'a> {
    Text,
    Send(&'a str, &'a str),
    Receive(&'a str),
    Advance(u64),
    Blocked(usize),
}

/// What a line means; none for a part of an answer.
fn step(line: &str) -> Option<Step<'_>> {
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase());
    if line.is_empty() || line.starts_with("# ") {
        Some(Step::Text)
    } else if let Some(millis) = line.strip_prefix("advance ") {
        Some(Step::Advance(millis.parse().unwrap()))
    } else if let Some(rest) = line.strip_prefix("until ") {
        let count = rest.strip_suffix(" blocked").unwrap();
        Some(Step::Blocked(count.parse().unwrap()))
    } else if let Some((name, command)) = line.split_once("> ")
        && is_name(name)
    {
        Some(Step::Send(name, command))
    } else if let Some(name) = line.strip_suffix('<')
        && is_name(name)
    {
        Some(Step::Receive(name))
    } else {
        None
    }
}

struct Run {
    server: TestServer,
    clients: HashMap<String, Client>,
}

impl Run {
    async fn start() -> Run {
        Run {
            server: TestServer::start().await,
            clients: HashMap::new(),
        }
    }

    async fn client(&mut self, name: &str) -> &mut Client {
        if !self.clients.contains_key(name) {
            let client = self.server.client().await;
            self.clients.insert(name.to_owned(), client);
        }
        self.clients.get_mut(name).unwrap()
    }
}

/// The file with the answers that it gets.
async fn replay(text: &str) -> String {
    let mut out = String::new();
    let mut run = Run::start().await;
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("# ") {
            run = Run::start().await;
        }
        out.push_str(line);
        out.push('\n');
        while lines.next_if(|next| step(next).is_none()).is_some() {}
        let answer = match step(line) {
            None => panic!("the file begins with an answer: {line}"),
            Some(Step::Text) => None,
            Some(Step::Advance(millis)) => {
                run.server.simulation.advance(Duration::from_millis(millis));
                None
            }
            Some(Step::Blocked(count)) => {
                run.server.until_blocked(count).await;
                None
            }
            Some(Step::Send(name, command)) => {
                let blocks = lines.peek().is_some_and(|next| next.starts_with("until "));
                let client = run.client(name).await;
                client.send(command).await;
                if blocks {
                    None
                } else {
                    Some(client.answer().await)
                }
            }
            Some(Step::Receive(name)) => Some(run.client(name).await.answer().await),
        };
        if let Some(answer) = answer {
            out.push_str(&answer);
            out.push('\n');
        }
    }
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_answer_as_the_files_say() {
    let is_update = std::env::var_os("UPDATE").is_some();
    let mut faults = Vec::new();
    for file in files() {
        let text = std::fs::read_to_string(&file).unwrap();
        let found = replay(&text).await;
        if found == text {
            continue;
        }
        if is_update {
            std::fs::write(&file, found).unwrap();
            continue;
        }
        let mut block = "";
        for (expected, found) in text.lines().zip(found.lines()) {
            if expected.starts_with("# ") {
                block = expected;
            }
            if expected != found {
                let file = file.display();
                faults.push(format!(
                    "{file}\n  {block}\n  expected {expected}\n  found    {found}"
                ));
                break;
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
