//! Hashes: names with values. <https://redis.io/commands/?group=hash>

use bytes::Bytes;
use tessera_storage::Val;

use crate::error::{KeyValueError, Result};
use crate::layout::{ElementKind, check_element, check_member};
use crate::names::Named;
use crate::number::{add_floats, parse_float, parse_integer};
use crate::reader::Reader;
use crate::record::{Body, Record, Tally, ValueType};
use crate::rows::Walk;
use crate::scan::ScanSpec;
use crate::writer::{Locked, Writer};

impl Reader<'_> {
    /// HGET.
    pub async fn hget(&self, key: &[u8], field: &[u8]) -> Result<Option<Bytes>> {
        let Some((elements, _)) = self.collection(key, ValueType::Hash).await? else {
            return Ok(None);
        };
        self.element(&elements.named(ElementKind::Field, field))
            .await
    }

    /// HMGET: the values in the order asked.
    pub async fn hmget<F: AsRef<[u8]>>(
        &self,
        key: &[u8],
        fields: &[F],
    ) -> Result<Vec<Option<Bytes>>> {
        let Some((elements, _)) = self.collection(key, ValueType::Hash).await? else {
            return Ok(vec![None; fields.len()]);
        };
        let keys = fields
            .iter()
            .map(|field| elements.named(ElementKind::Field, field.as_ref()));
        self.many(keys.collect()).await
    }

    /// HGETALL: fields and values, in no order that means anything.
    pub async fn hgetall(&self, key: &[u8]) -> Result<Vec<(Bytes, Bytes)>> {
        self.hash_walk(key, Walk::ALL).await
    }

    /// HKEYS.
    pub async fn hkeys(&self, key: &[u8]) -> Result<Vec<Bytes>> {
        let all = self.hash_walk(key, Walk::KEYS).await?;
        Ok(all.into_iter().map(|(field, _)| field).collect())
    }

    /// HVALS.
    pub async fn hvals(&self, key: &[u8]) -> Result<Vec<Bytes>> {
        let all = self.hash_walk(key, Walk::ALL).await?;
        Ok(all.into_iter().map(|(_, value)| value).collect())
    }

    async fn hash_walk(&self, key: &[u8], walk: Walk) -> Result<Vec<Named>> {
        match self.collection(key, ValueType::Hash).await? {
            Some((elements, _)) => self.all_named(elements, ElementKind::Field, walk).await,
            None => Ok(Vec::new()),
        }
    }

    /// HLEN.
    pub async fn hlen(&self, key: &[u8]) -> Result<u64> {
        let found = self.collection(key, ValueType::Hash).await?;
        Ok(found.map_or(0, |(_, tally)| tally.count))
    }

    /// HEXISTS.
    pub async fn hexists(&self, key: &[u8], field: &[u8]) -> Result<bool> {
        Ok(self.hget(key, field).await?.is_some())
    }

    /// HSTRLEN: bytes of the value; 0 if there is none.
    pub async fn hstrlen(&self, key: &[u8], field: &[u8]) -> Result<u64> {
        let value = self.hget(key, field).await?;
        Ok(value.map_or(0, |value| value.len() as u64))
    }

    /// HRANDFIELD: at most `count` different fields, or `-count` that may repeat; with their values.
    pub async fn hrandfield(&self, key: &[u8], count: i64) -> Result<Vec<(Bytes, Bytes)>> {
        match self.collection(key, ValueType::Hash).await? {
            Some((elements, tally)) => {
                self.random_named(elements, ElementKind::Field, tally.count, count)
                    .await
            }
            None => Ok(Vec::new()),
        }
    }

    /// HSCAN: the cursor for the next step (0 begins and 0 ends), fields and values.
    pub async fn hscan(
        &self,
        key: &[u8],
        cursor: u64,
        spec: &ScanSpec<'_>,
    ) -> Result<(u64, Vec<(Bytes, Bytes)>)> {
        match self.collection(key, ValueType::Hash).await? {
            Some((elements, _)) => {
                self.scan_named(elements, ElementKind::Field, cursor, spec)
                    .await
            }
            None => Ok((0, Vec::new())),
        }
    }
}

impl Writer<'_> {
    /// HSET, HMSET: how many fields were added. Of a field given twice, the last value counts.
    pub async fn hset<F: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        key: &[u8],
        pairs: &[(F, V)],
    ) -> Result<u64> {
        let (mut locked, mut record, mut tally) = self.lock_hash(key).await?;
        let before = tally.count;
        for (field, value) in pairs {
            self.put_field(&record, &mut tally, field.as_ref(), value.as_ref())
                .await?;
        }
        record.body = Body::Hash(tally);
        self.store_or_remove(&mut locked, record).await?;
        Ok(tally.count - before)
    }

    /// HSETNX: whether the field was absent, and is set now.
    pub async fn hsetnx(&self, key: &[u8], field: &[u8], value: &[u8]) -> Result<bool> {
        let (mut locked, mut record, mut tally) = self.lock_hash(key).await?;
        let name = self.elements(&record).named(ElementKind::Field, field);
        if tally.count > 0 && self.element(&name).await?.is_some() {
            return Ok(false);
        }
        self.put_field(&record, &mut tally, field, value).await?;
        record.body = Body::Hash(tally);
        self.store(&mut locked, record).await?;
        Ok(true)
    }

    /// HDEL: how many fields there were. An empty hash is gone.
    pub async fn hdel<F: AsRef<[u8]>>(&self, key: &[u8], fields: &[F]) -> Result<u64> {
        let (mut locked, mut record, mut tally) = self.lock_hash(key).await?;
        if tally.count == 0 {
            return Ok(0);
        }
        let elements = self.elements(&record);
        let before = tally.count;
        for field in fields {
            let field = field.as_ref();
            let name = elements.named(ElementKind::Field, field);
            if let Some(value) = self.element(&name).await? {
                tally.subtract(field.len() + value.len());
                self.delete(name)?;
            }
        }
        if tally.count < before {
            record.body = Body::Hash(tally);
            self.store_or_remove(&mut locked, record).await?;
        }
        Ok(before - tally.count)
    }

    /// HINCRBY: the new number. A field that does not exist counts from 0.
    pub async fn hincr_by(&self, key: &[u8], field: &[u8], by: i64) -> Result<i64> {
        let (mut locked, mut record, mut tally) = self.lock_hash(key).await?;
        let name = self.elements(&record).named(ElementKind::Field, field);
        let old = match self.element(&name).await? {
            Some(text) => parse_integer(&text).ok_or(KeyValueError::NotAnInteger)?,
            None => 0,
        };
        let new = old.checked_add(by).ok_or(KeyValueError::Overflow)?;
        self.put_field(&record, &mut tally, field, new.to_string().as_bytes())
            .await?;
        record.body = Body::Hash(tally);
        self.store(&mut locked, record).await?;
        Ok(new)
    }

    /// HINCRBYFLOAT: the new number as it is stored, see [`Writer::incr_by_float`].
    pub async fn hincr_by_float(&self, key: &[u8], field: &[u8], by: &[u8]) -> Result<Bytes> {
        parse_float(by).ok_or(KeyValueError::NotAFloat)?;
        let (mut locked, mut record, mut tally) = self.lock_hash(key).await?;
        let name = self.elements(&record).named(ElementKind::Field, field);
        let old = self.element(&name).await?;
        let old = old.unwrap_or_else(|| Bytes::from_static(b"0"));
        parse_float(&old).ok_or(KeyValueError::NotAFloat)?;
        let new = Bytes::from(add_floats(&old, by).ok_or(KeyValueError::NotFinite)?);
        self.put_field(&record, &mut tally, field, &new).await?;
        record.body = Body::Hash(tally);
        self.store(&mut locked, record).await?;
        Ok(new)
    }

    /// Locks a hash; a new one has no elements yet.
    async fn lock_hash(&self, key: &[u8]) -> Result<(Locked, Record, Tally)> {
        let locked = self.lock(key).await?;
        let record = self.typed(&locked, ValueType::Hash)?;
        let record = record.unwrap_or_else(|| self.fresh(Body::Hash(Tally::default())));
        let Body::Hash(tally) = record.body else {
            return Err(KeyValueError::WrongType);
        };
        Ok((locked, record, tally))
    }

    async fn put_field(
        &self,
        record: &Record,
        tally: &mut Tally,
        field: &[u8],
        value: &[u8],
    ) -> Result<()> {
        check_member(field)?;
        check_element(value)?;
        let name = self.elements(record).named(ElementKind::Field, field);
        match self.element(&name).await? {
            Some(old) => tally.replace(old.len(), value.len()),
            None => tally.add(field.len() + value.len()),
        }
        tally.note(field);
        tally.note(value);
        self.put(name, Val::copy_from_slice(value))
    }
}
