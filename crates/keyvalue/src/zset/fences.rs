//! Counts that make ranks cheap in large sorted sets.
//!
//! A fence of level `l` is a rank with the number of members from there up to the next fence of its
//! level. Each level has one before all members, and one at every member whose name's position ends
//! with `6 l` zero bits: about every 64th member is a fence of level 1, every 4096th one of level 2.
//! So the fences are those of a skip list (Pugh, "Skip lists", CACM 33(6), 1990, with widths), whose
//! heights are not drawn but hashed: what they are depends only on the members, not on history.
//!
//! A change of one member touches one fence per level. A rank is a sum over few fences of each
//! level, from the highest down. Small sets have no levels and are simply walked.

use std::ops::Bound;

use tessera_storage::{Key, KeyRange, Val};

use super::SortedSet;
use crate::error::{Result, malformed};
use crate::layout::{ElementKind, position, suffix};
use crate::reader::Reader;
use crate::rows::Walk;
use crate::writer::Writer;

/// Zero bits per level: 64 members, or 64 fences of the level below, between two fences.
const LEVEL_BITS: u32 = 6;
/// Members from which on there is a first level; each further level comes at 64 times as many.
const FIRST_LEVEL_MIN: u64 = 256;
/// A level goes when there are this many times fewer members than when it came.
const KEEP_FACTOR: u64 = 4;
/// More than any set can need.
const LEVELS_MAX: u8 = 8;
/// Bytes of a score before the name in a rank.
const SCORE_BYTES: usize = 8;

/// Members from which on a level is worth having.
fn level_min(level: u8) -> u64 {
    FIRST_LEVEL_MIN << (LEVEL_BITS * u32::from(level - 1)).min(50)
}

/// The levels that a member is a fence of.
fn height(member: &[u8]) -> u8 {
    let zeros = position(member).trailing_zeros() / LEVEL_BITS;
    u8::try_from(zeros).unwrap_or(LEVELS_MAX).min(LEVELS_MAX)
}

fn decode_count(value: &[u8]) -> Result<u64> {
    let bytes = value
        .try_into()
        .map_err(|_| malformed("fence of a sorted set"))?;
    Ok(u64::from_le_bytes(bytes))
}

/// A fence as it is stored: its rank (empty for the first one) and its count.
struct Fence {
    rank: Key,
    count: u64,
}

impl SortedSet {
    fn fence_key(&self, level: u8, rank: &[u8]) -> Key {
        self.elements.key(ElementKind::Fence, &[&[level], rank])
    }

    /// Fences of a level from one rank to another.
    fn fences(&self, level: u8, from: &[u8], to: Bound<&[u8]>) -> KeyRange {
        KeyRange {
            start: Bound::Included(self.fence_key(level, from)),
            end: to.map(|rank| self.fence_key(level, rank)),
        }
    }

    /// Members by rank, `from` included, `to` not.
    pub(super) fn ranked(&self, from: &[u8], to: &[u8]) -> KeyRange {
        KeyRange::half_open(
            self.elements.key(ElementKind::Ranked, &[from]),
            self.elements.key(ElementKind::Ranked, &[to]),
        )
    }

    /// Members by rank, from `from` on.
    pub(super) fn ranked_from(&self, from: &[u8]) -> KeyRange {
        self.elements.range_from(ElementKind::Ranked, from)
    }
}

impl Reader<'_> {
    /// How many members lie before a rank.
    pub(super) async fn members_before(&self, set: &SortedSet, rank: &[u8]) -> Result<u64> {
        let mut sum = 0;
        let mut from = Key::new();
        for level in (1..=set.levels).rev() {
            let range = set.fences(level, &from, Bound::Included(rank));
            let mut rows = self.rows(range, Walk::ALL);
            // The last fence's members may lie on both sides.
            let mut last: Option<Fence> = None;
            while let Some((key, value)) = rows.next().await? {
                sum += last.map_or(0, |fence| fence.count);
                last = Some(Fence {
                    rank: suffix(&key).slice(1..),
                    count: decode_count(&value)?,
                });
            }
            if let Some(fence) = last {
                from = fence.rank;
            }
        }
        let mut rows = self.rows(set.ranked(&from, rank), Walk::KEYS);
        while rows.next().await?.is_some() {
            sum += 1;
        }
        Ok(sum)
    }

    /// A rank at or before the member of number `at` (counted from 0), and how many members lie
    /// between.
    pub(super) async fn seek(&self, set: &SortedSet, at: u64) -> Result<(Key, u64)> {
        let mut left = at;
        let mut from = Key::new();
        for level in (1..=set.levels).rev() {
            let key = set.fence_key(level, &from);
            let range = KeyRange {
                start: Bound::Included(key),
                end: Bound::Excluded(set.fence_key(level + 1, b"")),
            };
            // About 64 fences lie below one of the level above.
            let walk = Walk {
                is_short: true,
                ..Walk::ALL
            };
            let mut rows = self.rows(range, walk);
            while let Some((key, value)) = rows.next().await? {
                from = suffix(&key).slice(1..);
                let count = decode_count(&value)?;
                if left < count {
                    break;
                }
                left -= count;
            }
        }
        Ok((from, left))
    }

    /// The last fence at or before a rank, or only before it.
    async fn fence_at(&self, set: &SortedSet, level: u8, to: Bound<&[u8]>) -> Result<Fence> {
        let walk = Walk {
            reverse: true,
            limit: Some(1),
            keys_only: false,
            is_short: false,
        };
        let mut rows = self.rows(set.fences(level, b"", to), walk);
        let (key, value) = rows
            .next()
            .await?
            .ok_or_else(|| malformed("fences of a sorted set"))?;
        Ok(Fence {
            rank: suffix(&key).slice(1..),
            count: decode_count(&value)?,
        })
    }

    /// How many members lie from one fence of `level` up to a rank, by what is below the level.
    async fn members_between(
        &self,
        set: &SortedSet,
        level: u8,
        from: &[u8],
        to: &[u8],
    ) -> Result<u64> {
        let mut sum = 0;
        if level == 1 {
            let mut rows = self.rows(set.ranked(from, to), Walk::KEYS);
            while rows.next().await?.is_some() {
                sum += 1;
            }
        } else {
            let range = set.fences(level - 1, from, Bound::Excluded(to));
            let mut rows = self.rows(range, Walk::ALL);
            while let Some((_, value)) = rows.next().await? {
                sum += decode_count(&value)?;
            }
        }
        Ok(sum)
    }
}

impl Writer<'_> {
    fn put_fence(&self, set: &SortedSet, level: u8, rank: &[u8], count: u64) -> Result<()> {
        let value = Val::copy_from_slice(&count.to_le_bytes());
        self.put(set.fence_key(level, rank), value)
    }

    /// A member was added at a rank.
    pub(super) async fn add_to_fences(
        &self,
        set: &SortedSet,
        rank: &[u8],
        member: &[u8],
    ) -> Result<()> {
        let height = height(member);
        for level in 1..=set.levels {
            let reader = self.reader();
            let fence = reader.fence_at(set, level, Bound::Included(rank)).await?;
            let total = fence.count + 1;
            if level > height {
                self.put_fence(set, level, &fence.rank, total)?;
                continue;
            }
            // The member splits what was before it. The level below is right already.
            let before = reader
                .members_between(set, level, &fence.rank, rank)
                .await?;
            self.put_fence(set, level, &fence.rank, before)?;
            self.put_fence(set, level, rank, total.saturating_sub(before))?;
        }
        Ok(())
    }

    /// A member was removed from a rank.
    pub(super) async fn remove_from_fences(
        &self,
        set: &SortedSet,
        rank: &[u8],
        member: &[u8],
    ) -> Result<()> {
        let height = height(member);
        for level in 1..=set.levels {
            let reader = self.reader();
            let fence = reader.fence_at(set, level, Bound::Included(rank)).await?;
            let left = fence.count.saturating_sub(1);
            if level > height {
                self.put_fence(set, level, &fence.rank, left)?;
                continue;
            }
            // What was behind the member goes to the fence before.
            let before = reader.fence_at(set, level, Bound::Excluded(rank)).await?;
            self.delete(set.fence_key(level, rank))?;
            self.put_fence(set, level, &before.rank, before.count + left)?;
        }
        Ok(())
    }

    /// Builds or drops levels as the set has grown or shrunk.
    pub(super) async fn adjust_levels(&self, set: &mut SortedSet) -> Result<()> {
        while set.levels < LEVELS_MAX && set.tally.count >= level_min(set.levels + 1) {
            self.build_level(set, set.levels + 1).await?;
            set.levels += 1;
        }
        let mut wanted = set.levels;
        while wanted > 0 && set.tally.count < level_min(wanted) / KEEP_FACTOR {
            wanted -= 1;
        }
        self.drop_levels(set, wanted).await
    }

    /// Drops the levels above `levels`.
    pub(super) async fn drop_levels(&self, set: &mut SortedSet, levels: u8) -> Result<()> {
        while set.levels > levels {
            let reader = self.reader();
            let range = set.elements.range(ElementKind::Fence, &[set.levels]);
            let mut rows = reader.rows(range, Walk::KEYS);
            while let Some((key, _)) = rows.next().await? {
                self.delete(key)?;
            }
            set.levels -= 1;
        }
        Ok(())
    }

    async fn build_level(&self, set: &SortedSet, level: u8) -> Result<()> {
        let reader = self.reader();
        let (range, skip) = if level == 1 {
            (set.ranked_from(b""), 0)
        } else {
            (set.elements.range(ElementKind::Fence, &[level - 1]), 1)
        };
        let mut rows = reader.rows(range, Walk::ALL);
        let mut fence = Fence {
            rank: Key::new(),
            count: 0,
        };
        while let Some((key, value)) = rows.next().await? {
            let rank = suffix(&key).slice(skip..);
            let member = rank.get(SCORE_BYTES..);
            if member.is_some_and(|member| height(member) >= level) {
                self.put_fence(set, level, &fence.rank, fence.count)?;
                fence = Fence { rank, count: 0 };
            }
            fence.count += if level == 1 { 1 } else { decode_count(&value)? };
        }
        self.put_fence(set, level, &fence.rank, fence.count)
    }
}
