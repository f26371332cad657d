//! The one order of JSON values:
//! null < false < true < numbers by value < strings by bytes < objects < arrays.
//!
//! Arrays compare element by element, a shorter one first; objects field by field in stored order,
//! each by its key's bytes and then its value. `crate::key::encode_json` writes the same order.

use std::cmp::Ordering;

use super::{DEPTH_MAX, JsonRef};
use crate::CodecError;

/// The kinds of JSON values, in order; values of different kinds never compare equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `null`
    Null,
    /// `false`, `true`
    Bool,
    /// A number.
    Number,
    /// A string.
    String,
    /// An object.
    Object,
    /// An array.
    Array,
}

impl Kind {
    /// The name in messages, as JSON Schema has it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Bool => "boolean",
            Kind::Number => "number",
            Kind::String => "string",
            Kind::Object => "object",
            Kind::Array => "array",
        }
    }
}

impl JsonRef<'_> {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            JsonRef::Null => Kind::Null,
            JsonRef::Bool(_) => Kind::Bool,
            JsonRef::Number(_) => Kind::Number,
            JsonRef::String(_) => Kind::String,
            JsonRef::Object(_) => Kind::Object,
            JsonRef::Array(_) => Kind::Array,
        }
    }
}

/// Compares two values.
pub fn compare(a: &JsonRef<'_>, b: &JsonRef<'_>) -> Result<Ordering, CodecError> {
    compare_at(a, b, 0)
}

fn compare_at(a: &JsonRef<'_>, b: &JsonRef<'_>, depth: usize) -> Result<Ordering, CodecError> {
    if depth > DEPTH_MAX {
        return Err(CodecError::Malformed { what: "document" });
    }
    Ok(match (a, b) {
        (JsonRef::Bool(a), JsonRef::Bool(b)) => a.cmp(b),
        (JsonRef::Number(a), JsonRef::Number(b)) => a.compare(b),
        (JsonRef::String(a), JsonRef::String(b)) => a.as_bytes().cmp(b.as_bytes()),
        (JsonRef::Object(a), JsonRef::Object(b)) => {
            for (a, b) in a.iter().zip(b.iter()) {
                let ((key_a, a), (key_b, b)) = (a?, b?);
                let order = key_a.as_bytes().cmp(key_b.as_bytes());
                let order = match order {
                    Ordering::Equal => compare_at(&a, &b, depth + 1)?,
                    order => order,
                };
                if order.is_ne() {
                    return Ok(order);
                }
            }
            a.len().cmp(&b.len())
        }
        (JsonRef::Array(a), JsonRef::Array(b)) => {
            for (a, b) in a.iter().zip(b.iter()) {
                let order = compare_at(&a?, &b?, depth + 1)?;
                if order.is_ne() {
                    return Ok(order);
                }
            }
            a.len().cmp(&b.len())
        }
        (a, b) => a.kind().cmp(&b.kind()),
    })
}
