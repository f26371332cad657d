//! JSON values in key order; the order is that of [`crate::json::compare`].
//!
//! | value | bytes |
//! |---|---|
//! | null | `10` |
//! | false, true | `20`, `21` |
//! | number | `30`, numeric of any length |
//! | string | `40`, text |
//! | object | `50`; per field `01`, key (text), value; `00` |
//! | array | `60`, elements, `00` |
//!
//! `numeric` and `text` are those of the columns in `docs/internals/row-format.md`.

use super::{encode_bytes, number};
use crate::CodecError;
use crate::json::{DEPTH_MAX, JsonRef, Kind};

const NULL: u8 = 0x10;
const FALSE: u8 = 0x20;
const NUMBER: u8 = 0x30;
const STRING: u8 = 0x40;
const OBJECT: u8 = 0x50;
const ARRAY: u8 = 0x60;
const FIELD: u8 = 0x01;
const END: u8 = 0x00;

/// Keys of this kind begin with `kind_start(kind)` or a byte above it, and with a byte below
/// `kind_end(kind)`.
pub fn kind_start(kind: Kind) -> u8 {
    match kind {
        Kind::Null => NULL,
        Kind::Bool => FALSE,
        Kind::Number => NUMBER,
        Kind::String => STRING,
        Kind::Object => OBJECT,
        Kind::Array => ARRAY,
    }
}

/// See [`kind_start`].
pub fn kind_end(kind: Kind) -> u8 {
    kind_start(kind) + 0x10
}

/// Appends a value in key order. No value's bytes are the beginning of another one's.
pub fn encode_json(value: &JsonRef<'_>, out: &mut Vec<u8>) -> Result<(), CodecError> {
    encode_at(value, 0, out)
}

fn encode_at(value: &JsonRef<'_>, depth: usize, out: &mut Vec<u8>) -> Result<(), CodecError> {
    if depth > DEPTH_MAX {
        return Err(CodecError::Malformed { what: "document" });
    }
    match value {
        JsonRef::Null => out.push(NULL),
        JsonRef::Bool(value) => out.push(FALSE + u8::from(*value)),
        JsonRef::Number(value) => {
            out.push(NUMBER);
            let digits = value.digits();
            number::encode_digits(digits.negative, digits.exponent, &digits.digits, out);
        }
        JsonRef::String(text) => {
            out.push(STRING);
            encode_bytes(text.as_bytes(), out);
        }
        JsonRef::Object(object) => {
            out.push(OBJECT);
            for pair in object.iter() {
                let (key, value) = pair?;
                out.push(FIELD);
                encode_bytes(key.as_bytes(), out);
                encode_at(&value, depth + 1, out)?;
            }
            out.push(END);
        }
        JsonRef::Array(array) => {
            out.push(ARRAY);
            for element in array.iter() {
                encode_at(&element?, depth + 1, out)?;
            }
            out.push(END);
        }
    }
    Ok(())
}
