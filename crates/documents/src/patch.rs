//! JSON Merge Patch (RFC 7396) and JSON Patch (RFC 6902).
//!
//! Written here because `test` compares numbers by value (RFC 6902, section 4.6), and numbers here
//! keep their spelling, which the known libraries compare.

use serde_json::{Map, Value};

use crate::error::{DocumentError, Result};
use crate::order::equal_values;
use crate::path::array_index;

/// Operations of one JSON Patch.
pub const PATCH_OPERATIONS_MAX: usize = 10_000;

/// Applies a merge patch: members of `patch` replace those of `target`, `null` removes them.
pub fn merge_patch(target: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(target) = target {
        for (key, value) in members {
            if value.is_null() {
                target.shift_remove(key);
            } else {
                merge_patch(target.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
    }
}

/// A JSON Patch: operations that apply all or not at all.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPatch {
    operations: Vec<Operation>,
}

#[derive(Clone, Debug, PartialEq)]
enum Operation {
    Add { path: Pointer, value: Value },
    Remove { path: Pointer },
    Replace { path: Pointer, value: Value },
    Move { from: Pointer, path: Pointer },
    Copy { from: Pointer, path: Pointer },
    Test { path: Pointer, value: Value },
}

/// A JSON Pointer (RFC 6901).
#[derive(Clone, Debug, PartialEq)]
struct Pointer {
    text: String,
    tokens: Vec<String>,
}

impl Pointer {
    fn parse(text: &str) -> Result<Pointer> {
        let wrong = |reason: &str| DocumentError::invalid("JSON Patch", text, reason);
        if !text.is_empty() && !text.starts_with('/') {
            return Err(wrong("a JSON Pointer begins with /"));
        }
        let mut tokens = Vec::new();
        for token in text.split('/').skip(1) {
            let mut out = String::with_capacity(token.len());
            let mut chars = token.chars();
            while let Some(c) = chars.next() {
                match (c, if c == '~' { chars.next() } else { None }) {
                    ('~', Some('0')) => out.push('~'),
                    ('~', Some('1')) => out.push('/'),
                    ('~', _) => return Err(wrong("~ is followed by 0 or 1")),
                    (c, _) => out.push(c),
                }
            }
            tokens.push(out);
        }
        Ok(Pointer {
            text: text.to_owned(),
            tokens,
        })
    }

    fn error(&self, operation: &str, reason: &str) -> DocumentError {
        DocumentError::NotApplicable {
            operation: operation.to_owned(),
            path: self.text.clone(),
            reason: reason.to_owned(),
        }
    }

    /// The value, if it is there.
    fn get<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        self.tokens
            .iter()
            .try_fold(document, |value, token| match value {
                Value::Object(pairs) => pairs.get(token),
                Value::Array(elements) => elements.get(array_index(token)?),
                _ => None,
            })
    }

    /// What holds the value, and the last token; `None` for the whole document.
    fn parent<'a>(
        &self,
        operation: &str,
        document: &'a mut Value,
    ) -> Result<Option<(&'a mut Value, &str)>> {
        let Some((last, tokens)) = self.tokens.split_last() else {
            return Ok(None);
        };
        let missing = || self.error(operation, "there is nothing to hold the value");
        let mut place = document;
        for token in tokens {
            place = match place {
                Value::Object(pairs) => pairs.get_mut(token),
                Value::Array(elements) => {
                    array_index(token).and_then(|index| elements.get_mut(index))
                }
                _ => None,
            }
            .ok_or_else(missing)?;
        }
        Ok(Some((place, last)))
    }

    fn add(&self, operation: &str, document: &mut Value, value: Value) -> Result<()> {
        match self.parent(operation, document)? {
            None => *document = value,
            Some((Value::Object(pairs), key)) => {
                pairs.insert(key.to_owned(), value);
            }
            Some((Value::Array(elements), token)) => {
                let index = match token {
                    "-" => Some(elements.len()),
                    token => array_index(token),
                };
                match index {
                    Some(index) if index <= elements.len() => elements.insert(index, value),
                    _ => return Err(self.error(operation, "the array has no such index")),
                }
            }
            Some(_) => return Err(self.error(operation, "there is nothing to hold the value")),
        }
        Ok(())
    }

    fn remove(&self, operation: &str, document: &mut Value) -> Result<Value> {
        let missing = || self.error(operation, "there is no such value");
        match self.parent(operation, document)? {
            None => Ok(std::mem::take(document)),
            Some((Value::Object(pairs), key)) => pairs.shift_remove(key).ok_or_else(missing),
            Some((Value::Array(elements), token)) => match array_index(token) {
                Some(index) if index < elements.len() => Ok(elements.remove(index)),
                _ => Err(missing()),
            },
            Some(_) => Err(missing()),
        }
    }

    fn replace(&self, document: &mut Value, value: Value) -> Result<()> {
        let missing = || self.error("replace", "there is no such value");
        let place = match self.parent("replace", document)? {
            None => {
                *document = value;
                return Ok(());
            }
            Some((Value::Object(pairs), key)) => pairs.get_mut(key),
            Some((Value::Array(elements), token)) => {
                array_index(token).and_then(|index| elements.get_mut(index))
            }
            Some(_) => None,
        };
        *place.ok_or_else(missing)? = value;
        Ok(())
    }

    fn leads_to(&self, other: &Pointer) -> bool {
        other.tokens.len() > self.tokens.len() && other.tokens.starts_with(&self.tokens)
    }
}

impl JsonPatch {
    /// Parses `[{"op": "add", "path": "/a", "value": 1}, ...]`.
    pub fn parse(patch: &Value) -> Result<JsonPatch> {
        let Value::Array(list) = patch else {
            let reason = "a JSON Patch must be an array";
            return Err(DocumentError::invalid("JSON Patch", "", reason));
        };
        if list.len() > PATCH_OPERATIONS_MAX {
            return Err(DocumentError::Limit {
                what: "the number of operations in a JSON Patch",
                limit: PATCH_OPERATIONS_MAX,
            });
        }
        let operations = list.iter().enumerate().map(|(at, operation)| {
            parse_operation(operation).map_err(|error| match error {
                DocumentError::Invalid { place, reason, .. } if place.is_empty() => {
                    DocumentError::invalid("JSON Patch", format!("/{at}"), reason)
                }
                error => error,
            })
        });
        Ok(JsonPatch {
            operations: operations.collect::<Result<_>>()?,
        })
    }

    /// Applies the operations in their order. On an error `document` is in some state between:
    /// the caller drops it.
    pub fn apply(&self, document: &mut Value) -> Result<()> {
        for operation in &self.operations {
            match operation {
                Operation::Add { path, value } => path.add("add", document, value.clone())?,
                Operation::Remove { path } => {
                    path.remove("remove", document)?;
                }
                Operation::Replace { path, value } => path.replace(document, value.clone())?,
                Operation::Move { from, path } => {
                    if from.leads_to(path) {
                        return Err(path.error("move", "a value cannot move into itself"));
                    }
                    let value = from.remove("move", document)?;
                    path.add("move", document, value)?;
                }
                Operation::Copy { from, path } => {
                    let value = from.get(document).cloned();
                    let value =
                        value.ok_or_else(|| from.error("copy", "there is no such value"))?;
                    path.add("copy", document, value)?;
                }
                Operation::Test { path, value } => {
                    let is_equal = path
                        .get(document)
                        .is_some_and(|found| equal_values(found, value));
                    if !is_equal {
                        return Err(DocumentError::TestFailed {
                            path: path.text.clone(),
                        });
                    }
                }
            }
        }
        Ok(())
    }
}

fn parse_operation(operation: &Value) -> Result<Operation> {
    let wrong = |reason: String| DocumentError::invalid("JSON Patch", "", reason);
    let text = |member: &str| {
        let text = operation.get(member).and_then(Value::as_str);
        text.ok_or_else(|| wrong(format!("\"{member}\" must be a string")))
    };
    let pointer = |member: &str| Pointer::parse(text(member)?);
    let value = || {
        let value = operation.get("value").cloned();
        value.ok_or_else(|| wrong("\"value\" is missing".to_owned()))
    };
    let path = pointer("path")?;
    Ok(match text("op")? {
        "add" => Operation::Add {
            path,
            value: value()?,
        },
        "remove" => Operation::Remove { path },
        "replace" => Operation::Replace {
            path,
            value: value()?,
        },
        "move" => Operation::Move {
            from: pointer("from")?,
            path,
        },
        "copy" => Operation::Copy {
            from: pointer("from")?,
            path,
        },
        "test" => Operation::Test {
            path,
            value: value()?,
        },
        other => return Err(wrong(format!("\"{other}\" is not an operation"))),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The examples of RFC 7396, appendix A.
    #[test]
    fn the_examples_of_the_merge_patch_standard() {
        for (target, patch, expected) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (
                json!({"a":"b","b":"c"}),
                json!({"a":null}),
                json!({"b":"c"}),
            ),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (
                json!({"a":{"b":"c"}}),
                json!({"a":{"b":"d","c":null}}),
                json!({"a":{"b":"d"}}),
            ),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a":"b"}), json!(["c"]), json!(["c"])),
            (json!({"a":"foo"}), json!(null), json!(null)),
            (json!({"a":"foo"}), json!("bar"), json!("bar")),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
            (
                json!({}),
                json!({"a":{"bb":{"ccc":null}}}),
                json!({"a":{"bb":{}}}),
            ),
        ] {
            let mut document = target.clone();
            merge_patch(&mut document, &patch);
            assert_eq!(document, expected, "{target} {patch}");
        }
    }

    #[test]
    fn tests_compare_numbers_by_value() {
        let document = tessera_codec::json::parse(br#"{"a":1.50,"b":{"c":1,"d":2}}"#).unwrap();
        let patch = json!([
            {"op":"test","path":"/a","value":1.5},
            {"op":"test","path":"/b","value":{"d":2.0,"c":1}},
        ]);
        let mut copy = document.clone();
        JsonPatch::parse(&patch).unwrap().apply(&mut copy).unwrap();
        assert_eq!(copy, document);
    }
}
