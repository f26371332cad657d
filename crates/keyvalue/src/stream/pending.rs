//! Entries that were delivered and not acknowledged: XPENDING, XCLAIM, XAUTOCLAIM.

use std::ops::Bound;

use bytes::Bytes;
use tessera_storage::KeyRange;

use super::group::LockedGroup;
use super::layout::{
    Consumer, Pending, consumer_name, group_prefix, owned_key, pending_id, pending_key,
};
use super::{Fields, StreamId, StreamRange};
use crate::error::{Result, malformed};
use crate::layout::ElementKind;
use crate::reader::Reader;
use crate::rows::Walk;
use crate::writer::Writer;

/// Pending entries that XAUTOCLAIM looks at per entry that it may claim (as in Redis).
const AUTOCLAIM_ATTEMPTS: u64 = 10;

/// XPENDING without a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PendingSummary {
    /// How many there are.
    pub count: u64,
    /// The lowest and the highest id.
    pub ids: Option<(StreamId, StreamId)>,
    /// Consumers that have some, and how many.
    pub consumers: Vec<(Bytes, u64)>,
}

/// A pending entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingEntry {
    /// Its id.
    pub id: StreamId,
    /// Who got it last.
    pub consumer: Bytes,
    /// Milliseconds since then.
    pub idle_millis: u64,
    /// How often it was delivered.
    pub deliveries: u64,
}

/// What XCLAIM and XAUTOCLAIM say in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim<'a> {
    /// The group.
    pub group: &'a [u8],
    /// Who claims.
    pub consumer: &'a [u8],
    /// Only what is idle for so many milliseconds.
    pub idle_millis_min: u64,
    /// Do not count it as a delivery (JUSTID).
    pub just_ids: bool,
}

/// Options of XCLAIM alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClaimOptions {
    /// When it shall be taken to have been delivered, in milliseconds since 1970 (IDLE, TIME); now
    /// if none.
    pub delivered_millis: Option<u64>,
    /// How often it shall be taken to have been delivered (RETRYCOUNT).
    pub deliveries: Option<u64>,
    /// Also what is not pending (FORCE).
    pub force: bool,
    /// The group has read up to here at least (LASTID).
    pub last_id: Option<StreamId>,
}

/// What XAUTOCLAIM did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Autoclaimed {
    /// Where to go on; 0-0 at the end.
    pub next: StreamId,
    /// What was claimed.
    pub claimed: Vec<(StreamId, Fields)>,
    /// Pending entries that were deleted from the stream; they are pending no more.
    pub deleted: Vec<StreamId>,
}

impl Reader<'_> {
    /// XPENDING: a summary.
    pub async fn xpending(&self, key: &[u8], group: &[u8]) -> Result<PendingSummary> {
        let (stream, record) = self.group(key, group).await?;
        if record.pending == 0 {
            return Ok(PendingSummary::default());
        }
        let prefix = group_prefix(group);
        let range = stream.elements.range(ElementKind::Pending, &prefix);
        let mut ends = Vec::with_capacity(2);
        for reverse in [false, true] {
            let walk = Walk {
                reverse,
                limit: Some(1),
                keys_only: true,
                is_short: false,
            };
            if let Some((key, _)) = self.rows(range.clone(), walk).next().await? {
                ends.push(pending_id(&key)?);
            }
        }
        let mut consumers = Vec::new();
        let range = stream.elements.range(ElementKind::Consumer, &prefix);
        let mut rows = self.rows(range, Walk::ALL);
        while let Some((key, value)) = rows.next().await? {
            let consumer = Consumer::decode(&value)?;
            if consumer.pending > 0 {
                consumers.push((consumer_name(&key, group), consumer.pending));
            }
        }
        let ids = match ends[..] {
            [first, last] => Some((first, last)),
            _ => None,
        };
        Ok(PendingSummary {
            count: record.pending,
            ids,
            consumers,
        })
    }

    /// XPENDING with a range: at most `count` entries, of one consumer if given, idle for
    /// `idle_millis_min` at least.
    pub async fn xpending_range(
        &self,
        key: &[u8],
        group: &[u8],
        range: StreamRange,
        count: u64,
        consumer: Option<&[u8]>,
        idle_millis_min: u64,
    ) -> Result<Vec<PendingEntry>> {
        let (stream, _) = self.group(key, group).await?;
        let elements = &stream.elements;
        let name = |id| match consumer {
            Some(consumer) => owned_key(elements, group, consumer, id),
            None => pending_key(elements, group, id),
        };
        let mut found = Vec::new();
        if range.start > range.end {
            return Ok(found);
        }
        let keys = KeyRange {
            start: Bound::Included(name(range.start)),
            end: Bound::Included(name(range.end)),
        };
        let mut rows = self.rows(keys, Walk::ALL);
        while (found.len() as u64) < count {
            let Some((key, value)) = rows.next().await? else {
                break;
            };
            let id = pending_id(&key)?;
            let value = match consumer {
                Some(_) => self.element(&pending_key(elements, group, id)).await?,
                None => Some(value),
            };
            let pending =
                Pending::decode(&value.ok_or_else(|| malformed("pending entry of a stream"))?)?;
            let idle_millis = self.now.0.saturating_sub(pending.delivered_millis);
            if idle_millis >= idle_millis_min {
                found.push(PendingEntry {
                    id,
                    consumer: pending.consumer,
                    idle_millis,
                    deliveries: pending.deliveries,
                });
            }
        }
        Ok(found)
    }
}

impl Writer<'_> {
    /// XCLAIM: the entries that the consumer has now. Those deleted from the stream are pending no
    /// more and left out.
    pub async fn xclaim(
        &self,
        key: &[u8],
        claim: Claim<'_>,
        ids: &[StreamId],
        options: ClaimOptions,
    ) -> Result<Vec<(StreamId, Fields)>> {
        let mut at = self.lock_group(key, claim.group).await?;
        let mut record = self.consumer(&mut at, claim.consumer).await?;
        record.seen_millis = self.now.0;
        if let Some(last) = options.last_id {
            at.group.last = at.group.last.max(last);
        }
        let mut claimed = Vec::new();
        for id in ids {
            let old = self.pending(&at, *id).await?;
            let fields = self.reader().entry_fields(&at.stream, *id).await?;
            let Some(fields) = fields else {
                if let Some(old) = old {
                    self.give_up(&mut at, claim, &mut record, *id, &old).await?;
                }
                continue;
            };
            let is_claimed = match &old {
                None => options.force,
                Some(old) => {
                    self.now.0.saturating_sub(old.delivered_millis) >= claim.idle_millis_min
                }
            };
            if !is_claimed {
                continue;
            }
            self.take(&mut at, claim, &mut record, *id, old, options)
                .await?;
            claimed.push((*id, fields));
        }
        self.put_consumer(&at, claim.consumer, &record)?;
        self.store_group(at).await?;
        Ok(claimed)
    }

    /// XAUTOCLAIM: claims what is idle, from `start` on, at most `count` entries.
    pub async fn xautoclaim(
        &self,
        key: &[u8],
        claim: Claim<'_>,
        start: StreamId,
        count: u64,
    ) -> Result<Autoclaimed> {
        let mut at = self.lock_group(key, claim.group).await?;
        let mut record = self.consumer(&mut at, claim.consumer).await?;
        record.seen_millis = self.now.0;
        let elements = at.stream.elements;
        let range = KeyRange {
            start: Bound::Included(pending_key(&elements, claim.group, start)),
            end: elements
                .range(ElementKind::Pending, &group_prefix(claim.group))
                .end,
        };
        let reader = self.reader();
        let mut rows = reader.rows(range, Walk::ALL);
        let mut attempts = count.saturating_mul(AUTOCLAIM_ATTEMPTS);
        let mut done = Autoclaimed::default();
        while let Some((key, value)) = rows.next().await? {
            let id = pending_id(&key)?;
            if attempts == 0 || done.claimed.len() as u64 >= count {
                done.next = id;
                break;
            }
            attempts -= 1;
            let old = Pending::decode(&value)?;
            let Some(fields) = reader.entry_fields(&at.stream, id).await? else {
                self.give_up(&mut at, claim, &mut record, id, &old).await?;
                done.deleted.push(id);
                continue;
            };
            if self.now.0.saturating_sub(old.delivered_millis) < claim.idle_millis_min {
                continue;
            }
            let options = ClaimOptions::default();
            self.take(&mut at, claim, &mut record, id, Some(old), options)
                .await?;
            done.claimed.push((id, fields));
        }
        self.put_consumer(&at, claim.consumer, &record)?;
        self.store_group(at).await?;
        Ok(done)
    }

    /// Makes an entry that may be claimed the claimer's.
    async fn take(
        &self,
        at: &mut LockedGroup,
        claim: Claim<'_>,
        record: &mut Consumer,
        id: StreamId,
        old: Option<Pending>,
        options: ClaimOptions,
    ) -> Result<()> {
        let before = old.map_or(0, |old| old.deliveries);
        let counted = before.saturating_add(u64::from(!claim.just_ids));
        let pending = Pending {
            // Not in the future, however the client reckons.
            delivered_millis: options
                .delivered_millis
                .map_or(self.now.0, |millis| millis.min(self.now.0)),
            deliveries: options.deliveries.unwrap_or(counted),
            consumer: Bytes::copy_from_slice(claim.consumer),
        };
        record.active_millis = Some(self.now.0);
        self.own(at, record, id, pending).await
    }

    /// Forgets a pending entry whose entry was deleted. The claimer's record is `record`.
    async fn give_up(
        &self,
        at: &mut LockedGroup,
        claim: Claim<'_>,
        record: &mut Consumer,
        id: StreamId,
        old: &Pending,
    ) -> Result<()> {
        if old.consumer == claim.consumer {
            record.pending = record.pending.saturating_sub(1);
        }
        // What this writes for the claimer is written again at the end.
        self.disown(at, id, old).await
    }
}
