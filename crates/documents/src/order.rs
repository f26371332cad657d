//! The order and equality of values that are trees, and sorting by paths.

use std::cmp::Ordering;

use serde_json::Value;
use tessera_codec::json::{JsonBuf, JsonRef, compare};
use tessera_codec::key::{self, encode_json};
use tessera_types::ValueRef;

use crate::document::Subject;
use crate::error::{DocumentError, Result};
use crate::index::id_order;
use crate::path::{Path, integer_of};

/// Paths of one sort.
pub const SORT_FIELDS_MAX: usize = 16;

/// The order of two trees, that of `tessera_codec::json::compare`.
pub(crate) fn compare_values(a: &Value, b: &Value) -> Result<Ordering> {
    let (a, b) = (JsonBuf::from_value(a)?, JsonBuf::from_value(b)?);
    Ok(compare(&a.view()?, &b.view()?)?)
}

/// Whether two trees are equal: numbers by value, objects whatever the order of their fields.
pub(crate) fn equal_values(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            x == y || compare_values(a, b).is_ok_and(Ordering::is_eq)
        }
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| equal_values(x, y))
        }
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len()
                && x.iter()
                    .all(|(key, x)| y.get(key).is_some_and(|y| equal_values(x, y)))
        }
        (a, b) => a == b,
    }
}

/// Bytes whose order is that of the values.
pub(crate) fn value_key(value: &Value) -> Result<Vec<u8>> {
    let buf = JsonBuf::from_value(value)?;
    let mut out = Vec::new();
    encode_json(&buf.view()?, &mut out)?;
    Ok(out)
}

/// An order of documents: by paths, then by id in the direction of the last path.
///
/// A missing field counts as `null`. Of several values at a path the smallest counts when
/// ascending, the largest when descending (MongoDB manual, "Sort by an array field").
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sort {
    pub(crate) fields: Vec<SortField>,
}

/// One path of a sort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SortField {
    pub(crate) path: Path,
    pub(crate) descending: bool,
}

impl Sort {
    /// Parses `{"a.b": 1, "c": -1}`.
    pub fn parse(value: &Value) -> Result<Sort> {
        let error = |place: &str, reason: &str| DocumentError::invalid("sort", place, reason);
        let Value::Object(pairs) = value else {
            return Err(error("", "a sort must be an object"));
        };
        if pairs.len() > SORT_FIELDS_MAX {
            return Err(DocumentError::Limit {
                what: "the number of paths in a sort",
                limit: SORT_FIELDS_MAX,
            });
        }
        let mut fields = Vec::with_capacity(pairs.len());
        for (path, direction) in pairs {
            let descending = match integer_of(direction) {
                Some(1) => false,
                Some(-1) => true,
                _ => return Err(error(path, "a direction is 1 or -1")),
            };
            fields.push(SortField {
                path: Path::parse(path, "sort")?,
                descending,
            });
        }
        Ok(Sort { fields })
    }

    /// What [`Sort::parse`] reads.
    pub(crate) fn to_value(&self) -> Value {
        let pair = |field: &SortField| {
            let direction = if field.descending { -1 } else { 1 };
            (field.path.as_str().to_owned(), Value::from(direction))
        };
        Value::Object(self.fields.iter().map(pair).collect())
    }

    /// By id alone.
    pub(crate) fn by_id() -> Sort {
        Sort {
            fields: vec![SortField {
                path: Path::id(),
                descending: false,
            }],
        }
    }

    /// Whether no order is asked for.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Whether the order is that of ids, and whether it is reversed.
    pub(crate) fn id_direction(&self) -> Option<bool> {
        match self.fields.as_slice() {
            [field] if field.path.is_id() => Some(field.descending),
            _ => None,
        }
    }

    /// Whether ids are descending among equal documents.
    pub(crate) fn ids_descend(&self) -> bool {
        self.fields.last().is_some_and(|field| field.descending)
    }

    /// Bytes whose order is the sort's, without the id.
    pub(crate) fn field_key(&self, subject: &Subject<'_>) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(32);
        for field in &self.fields {
            let start = out.len();
            encode_extreme(field, subject, &mut out)?;
            if field.descending {
                for byte in &mut out[start..] {
                    *byte = !*byte;
                }
            }
        }
        Ok(out)
    }

    /// Appends the id, so that the order is total.
    pub(crate) fn append_id(&self, id: &str, key: &mut Vec<u8>) {
        key::encode_value(ValueRef::Text(id), id_order(self.ids_descend()), key);
    }
}

/// The smallest or the largest of the values at a path.
fn encode_extreme(field: &SortField, subject: &Subject<'_>, out: &mut Vec<u8>) -> Result<()> {
    let reached = field.path.reach(subject)?;
    let mut best: Option<Vec<u8>> = None;
    let mut add = |value: &JsonRef<'_>| -> Result<()> {
        let mut bytes = Vec::new();
        encode_json(value, &mut bytes)?;
        let is_better = match &best {
            None => true,
            Some(best) if field.descending => bytes > *best,
            Some(best) => bytes < *best,
        };
        if is_better {
            best = Some(bytes);
        }
        Ok(())
    };
    for value in &reached.values {
        match value {
            None => add(&JsonRef::Null)?,
            Some(JsonRef::Array(array)) if !array.is_empty() => {
                for element in array.iter() {
                    add(&element?)?;
                }
            }
            // An empty array has no element and sorts as a missing field.
            Some(JsonRef::Array(_)) => add(&JsonRef::Null)?,
            Some(value) => add(value)?,
        }
    }
    match best {
        Some(best) => out.extend_from_slice(&best),
        None => encode_json(&JsonRef::Null, out)?,
    }
    Ok(())
}
