//! The record of a key: type, expiry, generation, number and bytes of its elements; or, for a
//! small string, its value.
//!
//! ```text
//! type:1  flags:1  [expires:8]  [generation:12]  body
//! ```
//! Little-endian. The flag 1 says that it expires. A small string has no generation; its body is
//! the value. The other bodies are varints: a large string has its bytes; the rest have count,
//! bytes and traits, then a list its first index, a sorted set its levels of fences, a stream what
//! `StreamState` says.

use bytes::Bytes;
use tessera_codec::CodecError;
use tessera_codec::varint::{read_varint, write_varint};

use crate::error::{KeyValueError, Result, malformed};
use crate::layout::{GENERATION_BYTES, Generation};
use crate::time::UnixMillis;

const FLAG_EXPIRES: u8 = 1;
const WHAT: &str = "record of a key";

/// Some element is longer than 64 bytes.
const TRAIT_LONG: u8 = 1;
/// Some element is not an integer of 64 bits.
const TRAIT_TEXT: u8 = 2;
/// Longest element in what Redis calls a listpack.
const LISTPACK_ELEMENT_BYTES_MAX: usize = 64;

/// Types of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// Bytes; also integers, floats, bitmaps, HyperLogLogs.
    String,
    /// Items in an order of their own.
    List,
    /// Names, each once.
    Set,
    /// Names with scores, in order of scores; also positions on the earth.
    SortedSet,
    /// Names with values.
    Hash,
    /// An append-only log with consumer groups.
    Stream,
}

impl ValueType {
    /// The word of TYPE.
    pub fn name(self) -> &'static str {
        match self {
            ValueType::String => "string",
            ValueType::List => "list",
            ValueType::Set => "set",
            ValueType::SortedSet => "zset",
            ValueType::Hash => "hash",
            ValueType::Stream => "stream",
        }
    }

    /// The type of that word, in any case; SCAN's option TYPE.
    pub fn from_name(name: &[u8]) -> Option<ValueType> {
        [
            ValueType::String,
            ValueType::List,
            ValueType::Set,
            ValueType::SortedSet,
            ValueType::Hash,
            ValueType::Stream,
        ]
        .into_iter()
        .find(|kind| kind.name().as_bytes().eq_ignore_ascii_case(name))
    }
}

/// Number and size of the elements below a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    /// Bytes of names, values, scores.
    pub(crate) bytes: u64,
    traits: u8,
}

impl Tally {
    /// Notes an element; these are all bytes that it adds.
    pub(crate) fn add(&mut self, bytes: usize) {
        self.count = self.count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// Notes that an element is gone.
    pub(crate) fn subtract(&mut self, bytes: usize) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes as u64);
    }

    /// Notes that a value of so many bytes took the place of another one.
    pub(crate) fn replace(&mut self, old_bytes: usize, new_bytes: usize) {
        self.bytes = self
            .bytes
            .saturating_add(new_bytes as u64)
            .saturating_sub(old_bytes as u64);
    }

    /// Remembers what the names of encodings depend on.
    pub(crate) fn note(&mut self, element: &[u8]) {
        if element.len() > LISTPACK_ELEMENT_BYTES_MAX {
            self.traits |= TRAIT_LONG | TRAIT_TEXT;
        } else if self.traits & TRAIT_TEXT == 0 && crate::number::parse_integer(element).is_none() {
            self.traits |= TRAIT_TEXT;
        }
    }

    pub(crate) fn has_long(&self) -> bool {
        self.traits & TRAIT_LONG != 0
    }

    pub(crate) fn has_text(&self) -> bool {
        self.traits & TRAIT_TEXT != 0
    }
}

/// What is in a stream's record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StreamState {
    pub(crate) tally: Tally,
    /// The newest id ever added, also if that entry is gone.
    pub(crate) last: [u64; 2],
    /// The highest id ever deleted.
    pub(crate) deleted_max: [u64; 2],
    /// Entries ever added.
    pub(crate) added: u64,
    pub(crate) groups: u64,
}

/// What a key holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    /// A string, here.
    Small(Bytes),
    /// A string in chunks.
    Large {
        bytes: u64,
    },
    Hash(Tally),
    /// Items have the indexes `first`, `first + 1`, ...
    List {
        tally: Tally,
        first: i64,
    },
    Set(Tally),
    /// With so many levels of fences.
    SortedSet {
        tally: Tally,
        levels: u8,
    },
    Stream(Box<StreamState>),
}

impl Body {
    pub(crate) fn value_type(&self) -> ValueType {
        match self {
            Body::Small(_) | Body::Large { .. } => ValueType::String,
            Body::Hash(_) => ValueType::Hash,
            Body::List { .. } => ValueType::List,
            Body::Set(_) => ValueType::Set,
            Body::SortedSet { .. } => ValueType::SortedSet,
            Body::Stream(_) => ValueType::Stream,
        }
    }

    /// Bytes below the key: what counts report beside the key itself.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Body::Small(value) => value.len() as u64,
            Body::Large { bytes } => *bytes,
            Body::Hash(tally)
            | Body::List { tally, .. }
            | Body::Set(tally)
            | Body::SortedSet { tally, .. } => tally.bytes,
            Body::Stream(state) => state.tally.bytes,
        }
    }

    /// Number of elements; none for strings.
    pub(crate) fn count(&self) -> Option<u64> {
        match self {
            Body::Small(_) | Body::Large { .. } => None,
            Body::Hash(tally)
            | Body::List { tally, .. }
            | Body::Set(tally)
            | Body::SortedSet { tally, .. } => Some(tally.count),
            Body::Stream(state) => Some(state.tally.count),
        }
    }

    /// Whether elements may be stored below it.
    pub(crate) fn has_elements(&self) -> bool {
        !matches!(self, Body::Small(_))
    }

    fn tag(&self) -> u8 {
        match self {
            Body::Small(_) => 1,
            Body::Large { .. } => 2,
            Body::Hash(_) => 3,
            Body::List { .. } => 4,
            Body::Set(_) => 5,
            Body::SortedSet { .. } => 6,
            Body::Stream(_) => 7,
        }
    }
}

/// A key's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) expires: Option<UnixMillis>,
    /// Of no meaning for small strings.
    pub(crate) generation: Generation,
    pub(crate) body: Body,
}

impl Record {
    /// A small string has no generation.
    pub(crate) const NO_GENERATION: Generation = Generation([0; GENERATION_BYTES]);

    pub(crate) fn is_expired(&self, now: UnixMillis) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    pub(crate) fn encode(&self) -> Bytes {
        let body_bytes = match &self.body {
            Body::Small(value) => value.len(),
            _ => 48,
        };
        let mut out = Vec::with_capacity(2 + 8 + body_bytes);
        out.push(self.body.tag());
        match self.expires {
            Some(expires) => {
                out.push(FLAG_EXPIRES);
                out.extend_from_slice(&expires.0.to_le_bytes());
            }
            None => out.push(0),
        }
        if self.body.has_elements() {
            out.extend_from_slice(&self.generation.0);
        }
        match &self.body {
            Body::Small(value) => out.extend_from_slice(value),
            Body::Large { bytes } => write_varint(*bytes, &mut out),
            Body::Hash(tally) | Body::Set(tally) => write_tally(tally, &mut out),
            Body::List { tally, first } => {
                write_tally(tally, &mut out);
                out.extend_from_slice(&first.to_le_bytes());
            }
            Body::SortedSet { tally, levels } => {
                write_tally(tally, &mut out);
                out.push(*levels);
            }
            Body::Stream(state) => {
                write_tally(&state.tally, &mut out);
                let numbers = [state.last, state.deleted_max];
                for number in numbers.into_iter().flatten() {
                    write_varint(number, &mut out);
                }
                write_varint(state.added, &mut out);
                write_varint(state.groups, &mut out);
            }
        }
        Bytes::from(out)
    }

    /// Reads a record; a small string's value is a slice of `bytes`.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Record> {
        let mut rest: &[u8] = bytes;
        let (tag, flags) = match rest {
            [tag, flags, tail @ ..] => {
                rest = tail;
                (*tag, *flags)
            }
            _ => return Err(malformed(WHAT)),
        };
        let expires = if flags & FLAG_EXPIRES == 0 {
            None
        } else {
            Some(UnixMillis(u64::from_le_bytes(take(&mut rest)?)))
        };
        let generation = if tag == 1 {
            Record::NO_GENERATION
        } else {
            Generation(take(&mut rest)?)
        };
        let body = match tag {
            1 => Body::Small(bytes.slice(bytes.len() - rest.len()..)),
            2 => Body::Large {
                bytes: number(&mut rest)?,
            },
            3 => Body::Hash(read_tally(&mut rest)?),
            4 => Body::List {
                tally: read_tally(&mut rest)?,
                first: i64::from_le_bytes(take(&mut rest)?),
            },
            5 => Body::Set(read_tally(&mut rest)?),
            6 => Body::SortedSet {
                tally: read_tally(&mut rest)?,
                levels: take::<1>(&mut rest)?[0],
            },
            7 => Body::Stream(Box::new(StreamState {
                tally: read_tally(&mut rest)?,
                last: [number(&mut rest)?, number(&mut rest)?],
                deleted_max: [number(&mut rest)?, number(&mut rest)?],
                added: number(&mut rest)?,
                groups: number(&mut rest)?,
            })),
            found => return Err(KeyValueError::Codec(CodecError::UnknownFormat { found })),
        };
        Ok(Record {
            expires,
            generation,
            body,
        })
    }
}

fn write_tally(tally: &Tally, out: &mut Vec<u8>) {
    write_varint(tally.count, out);
    write_varint(tally.bytes, out);
    out.push(tally.traits);
}

fn read_tally(rest: &mut &[u8]) -> Result<Tally> {
    Ok(Tally {
        count: number(rest)?,
        bytes: number(rest)?,
        traits: take::<1>(rest)?[0],
    })
}

fn number(rest: &mut &[u8]) -> Result<u64> {
    read_varint(rest).ok_or_else(|| malformed(WHAT))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N]> {
    let (head, tail) = rest
        .split_first_chunk::<N>()
        .ok_or_else(|| malformed(WHAT))?;
    *rest = tail;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tally() -> impl Strategy<Value = Tally> {
        (any::<u64>(), any::<u64>(), 0..4_u8).prop_map(|(count, bytes, traits)| Tally {
            count,
            bytes,
            traits,
        })
    }

    fn body() -> impl Strategy<Value = Body> {
        prop_oneof![
            any::<Vec<u8>>().prop_map(|value| Body::Small(value.into())),
            any::<u64>().prop_map(|bytes| Body::Large { bytes }),
            tally().prop_map(Body::Hash),
            tally().prop_map(Body::Set),
            (tally(), any::<i64>()).prop_map(|(tally, first)| Body::List { tally, first }),
            (tally(), any::<u8>()).prop_map(|(tally, levels)| Body::SortedSet { tally, levels }),
            (tally(), any::<[u64; 6]>()).prop_map(|(tally, n)| Body::Stream(Box::new(
                StreamState {
                    tally,
                    last: [n[0], n[1]],
                    deleted_max: [n[2], n[3]],
                    added: n[4],
                    groups: n[5],
                }
            ))),
        ]
    }

    proptest! {
        #[test]
        fn records_are_read_as_they_were_written(
            body in body(),
            expires in any::<Option<u64>>(),
            generation in any::<[u8; GENERATION_BYTES]>(),
        ) {
            let generation = match body {
                Body::Small(_) => Record::NO_GENERATION,
                _ => Generation(generation),
            };
            let record = Record { expires: expires.map(UnixMillis), generation, body };
            prop_assert_eq!(Record::decode(&record.encode()).expect("own bytes"), record);
        }

        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
            let _ = Record::decode(&bytes.into());
        }
    }
}
