//! Parts of sorted sets: by rank, by score, by name.

use tessera_storage::KeyRange;

use super::order::{LexRange, RankRange, ScoreRange, parse_rank, rank_bytes};
use super::{Scored, SortedSet};
use crate::error::{KeyValueError, Result};
use crate::reader::Reader;
use crate::rows::{Rows, Walk};
use crate::writer::Writer;

/// Which part of a sorted set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RangeBy<'a> {
    /// Numbers in the order of reading, both included; negative ones count from the end.
    Rank(i64, i64),
    /// Scores (BYSCORE).
    Score(ScoreRange),
    /// Names, where all scores are equal (BYLEX).
    Lex(LexRange<'a>),
}

/// What ZRANGE reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RangeSpec<'a> {
    /// Which part.
    pub by: RangeBy<'a>,
    /// From the highest score to the lowest (REV).
    pub reverse: bool,
    /// So many members of the part are left out, and at most so many given; a negative number means
    /// all. Not by rank (LIMIT).
    pub limit: Option<(u64, i64)>,
}

impl<'a> RangeSpec<'a> {
    /// The whole part, lowest scores first.
    pub fn new(by: RangeBy<'a>) -> RangeSpec<'a> {
        RangeSpec {
            by,
            reverse: false,
            limit: None,
        }
    }
}

impl Reader<'_> {
    /// ZRANGE and its older forms: members and scores.
    pub async fn zrange(&self, key: &[u8], spec: &RangeSpec<'_>) -> Result<Vec<Scored>> {
        match self.sorted_set(key).await? {
            Some(set) => self.range_of(&set, spec).await,
            None => Ok(Vec::new()),
        }
    }

    /// ZRANK, ZREVRANK: number (counted from 0) and score of a member. Costs O(log n).
    pub async fn zrank(
        &self,
        key: &[u8],
        member: &[u8],
        reverse: bool,
    ) -> Result<Option<(u64, f64)>> {
        let Some(set) = self.sorted_set(key).await? else {
            return Ok(None);
        };
        let Some(score) = self.zscore(key, member).await? else {
            return Ok(None);
        };
        let rank = rank_bytes(score, member);
        let before = self.members_before(&set, &rank).await?;
        let number = if reverse {
            set.tally.count.saturating_sub(before + 1)
        } else {
            before
        };
        Ok(Some((number, score)))
    }

    /// ZCOUNT. Costs O(log n), however many there are.
    pub async fn zcount(&self, key: &[u8], range: ScoreRange) -> Result<u64> {
        match self.sorted_set(key).await? {
            Some(set) => self.count_between(&set, &range.ranks()).await,
            None => Ok(0),
        }
    }

    /// ZLEXCOUNT. Costs O(log n), however many there are.
    pub async fn zlexcount(&self, key: &[u8], range: LexRange<'_>) -> Result<u64> {
        let Some(set) = self.sorted_set(key).await? else {
            return Ok(0);
        };
        let ranks = self.ranks_of(&set, RangeBy::Lex(range)).await?;
        self.count_between(&set, &ranks.unwrap_or_default()).await
    }

    async fn count_between(&self, set: &SortedSet, (start, end): &RankRange) -> Result<u64> {
        if start >= end {
            return Ok(0);
        }
        let (before_end, before_start) = (
            self.members_before(set, end).await?,
            self.members_before(set, start).await?,
        );
        Ok(before_end.saturating_sub(before_start))
    }

    /// The ranks of a part by score or name.
    async fn ranks_of(&self, set: &SortedSet, by: RangeBy<'_>) -> Result<Option<RankRange>> {
        match by {
            RangeBy::Rank(..) => Ok(None),
            RangeBy::Score(range) => Ok(Some(range.ranks())),
            RangeBy::Lex(range) => {
                let mut rows = self.rows(set.ranked_from(b""), Walk::first(1));
                match rows.next().await? {
                    Some((key, _)) => Ok(Some(range.ranks(parse_rank(&key)?.0))),
                    None => Ok(None),
                }
            }
        }
    }

    pub(crate) async fn range_of(
        &self,
        set: &SortedSet,
        spec: &RangeSpec<'_>,
    ) -> Result<Vec<Scored>> {
        if let RangeBy::Rank(start, stop) = spec.by {
            if spec.limit.is_some() {
                return Err(KeyValueError::InvalidArgument {
                    what: "syntax error, LIMIT is only supported in combination with either \
                           BYSCORE or BYLEX",
                });
            }
            return self.range_by_number(set, start, stop, spec.reverse).await;
        }
        let Some((start, end)) = self.ranks_of(set, spec.by).await? else {
            return Ok(Vec::new());
        };
        let (skip, wanted) = match spec.limit {
            None => (0, usize::MAX),
            Some((skip, count)) => (
                usize::try_from(skip).unwrap_or(usize::MAX),
                usize::try_from(count).unwrap_or(usize::MAX),
            ),
        };
        if start >= end || wanted == 0 {
            return Ok(Vec::new());
        }
        let walk = Walk {
            reverse: spec.reverse,
            limit: skip.checked_add(wanted),
            keys_only: true,
            is_short: false,
        };
        self.walk(set.ranked(&start, &end), walk, skip).await
    }

    async fn walk(&self, range: KeyRange, walk: Walk, skip: usize) -> Result<Vec<Scored>> {
        let mut rows: Rows = self.rows(range, walk);
        let mut found = Vec::new();
        let mut left = skip;
        while let Some((key, _)) = rows.next().await? {
            if left > 0 {
                left -= 1;
                continue;
            }
            let (score, member) = parse_rank(&key)?;
            found.push((member, score));
        }
        Ok(found)
    }

    async fn range_by_number(
        &self,
        set: &SortedSet,
        start: i64,
        stop: i64,
        reverse: bool,
    ) -> Result<Vec<Scored>> {
        let count = i64::try_from(set.tally.count).unwrap_or(i64::MAX);
        let from_end = |at: i64| if at < 0 { at.saturating_add(count) } else { at };
        let start = from_end(start).max(0);
        let end = from_end(stop).saturating_add(1).min(count);
        if start >= end {
            return Ok(Vec::new());
        }
        // The same members in ascending order.
        let (low, high) = if reverse {
            (count - end, count - start)
        } else {
            (start, end)
        };
        let (from, skip) = self.seek(set, u64::try_from(low).unwrap_or(0)).await?;
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let wanted = usize::try_from(high - low).unwrap_or(usize::MAX);
        let walk = Walk {
            limit: skip.checked_add(wanted),
            ..Walk::KEYS
        };
        let mut found = self.walk(set.ranked_from(&from), walk, skip).await?;
        if reverse {
            found.reverse();
        }
        Ok(found)
    }
}

impl Writer<'_> {
    /// ZPOPMIN, ZPOPMAX: removes the `count` members of the lowest or highest scores.
    pub async fn zpop(&self, key: &[u8], highest: bool, count: u64) -> Result<Vec<Scored>> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let stop = i64::try_from(count - 1).unwrap_or(i64::MAX);
        let spec = RangeSpec {
            by: RangeBy::Rank(0, stop),
            reverse: highest,
            limit: None,
        };
        self.take_range(key, &spec).await
    }

    /// ZMPOP: pops from the first of the sorted sets that has members; which one, and the members.
    pub async fn zmpop<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        highest: bool,
        count: u64,
    ) -> Result<Option<(usize, Vec<Scored>)>> {
        self.lock_all(keys).await?;
        for (at, key) in keys.iter().enumerate() {
            let members = self.zpop(key.as_ref(), highest, count).await?;
            if !members.is_empty() {
                return Ok(Some((at, members)));
            }
        }
        Ok(None)
    }

    /// ZREMRANGEBYRANK, ZREMRANGEBYSCORE, ZREMRANGEBYLEX: how many members were removed.
    pub async fn zremrange(&self, key: &[u8], by: RangeBy<'_>) -> Result<u64> {
        let removed = self.take_range(key, &RangeSpec::new(by)).await?;
        Ok(removed.len() as u64)
    }

    async fn take_range(&self, key: &[u8], spec: &RangeSpec<'_>) -> Result<Vec<Scored>> {
        let (mut locked, record, mut set) = self.lock_sorted_set(key).await?;
        if set.tally.count == 0 {
            return Ok(Vec::new());
        }
        let members = self.reader().range_of(&set, spec).await?;
        if members.len() as u64 == set.tally.count {
            self.remove(&mut locked).await?;
            return Ok(members);
        }
        for (member, score) in &members {
            self.remove_scored(&mut set, member, *score).await?;
        }
        if !members.is_empty() {
            self.store_sorted_set(&mut locked, record, set).await?;
        }
        Ok(members)
    }

    /// ZRANGESTORE: replaces whatever is at `to`; how many members it has.
    pub async fn zrangestore(&self, to: &[u8], from: &[u8], spec: &RangeSpec<'_>) -> Result<u64> {
        let mut locked = self.lock(to).await?;
        let members = self.source_reader().zrange(from, spec).await?;
        self.replace_sorted_set(&mut locked, &members).await
    }
}
