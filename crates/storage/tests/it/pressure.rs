//! Memory for recent versions: what hot keys cost, what old snapshots may pin, how writers wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use tessera_environment::Environment;
use tessera_storage::{CommitOutcome, EmbeddedOptions, Store, StoreError};

use crate::harness::{
    ROWS, checkpoint, commit, error, get, now, open, put, put_buffered, simulated,
};

fn small(recent_bytes_max: u64) -> (Environment, Arc<dyn Store>) {
    let (env, _) = Environment::simulated(1);
    let options = EmbeddedOptions {
        recent_bytes_max,
        checkpoint_bytes: recent_bytes_max / 4,
        checkpoint_log_bytes: 64 << 20,
        checkpoint_automatic: true,
        ..EmbeddedOptions::simulated()
    };
    let store = open(&env, options);
    (env, store)
}

fn wait_for(condition: impl Fn() -> bool, otherwise: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "{otherwise}");
        std::thread::yield_now();
    }
}

#[test]
fn a_key_rewritten_often_holds_a_handful_of_versions() {
    let (_env, _simulation, store) = simulated(1);
    let old = store.snapshot();
    for n in 0..5_000 {
        put_buffered(&store, &[&format!("hot={n}")]);
        if n == 2_500 {
            // A snapshot in the middle keeps exactly one more.
            let middle = store.snapshot();
            put_buffered(&store, &["hot=x"]);
            assert_eq!(get(&middle, "hot"), Some("2500".into()));
        }
        assert!(
            store.statistics().recent_versions <= 4,
            "{:?}",
            store.statistics()
        );
    }
    assert_eq!(get(&old, "hot"), None);
    assert_eq!(now(&store), "hot=4999");
}

#[test]
fn memory_is_given_back_at_a_checkpoint() {
    let (_env, _simulation, store) = simulated(1);
    let empty = store.statistics();
    for n in 0..1_000 {
        put_buffered(&store, &[&format!("k{n}={n}")]);
    }
    let held = store.snapshot();
    checkpoint(&store);
    // The snapshot is over the old base: it needs everything that came after it.
    assert!(store.statistics().recent_keys >= 1_000);
    drop(held);
    wait_for(
        || store.statistics().recent_keys == 0,
        "memory is never given back",
    );
    let after = store.statistics();
    assert_eq!((after.recent_keys, after.recent_versions), (0, 0));
    assert_eq!(after.recent_bytes, empty.recent_bytes);
    assert_eq!(after.checkpointed, after.newest);
}

#[test]
fn writers_wait_for_the_checkpoint_instead_of_growing_memory() {
    let max = 1 << 20;
    let (_env, store) = small(max);
    let value = "x".repeat(2_000);
    for n in 0..3_000 {
        let outcome = put_buffered(&store, &[&format!("k{n:05}={value}")]);
        assert!(
            matches!(outcome, CommitOutcome::Committed(_)),
            "{outcome:?}"
        );
        let statistics = store.statistics();
        assert!(statistics.recent_bytes <= max + 8_192, "{statistics:?}");
    }
    let statistics = store.statistics();
    assert!(statistics.checkpoints_total >= 3, "{statistics:?}");
    assert_eq!(
        block_on(store.snapshot().get(ROWS, b"k00000"))
            .unwrap()
            .unwrap()
            .len(),
        2_000
    );
}

#[test]
fn a_snapshot_that_pins_too_much_ends_with_a_clear_error() {
    let (_env, store) = small(1 << 20);
    put(&store, &["a=1"]);
    let old = store.snapshot();
    let value = "x".repeat(2_000);
    for n in 0..2_000 {
        put_buffered(&store, &[&format!("k{n:05}={value}")]);
    }
    let ended = block_on(old.get(ROWS, b"a")).unwrap_err();
    assert!(
        matches!(ended, StoreError::SnapshotTooOld { .. }),
        "{ended}"
    );
    let mut scan = old
        .clone()
        .scan(ROWS, tessera_storage::KeyRange::all(), Default::default());
    assert!(matches!(
        block_on(scan.next_batch()),
        Err(StoreError::SnapshotTooOld { .. })
    ));
    assert_eq!(get(&store.snapshot(), "a"), Some("1".into()));
    let statistics = store.statistics();
    assert!(statistics.snapshots.expired_total >= 1, "{statistics:?}");
    drop((scan, old));
    put(&store, &["a=2"]);
    // A checkpoint under way holds one of its own.
    wait_for(
        || store.statistics().snapshots.live == 0,
        "a snapshot is never given back",
    );
}

#[test]
fn writers_are_refused_and_do_not_hang_when_checkpoints_fail() {
    let (env, simulation) = Environment::simulated(1);
    let options = EmbeddedOptions {
        recent_bytes_max: 1 << 20,
        checkpoint_bytes: 256 << 10,
        checkpoint_automatic: true,
        // One large segment: the log needs nothing that fails here.
        log: tessera_log::LogOptions::deterministic(16 << 20),
        ..EmbeddedOptions::simulated()
    };
    let store = open(&env, options);
    put(&store, &["a=1"]);
    let names = simulation.count(tessera_environment::Operation::Name);
    simulation.fail_from(tessera_environment::Operation::Name, names);
    let value = "x".repeat(2_000);
    let refused = (0..2_000)
        .map(|n| put_buffered(&store, &[&format!("k{n:05}={value}")]))
        .find_map(|outcome| match outcome {
            CommitOutcome::Committed(_) => None,
            other => Some(error(other)),
        })
        .expect("memory is bounded");
    assert!(matches!(refused, StoreError::Io { .. }), "{refused}");
    assert_eq!(get(&store.snapshot(), "a"), Some("1".into()));
    simulation.heal();
    checkpoint(&store);
    put(&store, &["a=2"]);
    assert_eq!(get(&store.snapshot(), "a"), Some("2".into()));
}

#[test]
fn a_dropped_commit_is_finished_all_the_same() {
    let (_env, _simulation, store) = simulated(1);
    let newest = store.newest();
    {
        let mut future = store.commit(crate::harness::batch(&["a=1"]), None);
        let waker = futures::task::noop_waker();
        let mut context = std::task::Context::from_waker(&waker);
        // Usually pending: the disk has not answered yet.
        let _ = future.as_mut().poll(&mut context);
    }
    // The next commit is published behind it, so it must not wait for ever.
    let outcome = commit(&store, crate::harness::batch(&["b=1"]));
    assert!(
        outcome
            .version()
            .is_some_and(|version| version > newest.next())
    );
    assert_eq!(now(&store), "a=1 b=1");
}
