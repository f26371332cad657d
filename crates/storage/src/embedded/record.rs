//! What a log record means: one commit, or the destruction of a range.
//!
//! The byte table is in `docs/internals/storage.md`.

use std::ops::Bound;

use tessera_types::TxnId;

use crate::batch::{Origin, Write};
use crate::embedded::coding::{Malformed, Reader, put_varint, shared_prefix};
use crate::range::{KeyRange, KeySpace};
use crate::store::{Key, RunId, Val};

/// Version of this format, the first byte of every payload.
const FORMAT: u8 = 1;
const KIND_COMMIT: u8 = 1;
const KIND_DESTROY: u8 = 2;
const OP_PUT: u8 = 0x10;
const OP_DELETE: u8 = 0x20;
const SPACE_MASK: u8 = 0x0f;
const BOUND_UNBOUNDED: u8 = 0;
const BOUND_INCLUDED: u8 = 1;
const BOUND_EXCLUDED: u8 = 2;

/// Identifies a run file with its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RunReference {
    pub(crate) id: RunId,
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    pub(crate) checksum: u64,
}

/// A decoded record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Record {
    Commit {
        txn: TxnId,
        origin: Origin,
        runs: Vec<RunReference>,
        writes: Vec<(KeySpace, Key, Write)>,
    },
    Destroy {
        space: KeySpace,
        range: KeyRange,
    },
}

/// Encodes a commit; `writes` are sorted, so keys share prefixes with their predecessors.
pub(crate) fn encode_commit(
    txn: TxnId,
    origin: Origin,
    runs: &[RunReference],
    writes: &[(KeySpace, Key, Write)],
) -> Vec<u8> {
    let bytes: usize = writes
        .iter()
        .map(|(_, k, w)| k.len() + w.value_bytes() + 8)
        .sum();
    let mut out = Vec::with_capacity(32 + 32 * runs.len() + bytes);
    out.extend([FORMAT, KIND_COMMIT]);
    out.extend(txn.0.to_le_bytes());
    out.push(origin as u8);
    put_varint(&mut out, runs.len() as u64);
    for run in runs {
        for number in [run.id.0, run.entries, run.bytes, run.checksum] {
            out.extend(number.to_le_bytes());
        }
    }
    put_varint(&mut out, writes.len() as u64);
    let mut previous: &[u8] = &[];
    for (space, key, write) in writes {
        put_entry(&mut out, *space, previous, key, write);
        previous = key;
    }
    out
}

pub(crate) fn encode_destroy(space: KeySpace, range: &KeyRange) -> Vec<u8> {
    let mut out = vec![FORMAT, KIND_DESTROY, space as u8];
    put_bound(&mut out, &range.start);
    put_bound(&mut out, &range.end);
    out
}

pub(crate) fn decode(payload: &[u8]) -> Result<Record, Malformed> {
    let mut reader = Reader::new(payload);
    if reader.u8()? != FORMAT {
        return Err(Malformed("unknown record format"));
    }
    let record = match reader.u8()? {
        KIND_COMMIT => decode_commit(&mut reader)?,
        KIND_DESTROY => {
            let space = space_of(reader.u8()?)?;
            let (start, end) = (read_bound(&mut reader)?, read_bound(&mut reader)?);
            Record::Destroy {
                space,
                range: KeyRange { start, end },
            }
        }
        _ => return Err(Malformed("unknown kind of record")),
    };
    if !reader.is_empty() {
        return Err(Malformed("bytes follow the record"));
    }
    Ok(record)
}

fn decode_commit(reader: &mut Reader<'_>) -> Result<Record, Malformed> {
    let txn = TxnId(reader.u64()?);
    let origin = match reader.u8()? {
        0 => Origin::Client,
        1 => Origin::System,
        _ => return Err(Malformed("unknown origin")),
    };
    let mut runs = Vec::new();
    for _ in 0..reader.varint()? {
        let id = RunId(reader.u64()?);
        let (entries, bytes, checksum) = (reader.u64()?, reader.u64()?, reader.u64()?);
        runs.push(RunReference {
            id,
            entries,
            bytes,
            checksum,
        });
    }
    let mut writes = Vec::new();
    let mut key = Vec::new();
    for _ in 0..reader.varint()? {
        let (space, write) = read_entry(reader, &mut key)?;
        writes.push((space, Key::copy_from_slice(&key), write));
    }
    Ok(Record::Commit {
        txn,
        origin,
        runs,
        writes,
    })
}

/// Appends one write, its key relative to the one before it.
pub(crate) fn put_entry(
    out: &mut Vec<u8>,
    space: KeySpace,
    previous_key: &[u8],
    key: &[u8],
    write: &Write,
) {
    let shared = shared_prefix(previous_key, key);
    let op = if matches!(write, Write::Put(_)) {
        OP_PUT
    } else {
        OP_DELETE
    };
    out.push(op | space as u8);
    put_varint(out, shared as u64);
    put_varint(out, (key.len() - shared) as u64);
    out.extend_from_slice(&key[shared..]);
    if let Write::Put(value) = write {
        put_varint(out, value.len() as u64);
        out.extend_from_slice(value);
    }
}

/// Reads what `put_entry` wrote; `key` holds the key before it and then this one's.
pub(crate) fn read_entry(
    reader: &mut Reader<'_>,
    key: &mut Vec<u8>,
) -> Result<(KeySpace, Write), Malformed> {
    let (space, value) = read_entry_borrowed(reader, key)?;
    Ok((
        space,
        value.map_or(Write::Delete, |value| {
            Write::Put(Val::copy_from_slice(value))
        }),
    ))
}

/// Like `read_entry`, without copying the value.
pub(crate) fn read_entry_borrowed<'a>(
    reader: &mut Reader<'a>,
    key: &mut Vec<u8>,
) -> Result<(KeySpace, Option<&'a [u8]>), Malformed> {
    let head = reader.u8()?;
    let space = space_of(head & SPACE_MASK)?;
    let shared = reader.length()?;
    if shared > key.len() {
        return Err(Malformed("a key shares more than its predecessor has"));
    }
    let rest = reader.length()?;
    let rest = reader.bytes(rest)?;
    key.truncate(shared);
    key.extend_from_slice(rest);
    match head & !SPACE_MASK {
        OP_PUT => {
            let len = reader.length()?;
            Ok((space, Some(reader.bytes(len)?)))
        }
        OP_DELETE => Ok((space, None)),
        _ => Err(Malformed("unknown operation")),
    }
}

fn space_of(index: u8) -> Result<KeySpace, Malformed> {
    KeySpace::from_index(index).ok_or(Malformed("unknown key space"))
}

fn put_bound(out: &mut Vec<u8>, bound: &Bound<Key>) {
    let (tag, key) = match bound {
        Bound::Unbounded => (BOUND_UNBOUNDED, None),
        Bound::Included(key) => (BOUND_INCLUDED, Some(key)),
        Bound::Excluded(key) => (BOUND_EXCLUDED, Some(key)),
    };
    out.push(tag);
    if let Some(key) = key {
        put_varint(out, key.len() as u64);
        out.extend_from_slice(key);
    }
}

fn read_bound(reader: &mut Reader<'_>) -> Result<Bound<Key>, Malformed> {
    let tag = reader.u8()?;
    if tag == BOUND_UNBOUNDED {
        return Ok(Bound::Unbounded);
    }
    let len = reader.length()?;
    let key = Key::copy_from_slice(reader.bytes(len)?);
    match tag {
        BOUND_INCLUDED => Ok(Bound::Included(key)),
        BOUND_EXCLUDED => Ok(Bound::Excluded(key)),
        _ => Err(Malformed("unknown bound")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    #[test]
    fn a_commit_comes_back() {
        let key = |text: &'static str| Key::from_static(text.as_bytes());
        let writes = vec![
            (KeySpace::Meta, key("m"), Write::Put(Val::new())),
            (KeySpace::Rows, key("abc"), Write::Put(key("1"))),
            (KeySpace::Rows, key("abd"), Write::Delete),
            (KeySpace::Indexes, key("a"), Write::Put(key("xyz"))),
        ];
        let runs = vec![RunReference {
            id: RunId(7),
            entries: 1,
            bytes: 2,
            checksum: u64::MAX,
        }];
        let payload = encode_commit(TxnId(9), Origin::System, &runs, &writes);
        let record = Record::Commit {
            txn: TxnId(9),
            origin: Origin::System,
            runs,
            writes,
        };
        assert_eq!(decode(&payload), Ok(record));
        for len in 0..payload.len() {
            assert!(decode(&payload[..len]).is_err(), "cut at {len}");
        }
    }

    #[test]
    fn a_destroyed_range_comes_back() {
        for range in [
            KeyRange::all(),
            KeyRange::prefix(b"ab"),
            KeyRange::point(&b"k"[..]),
        ] {
            let payload = encode_destroy(KeySpace::Rows, &range);
            assert_eq!(
                decode(&payload),
                Ok(Record::Destroy {
                    space: KeySpace::Rows,
                    range
                })
            );
        }
    }

    proptest! {
        #[test]
        fn no_payload_makes_the_decoder_panic(mut bytes in any::<Vec<u8>>(), kind in 1_u8..3) {
            bytes.splice(0..0, [FORMAT, kind]);
            let _ = decode(&bytes);
        }
    }
}
