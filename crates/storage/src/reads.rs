//! What a transaction read, for a commit that must be serializable.
//!
//! The commit of a batch with a [`ReadSet`] is refused if anything in it was changed after it was
//! read, by a batch that has its version already, seen or not: backward validation (Kung and
//! Robinson, On Optimistic Methods for Concurrency Control, TODS 1981), of ranges and predicates
//! instead of rows (precision locking, as in Neumann et al., SIGMOD 2015).

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use tessera_types::Version;

use crate::error::StoreError;
use crate::range::{KeyRange, KeySpace};
use crate::store::{Key, Snapshot};

/// Ranges with a filter in one read set. Each is asked for each change, so they are few.
pub const REFINED_RANGES_MAX: usize = 64;

/// Everything a transaction read, and the snapshot that keeps it comparable.
#[derive(Clone)]
pub struct ReadSet {
    /// Held until the commit is answered: as long as it lives, changes after it are known.
    pub snapshot: Arc<dyn Snapshot>,
    /// Keys, present or not; sorted by space and key, each key once.
    pub keys: Vec<ReadKey>,
    /// Ranges; sorted by space and start, without overlaps.
    pub ranges: Vec<ReadRange>,
    /// Ranges of which only some rows matter, in any order, at most [`REFINED_RANGES_MAX`].
    pub refined: Vec<RefinedRange>,
}

/// A key and as of when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadKey {
    /// Its space.
    pub space: KeySpace,
    /// The key.
    pub key: Key,
    /// What was read is the state of this version, which is that of the read set's snapshot or
    /// a later one.
    pub since: Version,
}

/// A range and as of when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRange {
    /// Its space.
    pub space: KeySpace,
    /// The first key that may be in it; empty for no bound.
    pub start: Key,
    /// The first key behind it; none for no bound.
    pub end: Option<Key>,
    /// As in [`ReadKey`].
    pub since: Version,
}

/// A range of which a change matters only if the filter says so.
#[derive(Debug, Clone)]
pub struct RefinedRange {
    /// The range; it was read at the read set's snapshot.
    pub range: ReadRange,
    /// Whether a change may matter.
    pub filter: ReadFilter,
}

/// Asked with a key, its value as read and its value after the change.
type MayMatter = dyn Fn(&[u8], Option<&[u8]>, Option<&[u8]>) -> bool + Send + Sync;

/// Tells whether a change of a key may matter to the reader: whether it matches what was looked
/// for before the change or after it.
///
/// It may say yes too often, never too seldom. It may run while other commits wait, so it must be
/// short; it must not block and must not call the store.
#[derive(Clone)]
pub struct ReadFilter(Arc<MayMatter>);

/// A change that a read set is compared with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change<'a> {
    pub(crate) space: KeySpace,
    pub(crate) key: &'a [u8],
    pub(crate) version: Version,
    pub(crate) value: Option<&'a [u8]>,
}

impl ReadFilter {
    /// A filter.
    pub fn new(
        may_matter: impl Fn(&[u8], Option<&[u8]>, Option<&[u8]>) -> bool + Send + Sync + 'static,
    ) -> ReadFilter {
        ReadFilter(Arc::new(may_matter))
    }

    /// Whether the change of `key` from `old` to `new` may matter.
    pub fn may_matter(&self, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) -> bool {
        (self.0)(key, old, new)
    }

    /// Whether both are the same filter, not merely filters that say the same.
    pub fn is_same(&self, other: &ReadFilter) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl ReadSet {
    /// Nothing read yet.
    pub fn new(snapshot: Arc<dyn Snapshot>) -> ReadSet {
        ReadSet {
            snapshot,
            keys: Vec::new(),
            ranges: Vec::new(),
            refined: Vec::new(),
        }
    }

    /// Number of keys and ranges.
    pub fn len(&self) -> usize {
        self.keys.len() + self.ranges.len() + self.refined.len()
    }

    /// Whether nothing was read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The version of the snapshot.
    pub fn version(&self) -> Version {
        self.snapshot.version()
    }

    /// Whether keys and ranges are in order, and nothing was read before the snapshot.
    pub fn is_sorted(&self) -> bool {
        let version = self.version();
        let ends_before = |a: &ReadRange, b: &ReadRange| {
            a.space < b.space
                || a.space == b.space && a.end.as_ref().is_some_and(|end| *end <= b.start)
        };
        self.keys
            .is_sorted_by(|a, b| (a.space, &a.key) < (b.space, &b.key))
            && self.ranges.is_sorted_by(ends_before)
            && self.keys.iter().all(|read| read.since >= version)
            && self.ranges.iter().all(|read| read.since >= version)
            && self.refined.iter().all(|r| r.range.since == version)
    }

    /// Whether a change makes wrong what was read.
    pub(crate) fn is_broken_by(&self, change: Change<'_>) -> Result<bool, StoreError> {
        let place = (change.space, change.key);
        let key = self
            .keys
            .binary_search_by(|read| (read.space, read.key.as_ref()).cmp(&place));
        if key.is_ok_and(|at| self.keys[at].since < change.version) {
            return Ok(true);
        }
        let behind = self
            .ranges
            .partition_point(|read| (read.space, read.start.as_ref()) <= place);
        let range = behind.checked_sub(1).map(|at| &self.ranges[at]);
        if range.is_some_and(|read| read.contains(change.space, change.key))
            && range.is_some_and(|read| read.since < change.version)
        {
            return Ok(true);
        }
        for refined in &self.refined {
            if refined.range.contains(change.space, change.key) && self.matters(refined, change)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a change inside a refined range may matter.
    pub(crate) fn matters(
        &self,
        refined: &RefinedRange,
        change: Change<'_>,
    ) -> Result<bool, StoreError> {
        if refined.range.since >= change.version {
            return Ok(false);
        }
        // An engine that would have to wait for the old value: any change matters.
        let Some(old) = self.snapshot.get(change.space, change.key).now() else {
            return Ok(true);
        };
        let old = old?;
        Ok(refined
            .filter
            .may_matter(change.key, old.as_deref(), change.value))
    }
}

impl ReadRange {
    /// The range of the keys of `range`; none if it has none.
    pub fn new(space: KeySpace, range: &KeyRange, since: Version) -> Option<ReadRange> {
        if range.is_empty() {
            return None;
        }
        let start = match &range.start {
            Bound::Included(key) => key.clone(),
            Bound::Excluded(key) => successor(key),
            Bound::Unbounded => Key::new(),
        };
        let end = match &range.end {
            Bound::Included(key) => Some(successor(key)),
            Bound::Excluded(key) => Some(key.clone()),
            Bound::Unbounded => None,
        };
        // Nothing fits between a key and its successor.
        if end.as_ref().is_some_and(|end| *end <= start) {
            return None;
        }
        Some(ReadRange {
            space,
            start,
            end,
            since,
        })
    }

    /// Whether the key lies in it.
    pub fn contains(&self, space: KeySpace, key: &[u8]) -> bool {
        self.space == space && key >= self.start.as_ref() && self.is_before_end(key)
    }

    /// Whether the key is not behind it.
    pub(crate) fn is_before_end(&self, key: &[u8]) -> bool {
        self.end.as_ref().is_none_or(|end| key < end.as_ref())
    }

    /// The same as a range of keys.
    pub fn to_key_range(&self) -> KeyRange {
        KeyRange {
            start: if self.start.is_empty() {
                Bound::Unbounded
            } else {
                Bound::Included(self.start.clone())
            },
            end: self.end.clone().map_or(Bound::Unbounded, Bound::Excluded),
        }
    }
}

/// The first key behind `key`.
pub fn successor(key: &[u8]) -> Key {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    Key::from(next)
}

impl fmt::Debug for ReadFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadFilter")
    }
}

impl fmt::Debug for ReadSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadSet")
            .field("snapshot", &self.version())
            .field("keys", &self.keys)
            .field("ranges", &self.ranges)
            .field("refined", &self.refined)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(range: &KeyRange) -> Option<ReadRange> {
        ReadRange::new(KeySpace::Rows, range, Version(1))
    }

    #[test]
    fn a_read_range_holds_the_keys_of_the_range_it_was_made_from() {
        let b = Key::from_static(b"b");
        let bounds = [
            Bound::Unbounded,
            Bound::Included(b.clone()),
            Bound::Excluded(b),
        ];
        for start in &bounds {
            for end in &bounds {
                let keys = KeyRange {
                    start: start.clone(),
                    end: end.clone(),
                };
                for key in [&b"a"[..], b"b", b"b\0", b"c"] {
                    let read = range(&keys);
                    let contains = read
                        .as_ref()
                        .is_some_and(|r| r.contains(KeySpace::Rows, key));
                    assert_eq!(contains, keys.contains(key), "{keys:?} {key:?}");
                    let back = read.is_some_and(|r| r.to_key_range().contains(key));
                    assert_eq!(back, contains, "{keys:?} {key:?}");
                }
            }
        }
    }
}
