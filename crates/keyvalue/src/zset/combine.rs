//! Several sorted sets, or sets, as one: ZUNION, ZINTER, ZDIFF.

use ahash::RandomState;
use bytes::Bytes;
use hashbrown::HashMap;

use super::order::score_bits;
use super::{Scored, decode_score};
use crate::error::{KeyValueError, Result};
use crate::layout::{ElementKind, Elements};
use crate::reader::Reader;
use crate::record::Body;
use crate::rows::Walk;
use crate::writer::Writer;

/// How the scores of one member become one (AGGREGATE).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Aggregate {
    /// Their sum; of both infinities, zero.
    #[default]
    Sum,
    /// The lowest.
    Min,
    /// The highest.
    Max,
}

impl Aggregate {
    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            Aggregate::Sum if (a + b).is_nan() => 0.0,
            Aggregate::Sum => a + b,
            Aggregate::Min => a.min(b),
            Aggregate::Max => a.max(b),
        }
    }
}

/// An operation on several sorted sets or sets; a set's members have the score 1.
#[derive(Debug, Clone, PartialEq)]
pub enum ZsetOperation<'a> {
    /// Members of any of them. One weight per key, or none at all.
    Union {
        /// Scores are multiplied by these (WEIGHTS).
        weights: &'a [f64],
        /// How scores become one.
        aggregate: Aggregate,
    },
    /// Members of all of them.
    Intersection {
        /// Scores are multiplied by these (WEIGHTS).
        weights: &'a [f64],
        /// How scores become one.
        aggregate: Aggregate,
    },
    /// Members of the first and of no other.
    Difference,
}

#[derive(Clone, Copy)]
struct Source {
    elements: Elements,
    kind: ElementKind,
    count: u64,
    weight: f64,
}

impl Source {
    /// The weighted score of a member by the value of its element.
    fn score(&self, value: &[u8]) -> Result<f64> {
        let score = match self.kind {
            ElementKind::Scored => decode_score(value)?,
            _ => 1.0,
        };
        let weighted = score * self.weight;
        // Zero times infinity.
        Ok(if weighted.is_nan() { 0.0 } else { weighted })
    }
}

impl Reader<'_> {
    /// ZUNION, ZINTER, ZDIFF: members and scores, lowest scores first.
    pub async fn zset_operation<K: AsRef<[u8]>>(
        &self,
        operation: &ZsetOperation<'_>,
        keys: &[K],
    ) -> Result<Vec<Scored>> {
        let weights: &[f64] = match operation {
            ZsetOperation::Union { weights, .. } | ZsetOperation::Intersection { weights, .. } => {
                weights
            }
            ZsetOperation::Difference => &[],
        };
        if !weights.is_empty() && weights.len() != keys.len() {
            return Err(KeyValueError::InvalidArgument {
                what: "one weight per key is needed",
            });
        }
        if weights.iter().any(|weight| weight.is_nan()) {
            return Err(KeyValueError::NotAFloat);
        }
        let mut sources = Vec::with_capacity(keys.len());
        for (at, key) in keys.iter().enumerate() {
            let weight = weights.get(at).copied().unwrap_or(1.0);
            sources.push(self.source(key.as_ref(), weight).await?);
        }
        let mut found = match operation {
            ZsetOperation::Union { aggregate, .. } => self.union(&sources, *aggregate).await?,
            ZsetOperation::Intersection { aggregate, .. } => {
                self.intersection(&sources, *aggregate, u64::MAX).await?
            }
            ZsetOperation::Difference => self.difference(&sources).await?,
        };
        found.sort_by(|a, b| (score_bits(a.1), &a.0).cmp(&(score_bits(b.1), &b.0)));
        Ok(found)
    }

    /// ZINTERCARD: how many members are in all of them, counted up to `limit` (0 means no limit).
    pub async fn zintercard<K: AsRef<[u8]>>(&self, keys: &[K], limit: u64) -> Result<u64> {
        let limit = if limit == 0 { u64::MAX } else { limit };
        let mut sources = Vec::with_capacity(keys.len());
        for key in keys {
            sources.push(self.source(key.as_ref(), 1.0).await?);
        }
        let found = self.intersection(&sources, Aggregate::Sum, limit).await?;
        Ok((found.len() as u64).min(limit))
    }

    async fn source(&self, key: &[u8], weight: f64) -> Result<Option<Source>> {
        let Some(record) = self.record(key).await? else {
            return Ok(None);
        };
        let (kind, tally) = match &record.body {
            Body::SortedSet { tally, .. } => (ElementKind::Scored, tally),
            Body::Set(tally) => (ElementKind::Member, tally),
            _ => return Err(KeyValueError::WrongType),
        };
        Ok(Some(Source {
            elements: self.elements(&record),
            kind,
            count: tally.count,
            weight,
        }))
    }

    async fn members_with_scores(&self, source: &Source) -> Result<Vec<Scored>> {
        let all = self
            .all_named(source.elements, source.kind, Walk::ALL)
            .await?;
        all.into_iter()
            .map(|(member, value)| Ok((member, source.score(&value)?)))
            .collect()
    }

    async fn union(&self, sources: &[Option<Source>], aggregate: Aggregate) -> Result<Vec<Scored>> {
        let mut sums: HashMap<Bytes, f64, RandomState> = HashMap::default();
        for source in sources.iter().flatten() {
            for (member, score) in self.members_with_scores(source).await? {
                sums.entry(member)
                    .and_modify(|sum| *sum = aggregate.of(*sum, score))
                    .or_insert(score);
            }
        }
        Ok(sums.into_iter().collect())
    }

    async fn intersection(
        &self,
        sources: &[Option<Source>],
        aggregate: Aggregate,
        limit: u64,
    ) -> Result<Vec<Scored>> {
        let sources: Option<Vec<Source>> = sources.iter().copied().collect();
        // One that does not exist leaves nothing.
        let Some(mut sources) = sources else {
            return Ok(Vec::new());
        };
        sources.sort_by_key(|source| source.count);
        let Some((first, others)) = sources.split_first() else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        'members: for (member, mut score) in self.members_with_scores(first).await? {
            for other in others {
                let name = other.elements.named(other.kind, &member);
                let Some(value) = self.element(&name).await? else {
                    continue 'members;
                };
                score = aggregate.of(score, other.score(&value)?);
            }
            found.push((member, score));
            if found.len() as u64 >= limit {
                break;
            }
        }
        Ok(found)
    }

    async fn difference(&self, sources: &[Option<Source>]) -> Result<Vec<Scored>> {
        let Some((Some(first), others)) = sources.split_first() else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        'members: for (member, score) in self.members_with_scores(first).await? {
            for other in others.iter().flatten() {
                let name = other.elements.named(other.kind, &member);
                if self.element(&name).await?.is_some() {
                    continue 'members;
                }
            }
            found.push((member, score));
        }
        Ok(found)
    }
}

impl Writer<'_> {
    /// ZUNIONSTORE, ZINTERSTORE, ZDIFFSTORE: replaces whatever is at `to`; how many members it has.
    pub async fn zset_operation_store<K: AsRef<[u8]>>(
        &self,
        operation: &ZsetOperation<'_>,
        to: &[u8],
        keys: &[K],
    ) -> Result<u64> {
        let mut locked = self.lock(to).await?;
        let members = self.source_reader().zset_operation(operation, keys).await?;
        self.replace_sorted_set(&mut locked, &members).await
    }
}
