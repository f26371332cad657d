//! Sorted sets: names with scores, in order of scores. <https://redis.io/commands/?group=sorted-set>
//!
//! # Map
//! - here: one member: ZADD, ZINCRBY, ZREM, ZSCORE; what changes an element.
//! - `order`: bytes whose order is that of score and name; ranges of them.
//! - `fences`: counts that make ranks cheap.
//! - `range`: ZRANGE and its kin, ZRANK, ZCOUNT, ZPOPMIN, ZREMRANGE.
//! - `combine`: ZUNION, ZINTER, ZDIFF.
//!
//! # Invariants
//! 1. A member has one entry by name, which has its score, and one by rank.
//! 2. Fences of the levels that the record tells are exact.

mod combine;
mod fences;
mod order;
mod range;

pub use combine::{Aggregate, ZsetOperation};
pub use order::{LexBound, LexRange, ScoreBound, ScoreRange};
pub use range::{RangeBy, RangeSpec};

use bytes::Bytes;
use tessera_storage::Val;

use crate::error::{KeyValueError, Result, malformed};
use crate::layout::{ElementKind, Elements, check_member};
use crate::reader::Reader;
use crate::record::{Body, Record, Tally, ValueType};
use crate::scan::ScanSpec;
use crate::strings::SetCondition;
use crate::writer::{Locked, Writer};
use order::rank_bytes;

/// Bytes that a score adds to what a member takes.
const SCORE_BYTES: usize = 8;

/// When a ZADD brings more than one member for so many that there are, fences are built anew.
const REBUILD_SHARE: u64 = 4;

/// A member and its score.
pub type Scored = (Bytes, f64);

/// Which of two scores stays (GT, LT).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoreComparison {
    /// An existing score only grows (GT).
    Greater,
    /// An existing score only shrinks (LT).
    Less,
}

/// Options of ZADD.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ZaddOptions {
    /// NX: only new members. XX: only existing ones.
    pub condition: SetCondition,
    /// GT, LT; not together with NX.
    pub comparison: Option<ScoreComparison>,
}

impl ZaddOptions {
    fn check(&self) -> Result<()> {
        if self.condition == SetCondition::IfAbsent && self.comparison.is_some() {
            return Err(KeyValueError::InvalidArgument {
                what: "GT, LT, and/or NX options at the same time are not compatible",
            });
        }
        Ok(())
    }

    fn allows(&self, old: Option<f64>, new: f64) -> bool {
        let fits = match self.condition {
            SetCondition::Always => true,
            SetCondition::IfAbsent => old.is_none(),
            SetCondition::IfPresent => old.is_some(),
        };
        fits && match (self.comparison, old) {
            (None, _) | (_, None) => true,
            (Some(ScoreComparison::Greater), Some(old)) => new > old,
            (Some(ScoreComparison::Less), Some(old)) => new < old,
        }
    }
}

/// What a ZADD did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ZaddOutcome {
    /// Members that are new.
    pub added: u64,
    /// Members that are new or have another score (CH).
    pub changed: u64,
}

/// A sorted set that is read or written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SortedSet {
    pub(crate) elements: Elements,
    pub(crate) tally: Tally,
    pub(crate) levels: u8,
}

pub(crate) fn decode_score(value: &[u8]) -> Result<f64> {
    let bytes = value
        .try_into()
        .map_err(|_| malformed("score of a sorted set's member"))?;
    Ok(f64::from_le_bytes(bytes))
}

impl Reader<'_> {
    pub(crate) async fn sorted_set(&self, key: &[u8]) -> Result<Option<SortedSet>> {
        let record = self.typed(key, ValueType::SortedSet).await?;
        Ok(record.and_then(|record| match record.body {
            Body::SortedSet { tally, levels } => Some(SortedSet {
                elements: self.elements(&record),
                tally,
                levels,
            }),
            _ => None,
        }))
    }

    /// ZCARD.
    pub async fn zcard(&self, key: &[u8]) -> Result<u64> {
        Ok(self.sorted_set(key).await?.map_or(0, |set| set.tally.count))
    }

    /// ZSCORE.
    pub async fn zscore(&self, key: &[u8], member: &[u8]) -> Result<Option<f64>> {
        let scores = self.zmscore(key, &[member]).await?;
        Ok(scores.into_iter().next().flatten())
    }

    /// ZMSCORE: in the order asked.
    pub async fn zmscore<M: AsRef<[u8]>>(
        &self,
        key: &[u8],
        members: &[M],
    ) -> Result<Vec<Option<f64>>> {
        let Some(set) = self.sorted_set(key).await? else {
            return Ok(vec![None; members.len()]);
        };
        let names = members
            .iter()
            .map(|member| set.elements.named(ElementKind::Scored, member.as_ref()));
        let values = self.many(names.collect()).await?;
        values
            .into_iter()
            .map(|value| value.map(|value| decode_score(&value)).transpose())
            .collect()
    }

    /// ZRANDMEMBER: at most `count` different members, or `-count` that may repeat; with scores.
    pub async fn zrandmember(&self, key: &[u8], count: i64) -> Result<Vec<Scored>> {
        let Some(set) = self.sorted_set(key).await? else {
            return Ok(Vec::new());
        };
        let chosen = self
            .random_named(set.elements, ElementKind::Scored, set.tally.count, count)
            .await?;
        chosen
            .into_iter()
            .map(|(member, value)| Ok((member, decode_score(&value)?)))
            .collect()
    }

    /// ZSCAN: the cursor for the next step (0 begins and 0 ends), members and scores.
    pub async fn zscan(
        &self,
        key: &[u8],
        cursor: u64,
        spec: &ScanSpec<'_>,
    ) -> Result<(u64, Vec<Scored>)> {
        let Some(set) = self.sorted_set(key).await? else {
            return Ok((0, Vec::new()));
        };
        let (next, found) = self
            .scan_named(set.elements, ElementKind::Scored, cursor, spec)
            .await?;
        let found: Result<Vec<Scored>> = found
            .into_iter()
            .map(|(member, value)| Ok((member, decode_score(&value)?)))
            .collect();
        Ok((next, found?))
    }
}

impl Writer<'_> {
    /// ZADD. No score may be NaN.
    pub async fn zadd<M: AsRef<[u8]>>(
        &self,
        key: &[u8],
        members: &[(f64, M)],
        options: ZaddOptions,
    ) -> Result<ZaddOutcome> {
        options.check()?;
        if members.iter().any(|(score, _)| score.is_nan()) {
            return Err(KeyValueError::NotAFloat);
        }
        let (mut locked, record, mut set) = self.lock_sorted_set(key).await?;
        let mut outcome = ZaddOutcome::default();
        let levels = set.levels;
        if members.len() as u64 > set.tally.count / REBUILD_SHARE {
            // Fences are built anew at the end rather than changed for each member.
            self.drop_levels(&mut set, 0).await?;
        }
        for (score, member) in members {
            let member = member.as_ref();
            let old = self.score_of(&set, member).await?;
            if options.allows(old, *score) && old != Some(*score) {
                self.put_scored(&mut set, member, old, *score).await?;
                outcome.changed += 1;
                outcome.added += u64::from(old.is_none());
            }
        }
        if outcome.changed > 0 || set.levels != levels {
            self.store_sorted_set(&mut locked, record, set).await?;
        }
        Ok(outcome)
    }

    /// ZINCRBY, and ZADD with INCR: the new score; none if the options forbid the change.
    pub async fn zincr_by(
        &self,
        key: &[u8],
        by: f64,
        member: &[u8],
        options: ZaddOptions,
    ) -> Result<Option<f64>> {
        options.check()?;
        if by.is_nan() {
            return Err(KeyValueError::NotAFloat);
        }
        let (mut locked, record, mut set) = self.lock_sorted_set(key).await?;
        let old = self.score_of(&set, member).await?;
        let new = old.unwrap_or(0.0) + by;
        if new.is_nan() {
            return Err(KeyValueError::NotFinite);
        }
        if !options.allows(old, new) {
            return Ok(None);
        }
        if old != Some(new) {
            self.put_scored(&mut set, member, old, new).await?;
            self.store_sorted_set(&mut locked, record, set).await?;
        }
        Ok(Some(new))
    }

    /// ZREM: how many members there were. An empty sorted set is gone.
    pub async fn zrem<M: AsRef<[u8]>>(&self, key: &[u8], members: &[M]) -> Result<u64> {
        let (mut locked, record, mut set) = self.lock_sorted_set(key).await?;
        let before = set.tally.count;
        if before == 0 {
            return Ok(0);
        }
        for member in members {
            let member = member.as_ref();
            if let Some(score) = self.score_of(&set, member).await? {
                self.remove_scored(&mut set, member, score).await?;
            }
        }
        let removed = before - set.tally.count;
        if removed > 0 {
            self.store_sorted_set(&mut locked, record, set).await?;
        }
        Ok(removed)
    }

    /// Locks a sorted set; a new one has no members yet.
    pub(crate) async fn lock_sorted_set(&self, key: &[u8]) -> Result<(Locked, Record, SortedSet)> {
        let locked = self.lock(key).await?;
        let record = self.typed(&locked, ValueType::SortedSet)?;
        let record = record.unwrap_or_else(|| self.fresh_sorted_set());
        let Body::SortedSet { tally, levels } = record.body else {
            return Err(KeyValueError::WrongType);
        };
        let set = SortedSet {
            elements: self.elements(&record),
            tally,
            levels,
        };
        Ok((locked, record, set))
    }

    fn fresh_sorted_set(&self) -> Record {
        self.fresh(Body::SortedSet {
            tally: Tally::default(),
            levels: 0,
        })
    }

    pub(crate) async fn store_sorted_set(
        &self,
        locked: &mut Locked,
        record: Record,
        mut set: SortedSet,
    ) -> Result<()> {
        self.adjust_levels(&mut set).await?;
        let record = Record {
            body: Body::SortedSet {
                tally: set.tally,
                levels: set.levels,
            },
            ..record
        };
        self.store_or_remove(locked, record).await
    }

    /// Puts a sorted set with these members, no name twice, in the place of whatever was there.
    pub(crate) async fn replace_sorted_set(
        &self,
        locked: &mut Locked,
        members: &[Scored],
    ) -> Result<u64> {
        if members.is_empty() {
            self.remove(locked).await?;
            return Ok(0);
        }
        let record = self.fresh_sorted_set();
        let mut set = SortedSet {
            elements: self.elements(&record),
            tally: Tally::default(),
            levels: 0,
        };
        for (member, score) in members {
            // Without levels no fence is looked for; they are built at the end.
            self.put_scored(&mut set, member, None, *score).await?;
        }
        self.store_sorted_set(locked, record, set).await?;
        Ok(members.len() as u64)
    }

    pub(crate) async fn score_of(&self, set: &SortedSet, member: &[u8]) -> Result<Option<f64>> {
        if set.tally.count == 0 {
            return Ok(None);
        }
        let name = set.elements.named(ElementKind::Scored, member);
        let value = self.element(&name).await?;
        value.map(|value| decode_score(&value)).transpose()
    }

    /// Gives a member, whose score is `old`, another one.
    pub(crate) async fn put_scored(
        &self,
        set: &mut SortedSet,
        member: &[u8],
        old: Option<f64>,
        new: f64,
    ) -> Result<()> {
        check_member(member)?;
        match old {
            Some(old) => self.remove_rank(set, member, old).await?,
            None => {
                set.tally.add(member.len() + SCORE_BYTES);
                set.tally.note(member);
            }
        }
        let name = set.elements.named(ElementKind::Scored, member);
        self.put(name, Val::copy_from_slice(&new.to_le_bytes()))?;
        let rank = rank_bytes(new, member);
        let key = set.elements.key(ElementKind::Ranked, &[&rank]);
        self.put(key, Val::new())?;
        self.add_to_fences(set, &rank, member).await
    }

    /// Removes a member that has this score.
    pub(crate) async fn remove_scored(
        &self,
        set: &mut SortedSet,
        member: &[u8],
        score: f64,
    ) -> Result<()> {
        set.tally.subtract(member.len() + SCORE_BYTES);
        self.delete(set.elements.named(ElementKind::Scored, member))?;
        self.remove_rank(set, member, score).await
    }

    async fn remove_rank(&self, set: &SortedSet, member: &[u8], score: f64) -> Result<()> {
        let rank = rank_bytes(score, member);
        self.delete(set.elements.key(ElementKind::Ranked, &[&rank]))?;
        self.remove_from_fences(set, &rank, member).await
    }
}
