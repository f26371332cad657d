//! Sets: names, each once. <https://redis.io/commands/?group=set>

use bytes::Bytes;
use hashbrown::HashSet;
use tessera_storage::Val;

use crate::error::{KeyValueError, Result};
use crate::layout::{ElementKind, Elements, check_member};
use crate::names::next_named;
use crate::reader::Reader;
use crate::record::{Body, Record, Tally, ValueType};
use crate::rows::Walk;
use crate::scan::ScanSpec;
use crate::writer::{Locked, Writer};

/// Members that are looked for in other sets at once.
const PROBE_BATCH: usize = 256;

/// An operation on several sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetOperation {
    /// In all of them.
    Intersection,
    /// In any of them.
    Union,
    /// In the first, and in none of the others.
    Difference,
}

impl Reader<'_> {
    /// SCARD.
    pub async fn scard(&self, key: &[u8]) -> Result<u64> {
        let found = self.collection(key, ValueType::Set).await?;
        Ok(found.map_or(0, |(_, tally)| tally.count))
    }

    /// SISMEMBER.
    pub async fn sismember(&self, key: &[u8], member: &[u8]) -> Result<bool> {
        Ok(self.smismember(key, &[member]).await? == [true])
    }

    /// SMISMEMBER: in the order asked.
    pub async fn smismember<M: AsRef<[u8]>>(&self, key: &[u8], members: &[M]) -> Result<Vec<bool>> {
        let Some((elements, _)) = self.collection(key, ValueType::Set).await? else {
            return Ok(vec![false; members.len()]);
        };
        let names = members
            .iter()
            .map(|member| elements.named(ElementKind::Member, member.as_ref()));
        let found = self.many(names.collect()).await?;
        Ok(found.into_iter().map(|value| value.is_some()).collect())
    }

    /// SMEMBERS, in no order that means anything.
    pub async fn smembers(&self, key: &[u8]) -> Result<Vec<Bytes>> {
        match self.collection(key, ValueType::Set).await? {
            Some((elements, _)) => self.members_of(elements).await,
            None => Ok(Vec::new()),
        }
    }

    async fn members_of(&self, elements: Elements) -> Result<Vec<Bytes>> {
        let all = self
            .all_named(elements, ElementKind::Member, Walk::KEYS)
            .await?;
        Ok(all.into_iter().map(|(member, _)| member).collect())
    }

    /// SRANDMEMBER: at most `count` different members, or `-count` that may repeat.
    pub async fn srandmember(&self, key: &[u8], count: i64) -> Result<Vec<Bytes>> {
        let Some((elements, tally)) = self.collection(key, ValueType::Set).await? else {
            return Ok(Vec::new());
        };
        let chosen = self
            .random_named(elements, ElementKind::Member, tally.count, count)
            .await?;
        Ok(chosen.into_iter().map(|(member, _)| member).collect())
    }

    /// SSCAN: the cursor for the next step (0 begins and 0 ends), and members.
    pub async fn sscan(
        &self,
        key: &[u8],
        cursor: u64,
        spec: &ScanSpec<'_>,
    ) -> Result<(u64, Vec<Bytes>)> {
        let Some((elements, _)) = self.collection(key, ValueType::Set).await? else {
            return Ok((0, Vec::new()));
        };
        let (next, found) = self
            .scan_named(elements, ElementKind::Member, cursor, spec)
            .await?;
        Ok((next, found.into_iter().map(|(member, _)| member).collect()))
    }

    /// SINTER, SUNION, SDIFF.
    pub async fn set_operation<K: AsRef<[u8]>>(
        &self,
        operation: SetOperation,
        keys: &[K],
    ) -> Result<Vec<Bytes>> {
        self.combine_sets(operation, keys, u64::MAX).await
    }

    /// SINTERCARD: how many members are in all sets, counted up to `limit` (0 means no limit).
    pub async fn sintercard<K: AsRef<[u8]>>(&self, keys: &[K], limit: u64) -> Result<u64> {
        let limit = if limit == 0 { u64::MAX } else { limit };
        let found = self.combine_sets(SetOperation::Intersection, keys, limit);
        Ok(found.await?.len() as u64)
    }

    async fn combine_sets<K: AsRef<[u8]>>(
        &self,
        operation: SetOperation,
        keys: &[K],
        limit: u64,
    ) -> Result<Vec<Bytes>> {
        let mut sets = Vec::with_capacity(keys.len());
        for key in keys {
            sets.push(self.collection(key.as_ref(), ValueType::Set).await?);
        }
        match operation {
            SetOperation::Union => {
                let mut seen: HashSet<Bytes> = HashSet::new();
                let mut all = Vec::new();
                for (elements, _) in sets.into_iter().flatten() {
                    for member in self.members_of(elements).await? {
                        if seen.insert(member.clone()) {
                            all.push(member);
                        }
                    }
                }
                Ok(all)
            }
            SetOperation::Intersection => {
                let sets: Option<Vec<_>> = sets.into_iter().collect();
                // One that does not exist leaves nothing.
                let Some(mut sets) = sets else {
                    return Ok(Vec::new());
                };
                sets.sort_by_key(|(_, tally)| tally.count);
                self.probe(sets.into_iter().map(|(set, _)| set).collect(), true, limit)
                    .await
            }
            SetOperation::Difference => {
                if sets.first().is_none_or(Option::is_none) {
                    return Ok(Vec::new());
                }
                let sets = sets.into_iter().flatten().map(|(set, _)| set).collect();
                self.probe(sets, false, limit).await
            }
        }
    }

    /// The members of the first set that are in all others, or in none of them.
    async fn probe(&self, sets: Vec<Elements>, wanted: bool, limit: u64) -> Result<Vec<Bytes>> {
        let Some((first, others)) = sets.split_first() else {
            return Ok(Vec::new());
        };
        let mut rows = self.all(*first, ElementKind::Member, Walk::KEYS);
        let mut kept: Vec<Bytes> = Vec::new();
        loop {
            let mut batch = Vec::new();
            while batch.len() < PROBE_BATCH {
                match next_named(&mut rows).await? {
                    Some((_, member, _)) => batch.push(member),
                    None => break,
                }
            }
            if batch.is_empty() || kept.len() as u64 >= limit {
                kept.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
                return Ok(kept);
            }
            for other in others {
                let names = batch
                    .iter()
                    .map(|member| other.named(ElementKind::Member, member));
                let found = self.many(names.collect()).await?;
                let mut found = found.into_iter();
                batch.retain(|_| found.next().is_some_and(|value| value.is_some() == wanted));
            }
            kept.append(&mut batch);
        }
    }
}

impl Writer<'_> {
    /// SADD: how many members were added.
    pub async fn sadd<M: AsRef<[u8]>>(&self, key: &[u8], members: &[M]) -> Result<u64> {
        let (mut locked, record, mut tally) = self.lock_set(key).await?;
        let elements = self.elements(&record);
        let before = tally.count;
        for member in members {
            self.put_member(&elements, &mut tally, member.as_ref())
                .await?;
        }
        let added = tally.count - before;
        if added > 0 {
            self.store_set(&mut locked, record, tally).await?;
        }
        Ok(added)
    }

    /// SREM: how many members there were. An empty set is gone.
    pub async fn srem<M: AsRef<[u8]>>(&self, key: &[u8], members: &[M]) -> Result<u64> {
        let (mut locked, record, mut tally) = self.lock_set(key).await?;
        if tally.count == 0 {
            return Ok(0);
        }
        let elements = self.elements(&record);
        let before = tally.count;
        for member in members {
            self.remove_member(&elements, &mut tally, member.as_ref())
                .await?;
        }
        let removed = before - tally.count;
        if removed > 0 {
            self.store_set(&mut locked, record, tally).await?;
        }
        Ok(removed)
    }

    /// SPOP: removes at most `count` random members and answers them.
    pub async fn spop(&self, key: &[u8], count: u64) -> Result<Vec<Bytes>> {
        let (mut locked, record, mut tally) = self.lock_set(key).await?;
        if tally.count == 0 || count == 0 {
            return Ok(Vec::new());
        }
        let elements = self.elements(&record);
        let wanted = i64::try_from(count).unwrap_or(i64::MAX);
        let chosen = self
            .reader()
            .random_named(elements, ElementKind::Member, tally.count, wanted)
            .await?;
        let members: Vec<Bytes> = chosen.into_iter().map(|(member, _)| member).collect();
        if members.len() as u64 == tally.count {
            self.remove(&mut locked).await?;
            return Ok(members);
        }
        for member in &members {
            self.remove_member(&elements, &mut tally, member).await?;
        }
        self.store_set(&mut locked, record, tally).await?;
        Ok(members)
    }

    /// SMOVE: whether the member was in `from`; it is in `to` then.
    pub async fn smove(&self, from: &[u8], to: &[u8], member: &[u8]) -> Result<bool> {
        self.lock_all(&[from, to]).await?;
        let (mut locked, record, mut tally) = self.lock_set(from).await?;
        if tally.count == 0 {
            return Ok(false);
        }
        // The target's type counts even if the member is not there.
        let (mut target_locked, target, mut target_tally) = self.lock_set(to).await?;
        let elements = self.elements(&record);
        let name = elements.named(ElementKind::Member, member);
        if self.element(&name).await?.is_none() {
            return Ok(false);
        }
        if from == to {
            return Ok(true);
        }
        self.remove_member(&elements, &mut tally, member).await?;
        self.store_set(&mut locked, record, tally).await?;
        let before = target_tally.count;
        self.put_member(&self.elements(&target), &mut target_tally, member)
            .await?;
        if target_tally.count > before {
            self.store_set(&mut target_locked, target, target_tally)
                .await?;
        }
        Ok(true)
    }

    /// SINTERSTORE, SUNIONSTORE, SDIFFSTORE: replaces whatever is at `to`; how many members it has.
    pub async fn set_operation_store<K: AsRef<[u8]>>(
        &self,
        operation: SetOperation,
        to: &[u8],
        keys: &[K],
    ) -> Result<u64> {
        let mut locked = self.lock(to).await?;
        let members = self.source_reader().set_operation(operation, keys).await?;
        if members.is_empty() {
            self.remove(&mut locked).await?;
            return Ok(0);
        }
        let record = self.fresh(Body::Set(Tally::default()));
        let elements = self.elements(&record);
        let mut tally = Tally::default();
        for member in &members {
            tally.add(member.len());
            tally.note(member);
            let name = elements.named(ElementKind::Member, member);
            self.put(name, Val::new())?;
        }
        self.store_set(&mut locked, record, tally).await?;
        Ok(tally.count)
    }

    /// Locks a set; a new one has no members yet.
    async fn lock_set(&self, key: &[u8]) -> Result<(Locked, Record, Tally)> {
        let locked = self.lock(key).await?;
        let record = self.typed(&locked, ValueType::Set)?;
        let record = record.unwrap_or_else(|| self.fresh(Body::Set(Tally::default())));
        let Body::Set(tally) = record.body else {
            return Err(KeyValueError::WrongType);
        };
        Ok((locked, record, tally))
    }

    async fn store_set(&self, locked: &mut Locked, record: Record, tally: Tally) -> Result<()> {
        let record = Record {
            body: Body::Set(tally),
            ..record
        };
        self.store_or_remove(locked, record).await
    }

    async fn put_member(
        &self,
        elements: &Elements,
        tally: &mut Tally,
        member: &[u8],
    ) -> Result<()> {
        check_member(member)?;
        let name = elements.named(ElementKind::Member, member);
        if self.element(&name).await?.is_none() {
            tally.add(member.len());
            tally.note(member);
            self.put(name, Val::new())?;
        }
        Ok(())
    }

    async fn remove_member(
        &self,
        elements: &Elements,
        tally: &mut Tally,
        member: &[u8],
    ) -> Result<()> {
        let name = elements.named(ElementKind::Member, member);
        if self.element(&name).await?.is_some() {
            tally.subtract(member.len());
            self.delete(name)?;
        }
        Ok(())
    }
}
