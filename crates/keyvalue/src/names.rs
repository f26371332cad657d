//! What hashes, sets and sorted sets have in common: elements with names, in the order of their
//! positions. Walks with cursors, random elements.

use bytes::Bytes;
use hashbrown::HashSet;
use tessera_storage::Val;

use crate::error::{KeyValueError, Result, malformed};
use crate::layout::{ElementKind, Elements, parse_named};
use crate::reader::Reader;
use crate::rows::{Rows, Walk};
use crate::scan::ScanSpec;

/// Elements that one call gives when they may repeat.
pub const RANDOM_REPEATS_MAX: u64 = 1_000_000;
/// Collections up to this size are read whole to choose from them evenly.
const READ_WHOLE_MAX: u64 = 512;
/// Names walked over after a random seek, so that a wide gap before a name favours it less.
const RANDOM_STEPS: u64 = 8;

/// A name and its value.
pub(crate) type Named = (Bytes, Val);

/// The next element with a name.
pub(crate) async fn next_named(rows: &mut Rows) -> Result<Option<(u64, Bytes, Val)>> {
    let Some((key, value)) = rows.next().await? else {
        return Ok(None);
    };
    let (position, name) = parse_named(&key).ok_or_else(|| malformed("element with a name"))?;
    Ok(Some((position, name, value)))
}

impl Reader<'_> {
    /// Every element of a kind.
    pub(crate) async fn all_named(
        &self,
        elements: Elements,
        kind: ElementKind,
        walk: Walk,
    ) -> Result<Vec<Named>> {
        let mut rows = self.all(elements, kind, walk);
        let mut all = Vec::new();
        while let Some((_, name, value)) = next_named(&mut rows).await? {
            all.push((name, value));
        }
        Ok(all)
    }

    /// One step of HSCAN, SSCAN or ZSCAN. The cursor is the position to go on from, so it needs no
    /// memory and is good for ever; an element that is there all the time is met.
    pub(crate) async fn scan_named(
        &self,
        elements: Elements,
        kind: ElementKind,
        cursor: u64,
        spec: &ScanSpec<'_>,
    ) -> Result<(u64, Vec<Named>)> {
        let range = elements.range_from(kind, &cursor.to_be_bytes());
        let mut rows = self.rows(range, Walk::ALL);
        let mut found = Vec::new();
        let mut seen = 0;
        let mut last = None;
        while let Some((position, name, value)) = next_named(&mut rows).await? {
            // Names of equal position belong to one step.
            if seen >= spec.count() && last != Some(position) {
                return Ok((position, found));
            }
            seen += 1;
            last = Some(position);
            if spec.accepts(&name) {
                found.push((name, value));
            }
        }
        Ok((0, found))
    }

    /// Random elements out of `total`: at most `count` different ones, or, if `count` is negative,
    /// exactly that many, which may repeat.
    pub(crate) async fn random_named(
        &self,
        elements: Elements,
        kind: ElementKind,
        total: u64,
        count: i64,
    ) -> Result<Vec<Named>> {
        let wanted = count.unsigned_abs();
        if count < 0 && wanted > RANDOM_REPEATS_MAX {
            return Err(KeyValueError::OutOfRange { what: "count" });
        }
        if wanted == 0 || total == 0 {
            return Ok(Vec::new());
        }
        let is_distinct = count > 0;
        if is_distinct && wanted >= total {
            return self.all_named(elements, kind, Walk::ALL).await;
        }
        if total <= READ_WHOLE_MAX || (is_distinct && wanted > total / 4) {
            let mut all = self.all_named(elements, kind, Walk::ALL).await?;
            return Ok(self.choose(&mut all, wanted, is_distinct));
        }
        let mut found = Vec::new();
        let mut seen: HashSet<Bytes> = HashSet::new();
        while (found.len() as u64) < wanted {
            let Some(named) = self.seek_random(elements, kind).await? else {
                break;
            };
            if !is_distinct || seen.insert(named.0.clone()) {
                found.push(named);
            }
        }
        Ok(found)
    }

    fn choose(&self, all: &mut [Named], wanted: u64, is_distinct: bool) -> Vec<Named> {
        let mut chosen = Vec::new();
        for at in 0..usize::try_from(wanted).unwrap_or(usize::MAX) {
            if all.is_empty() || (is_distinct && at >= all.len()) {
                break;
            }
            if is_distinct {
                // Fisher and Yates, as far as needed.
                let other = at + self.random_below((all.len() - at) as u64) as usize;
                all.swap(at, other);
                chosen.push(all[at].clone());
            } else {
                let other = self.random_below(all.len() as u64) as usize;
                chosen.push(all[other].clone());
            }
        }
        chosen
    }

    async fn seek_random(&self, elements: Elements, kind: ElementKind) -> Result<Option<Named>> {
        let start = self.space.transactions().environment().random.u64();
        let steps = self.random_below(RANDOM_STEPS);
        let from_there = elements.range_from(kind, &start.to_be_bytes());
        // Behind the last one the first one follows.
        let mut found = None;
        let mut left = steps;
        for range in [from_there, elements.range(kind, b"")] {
            let walk = Walk::first(usize::try_from(left + 1).unwrap_or(1));
            let mut rows = self.rows(range, walk);
            while let Some((_, name, value)) = next_named(&mut rows).await? {
                found = Some((name, value));
                if left == 0 {
                    return Ok(found);
                }
                left -= 1;
            }
        }
        Ok(found)
    }

    /// A number below `limit`, which is not 0.
    pub(crate) fn random_below(&self, limit: u64) -> u64 {
        let random = &self.space.transactions().environment().random;
        // The bias is below 2^-32 for what collections can hold.
        random.u64() % limit.max(1)
    }
}
