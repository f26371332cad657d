//! The memory engine's own powers: crashes and failures on demand.

use std::sync::Arc;

use futures::executor::block_on;
use tessera_storage::{CommitOutcome, MemoryOptions, Mode, StoreError, open_memory_with};
use tessera_types::{TxnId, Version};

use crate::harness::{batch, commit, error, now, put, put_buffered};

#[test]
fn a_crash_loses_what_was_only_buffered_and_nothing_else() {
    let (store, control) = open_memory_with(MemoryOptions::default());
    put(&store, &["a=1", "b=1"]);
    put_buffered(&store, &["a=2"]);
    // Durable commits carry the buffered ones before them.
    put(&store, &["c=1"]);
    put_buffered(&store, &["a=3", "b-"]);
    put_buffered(&store, &["d=1"]);
    assert_eq!(now(&store), "a=3 c=1 d=1");
    let (survivor, again) = control.crash();
    assert_eq!(now(&survivor), "a=2 b=1 c=1");
    assert!(matches!(
        error(commit(&store, batch(&["x=1"]))),
        StoreError::Unavailable { .. }
    ));
    put(&survivor, &["e=1"]);
    assert_eq!(now(&again.crash().0), "a=2 b=1 c=1 e=1");
}

/// Method: a workload of transfers, every third of them buffered; a crash after each step.
/// Property: the total stays, and the last durable transfer is there.
#[test]
fn a_crash_after_any_commit_keeps_the_total() {
    for crash_after in 0..20_u32 {
        let (store, control) = open_memory_with(MemoryOptions::default());
        put(&store, &["a=100", "b=100", "n=0"]);
        let mut durable = 0;
        for n in 1..=crash_after {
            let writes = [
                format!("a={}", 100 - n),
                format!("b={}", 100 + n),
                format!("n={n}"),
            ];
            let writes = writes.each_ref().map(String::as_str);
            if n % 3 == 0 {
                put_buffered(&store, &writes);
            } else {
                put(&store, &writes);
                durable = n;
            }
        }
        let found = now(&control.crash().0);
        let numbers: Vec<u32> = found
            .split(' ')
            .map(|row| row.split_once('=').unwrap().1.parse().unwrap())
            .collect();
        assert_eq!(numbers[0] + numbers[1], 200, "after {crash_after}: {found}");
        assert_eq!(numbers[2], durable, "after {crash_after}: {found}");
    }
}

#[test]
fn commits_end_as_they_are_told_to() {
    let (store, control) = open_memory_with(MemoryOptions::default());
    put(&store, &["a=1"]);
    control.next_commit(CommitOutcome::Aborted(StoreError::DiskFull));
    assert!(matches!(
        error(commit(&store, batch(&["a=2"]))),
        StoreError::DiskFull
    ));
    assert_eq!(now(&store), "a=1");
    // The answer is lost, the commit is not.
    control.next_commit(CommitOutcome::Committed(Version::ZERO));
    let lost = commit(&store, batch(&["a=3"]));
    let CommitOutcome::Unknown(txn) = lost else {
        panic!("{lost:?}")
    };
    assert_eq!(now(&store), "a=3");
    assert_eq!(block_on(store.resolve(txn)).version(), Some(store.newest()));
    // The commit is lost, and nobody knows until asked.
    control.next_commit(CommitOutcome::Unknown(TxnId(1)));
    assert!(matches!(
        commit(&store, batch(&["a=4"])),
        CommitOutcome::Unknown(_)
    ));
    assert!(matches!(
        block_on(store.resolve(TxnId(1))),
        CommitOutcome::Aborted(_)
    ));
    assert_eq!(now(&store), "a=3");
}

#[test]
fn a_read_only_store_says_why() {
    let (store, control) = open_memory_with(MemoryOptions::default());
    put(&store, &["a=1"]);
    control.set_mode(Mode::ReadOnly {
        reason: "maintenance".into(),
    });
    let refused = error(commit(&store, batch(&["a=2"])));
    assert!(refused.to_string().contains("maintenance"), "{refused}");
    assert_eq!(now(&store), "a=1");
    control.set_mode(Mode::ReadWrite);
    put(&store, &["a=2"]);
}

#[test]
fn versions_nobody_sees_are_collected() {
    let (store, _control) = open_memory_with(MemoryOptions::default());
    let held: Arc<dyn tessera_storage::Snapshot> = store.snapshot();
    for n in 0..20_000_u32 {
        let (k, v) = (n % 100, n);
        put_buffered(&store, &[&format!("k{k:02}={v}")]);
    }
    assert!(
        store.statistics().recent_versions <= 300,
        "{:?}",
        store.statistics()
    );
    drop(held);
    for n in 0..10_000_u32 {
        put_buffered(&store, &[&format!("k{:02}-", n % 100)]);
    }
    assert!(
        store.statistics().recent_versions <= 200,
        "{:?}",
        store.statistics()
    );
    assert_eq!(now(&store), "");
}
