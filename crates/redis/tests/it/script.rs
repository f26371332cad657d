//! Data-driven tests: commands and their answers, in the notation of `notation`.
//!
//! Files in `testdata/reference` hold the answers of Redis itself; the test target `reference` writes
//! and checks them. Here they are only compared. Of the other files, and of answers that are ours
//! alone, `UPDATE=1` writes what is answered.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::notation::{Entry, RESP3, Step, connection, entries, normal};
use crate::support::{Client, SOON, TestServer};

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

const OWN: &str = "testdata";
const REFERENCE: &str = "testdata/reference";

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
    for file in files(OWN).into_iter().chain(files(REFERENCE)) {
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
        let name = connection(name);
        if !self.clients.contains_key(name) {
            let mut client = self.server.client().await;
            if name == RESP3 {
                client.run("hello 3").await;
            }
            self.clients.insert(name.to_owned(), client);
        }
        self.clients.get_mut(name).unwrap()
    }

    /// The answer that a line gets; none if it gets none.
    async fn answer(&mut self, entry: &Entry<'_>) -> Option<String> {
        match entry.step {
            Step::Text => None,
            Step::Advance(millis) => {
                self.server
                    .simulation
                    .advance(Duration::from_millis(millis));
                None
            }
            Step::Blocked(count) => {
                self.server.until_blocked(count).await;
                None
            }
            Step::Send(name, command) => {
                let client = self.client(name).await;
                client.send(command).await;
                if entry.blocks {
                    return None;
                }
                Some(normal(name, &answer_of(client).await))
            }
            Step::Receive(name) => Some(answer_of(self.client(name).await).await),
        }
    }
}

/// The next answer, or that there is none.
async fn answer_of(client: &mut Client) -> String {
    let answer = tokio::time::timeout(SOON / 2, client.maybe_answer()).await;
    answer.ok().flatten().unwrap_or("no answer".to_owned())
}

/// The file with the answers that it gets, where they are to be ours.
async fn replay(text: &str) -> String {
    let mut out = String::new();
    let mut run = Run::start().await;
    for entry in entries(text) {
        if entry.line.starts_with("# ") {
            run = Run::start().await;
        }
        let answer = run.answer(&entry).await;
        let mut lines = vec![entry.line];
        if let Some((why, _)) = entry.ours {
            lines.extend(&entry.answer);
            lines.push(why);
        }
        lines.extend(answer.as_deref());
        for line in lines {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// Where a file and what it got differ first.
fn difference(file: &Path, text: &str, found: &str) -> Option<String> {
    let mut block = "";
    let mut command = "";
    let mut found = found.lines();
    for expected in text.lines() {
        if expected.starts_with("# ") {
            block = expected;
        } else if expected.contains("> ") {
            command = expected;
        }
        let found = found.next().unwrap_or_default();
        if expected != found {
            let file = file.display();
            return Some(format!(
                "{file}\n  {block}\n  {command}\n  expected {expected}\n  found    {found}"
            ));
        }
    }
    None
}

async fn check(folder: &str) {
    let is_update = std::env::var_os("UPDATE").is_some();
    let mut faults = Vec::new();
    for file in files(folder) {
        let text = std::fs::read_to_string(&file).unwrap();
        let found = replay(&text).await;
        if found == text {
            continue;
        }
        if is_update {
            std::fs::write(&file, found).unwrap();
            continue;
        }
        faults.extend(difference(&file, &text, &found));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_answer_as_the_files_say() {
    check(OWN).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_answer_as_redis_does() {
    check(REFERENCE).await;
}
