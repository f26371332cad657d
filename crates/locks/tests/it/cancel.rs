//! Waiting, deadlines and dropped futures on a real runtime.

use std::sync::Arc;
use std::time::Duration;

use tessera_locks::{Grant, LockError, LockManager, LockOptions, Mode, Owner, Resource, Wait};
use tessera_types::{RelationId, TxnId};

const ROW: Resource = Resource::Row(RelationId(1), 1);

fn owner(txn: u64) -> Arc<Owner> {
    Arc::new(Owner::new(TxnId(txn)))
}

async fn lock(locks: &LockManager, owner: &Owner, mode: Mode) -> Result<Grant, LockError> {
    locks
        .acquire_with_parents(owner, ROW, mode, &LockOptions::default())
        .await
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_wait_and_names_the_holder() {
    let locks = LockManager::default();
    let (a, b) = (owner(1), owner(2));
    a.set_statement(Some("update t set x = 1".into()));
    lock(&locks, &a, Mode::X).await.unwrap();

    let deadline = tokio::time::Instant::now().into_std() + Duration::from_millis(50);
    let options = LockOptions {
        wait: Wait::Block,
        deadline: Some(deadline),
    };
    let error = locks
        .acquire_with_parents(&b, ROW, Mode::X, &options)
        .await
        .unwrap_err();

    let report = error.report();
    assert_eq!(report.code.as_str(), "55P03");
    assert!(
        report
            .detail
            .as_ref()
            .unwrap()
            .contains("update t set x = 1"),
        "{report:?}"
    );
    locks.release_all(&b);
    locks.release_all(&a);
    assert_eq!(locks.resource_count(), 0, "{:?}", locks.snapshot());
}

#[tokio::test]
async fn a_dropped_future_leaves_no_waiter_and_wakes_the_next_one() {
    let locks = Arc::new(LockManager::default());
    let (a, b, c) = (owner(1), owner(2), owner(3));
    lock(&locks, &a, Mode::S).await.unwrap();
    let writer = tokio::spawn({
        let (locks, b) = (Arc::clone(&locks), Arc::clone(&b));
        async move { lock(&locks, &b, Mode::X).await }
    });
    wait_until(|| {
        locks
            .snapshot()
            .iter()
            .any(|l| l.txn == TxnId(2) && !l.granted)
    })
    .await;
    let reader = tokio::spawn({
        let (locks, c) = (Arc::clone(&locks), Arc::clone(&c));
        async move { lock(&locks, &c, Mode::S).await }
    });
    wait_until(|| {
        locks
            .snapshot()
            .iter()
            .any(|l| l.txn == TxnId(3) && !l.granted)
    })
    .await;

    writer.abort();
    assert!(writer.await.unwrap_err().is_cancelled());
    let grant = tokio::time::timeout(Duration::from_secs(10), reader)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(grant.unwrap(), Grant::AfterWait);
    for owner in [&a, &b, &c] {
        locks.release_all(owner);
    }
    assert_eq!(locks.resource_count(), 0, "{:?}", locks.snapshot());
}

/// Method: the grant and the drop of the future come in the same instant, a thousand times.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_grant_that_meets_a_drop_is_taken_back() {
    let locks = Arc::new(LockManager::default());
    for round in 0..1_000_u64 {
        let (a, b) = (owner(2 * round + 1), owner(2 * round + 2));
        lock(&locks, &a, Mode::X).await.unwrap();
        let waiter = tokio::spawn({
            let (locks, b) = (Arc::clone(&locks), Arc::clone(&b));
            async move { lock(&locks, &b, Mode::X).await.map(drop) }
        });
        wait_until(|| locks.snapshot().iter().any(|l| l.txn == b.txn())).await;
        let release = tokio::spawn({
            let (locks, a) = (Arc::clone(&locks), Arc::clone(&a));
            async move { locks.release_all(&a) }
        });
        waiter.abort();
        let _ = waiter.await;
        release.await.unwrap();
        locks.release_all(&b);
        assert_eq!(
            locks.resource_count(),
            0,
            "round {round}: {:?}",
            locks.snapshot()
        );
    }
}

/// Property: with locks always taken in random order, every transaction ends, by commit or as a
/// victim, and nothing is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_storm_of_deadlocks_ends() {
    let locks = Arc::new(LockManager::default());
    let tasks: Vec<_> = (0..8_u64)
        .map(|task| {
            let locks = Arc::clone(&locks);
            tokio::spawn(async move {
                let mut victims = 0;
                let mut state = task + 1;
                for round in 0..200_u64 {
                    let owner = Owner::new(TxnId(round * 8 + task + 1));
                    for _ in 0..3 {
                        state = state
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(99);
                        let row = Resource::Row(RelationId(1), (state >> 33) % 4);
                        let mode = if state >> 40 & 1 == 0 {
                            Mode::X
                        } else {
                            Mode::S
                        };
                        let options = LockOptions::default();
                        match locks
                            .acquire_with_parents(&owner, row, mode, &options)
                            .await
                        {
                            Ok(_) => tokio::task::yield_now().await,
                            Err(LockError::Deadlock { .. }) => {
                                victims += 1;
                                break;
                            }
                            Err(other) => panic!("{other}"),
                        }
                    }
                    locks.release_all(&owner);
                }
                victims
            })
        })
        .collect();
    let mut victims = 0;
    for task in tasks {
        let ended = tokio::time::timeout(Duration::from_secs(60), task).await;
        victims += ended.expect("no deadlock stays").unwrap();
    }
    assert!(
        victims > 0,
        "the storm had no deadlock: the test shows nothing"
    );
    assert_eq!(locks.resource_count(), 0, "{:?}", locks.snapshot());
}

async fn wait_until(mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(
            std::time::Instant::now() < deadline,
            "the event did not come"
        );
        tokio::task::yield_now().await;
    }
}
