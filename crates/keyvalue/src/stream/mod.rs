//! Streams: append-only logs with consumer groups. <https://redis.io/commands/?group=stream>
//!
//! # Map
//! - here: entries: XADD, XRANGE, XREAD, XDEL, XTRIM, XSETID.
//! - `id`: ids of entries. `layout`: bytes of what lies below a stream.
//! - `group`: XGROUP, XREADGROUP, XACK. `pending`: XPENDING, XCLAIM, XAUTOCLAIM. `info`: XINFO.
//!
//! # Invariants
//! 1. Ids only grow: an entry's id is above every id that the stream ever had.
//! 2. A pending entry is listed once under its group, and once under the consumer that owns it; the
//!    numbers in the records of both are exact.

mod group;
mod id;
mod info;
mod layout;
mod pending;

pub use group::{GroupStart, ReadFrom, ReadGroup};
pub use id::StreamId;
pub use info::{ConsumerInfo, GroupInfo, StreamInfo};
pub use pending::{Autoclaimed, Claim, ClaimOptions, PendingEntry, PendingSummary};

use std::ops::Bound;

use bytes::Bytes;
use tessera_storage::{KeyRange, Val};

use crate::error::{KeyValueError, Result};
use crate::layout::{Elements, check_element};
use crate::reader::Reader;
use crate::record::{Body, Record, StreamState, ValueType};
use crate::rows::Walk;
use crate::writer::{Locked, Writer};
use layout::{decode_fields, encode_fields, entry_id};

/// Bytes that an id adds to what an entry takes.
const ID_BYTES: usize = 16;

/// Fields and values of an entry, in the order they were given.
pub type Fields = Vec<(Bytes, Bytes)>;

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamEntry {
    /// Its id.
    pub id: StreamId,
    /// What it says.
    pub fields: Fields,
}

/// The id of a new entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddId {
    /// From the time (`*`).
    Auto,
    /// With this time, and the next free number (`5-*`).
    AutoSequence(u64),
    /// This one, which must be above all others.
    Exact(StreamId),
}

/// Which entries are trimmed. Trimming is always exact; `~` may be ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrimTo {
    /// The oldest, so that so many are left (MAXLEN).
    Length(u64),
    /// Those of lower ids (MINID).
    Id(StreamId),
}

/// How a stream is trimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trim {
    /// To what.
    pub to: TrimTo,
    /// Entries removed at most (LIMIT).
    pub limit: Option<u64>,
}

/// Options of XADD.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct XaddOptions {
    /// Do not make a stream (NOMKSTREAM).
    pub only_if_exists: bool,
    /// Trim afterwards.
    pub trim: Option<Trim>,
}

/// A part of a stream; both ends are included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamRange {
    /// The lowest id.
    pub start: StreamId,
    /// The highest id.
    pub end: StreamId,
}

impl StreamRange {
    /// Every entry (`-`, `+`).
    pub const ALL: StreamRange = StreamRange {
        start: StreamId::MIN,
        end: StreamId::MAX,
    };

    fn keys(&self, elements: &Elements) -> KeyRange {
        KeyRange {
            start: Bound::Included(layout::entry_key(elements, self.start)),
            end: Bound::Included(layout::entry_key(elements, self.end)),
        }
    }
}

/// A stream that is read or written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stream {
    elements: Elements,
    state: StreamState,
}

impl Stream {
    fn last(&self) -> StreamId {
        StreamId::from(self.state.last)
    }

    fn next_id(&self, id: AddId, now_millis: u64) -> Result<StreamId> {
        let last = self.last();
        if last == StreamId::MAX {
            return Err(KeyValueError::StreamIdsExhausted);
        }
        let id = match id {
            AddId::Auto if now_millis > last.millis => StreamId::new(now_millis, 0),
            AddId::Auto => last.next().ok_or(KeyValueError::StreamIdsExhausted)?,
            AddId::AutoSequence(millis) if millis == last.millis => {
                let sequence = last.sequence.checked_add(1);
                StreamId::new(millis, sequence.ok_or(KeyValueError::StreamIdTooSmall)?)
            }
            AddId::AutoSequence(millis) => StreamId::new(millis, 0),
            AddId::Exact(StreamId::MIN) => return Err(KeyValueError::StreamIdZero),
            AddId::Exact(id) => id,
        };
        if id <= last {
            return Err(KeyValueError::StreamIdTooSmall);
        }
        Ok(id)
    }
}

impl Reader<'_> {
    pub(crate) async fn stream(&self, key: &[u8]) -> Result<Option<Stream>> {
        let record = self.typed(key, ValueType::Stream).await?;
        Ok(record.and_then(|record| match &record.body {
            Body::Stream(state) => Some(Stream {
                elements: self.elements(&record),
                state: **state,
            }),
            _ => None,
        }))
    }

    /// XLEN.
    pub async fn xlen(&self, key: &[u8]) -> Result<u64> {
        let stream = self.stream(key).await?;
        Ok(stream.map_or(0, |stream| stream.state.tally.count))
    }

    /// The newest id that the stream ever had (`$`); 0-0 if there is no stream.
    pub async fn stream_last_id(&self, key: &[u8]) -> Result<StreamId> {
        let stream = self.stream(key).await?;
        Ok(stream.map_or(StreamId::MIN, |stream| stream.last()))
    }

    /// XRANGE, XREVRANGE: entries of a part, from its end if `reverse`, at most `count`.
    pub async fn xrange(
        &self,
        key: &[u8],
        range: StreamRange,
        count: Option<u64>,
        reverse: bool,
    ) -> Result<Vec<StreamEntry>> {
        match self.stream(key).await? {
            Some(stream) => self.entries(&stream, range, count, reverse).await,
            None => Ok(Vec::new()),
        }
    }

    /// XREAD: for each stream with entries behind an id, its place in `streams` and the entries, at
    /// most `count` each. The caller waits and tries again where it shall block.
    pub async fn xread<K: AsRef<[u8]>>(
        &self,
        streams: &[(K, StreamId)],
        count: Option<u64>,
    ) -> Result<Vec<(usize, Vec<StreamEntry>)>> {
        let mut found = Vec::new();
        for (at, (key, after)) in streams.iter().enumerate() {
            let Some(start) = after.next() else {
                continue;
            };
            let range = StreamRange {
                start,
                end: StreamId::MAX,
            };
            let entries = self.xrange(key.as_ref(), range, count, false).await?;
            if !entries.is_empty() {
                found.push((at, entries));
            }
        }
        Ok(found)
    }

    async fn entries(
        &self,
        stream: &Stream,
        range: StreamRange,
        count: Option<u64>,
        reverse: bool,
    ) -> Result<Vec<StreamEntry>> {
        if range.start > range.end || count == Some(0) {
            return Ok(Vec::new());
        }
        let walk = Walk {
            reverse,
            limit: count.map(|count| usize::try_from(count).unwrap_or(usize::MAX)),
            keys_only: false,
            is_short: false,
        };
        let mut rows = self.rows(range.keys(&stream.elements), walk);
        let mut entries = Vec::new();
        while let Some((key, value)) = rows.next().await? {
            entries.push(StreamEntry {
                id: entry_id(&key)?,
                fields: decode_fields(&value)?,
            });
        }
        Ok(entries)
    }

    /// The fields of an entry, if it is there.
    async fn entry_fields(&self, stream: &Stream, id: StreamId) -> Result<Option<Fields>> {
        let key = layout::entry_key(&stream.elements, id);
        let value = self.element(&key).await?;
        value.map(|value| decode_fields(&value)).transpose()
    }

    /// The first entry's id.
    async fn first_id(&self, stream: &Stream) -> Result<Option<StreamId>> {
        let range = StreamRange::ALL.keys(&stream.elements);
        let walk = Walk {
            limit: Some(1),
            ..Walk::KEYS
        };
        let row = self.rows(range, walk).next().await?;
        row.map(|(key, _)| entry_id(&key)).transpose()
    }
}

impl Writer<'_> {
    /// XADD: the id of the new entry; none if there is no stream and none shall be made.
    pub async fn xadd<F: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        key: &[u8],
        id: AddId,
        fields: &[(F, V)],
        options: XaddOptions,
    ) -> Result<Option<StreamId>> {
        let (mut locked, record, mut stream) = self.lock_stream(key).await?;
        if options.only_if_exists && !self.is_living(&locked) {
            return Ok(None);
        }
        let id = stream.next_id(id, self.now.0)?;
        let value = encode_fields(fields);
        check_element(&value)?;
        stream.state.tally.add(entry_bytes(value.len()));
        stream.state.last = id.into();
        stream.state.added = stream.state.added.saturating_add(1);
        self.put(layout::entry_key(&stream.elements, id), Val::from(value))?;
        if let Some(trim) = options.trim {
            self.trim(&mut stream, trim).await?;
        }
        self.store_stream(&mut locked, record, &stream).await?;
        Ok(Some(id))
    }

    /// XDEL: how many entries there were.
    pub async fn xdel(&self, key: &[u8], ids: &[StreamId]) -> Result<u64> {
        let (mut locked, record, mut stream) = self.lock_stream(key).await?;
        if !self.is_living(&locked) {
            return Ok(0);
        }
        let mut count = 0;
        for id in ids {
            let key = layout::entry_key(&stream.elements, *id);
            let Some(value) = self.element(&key).await? else {
                continue;
            };
            self.delete(key)?;
            stream.state.tally.subtract(entry_bytes(value.len()));
            stream.state.deleted_max = stream.state.deleted_max.max((*id).into());
            count += 1;
        }
        if count > 0 {
            self.store_stream(&mut locked, record, &stream).await?;
        }
        Ok(count)
    }

    /// XTRIM: how many entries were removed.
    pub async fn xtrim(&self, key: &[u8], trim: Trim) -> Result<u64> {
        let (mut locked, record, mut stream) = self.lock_stream(key).await?;
        if !self.is_living(&locked) {
            return Ok(0);
        }
        let count = self.trim(&mut stream, trim).await?;
        if count > 0 {
            self.store_stream(&mut locked, record, &stream).await?;
        }
        Ok(count)
    }

    /// XSETID: sets the newest id, and the other numbers if given.
    pub async fn xsetid(
        &self,
        key: &[u8],
        last: StreamId,
        added: Option<u64>,
        deleted_max: Option<StreamId>,
    ) -> Result<()> {
        let (mut locked, record, mut stream) = self.lock_stream(key).await?;
        if !self.is_living(&locked) {
            return Err(KeyValueError::NoSuchKey);
        }
        let range = StreamRange::ALL;
        let newest = self.reader().entries(&stream, range, Some(1), true).await?;
        let deleted_max = deleted_max.unwrap_or(StreamId::from(stream.state.deleted_max));
        let is_too_small = newest.first().is_some_and(|entry| entry.id > last);
        if is_too_small || deleted_max > last {
            return Err(KeyValueError::StreamIdTooSmall);
        }
        if added.is_some_and(|added| added < stream.state.tally.count) {
            return Err(KeyValueError::InvalidArgument {
                what: "The entries_added specified in XSETID is smaller than the target stream \
                       length",
            });
        }
        stream.state.last = last.into();
        stream.state.deleted_max = deleted_max.into();
        stream.state.added = added.unwrap_or(stream.state.added);
        self.store_stream(&mut locked, record, &stream).await
    }

    async fn trim(&self, stream: &mut Stream, trim: Trim) -> Result<u64> {
        let limit = trim.limit.unwrap_or(u64::MAX);
        let (range, wanted) = match trim.to {
            TrimTo::Length(length) => (
                StreamRange::ALL,
                stream.state.tally.count.saturating_sub(length),
            ),
            TrimTo::Id(id) => {
                let Some(end) = id.previous() else {
                    return Ok(0);
                };
                let start = StreamId::MIN;
                (StreamRange { start, end }, u64::MAX)
            }
        };
        let wanted = wanted.min(limit);
        if wanted == 0 {
            return Ok(0);
        }
        let walk = Walk::first(usize::try_from(wanted).unwrap_or(usize::MAX));
        let reader = self.reader();
        let mut rows = reader.rows(range.keys(&stream.elements), walk);
        let mut count = 0;
        while let Some((key, value)) = rows.next().await? {
            self.delete(key)?;
            stream.state.tally.subtract(entry_bytes(value.len()));
            count += 1;
        }
        Ok(count)
    }

    /// Locks a stream; a new one has no entries yet.
    async fn lock_stream(&self, key: &[u8]) -> Result<(Locked, Record, Stream)> {
        let locked = self.lock(key).await?;
        let record = self.typed(&locked, ValueType::Stream)?;
        let record = record.unwrap_or_else(|| self.fresh(Body::Stream(Box::default())));
        let Body::Stream(state) = &record.body else {
            return Err(KeyValueError::WrongType);
        };
        let stream = Stream {
            elements: self.elements(&record),
            state: **state,
        };
        Ok((locked, record, stream))
    }

    fn is_living(&self, locked: &Locked) -> bool {
        self.living(locked).is_some()
    }

    async fn store_stream(
        &self,
        locked: &mut Locked,
        record: Record,
        stream: &Stream,
    ) -> Result<()> {
        let record = Record {
            body: Body::Stream(Box::new(stream.state)),
            ..record
        };
        self.store(locked, record).await
    }
}

/// What an entry with a value of so many bytes takes.
fn entry_bytes(value_bytes: usize) -> usize {
    ID_BYTES + value_bytes
}
