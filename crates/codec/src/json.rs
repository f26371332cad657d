//! Binary JSON: one document as bytes, with access to any field without parsing the rest.
//!
//! # Map
//! - `text`: RFC 8259 text to a tree, strict, with the place of an error.
//! - `encode`: a tree to bytes, in two passes: measure, write.
//! - `read`: [`JsonRef`], [`ArrayRef`], [`ObjectRef`]: views of the bytes.
//! - `number`: [`NumberRef`]: numbers that keep their digits; they compare by value.
//! - `order`: the one order of JSON values; `crate::key::encode_json` writes it into keys.
//!
//! # Layout
//! A document is a format byte and a value. A value is a tag and what the tag says; its length is
//! known to whoever holds it.
//!
//! | tag | value | bytes after the tag |
//! |---|---|---|
//! | 0, 1, 2 | null, false, true | none |
//! | 3 | integer | 1 to 8, two's complement, least significant first |
//! | 4 | float | 8, IEEE 754, least significant first |
//! | 5 | any other number | its text |
//! | 6 | string | UTF-8 |
//! | 7, 8 | array | count (LEB128); per element the end of its bytes (2 bytes with tag 7, 4 with 8); elements |
//! | 9, 10 | object | count; per key its end; per value its end (2 bytes with tag 9, 4 with 10); keys; values |
//!
//! Keys are ordered by length, then bytes (PostgreSQL's `jsonb`, which found the same trade: short
//! keys are compared without touching long ones), so a field is found by binary search.
//!
//! # Invariants
//! 1. Equal keys of one object do not exist: where the text has two, the last one counts.
//! 2. A number keeps its digits, also those that do not count; only an exponent's spelling is
//!    that of `serde_json` (`1E2` becomes `1e+2`). It is stored as an integer or a float only where
//!    that gives back the same digits; `1.50` and `1e400` stay texts. Numbers compare by value,
//!    exactly.
//! 3. Strings are UTF-8; a lone surrogate is refused at the door.
//! 4. No bytes make a reader panic, loop, or allocate more than their length justifies.
//!
//! # Not here
//! `serde_json`'s own reader: it nests 128 levels or without bound, and with arbitrary precision it
//! takes an object with one particular private key for a number.

mod encode;
mod number;
mod order;
mod read;
#[cfg(test)]
mod tests;
mod text;

pub use encode::{JsonBuf, encode};
pub use number::NumberRef;
pub use order::{Kind, compare};
pub use read::{ArrayRef, JsonRef, ObjectRef};
pub use text::{JsonError, JsonErrorKind, Position, parse};

/// Levels of arrays and objects.
pub const DEPTH_MAX: usize = 512;
/// Bytes of a document, as text and as binary JSON.
pub const DOCUMENT_BYTES_MAX: usize = 16 << 20;
/// Bytes of one number's text.
pub const NUMBER_BYTES_MAX: usize = 4_096;
/// The largest power of ten in a number, in both directions; SQL's `jsonb` has the same limit.
pub const EXPONENT_MAX: i64 = 1_000;

/// First byte of a document.
const FORMAT: u8 = 1;

const TAG_NULL: u8 = 0;
const TAG_FALSE: u8 = 1;
const TAG_TRUE: u8 = 2;
const TAG_INT: u8 = 3;
const TAG_FLOAT: u8 = 4;
const TAG_DECIMAL: u8 = 5;
const TAG_STRING: u8 = 6;
const TAG_ARRAY: u8 = 7;
const TAG_ARRAY_LONG: u8 = 8;
const TAG_OBJECT: u8 = 9;
const TAG_OBJECT_LONG: u8 = 10;

/// The order of keys in an object's table.
fn compare_keys(a: &str, b: &str) -> std::cmp::Ordering {
    tessera_types::json::compare_keys(a, b)
}
