//! Strings as bits: SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP. <https://redis.io/commands/?group=bitmap>
//!
//! Bit 0 is the highest bit of the first byte. Long strings are read in windows, so that memory is
//! bounded whatever their length.

use bytes::Bytes;

use crate::error::{KeyValueError, Result};
use crate::layout::STRING_BYTES_MAX;
use crate::reader::Reader;
use crate::record::{Body, Record, ValueType};
use crate::strings::{check_string, clamp_range, resolve_range};
use crate::writer::Writer;

/// Bytes of a string that are looked at at once.
const WINDOW_BYTES: u64 = 256 * 1024;

/// The unit of a range's bounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BitUnit {
    /// Bytes.
    #[default]
    Byte,
    /// Bits.
    Bit,
}

/// A part of a string for BITCOUNT and BITPOS; bounds are included, negative ones from the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitRange {
    /// Where it begins.
    pub start: i64,
    /// Where it ends; none means at the end of the string (BITPOS without an end).
    pub end: Option<i64>,
    /// What the bounds count.
    pub unit: BitUnit,
}

/// An operation of BITOP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BitOperation {
    /// Bits that are set in all.
    And,
    /// Bits that are set in any.
    Or,
    /// Bits that are set in an odd number.
    Xor,
    /// The bits of the one source, inverted.
    Not,
}

fn check_offset(offset: u64) -> Result<()> {
    if offset < STRING_BYTES_MAX * 8 {
        return Ok(());
    }
    Err(KeyValueError::OutOfRange { what: "bit offset" })
}

/// The bit of a byte that has this offset.
fn mask(offset: u64) -> u8 {
    0x80 >> (offset % 8)
}

impl Reader<'_> {
    /// GETBIT: 0 behind the end.
    pub async fn getbit(&self, key: &[u8], offset: u64) -> Result<bool> {
        check_offset(offset)?;
        let Some(record) = self.typed(key, ValueType::String).await? else {
            return Ok(false);
        };
        let at = offset / 8;
        if at >= record.body.bytes() {
            return Ok(false);
        }
        let byte = self.string_part(&record, at, at + 1).await?;
        Ok(byte.first().is_some_and(|byte| byte & mask(offset) != 0))
    }

    /// BITCOUNT: the bits that are set.
    pub async fn bitcount(&self, key: &[u8], range: Option<BitRange>) -> Result<u64> {
        let Some(record) = self.typed(key, ValueType::String).await? else {
            return Ok(0);
        };
        let Some((start, end)) = bits_of(range, record.body.bytes(), resolve_range) else {
            return Ok(0);
        };
        let mut count = 0;
        let mut at = start / 8;
        let end_byte = end.div_ceil(8);
        while at < end_byte {
            let until = (at + WINDOW_BYTES).min(end_byte);
            let window = self.string_part(&record, at, until).await?;
            count += count_ones(&window);
            at = until;
        }
        // Bits of the first and last byte that are outside.
        if start % 8 != 0 {
            let first = self.string_part(&record, start / 8, start / 8 + 1).await?;
            let outside = first
                .first()
                .map_or(0, |byte| byte & !(0xff >> (start % 8)));
            count -= u64::from(outside.count_ones());
        }
        if end % 8 != 0 {
            let last = self.string_part(&record, end / 8, end / 8 + 1).await?;
            let outside = last.first().map_or(0, |byte| byte & (0xff >> (end % 8)));
            count -= u64::from(outside.count_ones());
        }
        Ok(count)
    }

    /// BITPOS: the first bit of that value; -1 if there is none. A string is followed by zeros,
    /// unless the range has an end.
    pub async fn bitpos(&self, key: &[u8], bit: bool, range: Option<BitRange>) -> Result<i64> {
        let Some(record) = self.typed(key, ValueType::String).await? else {
            return Ok(if bit { -1 } else { 0 });
        };
        let has_end = range.is_some_and(|range| range.end.is_some());
        let Some((start, end)) = bits_of(range, record.body.bytes(), clamp_range) else {
            return Ok(-1);
        };
        let mut at = start / 8;
        let end_byte = end.div_ceil(8);
        while at < end_byte {
            let until = (at + WINDOW_BYTES).min(end_byte);
            let window = self.string_part(&record, at, until).await?;
            let first = at * 8;
            let from = start.max(first) - first;
            let to = end.min(until * 8) - first;
            if let Some(place) = find_bit(&window, bit, from, to) {
                return Ok(i64::try_from(first + place).unwrap_or(i64::MAX));
            }
            at = until;
        }
        if bit || has_end {
            return Ok(-1);
        }
        Ok(i64::try_from(record.body.bytes() * 8).unwrap_or(i64::MAX))
    }
}

/// The range in bits, `start..end`, of a string of so many bytes.
fn bits_of(
    range: Option<BitRange>,
    bytes: u64,
    resolve: impl Fn(i64, i64, u64) -> Option<(u64, u64)>,
) -> Option<(u64, u64)> {
    let range = range.unwrap_or(BitRange {
        start: 0,
        end: None,
        unit: BitUnit::Byte,
    });
    let end = range.end.unwrap_or(-1);
    match range.unit {
        BitUnit::Byte => {
            let (start, end) = resolve(range.start, end, bytes)?;
            Some((start * 8, end * 8))
        }
        BitUnit::Bit => resolve(range.start, end, bytes * 8),
    }
}

fn count_ones(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words: u64 = words
        .iter()
        .map(|word| u64::from(u64::from_le_bytes(*word).count_ones()))
        .sum();
    words
        + rest
            .iter()
            .map(|byte| u64::from(byte.count_ones()))
            .sum::<u64>()
}

/// The first bit of that value at `from..to`.
fn find_bit(bytes: &[u8], bit: bool, from: u64, to: u64) -> Option<u64> {
    let skipped = if bit { 0 } else { 0xff };
    let mut at = from;
    while at < to {
        let byte = *bytes.get(usize::try_from(at / 8).ok()?)?;
        if at.is_multiple_of(8) && byte == skipped {
            at += 8;
            continue;
        }
        if (byte & mask(at) != 0) == bit {
            return Some(at);
        }
        at += 1;
    }
    None
}

impl Writer<'_> {
    /// SETBIT: the old bit. The string grows with zeros as needed; only the part of it around the
    /// bit is written.
    pub async fn setbit(&self, key: &[u8], offset: u64, bit: bool) -> Result<bool> {
        check_offset(offset)?;
        let mut locked = self.lock(key).await?;
        let record = self.typed(&locked, ValueType::String)?;
        let at = offset / 8;
        let old = match &record {
            Some(record) if at < record.body.bytes() => {
                let byte = self.reader().string_part(record, at, at + 1).await?;
                byte.first().copied().unwrap_or(0)
            }
            _ => 0,
        };
        let new = if bit {
            old | mask(offset)
        } else {
            old & !mask(offset)
        };
        self.write_at(&mut locked, record, at, &[new]).await?;
        Ok(old & mask(offset) != 0)
    }

    /// BITOP: the length of the result, which is that of the longest source; shorter ones end with
    /// zeros. An empty result removes `to`.
    pub async fn bitop<K: AsRef<[u8]>>(
        &self,
        operation: BitOperation,
        to: &[u8],
        keys: &[K],
    ) -> Result<u64> {
        if operation == BitOperation::Not && keys.len() != 1 {
            return Err(KeyValueError::InvalidArgument {
                what: "BITOP NOT must be called with a single source key",
            });
        }
        let mut locked = self.lock(to).await?;
        let reader = self.source_reader();
        let mut sources: Vec<Option<Record>> = Vec::with_capacity(keys.len());
        for key in keys {
            sources.push(reader.typed(key.as_ref(), ValueType::String).await?);
        }
        let length_of = |source: &Option<Record>| source.as_ref().map_or(0, |r| r.body.bytes());
        let length = sources.iter().map(length_of).max().unwrap_or(0);
        if length == 0 {
            self.remove(&mut locked).await?;
            return Ok(0);
        }
        check_string(length)?;
        // Into a new string, for the old one may be a source.
        let mut result: Option<Record> = None;
        let mut at = 0;
        while at < length {
            let until = (at + WINDOW_BYTES).min(length);
            let mut window: Option<Vec<u8>> = None;
            for source in &sources {
                let mut part = match source {
                    Some(record) => {
                        let end = record.body.bytes().min(until);
                        let start = at.min(end);
                        reader.string_part(record, start, end).await?.to_vec()
                    }
                    None => Vec::new(),
                };
                part.resize(usize::try_from(until - at).unwrap_or(0), 0);
                window = Some(match window {
                    None => part,
                    Some(sum) => combine(operation, sum, &part),
                });
            }
            let mut window = window.unwrap_or_default();
            if operation == BitOperation::Not {
                window.iter_mut().for_each(|byte| *byte = !*byte);
            }
            if length <= WINDOW_BYTES {
                self.put_string(&mut locked, &window, None).await?;
                return Ok(length);
            }
            let record = result.get_or_insert_with(|| self.fresh(Body::Large { bytes: length }));
            self.write_chunks(record, at, &window).await?;
            at = until;
        }
        if let Some(record) = result {
            self.store(&mut locked, record).await?;
        }
        Ok(length)
    }
}

fn combine(operation: BitOperation, mut sum: Vec<u8>, part: &[u8]) -> Vec<u8> {
    for (a, b) in sum.iter_mut().zip(part) {
        match operation {
            BitOperation::And => *a &= b,
            BitOperation::Or | BitOperation::Not => *a |= b,
            BitOperation::Xor => *a ^= b,
        }
    }
    sum
}

/// A part of a string as it is for bit fields: what is behind its end reads as zeros.
pub(crate) async fn padded_part(
    reader: &Reader<'_>,
    record: Option<&Record>,
    start: u64,
    end: u64,
) -> Result<Vec<u8>> {
    let part = match record {
        Some(record) => {
            let length = record.body.bytes();
            reader
                .string_part(record, start.min(length), end.min(length))
                .await?
        }
        None => Bytes::new(),
    };
    let mut part = part.to_vec();
    part.resize(usize::try_from(end - start).unwrap_or(0), 0);
    Ok(part)
}
