//! Strings: GET, SET and their kin, parts of strings. <https://redis.io/commands/?group=string>
//!
//! # Where the bytes are
//! Up to [`SMALL_BYTES_MAX`] a string lies in its key's record. A longer one is cut into chunks
//! of [`CHUNK_BYTES`] below a generation; a chunk may be shorter than that, or missing, and what
//! is missing reads as zeros. So a change of a part touches its chunks and the record, and a bit
//! set far behind the end makes one chunk.
//! A large string stays in chunks until it is set anew.

use bytes::Bytes;
use tessera_storage::Val;

use crate::error::{KeyValueError, Result, malformed};
use crate::layout::{ElementKind, Elements, STRING_BYTES_MAX, suffix};
use crate::reader::Reader;
use crate::record::{Body, Record, ValueType};
use crate::rows::Walk;
use crate::time::{Expire, UnixMillis};
use crate::writer::{Locked, Writer};

/// Bytes of a string that lies in its record.
pub(crate) const SMALL_BYTES_MAX: usize = 2_048;
/// Bytes of a chunk of a longer string.
pub(crate) const CHUNK_BYTES: usize = 8_192;

/// Under which condition SET does something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SetCondition {
    /// Always.
    #[default]
    Always,
    /// Only if the key does not exist (NX).
    IfAbsent,
    /// Only if the key exists (XX).
    IfPresent,
}

/// What SET does about the time to live.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SetExpiry {
    /// The key does not expire.
    #[default]
    Clear,
    /// As before (KEEPTTL).
    Keep,
    /// EX, PX, EXAT, PXAT.
    Expire(Expire),
}

/// Options of SET.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SetOptions {
    /// NX, XX.
    pub condition: SetCondition,
    /// EX and its kin, KEEPTTL.
    pub expiry: SetExpiry,
    /// Answer the old value; then it must be a string (GET).
    pub get: bool,
}

/// What became of a SET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetOutcome {
    /// The condition held.
    pub is_set: bool,
    /// The old value, if it was asked for and there was one.
    pub previous: Option<Bytes>,
}

/// What GETEX does about the time to live.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GetExpiry {
    /// Nothing.
    #[default]
    Keep,
    /// The key does not expire any more (PERSIST).
    Persist,
    /// EX, PX, EXAT, PXAT.
    Expire(Expire),
}

pub(crate) fn check_string(bytes: u64) -> Result<()> {
    if bytes <= STRING_BYTES_MAX {
        return Ok(());
    }
    Err(KeyValueError::ValueTooLarge {
        what: "string",
        limit: STRING_BYTES_MAX,
    })
}

fn chunk_key(elements: &Elements, number: u64) -> tessera_storage::Key {
    // At most 512 MB / 8 KiB.
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    elements.key(ElementKind::Chunk, &[&number.to_be_bytes()])
}

/// Resolves the bounds of GETRANGE and BITCOUNT, negative ones from the end, to `start..end`.
pub(crate) fn resolve_range(start: i64, end: i64, length: u64) -> Option<(u64, u64)> {
    // As in Redis: nothing, even where both would be moved to the first byte.
    if start < 0 && end < 0 && start > end {
        return None;
    }
    clamp_range(start, end, length)
}

/// The same for BITPOS: bounds before the first byte are moved to it.
pub(crate) fn clamp_range(start: i64, end: i64, length: u64) -> Option<(u64, u64)> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let from_end = |at: i64| {
        if at < 0 {
            length.saturating_add(at)
        } else {
            at
        }
    };
    let start = from_end(start).max(0);
    let end = from_end(end).max(0).min(length - 1);
    if start > end || length == 0 {
        return None;
    }
    Some((u64::try_from(start).ok()?, u64::try_from(end).ok()? + 1))
}

impl Reader<'_> {
    /// GET. Costs one look into the store for small strings.
    pub async fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        match self.typed(key, ValueType::String).await? {
            Some(record) => Ok(Some(self.string_of(&record).await?)),
            None => Ok(None),
        }
    }

    /// MGET: a key of another type counts as absent.
    pub async fn mget<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Bytes>>> {
        let mut values = Vec::with_capacity(keys.len());
        for key in keys {
            values.push(match self.get(key.as_ref()).await {
                Err(KeyValueError::WrongType) => None,
                other => other?,
            });
        }
        Ok(values)
    }

    /// STRLEN, in bytes; 0 for no key.
    pub async fn strlen(&self, key: &[u8]) -> Result<u64> {
        let record = self.typed(key, ValueType::String).await?;
        Ok(record.map_or(0, |record| record.body.bytes()))
    }

    /// GETRANGE (SUBSTR): from byte `start` to byte `end`, both included, negative ones from the
    /// end. Reads the chunks concerned only.
    pub async fn getrange(&self, key: &[u8], start: i64, end: i64) -> Result<Bytes> {
        let Some(record) = self.typed(key, ValueType::String).await? else {
            return Ok(Bytes::new());
        };
        match resolve_range(start, end, record.body.bytes()) {
            Some((start, end)) => self.string_part(&record, start, end).await,
            None => Ok(Bytes::new()),
        }
    }

    /// All of a string.
    pub(crate) async fn string_of(&self, record: &Record) -> Result<Bytes> {
        match &record.body {
            Body::Small(value) => Ok(value.clone()),
            body => self.string_part(record, 0, body.bytes()).await,
        }
    }

    /// The bytes `start..end` of a string; `end` is at most its length.
    pub(crate) async fn string_part(&self, record: &Record, start: u64, end: u64) -> Result<Bytes> {
        if let Body::Small(value) = &record.body {
            let bound = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(value.len());
            return Ok(value.slice(bound(start)..bound(end).max(bound(start))));
        }
        let chunk_bytes = CHUNK_BYTES as u64;
        // Bounded by STRING_BYTES_MAX.
        let mut out = vec![0; usize::try_from(end.saturating_sub(start)).unwrap_or(0)];
        if out.is_empty() {
            return Ok(Bytes::new());
        }
        let elements = self.elements(record);
        let (first, last) = (start / chunk_bytes, (end - 1) / chunk_bytes);
        let range = tessera_storage::KeyRange {
            start: std::ops::Bound::Included(chunk_key(&elements, first)),
            end: std::ops::Bound::Included(chunk_key(&elements, last)),
        };
        let mut rows = self.rows(range, Walk::ALL);
        while let Some((key, chunk)) = rows.next().await? {
            let number: [u8; 4] = suffix(&key)[..]
                .try_into()
                .map_err(|_| malformed("chunk of a string"))?;
            let at = u64::from(u32::from_be_bytes(number)) * chunk_bytes;
            // Where the chunk meets the part that is asked for.
            let from = at.max(start);
            let until = (at + chunk.len() as u64).min(end);
            if from < until {
                let (from_out, until_out) = ((from - start) as usize, (until - start) as usize);
                let (from_in, until_in) = ((from - at) as usize, (until - at) as usize);
                out[from_out..until_out].copy_from_slice(&chunk[from_in..until_in]);
            }
        }
        Ok(Bytes::from(out))
    }
}

impl Writer<'_> {
    /// SET, and with its options SETNX, SETEX, PSETEX, GETSET.
    pub async fn set(&self, key: &[u8], value: &[u8], options: SetOptions) -> Result<SetOutcome> {
        check_string(value.len() as u64)?;
        let expires = match options.expiry {
            SetExpiry::Expire(expire) => Some(expire.positive_moment(self.now)?),
            SetExpiry::Clear | SetExpiry::Keep => None,
        };
        let mut locked = self.lock(key).await?;
        let living = self.living(&locked);
        let previous = match (&living, options.get) {
            (Some(record), true) if record.body.value_type() != ValueType::String => {
                return Err(KeyValueError::WrongType);
            }
            (Some(record), true) => Some(self.reader().string_of(record).await?),
            _ => None,
        };
        let is_set = match options.condition {
            SetCondition::Always => true,
            SetCondition::IfAbsent => living.is_none(),
            SetCondition::IfPresent => living.is_some(),
        };
        if is_set {
            let expires = match (options.expiry, &living) {
                (SetExpiry::Keep, Some(record)) => record.expires,
                _ => expires,
            };
            // A moment that has passed: the key is set and gone at once.
            if expires.is_some_and(|expires| expires <= self.now) {
                self.remove(&mut locked).await?;
            } else {
                self.put_string(&mut locked, value, expires).await?;
            }
        }
        Ok(SetOutcome { is_set, previous })
    }

    /// Gives a locked key a whole new string.
    pub(crate) async fn put_string(
        &self,
        locked: &mut Locked,
        value: &[u8],
        expires: Option<UnixMillis>,
    ) -> Result<()> {
        if value.len() <= SMALL_BYTES_MAX {
            let record = Record {
                expires,
                generation: Record::NO_GENERATION,
                body: Body::Small(Bytes::copy_from_slice(value)),
            };
            return self.store(locked, record).await;
        }
        let bytes = value.len() as u64;
        let mut record = self.fresh(Body::Large { bytes });
        record.expires = expires;
        let elements = self.elements(&record);
        for (number, chunk) in value.chunks(CHUNK_BYTES).enumerate() {
            let key = chunk_key(&elements, number as u64);
            self.put(key, Val::copy_from_slice(chunk))?;
        }
        self.store(locked, record).await
    }

    /// MSET. Of a key given twice, the last value counts.
    pub async fn mset<K: AsRef<[u8]>, V: AsRef<[u8]>>(&self, pairs: &[(K, V)]) -> Result<()> {
        for (_, value) in pairs {
            check_string(value.as_ref().len() as u64)?;
        }
        // In the order of keys, and what stands later of equal keys later.
        let mut sorted: Vec<&(K, V)> = pairs.iter().collect();
        sorted.sort_by(|a, b| a.0.as_ref().cmp(b.0.as_ref()));
        for (key, value) in sorted {
            let mut locked = self.lock(key.as_ref()).await?;
            self.put_string(&mut locked, value.as_ref(), None).await?;
        }
        Ok(())
    }

    /// MSETNX: all or none; whether they were set.
    pub async fn msetnx<K: AsRef<[u8]>, V: AsRef<[u8]>>(&self, pairs: &[(K, V)]) -> Result<bool> {
        let keys: Vec<&[u8]> = pairs.iter().map(|(key, _)| key.as_ref()).collect();
        self.lock_all(&keys).await?;
        let reader = self.reader();
        for key in keys {
            if reader.record(key).await?.is_some() {
                return Ok(false);
            }
        }
        self.mset(pairs).await?;
        Ok(true)
    }

    /// GETDEL: the value, which is gone then.
    pub async fn getdel(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let mut locked = self.lock(key).await?;
        let Some(record) = self.typed(&locked, ValueType::String)? else {
            return Ok(None);
        };
        let value = self.reader().string_of(&record).await?;
        self.remove(&mut locked).await?;
        Ok(Some(value))
    }

    /// GETEX: the value, whose time to live is changed.
    pub async fn getex(&self, key: &[u8], expiry: GetExpiry) -> Result<Option<Bytes>> {
        let expires = match expiry {
            GetExpiry::Expire(expire) => Some(expire.positive_moment(self.now)?),
            GetExpiry::Keep | GetExpiry::Persist => None,
        };
        let mut locked = self.lock(key).await?;
        let Some(mut record) = self.typed(&locked, ValueType::String)? else {
            return Ok(None);
        };
        let value = self.reader().string_of(&record).await?;
        match expiry {
            GetExpiry::Keep => return Ok(Some(value)),
            GetExpiry::Expire(_) if expires <= Some(self.now) => {
                self.remove(&mut locked).await?;
                return Ok(Some(value));
            }
            GetExpiry::Persist | GetExpiry::Expire(_) => record.expires = expires,
        }
        self.store(&mut locked, record).await?;
        Ok(Some(value))
    }

    /// APPEND: the new length in bytes. Touches the last chunk and those added.
    pub async fn append(&self, key: &[u8], value: &[u8]) -> Result<u64> {
        let mut locked = self.lock(key).await?;
        let record = self.typed(&locked, ValueType::String)?;
        let length = record.as_ref().map_or(0, |record| record.body.bytes());
        self.write_at(&mut locked, record, length, value).await
    }

    /// SETRANGE: overwrites from byte `offset` on, with zeros in a gap; the new length in bytes.
    /// An empty value changes nothing and makes no key.
    pub async fn setrange(&self, key: &[u8], offset: u64, value: &[u8]) -> Result<u64> {
        let mut locked = self.lock(key).await?;
        let record = self.typed(&locked, ValueType::String)?;
        if value.is_empty() {
            return Ok(record.map_or(0, |record| record.body.bytes()));
        }
        self.write_at(&mut locked, record, offset, value).await
    }

    /// Overwrites a part of a string, which grows as needed; its new length. `record` is the living
    /// record of the locked key, whose time to live is kept.
    pub(crate) async fn write_at(
        &self,
        locked: &mut Locked,
        record: Option<Record>,
        offset: u64,
        value: &[u8],
    ) -> Result<u64> {
        let end = offset.saturating_add(value.len() as u64);
        let old_bytes = record.as_ref().map_or(0, |record| record.body.bytes());
        let new_bytes = old_bytes.max(end);
        check_string(new_bytes)?;
        let mut record = record.unwrap_or_else(|| self.fresh(Body::Small(Bytes::new())));
        if let Body::Small(old) = &record.body {
            // At most 512 MB.
            let (offset, new_length) = (offset as usize, new_bytes as usize);
            if new_length <= SMALL_BYTES_MAX {
                let mut new = Vec::with_capacity(new_length);
                new.extend_from_slice(old);
                new.resize(new_length, 0);
                new[offset..offset + value.len()].copy_from_slice(value);
                record.body = Body::Small(Bytes::from(new));
                self.store(locked, record).await?;
                return Ok(new_bytes);
            }
            // From now on in chunks; the first one holds all there was.
            let old = old.clone();
            let expires = record.expires;
            record = self.fresh(Body::Large { bytes: old_bytes });
            record.expires = expires;
            if !old.is_empty() {
                self.put(chunk_key(&self.elements(&record), 0), old)?;
            }
        }
        self.write_chunks(&record, offset, value).await?;
        record.body = Body::Large { bytes: new_bytes };
        self.store(locked, record).await?;
        Ok(new_bytes)
    }

    /// Writes a part of a string that lies in chunks.
    pub(crate) async fn write_chunks(
        &self,
        record: &Record,
        offset: u64,
        value: &[u8],
    ) -> Result<()> {
        let elements = self.elements(record);
        let chunk_bytes = CHUNK_BYTES as u64;
        let mut offset = offset;
        let mut rest = value;
        while !rest.is_empty() {
            let within = (offset % chunk_bytes) as usize;
            let (part, tail) = rest.split_at(rest.len().min(CHUNK_BYTES - within));
            let key = chunk_key(&elements, offset / chunk_bytes);
            let chunk = if part.len() == CHUNK_BYTES {
                Val::copy_from_slice(part)
            } else {
                let old = self.element(&key).await?.unwrap_or_default();
                let end = within + part.len();
                let mut chunk = Vec::with_capacity(old.len().max(end));
                chunk.extend_from_slice(&old);
                if chunk.len() < end {
                    chunk.resize(end, 0);
                }
                chunk[within..end].copy_from_slice(part);
                Val::from(chunk)
            };
            self.put(key, chunk)?;
            offset += part.len() as u64;
            rest = tail;
        }
        Ok(())
    }
}
