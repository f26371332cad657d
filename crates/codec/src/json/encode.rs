//! A tree to bytes. The first pass measures, so that every table has its width before it is
//! written and no byte is moved.

use serde_json::Value;

use super::number::{self, NumberRef};
use super::text::{JsonError, JsonErrorKind};
use super::{
    DEPTH_MAX, DOCUMENT_BYTES_MAX, FORMAT, JsonRef, TAG_ARRAY, TAG_ARRAY_LONG, TAG_DECIMAL,
    TAG_FALSE, TAG_FLOAT, TAG_INT, TAG_NULL, TAG_OBJECT, TAG_OBJECT_LONG, TAG_STRING, TAG_TRUE,
    compare_keys, parse,
};
use crate::CodecError;
use crate::varint::write_varint;

/// Offsets of two bytes reach this far.
const SHORT_BYTES_MAX: usize = u16::MAX as usize;

/// An owned document in binary form.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct JsonBuf(Box<[u8]>);

impl JsonBuf {
    /// From a tree.
    pub fn from_value(value: &Value) -> Result<JsonBuf, JsonError> {
        encode(value).map(|bytes| JsonBuf(bytes.into()))
    }

    /// From RFC 8259 text.
    pub fn from_text(text: &[u8]) -> Result<JsonBuf, JsonError> {
        JsonBuf::from_value(&parse(text)?)
    }

    /// From stored bytes; damage inside is found when it is read.
    pub fn from_bytes(bytes: &[u8]) -> Result<JsonBuf, CodecError> {
        JsonRef::document(bytes)?;
        Ok(JsonBuf(bytes.into()))
    }

    /// The document.
    pub fn view(&self) -> Result<JsonRef<'_>, CodecError> {
        JsonRef::document(&self.0)
    }

    /// The document as a tree.
    pub fn to_value(&self) -> Result<Value, CodecError> {
        self.view()?.to_value()
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for JsonBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.view().and_then(|view| view.to_text()) {
            Ok(text) => f.write_str(&text),
            Err(error) => write!(f, "JsonBuf({error})"),
        }
    }
}

/// Encodes a document.
pub fn encode(value: &Value) -> Result<Vec<u8>, JsonError> {
    let mut is_long = Vec::new();
    let bytes = 1 + measure(value, 0, &mut is_long)?;
    if bytes > DOCUMENT_BYTES_MAX {
        return Err(JsonError::nowhere(JsonErrorKind::TooLarge { bytes }));
    }
    let mut out = Vec::with_capacity(bytes);
    out.push(FORMAT);
    write(value, &mut is_long.into_iter(), &mut out);
    debug_assert_eq!(out.len(), bytes, "measured and written sizes agree");
    Ok(out)
}

/// Bytes of a value; appends for each container, in the order of writing, whether its tables are
/// long.
fn measure(value: &Value, depth: usize, is_long: &mut Vec<bool>) -> Result<usize, JsonError> {
    let check_depth = || match depth {
        DEPTH_MAX => Err(JsonError::nowhere(JsonErrorKind::TooDeep)),
        _ => Ok(()),
    };
    Ok(match value {
        Value::Null | Value::Bool(_) => 1,
        Value::String(text) => 1 + text.len(),
        Value::Number(number) => {
            let text = number.to_string();
            if number::scan(text.as_bytes()) != Some(text.len()) || !number::is_in_limits(&text) {
                return Err(JsonError::nowhere(JsonErrorKind::NumberTooLarge));
            }
            match NumberRef::classify(&text) {
                NumberRef::Int(value) => 1 + int_width(value),
                NumberRef::Float(_) => 9,
                NumberRef::Decimal(text) => 1 + text.len(),
            }
        }
        Value::Array(elements) => {
            check_depth()?;
            let place = is_long.len();
            is_long.push(false);
            let mut data = 0;
            for element in elements {
                data += measure(element, depth + 1, is_long)?;
            }
            is_long[place] = data > SHORT_BYTES_MAX;
            let width = if is_long[place] { 4 } else { 2 };
            1 + varint_width(elements.len()) + elements.len() * width + data
        }
        Value::Object(pairs) => {
            check_depth()?;
            let place = is_long.len();
            is_long.push(false);
            let (mut keys, mut data) = (0, 0);
            for (key, value) in sorted(pairs) {
                keys += key.len();
                data += measure(value, depth + 1, is_long)?;
            }
            is_long[place] = data.max(keys) > SHORT_BYTES_MAX;
            let width = if is_long[place] { 4 } else { 2 };
            1 + varint_width(pairs.len()) + pairs.len() * 2 * width + keys + data
        }
    })
}

/// Fields in stored order.
fn sorted(pairs: &serde_json::Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut sorted: Vec<_> = pairs.iter().collect();
    sorted.sort_unstable_by(|a, b| compare_keys(a.0, b.0));
    sorted
}

fn write(value: &Value, is_long: &mut impl Iterator<Item = bool>, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(TAG_NULL),
        Value::Bool(false) => out.push(TAG_FALSE),
        Value::Bool(true) => out.push(TAG_TRUE),
        Value::String(text) => {
            out.push(TAG_STRING);
            out.extend_from_slice(text.as_bytes());
        }
        Value::Number(number) => match NumberRef::classify(&number.to_string()) {
            NumberRef::Int(value) => {
                out.push(TAG_INT);
                out.extend_from_slice(&value.to_le_bytes()[..int_width(value)]);
            }
            NumberRef::Float(value) => {
                out.push(TAG_FLOAT);
                out.extend_from_slice(&value.to_le_bytes());
            }
            NumberRef::Decimal(text) => {
                out.push(TAG_DECIMAL);
                out.extend_from_slice(text.as_bytes());
            }
        },
        Value::Array(elements) => {
            let is_wide = is_long.next().unwrap_or(true);
            out.push(if is_wide { TAG_ARRAY_LONG } else { TAG_ARRAY });
            write_varint(elements.len() as u64, out);
            let mut table = Table::reserve(elements.len(), is_wide, out);
            let data = out.len();
            for element in elements {
                write(element, is_long, out);
                table.push(out.len() - data, out);
            }
        }
        Value::Object(pairs) => {
            let is_wide = is_long.next().unwrap_or(true);
            out.push(if is_wide { TAG_OBJECT_LONG } else { TAG_OBJECT });
            write_varint(pairs.len() as u64, out);
            let pairs = sorted(pairs);
            let mut key_table = Table::reserve(pairs.len(), is_wide, out);
            let mut value_table = Table::reserve(pairs.len(), is_wide, out);
            let keys = out.len();
            for (key, _) in &pairs {
                out.extend_from_slice(key.as_bytes());
                key_table.push(out.len() - keys, out);
            }
            let data = out.len();
            for (_, value) in &pairs {
                write(value, is_long, out);
                value_table.push(out.len() - data, out);
            }
        }
    }
}

/// A table of ends that is filled while what it points to is written behind it.
struct Table {
    at: usize,
    width: usize,
}

impl Table {
    fn reserve(count: usize, is_wide: bool, out: &mut Vec<u8>) -> Table {
        let width = if is_wide { 4 } else { 2 };
        let at = out.len();
        out.resize(at + count * width, 0);
        Table { at, width }
    }

    fn push(&mut self, end: usize, out: &mut [u8]) {
        // Documents are limited, so ends fit.
        let bytes = u32::try_from(end).unwrap_or(u32::MAX).to_le_bytes();
        out[self.at..self.at + self.width].copy_from_slice(&bytes[..self.width]);
        self.at += self.width;
    }
}

/// Bytes of an integer that keep its sign.
fn int_width(value: i64) -> usize {
    let bits = 65 - (if value < 0 { !value } else { value }).leading_zeros() as usize;
    bits.div_ceil(8)
}

fn varint_width(count: usize) -> usize {
    let bits = usize::BITS - count.leading_zeros();
    (bits.max(1) as usize).div_ceil(7)
}
