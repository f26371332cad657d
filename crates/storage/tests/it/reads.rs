//! Commits with reads: each way of reading against each way of changing, over every engine.

use std::ops::Bound;
use std::sync::Arc;

use tessera_storage::{
    CommitOutcome, KeyRange, KeySpace, REFINED_RANGES_MAX, ReadFilter, ReadKey, ReadRange, ReadSet,
    RefinedRange, Store, StoreError, WriteBatch,
};
use tessera_types::codes;

use crate::harness::{ROWS, batch, checkpoint, commit, error, get, key, put, subjects};

/// `a` reads a key, `b..d` a range with neither end bounded by a key of its own, `[b..d]` one with
/// both ends, `..` everything, `b..d?x` the rows of a range whose value begins with `x`.
fn read(reads: &mut ReadSet, text: &str) {
    let since = reads.version();
    let (range, prefix) = match text.split_once('?') {
        Some((range, prefix)) => (range, Some(prefix.to_owned())),
        None => (text, None),
    };
    let Some((start, end)) = range.split_once("..") else {
        let key = key(range);
        reads.keys.push(ReadKey {
            space: ROWS,
            key,
            since,
        });
        return;
    };
    let bound = |text: &str| match text.trim_matches(['[', ']']) {
        "" => Bound::Unbounded,
        name if name == text => Bound::Excluded(key(name)),
        name => Bound::Included(key(name)),
    };
    let range = KeyRange {
        start: bound(start),
        end: bound(end),
    };
    let range = ReadRange::new(ROWS, &range, since).expect("not empty");
    match prefix {
        None => reads.ranges.push(range),
        Some(prefix) => {
            let begins = move |value: Option<&[u8]>| {
                value.is_some_and(|value| value.starts_with(prefix.as_bytes()))
            };
            let filter = ReadFilter::new(move |_, old, new| begins(old) || begins(new));
            reads.refined.push(RefinedRange { range, filter });
        }
    }
}

fn reading(store: &Arc<dyn Store>, texts: &[&str]) -> ReadSet {
    let mut reads = ReadSet::new(store.snapshot());
    texts.iter().for_each(|text| read(&mut reads, text));
    reads.keys.sort_by(|a, b| a.key.cmp(&b.key));
    reads.ranges.sort_by(|a, b| a.start.cmp(&b.start));
    reads
}

pub(crate) fn with_reads(writes: &[&str], reads: ReadSet) -> WriteBatch {
    WriteBatch {
        reads: Some(reads),
        ..batch(writes)
    }
}

/// How another transaction changes something.
#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    InMemory,
    InRun,
    Destroyed,
}

fn change(store: &Arc<dyn Store>, how: How, text: &str) {
    match how {
        How::InMemory => drop(put(store, &[text])),
        How::InRun => {
            let mut writer = store.begin_run().unwrap();
            for (space, key, write) in batch(&[text]).writes {
                writer.add(space, key, write).unwrap();
            }
            let run = writer.finish().unwrap();
            let mut batch = batch(&[]);
            batch.runs = vec![run.id()];
            assert!(commit(store, batch).version().is_some());
        }
        How::Destroyed => {
            let range = KeyRange::point(key(text.trim_end_matches('-')));
            store.destroy_range(ROWS, range).unwrap();
        }
    }
}

fn is_refused(store: &Arc<dyn Store>, batch: WriteBatch) -> bool {
    match commit(store, batch) {
        CommitOutcome::Committed(_) => false,
        CommitOutcome::Aborted(error) => {
            assert_eq!(error.code().0, codes::SERIALIZATION_FAILURE, "{error}");
            true
        }
        CommitOutcome::Unknown(txn) => panic!("unknown: {txn}"),
    }
}

/// Method: a store with some rows; a reader; a change by somebody else, as an ordinary commit, as
/// a run, or by destroying the range; perhaps a checkpoint; then the reader's commit, small or as
/// a run.
#[test]
fn a_commit_is_refused_exactly_if_what_it_read_was_changed() {
    // What is read; the change; whether it conflicts.
    const CASES: &[(&str, &str, bool)] = &[
        ("a", "a=2", true),
        ("a", "a-", true),
        ("a", "c=2", false),
        // A key that is not there.
        ("b", "b=1", true),
        ("b", "bb=1", false),
        // Phantoms: insert, update, delete, and just outside.
        ("b..d", "cc=1", true),
        ("b..d", "c=2", true),
        ("b..d", "c-", true),
        ("b..d", "b=1", false),
        ("b..d", "d=1", false),
        ("[b..d]", "b=1", true),
        ("[b..d]", "d=1", true),
        ("[b..d]", "dd=1", false),
        ("[b..d]", "a=2", false),
        ("..", "zz=1", true),
        // A scan forwards that stopped at c, and one backwards that did.
        ("[a..c]", "cc=1", false),
        ("[a..c]", "ab=1", true),
        ("[c..", "bb=1", false),
        ("[c..", "zz=1", true),
        // Only some rows matter: before, after, or neither.
        ("..?x", "x=x2", true),
        ("..?x", "x-", true),
        ("..?x", "x=none", true),
        ("..?x", "new=x", true),
        ("..?x", "a=x", true),
        ("..?x", "a=2", false),
        ("..?x", "new=none", false),
        ("..?x", "a-", false),
        ("b..d?x", "x=x2", false),
    ];
    for subject in subjects() {
        let (store, name) = (&subject.store, subject.name);
        for how in [How::InMemory, How::InRun, How::Destroyed] {
            for with_checkpoint in [false, true] {
                for as_run in [false, true] {
                    for &(what, text, conflicts) in CASES {
                        // What is destroyed must be there, and no filter is asked.
                        let exists = ["a-", "c-", "x-"].contains(&text);
                        if how == How::Destroyed && (!exists || what.contains('?') && !conflicts) {
                            continue;
                        }
                        for gone in ["ab", "b", "bb", "cc", "d", "dd", "zz", "new"] {
                            put(store, &[&format!("{gone}-")]);
                        }
                        put(store, &["a=1", "c=1", "e=1", "x=x1"]);
                        let reads = reading(store, &[what]);
                        change(store, how, text);
                        if with_checkpoint {
                            checkpoint(store);
                        }
                        let mut batch = with_reads(&["own=1"], reads);
                        let run = as_run.then(|| {
                            let mut writer = store.begin_run().unwrap();
                            for (space, key, write) in batch.writes.drain(..) {
                                writer.add(space, key, write).unwrap();
                            }
                            writer.finish().unwrap()
                        });
                        batch.runs = run.iter().map(|run| run.id()).collect();
                        assert_eq!(
                            is_refused(store, batch),
                            conflicts,
                            "{name}: read {what}, {text} {how:?}, checkpoint {with_checkpoint}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_refusal_names_place_and_versions_and_leaves_nothing() {
    for subject in subjects() {
        let (store, name) = (&subject.store, subject.name);
        put(store, &["a=1", "b=1"]);
        let reads = reading(store, &["b", "c..", "[a..a]"]);
        let since = reads.version();
        let changed = put(store, &["c1=1", "z=1"]);
        let refused = error(commit(store, with_reads(&["own=1"], reads)));
        let StoreError::SerializationFailure {
            space,
            key: at,
            snapshot,
            version,
            ..
        } = refused
        else {
            panic!("{name}: {refused}");
        };
        assert_eq!((space, at), (ROWS, key("c1")), "{name}");
        assert_eq!((snapshot, version), (since, changed), "{name}");
        assert_eq!(get(&store.snapshot(), "own"), None, "{name}");
        assert_eq!(store.statistics().conflicts_total, 1, "{name}");
    }
}

/// What was read later than the snapshot, under a lock, is compared with what came after that.
#[test]
fn a_read_counts_from_its_own_version() {
    for subject in subjects() {
        let (store, name) = (&subject.store, subject.name);
        put(store, &["a=1", "b=1"]);
        for what in ["a", "[a..b]"] {
            let mut reads = reading(store, &[what]);
            let later = put(store, &["a=2", "b=2"]);
            reads.keys.iter_mut().for_each(|read| read.since = later);
            reads.ranges.iter_mut().for_each(|read| read.since = later);
            let again = reads.clone();
            assert!(!is_refused(store, with_reads(&["own=1"], reads)), "{name}");
            put(store, &["a=3"]);
            assert!(is_refused(store, with_reads(&["own=2"], again)), "{name}");
        }
    }
}

#[test]
fn own_writes_over_own_reads_are_no_conflict() {
    for subject in subjects() {
        let (store, name) = (&subject.store, subject.name);
        put(store, &["a=1", "b=1"]);
        let reads = reading(store, &["a", "..", "..?1"]);
        let batch = with_reads(&["a=2", "b-", "c=1"], reads);
        assert!(!is_refused(store, batch), "{name}");
    }
}

/// A batch that only reads has no effect, but is told whether it would have been in time.
#[test]
fn reads_alone_are_validated_too() {
    for subject in subjects() {
        let (store, name) = (&subject.store, subject.name);
        put(store, &["a=1"]);
        let reads = reading(store, &["a"]);
        let again = reads.clone();
        assert!(!is_refused(store, with_reads(&[], reads)), "{name}");
        put(store, &["a=2"]);
        assert!(is_refused(store, with_reads(&[], again)), "{name}");
    }
}

#[test]
fn spaces_do_not_conflict_with_each_other() {
    for subject in subjects() {
        let (store, name) = (&subject.store, subject.name);
        let mut reads = reading(store, &["a", ".."]);
        for read in &mut reads.keys {
            read.space = KeySpace::Indexes;
        }
        for read in &mut reads.ranges {
            read.space = KeySpace::Indexes;
        }
        put(store, &["a=1"]);
        assert!(!is_refused(store, with_reads(&["b=1"], reads)), "{name}");
    }
}

/// Whatever the number of reads and writes, and whichever of both is looked up in the other.
#[test]
fn many_reads_against_many_writes() {
    for subject in subjects() {
        let (store, name) = (&subject.store, subject.name);
        let names: Vec<String> = (0..3_000).map(|n| format!("k{n:04}")).collect();
        let mut reads = ReadSet::new(store.snapshot());
        for name in names.iter().step_by(2) {
            read(&mut reads, name);
        }
        for n in (1..3_000).step_by(200) {
            read(&mut reads, &format!("[k{n:04}..k{n:04}]"));
        }
        let changes: Vec<String> = (1..3_000)
            .step_by(2)
            .filter(|n| n % 200 != 1)
            .map(|n| format!("k{n:04}=1"))
            .collect();
        put(
            store,
            &changes.iter().map(String::as_str).collect::<Vec<_>>(),
        );
        let again = reads.clone();
        assert!(!is_refused(store, with_reads(&["own=1"], reads)), "{name}");
        put(store, &["k2801=1"]);
        assert!(is_refused(store, with_reads(&["own=1"], again)), "{name}");
    }
}

#[test]
fn reads_over_a_limit_or_out_of_order_are_refused() {
    for subject in subjects() {
        let (store, name) = (&subject.store, subject.name);
        let mut many = reading(store, &["a"]);
        let one = many.keys[0].clone();
        many.keys = (0..=store.capabilities().batch_reads_max)
            .map(|n| ReadKey {
                key: key(n.to_be_bytes()),
                ..one.clone()
            })
            .collect();
        let filtered = vec!["..?x"; REFINED_RANGES_MAX + 1];
        for reads in [many, reading(store, &filtered)] {
            let refused = error(commit(store, with_reads(&["b=1"], reads)));
            let is_too_large = matches!(refused, StoreError::TooLarge { .. });
            assert!(is_too_large, "{name}: {refused}");
        }
        let mut unsorted = reading(store, &["a", "b"]);
        unsorted.keys.reverse();
        for reads in [unsorted, reading(store, &["a..c", "b..d"])] {
            let refused = error(commit(store, with_reads(&["b=1"], reads)));
            let is_refused = matches!(refused, StoreError::Unavailable { .. });
            assert!(is_refused, "{name}: {refused}");
        }
    }
}
