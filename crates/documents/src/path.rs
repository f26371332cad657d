//! Dotted paths and what they reach in a document.
//!
//! The rules are MongoDB's (manual, "Query an Array of Embedded Documents"): a name reaches the
//! field of an object; at an array it reaches the field of each object in it, and a number also the
//! element at that index, from 0. A path may so reach several values.

use serde_json::Value;
use tessera_codec::json::{JsonBuf, JsonRef, NumberRef};

use crate::document::{ID_FIELD, Subject};
use crate::error::{DocumentError, Result};

/// Bytes of a path.
pub const PATH_BYTES_MAX: usize = 1_024;
/// Names in a path.
pub const PATH_SEGMENTS_MAX: usize = 64;

/// A dotted path such as `items.0.price`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path {
    text: String,
    segments: Vec<Segment>,
}

/// One name of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Segment {
    pub(crate) name: String,
    /// The name as an index of an array.
    pub(crate) index: Option<usize>,
}

/// What a path reaches.
#[derive(Debug, Default)]
pub(crate) struct Reached<'a> {
    /// A value, or nothing where an object lacks the field.
    pub(crate) values: Vec<Option<JsonRef<'a>>>,
    /// An array was passed, or is reached: there may be more values than one.
    pub(crate) is_multiple: bool,
    /// The values are elements of an array already: those among them that are arrays stand for
    /// themselves alone.
    pub(crate) are_elements: bool,
}

impl Path {
    /// Parses a path; `what` names the statement it is part of.
    pub(crate) fn parse(text: &str, what: &'static str) -> Result<Path> {
        let error = |reason: &str| DocumentError::invalid(what, text, reason);
        if text.len() > PATH_BYTES_MAX {
            return Err(DocumentError::Limit {
                what: "the length of a path in bytes",
                limit: PATH_BYTES_MAX,
            });
        }
        let mut segments = Vec::new();
        for name in text.split('.') {
            if name.is_empty() {
                return Err(error("a path has no empty names"));
            }
            if name.starts_with('$') {
                return Err(error("a name in a path cannot begin with $"));
            }
            segments.push(Segment {
                name: name.to_owned(),
                index: array_index(name),
            });
        }
        if segments.len() > PATH_SEGMENTS_MAX {
            return Err(DocumentError::Limit {
                what: "the number of names in a path",
                limit: PATH_SEGMENTS_MAX,
            });
        }
        Ok(Path {
            text: text.to_owned(),
            segments,
        })
    }

    /// The path of the document's id.
    pub(crate) fn id() -> Path {
        Path {
            text: ID_FIELD.to_owned(),
            segments: vec![Segment {
                name: ID_FIELD.to_owned(),
                index: None,
            }],
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether the path is the document's id.
    pub(crate) fn is_id(&self) -> bool {
        self.text == ID_FIELD
    }

    /// The path of `below` under this one.
    pub(crate) fn join(&self, below: &Path) -> Path {
        let mut segments = self.segments.clone();
        segments.extend(below.segments.iter().cloned());
        Path {
            text: format!("{}.{}", self.text, below.text),
            segments,
        }
    }

    /// Whether one path is the other or leads to it.
    pub(crate) fn meets(&self, other: &Path) -> bool {
        let count = self.segments.len().min(other.segments.len());
        self.segments[..count] == other.segments[..count]
    }

    /// What the path reaches.
    pub(crate) fn reach<'a>(&self, subject: &Subject<'a>) -> Result<Reached<'a>> {
        let mut reached = Reached::default();
        if self.segments[0].name == ID_FIELD
            && let Some(id) = subject.id
        {
            let value = (self.segments.len() == 1).then_some(JsonRef::String(id));
            reached.values.push(value);
            return Ok(reached);
        }
        reach_at(subject.body, &self.segments, &mut reached)?;
        if reached
            .values
            .iter()
            .flatten()
            .any(|value| matches!(value, JsonRef::Array(_)))
        {
            reached.is_multiple = true;
        }
        Ok(reached)
    }
}

/// A name that is the index of an array element.
pub(crate) fn array_index(name: &str) -> Option<usize> {
    let is_index =
        name.bytes().all(|byte| byte.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    if is_index { name.parse().ok() } else { None }
}

fn reach_at<'a>(value: JsonRef<'a>, segments: &[Segment], reached: &mut Reached<'a>) -> Result<()> {
    let Some((segment, rest)) = segments.split_first() else {
        reached.values.push(Some(value));
        return Ok(());
    };
    match value {
        JsonRef::Object(object) => match object.get(&segment.name)? {
            Some(value) => reach_at(value, rest, reached),
            None => {
                reached.values.push(None);
                Ok(())
            }
        },
        JsonRef::Array(array) => {
            reached.is_multiple = true;
            if let Some(index) = segment.index
                && let Some(element) = array.get(index)?
            {
                reach_at(element, rest, reached)?;
            }
            for element in array.iter() {
                let JsonRef::Object(object) = element? else {
                    continue;
                };
                match object.get(&segment.name)? {
                    Some(value) => reach_at(value, rest, reached)?,
                    // A number is an index first: its absence as a name says nothing.
                    None if segment.index.is_some() => {}
                    None => reached.values.push(None),
                }
            }
            Ok(())
        }
        _ => {
            reached.values.push(None);
            Ok(())
        }
    }
}

/// A whole number of 64 bits, in whatever spelling.
pub(crate) fn integer_of(value: &Value) -> Option<i64> {
    let Value::Number(_) = value else {
        return None;
    };
    let buf = JsonBuf::from_value(value).ok()?;
    match buf.view().ok()? {
        JsonRef::Number(NumberRef::Int(value)) => Some(value),
        JsonRef::Number(number) => number.to_i64(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(document: &str, path: &str, expected: &str) {
        let buf = JsonBuf::from_text(document.as_bytes()).unwrap();
        let subject = Subject {
            id: Some("x"),
            body: buf.view().unwrap(),
        };
        let reached = Path::parse(path, "path").unwrap().reach(&subject).unwrap();
        let texts: Vec<String> = reached
            .values
            .iter()
            .map(|value| value.map_or("-".to_owned(), |value| value.to_text().unwrap()))
            .collect();
        assert_eq!(texts.join(" "), expected, "{path} in {document}");
    }

    #[test]
    fn paths_pass_arrays() {
        check(r#"{"a":{"b":1}}"#, "a.b", "1");
        check(r#"{"a":[{"b":1},{"b":2},{},3]}"#, "a.b", "1 2 -");
        check(r#"{"a":[{"b":1},{"b":2}]}"#, "a.1.b", "2");
        check(r#"{"a":[{"1":7},{"b":2}]}"#, "a.1", r#"{"b":2} 7"#);
        check(r#"{"a":[[{"b":1}]]}"#, "a.b", "");
        check(r#"{"a":[[{"b":1}]]}"#, "a.0.b", "1");
        check(r#"{"a":5}"#, "a.b", "-");
        check(r#"{"a":5}"#, "_id", "\"x\"");
    }

    #[test]
    fn malformed_paths_are_refused() {
        for path in ["", "a..b", ".a", "a.", "$a", "a.$b"] {
            assert!(Path::parse(path, "path").is_err(), "{path}");
        }
    }
}
