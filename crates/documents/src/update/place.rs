//! The value at a path of a tree. A name is a field of an object or, when it is a number, an
//! element of an array.

use serde_json::{Map, Value};

use super::ARRAY_GROWTH_MAX;
use crate::path::{Path, Segment};

/// Why there is no such place, in words for the error.
pub(crate) type Refusal = &'static str;

/// The value, if it is there.
pub(crate) fn get<'a>(document: &'a Value, path: &Path) -> Option<&'a Value> {
    path.segments()
        .iter()
        .try_fold(document, |value, segment| match value {
            Value::Object(pairs) => pairs.get(&segment.name),
            Value::Array(elements) => elements.get(segment.index?),
            _ => None,
        })
}

/// The place of the value; what is missing on the way, and the value itself, is made as an empty
/// object.
pub(crate) fn make<'a>(document: &'a mut Value, path: &Path) -> Result<&'a mut Value, Refusal> {
    path.segments().iter().try_fold(document, step_into)
}

fn step_into<'a>(value: &'a mut Value, segment: &Segment) -> Result<&'a mut Value, Refusal> {
    match value {
        Value::Object(pairs) => Ok(pairs
            .entry(segment.name.clone())
            .or_insert_with(|| Value::Object(Map::new()))),
        Value::Array(elements) => {
            let index = segment.index.ok_or("an array has no fields")?;
            if index >= elements.len() {
                if index - elements.len() > ARRAY_GROWTH_MAX {
                    return Err("the index is too far behind the end of the array");
                }
                elements.resize(index, Value::Null);
                elements.push(Value::Object(Map::new()));
            }
            elements.get_mut(index).ok_or("the array has no such index")
        }
        _ => Err("a value on the way is neither an object nor an array"),
    }
}

/// Takes the value away: a field disappears, an element becomes `null`.
pub(crate) fn take(document: &mut Value, path: &Path) -> Option<Value> {
    let (last, above) = path.segments().split_last()?;
    let mut place = document;
    for segment in above {
        place = match place {
            Value::Object(pairs) => pairs.get_mut(&segment.name)?,
            Value::Array(elements) => elements.get_mut(segment.index?)?,
            _ => return None,
        };
    }
    match place {
        Value::Object(pairs) => pairs.shift_remove(&last.name),
        Value::Array(elements) => Some(std::mem::take(elements.get_mut(last.index?)?)),
        _ => None,
    }
}

/// Whether an array lies on the way.
pub(crate) fn passes_array(document: &Value, path: &Path) -> bool {
    let mut place = document;
    for segment in path.segments() {
        match place {
            Value::Object(pairs) => match pairs.get(&segment.name) {
                Some(value) => place = value,
                None => return false,
            },
            Value::Array(_) => return true,
            _ => return false,
        }
    }
    false
}
