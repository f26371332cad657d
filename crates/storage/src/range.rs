//! Key spaces and ranges of keys.

use std::fmt;
use std::ops::Bound;

use crate::store::Key;

/// The fixed set of separately ordered keys. A relation is a prefix inside one, not a space.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeySpace {
    /// What the layers above keep about themselves: counters, marks.
    Meta = 0,
    /// Schema objects, users.
    Catalog = 1,
    /// Rows of tables.
    Rows = 2,
    /// Entries of secondary indexes.
    Indexes = 3,
}

impl KeySpace {
    /// Every space, in order.
    pub const ALL: [KeySpace; 4] = [
        KeySpace::Meta,
        KeySpace::Catalog,
        KeySpace::Rows,
        KeySpace::Indexes,
    ];

    /// How many there are.
    pub const COUNT: usize = KeySpace::ALL.len();

    /// Position in [`KeySpace::ALL`]; also the byte in files.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// From the byte in files.
    pub fn from_index(index: u8) -> Option<KeySpace> {
        KeySpace::ALL.get(usize::from(index)).copied()
    }

    /// Lower-case name for messages and labels.
    pub const fn name(self) -> &'static str {
        match self {
            KeySpace::Meta => "meta",
            KeySpace::Catalog => "catalog",
            KeySpace::Rows => "rows",
            KeySpace::Indexes => "indexes",
        }
    }
}

impl fmt::Display for KeySpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A range of keys in byte order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyRange {
    /// Where it begins.
    pub start: Bound<Key>,
    /// Where it ends.
    pub end: Bound<Key>,
}

impl KeyRange {
    /// Every key.
    pub fn all() -> KeyRange {
        KeyRange {
            start: Bound::Unbounded,
            end: Bound::Unbounded,
        }
    }

    /// Every key that begins with `prefix`.
    pub fn prefix(prefix: &[u8]) -> KeyRange {
        KeyRange {
            start: Bound::Included(Key::copy_from_slice(prefix)),
            end: prefix_end(prefix).map_or(Bound::Unbounded, Bound::Excluded),
        }
    }

    /// From `start` (included) to `end` (excluded).
    pub fn half_open(start: impl Into<Key>, end: impl Into<Key>) -> KeyRange {
        KeyRange {
            start: Bound::Included(start.into()),
            end: Bound::Excluded(end.into()),
        }
    }

    /// One key.
    pub fn point(key: impl Into<Key>) -> KeyRange {
        let key = key.into();
        KeyRange {
            start: Bound::Included(key.clone()),
            end: Bound::Included(key),
        }
    }

    /// Whether `key` lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.is_after_start(key) && self.is_before_end(key)
    }

    /// Whether `key` is not before the range.
    pub fn is_after_start(&self, key: &[u8]) -> bool {
        match &self.start {
            Bound::Included(start) => key >= start,
            Bound::Excluded(start) => key > start,
            Bound::Unbounded => true,
        }
    }

    /// Whether `key` is not behind the range.
    pub fn is_before_end(&self, key: &[u8]) -> bool {
        match &self.end {
            Bound::Included(end) => key <= end,
            Bound::Excluded(end) => key < end,
            Bound::Unbounded => true,
        }
    }

    /// Whether the bounds alone say that no key can lie in it.
    pub fn is_empty(&self) -> bool {
        match (&self.start, &self.end) {
            (Bound::Included(start), Bound::Included(end)) => start > end,
            (Bound::Included(start) | Bound::Excluded(start), Bound::Excluded(end))
            | (Bound::Excluded(start), Bound::Included(end)) => start >= end,
            (Bound::Unbounded, Bound::Excluded(end)) => end.is_empty(),
            (_, Bound::Unbounded) | (Bound::Unbounded, Bound::Included(_)) => false,
        }
    }

    /// Whether some key may lie in both ranges.
    pub fn overlaps(&self, other: &KeyRange) -> bool {
        !KeyRange {
            start: later_start(&self.start, &other.start),
            end: self.end.clone(),
        }
        .is_empty()
            && !KeyRange {
                start: later_start(&self.start, &other.start),
                end: other.end.clone(),
            }
            .is_empty()
    }

    /// The range without the keys up to and including `key`.
    pub fn after(&self, key: Key) -> KeyRange {
        KeyRange {
            start: Bound::Excluded(key),
            end: self.end.clone(),
        }
    }

    /// The range without the keys from `key` on.
    pub fn before(&self, key: Key) -> KeyRange {
        KeyRange {
            start: self.start.clone(),
            end: Bound::Excluded(key),
        }
    }

    /// The bounds as slices, the form that `BTreeMap::range` takes. Must not be empty.
    pub fn as_bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        fn as_slice(bound: &Bound<Key>) -> Bound<&[u8]> {
            match bound {
                Bound::Included(key) => Bound::Included(key.as_ref()),
                Bound::Excluded(key) => Bound::Excluded(key.as_ref()),
                Bound::Unbounded => Bound::Unbounded,
            }
        }
        (as_slice(&self.start), as_slice(&self.end))
    }

    /// Cuts the range at `split_keys` (ascending; those outside are ignored).
    pub fn split_at(&self, split_keys: impl IntoIterator<Item = Key>) -> Vec<KeyRange> {
        let mut parts = Vec::new();
        let mut rest = self.clone();
        for key in split_keys {
            if !rest.contains(&key) {
                continue;
            }
            let part = KeyRange {
                start: rest.start,
                end: Bound::Excluded(key.clone()),
            };
            if !part.is_empty() {
                parts.push(part);
            }
            rest = KeyRange {
                start: Bound::Included(key),
                end: rest.end,
            };
        }
        parts.push(rest);
        parts
    }
}

/// The smallest key behind all keys that begin with `prefix`; none if there is no such key.
pub fn prefix_end(prefix: &[u8]) -> Option<Key> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(Key::from(end))
}

fn later_start(a: &Bound<Key>, b: &Bound<Key>) -> Bound<Key> {
    match (a, b) {
        (Bound::Unbounded, other) | (other, Bound::Unbounded) => other.clone(),
        (Bound::Included(x) | Bound::Excluded(x), Bound::Included(y) | Bound::Excluded(y)) => {
            match x.cmp(y) {
                std::cmp::Ordering::Less => b.clone(),
                std::cmp::Ordering::Greater => a.clone(),
                std::cmp::Ordering::Equal if matches!(a, Bound::Excluded(_)) => a.clone(),
                std::cmp::Ordering::Equal => b.clone(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_range_holds_exactly_the_keys_with_the_prefix() {
        let range = KeyRange::prefix(b"ab");
        for inside in [&b"ab"[..], b"ab\0", b"ab\xff\xff"] {
            assert!(range.contains(inside), "{inside:?}");
        }
        for outside in [&b"aa\xff"[..], b"ac", b"", b"b"] {
            assert!(!range.contains(outside), "{outside:?}");
        }
        assert!(KeyRange::prefix(b"\xff\xff").contains(b"\xff\xff\xff"));
        assert_eq!(prefix_end(b"a\xff"), Some(Key::from_static(b"b")));
        assert_eq!(prefix_end(b"\xff"), None);
    }

    #[test]
    fn empty_ranges_are_seen_from_their_bounds() {
        assert!(KeyRange::half_open(&b"b"[..], &b"b"[..]).is_empty());
        assert!(KeyRange::half_open(&b"b"[..], &b"a"[..]).is_empty());
        assert!(!KeyRange::point(&b"b"[..]).is_empty());
        assert!(!KeyRange::all().is_empty());
        assert!(
            KeyRange::point(&b"b"[..])
                .after(Key::from_static(b"b"))
                .is_empty()
        );
    }

    #[test]
    fn overlap_is_symmetric_and_respects_open_ends() {
        let low = KeyRange::half_open(&b"a"[..], &b"c"[..]);
        let high = KeyRange::half_open(&b"c"[..], &b"d"[..]);
        let both = KeyRange::half_open(&b"b"[..], &b"d"[..]);
        assert!(!low.overlaps(&high) && !high.overlaps(&low));
        assert!(low.overlaps(&both) && both.overlaps(&low));
        assert!(KeyRange::all().overlaps(&low));
    }

    #[test]
    fn splitting_keeps_every_key_once() {
        let range = KeyRange::half_open(&b"b"[..], &b"y"[..]);
        let keys = [&b"a"[..], b"b", b"k", b"z"].map(Key::from_static);
        let parts = range.split_at(keys);
        assert_eq!(parts.len(), 2);
        for byte in 0..=u8::MAX {
            let hits = parts.iter().filter(|part| part.contains(&[byte])).count();
            assert_eq!(hits, usize::from(range.contains(&[byte])), "{byte}");
        }
    }
}
