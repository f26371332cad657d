//! Views of binary JSON.

use serde_json::{Map, Number, Value};
use tessera_types::json::write_string;

use super::number::{self, NumberRef};
use super::{
    DEPTH_MAX, FORMAT, TAG_ARRAY, TAG_ARRAY_LONG, TAG_DECIMAL, TAG_FALSE, TAG_FLOAT, TAG_INT,
    TAG_NULL, TAG_OBJECT, TAG_OBJECT_LONG, TAG_STRING, TAG_TRUE,
};
use crate::CodecError;
use crate::varint::read_varint;

const MALFORMED: CodecError = CodecError::Malformed { what: "document" };

/// A value inside a document.
#[derive(Clone, Copy, Debug)]
pub enum JsonRef<'a> {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number.
    Number(NumberRef<'a>),
    /// A string.
    String(&'a str),
    /// An array.
    Array(ArrayRef<'a>),
    /// An object.
    Object(ObjectRef<'a>),
}

/// An array inside a document.
#[derive(Clone, Copy, Debug)]
pub struct ArrayRef<'a> {
    count: usize,
    ends: Ends<'a>,
    data: &'a [u8],
}

/// An object inside a document; its keys are ordered by length, then bytes.
#[derive(Clone, Copy, Debug)]
pub struct ObjectRef<'a> {
    count: usize,
    key_ends: Ends<'a>,
    value_ends: Ends<'a>,
    keys: &'a [u8],
    values: &'a [u8],
}

/// A table of ascending offsets.
#[derive(Clone, Copy, Debug)]
struct Ends<'a> {
    bytes: &'a [u8],
    width: usize,
}

impl<'a> Ends<'a> {
    fn end(&self, index: usize) -> Result<usize, CodecError> {
        let from = index.checked_mul(self.width).ok_or(MALFORMED)?;
        let bytes = self.bytes.get(from..from + self.width).ok_or(MALFORMED)?;
        match bytes {
            [a, b] => Ok(usize::from(u16::from_le_bytes([*a, *b]))),
            [a, b, c, d] => {
                usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).map_err(|_| MALFORMED)
            }
            _ => Err(MALFORMED),
        }
    }

    fn slice(&self, index: usize, data: &'a [u8]) -> Result<&'a [u8], CodecError> {
        let start = match index {
            0 => 0,
            _ => self.end(index - 1)?,
        };
        data.get(start..self.end(index)?).ok_or(MALFORMED)
    }
}

impl<'a> JsonRef<'a> {
    /// A whole document.
    pub fn document(bytes: &'a [u8]) -> Result<JsonRef<'a>, CodecError> {
        match bytes.split_first() {
            Some((&FORMAT, value)) => JsonRef::value(value),
            Some((&found, _)) => Err(CodecError::UnknownFormat { found }),
            None => Err(CodecError::Truncated { what: "document" }),
        }
    }

    fn value(bytes: &'a [u8]) -> Result<JsonRef<'a>, CodecError> {
        let (tag, rest) = bytes
            .split_first()
            .ok_or(CodecError::Truncated { what: "document" })?;
        Ok(match *tag {
            TAG_NULL if rest.is_empty() => JsonRef::Null,
            TAG_FALSE if rest.is_empty() => JsonRef::Bool(false),
            TAG_TRUE if rest.is_empty() => JsonRef::Bool(true),
            TAG_INT => JsonRef::Number(NumberRef::Int(read_int(rest)?)),
            TAG_FLOAT => {
                let bits = rest.try_into().map_err(|_| MALFORMED)?;
                let value = f64::from_le_bytes(bits);
                if !value.is_finite() {
                    return Err(MALFORMED);
                }
                JsonRef::Number(NumberRef::Float(value))
            }
            TAG_DECIMAL => {
                let text = utf8(rest)?;
                if number::scan(rest) != Some(rest.len()) || !number::is_in_limits(text) {
                    return Err(MALFORMED);
                }
                JsonRef::Number(NumberRef::Decimal(text))
            }
            TAG_STRING => JsonRef::String(utf8(rest)?),
            TAG_ARRAY => JsonRef::Array(ArrayRef::new(rest, 2)?),
            TAG_ARRAY_LONG => JsonRef::Array(ArrayRef::new(rest, 4)?),
            TAG_OBJECT => JsonRef::Object(ObjectRef::new(rest, 2)?),
            TAG_OBJECT_LONG => JsonRef::Object(ObjectRef::new(rest, 4)?),
            _ => return Err(MALFORMED),
        })
    }

    /// The array, if it is one.
    pub fn as_array(&self) -> Option<ArrayRef<'a>> {
        match self {
            JsonRef::Array(array) => Some(*array),
            _ => None,
        }
    }

    /// The object, if it is one.
    pub fn as_object(&self) -> Option<ObjectRef<'a>> {
        match self {
            JsonRef::Object(object) => Some(*object),
            _ => None,
        }
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&'a str> {
        match self {
            JsonRef::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn as_number(&self) -> Option<NumberRef<'a>> {
        match self {
            JsonRef::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, JsonRef::Null)
    }

    /// The value as a tree; an object's keys in stored order.
    pub fn to_value(&self) -> Result<Value, CodecError> {
        self.to_value_at(0)
    }

    fn to_value_at(self, depth: usize) -> Result<Value, CodecError> {
        if depth > DEPTH_MAX {
            return Err(MALFORMED);
        }
        Ok(match self {
            JsonRef::Null => Value::Null,
            JsonRef::Bool(value) => Value::Bool(value),
            JsonRef::Number(NumberRef::Int(value)) => Value::Number(value.into()),
            JsonRef::Number(number) => {
                Value::Number(number.to_text().parse::<Number>().map_err(|_| MALFORMED)?)
            }
            JsonRef::String(text) => Value::String(text.to_owned()),
            JsonRef::Array(array) => {
                let mut out = Vec::new();
                for element in array.iter() {
                    out.push(element?.to_value_at(depth + 1)?);
                }
                Value::Array(out)
            }
            JsonRef::Object(object) => {
                let mut out = Map::new();
                for pair in object.iter() {
                    let (key, value) = pair?;
                    out.insert(key.to_owned(), value.to_value_at(depth + 1)?);
                }
                Value::Object(out)
            }
        })
    }

    /// The value as compact text, numbers as they were written.
    pub fn to_text(&self) -> Result<String, CodecError> {
        let mut out = String::new();
        self.write_text(&mut out)?;
        Ok(out)
    }

    /// As [`JsonRef::to_text`], at the end of `out`.
    pub fn write_text(&self, out: &mut String) -> Result<(), CodecError> {
        self.write_text_at(0, out)
    }

    fn write_text_at(&self, depth: usize, out: &mut String) -> Result<(), CodecError> {
        if depth > DEPTH_MAX {
            return Err(MALFORMED);
        }
        match self {
            JsonRef::Null => out.push_str("null"),
            JsonRef::Bool(true) => out.push_str("true"),
            JsonRef::Bool(false) => out.push_str("false"),
            JsonRef::Number(number) => number.write(out),
            JsonRef::String(text) => write_string(text, out),
            JsonRef::Array(array) => {
                out.push('[');
                for (index, element) in array.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    element?.write_text_at(depth + 1, out)?;
                }
                out.push(']');
            }
            JsonRef::Object(object) => {
                out.push('{');
                for (index, pair) in object.iter().enumerate() {
                    let (key, value) = pair?;
                    if index > 0 {
                        out.push(',');
                    }
                    write_string(key, out);
                    out.push(':');
                    value.write_text_at(depth + 1, out)?;
                }
                out.push('}');
            }
        }
        Ok(())
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, CodecError> {
    std::str::from_utf8(bytes).map_err(|_| MALFORMED)
}

fn read_int(bytes: &[u8]) -> Result<i64, CodecError> {
    let last = *bytes.last().ok_or(MALFORMED)?;
    let mut wide = [if last >= 0x80 { 0xff } else { 0 }; 8];
    wide.get_mut(..bytes.len())
        .ok_or(MALFORMED)?
        .copy_from_slice(bytes);
    Ok(i64::from_le_bytes(wide))
}

/// The number of entries, each of which takes `bytes_min` bytes at least.
fn read_count(rest: &mut &[u8], bytes_min: usize) -> Result<usize, CodecError> {
    let count = read_varint(rest)
        .and_then(|count| usize::try_from(count).ok())
        .ok_or(MALFORMED)?;
    match count.checked_mul(bytes_min) {
        Some(bytes) if bytes <= rest.len() => Ok(count),
        _ => Err(MALFORMED),
    }
}

impl<'a> ArrayRef<'a> {
    fn new(mut rest: &'a [u8], width: usize) -> Result<ArrayRef<'a>, CodecError> {
        let count = read_count(&mut rest, width)?;
        let (bytes, data) = rest.split_at_checked(count * width).ok_or(MALFORMED)?;
        Ok(ArrayRef {
            count,
            ends: Ends { bytes, width },
            data,
        })
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The element at `index`, from 0.
    pub fn get(&self, index: usize) -> Result<Option<JsonRef<'a>>, CodecError> {
        if index >= self.count {
            return Ok(None);
        }
        JsonRef::value(self.ends.slice(index, self.data)?).map(Some)
    }

    /// The elements.
    pub fn iter(&self) -> impl Iterator<Item = Result<JsonRef<'a>, CodecError>> + use<'a> {
        let array = *self;
        (0..array.count).map(move |index| JsonRef::value(array.ends.slice(index, array.data)?))
    }
}

impl<'a> ObjectRef<'a> {
    fn new(mut rest: &'a [u8], width: usize) -> Result<ObjectRef<'a>, CodecError> {
        let count = read_count(&mut rest, 2 * width)?;
        let (key_table, rest) = rest.split_at_checked(count * width).ok_or(MALFORMED)?;
        let (value_table, rest) = rest.split_at_checked(count * width).ok_or(MALFORMED)?;
        let key_ends = Ends {
            bytes: key_table,
            width,
        };
        let key_bytes = match count {
            0 => 0,
            _ => key_ends.end(count - 1)?,
        };
        let (keys, values) = rest.split_at_checked(key_bytes).ok_or(MALFORMED)?;
        Ok(ObjectRef {
            count,
            key_ends,
            value_ends: Ends {
                bytes: value_table,
                width,
            },
            keys,
            values,
        })
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The value of a field, found by binary search.
    pub fn get(&self, key: &str) -> Result<Option<JsonRef<'a>>, CodecError> {
        let wanted = (key.len(), key.as_bytes());
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            let found = self.key_ends.slice(middle, self.keys)?;
            match (found.len(), found).cmp(&wanted) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    return JsonRef::value(self.value_ends.slice(middle, self.values)?).map(Some);
                }
            }
        }
        Ok(None)
    }

    /// The fields, keys by length and bytes.
    pub fn iter(
        &self,
    ) -> impl Iterator<Item = Result<(&'a str, JsonRef<'a>), CodecError>> + use<'a> {
        let object = *self;
        (0..object.count).map(move |index| {
            let key = utf8(object.key_ends.slice(index, object.keys)?)?;
            let value = JsonRef::value(object.value_ends.slice(index, object.values)?)?;
            Ok((key, value))
        })
    }
}
