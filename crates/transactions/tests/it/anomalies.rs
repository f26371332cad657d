//! What two transactions may and may not see of each other, by isolation level.

use tessera_locks::Wait;
use tessera_transactions::{Isolation, RowLock, TransactionError};

use crate::world::{lock, newest, put, read, statement, worlds, write};

/// READ COMMITTED: the second updater waits, is told that the row changed, and adds to the new
/// value. So no update is lost.
#[tokio::test]
async fn the_second_updater_sees_the_first_one_in_read_committed() {
    for world in worlds() {
        world.set("a", "1").await;
        let first = world.begin(Isolation::ReadCommitted);
        let second = world.begin(Isolation::ReadCommitted);
        write(&first, "a", "2").await.unwrap();

        let guard = statement(&second).await;
        assert_eq!(read(&second.view(), "a").await.as_deref(), Some("1"));
        let waiting = tokio::spawn({
            let second = second.clone();
            async move { lock(&second, "a", Wait::Block).await }
        });
        wait_until(|| {
            world
                .transactions
                .locks()
                .snapshot()
                .iter()
                .any(|l| !l.granted)
        })
        .await;
        first.commit().await.unwrap();
        assert_eq!(waiting.await.unwrap().unwrap(), RowLock::Changed);
        assert_eq!(newest(&second, "a").await.as_deref(), Some("2"));
        assert_eq!(
            read(&second.view(), "a").await.as_deref(),
            Some("1"),
            "the view is frozen"
        );
        put(&second, "a", "3").unwrap();
        guard.finish();
        second.commit().await.unwrap();
        assert_eq!(world.committed("a").await.as_deref(), Some("3"));
    }
}

#[tokio::test]
async fn the_second_updater_fails_in_repeatable_read() {
    for world in worlds() {
        world.set("a", "1").await;
        let second = world.begin(Isolation::RepeatableRead);
        statement(&second).await.finish();
        world.set("a", "2").await;
        let error = write(&second, "a", "3").await.unwrap_err();
        assert!(matches!(error, TransactionError::ConcurrentUpdate { .. }));
        assert_eq!(error.report().code.as_str(), "40001");
        assert_eq!(
            error.report().message,
            "could not serialize access due to concurrent update"
        );
        second.rollback();
        assert_eq!(world.committed("a").await.as_deref(), Some("2"));
    }
}

/// If the first updater rolls back, the second one goes on with what it saw.
#[tokio::test]
async fn a_rollback_leaves_the_row_unchanged_for_the_waiter() {
    for world in worlds() {
        world.set("a", "1").await;
        for isolation in [Isolation::ReadCommitted, Isolation::RepeatableRead] {
            let first = world.begin(Isolation::ReadCommitted);
            let second = world.begin(isolation);
            write(&first, "a", "2").await.unwrap();
            let guard = statement(&second).await;
            drop(second.view());
            let waiting = tokio::spawn({
                let second = second.clone();
                async move { lock(&second, "a", Wait::Block).await }
            });
            wait_until(|| {
                world
                    .transactions
                    .locks()
                    .snapshot()
                    .iter()
                    .any(|l| !l.granted)
            })
            .await;
            first.rollback();
            assert_eq!(waiting.await.unwrap().unwrap(), RowLock::Unchanged);
            guard.finish();
            second.rollback();
        }
    }
}

#[tokio::test]
async fn repeatable_read_reads_the_same_and_read_committed_the_newest() {
    for world in worlds() {
        world.set("a", "1").await;
        let frozen = world.begin(Isolation::RepeatableRead);
        let moving = world.begin(Isolation::ReadCommitted);
        for txn in [&frozen, &moving] {
            let guard = statement(txn).await;
            assert_eq!(read(&txn.view(), "a").await.as_deref(), Some("1"));
            guard.finish();
        }
        world.set("a", "2").await;
        for (txn, expected) in [(&frozen, "1"), (&moving, "2")] {
            let guard = statement(txn).await;
            assert_eq!(read(&txn.view(), "a").await.as_deref(), Some(expected));
            guard.finish();
        }
    }
}

/// The snapshot of REPEATABLE READ is that of its first statement, even if that read nothing.
#[tokio::test]
async fn the_first_statement_fixes_the_snapshot() {
    for world in worlds() {
        world.set("a", "1").await;
        let txn = world.begin(Isolation::RepeatableRead);
        statement(&txn).await.finish();
        world.set("a", "2").await;
        let guard = statement(&txn).await;
        assert_eq!(read(&txn.view(), "a").await.as_deref(), Some("1"));
        guard.finish();
    }
}

/// Snapshot isolation lets two transactions each read what the other writes. That is what
/// REPEATABLE READ promises, no more.
#[tokio::test]
async fn write_skew_is_possible_in_repeatable_read() {
    for world in worlds() {
        world.set("a", "on").await;
        world.set("b", "on").await;
        let (one, two) = (
            world.begin(Isolation::RepeatableRead),
            world.begin(Isolation::RepeatableRead),
        );
        for (txn, other) in [(&one, "b"), (&two, "a")] {
            let guard = statement(txn).await;
            assert_eq!(read(&txn.view(), other).await.as_deref(), Some("on"));
            guard.finish();
        }
        write(&one, "a", "off").await.unwrap();
        write(&two, "b", "off").await.unwrap();
        one.commit().await.unwrap();
        two.commit().await.unwrap();
    }
}

/// Dirty writes and reads: nobody sees or overwrites what is not committed.
#[tokio::test]
async fn uncommitted_writes_are_neither_seen_nor_overwritten() {
    for world in worlds() {
        world.set("a", "1").await;
        let first = world.begin(Isolation::ReadCommitted);
        write(&first, "a", "2").await.unwrap();
        let second = world.begin(Isolation::ReadCommitted);
        let guard = statement(&second).await;
        assert_eq!(read(&second.view(), "a").await.as_deref(), Some("1"));
        let error = lock(&second, "a", Wait::NoWait).await.unwrap_err();
        assert_eq!(error.report().code.as_str(), "55P03");
        assert_eq!(
            lock(&second, "a", Wait::SkipLocked).await.unwrap(),
            RowLock::Skipped
        );
        guard.finish();
    }
}

/// Two transactions that insert the same key: the second one sees the first one's row after the
/// wait, although its own view does not.
#[tokio::test]
async fn a_uniqueness_check_sees_the_newest_row() {
    for world in worlds() {
        let first = world.begin(Isolation::ReadCommitted);
        let second = world.begin(Isolation::ReadCommitted);
        write(&first, "a", "mine").await.unwrap();
        let guard = statement(&second).await;
        drop(second.view());
        let waiting = tokio::spawn({
            let second = second.clone();
            async move { lock(&second, "a", Wait::Block).await }
        });
        wait_until(|| {
            world
                .transactions
                .locks()
                .snapshot()
                .iter()
                .any(|l| !l.granted)
        })
        .await;
        first.commit().await.unwrap();
        waiting.await.unwrap().unwrap();
        assert_eq!(newest(&second, "a").await.as_deref(), Some("mine"));
        assert_eq!(read(&second.view(), "a").await, None);
        guard.finish();
    }
}

pub(crate) async fn wait_until(mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !holds() {
        assert!(
            std::time::Instant::now() < deadline,
            "the event did not come"
        );
        tokio::task::yield_now().await;
    }
}
