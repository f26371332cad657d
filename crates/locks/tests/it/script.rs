//! Data-driven tests: `testdata/*.txt`, commands above `----`, replies below.
//! `UPDATE=1` writes the replies; read the diff.
//!
//! Commands: `acquire txn=1 mode=X on=row(7,1) [nowait] [skip] [ms=100] [key=abc]`,
//! `release txn=1 [on=...]`, `weaken txn=1 mode=S on=...`, `mark txn=1`, `release-to-mark txn=1`,
//! `cancel txn=1`, `session txn=1 group=1` (before its first lock), `advance ms=10`,
//! `statement txn=1 <text>`, `idle txn=1`, `work txn=1 rows=3`, `priority txn=1 is=-1`,
//! `restarts txn=1 is=2`, `locks`, `waits`, `history`, `deadlocks`, `profile on|off|show|folded|reset`.
//! A reply line `-> 2: ...` tells how the waiting request of transaction 2 ended.
//! Time stands still but for `advance`. Searches for deadlocks do not wait.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tessera_locks::{
    Grant, LockError, LockManager, LockManagerOptions, LockOptions, Mark, Mode, Owner, Request,
    Resource, SessionGroup, Wait,
};
use tessera_types::{RelationId, TxnId};

type Pending = Pin<Box<dyn Future<Output = Result<Grant, LockError>>>>;

struct Script {
    locks: Arc<LockManager>,
    owners: BTreeMap<u64, Arc<Owner>>,
    marks: BTreeMap<u64, Mark>,
    pending: BTreeMap<u64, Pending>,
    sessions: BTreeMap<u64, SessionGroup>,
}

impl Script {
    fn new() -> Self {
        let options = LockManagerOptions {
            escalate_rows: 4,
            escalate_rows_max: 8,
            deadlock_delay_min: Duration::ZERO,
            deadlock_delay_max: Duration::ZERO,
        };
        Script {
            locks: Arc::new(LockManager::new(options)),
            owners: BTreeMap::new(),
            marks: BTreeMap::new(),
            pending: BTreeMap::new(),
            sessions: BTreeMap::new(),
        }
    }

    async fn run(&mut self, command: &str) -> String {
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
                let deadline = value("ms").map(|ms| {
                    let ms = ms.parse().expect("a number");
                    (tokio::time::Instant::now() + Duration::from_millis(ms)).into_std()
                });
                let key = value("key").map(|key| key.as_bytes().to_vec());
                let mut future: Pending = Box::pin(async move {
                    let request = Request {
                        resource,
                        mode,
                        key: key.as_deref(),
                        options: LockOptions { wait, deadline },
                    };
                    locks.lock(&owner, &request).await
                });
                match poll(&mut future) {
                    Poll::Ready(result) => describe(&result, &mut reply),
                    Poll::Pending => {
                        reply.push_str("waits\n");
                        self.pending.insert(txn, future);
                    }
                }
            }
            "release" => match value("on") {
                None => self.locks.release_all(&owner),
                Some(on) => {
                    let was = self.locks.release_one(&owner, parse_resource(on));
                    let _ = writeln!(reply, "was {}", was.map_or("free", Mode::name));
                }
            },
            "weaken" => {
                let mode = Mode::from_name(value("mode").expect("mode=")).expect("a mode");
                let resource = parse_resource(value("on").expect("on="));
                let _ = writeln!(reply, "{}", self.locks.weaken(&owner, resource, mode));
            }
            "session" => {
                let group = value("group").expect("group=").parse().expect("a number");
                let group = self.sessions.entry(group).or_default();
                let owner = Owner::in_session(TxnId(txn), group);
                self.owners.insert(txn, Arc::new(owner));
            }
            "advance" => {
                let ms = value("ms").expect("ms=").parse().expect("a number");
                tokio::time::advance(Duration::from_millis(ms)).await;
            }
            "idle" => owner.set_statement(None),
            "work" => owner.add_work(value("rows").expect("rows=").parse().expect("a number")),
            "priority" => owner.set_priority(value("is").expect("is=").parse().expect("a number")),
            "restarts" => owner.set_restarts(value("is").expect("is=").parse().expect("a number")),
            "waits" | "history" | "deadlocks" | "profile" => self.show(verb, &words, &mut reply),
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
                    let fast = if lock.fast { " (fast)" } else { "" };
                    let _ = write!(
                        reply,
                        "{} {what} {} on {}{fast}",
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

    fn show(&self, what: &str, words: &[&str], out: &mut String) {
        let text = |text: &Option<Arc<str>>| text.as_deref().unwrap_or("?").to_owned();
        let keyed = |resource: Resource, key: &Option<Box<[u8]>>| match key {
            Some(key) => format!("{resource} ({})", String::from_utf8_lossy(key)),
            None => resource.to_string(),
        };
        match what {
            "waits" => {
                for wait in self.locks.waits() {
                    let _ = writeln!(
                        out,
                        "{} wants {} on {} for {} ms behind {}: {}",
                        wait.txn,
                        wait.mode,
                        keyed(wait.resource, &wait.key),
                        wait.waited.as_millis(),
                        wait.ahead,
                        text(&wait.statement)
                    );
                    for blocker in wait.blockers {
                        let verb = if blocker.granted { "holds" } else { "wants" };
                        let idle = if blocker.is_idle { ", idle" } else { "" };
                        let _ = writeln!(
                            out,
                            "  {} {verb} {}{idle}: {}",
                            blocker.txn,
                            blocker.mode,
                            text(&blocker.statement)
                        );
                    }
                }
            }
            "history" => {
                for wait in self.locks.recent_waits() {
                    let _ = writeln!(
                        out,
                        "{} wanted {} on {}: {:?} after {} ms: {}; blocked by {}: {}",
                        wait.txn,
                        wait.mode,
                        keyed(wait.resource, &wait.key),
                        wait.outcome,
                        wait.waited.as_millis(),
                        text(&wait.statement),
                        wait.blocker.map_or(0, |txn| txn.0),
                        text(&wait.blocker_statement)
                    );
                }
            }
            "deadlocks" => {
                for deadlock in self.locks.recent_deadlocks() {
                    let _ = writeln!(out, "by {:?}", deadlock.policy);
                    for member in deadlock.cycle {
                        let _ = writeln!(
                            out,
                            "  {} wants {} on {} after {} ms, {} rows, {} locks, priority {}, \
                             restarts {}",
                            member.txn,
                            member.mode,
                            keyed(member.resource, &member.key),
                            member.waited.as_millis(),
                            member.work,
                            member.locks,
                            member.priority,
                            member.restarts
                        );
                    }
                }
            }
            _ => match words[0] {
                "on" => self.locks.set_profiling(true),
                "off" => self.locks.set_profiling(false),
                "reset" => self.locks.reset_profile(),
                "folded" => out.push_str(&self.locks.folded()),
                _ => {
                    for row in self.locks.profile() {
                        let _ = writeln!(
                            out,
                            "{} x {} us: {}; {}; {}",
                            row.count,
                            row.total.as_micros(),
                            text(&row.waiting),
                            row.resource.map_or("?".to_owned(), |r| keyed(r, &row.key)),
                            text(&row.blocking)
                        );
                    }
                }
            },
        }
        if out.is_empty() {
            out.push_str("none\n");
        }
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
            for line in report.hint.iter() {
                let _ = writeln!(out, "  hint: {line}");
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
        Some("advisory") => Resource::Advisory(inner(text)[0], inner(text)[1]),
        Some("row") => Resource::Row(RelationId(inner(text)[0] as u32), inner(text)[1]),
        _ => panic!("unknown resource {text}"),
    }
}

#[tokio::test(start_paused = true)]
async fn scripts_print_what_their_files_say() {
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
            let mut reply = String::new();
            for command in commands.lines() {
                reply.push_str(&script.run(command).await);
            }
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
