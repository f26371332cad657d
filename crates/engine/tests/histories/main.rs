//! List-append histories mixed over keys, documents and rows.
//!
//! Method: sixteen sessions append to and read a few lists, in transactions that span all models;
//! many of them have two members that joined by token. `tessera-histories` looks at what they saw.
//! Property: nothing that the isolation level forbids; and every committed append is there.
//! The checker must have something to find: each level shows what the next one forbids, and flaws
//! put into the clients are found.
//!
//! `TESSERA_HISTORY_SEED` chooses what the sessions do; their interleaving is up to the scheduler.

#![expect(clippy::unwrap_used, reason = "a test ends where something fails")]
#![expect(clippy::print_stdout, reason = "shown if a test fails")]

mod lists;
mod workload;

use std::collections::BTreeSet;
use std::path::PathBuf;

use tessera_engine::{Engine, EngineOptions, Isolation, StoreKind};
use tessera_environment::Environment;
use tessera_histories::{Anomaly, Finding, Level, Outcome, Step, Txn, check};

use workload::{Flaw, run};

/// Runs in which an anomaly must show that is likely in each.
const ATTEMPTS_MAX: u64 = 12;

fn seed() -> u64 {
    match std::env::var("TESSERA_HISTORY_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => u64::from(std::process::id()),
    }
}

fn judged_as(level: Isolation) -> Level {
    match level {
        Isolation::ReadCommitted => Level::ReadCommitted,
        Isolation::RepeatableRead => Level::Snapshot,
        Isolation::Serializable => Level::Serializable,
    }
}

fn stores() -> [EngineOptions; 2] {
    let (environment, _) = Environment::simulated(1);
    let durable = EngineOptions {
        data_dir: PathBuf::from("/data"),
        environment,
        store: StoreKind::Simulated,
        admin_password: Some("secret".to_owned()),
        // Some transactions spill.
        write_buffer_bytes_max: 2 << 10,
        ..EngineOptions::default()
    };
    [EngineOptions::memory(), durable]
}

async fn history_of(options: EngineOptions, level: Isolation, flaw: Flaw, seed: u64) -> Vec<Txn> {
    let engine = Engine::open(options).await.unwrap();
    let history = run(&engine, level, flaw, seed).await;
    engine.close().await.unwrap();
    let committed = history
        .iter()
        .filter(|txn| txn.outcome == Outcome::Committed);
    println!("{} of {} committed", committed.count(), history.len());
    history
}

/// What a history shows, and that the last reader saw every append that was acknowledged.
fn findings(history: &[Txn]) -> Vec<Finding> {
    let mut found = check(history);
    let Some(Step::ReadAll(lists)) = history.last().and_then(|txn| txn.steps.first()) else {
        panic!("the last transaction reads everything");
    };
    let there: BTreeSet<_> = lists.values().flatten().copied().collect();
    let committed = history
        .iter()
        .filter(|txn| txn.outcome == Outcome::Committed);
    for step in committed.flat_map(|txn| &txn.steps) {
        if let Step::Append(key, element) = step
            && !there.contains(element)
        {
            found.push(Finding {
                anomaly: Anomaly::Incompatible,
                detail: format!("the append of {element} to {key} is lost"),
            });
            break;
        }
    }
    found
}

fn forbidden(found: &[Finding], level: Level) -> Option<&Finding> {
    found.iter().find(|finding| level.forbids(finding.anomaly))
}

async fn no_forbidden_anomaly(level: Isolation) {
    let seed = seed();
    for options in stores() {
        let store = options.store;
        println!("{level:?} over {store:?}: TESSERA_HISTORY_SEED={seed}");
        let history = history_of(options, level, Flaw::None, seed).await;
        let found = findings(&history);
        for finding in &found {
            println!("found {finding}");
        }
        if let Some(bad) = forbidden(&found, judged_as(level)) {
            for (at, txn) in history.iter().enumerate() {
                println!("T{at}: {:?} {:?}", txn.outcome, txn.steps);
            }
            panic!("{level:?} over {store:?}, seed {seed}: {bad}");
        }
    }
}

/// Runs until the history shows something that `judge` forbids.
async fn is_found(level: Isolation, flaw: Flaw, judge: Level) {
    let seed = seed();
    for attempt in 0..ATTEMPTS_MAX {
        let history = history_of(EngineOptions::memory(), level, flaw, seed + attempt).await;
        if let Some(finding) = forbidden(&findings(&history), judge) {
            println!("attempt {attempt}: {finding}");
            return;
        }
    }
    panic!("{level:?} with {flaw:?} shows nothing that {judge:?} forbids, seed {seed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn read_committed_has_no_dirty_reads_or_writes_over_all_models() {
    no_forbidden_anomaly(Isolation::ReadCommitted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn repeatable_read_is_snapshot_isolation_over_all_models() {
    no_forbidden_anomaly(Isolation::RepeatableRead).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn serializable_has_no_anomaly_over_all_models() {
    no_forbidden_anomaly(Isolation::Serializable).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_level_shows_what_the_next_one_forbids() {
    is_found(Isolation::ReadCommitted, Flaw::None, Level::Snapshot).await;
    is_found(Isolation::RepeatableRead, Flaw::None, Level::Serializable).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn reads_outside_of_the_transaction_are_found() {
    for level in [Isolation::RepeatableRead, Isolation::Serializable] {
        is_found(level, Flaw::ReadsOutside, judged_as(level)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writes_from_what_was_read_without_a_lock_are_found() {
    let level = Isolation::ReadCommitted;
    is_found(level, Flaw::WritesWhatItRead, judged_as(level)).await;
}
