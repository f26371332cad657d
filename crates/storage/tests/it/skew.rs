//! Two commits that read what the other writes, both on their way: never both pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use futures::executor::block_on;
use futures::future::BoxFuture;
use tessera_environment::Environment;
use tessera_storage::{
    CommitOutcome, EmbeddedOptions, KeyRange, ReadFilter, ReadKey, ReadRange, ReadSet,
    RefinedRange, Run, Store, StoreError, WriteBatch,
};
use tessera_types::TxnId;

use crate::harness::{ROWS, batch, commit, error, get, key, open, put, subjects};
use crate::points;
use crate::reads::with_reads;

fn reads_of(store: &Arc<dyn Store>, name: &str) -> ReadSet {
    let mut reads = ReadSet::new(store.snapshot());
    reads.keys.push(ReadKey {
        space: ROWS,
        key: key(name),
        since: reads.version(),
    });
    reads
}

fn range_of(store: &Arc<dyn Store>) -> ReadSet {
    let mut reads = ReadSet::new(store.snapshot());
    let since = reads.version();
    let range = ReadRange::new(ROWS, &KeyRange::all(), since);
    reads.ranges.extend(range);
    reads
}

type Commit = BoxFuture<'static, CommitOutcome>;

/// Begins a commit: afterwards the batch is refused, or sequenced and perhaps published.
fn sequence(store: &Arc<dyn Store>, batch: WriteBatch) -> Commit {
    let mut commit = store.commit(batch, None);
    let waker = futures::task::noop_waker();
    let mut context = std::task::Context::from_waker(&waker);
    match commit.as_mut().poll(&mut context) {
        std::task::Poll::Pending => commit,
        std::task::Poll::Ready(outcome) => Box::pin(async move { outcome }),
    }
}

/// Two batches that each read what the other writes. The first one's writes may be a run, or more
/// than the second one's reads.
struct Pair {
    first: WriteBatch,
    second: WriteBatch,
    _run: Option<Arc<dyn Run>>,
}

#[derive(Debug, Clone, Copy)]
struct Shape {
    ranges: bool,
    filtered: bool,
    as_run: bool,
    is_wide: bool,
}

fn pair(store: &Arc<dyn Store>, shape: Shape) -> Pair {
    let Shape {
        ranges,
        filtered,
        as_run,
        is_wide,
    } = shape;
    put(store, &["a=on", "b=on"]);
    let read = |name: &str| match (ranges, filtered) {
        (false, _) => reads_of(store, name),
        (true, false) => range_of(store),
        (true, true) => {
            let mut reads = range_of(store);
            let range = reads.ranges.remove(0);
            let is_on = |value: Option<&[u8]>| value.is_some_and(|value| value == b"on");
            let filter = ReadFilter::new(move |_, old, new| is_on(old) != is_on(new));
            reads.refined.push(RefinedRange { range, filter });
            reads
        }
    };
    let writes: &[&str] = match is_wide {
        true => &["a=off", "aa=x", "ab=x", "z=x"],
        false => &["a=off"],
    };
    let mut first = with_reads(writes, read("b"));
    first.txn = TxnId(77);
    let second = with_reads(&["b=off"], read("a"));
    let run = as_run.then(|| {
        let mut writer = store.begin_run().unwrap();
        for (space, key, write) in first.writes.drain(..) {
            writer.add(space, key, write).unwrap();
        }
        writer.finish().unwrap()
    });
    first.runs = run.iter().map(|run| run.id()).collect();
    Pair {
        first,
        second,
        _run: run,
    }
}

fn pairs(store: &Arc<dyn Store>, mut property: impl FnMut(Pair, &str)) {
    for (ranges, filtered) in [(false, false), (true, false), (true, true)] {
        for (as_run, is_wide) in [(false, false), (false, true), (true, true)] {
            let shape = Shape {
                ranges,
                filtered,
                as_run,
                is_wide,
            };
            property(pair(store, shape), &format!("{shape:?}"));
        }
    }
}

fn assert_lost_to_the_first(outcome: CommitOutcome, context: &str) {
    let StoreError::SerializationFailure {
        writer, key: at, ..
    } = error(outcome)
    else {
        panic!("{context}: another error");
    };
    assert_eq!((at, writer), (key("a"), Some(TxnId(77))), "{context}");
}

/// Method: when the first committer has its version and nobody has published it, the second one
/// commits.
#[test]
fn a_commit_is_compared_with_those_that_are_not_published_yet() {
    for subject in subjects().into_iter().skip(1) {
        let (store, name) = (&subject.store, subject.name);
        pairs(store, |pair, context| {
            let context = format!("{name}, {context}");
            let (other, before, inside) = (store.clone(), store.newest(), context.clone());
            points::at(points::SEQUENCED, move || {
                assert_eq!(other.newest(), before, "{inside}: published already");
                let outcome = sequence(&other, pair.second).now_or_never();
                assert_lost_to_the_first(outcome.expect("refused at once"), &inside);
            });
            assert!(commit(store, pair.first).version().is_some(), "{context}");
            assert!(points::is_past(), "{context}");
            assert_eq!(get(&store.snapshot(), "b"), Some("on".into()), "{context}");
        });
    }
}

/// Method: the first committer overtakes while the second one, which came earlier, validates:
/// after its first look, and right before it takes the lock.
#[test]
fn a_commit_that_overtakes_a_validation_is_seen_by_it() {
    for subject in subjects().into_iter().skip(1) {
        let (store, name) = (&subject.store, subject.name);
        for point in [points::FIRST_LOOK, points::LAST_LOOK] {
            pairs(store, |pair, context| {
                let context = format!("{name}, {point}, {context}");
                let (sender, receiver) = std::sync::mpsc::channel();
                let other = store.clone();
                let (first, run) = (pair.first, pair._run);
                points::at(point, move || {
                    sender.send(sequence(&other, first)).unwrap();
                    drop(run);
                });
                assert_lost_to_the_first(commit(store, pair.second), &context);
                let first = receiver.recv().unwrap();
                assert!(block_on(first).version().is_some(), "{context}");
            });
        }
    }
}

/// A range that is being destroyed was read by somebody who then commits.
#[test]
fn a_destroyed_range_conflicts_before_it_is_published() {
    for subject in subjects().into_iter().skip(1) {
        let (store, name) = (&subject.store, subject.name);
        for as_range in [false, true] {
            put(store, &["a=1", "c=1"]);
            let reads = match as_range {
                false => reads_of(store, "a"),
                true => range_of(store),
            };
            let (other, before) = (store.clone(), store.newest());
            // Something unpublished in front of it keeps the destroyed range unpublished.
            points::at(points::SEQUENCED, move || {
                other.destroy_range(ROWS, KeyRange::prefix(b"a")).unwrap();
                assert_eq!(other.newest(), before, "published already");
                let outcome = sequence(&other, with_reads(&["own=1"], reads)).now_or_never();
                let refused = error(outcome.expect("refused at once"));
                let is_conflict = matches!(refused, StoreError::SerializationFailure { .. });
                assert!(is_conflict, "{refused}");
            });
            let mut in_front = WriteBatch::new(TxnId(5));
            in_front.writes = batch(&["z=1"]).writes;
            assert!(commit(store, in_front).version().is_some(), "{name}");
            assert!(points::is_past(), "{name}");
        }
    }
}

/// A change that matters is not hidden by a later one that does not and that may still fail.
#[test]
fn a_filter_is_asked_for_what_lies_under_a_commit_in_flight() {
    for subject in subjects().into_iter().skip(1) {
        let (store, name) = (&subject.store, subject.name);
        put(store, &["a=none"]);
        let mut reads = range_of(store);
        let range = reads.ranges.remove(0);
        let is_x = |value: Option<&[u8]>| value.is_some_and(|value| value == b"x");
        let filter = ReadFilter::new(move |_, old, new| is_x(old) || is_x(new));
        reads.refined.push(RefinedRange { range, filter });
        put(store, &["a=x"]);
        let other = store.clone();
        points::at(points::SEQUENCED, move || {
            let outcome = sequence(&other, with_reads(&["own=1"], reads)).now_or_never();
            let refused = error(outcome.expect("refused at once"));
            let is_conflict = matches!(refused, StoreError::SerializationFailure { .. });
            assert!(is_conflict, "{refused}");
        });
        put(store, &["a=none"]);
        assert!(points::is_past(), "{name}");
    }
}

/// The guard of all: a sum that every thread reads as a range, and may only lower while it is
/// positive, each by writing a key of its own. Snapshot isolation would let it go below zero.
#[test]
fn concurrent_committers_never_both_pass() {
    const THREADS: usize = 4;
    for subject in subjects() {
        let (store, name) = (&subject.store, subject.name);
        let conflicts = AtomicU64::new(0);
        for round in 0..60 {
            let rows: Vec<String> = (0..THREADS).map(|n| format!("s{n}=1")).collect();
            put(store, &rows.iter().map(String::as_str).collect::<Vec<_>>());
            let barrier = std::sync::Barrier::new(THREADS);
            std::thread::scope(|scope| {
                for n in 0..THREADS {
                    let (conflicts, barrier) = (&conflicts, &barrier);
                    scope.spawn(move || {
                        let reads = range_of(store);
                        let read = |k: usize| get(&reads.snapshot, &format!("s{k}")).unwrap();
                        let sum: i64 = (0..THREADS).map(|k| read(k).parse::<i64>().unwrap()).sum();
                        barrier.wait();
                        let mine = format!("s{n}={}", 1 - sum);
                        let mut batch = with_reads(&[&mine], reads);
                        if n % 2 == 0 {
                            batch.durability = tessera_storage::Durability::Buffered;
                        }
                        if let CommitOutcome::Aborted(error) = commit(store, batch) {
                            let kind = matches!(error, StoreError::SerializationFailure { .. });
                            assert!(kind, "{name}: {error}");
                            conflicts.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
            let snapshot = store.snapshot();
            let read = |k: usize| get(&snapshot, &format!("s{k}")).unwrap();
            let sum: i64 = (0..THREADS).map(|k| read(k).parse::<i64>().unwrap()).sum();
            assert!(sum >= 0, "{name}, round {round}: the sum is {sum}");
        }
        assert!(
            conflicts.load(Ordering::Relaxed) > 0,
            "{name}: no contention"
        );
    }
}

/// A snapshot that the store gave up cannot answer what changed since: the commit fails.
#[test]
fn reads_of_a_snapshot_that_was_given_up_are_refused() {
    let (env, _) = Environment::simulated(1);
    let options = EmbeddedOptions {
        recent_bytes_max: 1 << 20,
        checkpoint_bytes: 1 << 18,
        checkpoint_log_bytes: 64 << 20,
        checkpoint_automatic: true,
        ..EmbeddedOptions::simulated()
    };
    let store = open(&env, options);
    put(&store, &["a=1"]);
    let reads = reads_of(&store, "a");
    let since = reads.version();
    put(&store, &["a=2"]);
    let value = "x".repeat(2_000);
    for n in 0..2_000 {
        crate::harness::put_buffered(&store, &[&format!("k{n:05}={value}")]);
    }
    let untouched = {
        let mut untouched = reads.clone();
        untouched.keys[0].key = key("never written");
        untouched
    };
    for reads in [reads, untouched] {
        let refused = error(commit(&store, with_reads(&["own=1"], reads)));
        let is_known = matches!(refused, StoreError::SerializationFailure { .. });
        let is_too_old = matches!(refused, StoreError::SnapshotTooOld { .. });
        assert!(is_known || is_too_old, "{refused}");
    }
    let unknown = block_on(store.changed_since(ROWS, b"never written", since));
    let is_too_old = matches!(unknown, Err(StoreError::SnapshotTooOld { .. }));
    assert!(is_too_old, "{unknown:?}");
}
