//! Values to bytes whose order is the order of the values.
//!
//! Each column is a tag (NULL or value) and, for a value, a body that no other body of its type has as
//! a prefix. `DESC` inverts the body's bytes; the tag alone decides where NULLs go.
//! The formats are tabulated in `docs/internals/row-format.md`.

mod decode;
mod document;
mod json;
mod number;

use tessera_types::{SqlType, Value, ValueRef};

use crate::CodecError;

pub use json::{encode_json, kind_end, kind_start};

const TAG_NULL_FIRST: u8 = 0;
const TAG_VALUE: u8 = 1;
const TAG_NULL_LAST: u8 = 2;

/// In any order of a column, its values (and no NULLs) lie in `[VALUES_START, VALUES_END)`: an open
/// range such as `x > 5` ends there.
pub const VALUES_START: u8 = TAG_VALUE;
/// See [`VALUES_START`].
pub const VALUES_END: u8 = TAG_NULL_LAST;

/// In byte strings a zero byte is followed by this one, so that the end mark sorts before it.
const ESCAPED_ZERO: u8 = 0xff;
/// Ends a byte string, after a zero byte.
const STRING_END: u8 = 0x01;

/// Ends the elements of an array; sorts before any element.
const ARRAY_END: u8 = 0;

/// How one column of a key is ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Order {
    /// Largest first.
    pub descending: bool,
    /// NULL before everything else, whatever the direction.
    pub nulls_first: bool,
}

impl Order {
    /// `ASC NULLS LAST`, the default.
    pub const ASCENDING: Order = Order {
        descending: false,
        nulls_first: false,
    };
    /// `DESC NULLS FIRST`, the default of `DESC`.
    pub const DESCENDING: Order = Order {
        descending: true,
        nulls_first: true,
    };
}

/// Encodes a composite key. Columns without an entry in `orders` are ascending, NULLs last.
pub fn encode(values: &[Value], orders: &[Order]) -> Vec<u8> {
    let mut out = Vec::with_capacity(values.len() * 9);
    encode_into(values, orders, &mut out);
    out
}

/// As [`encode`], at the end of `out`.
pub fn encode_into(values: &[Value], orders: &[Order], out: &mut Vec<u8>) {
    for (index, value) in values.iter().enumerate() {
        encode_value(
            value.as_ref(),
            orders.get(index).copied().unwrap_or_default(),
            out,
        );
    }
}

/// Appends one column of a key. The value must have the column's type: an `integer` in a `bigint`
/// column would sort wrongly.
pub fn encode_value(value: ValueRef<'_>, order: Order, out: &mut Vec<u8>) {
    if value.is_null() {
        out.push(if order.nulls_first {
            TAG_NULL_FIRST
        } else {
            TAG_NULL_LAST
        });
        return;
    }
    out.push(TAG_VALUE);
    let start = out.len();
    encode_body(value, out);
    if order.descending {
        for byte in &mut out[start..] {
            *byte = !*byte;
        }
    }
}

fn encode_body(value: ValueRef<'_>, out: &mut Vec<u8>) {
    match value {
        ValueRef::Null => {}
        ValueRef::Boolean(v) => out.push(u8::from(v)),
        ValueRef::SmallInt(v) => out.extend_from_slice(&(v ^ i16::MIN).to_be_bytes()),
        ValueRef::Integer(v) | ValueRef::Date(v) => {
            out.extend_from_slice(&(v ^ i32::MIN).to_be_bytes())
        }
        ValueRef::BigInt(v)
        | ValueRef::Time(v)
        | ValueRef::Timestamp(v)
        | ValueRef::TimestampTz(v) => {
            out.extend_from_slice(&(v ^ i64::MIN).to_be_bytes());
        }
        ValueRef::Real(v) => out.extend_from_slice(&number::real_bits(v).to_be_bytes()),
        ValueRef::Double(v) => out.extend_from_slice(&number::double_bits(v).to_be_bytes()),
        ValueRef::Numeric(v) => number::encode_decimal(v, out),
        ValueRef::Text(v) => encode_bytes(v.as_bytes(), out),
        ValueRef::Bytea(v) => encode_bytes(v, out),
        ValueRef::Interval(v) => {
            out.extend_from_slice(&(v.comparison_micros() ^ i128::MIN).to_be_bytes());
        }
        ValueRef::Uuid(v) => out.extend_from_slice(&v),
        ValueRef::Json(v) => document::encode(v, out),
        ValueRef::Oid(v) => out.extend_from_slice(&v.to_be_bytes()),
        ValueRef::Array(array) => {
            for element in &array.elements {
                encode_value(element.as_ref(), Order::ASCENDING, out);
            }
            out.push(ARRAY_END);
            // At most six dimensions.
            out.push(u8::try_from(array.dimensions.len()).unwrap_or(u8::MAX));
            for (length, lower) in &array.dimensions {
                out.extend_from_slice(&(length ^ i32::MIN).to_be_bytes());
                out.extend_from_slice(&(lower ^ i32::MIN).to_be_bytes());
            }
        }
    }
}

fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() + 2);
    let mut parts = bytes.split(|byte| *byte == 0);
    if let Some(first) = parts.next() {
        out.extend_from_slice(first);
    }
    for part in parts {
        out.extend_from_slice(&[0, ESCAPED_ZERO]);
        out.extend_from_slice(part);
    }
    out.extend_from_slice(&[0, STRING_END]);
}

/// Decodes a composite key; trailing bytes are an error.
pub fn decode(types: &[SqlType], orders: &[Order], bytes: &[u8]) -> Result<Vec<Value>, CodecError> {
    let mut rest = bytes;
    let mut values = Vec::with_capacity(types.len());
    for (index, ty) in types.iter().enumerate() {
        let order = orders.get(index).copied().unwrap_or_default();
        values.push(decode_value(ty, order, &mut rest)?);
    }
    if rest.is_empty() {
        Ok(values)
    } else {
        Err(CodecError::Malformed { what: "key" })
    }
}

/// Decodes one column and moves `bytes` behind it.
pub fn decode_value(ty: &SqlType, order: Order, bytes: &mut &[u8]) -> Result<Value, CodecError> {
    let (tag, rest) = bytes
        .split_first()
        .ok_or(CodecError::Truncated { what: "key" })?;
    match *tag {
        TAG_NULL_FIRST | TAG_NULL_LAST => {
            *bytes = rest;
            Ok(Value::Null)
        }
        TAG_VALUE => {
            let mut input = decode::Input::new(rest, order.descending);
            let value = decode::body(ty, &mut input)?;
            *bytes = input.rest();
            Ok(value)
        }
        _ => Err(CodecError::Malformed { what: "key" }),
    }
}

/// Whether `decode` gives back exactly what was encoded. Otherwise it gives an equal value (numeric
/// `1.50` as `1.5`, `-0` as `0`, interval `1 mon` as `30 days`), and the row is needed for the exact one.
pub fn is_exact(ty: &SqlType) -> bool {
    match ty {
        SqlType::Real
        | SqlType::Double
        | SqlType::Numeric(None)
        | SqlType::Interval
        | SqlType::Json
        | SqlType::Jsonb => false,
        SqlType::Array(element) => is_exact(element),
        _ => true,
    }
}

/// The smallest byte string after all that start with `prefix`; None when there is none.
pub fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

#[cfg(test)]
mod tests;
