//! Data-driven tests: `testdata/*.txt`, commands above `----`, replies below.
//! `UPDATE=1` writes the replies; read the diff.
//!
//! Commands: `acquire txn=1 mode=X on=row(7,1) [nowait] [skip]`, `release txn=1`, `mark txn=1`,
//! `release-to-mark txn=1`, `cancel txn=1`, `statement txn=1 <text>`, `locks`.
//! A reply line `-> 2: ...` tells how the waiting request of transaction 2 ended.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tessera_locks::{
    Grant, LockError, LockManager, LockManagerOptions, LockOptions, Mark, Mode, Owner, Resource,
    Wait,
};
use tessera_types::{RelationId, TxnId};

type Pending = Pin<Box<dyn Future<Output = Result<Grant, LockError>>>>;

struct Script {
    locks: Arc<LockManager>,
    owners: BTreeMap<u64, Arc<Owner>>,
    marks: BTreeMap<u64, Mark>,
    pending: BTreeMap<u64, Pending>,
}

impl Script {
    fn new() -> Self {
        let options = LockManagerOptions {
            escalate_rows: 4,
            escalate_rows_max: 8,
        };
        Script {
            locks: Arc::new(LockManager::new(options)),
            owners: BTreeMap::new(),
            marks: BTreeMap::new(),
            pending: BTreeMap::new(),
        }
    }

    fn run(&mut self, command: &str) -> String {
        let mut words = command.split_whitespace();
        let verb = words.next().expect("a verb");
        let words: Vec<&str> = words.collect();
        let value = |name: &str| {
            words
                .iter()
                .find_map(|w| w.strip_prefix(name).and_then(|w| w.strip_prefix('=')))
        };
        let txn: u64 = value("txn").map_or(0, |txn| txn.parse().expect("a number"));
        let owner = Arc::clone(
            self.owners
                .entry(txn)
                .or_insert_with(|| Arc::new(Owner::new(TxnId(txn)))),
        );
        let mut reply = String::new();
        match verb {
            "acquire" => {
                let mode = Mode::from_name(value("mode").expect("mode=")).expect("a mode");
                let resource = parse_resource(value("on").expect("on="));
                let wait = match (words.contains(&"nowait"), words.contains(&"skip")) {
                    (true, _) => Wait::NoWait,
                    (_, true) => Wait::SkipLocked,
                    _ => Wait::Block,
                };
                let locks = Arc::clone(&self.locks);
                let mut future: Pending = Box::pin(async move {
                    let options = LockOptions {
                        wait,
                        deadline: None,
                    };
                    locks
                        .acquire_with_parents(&owner, resource, mode, &options)
                        .await
                });
                match poll(&mut future) {
                    Poll::Ready(result) => describe(&result, &mut reply),
                    Poll::Pending => {
                        reply.push_str("waits\n");
                        self.pending.insert(txn, future);
                    }
                }
            }
            "release" => self.locks.release_all(&owner),
            "mark" => {
                self.marks.insert(txn, owner.mark());
            }
            "release-to-mark" => self.locks.release_to(&owner, self.marks[&txn]),
            "cancel" => drop(self.pending.remove(&txn)),
            "statement" => {
                let text = words[1..].join(" ");
                owner.set_statement(Some(text.into()));
            }
            "locks" => {
                for lock in self.locks.snapshot() {
                    let what = if lock.granted { "holds" } else { "wants" };
                    let _ = write!(
                        reply,
                        "{} {what} {} on {}",
                        lock.txn, lock.mode, lock.resource
                    );
                    if !lock.granted {
                        let blockers: Vec<_> =
                            lock.blocked_by.iter().map(ToString::to_string).collect();
                        let _ = write!(reply, ", blocked by {}", blockers.join(" "));
                    }
                    reply.push('\n');
                }
                if reply.is_empty() {
                    reply.push_str("none\n");
                }
            }
            other => panic!("unknown command {other}"),
        }
        for (txn, mut future) in std::mem::take(&mut self.pending) {
            match poll(&mut future) {
                Poll::Ready(result) => {
                    let _ = write!(reply, "-> {txn}: ");
                    describe(&result, &mut reply);
                }
                Poll::Pending => {
                    self.pending.insert(txn, future);
                }
            }
        }
        if reply.is_empty() {
            reply.push_str("ok\n");
        }
        reply
    }
}

fn poll(future: &mut Pending) -> Poll<Result<Grant, LockError>> {
    future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
}

fn describe(result: &Result<Grant, LockError>, out: &mut String) {
    match result {
        Ok(grant) => {
            let _ = writeln!(out, "{grant:?}");
        }
        Err(error) => {
            let report = error.report();
            let _ = writeln!(out, "{} {}", report.code, report.message);
            for line in report.detail.iter().flat_map(|detail| detail.lines()) {
                let _ = writeln!(out, "  {line}");
            }
        }
    }
}

fn parse_resource(text: &str) -> Resource {
    let inner = |text: &str| -> Vec<u64> {
        let inside = &text[text.find('(').expect("(") + 1..text.len() - 1];
        inside
            .split(',')
            .map(|number| number.parse().expect("a number"))
            .collect()
    };
    match text.split('(').next() {
        Some("database") => Resource::Database,
        Some("relation") => Resource::Relation(RelationId(inner(text)[0] as u32)),
        Some("row") => Resource::Row(RelationId(inner(text)[0] as u32), inner(text)[1]),
        _ => panic!("unknown resource {text}"),
    }
}

#[test]
fn scripts_print_what_their_files_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let update = std::env::var_os("UPDATE").is_some();
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let mut script = Script::new();
        let mut out = String::new();
        for block in text
            .split("\n\n")
            .map(str::trim_end)
            .filter(|block| !block.is_empty())
        {
            if block.starts_with('#') {
                // A comment block begins a new, empty lock table.
                script = Script::new();
                let _ = write!(out, "{block}\n\n");
                continue;
            }
            let commands = block.split("\n----").next().expect("commands").trim();
            let reply: String = commands
                .lines()
                .map(|command| script.run(command))
                .collect();
            let _ = write!(out, "{commands}\n----\n{}\n\n", reply.trim_end());
        }
        let out = format!("{}\n", out.trim_end());
        if update {
            std::fs::write(&file, &out).unwrap();
            continue;
        }
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(text.trim_end(), out.trim_end(), "{name}");
    }
}
