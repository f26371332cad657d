//! Bytes of the keys under which a key space keeps its records and elements.
//!
//! ```text
//! space    key                                                        value
//! Rows     relation:4  01  key                                        record (see `record`)
//! Rows     relation:4  02  generation:12  kind:1  suffix              element
//! Indexes  relation:4  01  expires:8  key                             empty
//! Indexes  relation:4  02  generation:12                              empty
//! ```
//! Numbers are big-endian. The first index is ordered by time: it says what has expired. The
//! second one lists generations whose elements nobody can reach any more.
//!
//! | kind | suffix | value |
//! |---|---|---|
//! | chunk of a string | number:4 | up to `CHUNK_BYTES` bytes |
//! | field of a hash | position:8 field | value |
//! | member of a set | position:8 member | empty |
//! | item of a list | index:8, sign inverted | value |
//! | member of a sorted set | position:8 member | score:8 |
//! | rank of a sorted set | score:8, ordered, member | empty |
//! | fence of a sorted set | level:1 score:8 member | count:8 (see `zset::fences`) |
//! | entry, group, consumer, pending, owned of a stream | see `stream::layout` | |
//!
//! A position is the XXH3 of the name. It makes a scan's cursor a number, and a random element a
//! seek; names of equal position stand beside each other.

use smallvec::SmallVec;
use tessera_codec::checksum::xxh3;
use tessera_storage::{Key, KeyRange, prefix_end};
use tessera_types::{RelationId, TxnId};

use crate::error::{KeyValueError, Result};
use crate::time::UnixMillis;

/// Bytes of a key. Redis allows 512 MB; the store's keys end at 32 KiB.
pub const KEY_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a field's or member's name.
pub const MEMBER_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a group's or consumer's name; a key holds both.
pub const GROUP_BYTES_MAX: usize = 8 * 1024;
/// Bytes of a hash's value, a list's item or a stream's entry.
pub const ELEMENT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of a string, as in Redis (`proto-max-bulk-len`).
pub const STRING_BYTES_MAX: u64 = 512 * 1024 * 1024;

const RECORDS: u8 = 1;
const ELEMENTS: u8 = 2;
const EXPIRIES: u8 = 1;
const GARBAGE: u8 = 2;

const RELATION_BYTES: usize = 4;
/// Bytes before the key in a record's key.
const RECORD_PREFIX_BYTES: usize = RELATION_BYTES + 1;
/// Bytes before the suffix in an element's key.
pub(crate) const ELEMENT_PREFIX_BYTES: usize = RECORD_PREFIX_BYTES + GENERATION_BYTES + 1;
const EXPIRY_PREFIX_BYTES: usize = RECORD_PREFIX_BYTES + 8;
/// Bytes of a generation.
pub(crate) const GENERATION_BYTES: usize = 12;
/// Bytes of a name's position.
pub(crate) const POSITION_BYTES: usize = 8;

/// A key that usually needs no allocation.
pub(crate) type ShortKey = SmallVec<[u8; 96]>;

/// Names the elements of one life of one key: the transaction that made it, and a number. A key
/// that is made anew gets another one, so what was below the old one cannot be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Generation(pub(crate) [u8; GENERATION_BYTES]);

impl Generation {
    pub(crate) fn new(txn: TxnId, number: u32) -> Generation {
        let mut bytes = [0; GENERATION_BYTES];
        bytes[..8].copy_from_slice(&txn.0.to_be_bytes());
        bytes[8..].copy_from_slice(&number.to_be_bytes());
        Generation(bytes)
    }
}

/// What an element is.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ElementKind {
    Chunk = 1,
    Field = 2,
    Member = 3,
    Item = 4,
    Scored = 5,
    Ranked = 6,
    Fence = 7,
    Entry = 8,
    Group = 9,
    Consumer = 10,
    Pending = 11,
    Owned = 12,
}

/// The number that orders the names below one key.
pub(crate) fn position(name: &[u8]) -> u64 {
    xxh3(name)
}

pub(crate) fn check_key(key: &[u8]) -> Result<()> {
    check_bytes("key", key.len(), KEY_BYTES_MAX)
}

pub(crate) fn check_member(member: &[u8]) -> Result<()> {
    check_bytes("member", member.len(), MEMBER_BYTES_MAX)
}

pub(crate) fn check_group(name: &[u8]) -> Result<()> {
    check_bytes("name of a group or consumer", name.len(), GROUP_BYTES_MAX)
}

pub(crate) fn check_element(value: &[u8]) -> Result<()> {
    check_bytes("element", value.len(), ELEMENT_BYTES_MAX)
}

fn check_bytes(what: &'static str, bytes: usize, bytes_max: usize) -> Result<()> {
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(KeyValueError::ValueTooLarge {
        what,
        limit: bytes_max as u64,
    })
}

/// Key of a key's record.
pub(crate) fn record_key(relation: RelationId, key: &[u8]) -> ShortKey {
    let mut out = ShortKey::with_capacity(RECORD_PREFIX_BYTES + key.len());
    out.extend_from_slice(&relation.0.to_be_bytes());
    out.push(RECORDS);
    out.extend_from_slice(key);
    out
}

/// The name of a key's record in the store, which is also what its lock is taken on.
pub fn stored_key(relation: RelationId, key: &[u8]) -> Key {
    Key::copy_from_slice(&record_key(relation, key))
}

/// The key that a record is of, by its name in the store.
pub fn key_of_stored(stored_key: &Key) -> Key {
    key_of_record(stored_key)
}

/// The key in a record's key.
pub(crate) fn key_of_record(record_key: &Key) -> Key {
    record_key.slice(RECORD_PREFIX_BYTES.min(record_key.len())..)
}

/// The relation and the key, if it is the key of a record.
pub(crate) fn parse_record_key(stored: &Key) -> Option<(RelationId, Key)> {
    let (relation, rest) = stored.split_first_chunk::<RELATION_BYTES>()?;
    let is_record = rest.first() == Some(&RECORDS);
    is_record.then(|| {
        let relation = RelationId(u32::from_be_bytes(*relation));
        (relation, key_of_record(stored))
    })
}

/// Records of all keys that begin with `prefix`.
pub(crate) fn records_range(relation: RelationId, prefix: &[u8]) -> KeyRange {
    KeyRange::prefix(&record_key(relation, prefix))
}

/// Everything of a key space, in the store's space `Rows` and in its space `Indexes`.
pub fn whole_range(relation: RelationId) -> KeyRange {
    KeyRange::prefix(&relation.0.to_be_bytes())
}

/// Entry of the index of expiries.
pub(crate) fn expiry_key(relation: RelationId, expires: UnixMillis, key: &[u8]) -> Key {
    let mut out = Vec::with_capacity(EXPIRY_PREFIX_BYTES + key.len());
    out.extend_from_slice(&relation.0.to_be_bytes());
    out.push(EXPIRIES);
    out.extend_from_slice(&expires.0.to_be_bytes());
    out.extend_from_slice(key);
    Key::from(out)
}

/// The time and the key in an entry of the index of expiries.
pub(crate) fn parse_expiry_key(entry: &Key) -> Option<(UnixMillis, Key)> {
    let time = entry.get(RECORD_PREFIX_BYTES..EXPIRY_PREFIX_BYTES)?;
    let time = u64::from_be_bytes(time.try_into().ok()?);
    Some((UnixMillis(time), entry.slice(EXPIRY_PREFIX_BYTES..)))
}

/// Entries of the index of expiries up to and including `now`.
pub(crate) fn expired_range(relation: RelationId, now: UnixMillis) -> KeyRange {
    let start = expiry_key(relation, UnixMillis(0), b"");
    let end = expiry_key(relation, UnixMillis(now.0.saturating_add(1)), b"");
    KeyRange::half_open(start, end)
}

/// Entry of the list of unreachable generations.
pub(crate) fn garbage_key(relation: RelationId, generation: Generation) -> Key {
    let mut out = Vec::with_capacity(RECORD_PREFIX_BYTES + GENERATION_BYTES);
    out.extend_from_slice(&relation.0.to_be_bytes());
    out.push(GARBAGE);
    out.extend_from_slice(&generation.0);
    Key::from(out)
}

/// The generation in an entry of that list.
pub(crate) fn parse_garbage_key(entry: &[u8]) -> Option<Generation> {
    let bytes = entry.get(RECORD_PREFIX_BYTES..)?;
    Some(Generation(bytes.try_into().ok()?))
}

/// The whole list of unreachable generations.
pub(crate) fn garbage_range(relation: RelationId) -> KeyRange {
    let mut prefix = relation.0.to_be_bytes().to_vec();
    prefix.push(GARBAGE);
    KeyRange::prefix(&prefix)
}

/// Everything below a generation.
pub(crate) fn generation_range(relation: RelationId, generation: Generation) -> KeyRange {
    let mut prefix = Vec::with_capacity(ELEMENT_PREFIX_BYTES);
    prefix.extend_from_slice(&relation.0.to_be_bytes());
    prefix.push(ELEMENTS);
    prefix.extend_from_slice(&generation.0);
    KeyRange::prefix(&prefix)
}

/// Makes the keys of the elements below one generation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elements {
    relation: RelationId,
    generation: Generation,
}

impl Elements {
    pub(crate) fn new(relation: RelationId, generation: Generation) -> Elements {
        Elements {
            relation,
            generation,
        }
    }

    /// The key of an element whose suffix is `parts`, one after the other.
    pub(crate) fn key(&self, kind: ElementKind, parts: &[&[u8]]) -> Key {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        let mut out = Vec::with_capacity(ELEMENT_PREFIX_BYTES + bytes);
        out.extend_from_slice(&self.relation.0.to_be_bytes());
        out.push(ELEMENTS);
        out.extend_from_slice(&self.generation.0);
        out.push(kind as u8);
        for part in parts {
            out.extend_from_slice(part);
        }
        Key::from(out)
    }

    /// The key of an element with a name.
    pub(crate) fn named(&self, kind: ElementKind, name: &[u8]) -> Key {
        self.key(kind, &[&position(name).to_be_bytes(), name])
    }

    /// Every element of a kind whose suffix begins with `prefix`.
    pub(crate) fn range(&self, kind: ElementKind, prefix: &[u8]) -> KeyRange {
        KeyRange::prefix(&self.key(kind, &[prefix]))
    }

    /// Elements of a kind with suffixes from `start` (included) to the end of the kind.
    pub(crate) fn range_from(&self, kind: ElementKind, start: &[u8]) -> KeyRange {
        use std::ops::Bound;
        KeyRange {
            start: Bound::Included(self.key(kind, &[start])),
            end: prefix_end(&self.key(kind, &[])).map_or(Bound::Unbounded, Bound::Excluded),
        }
    }
}

/// The suffix of an element's key.
pub(crate) fn suffix(key: &Key) -> Key {
    key.slice(ELEMENT_PREFIX_BYTES.min(key.len())..)
}

/// The position and the name of an element with a name.
pub(crate) fn parse_named(key: &Key) -> Option<(u64, Key)> {
    let suffix = suffix(key);
    let position = suffix.get(..POSITION_BYTES)?;
    let position = u64::from_be_bytes(position.try_into().ok()?);
    Some((position, suffix.slice(POSITION_BYTES..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELATION: RelationId = RelationId(20_000);

    #[test]
    fn keys_are_read_as_they_were_made() {
        let record = Key::copy_from_slice(&record_key(RELATION, b"a:b"));
        assert_eq!(key_of_record(&record), &b"a:b"[..]);
        let expiry = expiry_key(RELATION, UnixMillis(77), b"\0k");
        assert_eq!(
            parse_expiry_key(&expiry),
            Some((UnixMillis(77), Key::from_static(b"\0k")))
        );
        let generation = Generation::new(TxnId(9), 3);
        let garbage = garbage_key(RELATION, generation);
        assert_eq!(parse_garbage_key(&garbage), Some(generation));
        let field = Elements::new(RELATION, generation).named(ElementKind::Field, b"f");
        let (position, name) = parse_named(&field).expect("own key");
        assert_eq!((position, &name[..]), (xxh3(b"f"), &b"f"[..]));
    }

    #[test]
    fn elements_lie_outside_of_the_records_and_inside_of_their_generation() {
        let generation = Generation::new(TxnId(9), 3);
        let elements = Elements::new(RELATION, generation);
        let key = elements.named(ElementKind::Scored, b"m");
        assert!(!records_range(RELATION, b"").contains(&key));
        assert!(generation_range(RELATION, generation).contains(&key));
        assert!(elements.range(ElementKind::Scored, b"").contains(&key));
        assert!(!elements.range(ElementKind::Ranked, b"").contains(&key));
        assert!(whole_range(RELATION).contains(&key));
    }

    #[test]
    fn what_expires_now_is_expired_and_what_expires_later_is_not() {
        let range = expired_range(RELATION, UnixMillis(5));
        assert!(range.contains(&expiry_key(RELATION, UnixMillis(5), b"\xff\xff")));
        assert!(!range.contains(&expiry_key(RELATION, UnixMillis(6), b"")));
    }
}
