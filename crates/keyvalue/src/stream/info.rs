//! What streams, groups and consumers are: XINFO.

use bytes::Bytes;

use super::layout::{Consumer, Group, consumer_name, group_prefix};
use super::{StreamEntry, StreamId, StreamRange};
use crate::error::{KeyValueError, Result};
use crate::layout::{ElementKind, suffix};
use crate::reader::Reader;
use crate::rows::Walk;

/// XINFO STREAM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// Entries.
    pub length: u64,
    /// The newest id there ever was.
    pub last: StreamId,
    /// The highest id that was deleted.
    pub deleted_max: StreamId,
    /// Entries ever added.
    pub added: u64,
    /// Consumer groups.
    pub groups: u64,
    /// The oldest entry.
    pub first_entry: Option<StreamEntry>,
    /// The newest entry.
    pub last_entry: Option<StreamEntry>,
}

/// One line of XINFO GROUPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupInfo {
    /// Its name.
    pub name: Bytes,
    /// Consumers.
    pub consumers: u64,
    /// Entries that are pending.
    pub pending: u64,
    /// The id that was delivered last.
    pub last_delivered: StreamId,
    /// Entries up to that one, where that is known.
    pub entries_read: Option<u64>,
    /// Entries behind that one, where that is known.
    pub lag: Option<u64>,
}

/// One line of XINFO CONSUMERS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerInfo {
    /// Its name.
    pub name: Bytes,
    /// Entries that are pending.
    pub pending: u64,
    /// Milliseconds since it last asked for something and got it.
    pub idle_millis: u64,
    /// Milliseconds since it last got or claimed something; none if never (-1).
    pub inactive_millis: Option<u64>,
}

impl Reader<'_> {
    /// XINFO STREAM.
    pub async fn xinfo_stream(&self, key: &[u8]) -> Result<StreamInfo> {
        let stream = self.stream(key).await?.ok_or(KeyValueError::NoSuchKey)?;
        let mut ends = Vec::with_capacity(2);
        for reverse in [false, true] {
            let found = self.entries(&stream, StreamRange::ALL, Some(1), reverse);
            ends.push(found.await?.pop());
        }
        let last_entry = ends.pop().flatten();
        Ok(StreamInfo {
            length: stream.state.tally.count,
            last: stream.last(),
            deleted_max: stream.state.deleted_max.into(),
            added: stream.state.added,
            groups: stream.state.groups,
            first_entry: ends.pop().flatten(),
            last_entry,
        })
    }

    /// XINFO GROUPS.
    pub async fn xinfo_groups(&self, key: &[u8]) -> Result<Vec<GroupInfo>> {
        let stream = self.stream(key).await?.ok_or(KeyValueError::NoSuchKey)?;
        let mut rows = self.all(stream.elements, ElementKind::Group, Walk::ALL);
        let first = self.first_id(&stream).await?;
        let mut groups = Vec::new();
        while let Some((key, value)) = rows.next().await? {
            let group = Group::decode(&value)?;
            let read = match group.read {
                Some(read) if !stream.has_gaps_behind(group.last) => Some(read),
                _ => stream.read_up_to(group.last, first),
            };
            groups.push(GroupInfo {
                name: suffix(&key),
                consumers: group.consumers,
                pending: group.pending,
                last_delivered: group.last,
                entries_read: group.read,
                lag: read.map(|read| stream.state.added.saturating_sub(read)),
            });
        }
        Ok(groups)
    }

    /// XINFO CONSUMERS.
    pub async fn xinfo_consumers(&self, key: &[u8], group: &[u8]) -> Result<Vec<ConsumerInfo>> {
        let (stream, _) = self.group(key, group).await?;
        let prefix = group_prefix(group);
        let range = stream.elements.range(ElementKind::Consumer, &prefix);
        let mut rows = self.rows(range, Walk::ALL);
        let mut consumers = Vec::new();
        while let Some((key, value)) = rows.next().await? {
            let consumer = Consumer::decode(&value)?;
            let since = |millis: u64| self.now.0.saturating_sub(millis);
            consumers.push(ConsumerInfo {
                name: consumer_name(&key, group),
                pending: consumer.pending,
                idle_millis: since(consumer.seen_millis),
                inactive_millis: consumer.active_millis.map(since),
            });
        }
        Ok(consumers)
    }
}
