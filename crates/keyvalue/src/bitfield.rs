//! Integers of any width inside strings: BITFIELD. <https://redis.io/commands/bitfield/>

use crate::bitmap::padded_part;
use crate::error::{KeyValueError, Result};
use crate::layout::STRING_BYTES_MAX;
use crate::reader::Reader;
use crate::record::ValueType;
use crate::writer::Writer;

/// Bytes that a field may touch: 64 bits that begin anywhere within a byte.
const FIELD_BYTES_MAX: u64 = 9;

/// How an integer is kept: signed of up to 64 bits, or unsigned of up to 63.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldType {
    is_signed: bool,
    bits: u32,
}

impl FieldType {
    /// `i1` to `i64`, `u1` to `u63`.
    pub fn new(is_signed: bool, bits: u32) -> Result<FieldType> {
        let bits_max = if is_signed { 64 } else { 63 };
        if (1..=bits_max).contains(&bits) {
            return Ok(FieldType { is_signed, bits });
        }
        Err(KeyValueError::InvalidArgument {
            what: "Invalid bitfield type. Use something like i16 u8. Note that u64 is not \
                   supported but i64 is.",
        })
    }

    /// Bits that it takes; an offset written with `#` counts in these.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    fn min(&self) -> i128 {
        if self.is_signed {
            -(1 << (self.bits - 1))
        } else {
            0
        }
    }

    fn max(&self) -> i128 {
        (1 << (self.bits - u32::from(self.is_signed))) - 1
    }

    /// What is kept of a number, or none where that fails.
    fn fit(&self, value: i128, overflow: FieldOverflow) -> Option<i128> {
        if (self.min()..=self.max()).contains(&value) {
            return Some(value);
        }
        match overflow {
            FieldOverflow::Fail => None,
            FieldOverflow::Saturate => Some(value.clamp(self.min(), self.max())),
            FieldOverflow::Wrap => Some(self.wrap(value)),
        }
    }

    /// The number that the lowest bits make.
    fn wrap(&self, value: i128) -> i128 {
        let modulus = 1_i128 << self.bits;
        let low = value.rem_euclid(modulus);
        if self.is_signed && low > self.max() {
            low - modulus
        } else {
            low
        }
    }
}

/// What happens when a number does not fit (OVERFLOW).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FieldOverflow {
    /// Only the lowest bits are kept.
    #[default]
    Wrap,
    /// The nearest number that fits is kept.
    Saturate,
    /// Nothing is changed, and the answer is nothing.
    Fail,
}

/// One operation of BITFIELD; offsets are in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldOperation {
    /// GET: the number.
    Get(FieldType, u64),
    /// SET: the old number.
    Set(FieldType, u64, i64, FieldOverflow),
    /// INCRBY: the new number.
    IncrBy(FieldType, u64, i64, FieldOverflow),
}

impl FieldOperation {
    fn place(&self) -> (FieldType, u64) {
        match self {
            FieldOperation::Get(kind, offset)
            | FieldOperation::Set(kind, offset, ..)
            | FieldOperation::IncrBy(kind, offset, ..) => (*kind, *offset),
        }
    }

    /// The bytes that it touches, `start..end`.
    fn bytes(&self) -> Result<(u64, u64)> {
        let (kind, offset) = self.place();
        let end = offset.checked_add(u64::from(kind.bits));
        match end {
            Some(end) if end <= STRING_BYTES_MAX * 8 => Ok((offset / 8, end.div_ceil(8))),
            _ => Err(KeyValueError::OutOfRange { what: "bit offset" }),
        }
    }
}

fn read(bytes: &[u8], kind: FieldType, offset: u64) -> i128 {
    let shift = (offset % 8) as u32;
    let mut word: u128 = 0;
    for byte in bytes {
        word = word << 8 | u128::from(*byte);
    }
    let behind = bytes.len() as u32 * 8 - shift - kind.bits;
    // At most 72 bits, so it is positive.
    kind.wrap((word >> behind) as i128 & ((1_i128 << kind.bits) - 1))
}

fn write(bytes: &mut [u8], kind: FieldType, offset: u64, value: i128) {
    let shift = (offset % 8) as u32;
    let behind = bytes.len() as u32 * 8 - shift - kind.bits;
    let mask = ((1_u128 << kind.bits) - 1) << behind;
    let mut word: u128 = 0;
    for byte in bytes.iter() {
        word = word << 8 | u128::from(*byte);
    }
    word = (word & !mask) | ((value as u128) << behind & mask);
    for byte in bytes.iter_mut().rev() {
        *byte = word as u8;
        word >>= 8;
    }
}

impl Reader<'_> {
    /// BITFIELD_RO: the numbers; none for operations that would write.
    pub async fn bitfield(&self, key: &[u8], gets: &[FieldOperation]) -> Result<Vec<Option<i64>>> {
        let record = self.typed(key, ValueType::String).await?;
        let mut answers = Vec::with_capacity(gets.len());
        for operation in gets {
            let (start, end) = operation.bytes()?;
            let FieldOperation::Get(kind, offset) = operation else {
                return Err(KeyValueError::InvalidArgument {
                    what: "BITFIELD_RO only supports the GET subcommand",
                });
            };
            let bytes = padded_part(self, record.as_ref(), start, end).await?;
            answers.push(i64::try_from(read(&bytes, *kind, *offset)).ok());
        }
        Ok(answers)
    }
}

impl Writer<'_> {
    /// BITFIELD: one answer per operation; none where an overflow failed. Operations see what those
    /// before them did.
    pub async fn bitfield(
        &self,
        key: &[u8],
        operations: &[FieldOperation],
    ) -> Result<Vec<Option<i64>>> {
        for operation in operations {
            operation.bytes()?;
        }
        let mut locked = self.lock(key).await?;
        let mut answers = Vec::with_capacity(operations.len());
        for operation in operations {
            let (start, end) = operation.bytes()?;
            debug_assert!(end - start <= FIELD_BYTES_MAX, "a field is short");
            let record = self.typed(&locked, ValueType::String)?;
            let reader = self.reader();
            let mut bytes = padded_part(&reader, record.as_ref(), start, end).await?;
            let (kind, offset) = operation.place();
            let old = read(&bytes, kind, offset);
            let (new, answer) = match operation {
                FieldOperation::Get(..) => (None, Some(old)),
                FieldOperation::Set(_, _, value, overflow) => {
                    let new = kind.fit(i128::from(*value), *overflow);
                    (new, new.map(|_| old))
                }
                FieldOperation::IncrBy(_, _, by, overflow) => {
                    let new = kind.fit(old + i128::from(*by), *overflow);
                    (new, new)
                }
            };
            if let Some(new) = new {
                write(&mut bytes, kind, offset, new);
                self.write_at(&mut locked, record, start, &bytes).await?;
            }
            answers.push(answer.and_then(|answer| i64::try_from(answer).ok()));
        }
        Ok(answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_they_were_written() {
        for bits in 1..=64 {
            for is_signed in [false, true] {
                let Ok(kind) = FieldType::new(is_signed, bits) else {
                    continue;
                };
                for offset in 0..8 {
                    for value in [kind.min(), kind.max(), 0, 1.min(kind.max())] {
                        let length = (offset + u64::from(bits)).div_ceil(8) as usize;
                        let mut bytes = vec![0xa5; length];
                        let before = bytes.clone();
                        write(&mut bytes, kind, offset, value);
                        assert_eq!(read(&bytes, kind, offset), value, "{kind:?} {offset}");
                        write(&mut bytes, kind, offset, read(&before, kind, offset));
                        assert_eq!(bytes, before, "nothing else is touched");
                    }
                }
            }
        }
    }

    #[test]
    fn overflows_wrap_saturate_or_fail() {
        let u8 = FieldType::new(false, 8).expect("a type");
        let i8 = FieldType::new(true, 8).expect("a type");
        assert_eq!(u8.fit(256, FieldOverflow::Wrap), Some(0));
        assert_eq!(u8.fit(-1, FieldOverflow::Wrap), Some(255));
        assert_eq!(i8.fit(128, FieldOverflow::Wrap), Some(-128));
        assert_eq!(i8.fit(-129, FieldOverflow::Saturate), Some(-128));
        assert_eq!(u8.fit(-1, FieldOverflow::Saturate), Some(0));
        assert_eq!(i8.fit(300, FieldOverflow::Fail), None);
        assert!(FieldType::new(false, 64).is_err());
        assert!(FieldType::new(true, 0).is_err());
    }
}
