//! The promises of `Store`, over every engine, with and without a checkpoint in between.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::executor::block_on;
use tessera_storage::{
    CommitOutcome, Conflict, KeyRange, KeySpace, RunWriter, ScanOptions, Store, StoreError, Write,
    WriteBatch,
};
use tessera_types::{TxnId, Version};

use crate::harness::{
    ROWS, all, batch, checkpoint, commit, error, get, key, now, put, rows, subjects, text,
};

/// Runs a property over every engine.
fn check(property: impl Fn(&Arc<dyn Store>, &str)) {
    for subject in subjects() {
        property(&subject.store, subject.name);
    }
}

#[test]
fn a_commit_is_seen_by_later_snapshots_only() {
    check(|store, name| {
        let before = store.snapshot();
        let first = put(store, &["a=1", "b=1"]);
        let between = store.snapshot();
        assert_eq!(between.version(), first, "{name}");
        let second = put(store, &["a=2", "b-", "c=2"]);
        assert!(second > first && store.newest() == second, "{name}");
        for _ in 0..2 {
            assert_eq!(all(&before), "", "{name}");
            assert_eq!(all(&between), "a=1 b=1", "{name}");
            assert_eq!(now(store), "a=2 c=2", "{name}");
            assert_eq!(get(&between, "b"), Some("1".into()), "{name}");
            assert_eq!(get(&store.snapshot(), "b"), None, "{name}");
            assert_eq!(get(&between, "c"), None, "{name}");
            checkpoint(store);
        }
    });
}

#[test]
fn spaces_are_separate() {
    check(|store, name| {
        let mut batch = WriteBatch::new(TxnId(1));
        for space in KeySpace::ALL {
            batch
                .writes
                .push((space, key("k"), Write::Put(key(space.name()))));
        }
        assert!(commit(store, batch).version().is_some());
        for _ in 0..2 {
            let snapshot = store.snapshot();
            for space in KeySpace::ALL {
                let found = rows(&snapshot, space, KeyRange::all(), ScanOptions::default());
                assert_eq!(text(found), format!("k={space}"), "{name}");
            }
            checkpoint(store);
        }
    });
}

#[test]
fn scans_respect_range_direction_limits_and_batches() {
    check(|store, name| {
        let names: Vec<String> = (0..500).map(|n| format!("k{n:03}={n}")).collect();
        for half in names.chunks(250) {
            put(store, &half.iter().map(String::as_str).collect::<Vec<_>>());
            if half[0].starts_with("k000") {
                checkpoint(store);
            }
        }
        put(store, &["k100-", "k101=new", "k400-"]);
        let snapshot = store.snapshot();
        let scan = |range, options| rows(&snapshot, ROWS, range, options);
        let small = ScanOptions {
            bytes_max: 64,
            ..ScanOptions::default()
        };
        assert_eq!(scan(KeyRange::all(), small.clone()).len(), 498, "{name}");
        let some = scan(KeyRange::half_open(key("k099"), key("k103")), small.clone());
        assert_eq!(text(some), "k099=99 k101=new k102=102", "{name}");
        let reverse = ScanOptions {
            reverse: true,
            row_limit: Some(3),
            ..small.clone()
        };
        let range = KeyRange {
            start: Bound::Excluded(key("k399")),
            end: Bound::Included(key("k402")),
        };
        assert_eq!(text(scan(range, reverse)), "k402=402 k401=401", "{name}");
        let last = ScanOptions {
            reverse: true,
            row_limit: Some(2),
            ..ScanOptions::default()
        };
        assert_eq!(
            text(scan(KeyRange::all(), last)),
            "k499=499 k498=498",
            "{name}"
        );
        let keys = ScanOptions {
            keys_only: true,
            row_limit: Some(2),
            ..ScanOptions::default()
        };
        assert_eq!(
            text(scan(KeyRange::prefix(b"k2"), keys)),
            "k200= k201=",
            "{name}"
        );
        let empty = KeyRange::half_open(key("k3"), key("k2"));
        assert!(scan(empty, ScanOptions::default()).is_empty(), "{name}");
        let none = ScanOptions {
            row_limit: Some(0),
            ..ScanOptions::default()
        };
        assert!(scan(KeyRange::all(), none).is_empty(), "{name}");
    });
}

#[test]
fn partitions_cover_the_range_once() {
    check(|store, name| {
        let keys: Vec<String> = (0..1_000_u32)
            .map(|n| format!("{}=x", char::from_u32(0x100 + n).unwrap()))
            .collect();
        put(store, &keys.iter().map(String::as_str).collect::<Vec<_>>());
        for _ in 0..2 {
            let snapshot = store.snapshot();
            let parts = snapshot.partitions(ROWS, &KeyRange::all(), 4);
            let count =
                |part: &KeyRange| rows(&snapshot, ROWS, part.clone(), ScanOptions::default()).len();
            assert_eq!(parts.iter().map(count).sum::<usize>(), 1_000, "{name}");
            checkpoint(store);
        }
    });
}

#[test]
fn get_many_answers_in_the_order_asked() {
    check(|store, name| {
        put(store, &["a=1", "b=2"]);
        let keys = [
            (ROWS, key("b")),
            (ROWS, key("x")),
            (ROWS, key("a")),
            (ROWS, key("b")),
        ];
        let values = block_on(store.snapshot().get_many(&keys)).unwrap();
        let expected = [Some(key("2")), None, Some(key("1")), Some(key("2"))];
        assert_eq!(values, expected, "{name}");
    });
}

#[test]
fn must_not_exist_refuses_the_whole_batch() {
    check(|store, name| {
        put(store, &["a=1"]);
        put(store, &["gone=1"]);
        put(store, &["gone-"]);
        for _ in 0..2 {
            let mut refused = batch(&["a=2", "b=2"]);
            refused.must_not_exist = vec![(ROWS, key("b")), (ROWS, key("a"))];
            let StoreError::Conflict { kind, key: at, .. } = error(commit(store, refused)) else {
                panic!("{name}: not a conflict");
            };
            assert_eq!((kind, at), (Conflict::Exists, key("a")), "{name}");
            assert_eq!(now(store), "a=1", "{name}");
            let mut accepted = batch(&["gone=2"]);
            accepted.must_not_exist = vec![(ROWS, key("gone"))];
            assert!(commit(store, accepted).version().is_some(), "{name}");
            put(store, &["gone-"]);
            checkpoint(store);
        }
    });
}

#[test]
fn must_be_unchanged_refuses_what_came_later() {
    check(|store, name| {
        put(store, &["a=1", "b=1"]);
        let snapshot = store.snapshot();
        put(store, &["a=2"]);
        for _ in 0..2 {
            let mut refused = batch(&["b=3"]);
            refused.must_be_unchanged = vec![(ROWS, key("a"), snapshot.version())];
            let StoreError::Conflict { kind, .. } = error(commit(store, refused)) else {
                panic!("{name}: not a conflict");
            };
            assert_eq!(kind, Conflict::Changed, "{name}");
            checkpoint(store);
        }
        let mut accepted = batch(&["b=3"]);
        accepted.must_be_unchanged = vec![(ROWS, key("b"), snapshot.version())];
        assert!(commit(store, accepted).version().is_some(), "{name}");
    });
}

#[test]
fn changes_since_a_snapshot_are_known_as_long_as_it_lives() {
    check(|store, name| {
        put(store, &["a=1", "b=1", "c=1"]);
        let snapshot = store.snapshot();
        let since = snapshot.version();
        put(store, &["b=2"]);
        put(store, &["c-"]);
        let changed = |k: &str| {
            let change = block_on(store.changed_since(ROWS, k.as_bytes(), since)).unwrap();
            change.map(|version| version.0 - since.0)
        };
        let within = |from: &str, to: &str| {
            let range = KeyRange::half_open(key(from), key(to));
            block_on(store.range_changed_since(ROWS, &range, since)).unwrap()
        };
        for _ in 0..3 {
            assert_eq!(
                ["a", "b", "c", "d"].map(changed),
                [None, Some(1), Some(2), None],
                "{name}"
            );
            assert!(
                !within("a", "b") && within("a", "c") && within("c", "d"),
                "{name}"
            );
            assert!(!within("d", "e"), "{name}");
            checkpoint(store);
        }
    });
}

#[test]
fn the_call_before_publication_comes_before_anybody_sees_the_commit() {
    check(|store, name| {
        let seen = Arc::new(AtomicU64::new(0));
        let (inside, watched) = (seen.clone(), store.clone());
        let call = Box::new(move |version: Version| {
            assert!(watched.newest() < version);
            inside.store(version.0, Ordering::Release);
        });
        let outcome = block_on(store.commit(batch(&["a=1"]), Some(call)));
        assert_eq!(
            outcome.version().map(|v| v.0),
            Some(seen.load(Ordering::Acquire)),
            "{name}"
        );
        put(store, &["b=1"]);
        let mut refused = batch(&["b=2"]);
        refused.must_not_exist = vec![(ROWS, key("b"))];
        let call = Box::new(|_| panic!("called for a batch that was refused"));
        error(block_on(store.commit(refused, Some(call))));
    });
}

#[test]
fn calls_before_publication_come_in_the_order_of_versions() {
    check(|store, name| {
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let order = &order;
                scope.spawn(move || {
                    for n in 0..50 {
                        let order = order.clone();
                        let call = Box::new(move |version| order.lock().unwrap().push(version));
                        let write = format!("k{thread}-{n}=x");
                        let outcome = block_on(store.commit(batch(&[&write]), Some(call)));
                        assert!(outcome.version().is_some());
                    }
                });
            }
        });
        let order = order.lock().unwrap();
        assert!(order.len() == 200 && order.is_sorted(), "{name}");
    });
}

fn add_all(writer: &mut dyn RunWriter, writes: &[&str]) {
    for (space, key, write) in batch(writes).writes {
        writer.add(space, key, write).unwrap();
    }
}

#[test]
fn runs_belong_to_their_commit() {
    check(|store, name| {
        put(store, &["a=0", "b=0", "z=0"]);
        let before = store.snapshot();
        let mut first = store.begin_run().unwrap();
        add_all(&mut *first, &["a=1", "b=1", "c=1", "d=1"]);
        let first = first.finish().unwrap();
        let mut second = store.begin_run().unwrap();
        add_all(&mut *second, &["b=2", "c-", "e=2"]);
        let second = second.finish().unwrap();
        assert_eq!(
            block_on(first.get(ROWS, b"c")).unwrap(),
            Some(Write::Put(key("1")))
        );
        assert_eq!(
            block_on(second.get(ROWS, b"c")).unwrap(),
            Some(Write::Delete)
        );
        assert_eq!(block_on(second.get(ROWS, b"d")).unwrap(), None);
        assert_eq!(block_on(second.get(KeySpace::Indexes, b"e")).unwrap(), None);
        let mut commit_all = batch(&["d=3", "f=3"]);
        commit_all.runs = vec![first.id(), second.id()];
        let version = commit(store, commit_all).version().expect(name);
        drop((first, second));
        let after = store.snapshot();
        assert_eq!(after.version(), version);
        for _ in 0..3 {
            assert_eq!(all(&before), "a=0 b=0 z=0", "{name}");
            assert_eq!(all(&after), "a=1 b=2 d=3 e=2 f=3 z=0", "{name}");
            assert_eq!(now(store), "a=1 b=2 d=3 e=2 f=3 z=0", "{name}");
            assert_eq!(get(&after, "c"), None, "{name}");
            assert_eq!(get(&after, "b"), Some("2".into()), "{name}");
            assert_eq!(get(&before, "b"), Some("0".into()), "{name}");
            let since = before.version();
            assert!(
                block_on(store.changed_since(ROWS, b"e", since)).unwrap() == Some(version),
                "{name}"
            );
            assert!(
                block_on(store.changed_since(ROWS, b"z", since))
                    .unwrap()
                    .is_none(),
                "{name}"
            );
            let range = KeyRange::half_open(key("dd"), key("ee"));
            assert!(
                block_on(store.range_changed_since(ROWS, &range, since)).unwrap(),
                "{name}"
            );
            let reverse = ScanOptions {
                reverse: true,
                ..ScanOptions::default()
            };
            let found = rows(
                &after,
                ROWS,
                KeyRange::half_open(key("b"), key("f")),
                reverse,
            );
            assert_eq!(text(found), "e=2 d=3 b=2", "{name}");
            checkpoint(store);
        }
    });
}

#[test]
fn large_runs_are_read_back_block_by_block() {
    check(|store, name| {
        let mut writer = store.begin_run().unwrap();
        for space in [ROWS, KeySpace::Indexes] {
            for n in 0..5_000_u32 {
                let value = key(format!("value {n}"));
                writer
                    .add(space, key(n.to_be_bytes()), Write::Put(value))
                    .unwrap();
            }
        }
        let run = writer.finish().unwrap();
        assert_eq!(run.entries(), 10_000, "{name}");
        for n in [0_u32, 1, 777, 4_999] {
            let found = block_on(run.get(ROWS, &n.to_be_bytes())).unwrap();
            assert_eq!(found, Some(Write::Put(key(format!("value {n}")))), "{name}");
        }
        assert_eq!(
            block_on(run.get(ROWS, &5_000_u32.to_be_bytes())).unwrap(),
            None
        );
        for reverse in [false, true] {
            let range =
                KeyRange::half_open(key(100_u32.to_be_bytes()), key(4_000_u32.to_be_bytes()));
            let options = ScanOptions {
                reverse,
                bytes_max: 1_000,
                ..ScanOptions::default()
            };
            let mut scan = run.clone().scan(KeySpace::Indexes, range, options);
            let mut found = Vec::new();
            while let Some(batch) = block_on(scan.next_batch()).unwrap() {
                found.extend(batch.into_iter().map(|(k, _)| k));
            }
            if reverse {
                found.reverse();
            }
            assert_eq!(found.len(), 3_900, "{name}");
            assert!(found.is_sorted(), "{name}");
        }
    });
}

#[test]
fn runs_out_of_order_and_unknown_runs_are_refused() {
    check(|store, name| {
        let mut writer = store.begin_run().unwrap();
        writer.add(ROWS, key("b"), Write::Delete).unwrap();
        assert!(writer.add(ROWS, key("b"), Write::Delete).is_err(), "{name}");
        assert!(
            writer
                .add(KeySpace::Catalog, key("z"), Write::Delete)
                .is_err(),
            "{name}"
        );
        let run = writer.finish().unwrap();
        let id = run.id();
        drop(run);
        let mut refused = batch(&["a=1"]);
        refused.runs = vec![id];
        error(commit(store, refused));
        assert_eq!(now(store), "", "{name}");
    });
}

#[test]
fn a_destroyed_range_is_empty_for_new_snapshots_only() {
    check(|store, name| {
        put(store, &["a=1", "b1=1", "b2=1", "c=1"]);
        checkpoint(store);
        put(store, &["b2=2", "b3=2"]);
        let before = store.snapshot();
        store.destroy_range(ROWS, KeyRange::prefix(b"b")).unwrap();
        // A commit behind it is published behind it.
        put(store, &["d=1"]);
        for _ in 0..3 {
            assert_eq!(now(store), "a=1 c=1 d=1", "{name}");
            assert_eq!(get(&store.snapshot(), "b1"), None, "{name}");
            assert_eq!(all(&before), "a=1 b1=1 b2=2 b3=2 c=1", "{name}");
            assert_eq!(get(&before, "b1"), Some("1".into()), "{name}");
            assert!(
                block_on(store.changed_since(ROWS, b"b1", before.version()))
                    .unwrap()
                    .is_some(),
                "{name}"
            );
            checkpoint(store);
        }
        put(store, &["b4=3"]);
        assert_eq!(now(store), "a=1 b4=3 c=1 d=1", "{name}");
    });
}

#[test]
fn limits_are_named_errors() {
    check(|store, name| {
        let limits = store.capabilities().clone();
        let mut large_key = batch(&[]);
        let too_long = key(vec![b'k'; limits.key_bytes_max + 1]);
        large_key.writes.push((ROWS, too_long, Write::Delete));
        assert!(
            matches!(error(commit(store, large_key)), StoreError::TooLarge { .. }),
            "{name}"
        );
        let mut empty_key = batch(&[]);
        empty_key.writes.push((ROWS, key(""), Write::Delete));
        error(commit(store, empty_key));
        let mut unsorted = batch(&["a=1", "b=1"]);
        unsorted.writes.reverse();
        error(commit(store, unsorted));
        let mut fits = batch(&[]);
        let longest = key(vec![b'k'; limits.key_bytes_max]);
        fits.writes
            .push((ROWS, longest.clone(), Write::Put(key("v"))));
        assert!(commit(store, fits).version().is_some(), "{name}");
        checkpoint(store);
        let found = block_on(store.snapshot().get(ROWS, &longest)).unwrap();
        assert_eq!(found, Some(key("v")), "{name}");
    });
}

#[test]
fn a_closed_store_refuses_and_closing_twice_is_fine() {
    check(|store, name| {
        put(store, &["a=1"]);
        block_on(store.close()).unwrap();
        block_on(store.close()).unwrap();
        let refused = error(commit(store, batch(&["a=2"])));
        assert!(
            matches!(refused, StoreError::Unavailable { .. }),
            "{name}: {refused}"
        );
    });
}

#[test]
fn an_empty_batch_is_committed_without_a_version_of_its_own() {
    check(|store, name| {
        let version = put(store, &["a=1"]);
        assert_eq!(put(store, &[]), version, "{name}");
    });
}

#[test]
fn readers_beside_writers_never_see_half_a_commit() {
    check(|store, name| {
        put(store, &["a=0", "b=0"]);
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for n in 0..400 {
                    let (a, b) = (format!("a={n}"), format!("b={n}"));
                    let outcome = crate::harness::put_buffered(store, &[&a, &b]);
                    assert!(
                        matches!(outcome, CommitOutcome::Committed(_)),
                        "{outcome:?}"
                    );
                    if n % 100 == 0 {
                        checkpoint(store);
                    }
                }
                done.store(true, Ordering::Release);
            });
            while !done.load(Ordering::Acquire) && !writer.is_finished() {
                let snapshot = store.snapshot();
                assert_eq!(get(&snapshot, "a"), get(&snapshot, "b"), "{name}");
                let both = rows(&snapshot, ROWS, KeyRange::all(), ScanOptions::default());
                assert_eq!(both[0].1, both[1].1, "{name}");
            }
        });
    });
}

/// Method: threads move one unit between two of a few rows, on the condition that neither was
/// changed since they were read; some commits are runs, and checkpoints come in between.
/// Property: no update is lost, so the total stays.
#[test]
fn conditions_hold_between_concurrent_commits() {
    const ROWS_COUNT: usize = 4;
    check(|store, name| {
        let names: Vec<String> = (0..ROWS_COUNT).map(|n| format!("r{n}=100")).collect();
        put(store, &names.iter().map(String::as_str).collect::<Vec<_>>());
        let conflicts = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for thread in 0..3_usize {
                let conflicts = &conflicts;
                scope.spawn(move || {
                    for n in 0..150 {
                        let (from, to) = ((n + thread) % ROWS_COUNT, (n * 3 + 1) % ROWS_COUNT);
                        if from == to {
                            continue;
                        }
                        let snapshot = store.snapshot();
                        let read = |n: usize| -> i64 {
                            get(&snapshot, &format!("r{n}")).unwrap().parse().unwrap()
                        };
                        let (a, b) = (read(from) - 1, read(to) + 1);
                        let mut batch = batch(&[&format!("r{from}={a}"), &format!("r{to}={b}")]);
                        let since = snapshot.version();
                        batch.must_be_unchanged = batch
                            .writes
                            .iter()
                            .map(|(space, key, _)| (*space, key.clone(), since))
                            .collect();
                        batch.durability = tessera_storage::Durability::Buffered;
                        let run = (n % 3 == 0).then(|| {
                            let mut writer = store.begin_run().unwrap();
                            for (space, key, write) in batch.writes.drain(..) {
                                writer.add(space, key, write).unwrap();
                            }
                            writer.finish().unwrap()
                        });
                        batch.runs = run.iter().map(|run| run.id()).collect();
                        if let CommitOutcome::Aborted(error) = commit(store, batch) {
                            assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
                            conflicts.fetch_add(1, Ordering::Relaxed);
                        }
                        if n % 50 == 0 {
                            checkpoint(store);
                        }
                    }
                });
            }
        });
        let found = rows(
            &store.snapshot(),
            ROWS,
            KeyRange::all(),
            ScanOptions::default(),
        );
        let total: i64 = found
            .iter()
            .map(|(_, v)| std::str::from_utf8(v).unwrap().parse::<i64>().unwrap())
            .sum();
        assert_eq!(total, 100 * ROWS_COUNT as i64, "{name}");
    });
}
