//! The bounds of what is recorded, and that nothing gets lost at them.

use std::ops::Bound;

use proptest::prelude::*;
use tessera_storage::{KeyRange, open_memory};

use super::*;

fn key(n: u32) -> Key {
    Key::copy_from_slice(&n.to_be_bytes())
}

fn tracker(reads_max: usize) -> (Arc<ReadTracker>, ViewReads) {
    let tracker = Arc::new(ReadTracker::new(reads_max));
    let reads = ViewReads::of_snapshot(&tracker, Version::ZERO);
    (tracker, reads)
}

fn range(start: u32, end: u32) -> ReadRange {
    let range = KeyRange::half_open(key(start), key(end));
    ReadRange::new(KeySpace::Rows, &range, Version::ZERO).expect("not empty")
}

fn taken(tracker: &ReadTracker) -> ReadSet {
    let snapshot = open_memory().snapshot();
    let reads = tracker.take(snapshot).expect("something was read");
    assert!(reads.is_sorted());
    reads
}

fn covers(reads: &ReadSet, space: KeySpace, key: &Key) -> bool {
    let is_key = |read: &ReadKey| read.space == space && read.key == *key;
    let is_inside = |range: &ReadRange| range.contains(space, key);
    reads.keys.iter().any(is_key)
        || reads.ranges.iter().any(is_inside)
        || reads
            .refined
            .iter()
            .any(|refined| is_inside(&refined.range))
}

#[test]
fn a_million_reads_take_bounded_memory_and_are_all_covered() {
    let (tracker, reads) = tracker(1_000);
    for n in 0..1_000_000_u32 {
        let space = KeySpace::ALL[(n % 2) as usize + 2];
        reads.key(space, &key(n.wrapping_mul(2_654_435_761)));
        if n % 1_000 == 0 {
            assert!(tracker.len() <= 1_000);
        }
    }
    let taken = taken(&tracker);
    assert!(taken.len() <= 1_000);
    for n in (0..1_000_000_u32).step_by(997) {
        let space = KeySpace::ALL[(n % 2) as usize + 2];
        assert!(
            covers(&taken, space, &key(n.wrapping_mul(2_654_435_761))),
            "{n}"
        );
    }
}

#[test]
fn long_keys_are_bounded_by_their_bytes() {
    let (tracker, reads) = tracker(10_000);
    let long = |n: u32| Key::from([&n.to_be_bytes()[..], &[7; 30_000]].concat());
    for n in 0..2_000 {
        reads.key(KeySpace::Rows, &long(n));
        assert!(tracker.state.lock().bytes() <= READ_BYTES_MAX);
    }
    let taken = taken(&tracker);
    assert!((0..2_000).all(|n| covers(&taken, KeySpace::Rows, &long(n))));
}

#[test]
fn the_pieces_of_a_scan_with_a_filter_are_one_range_in_any_order() {
    let (tracker, reads) = tracker(100);
    let reads = reads.refined(ReadFilter::new(|_, _, _| true));
    for piece in [3, 0, 1, 4, 2] {
        reads.range(range(piece * 10, piece * 10 + 10));
    }
    let taken = taken(&tracker);
    assert_eq!((taken.refined.len(), taken.len()), (1, 1));
    assert_eq!(taken.refined[0].range, range(0, 50));
}

#[test]
fn filters_over_the_limit_are_left_out() {
    let (tracker, reads) = tracker(1_000);
    for n in 0..200 {
        let refined = reads.refined(ReadFilter::new(|_, _, _| true));
        refined.range(range(n * 10, n * 10 + 5));
    }
    let taken = taken(&tracker);
    assert_eq!(taken.refined.len(), REFINED_RANGES_MAX);
    assert_eq!(taken.len(), 200);
    assert!((0..200).all(|n| covers(&taken, KeySpace::Rows, &key(n * 10))));
}

#[test]
fn after_the_end_nothing_is_recorded() {
    let (tracker, reads) = tracker(100);
    reads.key(KeySpace::Rows, b"a");
    tracker.close();
    reads.key(KeySpace::Rows, b"b");
    reads.range(range(1, 2));
    assert_eq!(tracker.len(), 0);
    assert!(tracker.take(open_memory().snapshot()).is_none());
}

proptest! {
    /// Whatever is read in whatever order, with room for hardly anything: all of it is covered,
    /// as of its version or an older one.
    #[test]
    fn nothing_that_was_read_is_lost(
        steps in prop::collection::vec((0..3_usize, 0..200_u32, 1..20_u32, 0..3_u64), 1..120),
        reads_max in 4..20_usize,
    ) {
        let tracker = Arc::new(ReadTracker::new(reads_max));
        let filter = ReadFilter::new(|_, _, _| true);
        let mut expected: Vec<(u32, u32, Version)> = Vec::new();
        for (kind, start, length, since) in steps {
            // Filters are for the snapshot, which is of version zero.
            let since = if kind == 2 { Version::ZERO } else { Version(since) };
            let reads = ViewReads::of_snapshot(&tracker, since);
            let end = if kind == 0 { start + 1 } else { start + length };
            expected.push((start, end, since));
            match kind {
                0 => reads.key(KeySpace::Rows, &key(start)),
                1 => reads.range(ReadRange { since, ..range(start, end) }),
                _ => reads.refined(filter.clone()).range(range(start, end)),
            }
            prop_assert!(tracker.len() <= reads_max);
        }
        let taken = taken(&tracker);
        for (start, end, since) in expected {
            for n in start..end {
                let key = key(n);
                let by_key = taken.keys.iter().any(|r| r.key == key && r.since <= since);
                let ranges = taken.ranges.iter().chain(taken.refined.iter().map(|r| &r.range));
                let mut ranges = ranges.filter(|range| range.since <= since);
                let by_range = ranges.any(|range| range.contains(KeySpace::Rows, &key));
                prop_assert!(by_key || by_range, "{} as of {}", n, since);
            }
        }
    }
}

#[test]
fn unbounded_ranges_are_recorded_as_such() {
    let (tracker, reads) = tracker(10);
    let range = KeyRange {
        start: Bound::Excluded(key(7)),
        end: Bound::Unbounded,
    };
    let range = ReadRange::new(KeySpace::Rows, &range, Version::ZERO);
    reads.range(range.expect("not empty"));
    let taken = taken(&tracker);
    assert!(!covers(&taken, KeySpace::Rows, &key(7)));
    assert!(covers(
        &taken,
        KeySpace::Rows,
        &Key::from_static(&[0xff; 9])
    ));
}
