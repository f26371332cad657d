//! Strings that are numbers: INCR, DECR, INCRBYFLOAT.

use bytes::Bytes;

use crate::error::{KeyValueError, Result};
use crate::number::{add_floats, parse_float, parse_integer};
use crate::record::{Body, ValueType};
use crate::strings::SMALL_BYTES_MAX;
use crate::writer::Writer;

impl Writer<'_> {
    /// INCRBY (INCR, DECR, DECRBY): the new number. A key that does not exist counts from 0; the
    /// time to live is kept. DECRBY by the smallest number is an overflow; the caller negates.
    pub async fn incr_by(&self, key: &[u8], by: i64) -> Result<i64> {
        let mut locked = self.lock(key).await?;
        let record = self.typed(&locked, ValueType::String)?;
        let old = match record.as_ref().map(|record| &record.body) {
            None => 0,
            Some(Body::Small(text)) => parse_integer(text).ok_or(KeyValueError::NotAnInteger)?,
            Some(_) => return Err(KeyValueError::NotAnInteger),
        };
        let new = old.checked_add(by).ok_or(KeyValueError::Overflow)?;
        let mut record = record.unwrap_or_else(|| self.fresh(Body::Small(Bytes::new())));
        record.body = Body::Small(Bytes::from(new.to_string()));
        self.store(&mut locked, record).await?;
        Ok(new)
    }

    /// INCRBYFLOAT: the new number as it is stored, at most 17 digits behind the point and without
    /// an exponent.
    pub async fn incr_by_float(&self, key: &[u8], by: &[u8]) -> Result<Bytes> {
        parse_float(by).ok_or(KeyValueError::NotAFloat)?;
        let mut locked = self.lock(key).await?;
        let record = self.typed(&locked, ValueType::String)?;
        let old = match record.as_ref().map(|record| &record.body) {
            None => Bytes::from_static(b"0"),
            Some(Body::Small(text)) => text.clone(),
            Some(_) => return Err(KeyValueError::NotAFloat),
        };
        parse_float(&old).ok_or(KeyValueError::NotAFloat)?;
        let new = add_floats(&old, by).ok_or(KeyValueError::NotFinite)?;
        let new = Bytes::from(new);
        debug_assert!(new.len() <= SMALL_BYTES_MAX, "a number is short");
        let mut record = record.unwrap_or_else(|| self.fresh(Body::Small(Bytes::new())));
        record.body = Body::Small(new.clone());
        self.store(&mut locked, record).await?;
        Ok(new)
    }
}
