//! Consumer groups: XGROUP, XREADGROUP, XACK.

use std::cmp::Ordering;

use bytes::Bytes;
use tessera_storage::Val;

use super::layout::{
    Consumer, Group, Pending, consumer_key, group_key, group_prefix, owned_key, owned_prefix,
    pending_id, pending_key,
};
use super::{Fields, Stream, StreamId, StreamRange};
use crate::error::{KeyValueError, Result, malformed};
use crate::layout::{ElementKind, check_group};
use crate::reader::Reader;
use crate::record::Record;
use crate::rows::Walk;
use crate::writer::{Locked, Writer};

/// Where a group begins to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupStart {
    /// Behind what is there now (`$`).
    Newest,
    /// Behind this id.
    Id(StreamId),
}

/// What XREADGROUP reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFrom {
    /// Entries that no consumer of the group got (`>`).
    New,
    /// The consumer's own pending entries behind this id.
    PendingAfter(StreamId),
}

/// How XREADGROUP reads one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadGroup {
    /// What.
    pub from: ReadFrom,
    /// Entries at most.
    pub count: Option<u64>,
    /// What is delivered needs no acknowledgement (NOACK).
    pub no_ack: bool,
}

/// A stream with one of its groups, locked.
pub(super) struct LockedGroup {
    pub(super) locked: Locked,
    pub(super) record: Record,
    pub(super) stream: Stream,
    pub(super) name: Bytes,
    pub(super) group: Group,
}

pub(super) fn no_such_group(group: &[u8]) -> KeyValueError {
    KeyValueError::NoSuchGroup {
        group: String::from_utf8_lossy(group).into_owned(),
    }
}

impl Reader<'_> {
    /// A stream and one of its groups.
    pub(super) async fn group(&self, key: &[u8], group: &[u8]) -> Result<(Stream, Group)> {
        let stream = self.stream(key).await?;
        let stream = stream.ok_or_else(|| no_such_group(group))?;
        let value = self.element(&group_key(&stream.elements, group)).await?;
        let value = value.ok_or_else(|| no_such_group(group))?;
        Ok((stream, Group::decode(&value)?))
    }
}

impl Stream {
    /// How many entries there ever were up to an id, where that can be told without counting.
    /// `first` is the lowest id that is there.
    pub(super) fn read_up_to(&self, id: StreamId, first: Option<StreamId>) -> Option<u64> {
        let state = &self.state;
        if state.added == 0 {
            return Some(0);
        }
        if state.tally.count == 0 && id < self.last() {
            return Some(state.added);
        }
        if id >= self.last() {
            return (id == self.last()).then_some(state.added);
        }
        let first = first?;
        let deleted_max = StreamId::from(state.deleted_max);
        let is_whole = deleted_max == StreamId::MIN || deleted_max < first;
        let before = state.added.saturating_sub(state.tally.count);
        match id.cmp(&first) {
            Ordering::Less if is_whole => Some(before),
            Ordering::Equal if is_whole => Some(before + 1),
            _ => None,
        }
    }

    /// Whether an entry behind `id` may have been deleted.
    pub(super) fn has_gaps_behind(&self, id: StreamId) -> bool {
        let deleted_max = StreamId::from(self.state.deleted_max);
        self.state.tally.count > 0 && deleted_max != StreamId::MIN && deleted_max >= id
    }
}

impl Writer<'_> {
    /// XGROUP CREATE. `entries_read` is how many entries lie before the start, if the client knows.
    pub async fn xgroup_create(
        &self,
        key: &[u8],
        group: &[u8],
        start: GroupStart,
        make_stream: bool,
        entries_read: Option<u64>,
    ) -> Result<()> {
        check_group(group)?;
        let (mut locked, record, mut stream) = self.lock_stream(key).await?;
        if !make_stream && !self.is_living(&locked) {
            return Err(KeyValueError::NoSuchKey);
        }
        let name = group_key(&stream.elements, group);
        if self.element(&name).await?.is_some() {
            return Err(KeyValueError::GroupExists);
        }
        let new = Group {
            last: start_id(&stream, start),
            read: entries_read,
            pending: 0,
            consumers: 0,
        };
        self.put(name, new.encode())?;
        stream.state.groups = stream.state.groups.saturating_add(1);
        self.store_stream(&mut locked, record, &stream).await
    }

    /// XGROUP SETID.
    pub async fn xgroup_setid(
        &self,
        key: &[u8],
        group: &[u8],
        start: GroupStart,
        entries_read: Option<u64>,
    ) -> Result<()> {
        let mut at = self.lock_group(key, group).await?;
        at.group.last = start_id(&at.stream, start);
        at.group.read = entries_read;
        self.store_group(at).await
    }

    /// XGROUP DESTROY: whether there was such a group. Takes as long as it has pending entries.
    pub async fn xgroup_destroy(&self, key: &[u8], group: &[u8]) -> Result<bool> {
        let (mut locked, record, mut stream) = self.lock_stream(key).await?;
        if !self.is_living(&locked) {
            return Err(KeyValueError::NoSuchKey);
        }
        let name = group_key(&stream.elements, group);
        if self.element(&name).await?.is_none() {
            return Ok(false);
        }
        self.delete(name)?;
        let reader = self.reader();
        let prefix = group_prefix(group);
        for kind in [
            ElementKind::Consumer,
            ElementKind::Pending,
            ElementKind::Owned,
        ] {
            let mut rows = reader.rows(stream.elements.range(kind, &prefix), Walk::KEYS);
            while let Some((key, _)) = rows.next().await? {
                self.delete(key)?;
            }
        }
        stream.state.groups = stream.state.groups.saturating_sub(1);
        self.store_stream(&mut locked, record, &stream).await?;
        Ok(true)
    }

    /// XGROUP CREATECONSUMER: whether it is new.
    pub async fn xgroup_createconsumer(
        &self,
        key: &[u8],
        group: &[u8],
        consumer: &[u8],
    ) -> Result<bool> {
        let mut at = self.lock_group(key, group).await?;
        let before = at.group.consumers;
        let record = self.consumer(&mut at, consumer).await?;
        let is_new = at.group.consumers > before;
        if is_new {
            self.put_consumer(&at, consumer, &record)?;
            self.store_group(at).await?;
        }
        Ok(is_new)
    }

    /// XGROUP DELCONSUMER: how many pending entries it had; they are forgotten.
    pub async fn xgroup_delconsumer(
        &self,
        key: &[u8],
        group: &[u8],
        consumer: &[u8],
    ) -> Result<u64> {
        let mut at = self.lock_group(key, group).await?;
        let elements = at.stream.elements;
        let name = consumer_key(&elements, group, consumer);
        if self.element(&name).await?.is_none() {
            return Ok(0);
        }
        self.delete(name)?;
        let reader = self.reader();
        let range = elements.range(ElementKind::Owned, &owned_prefix(group, consumer));
        let mut rows = reader.rows(range, Walk::KEYS);
        let mut count = 0;
        while let Some((key, _)) = rows.next().await? {
            self.delete(pending_key(&elements, group, pending_id(&key)?))?;
            self.delete(key)?;
            count += 1;
        }
        at.group.consumers = at.group.consumers.saturating_sub(1);
        at.group.pending = at.group.pending.saturating_sub(count);
        self.store_group(at).await?;
        Ok(count)
    }

    /// XREADGROUP of one stream: ids and fields. New entries become pending of the consumer; of its
    /// own pending ones those that were deleted have no fields. The consumer is made if need be.
    pub async fn xreadgroup(
        &self,
        key: &[u8],
        group: &[u8],
        consumer: &[u8],
        read: ReadGroup,
    ) -> Result<Vec<(StreamId, Option<Fields>)>> {
        let mut at = self.lock_group(key, group).await?;
        let known = at.group.consumers;
        let mut record = self.consumer(&mut at, consumer).await?;
        let is_new = at.group.consumers > known;
        record.seen_millis = self.now.0;
        let found = match read.from {
            ReadFrom::New => self.read_new(&mut at, consumer, &mut record, read).await?,
            ReadFrom::PendingAfter(id) => self.read_own(&at, consumer, id, read.count).await?,
        };
        // Whoever polls in vain writes nothing.
        if is_new || !found.is_empty() {
            self.put_consumer(&at, consumer, &record)?;
            self.store_group(at).await?;
        }
        Ok(found)
    }

    async fn read_new(
        &self,
        at: &mut LockedGroup,
        consumer: &[u8],
        record: &mut Consumer,
        read: ReadGroup,
    ) -> Result<Vec<(StreamId, Option<Fields>)>> {
        let Some(start) = at.group.last.next() else {
            return Ok(Vec::new());
        };
        let reader = self.reader();
        let range = StreamRange {
            start,
            end: StreamId::MAX,
        };
        let entries = reader.entries(&at.stream, range, read.count, false).await?;
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let first = reader.first_id(&at.stream).await?;
        for entry in &entries {
            at.group.read = match at.group.read {
                Some(read) if !at.stream.has_gaps_behind(at.group.last) => {
                    Some(read.saturating_add(1))
                }
                _ => at.stream.read_up_to(entry.id, first),
            };
            at.group.last = entry.id;
        }
        record.active_millis = Some(self.now.0);
        if !read.no_ack {
            for entry in &entries {
                let pending = Pending {
                    delivered_millis: self.now.0,
                    deliveries: 1,
                    consumer: Bytes::copy_from_slice(consumer),
                };
                self.own(at, record, entry.id, pending).await?;
            }
        }
        let found = entries.into_iter();
        Ok(found.map(|entry| (entry.id, Some(entry.fields))).collect())
    }

    async fn read_own(
        &self,
        at: &LockedGroup,
        consumer: &[u8],
        after: StreamId,
        count: Option<u64>,
    ) -> Result<Vec<(StreamId, Option<Fields>)>> {
        let Some(start) = after.next() else {
            return Ok(Vec::new());
        };
        let elements = at.stream.elements;
        let prefix = owned_prefix(&at.name, consumer);
        let range = tessera_storage::KeyRange {
            start: std::ops::Bound::Included(owned_key(&elements, &at.name, consumer, start)),
            end: elements.range(ElementKind::Owned, &prefix).end,
        };
        let walk = Walk {
            limit: count.map(|count| usize::try_from(count).unwrap_or(usize::MAX)),
            ..Walk::KEYS
        };
        let reader = self.reader();
        let mut rows = reader.rows(range, walk);
        let mut found = Vec::new();
        while let Some((key, _)) = rows.next().await? {
            let id = pending_id(&key)?;
            // It is delivered again.
            let name = pending_key(&elements, &at.name, id);
            let value = self.element(&name).await?;
            let mut pending =
                Pending::decode(&value.ok_or_else(|| malformed("pending entry of a stream"))?)?;
            pending.delivered_millis = self.now.0;
            pending.deliveries = pending.deliveries.saturating_add(1);
            self.put(name, pending.encode())?;
            found.push((id, reader.entry_fields(&at.stream, id).await?));
        }
        Ok(found)
    }

    /// XACK: how many of the entries were pending.
    pub async fn xack(&self, key: &[u8], group: &[u8], ids: &[StreamId]) -> Result<u64> {
        let mut at = match self.lock_group(key, group).await {
            Err(KeyValueError::NoSuchGroup { .. }) => return Ok(0),
            other => other?,
        };
        let mut count = 0;
        for id in ids {
            let Some(pending) = self.pending(&at, *id).await? else {
                continue;
            };
            self.disown(&mut at, *id, &pending).await?;
            count += 1;
        }
        if count > 0 {
            self.store_group(at).await?;
        }
        Ok(count)
    }

    pub(super) async fn lock_group(&self, key: &[u8], group: &[u8]) -> Result<LockedGroup> {
        let (locked, record, stream) = self.lock_stream(key).await?;
        if !self.is_living(&locked) {
            return Err(no_such_group(group));
        }
        let value = self.element(&group_key(&stream.elements, group)).await?;
        let value = value.ok_or_else(|| no_such_group(group))?;
        Ok(LockedGroup {
            locked,
            record,
            stream,
            name: Bytes::copy_from_slice(group),
            group: Group::decode(&value)?,
        })
    }

    pub(super) async fn store_group(&self, mut at: LockedGroup) -> Result<()> {
        let key = group_key(&at.stream.elements, &at.name);
        self.put(key, at.group.encode())?;
        self.store_stream(&mut at.locked, at.record, &at.stream)
            .await
    }

    /// A consumer's record; a new one is counted and not stored yet.
    pub(super) async fn consumer(&self, at: &mut LockedGroup, consumer: &[u8]) -> Result<Consumer> {
        check_group(consumer)?;
        let key = consumer_key(&at.stream.elements, &at.name, consumer);
        match self.element(&key).await? {
            Some(value) => Consumer::decode(&value),
            None => {
                at.group.consumers = at.group.consumers.saturating_add(1);
                Ok(Consumer {
                    seen_millis: self.now.0,
                    active_millis: None,
                    pending: 0,
                })
            }
        }
    }

    pub(super) fn put_consumer(
        &self,
        at: &LockedGroup,
        consumer: &[u8],
        record: &Consumer,
    ) -> Result<()> {
        let key = consumer_key(&at.stream.elements, &at.name, consumer);
        self.put(key, record.encode())
    }

    pub(super) async fn pending(&self, at: &LockedGroup, id: StreamId) -> Result<Option<Pending>> {
        let key = pending_key(&at.stream.elements, &at.name, id);
        let value = self.element(&key).await?;
        value.map(|value| Pending::decode(&value)).transpose()
    }

    /// Makes an entry pending of a consumer; nobody else owns it (any more). `record` is that of
    /// the consumer.
    pub(super) async fn own(
        &self,
        at: &mut LockedGroup,
        record: &mut Consumer,
        id: StreamId,
        pending: Pending,
    ) -> Result<()> {
        let elements = at.stream.elements;
        let key = pending_key(&elements, &at.name, id);
        // A group that was set back delivers an entry again that another consumer still has.
        if let Some(old) = self.pending(at, id).await? {
            if old.consumer == pending.consumer {
                return self.put(key, pending.encode());
            }
            self.disown(at, id, &old).await?;
        }
        let owned = owned_key(&elements, &at.name, &pending.consumer, id);
        self.put(owned, Val::new())?;
        self.put(key, pending.encode())?;
        record.pending = record.pending.saturating_add(1);
        at.group.pending = at.group.pending.saturating_add(1);
        Ok(())
    }

    /// Takes a pending entry from its consumer, whose record is written.
    pub(super) async fn disown(
        &self,
        at: &mut LockedGroup,
        id: StreamId,
        pending: &Pending,
    ) -> Result<()> {
        let elements = at.stream.elements;
        self.delete(pending_key(&elements, &at.name, id))?;
        self.delete(owned_key(&elements, &at.name, &pending.consumer, id))?;
        at.group.pending = at.group.pending.saturating_sub(1);
        let key = consumer_key(&elements, &at.name, &pending.consumer);
        if let Some(value) = self.element(&key).await? {
            let mut owner = Consumer::decode(&value)?;
            owner.pending = owner.pending.saturating_sub(1);
            self.put(key, owner.encode())?;
        }
        Ok(())
    }
}

fn start_id(stream: &Stream, start: GroupStart) -> StreamId {
    match start {
        GroupStart::Newest => stream.last(),
        GroupStart::Id(id) => id,
    }
}
