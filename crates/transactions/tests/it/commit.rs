//! Statements, savepoints, hooks, joining, and how transactions end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tessera_locks::Wait;
use tessera_storage::{CommitOutcome, MemoryOptions, StoreError, open_memory, open_memory_with};
use tessera_transactions::{Isolation, Status, TransactionError, TransactionOptions};

use crate::anomalies::wait_until;
use crate::world::{World, lock, put, read, statement, worlds, write};

#[tokio::test]
async fn a_dropped_guard_undoes_its_statement_only() {
    for world in worlds() {
        let txn = world.begin(Isolation::ReadCommitted);
        write(&txn, "a", "kept").await.unwrap();
        let guard = statement(&txn).await;
        lock(&txn, "b", Wait::Block).await.unwrap();
        put(&txn, "a", "lost").unwrap();
        put(&txn, "b", "lost").unwrap();
        drop(guard);
        assert_eq!(read(&txn.view(), "a").await.as_deref(), Some("kept"));
        txn.commit().await.unwrap();
        assert_eq!(world.committed("a").await.as_deref(), Some("kept"));
        assert_eq!(world.committed("b").await, None);
    }
}

#[tokio::test]
async fn savepoints_shadow_each_other_and_release_keeps_the_work() {
    for world in worlds() {
        let txn = world.begin(Isolation::ReadCommitted);
        txn.savepoint("s").unwrap();
        write(&txn, "a", "1").await.unwrap();
        txn.savepoint("s").unwrap();
        write(&txn, "a", "2").await.unwrap();
        txn.rollback_to("s").unwrap();
        assert_eq!(read(&txn.view(), "a").await.as_deref(), Some("1"));
        write(&txn, "a", "3").await.unwrap();
        txn.rollback_to("s").unwrap();
        assert_eq!(
            read(&txn.view(), "a").await.as_deref(),
            Some("1"),
            "the savepoint stays"
        );
        txn.release("s").unwrap();
        txn.rollback_to("s").unwrap();
        assert_eq!(
            read(&txn.view(), "a").await,
            None,
            "the older one of the name"
        );
        let error = txn.release("none").unwrap_err().report();
        assert_eq!(
            (error.code.as_str(), &*error.message),
            ("3B001", "savepoint \"none\" does not exist")
        );
    }
}

#[tokio::test]
async fn rolling_back_to_a_savepoint_releases_its_locks() {
    for world in worlds() {
        let (one, two) = (
            world.begin(Isolation::ReadCommitted),
            world.begin(Isolation::ReadCommitted),
        );
        write(&one, "before", "1").await.unwrap();
        one.savepoint("s").unwrap();
        write(&one, "after", "1").await.unwrap();
        one.rollback_to("s").unwrap();
        lock(&two, "after", Wait::NoWait).await.unwrap();
        lock(&two, "before", Wait::NoWait).await.unwrap_err();
    }
}

#[tokio::test]
async fn hooks_follow_what_they_belong_to() {
    for world in worlds() {
        let log = Arc::new(Mutex::new(Vec::new()));
        let note = |what: &'static str| {
            let log = Arc::clone(&log);
            move || log.lock().push(what)
        };
        let txn = world.begin(Isolation::ReadCommitted);
        let guard = statement(&txn).await;
        put(&txn, "a", "1").unwrap();
        let published = note("publish 1");
        txn.on_publish(Box::new(move |_| published()));
        txn.on_rollback(Box::new(note("rollback 1")));
        guard.finish();
        let guard = statement(&txn).await;
        let published = note("publish 2");
        txn.on_publish(Box::new(move |_| published()));
        txn.on_rollback(Box::new(note("rollback 2a")));
        txn.on_rollback(Box::new(note("rollback 2b")));
        guard.undo();
        assert_eq!(*log.lock(), ["rollback 2b", "rollback 2a"]);
        txn.commit().await.unwrap();
        assert_eq!(*log.lock(), ["rollback 2b", "rollback 2a", "publish 1"]);
    }
}

/// At publish the commit is not visible yet; when commit answers, it is.
#[tokio::test]
async fn publish_runs_before_the_commit_is_visible() {
    for world in worlds() {
        let txn = world.begin(Isolation::ReadCommitted);
        write(&txn, "a", "1").await.unwrap();
        let store = Arc::clone(world.transactions.store());
        let seen = Arc::new(AtomicU64::new(u64::MAX));
        let hook_seen = Arc::clone(&seen);
        txn.on_publish(Box::new(move |version| {
            assert!(store.newest() < version);
            hook_seen.store(version.0, Ordering::SeqCst);
        }));
        let version = txn.commit().await.unwrap();
        assert_eq!(seen.load(Ordering::SeqCst), version.0);
        assert_eq!(world.transactions.store().newest(), version);
    }
}

#[tokio::test]
async fn a_joined_session_shares_everything() {
    for world in worlds() {
        let txn = world.begin(Isolation::ReadCommitted);
        let joined = world.transactions.join(&txn.token()).expect("active");
        assert!(world.transactions.join("no such token").is_none());
        write(&txn, "a", "1").await.unwrap();
        let guard = statement(&joined).await;
        assert_eq!(read(&joined.view(), "a").await.as_deref(), Some("1"));
        // The other one's statement waits for its turn.
        let waiting = tokio::spawn({
            let txn = txn.clone();
            async move { write(&txn, "b", "2").await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        guard.finish();
        waiting.await.unwrap().unwrap();
        let token = txn.token();
        joined.commit().await.unwrap();
        assert!(matches!(txn.commit().await, Err(TransactionError::Ended)));
        assert!(world.transactions.join(&token).is_none());
        assert_eq!(world.committed("b").await.as_deref(), Some("2"));
    }
}

#[tokio::test]
async fn the_last_handle_rolls_back() {
    for world in worlds() {
        let txn = world.begin(Isolation::ReadCommitted);
        write(&txn, "a", "1").await.unwrap();
        assert_eq!(world.transactions.active().len(), 1);
        assert_eq!(world.transactions.active()[0].locks, 3);
        drop(txn);
        assert_eq!(world.transactions.active_count(), 0);
        assert_eq!(world.transactions.locks().resource_count(), 0);
        assert_eq!(world.committed("a").await, None);
    }
}

#[tokio::test]
async fn a_read_only_transaction_refuses_writes() {
    for world in worlds() {
        let options = TransactionOptions {
            read_only: true,
            ..Default::default()
        };
        let txn = world.transactions.begin(options);
        let error = put(&txn, "a", "1").unwrap_err();
        assert_eq!(error.report().code.as_str(), "25006");
        txn.commit().await.unwrap();
    }
}

#[tokio::test]
async fn an_aborted_commit_is_rolled_back_and_an_unknown_one_is_neither() {
    let (store, control) = open_memory_with(MemoryOptions::default());
    let world = World::over(store);
    let rolled_back = Arc::new(AtomicU64::new(0));
    let begin = async |key: &str| {
        let txn = world.begin(Isolation::ReadCommitted);
        write(&txn, key, "1").await.unwrap();
        let count = Arc::clone(&rolled_back);
        txn.on_rollback(Box::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
        }));
        txn
    };

    let txn = begin("a").await;
    control.next_commit(CommitOutcome::Aborted(StoreError::DiskFull));
    let error = txn.commit().await.unwrap_err();
    assert_eq!(error.report().code.as_str(), "53100");
    assert_eq!(txn.status(), Status::RolledBack);
    assert_eq!(rolled_back.load(Ordering::SeqCst), 1);

    let txn = begin("b").await;
    control.next_commit(CommitOutcome::Unknown(txn.id()));
    let error = txn.commit().await.unwrap_err();
    assert_eq!(error.report().code.as_str(), "08007");
    assert_eq!(txn.status(), Status::Unknown);
    assert_eq!(
        rolled_back.load(Ordering::SeqCst),
        1,
        "nobody knows that it was rolled back"
    );
    assert_eq!(world.transactions.locks().resource_count(), 0);
    assert_eq!(world.transactions.active_count(), 0);
}

/// A commit whose caller goes away while it waits still ends, and gives its locks back.
#[tokio::test]
async fn a_commit_goes_on_without_its_caller() {
    for world in worlds() {
        for round in 0..50 {
            let txn = world.begin(Isolation::ReadCommitted);
            write(&txn, "a", "1").await.unwrap();
            let mut commit = Box::pin({
                let txn = txn.clone();
                async move { txn.commit().await }
            });
            let _ = futures::poll!(&mut commit);
            drop(commit);
            wait_until(|| matches!(txn.status(), Status::Committed(_))).await;
            assert_eq!(
                world.transactions.locks().resource_count(),
                0,
                "round {round}"
            );
        }
    }
}

/// Property: begin, read, commit of a read-only transaction stays cheap. The bound is far above
/// what it takes (about 1 µs) and far below what a task switch or a lock convoy would cost.
#[tokio::test]
async fn a_point_read_transaction_is_cheap() {
    let world = World::over(open_memory());
    world.set("a", "1").await;
    let rounds = 1_000_u32;
    // The best of many short runs: other work on the machine spoils some of them, not all.
    let mut each = std::time::Duration::MAX;
    for _ in 0..20 {
        let started = std::time::Instant::now();
        for _ in 0..rounds {
            let txn = world.begin(Isolation::ReadCommitted);
            let guard = statement(&txn).await;
            assert!(read(&txn.view(), "a").await.is_some());
            guard.finish();
            txn.commit().await.unwrap();
        }
        each = each.min(started.elapsed() / rounds);
    }
    println!("begin, get, commit: {each:?}");
    assert!(each < std::time::Duration::from_micros(100), "{each:?}");
}
