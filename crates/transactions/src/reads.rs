//! What a serializable transaction has read, in bounded memory.
//!
//! # Invariants
//! 1. Something is recorded before the reader gets it.
//! 2. Nothing recorded is forgotten before the transaction ends: not by undoing a statement, not
//!    by going back to a savepoint, for what was read may have been seen by the client.
//! 3. When there is too much, keys become ranges and ranges grow together. So changes may seem
//!    to matter that do not; none that matters is missed.

use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tessera_storage::{
    Key, KeySpace, REFINED_RANGES_MAX, ReadFilter, ReadKey, ReadRange, ReadSet, RefinedRange,
    Snapshot, successor,
};
use tessera_types::Version;

use crate::intervals::Intervals;

/// Bytes of all recorded keys and bounds.
const READ_BYTES_MAX: usize = 8 << 20;

/// The reads of one transaction; shared by its views.
pub(crate) struct ReadTracker {
    reads_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    spaces: [SpaceReads; KeySpace::COUNT],
    refined: Vec<RefinedRange>,
    key_bytes: usize,
    /// Something newer than the snapshot was read.
    has_newest: bool,
    /// The transaction has ended; what is read now belongs to nobody.
    is_closed: bool,
}

#[derive(Default)]
struct SpaceReads {
    keys: HashMap<Key, Version, RandomState>,
    ranges: Intervals,
}

impl ReadTracker {
    /// Keeps at most `reads_max` keys and ranges.
    pub(crate) fn new(reads_max: usize) -> ReadTracker {
        // Ranges with a filter come on top; below them there must be room for one range of each
        // space.
        let reads_max = reads_max.max(KeySpace::COUNT);
        ReadTracker {
            reads_max,
            state: Mutex::default(),
        }
    }

    /// Number of keys and ranges.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().len()
    }

    /// Whether something newer than the snapshot was read, so that not even a transaction without
    /// writes is sure to have seen one state.
    pub(crate) fn has_newest(&self) -> bool {
        self.state.lock().has_newest
    }

    fn add_key(&self, space: KeySpace, key: &[u8], since: Version, is_newest: bool) {
        let mut state = self.state.lock();
        if state.is_closed {
            return;
        }
        state.has_newest |= is_newest;
        let reads = &mut state.spaces[space.index()];
        if reads.ranges.covers(key, since) {
            return;
        }
        if let Some(before) = reads.keys.get_mut(key) {
            *before = since.min(*before);
            return;
        }
        reads.keys.insert(Key::copy_from_slice(key), since);
        state.key_bytes += key.len();
        state.keep_limits(self.reads_max);
    }

    fn add_range(&self, range: ReadRange, filter: Option<&ReadFilter>, is_newest: bool) {
        let mut state = self.state.lock();
        if state.is_closed {
            return;
        }
        state.has_newest |= is_newest;
        if let Some(filter) = filter
            && state.add_refined(&range, filter)
        {
            return;
        }
        state.spaces[range.space.index()].ranges.add(&range);
        state.keep_limits(self.reads_max);
    }

    /// Ends the recording. Gives what was read; none if that was nothing.
    pub(crate) fn take(&self, snapshot: Arc<dyn Snapshot>) -> Option<ReadSet> {
        let state = {
            let mut state = self.state.lock();
            let closed = State {
                is_closed: true,
                ..State::default()
            };
            std::mem::replace(&mut *state, closed)
        };
        let mut reads = ReadSet::new(snapshot);
        for (space, of_space) in KeySpace::ALL.into_iter().zip(state.spaces) {
            let first = reads.keys.len();
            let (keys, ranges) = (of_space.keys, of_space.ranges);
            let not_covered = keys
                .into_iter()
                .filter(|(key, since)| !ranges.covers(key, *since));
            reads
                .keys
                .extend(not_covered.map(|(key, since)| ReadKey { space, key, since }));
            reads.keys[first..].sort_unstable_by(|a, b| a.key.cmp(&b.key));
            reads.ranges.extend(ranges.into_ranges(space));
        }
        reads.refined = state.refined;
        (!reads.is_empty()).then_some(reads)
    }

    /// Ends the recording and forgets everything.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        *state = State {
            is_closed: true,
            ..State::default()
        };
    }
}

impl State {
    fn len(&self) -> usize {
        let of_space = |reads: &SpaceReads| reads.keys.len() + reads.ranges.len();
        self.spaces.iter().map(of_space).sum()
    }

    fn bytes(&self) -> usize {
        let ranges: usize = self.spaces.iter().map(|reads| reads.ranges.bytes()).sum();
        self.key_bytes + ranges
    }

    /// Keeps a range apart from the others; says no if there are too many such.
    fn add_refined(&mut self, range: &ReadRange, filter: &ReadFilter) -> bool {
        let mut joined = range.clone();
        // A scan adds piece by piece, and parallel scans their pieces in any order.
        let touching = |other: &RefinedRange, joined: &ReadRange| {
            other.filter.is_same(filter)
                && other.range.space == joined.space
                && reaches(&other.range, &joined.start)
                && reaches(joined, &other.range.start)
        };
        while let Some(at) = self.refined.iter().position(|r| touching(r, &joined)) {
            let other = self.refined.swap_remove(at).range;
            joined.start = joined.start.min(other.start);
            joined.end = match (joined.end, other.end) {
                (Some(a), Some(b)) => Some(a.max(b)),
                _ => None,
            };
        }
        if self.refined.len() == REFINED_RANGES_MAX {
            return false;
        }
        self.refined.push(RefinedRange {
            range: joined,
            filter: filter.clone(),
        });
        true
    }

    fn keep_limits(&mut self, reads_max: usize) {
        if self.len() <= reads_max && self.bytes() <= READ_BYTES_MAX {
            return;
        }
        // To a half, so that the next coarsening is far away.
        let mut count_max = reads_max / 2;
        loop {
            self.coarsen(count_max);
            if self.bytes() <= READ_BYTES_MAX / 2 || count_max <= KeySpace::COUNT {
                return;
            }
            count_max /= 2;
        }
    }

    fn coarsen(&mut self, count_max: usize) {
        let total = self.len().max(1);
        for (space, reads) in KeySpace::ALL.into_iter().zip(&mut self.spaces) {
            let share = count_max * (reads.keys.len() + reads.ranges.len()) / total;
            for (key, since) in std::mem::take(&mut reads.keys) {
                reads.ranges.add(&ReadRange {
                    space,
                    end: Some(successor(&key)),
                    start: key,
                    since,
                });
            }
            reads.ranges.coarsen(share);
        }
        self.key_bytes = 0;
    }
}

/// Whether a range goes on at least up to `key`.
fn reaches(range: &ReadRange, key: &Key) -> bool {
    range.end.as_ref().is_none_or(|end| end >= key)
}

/// How one view records what it reads.
#[derive(Clone)]
pub(crate) struct ViewReads {
    tracker: Arc<ReadTracker>,
    since: Version,
    /// The view may be newer than the transaction's snapshot.
    is_newest: bool,
    filter: Option<ReadFilter>,
}

impl ViewReads {
    /// For views of the transaction's snapshot, which is of that version.
    pub(crate) fn of_snapshot(tracker: &Arc<ReadTracker>, since: Version) -> ViewReads {
        ViewReads {
            tracker: Arc::clone(tracker),
            since,
            is_newest: false,
            filter: None,
        }
    }

    /// For reads of what is newest, of that version.
    pub(crate) fn of_newest(tracker: &Arc<ReadTracker>, since: Version) -> ViewReads {
        ViewReads {
            is_newest: true,
            ..ViewReads::of_snapshot(tracker, since)
        }
    }

    /// The same, with a filter for scans. Reads of what is newest know no value of the snapshot
    /// to ask a filter about, so they stay as they are.
    pub(crate) fn refined(&self, filter: ReadFilter) -> ViewReads {
        let filter = (!self.is_newest).then_some(filter);
        ViewReads {
            filter,
            ..self.clone()
        }
    }

    pub(crate) fn since(&self) -> Version {
        self.since
    }

    pub(crate) fn key(&self, space: KeySpace, key: &[u8]) {
        self.tracker.add_key(space, key, self.since, self.is_newest);
    }

    pub(crate) fn range(&self, range: ReadRange) {
        self.tracker
            .add_range(range, self.filter.as_ref(), self.is_newest);
    }
}

#[cfg(test)]
mod tests;
