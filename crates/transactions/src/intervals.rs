//! Disjoint ranges of keys, each with the version as of which it was read.

use std::collections::BTreeMap;
use std::ops::Bound;

use tessera_storage::{Key, KeySpace, ReadRange};
use tessera_types::Version;

/// Ranges of one key space. What overlaps is one range; so is what touches, if it was read as of
/// the same version.
#[derive(Debug, Default)]
pub(crate) struct Intervals {
    by_start: BTreeMap<Key, Interval>,
    bytes: usize,
}

#[derive(Debug, Clone)]
struct Interval {
    /// None for no bound.
    end: Option<Key>,
    since: Version,
}

impl Interval {
    /// Whether a range from `start` on continues it.
    fn reaches(&self, start: &Key, since: Version) -> bool {
        self.end
            .as_ref()
            .is_none_or(|end| end > start || end == start && self.since == since)
    }

    fn bytes(&self, start: &Key) -> usize {
        start.len() + self.end.as_ref().map_or(0, Key::len)
    }
}

impl Intervals {
    pub(crate) fn len(&self) -> usize {
        self.by_start.len()
    }

    /// Bytes of all bounds.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the key is in a range that was read as of `since` or earlier.
    pub(crate) fn covers(&self, key: &[u8], since: Version) -> bool {
        let up_to = (Bound::Unbounded, Bound::Included(key));
        let before = self.by_start.range::<[u8], _>(up_to).next_back();
        before.is_some_and(|(_, interval)| {
            interval.since <= since && interval.end.as_ref().is_none_or(|end| key < end.as_ref())
        })
    }

    /// Adds a range. Of ranges that become one, the oldest version counts: too many changes may
    /// seem to matter, never too few.
    pub(crate) fn add(&mut self, range: &ReadRange) {
        let mut start = range.start.clone();
        let mut merged = Interval {
            end: range.end.clone(),
            since: range.since,
        };
        let before = self.by_start.range(..=start.clone()).next_back();
        if let Some((at, interval)) = before
            && interval.reaches(&start, merged.since)
        {
            let at = at.clone();
            if let Some(interval) = self.remove(&at) {
                merged.absorb(interval);
            }
            start = at;
        }
        while let Some((at, interval)) = self.by_start.range(start.clone()..).next()
            && merged.reaches(at, interval.since)
        {
            let at = at.clone();
            if let Some(interval) = self.remove(&at) {
                merged.absorb(interval);
            }
        }
        self.insert(start, merged);
    }

    /// Joins neighbours until at most `count_max` ranges are left. The gaps that stay are those
    /// between keys with the shortest common prefix: so it is rows of one relation that grow
    /// together, before relations do.
    pub(crate) fn coarsen(&mut self, count_max: usize) {
        let count_max = count_max.max(1);
        if self.len() <= count_max {
            return;
        }
        let all = std::mem::take(self).by_start;
        let starts: Vec<&Key> = all.keys().collect();
        let kept = kept_gaps(&starts, count_max - 1);
        let mut joined: Option<(Key, Interval)> = None;
        for (at, (start, interval)) in all.iter().enumerate() {
            match &mut joined {
                // The gap before the range `at` has the number `at - 1`.
                Some((_, before)) if !kept[at - 1] => before.absorb(interval.clone()),
                _ => {
                    if let Some((start, interval)) = joined.take() {
                        self.insert(start, interval);
                    }
                    joined = Some((start.clone(), interval.clone()));
                }
            }
        }
        if let Some((start, interval)) = joined {
            self.insert(start, interval);
        }
    }

    /// The ranges, in order.
    pub(crate) fn into_ranges(self, space: KeySpace) -> impl Iterator<Item = ReadRange> {
        self.by_start
            .into_iter()
            .map(move |(start, interval)| ReadRange {
                space,
                start,
                end: interval.end,
                since: interval.since,
            })
    }

    fn insert(&mut self, start: Key, interval: Interval) {
        self.bytes += interval.bytes(&start);
        self.by_start.insert(start, interval);
    }

    fn remove(&mut self, start: &Key) -> Option<Interval> {
        let interval = self.by_start.remove(start)?;
        self.bytes -= interval.bytes(start);
        Some(interval)
    }
}

impl Interval {
    fn absorb(&mut self, other: Interval) {
        self.since = self.since.min(other.since);
        self.end = match (self.end.take(), other.end) {
            (Some(a), Some(b)) => Some(a.max(b)),
            _ => None,
        };
    }
}

/// Of the gaps between sorted keys, `count` that separate them best. Among equals they are spread
/// evenly, or all keys but the first few would become one range.
fn kept_gaps(starts: &[&Key], count: usize) -> Vec<bool> {
    let common: Vec<usize> = starts
        .windows(2)
        .map(|pair| {
            let bytes = pair[0].iter().zip(pair[1].iter());
            bytes.take_while(|(a, b)| a == b).count()
        })
        .collect();
    let mut sorted = common.clone();
    sorted.sort_unstable();
    let Some(limit) = count
        .checked_sub(1)
        .and_then(|last| sorted.get(last))
        .copied()
    else {
        return vec![false; common.len()];
    };
    let shorter = common.iter().filter(|length| **length < limit).count();
    let equal = common.iter().filter(|length| **length == limit).count();
    let wanted = count - shorter;
    let mut seen = 0;
    let keep = |length: &usize| {
        if *length != limit {
            return *length < limit;
        }
        seen += 1;
        // True for `wanted` of the numbers from 1 to `equal`.
        seen * wanted / equal > (seen - 1) * wanted / equal
    };
    common.iter().map(keep).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(start: u8, end: Option<u8>, since: u64) -> ReadRange {
        ReadRange {
            space: KeySpace::Rows,
            start: Key::copy_from_slice(&[start]),
            end: end.map(|end| Key::copy_from_slice(&[end])),
            since: Version(since),
        }
    }

    fn text(intervals: Intervals) -> String {
        let show = |range: ReadRange| {
            let end = range
                .end
                .map_or("..".to_owned(), |end| format!("..{}", end[0]));
            format!("{}{end}@{}", range.start[0], range.since)
        };
        let ranges = intervals.into_ranges(KeySpace::Rows);
        ranges.map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_overlaps_or_touches_is_one_range() {
        let mut intervals = Intervals::default();
        intervals.add(&range(10, Some(20), 5));
        intervals.add(&range(20, Some(30), 5));
        intervals.add(&range(40, Some(50), 5));
        intervals.add(&range(30, Some(35), 7));
        assert_eq!(
            intervals.len(),
            3,
            "another version does not join by touching"
        );
        intervals.add(&range(33, Some(41), 6));
        assert_eq!(intervals.len(), 2);
        intervals.add(&range(5, None, 9));
        assert_eq!(text(intervals), "5..@5");
    }

    #[test]
    fn coarsening_joins_within_a_prefix_first_and_evenly() {
        let mut intervals = Intervals::default();
        for relation in [1_u8, 9] {
            for row in 0..50_u8 {
                intervals.add(&ReadRange {
                    space: KeySpace::Rows,
                    start: Key::copy_from_slice(&[relation, row]),
                    end: Some(Key::copy_from_slice(&[relation, row, 0])),
                    since: Version(1),
                });
            }
        }
        intervals.coarsen(11);
        assert_eq!(intervals.len(), 11);
        assert!(
            !intervals.covers(&[5], Version(1)),
            "no relation in between is covered"
        );
        let sizes = |relation: u8| {
            let inside = |row: &u8| intervals.covers(&[relation, *row, 1], Version(1));
            (0..49).filter(inside).count()
        };
        let (first, last) = (sizes(1), sizes(9));
        assert!(
            first.abs_diff(last) < 15,
            "{first} and {last} gaps are closed"
        );
    }

    proptest! {
        /// Against a plain array of the oldest version per key. Joining may add keys or make
        /// versions older, never the other way.
        #[test]
        fn nothing_that_was_read_is_forgotten(
            added in prop::collection::vec((0..40_u8, prop::option::of(0..40_u8), 1..4_u64), 1..30),
            count_max in prop::option::of(1..6_usize),
        ) {
            let mut intervals = Intervals::default();
            let mut read = [u64::MAX; 60];
            for (start, end, since) in added {
                if end.is_some_and(|end| end <= start) {
                    continue;
                }
                intervals.add(&range(start, end, since));
                for key in start..end.unwrap_or(60) {
                    read[usize::from(key)] = read[usize::from(key)].min(since);
                }
            }
            if let Some(count_max) = count_max {
                intervals.coarsen(count_max);
                prop_assert!(intervals.len() <= count_max);
            }
            for (key, since) in read.iter().enumerate() {
                let covered = intervals.covers(&[key as u8], Version(*since));
                if *since < u64::MAX {
                    prop_assert!(covered, "key {} as of {}", key, since);
                } else if count_max.is_none() {
                    prop_assert!(!covered, "key {} was not read", key);
                }
            }
            let bytes = intervals.bytes();
            let ranges: Vec<_> = intervals.into_ranges(KeySpace::Rows).collect();
            let counted: usize = ranges
                .iter()
                .map(|r| r.start.len() + r.end.as_ref().map_or(0, Key::len))
                .sum();
            prop_assert_eq!(bytes, counted);
            for pair in ranges.windows(2) {
                prop_assert!(pair[0].end.as_ref().is_some_and(|end| *end <= pair[1].start));
            }
        }
    }
}
