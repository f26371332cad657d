//! What a log record means: one commit, or the destruction of a range.
//!
//! The byte table is in `docs/internals/storage.md`.

use std::ops::Bound;
use std::sync::Arc;

use tessera_types::TxnId;

use crate::batch::{Origin, Write};
use crate::changes::Notice;
use crate::embedded::coding::{Malformed, Reader, put_varint, shared_prefix};
use crate::range::{KeyRange, KeySpace};
use crate::store::{Key, RunId, Val};

/// Version of this format, the first byte of every payload.
const FORMAT: u8 = 2;
/// Had neither times nor messages.
const FORMAT_WITHOUT_TIME: u8 = 1;
const KIND_COMMIT: u8 = 1;
const KIND_DESTROY: u8 = 2;
const OP_PUT: u8 = 0x10;
const OP_DELETE: u8 = 0x20;
const OP_INSERT: u8 = 0x30;
/// In the byte of the origin: messages follow the writes.
const HAS_NOTICES: u8 = 0x80;
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

/// What a record says before its writes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Head {
    Commit {
        txn: TxnId,
        origin: Origin,
        unix_micros: Option<i64>,
        has_notices: bool,
        runs: Vec<RunReference>,
        /// Number of writes that follow.
        writes: u64,
    },
    Destroy {
        space: KeySpace,
        range: KeyRange,
    },
}

/// What is encoded as a commit; `writes` are sorted, so keys share prefixes with their
/// predecessors.
pub(crate) struct Commit<'a> {
    pub(crate) txn: TxnId,
    pub(crate) origin: Origin,
    pub(crate) unix_micros: i64,
    pub(crate) runs: &'a [RunReference],
    pub(crate) writes: &'a [(KeySpace, Key, Write)],
    pub(crate) notices: &'a [Notice],
}

pub(crate) fn encode_commit(commit: &Commit<'_>) -> Vec<u8> {
    let Commit {
        runs,
        writes,
        notices,
        ..
    } = commit;
    let bytes: usize = writes
        .iter()
        .map(|(_, k, w)| k.len() + w.value_bytes() + 8)
        .sum();
    let notice_bytes: usize = notices.iter().map(|notice| notice.bytes() + 16).sum();
    let mut out = Vec::with_capacity(40 + 32 * runs.len() + bytes + notice_bytes);
    out.extend([FORMAT, KIND_COMMIT]);
    out.extend(commit.txn.0.to_le_bytes());
    let flags = if notices.is_empty() { 0 } else { HAS_NOTICES };
    out.push(commit.origin as u8 | flags);
    out.extend(commit.unix_micros.to_le_bytes());
    put_varint(&mut out, runs.len() as u64);
    for run in *runs {
        for number in [run.id.0, run.entries, run.bytes, run.checksum] {
            out.extend(number.to_le_bytes());
        }
    }
    put_varint(&mut out, writes.len() as u64);
    let mut previous: &[u8] = &[];
    for (space, key, write) in *writes {
        put_entry(&mut out, *space, previous, key, write);
        previous = key;
    }
    if !notices.is_empty() {
        put_varint(&mut out, notices.len() as u64);
    }
    for notice in *notices {
        out.extend(notice.process_id.to_le_bytes());
        for text in [&notice.channel, &notice.payload] {
            put_varint(&mut out, text.len() as u64);
            out.extend_from_slice(text.as_bytes());
        }
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
    let record = match read_head(&mut reader)? {
        Head::Destroy { space, range } => Record::Destroy { space, range },
        Head::Commit {
            txn,
            origin,
            has_notices,
            runs,
            writes: count,
            ..
        } => {
            let mut writes = Vec::new();
            let mut key = Vec::new();
            for _ in 0..count {
                let (space, write) = read_entry(&mut reader, &mut key)?;
                writes.push((space, Key::copy_from_slice(&key), write));
            }
            // Nobody listens while a log is replayed.
            let notices = if has_notices { reader.varint()? } else { 0 };
            for _ in 0..notices {
                read_notice(&mut reader)?;
            }
            Record::Commit {
                txn,
                origin,
                runs,
                writes,
            }
        }
    };
    if !reader.is_empty() {
        return Err(Malformed("bytes follow the record"));
    }
    Ok(record)
}

/// Reads what comes before the writes.
pub(crate) fn read_head(reader: &mut Reader<'_>) -> Result<Head, Malformed> {
    let has_time = match reader.u8()? {
        FORMAT => true,
        FORMAT_WITHOUT_TIME => false,
        _ => return Err(Malformed("unknown record format")),
    };
    match reader.u8()? {
        KIND_COMMIT => read_commit_head(reader, has_time),
        KIND_DESTROY => {
            let space = space_of(reader.u8()?)?;
            let (start, end) = (read_bound(reader)?, read_bound(reader)?);
            let range = KeyRange { start, end };
            Ok(Head::Destroy { space, range })
        }
        _ => Err(Malformed("unknown kind of record")),
    }
}

fn read_commit_head(reader: &mut Reader<'_>, has_time: bool) -> Result<Head, Malformed> {
    let txn = TxnId(reader.u64()?);
    let flags = reader.u8()?;
    let has_notices = has_time && flags & HAS_NOTICES != 0;
    let origin = match if has_notices {
        flags & !HAS_NOTICES
    } else {
        flags
    } {
        0 => Origin::Client,
        1 => Origin::System,
        _ => return Err(Malformed("unknown origin")),
    };
    let unix_micros = match has_time {
        true => Some(reader.u64()? as i64),
        false => None,
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
    Ok(Head::Commit {
        txn,
        origin,
        unix_micros,
        has_notices,
        runs,
        writes: reader.varint()?,
    })
}

/// Reads one message.
pub(crate) fn read_notice(reader: &mut Reader<'_>) -> Result<Notice, Malformed> {
    let mut process_id = [0; 4];
    process_id.copy_from_slice(reader.bytes(4)?);
    let mut text = || {
        let len = reader.length()?;
        let text = std::str::from_utf8(reader.bytes(len)?);
        text.map(Arc::from)
            .map_err(|_| Malformed("a message is not UTF-8"))
    };
    Ok(Notice {
        channel: text()?,
        payload: text()?,
        process_id: i32::from_le_bytes(process_id),
    })
}

/// Reads what `put_entry` wrote behind the entry of `previous`.
pub(crate) fn read_entry_after(
    reader: &mut Reader<'_>,
    previous: &[u8],
) -> Result<(KeySpace, Key, Write), Malformed> {
    let mut key = previous.to_vec();
    let (space, write) = read_entry(reader, &mut key)?;
    Ok((space, Key::from(key), write))
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
    let op = match write {
        Write::Put(_) => OP_PUT,
        Write::Insert(_) => OP_INSERT,
        Write::Delete => OP_DELETE,
    };
    out.push(op | space as u8);
    put_varint(out, shared as u64);
    put_varint(out, (key.len() - shared) as u64);
    out.extend_from_slice(&key[shared..]);
    if let Some(value) = write.value() {
        put_varint(out, value.len() as u64);
        out.extend_from_slice(value);
    }
}

/// Reads what `put_entry` wrote; `key` holds the key before it and then this one's.
pub(crate) fn read_entry(
    reader: &mut Reader<'_>,
    key: &mut Vec<u8>,
) -> Result<(KeySpace, Write), Malformed> {
    let is_insert = reader
        .peek()
        .is_some_and(|head| head & !SPACE_MASK == OP_INSERT);
    let (space, value) = read_entry_borrowed(reader, key)?;
    let write = match value.map(Val::copy_from_slice) {
        Some(value) if is_insert => Write::Insert(value),
        Some(value) => Write::Put(value),
        None => Write::Delete,
    };
    Ok((space, write))
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
        OP_PUT | OP_INSERT => {
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
            (KeySpace::Rows, key("abc2"), Write::Insert(key("2"))),
            (KeySpace::Rows, key("abd"), Write::Delete),
            (KeySpace::Indexes, key("a"), Write::Put(key("xyz"))),
        ];
        let runs = vec![RunReference {
            id: RunId(7),
            entries: 1,
            bytes: 2,
            checksum: u64::MAX,
        }];
        let notice = |channel: &str, payload: &str| Notice {
            channel: channel.into(),
            payload: payload.into(),
            process_id: -7,
        };
        let notices = [notice("c", ""), notice("d", "text")];
        let payload = encode_commit(&Commit {
            txn: TxnId(9),
            origin: Origin::System,
            unix_micros: -5,
            runs: &runs,
            writes: &writes,
            notices: &notices,
        });
        let mut reader = Reader::new(&payload);
        let head = read_head(&mut reader);
        let Ok(Head::Commit {
            unix_micros,
            writes: count,
            ..
        }) = head
        else {
            panic!("{head:?}");
        };
        assert_eq!((unix_micros, count), (Some(-5), 5));
        let mut key = Vec::new();
        for (_, _, write) in &writes {
            assert_eq!(
                read_entry(&mut reader, &mut key).map(|(_, found)| found),
                Ok(write.clone())
            );
        }
        assert_eq!(reader.varint(), Ok(2));
        for notice in notices {
            assert_eq!(read_notice(&mut reader), Ok(notice));
        }
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
    fn a_record_of_the_first_format_is_read() {
        let mut payload = vec![FORMAT_WITHOUT_TIME, KIND_COMMIT];
        payload.extend(TxnId(9).0.to_le_bytes());
        payload.extend([1, 0, 1]);
        put_entry(&mut payload, KeySpace::Rows, b"", b"k", &Write::Delete);
        let record = Record::Commit {
            txn: TxnId(9),
            origin: Origin::System,
            runs: Vec::new(),
            writes: vec![(KeySpace::Rows, Key::from_static(b"k"), Write::Delete)],
        };
        assert_eq!(decode(&payload), Ok(record));
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
