//! Kills a process that writes, again and again, and compares what is left with what it had
//! been told.
//!
//! The parent keeps the expected state outside of the store: the child reports on its standard
//! output what it begins and what was acknowledged. Half of the rounds end with SIGKILL at a
//! random moment, the other half at the n-th passing of a fail point. `TESSERA_CRASH_ROUNDS` sets
//! the number of rounds, `TESSERA_CRASH_SEED` replays them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::executor::block_on;
use tessera_environment::Environment;
use tessera_log::LogOptions;
use tessera_storage::{
    CommitOutcome, Durability, EmbeddedOptions, KeyRange, KeySpace, Mode, ScanOptions, Store,
    StoreError, Val, Write, WriteBatch, check, open_embedded,
};
use tessera_types::TxnId;

use crate::harness::{key, rows};

const ROUNDS_DEFAULT: u64 = 10;
const THREADS: u64 = 3;
const ACCOUNTS: u64 = 20;
const TOTAL: u64 = ACCOUNTS * 1_000;
/// Environment of the child: directory, and a fail point with the passing that kills.
const CHILD_DIR: &str = "TESSERA_CRASH_CHILD_DIR";
const CHILD_POINT: &str = "TESSERA_CRASH_CHILD_POINT";
const CHILD_PASSING: &str = "TESSERA_CRASH_CHILD_PASSING";
const CHILD_SEED: &str = "TESSERA_CRASH_CHILD_SEED";

/// Where a round may end. Every point is passed at every checkpoint, run or commit.
const POINTS: [&str; 10] = [
    "storage::commit::after_enqueue",
    "storage::commit::after_durable",
    "storage::commit::before_publish",
    "storage::run::before_finish",
    "storage::run::after_sync",
    "storage::base::before_finish",
    "storage::checkpoint::begin",
    "storage::checkpoint::after_space",
    "storage::checkpoint::after_record",
    "storage::checkpoint::after_switch",
];

/// SplitMix64 (Steele, Lea, Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

fn options(random: &mut Random) -> EmbeddedOptions {
    // Small, so that segments, checkpoints and level-0 runs change all the time; different at
    // every start.
    EmbeddedOptions {
        log: LogOptions {
            segment_bytes: (16 << random.below(4)) << 10,
            ..LogOptions::default()
        },
        checkpoint_bytes: (16 << random.below(5)) << 10,
        checkpoint_log_bytes: (64 << random.below(4)) << 10,
        row_cache_bytes: random.below(2) << 20,
        disk_reserve_bytes: 0,
        ..EmbeddedOptions::default()
    }
}

fn number(value: &Val) -> u64 {
    u64::from_be_bytes(value[..8].try_into().unwrap())
}

fn encoded(number: u64, padding: u64) -> Val {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize(8 + padding as usize, 7);
    Val::from(bytes)
}

fn account(n: u64) -> Val {
    key(format!("account/{n:03}"))
}

fn history(thread: u64, n: u64) -> Val {
    key([&thread.to_be_bytes()[..], &n.to_be_bytes()].concat())
}

fn counter(thread: u64) -> Val {
    key(format!("counter/{thread}"))
}

fn read(store: &Arc<dyn Store>, space: KeySpace, k: &Val) -> Option<u64> {
    block_on(store.snapshot().get(space, k))
        .unwrap()
        .map(|value| number(&value))
}

// ---- the child ------------------------------------------------------------------------------

/// Not a test by itself: what the parent starts.
#[test]
fn child() {
    let Ok(dir) = std::env::var(CHILD_DIR) else {
        return;
    };
    let seed: u64 = std::env::var(CHILD_SEED).unwrap().parse().unwrap();
    if let Ok(point) = std::env::var(CHILD_POINT) {
        let passing: u64 = std::env::var(CHILD_PASSING).unwrap().parse().unwrap();
        let passed = AtomicU64::new(0);
        fail::cfg_callback(point, move || {
            if passed.fetch_add(1, Ordering::Relaxed) + 1 == passing {
                // Like SIGKILL: nothing is flushed, nothing is dropped.
                std::process::abort();
            }
        })
        .unwrap();
    }
    let mut random = Random(seed);
    let env = Environment::real();
    let store = open_embedded(&env, Path::new(&dir), options(&mut random)).unwrap();
    set_up(&store);
    say("ready");
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let mut random = Random(random.next());
            let store = &store;
            scope.spawn(move || transfers(store, thread, &mut random));
        }
    });
}

/// One line to the parent, in one write.
fn say(line: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("crash: {line}\n").as_bytes())
        .unwrap();
    out.flush().unwrap();
}

fn set_up(store: &Arc<dyn Store>) {
    let mut batch = WriteBatch::new(TxnId(0));
    for n in 0..ACCOUNTS {
        batch
            .writes
            .push((KeySpace::Rows, account(n), Write::Put(encoded(1_000, 0))));
    }
    batch.must_not_exist = vec![(KeySpace::Rows, account(0))];
    match block_on(store.commit(batch, None)) {
        CommitOutcome::Committed(_) | CommitOutcome::Aborted(StoreError::Conflict { .. }) => {}
        other => panic!("{other:?}"),
    }
}

fn transfers(store: &Arc<dyn Store>, thread: u64, random: &mut Random) {
    let start = read(store, KeySpace::Meta, &counter(thread)).unwrap_or(0);
    for n in start + 1.. {
        let durable = random.below(4) != 0;
        say(format_args!("begin {thread} {n}"));
        while !transfer(store, thread, n, durable, random) {}
        if durable {
            say(format_args!("done {thread} {n}"));
        }
        if random.below(50) == 0 {
            let range = KeyRange::prefix(format!("scratch/{thread}/").as_bytes());
            store.destroy_range(KeySpace::Catalog, range).unwrap();
        }
    }
}

/// Moves money between two accounts that nobody else changes meanwhile; false to try again.
fn transfer(
    store: &Arc<dyn Store>,
    thread: u64,
    n: u64,
    durable: bool,
    random: &mut Random,
) -> bool {
    let (from, to) = (random.below(ACCOUNTS), random.below(ACCOUNTS));
    let padding = random.below(2_000);
    let snapshot = store.snapshot();
    let balance = |n| {
        number(
            &block_on(snapshot.get(KeySpace::Rows, &account(n)))
                .unwrap()
                .unwrap(),
        )
    };
    let mut writes = vec![
        (KeySpace::Meta, counter(thread), Write::Put(encoded(n, 0))),
        (
            KeySpace::Catalog,
            key(format!("scratch/{thread}/{n}")),
            Write::Put(encoded(n, 0)),
        ),
        (
            KeySpace::Indexes,
            history(thread, n),
            Write::Put(encoded(n, padding)),
        ),
    ];
    let mut batch = WriteBatch::new(TxnId(thread << 32 | n));
    if from != to && balance(from) > 0 {
        let (a, b) = (balance(from) - 1, balance(to) + 1);
        writes.push((
            KeySpace::Rows,
            account(from),
            Write::Put(encoded(a, padding)),
        ));
        writes.push((KeySpace::Rows, account(to), Write::Put(encoded(b, padding))));
        let since = snapshot.version();
        batch.must_be_unchanged = [from, to]
            .map(|n| (KeySpace::Rows, account(n), since))
            .to_vec();
    }
    writes.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    batch.must_not_exist = vec![(KeySpace::Indexes, history(thread, n))];
    batch.durability = if durable {
        Durability::Durable
    } else {
        Durability::Buffered
    };
    let run = (random.below(10) == 0).then(|| {
        let mut writer = store.begin_run().unwrap();
        for (space, key, write) in writes.drain(1..) {
            writer.add(space, key, write).unwrap();
        }
        writer.finish().unwrap()
    });
    batch.runs = run.iter().map(|run| run.id()).collect();
    batch.writes = writes;
    match block_on(store.commit(batch, None)) {
        CommitOutcome::Committed(_) => true,
        CommitOutcome::Aborted(StoreError::Conflict { key, .. }) => {
            assert!(key.starts_with(b"account/"), "a history row exists already");
            false
        }
        other => panic!("{other:?}"),
    }
}

// ---- the parent -----------------------------------------------------------------------------

/// What the child said, by thread.
#[derive(Debug, Default, Clone)]
struct Expected {
    begun: BTreeMap<u64, u64>,
    done: BTreeMap<u64, u64>,
}

impl Expected {
    fn note(&mut self, line: &str) {
        // The harness of the child's test may share a line with us.
        let Some((_, said)) = line.split_once("crash: ") else {
            return;
        };
        let mut words = said.split_whitespace();
        let (word, mut number) = (words.next(), || words.next().and_then(|w| w.parse().ok()));
        let map = match word {
            Some("begin") => &mut self.begun,
            Some("done") => &mut self.done,
            _ => return,
        };
        if let (Some(thread), Some(n)) = (number(), number()) {
            map.insert(thread, n);
        }
    }
}

/// Runs the child until it dies. Says what it had been told, and whether it got to work.
fn run_child(dir: &Path, seed: u64, random: &mut Random, expected: &mut Expected) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "crash::child", "--nocapture", "--test-threads=1"])
        .env(CHILD_DIR, dir)
        .env(CHILD_SEED, seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let is_white_box = random.below(2) == 0;
    let context = if is_white_box {
        let point = POINTS[random.below(POINTS.len() as u64) as usize];
        // Commits are many, runs and checkpoints few.
        let passings = if point.contains("commit") { 2_000 } else { 12 };
        let passing = 1 + random.below(passings);
        command
            .env(CHILD_POINT, point)
            .env(CHILD_PASSING, passing.to_string());
        format!("{point} passed {passing} times")
    } else {
        "SIGKILL".to_owned()
    };
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // Fail points that are never reached end here too.
    let patience = Duration::from_millis(if is_white_box {
        5_000
    } else {
        30 + random.below(700)
    });
    let child = std::sync::Mutex::new(child);
    std::thread::scope(|scope| {
        let (dead, died) = std::sync::mpsc::channel::<()>();
        let child = &child;
        scope.spawn(move || {
            if died.recv_timeout(patience).is_err() {
                let _ = child.lock().unwrap().kill();
            }
        });
        for line in lines {
            match line {
                Ok(line) => expected.note(&line),
                Err(_) => break,
            }
        }
        let _ = dead.send(());
    });
    child.into_inner().unwrap().wait().unwrap();
    context
}

fn verify(dir: &Path, expected: &mut Expected, random: &mut Random, context: &str) {
    let env = Environment::real();
    let store = open_embedded(&env, dir, options(random))
        .unwrap_or_else(|error| panic!("{context}: {}", error.report().message));
    assert_eq!(store.mode(), Mode::ReadWrite, "{context}");
    let snapshot = store.snapshot();
    let accounts = rows(
        &snapshot,
        KeySpace::Rows,
        KeyRange::prefix(b"account/"),
        ScanOptions::default(),
    );
    let total: u64 = accounts.iter().map(|(_, value)| number(value)).sum();
    assert!(
        total == TOTAL || expected.begun.is_empty() && total == 0,
        "{context}: {total}"
    );
    for thread in 0..THREADS {
        let found = read(&store, KeySpace::Meta, &counter(thread)).unwrap_or(0);
        let done = expected.done.get(&thread).copied().unwrap_or(0);
        let begun = expected.begun.get(&thread).copied().unwrap_or(0);
        assert!(
            found >= done,
            "{context}: thread {thread} lost {found} < {done}"
        );
        assert!(
            found <= begun,
            "{context}: thread {thread} has {found} > {begun}"
        );
        let prefix = KeyRange::prefix(&thread.to_be_bytes());
        let past = rows(&snapshot, KeySpace::Indexes, prefix, ScanOptions::default());
        assert_eq!(
            past.len() as u64,
            found,
            "{context}: history of thread {thread}"
        );
        for (n, (k, value)) in (1..).zip(&past) {
            assert_eq!((k, number(value)), (&history(thread, n), n), "{context}");
        }
        // What was not acknowledged and is not there will be done again.
        expected.begun.insert(thread, found);
        expected.done.insert(thread, found);
    }
    drop(snapshot);
    if random.below(2) == 0 {
        block_on(store.close()).unwrap_or_else(|error| panic!("{context}: {error}"));
    }
    drop(store);
    if random.below(4) == 0 {
        let report = check(dir).unwrap();
        assert!(report.is_good(), "{context}: {report}");
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn a_killed_process_loses_nothing_it_was_told_is_safe() {
    let rounds = setting("TESSERA_CRASH_ROUNDS").unwrap_or(ROUNDS_DEFAULT);
    let seed = setting("TESSERA_CRASH_SEED").unwrap_or_else(|| Environment::real().random.u64());
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    let mut random = Random(seed);
    let mut expected = Expected::default();
    let mut context = String::new();
    for round in 0..rounds {
        let ended = run_child(&dir, random.next(), &mut random, &mut expected);
        context = format!("TESSERA_CRASH_SEED={seed} round {round}, ended by {ended}");
        eprintln!("{context}: {:?}", expected.done);
        verify(&dir, &mut expected, &mut random, &context);
    }
    let done: u64 = expected.done.values().sum();
    assert!(
        done > rounds,
        "{context}: the children hardly worked ({done} transfers)"
    );
}
