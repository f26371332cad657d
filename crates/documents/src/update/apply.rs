//! What each operator does to a document.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};
use tessera_codec::json::JsonBuf;

use super::{Operator, Step, UpdateContext, place};
use crate::document::Subject;
use crate::error::{DocumentError, Result};
use crate::filter::Filter;
use crate::index::format_instant;
use crate::number::{Arithmetic, calculate};
use crate::order::{compare_values, equal_values};
use crate::path::Path;

impl Step {
    pub(super) fn apply(&self, document: &mut Value, context: UpdateContext) -> Result<()> {
        let path = &self.path;
        match &self.operator {
            Operator::Set(value) => set("$set", document, path, value.clone()),
            Operator::SetOnInsert(value) if context.is_insert => {
                set("$setOnInsert", document, path, value.clone())
            }
            Operator::SetOnInsert(_) => Ok(()),
            Operator::Unset => {
                place::take(document, path);
                Ok(())
            }
            Operator::Increment(by) => {
                arithmetic("$inc", Arithmetic::Add, document, path, by, by.clone())
            }
            Operator::Multiply(by) => {
                arithmetic("$mul", Arithmetic::Multiply, document, path, by, json!(0))
            }
            Operator::Minimum(value) => extreme("$min", document, path, value, Ordering::Less),
            Operator::Maximum(value) => extreme("$max", document, path, value, Ordering::Greater),
            Operator::Rename(target) => rename(document, path, target),
            Operator::CurrentDate => {
                let now = format_instant(context.unix_micros);
                set("$currentDate", document, path, Value::String(now))
            }
            Operator::Push {
                values,
                position,
                slice,
            } => {
                let array = array_to_extend("$push", document, path)?;
                let at = position.map_or(array.len(), |position| place_in(array.len(), position));
                array.splice(at..at, values.iter().cloned());
                if let Some(slice) = slice {
                    keep_slice(array, *slice);
                }
                Ok(())
            }
            Operator::AddToSet(values) => {
                let array = array_to_extend("$addToSet", document, path)?;
                for value in values {
                    if !array.iter().any(|element| equal_values(element, value)) {
                        array.push(value.clone());
                    }
                }
                Ok(())
            }
            Operator::Pop { first } => {
                if let Some(array) = array_to_shrink("$pop", document, path)? {
                    if *first && !array.is_empty() {
                        array.remove(0);
                    } else {
                        array.pop();
                    }
                }
                Ok(())
            }
            Operator::Pull(filter) => match array_to_shrink("$pull", document, path)? {
                Some(array) => pull(array, filter),
                None => Ok(()),
            },
            Operator::PullAll(values) => {
                if let Some(array) = array_to_shrink("$pullAll", document, path)? {
                    let is_listed =
                        |element: &Value| values.iter().any(|value| equal_values(element, value));
                    array.retain(|element| !is_listed(element));
                }
                Ok(())
            }
        }
    }
}

fn refused(operation: &str, path: &Path, reason: &str) -> DocumentError {
    DocumentError::NotApplicable {
        operation: operation.to_owned(),
        path: path.as_str().to_owned(),
        reason: reason.to_owned(),
    }
}

fn set(operation: &str, document: &mut Value, path: &Path, value: Value) -> Result<()> {
    let place = place::make(document, path);
    *place.map_err(|reason| refused(operation, path, reason))? = value;
    Ok(())
}

fn arithmetic(
    operation: &str,
    arithmetic: Arithmetic,
    document: &mut Value,
    path: &Path,
    by: &Value,
    if_missing: Value,
) -> Result<()> {
    let value = match place::get(document, path) {
        None => if_missing,
        Some(old @ Value::Number(_)) => calculate(operation, arithmetic, old, by)?,
        Some(_) => return Err(refused(operation, path, "the field is not a number")),
    };
    set(operation, document, path, value)
}

fn extreme(
    operation: &str,
    document: &mut Value,
    path: &Path,
    value: &Value,
    wins: Ordering,
) -> Result<()> {
    match place::get(document, path) {
        Some(old) if compare_values(value, old)? != wins => Ok(()),
        _ => set(operation, document, path, value.clone()),
    }
}

fn rename(document: &mut Value, path: &Path, target: &Path) -> Result<()> {
    if place::passes_array(document, path) || place::passes_array(document, target) {
        return Err(refused("$rename", path, "an array lies on the way"));
    }
    match place::take(document, path) {
        Some(value) => set("$rename", document, target, value),
        None => Ok(()),
    }
}

/// The array at the path; made, if nothing is there.
fn array_to_extend<'a>(
    operation: &str,
    document: &'a mut Value,
    path: &Path,
) -> Result<&'a mut Vec<Value>> {
    let is_missing = place::get(document, path).is_none();
    let place = place::make(document, path).map_err(|reason| refused(operation, path, reason))?;
    if is_missing {
        *place = Value::Array(Vec::new());
    }
    match place {
        Value::Array(array) => Ok(array),
        _ => Err(refused(operation, path, "the field is not an array")),
    }
}

/// The array at the path, if anything is there.
fn array_to_shrink<'a>(
    operation: &str,
    document: &'a mut Value,
    path: &Path,
) -> Result<Option<&'a mut Vec<Value>>> {
    if place::get(document, path).is_none() {
        return Ok(None);
    }
    array_to_extend(operation, document, path).map(Some)
}

/// A position from the front, or from the end when negative.
fn place_in(length: usize, position: i64) -> usize {
    let distance = usize::try_from(position.unsigned_abs()).unwrap_or(usize::MAX);
    if position < 0 {
        length.saturating_sub(distance)
    } else {
        length.min(distance)
    }
}

/// Keeps the first so many elements, or the last when negative.
fn keep_slice(array: &mut Vec<Value>, slice: i64) {
    let count = usize::try_from(slice.unsigned_abs()).unwrap_or(usize::MAX);
    if slice < 0 {
        array.drain(..array.len().saturating_sub(count));
    } else {
        array.truncate(count);
    }
}

fn pull(array: &mut Vec<Value>, filter: &Filter) -> Result<()> {
    let mut kept = Vec::with_capacity(array.len());
    for element in array.drain(..) {
        let mut alone = Map::new();
        alone.insert("v".to_owned(), Value::Array(vec![element]));
        let alone = Value::Object(alone);
        let body = JsonBuf::from_value(&alone)?;
        let subject = Subject {
            id: None,
            body: body.view()?,
        };
        let is_match = filter.matches_subject(&subject)?;
        if let (false, Value::Object(mut pairs)) = (is_match, alone)
            && let Some(Value::Array(mut elements)) = pairs.remove("v")
        {
            kept.append(&mut elements);
        }
    }
    *array = kept;
    Ok(())
}
