//! What works on keys of every type: DEL, EXPIRE, RENAME, COPY. <https://redis.io/commands/?group=generic>

use std::ops::Bound;

use bytes::Bytes;
use tessera_storage::{Key, KeyRange, KeySpace};

use crate::error::{KeyValueError, Result};
use crate::layout::{
    ELEMENT_PREFIX_BYTES, GENERATION_BYTES, generation_range, key_of_record, records_range,
};
use crate::number::parse_integer;
use crate::reader::Reader;
use crate::record::{Body, Record, ValueType};
use crate::rows::{Rows, Walk};
use crate::space::Space;
use crate::time::{Expire, TimeToLive, UnixMillis};
use crate::writer::{Locked, Writer};

/// Longest string that Redis keeps together with its object.
const EMBSTR_BYTES_MAX: usize = 44;
/// Elements in what Redis calls a listpack, of hashes, sets and sorted sets.
const LISTPACK_ELEMENTS_MAX: u64 = 128;
/// Bytes in what Redis calls a listpack, of lists.
const LISTPACK_LIST_BYTES_MAX: u64 = 8 * 1024;
/// Elements of what Redis calls an intset.
const INTSET_ELEMENTS_MAX: u64 = 512;
/// Keys that RANDOMKEY chooses from after its random seek.
const RANDOM_CANDIDATES: usize = 16;

/// Under which condition EXPIRE does something; a key that never expires counts as infinitely far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExpireCondition {
    /// Only if the key does not expire (NX).
    pub if_none: bool,
    /// Only if the key expires (XX).
    pub if_some: bool,
    /// Only to a later moment (GT).
    pub if_later: bool,
    /// Only to an earlier moment (LT).
    pub if_earlier: bool,
}

impl ExpireCondition {
    fn check(&self) -> Result<()> {
        if self.if_none && (self.if_some || self.if_later || self.if_earlier) {
            return Err(KeyValueError::InvalidArgument {
                what: "NX and XX, GT or LT options at the same time are not compatible",
            });
        }
        if self.if_later && self.if_earlier {
            return Err(KeyValueError::InvalidArgument {
                what: "GT and LT options at the same time are not compatible",
            });
        }
        Ok(())
    }

    fn holds(&self, old: Option<UnixMillis>, new: i64) -> bool {
        let old = old.map(|old| i64::try_from(old.0).unwrap_or(i64::MAX));
        (!self.if_none || old.is_none())
            && (!self.if_some || old.is_some())
            && (!self.if_later || old.is_some_and(|old| new > old))
            && (!self.if_earlier || old.is_none_or(|old| new < old))
    }
}

/// What a key is, without its value: for SQL's `kv.<space>` and for OBJECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// The key.
    pub key: Bytes,
    /// Its type.
    pub value_type: ValueType,
    /// When it expires.
    pub expires: Option<UnixMillis>,
    /// Number of elements; none for strings.
    pub elements: Option<u64>,
    /// Bytes of the value (MEMORY USAGE without overheads).
    pub bytes: u64,
    /// The value of a string that lies in its record.
    pub small_value: Option<Bytes>,
}

impl KeyInfo {
    pub(crate) fn new(key: Bytes, record: &Record) -> KeyInfo {
        KeyInfo {
            key,
            value_type: record.body.value_type(),
            expires: record.expires,
            elements: record.body.count(),
            bytes: record.body.bytes(),
            small_value: match &record.body {
                Body::Small(value) => Some(value.clone()),
                _ => None,
            },
        }
    }
}

impl Reader<'_> {
    /// EXISTS and TOUCH: how many of the keys exist; a key given twice counts twice.
    pub async fn exists<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<u64> {
        let mut count = 0;
        for key in keys {
            count += u64::from(self.record(key.as_ref()).await?.is_some());
        }
        Ok(count)
    }

    /// TYPE; none for no key ("none").
    pub async fn value_type(&self, key: &[u8]) -> Result<Option<ValueType>> {
        let record = self.record(key).await?;
        Ok(record.map(|record| record.body.value_type()))
    }

    /// TTL, PTTL, EXPIRETIME, PEXPIRETIME.
    pub async fn time_to_live(&self, key: &[u8]) -> Result<TimeToLive> {
        Ok(match self.record(key).await? {
            None => TimeToLive::NoKey,
            Some(record) => record.expires.map_or(TimeToLive::Never, TimeToLive::At),
        })
    }

    /// What a key is.
    pub async fn info(&self, key: &[u8]) -> Result<Option<KeyInfo>> {
        let record = self.record(key).await?;
        Ok(record.map(|record| KeyInfo::new(Bytes::copy_from_slice(key), &record)))
    }

    /// OBJECT ENCODING: the name that Redis 7.2 gives to how it would keep such a value with its
    /// default settings. What is stored here does not depend on it.
    pub async fn encoding(&self, key: &[u8]) -> Result<Option<&'static str>> {
        let Some(record) = self.record(key).await? else {
            return Ok(None);
        };
        let is_short = |tally: &crate::record::Tally| {
            tally.count <= LISTPACK_ELEMENTS_MAX && !tally.has_long()
        };
        Ok(Some(match &record.body {
            Body::Small(value) if parse_integer(value).is_some() => "int",
            Body::Small(value) if value.len() <= EMBSTR_BYTES_MAX => "embstr",
            Body::Small(_) | Body::Large { .. } => "raw",
            Body::List { tally, .. } if tally.bytes <= LISTPACK_LIST_BYTES_MAX => "listpack",
            Body::List { .. } => "quicklist",
            Body::Set(tally) if tally.count <= INTSET_ELEMENTS_MAX && !tally.has_text() => "intset",
            Body::Hash(tally) | Body::Set(tally) | Body::SortedSet { tally, .. }
                if is_short(tally) =>
            {
                "listpack"
            }
            Body::Hash(_) | Body::Set(_) => "hashtable",
            Body::SortedSet { .. } => "skiplist",
            Body::Stream(_) => "stream",
        }))
    }

    /// RANDOMKEY: some key. Each can be met; how likely depends on how keys are spread.
    pub async fn random_key(&self) -> Result<Option<Bytes>> {
        let random = &self.space.transactions().environment().random;
        let range = records_range(self.space.relation(), b"");
        let first = self.boundary_key(false).await?;
        let last = self.boundary_key(true).await?;
        let (Some(first), Some(last)) = (first, last) else {
            return Ok(None);
        };
        // A random place between both ends: what they begin with in common, then a random number
        // between what follows.
        let common = first.iter().zip(&last).take_while(|(a, b)| a == b).count();
        let number = |key: &[u8]| {
            let mut bytes = [0; 8];
            let rest = &key[common.min(key.len())..];
            let length = rest.len().min(8);
            bytes[..length].copy_from_slice(&rest[..length]);
            u64::from_be_bytes(bytes)
        };
        let (low, high) = (number(&first), number(&last));
        let at = low + random.u64() % (high - low).saturating_add(1).max(1);
        let mut seek = first[..common].to_vec();
        seek.extend_from_slice(&at.to_be_bytes());
        let seek = crate::layout::record_key(self.space.relation(), &seek);
        let seek = Key::copy_from_slice(&seek);
        let behind = KeyRange {
            start: Bound::Included(seek.clone()),
            end: range.end.clone(),
        };
        // Behind the last key the first one follows.
        let mut candidates = Vec::new();
        for range in [behind, range.before(seek)] {
            let mut rows = self.rows(range, Walk::ALL);
            while candidates.len() < RANDOM_CANDIDATES {
                let Some((key, value)) = rows.next().await? else {
                    break;
                };
                if !Record::decode(&value)?.is_expired(self.now) {
                    candidates.push(key_of_record(&key));
                }
            }
        }
        let chosen = self.random_below(candidates.len() as u64);
        Ok(candidates
            .into_iter()
            .nth(usize::try_from(chosen).unwrap_or(0)))
    }

    async fn boundary_key(&self, reverse: bool) -> Result<Option<Bytes>> {
        let range = records_range(self.space.relation(), b"");
        let walk = Walk {
            reverse,
            limit: Some(1),
            keys_only: true,
            is_short: false,
        };
        let row = self.rows(range, walk).next().await?;
        Ok(row.map(|(key, _)| key_of_record(&key)))
    }
}

impl Writer<'_> {
    /// DEL and UNLINK: how many keys there were. A key with many elements costs no more than one
    /// with few; what was below it is removed later by [`Writer::reclaim`].
    pub async fn del<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<u64> {
        let mut sorted: Vec<&[u8]> = keys.iter().map(AsRef::as_ref).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let mut count = 0;
        for key in sorted {
            let mut locked = self.lock(key).await?;
            count += u64::from(self.remove(&mut locked).await?);
        }
        Ok(count)
    }

    /// EXPIRE and its kin: whether the time to live was set. A moment that is not in the future
    /// removes the key.
    pub async fn expire(
        &self,
        key: &[u8],
        expire: Expire,
        condition: ExpireCondition,
    ) -> Result<bool> {
        condition.check()?;
        let moment = expire.moment(self.now)?;
        let mut locked = self.lock(key).await?;
        let Some(mut record) = self.living(&locked) else {
            return Ok(false);
        };
        if !condition.holds(record.expires, moment) {
            return Ok(false);
        }
        match u64::try_from(moment).map(UnixMillis) {
            Ok(moment) if moment > self.now => {
                record.expires = Some(moment);
                self.store(&mut locked, record).await?;
            }
            _ => {
                self.remove(&mut locked).await?;
            }
        }
        Ok(true)
    }

    /// PERSIST: whether there was a time to live to remove.
    pub async fn persist(&self, key: &[u8]) -> Result<bool> {
        let mut locked = self.lock(key).await?;
        let Some(mut record) = self.living(&locked) else {
            return Ok(false);
        };
        if record.expires.take().is_none() {
            return Ok(false);
        }
        self.store(&mut locked, record).await?;
        Ok(true)
    }

    /// RENAME: the value and its time to live move, whatever was at `to` is gone. The elements stay
    /// where they are.
    pub async fn rename(&self, from: &[u8], to: &[u8]) -> Result<()> {
        self.rename_if(from, to, false).await.map(|_| ())
    }

    /// RENAMENX: only if there is nothing at `to`; whether it was done.
    pub async fn renamenx(&self, from: &[u8], to: &[u8]) -> Result<bool> {
        self.rename_if(from, to, true).await
    }

    async fn rename_if(&self, from: &[u8], to: &[u8], only_if_absent: bool) -> Result<bool> {
        self.lock_all(&[from, to]).await?;
        let mut source = self.lock(from).await?;
        let record = self.living(&source).ok_or(KeyValueError::NoSuchKey)?;
        if from == to {
            return Ok(!only_if_absent);
        }
        let mut target = self.lock(to).await?;
        if only_if_absent && self.living(&target).is_some() {
            return Ok(false);
        }
        self.forget(&mut source)?;
        self.store(&mut target, record).await?;
        Ok(true)
    }

    /// COPY: whether it was done: there is a source, and no target unless it is replaced. `target`
    /// may be the same space. Takes as long as there are elements.
    pub async fn copy(
        &self,
        from: &[u8],
        target: &Space,
        to: &[u8],
        replace: bool,
    ) -> Result<bool> {
        let other = self.in_space(target);
        let is_same_space = target.relation() == self.space.relation();
        if is_same_space && from == to {
            return Err(KeyValueError::InvalidArgument {
                what: "source and destination objects are the same",
            });
        }
        // In the order of spaces and keys.
        if (self.space.relation(), from) < (target.relation(), to) {
            self.lock(from).await?;
            other.lock(to).await?;
        } else {
            other.lock(to).await?;
            self.lock(from).await?;
        }
        let source = self.lock(from).await?;
        let Some(record) = self.living(&source) else {
            return Ok(false);
        };
        let mut locked = other.lock(to).await?;
        if !replace && other.living(&locked).is_some() {
            return Ok(false);
        }
        self.copy_record(&record, &other, &mut locked).await?;
        Ok(true)
    }

    /// MOVE to another key space: whether it was done: there is a source and no target.
    pub async fn move_to(&self, key: &[u8], target: &Space) -> Result<bool> {
        if target.relation() == self.space.relation() {
            return Err(KeyValueError::InvalidArgument {
                what: "source and destination objects are the same",
            });
        }
        if !self.copy(key, target, key, false).await? {
            return Ok(false);
        }
        let mut source = self.lock(key).await?;
        self.remove(&mut source).await
    }

    async fn copy_record(
        &self,
        record: &Record,
        other: &Writer<'_>,
        locked: &mut Locked,
    ) -> Result<()> {
        let mut copied = other.fresh(record.body.clone());
        copied.expires = record.expires;
        if record.body.has_elements() {
            let view = self.txn.newest_view();
            let range = generation_range(self.space.relation(), record.generation);
            let mut rows = Rows::new(&view, KeySpace::Rows, range, Walk::ALL.options());
            // Everything of a key but relation and generation is the same.
            let start = other
                .elements(&copied)
                .key(crate::layout::ElementKind::Chunk, &[]);
            let head = &start[..ELEMENT_PREFIX_BYTES - 1];
            debug_assert_eq!(
                head.len(),
                5 + GENERATION_BYTES,
                "relation, tag, generation"
            );
            while let Some((key, value)) = rows.next().await? {
                let mut copy = Vec::with_capacity(key.len());
                copy.extend_from_slice(head);
                copy.extend_from_slice(&key[head.len().min(key.len())..]);
                other.put(Key::from(copy), value)?;
            }
        }
        other.store(locked, copied).await
    }

    /// FLUSHDB: removes every key and answers how many there were (expired ones included). Locks
    /// the whole space. Takes as long as there are keys; what is below them is removed later. To
    /// empty a large space at once, give it another relation.
    pub async fn clear(&self) -> Result<u64> {
        let resource = tessera_locks::Resource::Relation(self.space.relation());
        self.txn
            .lock(resource, tessera_locks::Mode::X, &self.locks)
            .await?;
        let view = self.txn.newest_view();
        let range = records_range(self.space.relation(), b"");
        let mut rows = Rows::new(&view, KeySpace::Rows, range, Walk::KEYS.options());
        let mut count = 0;
        while let Some((record_key, _)) = rows.next().await? {
            let mut locked = self.lock(&key_of_record(&record_key)).await?;
            self.remove(&mut locked).await?;
            count += 1;
        }
        Ok(count)
    }
}
