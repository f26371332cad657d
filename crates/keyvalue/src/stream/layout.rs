//! Bytes of what lies below a stream.
//!
//! | kind | suffix | value |
//! |---|---|---|
//! | entry | id:16 | number of fields, then field and value in turn |
//! | group | name | last id:16, entries read + 1 (0 if not known), pending, consumers |
//! | consumer | length:2 group, name | seen, active + 1 (0 if never), pending |
//! | pending | length:2 group, id:16 | delivered at, deliveries, consumer's name |
//! | owned | length:2 group, length:2 consumer, id:16 | empty |
//!
//! Numbers without a width are varints, and byte strings follow their length as a varint, but for
//! the last one. Times are milliseconds since 1970.

use bytes::Bytes;
use tessera_codec::varint::{read_varint, write_varint};
use tessera_storage::{Key, Val};

use super::{Fields, StreamId};
use crate::error::{Result, malformed};
use crate::layout::{ElementKind, Elements, suffix};

const ENTRY: &str = "entry of a stream";
const GROUP: &str = "consumer group of a stream";
const CONSUMER: &str = "consumer of a stream";
const PENDING: &str = "pending entry of a stream";

pub(super) fn entry_key(elements: &Elements, id: StreamId) -> Key {
    elements.key(ElementKind::Entry, &[&id.to_bytes()])
}

/// The id in an entry's key.
pub(super) fn entry_id(key: &Key) -> Result<StreamId> {
    StreamId::from_bytes(&suffix(key)).ok_or_else(|| malformed(ENTRY))
}

pub(super) fn encode_fields<F: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(F, V)]) -> Vec<u8> {
    let mut out = Vec::new();
    write_varint(fields.len() as u64, &mut out);
    for (field, value) in fields {
        for part in [field.as_ref(), value.as_ref()] {
            write_varint(part.len() as u64, &mut out);
            out.extend_from_slice(part);
        }
    }
    out
}

pub(super) fn decode_fields(bytes: &Bytes) -> Result<Fields> {
    let mut rest: &[u8] = bytes;
    let count = number(&mut rest, ENTRY)?;
    // Each takes two bytes at least, so a wrong count ends before memory does.
    let mut fields = Vec::new();
    for _ in 0..count {
        let field = part(bytes, &mut rest)?;
        let value = part(bytes, &mut rest)?;
        fields.push((field, value));
    }
    Ok(fields)
}

fn part(bytes: &Bytes, rest: &mut &[u8]) -> Result<Bytes> {
    let length = usize::try_from(number(rest, ENTRY)?).map_err(|_| malformed(ENTRY))?;
    let (head, tail) = rest
        .split_at_checked(length)
        .ok_or_else(|| malformed(ENTRY))?;
    *rest = tail;
    Ok(bytes.slice_ref(head))
}

fn number(rest: &mut &[u8], what: &'static str) -> Result<u64> {
    read_varint(rest).ok_or_else(|| malformed(what))
}

/// Length of a name, which `check_group` bounds.
fn name_length(name: &[u8]) -> [u8; 2] {
    u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes()
}

/// A consumer group's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) last: StreamId,
    /// Entries up to `last` that there ever were, where that is known.
    pub(super) read: Option<u64>,
    pub(super) pending: u64,
    pub(super) consumers: u64,
}

pub(super) fn group_key(elements: &Elements, group: &[u8]) -> Key {
    elements.key(ElementKind::Group, &[group])
}

impl Group {
    pub(super) fn encode(&self) -> Val {
        let mut out = self.last.to_bytes().to_vec();
        write_varint(self.read.map_or(0, |read| read.saturating_add(1)), &mut out);
        write_varint(self.pending, &mut out);
        write_varint(self.consumers, &mut out);
        Val::from(out)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Group> {
        let (last, mut rest) = bytes.split_at_checked(16).ok_or_else(|| malformed(GROUP))?;
        Ok(Group {
            last: StreamId::from_bytes(last).ok_or_else(|| malformed(GROUP))?,
            read: number(&mut rest, GROUP)?.checked_sub(1),
            pending: number(&mut rest, GROUP)?,
            consumers: number(&mut rest, GROUP)?,
        })
    }
}

/// A consumer's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Consumer {
    pub(super) seen_millis: u64,
    /// When it last got or claimed something.
    pub(super) active_millis: Option<u64>,
    pub(super) pending: u64,
}

pub(super) fn consumer_key(elements: &Elements, group: &[u8], consumer: &[u8]) -> Key {
    elements.key(
        ElementKind::Consumer,
        &[&name_length(group), group, consumer],
    )
}

/// What the suffixes of a group's consumers and pending entries begin with.
pub(super) fn group_prefix(group: &[u8]) -> Vec<u8> {
    [&name_length(group)[..], group].concat()
}

/// A consumer's name from its key.
pub(super) fn consumer_name(key: &Key, group: &[u8]) -> Bytes {
    let suffix = suffix(key);
    suffix.slice((2 + group.len()).min(suffix.len())..)
}

impl Consumer {
    pub(super) fn encode(&self) -> Val {
        let mut out = Vec::with_capacity(16);
        write_varint(self.seen_millis, &mut out);
        let active = self.active_millis;
        write_varint(
            active.map_or(0, |active| active.saturating_add(1)),
            &mut out,
        );
        write_varint(self.pending, &mut out);
        Val::from(out)
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Result<Consumer> {
        Ok(Consumer {
            seen_millis: number(&mut bytes, CONSUMER)?,
            active_millis: number(&mut bytes, CONSUMER)?.checked_sub(1),
            pending: number(&mut bytes, CONSUMER)?,
        })
    }
}

/// An entry that was delivered and is not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) delivered_millis: u64,
    pub(super) deliveries: u64,
    pub(super) consumer: Bytes,
}

pub(super) fn pending_key(elements: &Elements, group: &[u8], id: StreamId) -> Key {
    elements.key(
        ElementKind::Pending,
        &[&name_length(group), group, &id.to_bytes()],
    )
}

pub(super) fn owned_prefix(group: &[u8], consumer: &[u8]) -> Vec<u8> {
    let mut out = group_prefix(group);
    out.extend_from_slice(&name_length(consumer));
    out.extend_from_slice(consumer);
    out
}

pub(super) fn owned_key(elements: &Elements, group: &[u8], consumer: &[u8], id: StreamId) -> Key {
    let prefix = owned_prefix(group, consumer);
    elements.key(ElementKind::Owned, &[&prefix, &id.to_bytes()])
}

/// The id at the end of a pending or owned entry's key.
pub(super) fn pending_id(key: &Key) -> Result<StreamId> {
    let at = key.len().saturating_sub(16);
    StreamId::from_bytes(&key[at..]).ok_or_else(|| malformed(PENDING))
}

impl Pending {
    pub(super) fn encode(&self) -> Val {
        let mut out = Vec::with_capacity(16 + self.consumer.len());
        write_varint(self.delivered_millis, &mut out);
        write_varint(self.deliveries, &mut out);
        out.extend_from_slice(&self.consumer);
        Val::from(out)
    }

    pub(super) fn decode(bytes: &Bytes) -> Result<Pending> {
        let mut rest: &[u8] = bytes;
        Ok(Pending {
            delivered_millis: number(&mut rest, PENDING)?,
            deliveries: number(&mut rest, PENDING)?,
            consumer: bytes.slice_ref(rest),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fields_are_read_as_they_were_written(
            fields in prop::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 0..5),
        ) {
            let bytes = Bytes::from(encode_fields(&fields));
            let expected: Fields = fields.into_iter().map(|(f, v)| (f.into(), v.into())).collect();
            prop_assert_eq!(decode_fields(&bytes).expect("own bytes"), expected);
        }

        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
            let bytes = Bytes::from(bytes);
            let _ = (decode_fields(&bytes), Group::decode(&bytes));
            let _ = (Consumer::decode(&bytes), Pending::decode(&bytes));
        }
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let group = Group {
            last: StreamId::new(1, 2),
            read: Some(0),
            pending: 3,
            consumers: 4,
        };
        assert_eq!(Group::decode(&group.encode()).expect("own bytes"), group);
        let consumer = Consumer {
            seen_millis: 9,
            active_millis: None,
            pending: 1,
        };
        assert_eq!(
            Consumer::decode(&consumer.encode()).expect("own bytes"),
            consumer
        );
        let pending = Pending {
            delivered_millis: 300,
            deliveries: 2,
            consumer: Bytes::from_static(b"c"),
        };
        assert_eq!(
            Pending::decode(&pending.encode()).expect("own bytes"),
            pending
        );
    }
}
