//! One value as bytes, without order: what the columns of rows hold.
//!
//! Fixed types have a fixed width (little-endian); the length of the others comes from outside.

use tessera_types::{ArrayRef, ArrayValue, Decimal, Interval, SqlType, Value, ValueRef};

use crate::CodecError;
use crate::varint::{read_varint, write_varint};

/// `numeric(p, s)` with at most this many digits is kept in 64 bits, its scale in the type.
const SHORT_NUMERIC_DIGITS: u8 = 18;

/// Bytes of a fixed type; None when values vary in length.
pub(crate) fn width(ty: &SqlType) -> Option<usize> {
    Some(match ty {
        SqlType::Boolean => 1,
        SqlType::SmallInt => 2,
        SqlType::Integer | SqlType::Real | SqlType::Date => 4,
        SqlType::BigInt
        | SqlType::Double
        | SqlType::Time
        | SqlType::Timestamp
        | SqlType::TimestampTz => 8,
        SqlType::Numeric(Some((precision, _))) if *precision <= SHORT_NUMERIC_DIGITS => 8,
        SqlType::Interval | SqlType::Uuid => 16,
        ty if ty.is_oid_like() => 4,
        _ => return None,
    })
}

/// Appends a value of the type; false when the value has another type (nothing is appended then).
pub(crate) fn write(ty: &SqlType, value: &Value, out: &mut Vec<u8>) -> bool {
    match (ty, value) {
        (SqlType::Boolean, Value::Boolean(v)) => out.push(u8::from(*v)),
        (SqlType::SmallInt, Value::SmallInt(v)) => out.extend_from_slice(&v.to_le_bytes()),
        (SqlType::Integer, Value::Integer(v)) | (SqlType::Date, Value::Date(v)) => {
            out.extend_from_slice(&v.to_le_bytes());
        }
        (SqlType::BigInt, Value::BigInt(v))
        | (SqlType::Time, Value::Time(v))
        | (SqlType::Timestamp, Value::Timestamp(v))
        | (SqlType::TimestampTz, Value::TimestampTz(v)) => out.extend_from_slice(&v.to_le_bytes()),
        (SqlType::Real, Value::Real(v)) => out.extend_from_slice(&v.to_le_bytes()),
        (SqlType::Double, Value::Double(v)) => out.extend_from_slice(&v.to_le_bytes()),
        (SqlType::Numeric(Some((precision, scale))), Value::Numeric(v))
            if *precision <= SHORT_NUMERIC_DIGITS =>
        {
            let short = v
                .rescale(*scale)
                .and_then(|v| i64::try_from(v.unscaled).ok());
            let Some(short) = short else { return false };
            out.extend_from_slice(&short.to_le_bytes());
        }
        (SqlType::Numeric(_), Value::Numeric(v)) => {
            out.push(v.scale);
            let bytes = v.unscaled.to_be_bytes();
            // Sign bytes that say nothing are left out.
            let fill = if v.unscaled < 0 { 0xff } else { 0 };
            let start = (0..15)
                .take_while(|&i| bytes[i] == fill && (bytes[i + 1] ^ fill) < 0x80)
                .count();
            out.extend_from_slice(&bytes[start..]);
        }
        (SqlType::Bytea, Value::Bytea(v)) => out.extend_from_slice(v),
        (SqlType::Interval, Value::Interval(v)) => {
            out.extend_from_slice(&v.micros.to_le_bytes());
            out.extend_from_slice(&v.days.to_le_bytes());
            out.extend_from_slice(&v.months.to_le_bytes());
        }
        (SqlType::Uuid, Value::Uuid(v)) => out.extend_from_slice(v),
        (SqlType::Json | SqlType::Jsonb, Value::Json(v)) => out.extend_from_slice(v.as_bytes()),
        (SqlType::Array(element), Value::Array(array)) => return write_array(element, array, out),
        (ty, Value::Oid(v)) if ty.is_oid_like() => out.extend_from_slice(&v.to_le_bytes()),
        (ty, Value::Text(v)) if ty.is_character() => out.extend_from_slice(v.as_bytes()),
        _ => return false,
    }
    true
}

/// Reads a value of the type from all of `bytes`.
pub(crate) fn read<'a>(ty: &SqlType, bytes: &'a [u8]) -> Result<ValueRef<'a>, CodecError> {
    Ok(match ty {
        SqlType::Boolean => ValueRef::Boolean(fixed::<1>(bytes)?[0] != 0),
        SqlType::SmallInt => ValueRef::SmallInt(i16::from_le_bytes(fixed(bytes)?)),
        SqlType::Integer => ValueRef::Integer(i32::from_le_bytes(fixed(bytes)?)),
        SqlType::Date => ValueRef::Date(i32::from_le_bytes(fixed(bytes)?)),
        SqlType::BigInt => ValueRef::BigInt(i64::from_le_bytes(fixed(bytes)?)),
        SqlType::Time => ValueRef::Time(i64::from_le_bytes(fixed(bytes)?)),
        SqlType::Timestamp => ValueRef::Timestamp(i64::from_le_bytes(fixed(bytes)?)),
        SqlType::TimestampTz => ValueRef::TimestampTz(i64::from_le_bytes(fixed(bytes)?)),
        SqlType::Real => ValueRef::Real(f32::from_le_bytes(fixed(bytes)?)),
        SqlType::Double => ValueRef::Double(f64::from_le_bytes(fixed(bytes)?)),
        SqlType::Numeric(Some((precision, scale))) if *precision <= SHORT_NUMERIC_DIGITS => {
            let unscaled = i128::from(i64::from_le_bytes(fixed(bytes)?));
            ValueRef::Numeric(Decimal {
                unscaled,
                scale: *scale,
            })
        }
        SqlType::Numeric(_) => ValueRef::Numeric(read_numeric(bytes)?),
        SqlType::Bytea => ValueRef::Bytea(bytes),
        SqlType::Interval => {
            let bytes: [u8; 16] = fixed(bytes)?;
            let part =
                |from: usize| -> Result<[u8; 4], CodecError> { fixed(&bytes[from..from + 4]) };
            ValueRef::Interval(Interval {
                micros: i64::from_le_bytes(fixed(&bytes[..8])?),
                days: i32::from_le_bytes(part(8)?),
                months: i32::from_le_bytes(part(12)?),
            })
        }
        SqlType::Uuid => ValueRef::Uuid(fixed(bytes)?),
        SqlType::Json | SqlType::Jsonb => ValueRef::Json(utf8(bytes)?),
        SqlType::Array(element) => {
            ValueRef::Array(ArrayRef::Owned(Box::new(read_array(element, bytes)?)))
        }
        SqlType::Void | SqlType::Record => {
            return Err(CodecError::Malformed {
                what: "column type",
            });
        }
        ty if ty.is_oid_like() => ValueRef::Oid(u32::from_le_bytes(fixed(bytes)?)),
        // All character types.
        _ => ValueRef::Text(utf8(bytes)?),
    })
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], CodecError> {
    bytes.try_into().map_err(|_| CodecError::Malformed {
        what: "column of fixed width",
    })
}

fn utf8(bytes: &[u8]) -> Result<&str, CodecError> {
    std::str::from_utf8(bytes).map_err(|_| CodecError::Malformed {
        what: "text column",
    })
}

fn read_numeric(bytes: &[u8]) -> Result<Decimal, CodecError> {
    const MALFORMED: CodecError = CodecError::Malformed {
        what: "numeric column",
    };
    let (scale, digits) = bytes.split_first().ok_or(MALFORMED)?;
    let first = *digits.first().ok_or(MALFORMED)?;
    let missing = 16usize.checked_sub(digits.len()).ok_or(MALFORMED)?;
    let mut wide = [if first >= 0x80 { 0xff } else { 0 }; 16];
    wide[missing..].copy_from_slice(digits);
    Decimal::new(i128::from_be_bytes(wide), *scale).ok_or(MALFORMED)
}

/// Dimensions (count, then length and lower bound), then per element its length + 1, or 0 for NULL.
fn write_array(element: &SqlType, array: &ArrayValue, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    // At most six dimensions.
    out.push(u8::try_from(array.dimensions.len()).unwrap_or(u8::MAX));
    for (length, lower) in &array.dimensions {
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&lower.to_le_bytes());
    }
    let mut body = Vec::new();
    for value in &array.elements {
        if value.is_null() {
            write_varint(0, out);
            continue;
        }
        body.clear();
        if !write(element, value, &mut body) {
            out.truncate(start);
            return false;
        }
        write_varint(body.len() as u64 + 1, out);
        out.extend_from_slice(&body);
    }
    true
}

fn read_array(element: &SqlType, bytes: &[u8]) -> Result<ArrayValue, CodecError> {
    const MALFORMED: CodecError = CodecError::Malformed {
        what: "array column",
    };
    let (count, mut rest) = bytes.split_first().ok_or(MALFORMED)?;
    if usize::from(*count) > ArrayValue::DIMENSIONS_MAX {
        return Err(MALFORMED);
    }
    let mut dimensions = Vec::with_capacity(usize::from(*count));
    let mut total: usize = usize::from(*count > 0);
    for _ in 0..*count {
        let (pair, tail) = rest.split_first_chunk::<8>().ok_or(MALFORMED)?;
        rest = tail;
        let length = i32::from_le_bytes(fixed(&pair[..4])?);
        let lower = i32::from_le_bytes(fixed(&pair[4..])?);
        total = total
            .checked_mul(usize::try_from(length).map_err(|_| MALFORMED)?)
            .ok_or(MALFORMED)?;
        dimensions.push((length, lower));
    }
    // Every element takes a byte at least.
    if total > rest.len() {
        return Err(MALFORMED);
    }
    let mut elements = Vec::with_capacity(total);
    for _ in 0..total {
        match read_varint(&mut rest).ok_or(MALFORMED)? {
            0 => elements.push(Value::Null),
            length => {
                let length = usize::try_from(length - 1).map_err(|_| MALFORMED)?;
                let (head, tail) = rest.split_at_checked(length).ok_or(MALFORMED)?;
                elements.push(read(element, head)?.to_owned());
                rest = tail;
            }
        }
    }
    if !rest.is_empty() {
        return Err(MALFORMED);
    }
    Ok(ArrayValue {
        element: element.clone(),
        dimensions,
        elements,
    })
}
