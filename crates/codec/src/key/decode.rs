//! Key bytes back to values.

use tessera_types::{ArrayValue, Decimal, Interval, SqlType, Value};

use super::{ARRAY_END, ESCAPED_ZERO, Order, STRING_END, TAG_NULL_FIRST, TAG_NULL_LAST, TAG_VALUE};
use super::{document, number};
use crate::CodecError;

const MICROS_PER_DAY: i128 = 86_400_000_000;

/// Bytes still to be read, inverted where the column is descending.
pub(super) struct Input<'a> {
    rest: &'a [u8],
    mask: u8,
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8], descending: bool) -> Input<'a> {
        Input {
            rest: bytes,
            mask: if descending { u8::MAX } else { 0 },
        }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn byte(&mut self) -> Result<u8, CodecError> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(CodecError::Truncated { what: "key" })?;
        self.rest = rest;
        Ok(head.map(|byte| byte ^ self.mask))
    }

    pub(super) fn bytes(&mut self) -> Result<Vec<u8>, CodecError> {
        let mut out = Vec::new();
        loop {
            let zero = self.mask;
            let run = self
                .rest
                .iter()
                .position(|byte| *byte == zero)
                .ok_or(CodecError::Truncated { what: "key" })?;
            out.extend(self.rest[..run].iter().map(|byte| byte ^ self.mask));
            self.rest = &self.rest[run + 1..];
            match self.byte()? {
                STRING_END => return Ok(out),
                ESCAPED_ZERO => out.push(0),
                _ => return Err(CodecError::Malformed { what: "key" }),
            }
        }
    }

    pub(super) fn string(&mut self) -> Result<String, CodecError> {
        String::from_utf8(self.bytes()?).map_err(|_| CodecError::Malformed {
            what: "text in a key",
        })
    }
}

pub(super) fn body(ty: &SqlType, input: &mut Input<'_>) -> Result<Value, CodecError> {
    Ok(match ty {
        SqlType::Boolean => Value::Boolean(input.byte()? != 0),
        SqlType::SmallInt => Value::SmallInt(i16::from_be_bytes(input.take()?) ^ i16::MIN),
        SqlType::Integer => Value::Integer(i32::from_be_bytes(input.take()?) ^ i32::MIN),
        SqlType::BigInt => Value::BigInt(wide(input)?),
        SqlType::Real => Value::Real(number::real_from_bits(u32::from_be_bytes(input.take()?))),
        SqlType::Double => {
            Value::Double(number::double_from_bits(u64::from_be_bytes(input.take()?)))
        }
        SqlType::Numeric(modifier) => Value::Numeric(decimal(*modifier, input)?),
        SqlType::Bytea => Value::Bytea(input.bytes()?.into()),
        SqlType::Date => Value::Date(i32::from_be_bytes(input.take()?) ^ i32::MIN),
        SqlType::Time => Value::Time(wide(input)?),
        SqlType::Timestamp => Value::Timestamp(wide(input)?),
        SqlType::TimestampTz => Value::TimestampTz(wide(input)?),
        SqlType::Interval => Value::Interval(interval(input)?),
        SqlType::Uuid => Value::Uuid(input.take()?),
        SqlType::Json | SqlType::Jsonb => Value::Json(document::decode(input)?),
        SqlType::Array(element) => Value::Array(Box::new(array(element, input)?)),
        SqlType::Void | SqlType::Record => return Err(CodecError::Malformed { what: "key" }),
        ty if ty.is_oid_like() => Value::Oid(u32::from_be_bytes(input.take()?)),
        // All character types.
        _ => Value::Text(input.string()?.into()),
    })
}

fn wide(input: &mut Input<'_>) -> Result<i64, CodecError> {
    Ok(i64::from_be_bytes(input.take()?) ^ i64::MIN)
}

fn decimal(modifier: Option<(u8, u8)>, input: &mut Input<'_>) -> Result<Decimal, CodecError> {
    const MALFORMED: CodecError = CodecError::Malformed {
        what: "number in a key",
    };
    let number: Decimal = number::decode_text(input)?.parse().map_err(|_| MALFORMED)?;
    match modifier {
        Some((_, scale)) => number.rescale(scale).ok_or(MALFORMED),
        None => Ok(number),
    }
}

/// An interval of the same length: days and time, months only where days alone do not fit.
fn interval(input: &mut Input<'_>) -> Result<Interval, CodecError> {
    const MALFORMED: CodecError = CodecError::Malformed {
        what: "interval in a key",
    };
    let total = i128::from_be_bytes(input.take()?) ^ i128::MIN;
    let days = total / MICROS_PER_DAY;
    let months = match i32::try_from(days) {
        Ok(_) => 0,
        Err(_) => (days / 30).clamp(i128::from(i32::MIN), i128::from(i32::MAX)),
    };
    let left = total - months * 30 * MICROS_PER_DAY;
    let days = (left / MICROS_PER_DAY).clamp(i128::from(i32::MIN), i128::from(i32::MAX));
    Ok(Interval {
        months: i32::try_from(months).map_err(|_| MALFORMED)?,
        days: i32::try_from(days).map_err(|_| MALFORMED)?,
        micros: i64::try_from(left - days * MICROS_PER_DAY).map_err(|_| MALFORMED)?,
    })
}

fn array(element: &SqlType, input: &mut Input<'_>) -> Result<ArrayValue, CodecError> {
    const MALFORMED: CodecError = CodecError::Malformed {
        what: "array in a key",
    };
    let mut elements = Vec::new();
    loop {
        match input.byte()? {
            // NULLs of arrays are always last, so a zero is the end.
            ARRAY_END => break,
            TAG_NULL_LAST => elements.push(Value::Null),
            TAG_VALUE => elements.push(body(element, input)?),
            _ => return Err(MALFORMED),
        }
    }
    const { assert!(ARRAY_END == TAG_NULL_FIRST && !Order::ASCENDING.nulls_first) };
    let count = usize::from(input.byte()?);
    if count > ArrayValue::DIMENSIONS_MAX {
        return Err(MALFORMED);
    }
    let mut dimensions = Vec::with_capacity(count);
    let mut total: usize = if count == 0 { 0 } else { 1 };
    for _ in 0..count {
        let length = i32::from_be_bytes(input.take()?) ^ i32::MIN;
        let lower = i32::from_be_bytes(input.take()?) ^ i32::MIN;
        let length_wide = usize::try_from(length).map_err(|_| MALFORMED)?;
        total = total.checked_mul(length_wide).ok_or(MALFORMED)?;
        dimensions.push((length, lower));
    }
    if total != elements.len() {
        return Err(MALFORMED);
    }
    Ok(ArrayValue {
        element: element.clone(),
        dimensions,
        elements,
    })
}
