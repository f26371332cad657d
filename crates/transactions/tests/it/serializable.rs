//! SERIALIZABLE: what a transaction read is still so when it commits, or it does not commit.

use std::sync::Arc;

use tessera_locks::Wait;
use tessera_storage::{KeyRange, KeySpace, ReadFilter, ScanOptions};
use tessera_transactions::{
    Isolation, RowLock, Transaction, TransactionError, TransactionOptions, TxnView,
};

use crate::world::{World, lock, newest, put, read, scan, statement, worlds, write};

const LEVEL: Isolation = Isolation::Serializable;

/// Reads one key in a statement of its own.
async fn look(txn: &Transaction, key: &str) -> Option<String> {
    let guard = statement(txn).await;
    let value = read(&txn.view(), key).await;
    guard.finish();
    value
}

/// Scans in a statement of its own, `batches` of one row each.
async fn look_at(txn: &Transaction, range: KeyRange, reverse: bool, batches: usize) {
    let guard = statement(txn).await;
    scan_of(&txn.view(), range, reverse, batches).await;
    guard.finish();
}

async fn scan_of(view: &Arc<TxnView>, range: KeyRange, reverse: bool, batches: usize) {
    let options = ScanOptions {
        reverse,
        bytes_max: 1,
        ..ScanOptions::default()
    };
    let mut scan = view.scan(KeySpace::Rows, range, options);
    for _ in 0..batches {
        if scan.next_batch().await.unwrap().is_none() {
            break;
        }
    }
}

fn rows(start: &'static str, end: &'static str) -> KeyRange {
    KeyRange::half_open(start, end)
}

/// Writes something of its own and commits: whether that worked.
async fn commits(txn: &Transaction) -> bool {
    write(txn, "own", "1").await.unwrap();
    match txn.commit().await {
        Ok(_) => true,
        Err(error) => {
            let is_conflict = matches!(error, TransactionError::SerializationFailure { .. });
            assert!(is_conflict, "{error}");
            assert_eq!(error.report().code.as_str(), "40001");
            false
        }
    }
}

#[tokio::test]
async fn write_skew_is_refused() {
    for world in worlds() {
        world.set("a", "on").await;
        world.set("b", "on").await;
        let (one, two) = (world.begin(LEVEL), world.begin(LEVEL));
        assert_eq!(look(&one, "b").await.as_deref(), Some("on"));
        assert_eq!(look(&two, "a").await.as_deref(), Some("on"));
        write(&one, "a", "off").await.unwrap();
        write(&two, "b", "off").await.unwrap();
        one.commit().await.unwrap();
        let error = two.commit().await.unwrap_err();
        assert!(matches!(
            error,
            TransactionError::SerializationFailure { .. }
        ));
        assert!(error.is_retryable());
        assert_eq!(world.committed("b").await.as_deref(), Some("on"));
        assert_eq!(world.transactions.active_count(), 0);
        assert_eq!(world.transactions.locks().resource_count(), 0);
    }
}

/// Two that each count the rows and insert one: the second count was of another state.
#[tokio::test]
async fn phantoms_are_refused() {
    for world in worlds() {
        for level in [Isolation::RepeatableRead, LEVEL] {
            let (one, two) = (world.begin(level), world.begin(level));
            look_at(&one, KeyRange::all(), false, usize::MAX).await;
            look_at(&two, KeyRange::all(), true, usize::MAX).await;
            write(&one, "p1", "1").await.unwrap();
            write(&two, "p2", "1").await.unwrap();
            one.commit().await.unwrap();
            assert_eq!(two.commit().await.is_ok(), level != LEVEL);
        }
    }
}

/// A scan over rows a, c, e, g that stops early has read up to the row it stopped at.
#[tokio::test]
async fn a_scan_conflicts_only_as_far_as_it_was_read() {
    // Direction, batches of one row read, the key inserted by somebody else, whether it matters.
    let cases = [
        (false, 0, "b", false),
        (false, 2, "b", true),
        (false, 2, "d", false),
        (false, 4, "h", false),
        (false, 5, "h", true),
        (true, 0, "f", false),
        (true, 2, "f", true),
        (true, 2, "d", false),
        (true, 4, "0", false),
        (true, 5, "0", true),
        (true, 5, "z", true),
    ];
    for world in worlds() {
        for (reverse, batches, inserted, matters) in cases {
            for with_own_writes in [false, true] {
                clear(&world).await;
                for key in ["a", "c", "e", "g"] {
                    world.set(key, "1").await;
                }
                let txn = world.begin(LEVEL);
                if with_own_writes {
                    write(&txn, "e", "2").await.unwrap();
                }
                look_at(&txn, KeyRange::all(), reverse, batches).await;
                world.set(inserted, "1").await;
                assert_eq!(
                    commits(&txn).await,
                    !matters,
                    "reverse {reverse}, {batches} rows, {inserted}, own {with_own_writes}"
                );
            }
        }
    }
}

async fn clear(world: &World) {
    let txn = world.begin(Isolation::ReadCommitted);
    let guard = statement(&txn).await;
    for (key, _) in scan(&txn.view(), ScanOptions::default()).await {
        txn.delete(KeySpace::Rows, key.into()).unwrap();
    }
    guard.finish();
    txn.commit().await.unwrap();
}

/// At its row limit a scan has not looked at what comes behind.
#[tokio::test]
async fn a_row_limit_ends_what_was_read() {
    for world in worlds() {
        for limit in [1, 2] {
            clear(&world).await;
            world.set("a", "1").await;
            world.set("c", "1").await;
            let txn = world.begin(LEVEL);
            let guard = statement(&txn).await;
            let options = ScanOptions {
                row_limit: Some(limit),
                ..ScanOptions::default()
            };
            assert_eq!(scan(&txn.view(), options).await.len(), limit);
            guard.finish();
            world.set("d", "1").await;
            assert!(commits(&txn).await, "limit {limit}: d is behind");
            clear(&world).await;
            world.set("a", "1").await;
            let txn = world.begin(LEVEL);
            let guard = statement(&txn).await;
            let options = ScanOptions {
                row_limit: Some(2),
                ..ScanOptions::default()
            };
            assert_eq!(scan(&txn.view(), options).await.len(), 1);
            guard.finish();
            world.set("d", "1").await;
            assert!(!commits(&txn).await, "d would have been the second row");
        }
    }
}

/// The client has seen what a statement read, whatever became of the statement.
#[tokio::test]
async fn reads_outlive_the_undoing_of_what_read_them() {
    for world in worlds() {
        for how in ["undo", "savepoint"] {
            world.set("a", "1").await;
            let txn = world.begin(LEVEL);
            txn.savepoint("s").unwrap();
            let guard = statement(&txn).await;
            read(&txn.view(), "a").await;
            match how {
                "undo" => guard.undo(),
                _ => guard.finish(),
            }
            txn.rollback_to("s").unwrap();
            world.set("a", "2").await;
            assert!(!commits(&txn).await, "{how}");
        }
    }
}

#[tokio::test]
async fn joined_sessions_share_their_reads() {
    for world in worlds() {
        world.set("a", "1").await;
        let txn = world.begin(LEVEL);
        let joined = world.transactions.join(&txn.token()).expect("active");
        look(&joined, "a").await;
        drop(joined);
        world.set("a", "2").await;
        assert!(!commits(&txn).await);
    }
}

/// A transaction without writes has its place right after its snapshot, whatever came later.
#[tokio::test]
async fn who_only_reads_is_never_refused() {
    for world in worlds() {
        world.set("a", "1").await;
        for read_only in [false, true] {
            let txn = world.transactions.begin(TransactionOptions {
                isolation: LEVEL,
                read_only,
                deferrable: true,
                ..Default::default()
            });
            look_at(&txn, KeyRange::all(), false, usize::MAX).await;
            let recorded = world.transactions.active()[0].reads;
            assert_eq!(recorded > 0, !read_only, "nothing is recorded for nothing");
            world.set("a", "2").await;
            look(&txn, "a").await;
            txn.savepoint("s").unwrap();
            if !read_only {
                write(&txn, "b", "1").await.unwrap();
            }
            txn.rollback_to("s").unwrap();
            txn.commit().await.unwrap();
        }
    }
}

/// What was read of the newest state counts as of then. So a transaction without writes that has
/// looked at both its snapshot and a newer state is refused if they differ.
#[tokio::test]
async fn reads_of_what_is_newest_count_as_of_when_they_were_made() {
    for world in worlds() {
        for (change_first, change_later, is_refused) in [
            (false, false, false),
            (true, false, false),
            (false, true, true),
            (true, true, true),
        ] {
            world.set("k", "1").await;
            let txn = world.begin(LEVEL);
            look(&txn, "unrelated").await;
            if change_first {
                world.set("k", "2").await;
            }
            txn.savepoint("s").unwrap();
            let guard = statement(&txn).await;
            assert!(newest(&txn, "k").await.is_some());
            guard.undo();
            // Gives up a lock that may have protected what was read.
            txn.rollback_to("s").unwrap();
            if change_later {
                world.set("k", "3").await;
            }
            assert_eq!(
                commits(&txn).await,
                !is_refused,
                "{change_first} {change_later}"
            );
        }
        let txn = world.begin(LEVEL);
        look(&txn, "k").await;
        world.set("k", "4").await;
        let guard = statement(&txn).await;
        assert_eq!(newest(&txn, "k").await.as_deref(), Some("4"));
        guard.finish();
        assert!(txn.commit().await.is_err(), "it saw two states of k");
    }
}

#[tokio::test]
async fn views_of_what_is_newest_are_recorded_unless_told_otherwise() {
    for world in worlds() {
        for (is_recorded, is_later) in [(true, true), (true, false), (false, true)] {
            world.set("n", "1").await;
            let txn = world.begin(LEVEL);
            look(&txn, "unrelated").await;
            if !is_later {
                world.set("n", "2").await;
            }
            let guard = statement(&txn).await;
            let view = match is_recorded {
                true => txn.newest_view(),
                false => txn.newest_view_unrecorded(),
            };
            scan_of(&view, rows("n", "o"), false, usize::MAX).await;
            guard.finish();
            if is_later {
                world.set("n", "2").await;
            }
            let is_refused = is_recorded && is_later;
            assert_eq!(commits(&txn).await, !is_refused, "{is_recorded} {is_later}");
        }
    }
}

#[tokio::test]
async fn own_writes_do_not_conflict_with_own_reads() {
    for world in worlds() {
        for buffer_bytes in [1 << 20, 0] {
            let txn = world.begin_with_buffer(LEVEL, buffer_bytes);
            look_at(&txn, KeyRange::all(), false, usize::MAX).await;
            for key in ["a", "b", "c"] {
                assert_eq!(write(&txn, key, "1").await.unwrap(), RowLock::Unchanged);
                look(&txn, key).await;
            }
            look_at(&txn, KeyRange::all(), false, usize::MAX).await;
            txn.commit().await.unwrap();
            clear(&world).await;
        }
    }
}

/// Large transactions keep their writes in runs; as readers and as writers they are as others.
#[tokio::test]
async fn spilled_transactions_conflict_like_others() {
    for world in worlds() {
        for (reader_bytes, writer_bytes) in [(0, 0), (0, 1 << 20), (1 << 20, 0)] {
            world.set("a", "1").await;
            let reader = world.begin_with_buffer(LEVEL, reader_bytes);
            look_at(&reader, rows("a", "b"), false, usize::MAX).await;
            write(&reader, "r", "1").await.unwrap();
            let writer = world.begin_with_buffer(Isolation::ReadCommitted, writer_bytes);
            write(&writer, "aa", "1").await.unwrap();
            writer.commit().await.unwrap();
            assert!(
                reader.commit().await.is_err(),
                "{reader_bytes} {writer_bytes}"
            );
            clear(&world).await;
        }
    }
}

#[tokio::test]
async fn a_filter_lets_changes_pass_that_match_neither_before_nor_after() {
    for world in worlds() {
        for (key, value, matters) in [
            ("a", "blue", true),
            ("b", "red", true),
            ("new", "red", true),
            ("b", "green", false),
            ("new", "blue", false),
        ] {
            clear(&world).await;
            world.set("a", "red").await;
            world.set("b", "blue").await;
            let txn = world.begin(LEVEL);
            let guard = statement(&txn).await;
            let is_red = |value: Option<&[u8]>| value == Some(&b"red"[..]);
            let filter = ReadFilter::new(move |_, old, new| is_red(old) || is_red(new));
            let view = txn.view();
            assert!(view.records_reads());
            scan_of(&view.refined(filter), KeyRange::all(), false, usize::MAX).await;
            guard.finish();
            world.set(key, value).await;
            assert_eq!(commits(&txn).await, !matters, "{key} = {value}");
        }
    }
}

/// With room for a handful of reads, changes of what was read still conflict.
#[tokio::test]
async fn reads_beyond_the_limit_are_coarser_and_not_forgotten() {
    for world in worlds() {
        let txn = world.begin(LEVEL);
        let guard = statement(&txn).await;
        let view = txn.view();
        for n in 0..40_000_u32 {
            read(&view, &format!("k{n:06}")).await;
        }
        guard.finish();
        assert!(world.transactions.active()[0].reads <= 16_384);
        world.set("k023456", "1").await;
        assert!(!commits(&txn).await);
        let txn = world.begin(LEVEL);
        let guard = statement(&txn).await;
        for n in 0..40_000_u32 {
            read(&txn.view(), &format!("k{n:06}")).await;
        }
        guard.finish();
        world.set("z", "1").await;
        assert!(commits(&txn).await, "far from everything that was read");
    }
}

#[tokio::test]
async fn lost_conflicts_name_the_other_side() {
    for world in worlds() {
        world.set("a", "1").await;
        for level in [Isolation::RepeatableRead, LEVEL] {
            let loser = world.begin(level);
            look(&loser, "a").await;
            let snapshot = loser.snapshot_version().unwrap();
            let winner = world.begin(Isolation::ReadCommitted);
            winner.set_statement_text(Some("UPDATE t SET v = 2".into()));
            write(&winner, "a", "2").await.unwrap();
            winner.set_statement_text(Some("COMMIT".into()));
            let version = winner.commit().await.unwrap();
            let error = match level {
                LEVEL => {
                    write(&loser, "b", "2").await.unwrap();
                    loser.commit().await.unwrap_err()
                }
                _ => write(&loser, "a", "3").await.unwrap_err(),
            };
            let facts = error.conflicting_write().expect("a conflict");
            assert_eq!((facts.space, &facts.key[..]), (KeySpace::Rows, &b"a"[..]));
            assert_eq!((facts.snapshot, facts.version), (snapshot, version));
            assert_eq!(facts.writer, Some(winner.id()));
            assert_eq!(facts.statement.as_deref(), Some("UPDATE t SET v = 2"));
            let report = error.report();
            let detail = report.detail.clone().unwrap_or_default();
            assert!(detail.contains(&winner.id().to_string()), "{detail}");
            assert!(
                !detail.contains("UPDATE"),
                "literals are for layers that mask them"
            );
            assert!(error.is_retryable());
        }
    }
}

#[tokio::test]
async fn only_conflicts_are_worth_an_immediate_retry() {
    let world = worlds().remove(0);
    let holder = world.begin(Isolation::ReadCommitted);
    write(&holder, "a", "1").await.unwrap();
    let other = world.begin(LEVEL);
    let refused = lock(&other, "a", Wait::NoWait).await.unwrap_err();
    assert!(!refused.is_retryable(), "{refused}");
    assert!(!other.release("none").unwrap_err().is_retryable());
    let unknown = TransactionError::OutcomeUnknown { txn: other.id() };
    assert!(!unknown.is_retryable());
}

/// A change of a row read at the snapshot is found when the row is locked, as in REPEATABLE READ.
#[tokio::test]
async fn the_second_updater_fails_at_its_lock() {
    for world in worlds() {
        world.set("a", "1").await;
        let second = world.begin(LEVEL);
        statement(&second).await.finish();
        world.set("a", "2").await;
        let error = write(&second, "a", "3").await.unwrap_err();
        assert!(matches!(error, TransactionError::ConcurrentUpdate { .. }));
        put(&second, "b", "3").unwrap();
        second.rollback();
    }
}
