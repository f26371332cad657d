//! Which fields an answer has: MongoDB's projections by inclusion and exclusion.

use serde_json::{Map, Value};

use crate::document::{Document, ID_FIELD};
use crate::error::{DocumentError, Result};
use crate::path::{PATH_SEGMENTS_MAX, Path};
use tessera_codec::json::JsonBuf;

/// Paths of one projection.
pub const PROJECTION_PATHS_MAX: usize = 1_000;

/// Fields to keep, or fields to leave out. Through arrays it applies to each object in them.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    keeps: bool,
    tree: Tree,
    /// Whether the id is among the fields of the answer; `find` gives it apart from the body.
    pub(crate) has_id: bool,
}

/// Names; without further names the whole value is meant.
#[derive(Clone, Debug, Default, PartialEq)]
struct Tree {
    trees: Vec<(String, Tree)>,
}

impl Tree {
    fn add(&mut self, names: &[&str]) -> bool {
        let Some((name, rest)) = names.split_first() else {
            return false;
        };
        match self.trees.iter_mut().find(|(known, _)| known == name) {
            // `a` and `a.b` together contradict each other.
            Some((_, tree)) if tree.trees.is_empty() || rest.is_empty() => false,
            Some((_, tree)) => tree.add(rest),
            None => {
                let mut tree = Tree::default();
                if !rest.is_empty() {
                    tree.add(rest);
                }
                self.trees.push(((*name).to_owned(), tree));
                true
            }
        }
    }

    fn get(&self, name: &str) -> Option<&Tree> {
        let found = self.trees.iter().find(|(known, _)| known == name);
        found.map(|(_, tree)| tree)
    }
}

impl Projection {
    /// Parses `{"a": 1, "b.c": 1}` or `{"a": 0}`; `_id` may differ from the others.
    pub fn parse(value: &Value) -> Result<Projection> {
        let wrong = |place: &str, reason: &str| DocumentError::invalid("projection", place, reason);
        let Value::Object(pairs) = value else {
            return Err(wrong("", "a projection must be an object"));
        };
        if pairs.len() > PROJECTION_PATHS_MAX {
            return Err(DocumentError::Limit {
                what: "the number of paths in a projection",
                limit: PROJECTION_PATHS_MAX,
            });
        }
        let (mut keeps, mut has_id) = (None, None);
        let mut tree = Tree::default();
        for (path, flag) in pairs {
            let is_kept = match flag {
                Value::Bool(flag) => *flag,
                Value::Number(_) => !matches!(crate::path::integer_of(flag), Some(0)),
                _ => return Err(wrong(path, "it takes 1 or 0, true or false")),
            };
            if path == ID_FIELD {
                has_id = Some(is_kept);
                continue;
            }
            if keeps.is_some_and(|keeps| keeps != is_kept) {
                return Err(wrong(path, "fields are kept or left out, not both"));
            }
            keeps = Some(is_kept);
            Path::parse(path, "projection")?;
            let names: Vec<&str> = path.split('.').collect();
            if !tree.add(&names) {
                return Err(wrong(path, "another path is the same or leads to it"));
            }
        }
        // `{"_id": 1}` alone keeps nothing else.
        let keeps = keeps.unwrap_or(has_id == Some(true));
        Ok(Projection {
            keeps,
            tree,
            has_id: has_id.unwrap_or(true),
        })
    }

    /// A projection of a pipeline. Beside computed fields nothing is kept unless it is named, and
    /// nothing but the id can be left out.
    pub(crate) fn for_stage(flags: &Value, has_computed: bool) -> Result<Projection> {
        let mut projection = Projection::parse(flags)?;
        if has_computed && !projection.keeps {
            if !projection.tree.trees.is_empty() {
                return Err(DocumentError::invalid(
                    "projection",
                    "",
                    "fields are computed or left out, not both",
                ));
            }
            projection.keeps = true;
        }
        Ok(projection)
    }

    /// As [`Projection::apply`], on a value that has the id as a member.
    pub(crate) fn apply_with_id(&self, value: &Value) -> Value {
        let mut out = Map::new();
        if let (true, Some(id)) = (self.has_id, value.get(ID_FIELD)) {
            out.insert(ID_FIELD.to_owned(), id.clone());
        }
        if let Value::Object(mut projected) = self.apply(value) {
            projected.shift_remove(ID_FIELD);
            out.append(&mut projected);
        }
        Value::Object(out)
    }

    pub(crate) fn apply(&self, value: &Value) -> Value {
        self.project(value, &self.tree, 0)
    }

    /// The document with the fields of the answer; id and version stay.
    pub(crate) fn document(&self, document: &Document) -> Result<Document> {
        let body = JsonBuf::from_value(&self.apply(&document.to_value()?))?;
        Ok(Document::new(
            document.id().clone(),
            document.version(),
            &body,
        ))
    }

    fn project(&self, value: &Value, tree: &Tree, depth: usize) -> Value {
        match value {
            Value::Object(pairs) => {
                let mut out = Map::new();
                for (key, value) in pairs {
                    match tree.get(key) {
                        None if self.keeps => {}
                        None => {
                            out.insert(key.clone(), value.clone());
                        }
                        Some(below) if below.trees.is_empty() => {
                            if self.keeps {
                                out.insert(key.clone(), value.clone());
                            }
                        }
                        Some(below) => {
                            // A scalar has no fields: it is left out when fields are kept.
                            let is_scalar = !value.is_object() && !value.is_array();
                            if !(self.keeps && is_scalar) {
                                out.insert(key.clone(), self.project(value, below, depth + 1));
                            }
                        }
                    }
                }
                Value::Object(out)
            }
            Value::Array(elements) if depth <= PATH_SEGMENTS_MAX => elements
                .iter()
                .filter(|element| {
                    let is_scalar = !element.is_object() && !element.is_array();
                    !(self.keeps && is_scalar)
                })
                .map(|element| self.project(element, tree, depth))
                .collect(),
            value => value.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_kept_or_left_out() {
        let document =
            json!({"a": 1, "b": {"c": 2, "d": 3}, "e": [{"f": 1, "g": 2}, 5, [{"f": 3}]]});
        for (projection, expected) in [
            (json!({"a": 1}), json!({"a": 1})),
            (json!({"a": 0, "e": false}), json!({"b": {"c": 2, "d": 3}})),
            (json!({"b.c": 1}), json!({"b": {"c": 2}})),
            (json!({"b.c": 0, "e": 0}), json!({"a": 1, "b": {"d": 3}})),
            (json!({"e.f": 1}), json!({"e": [{"f": 1}, [{"f": 3}]]})),
            (
                json!({"e.f": 0, "b": 0}),
                json!({"a": 1, "e": [{"g": 2}, 5, [{}]]}),
            ),
            (json!({"a.x": 1}), json!({})),
            (json!({"a.x": 0, "b": 0, "e": 0}), json!({"a": 1})),
            (json!({"_id": 1}), json!({})),
            (json!({"_id": 0, "a": 1}), json!({"a": 1})),
        ] {
            let parsed = Projection::parse(&projection).unwrap();
            assert_eq!(parsed.apply(&document), expected, "{projection}");
        }
        for wrong in [
            json!({"a": 1, "b": 0}),
            json!({"a": 1, "a.b": 1}),
            json!({"a": "x"}),
            json!(1),
        ] {
            assert!(Projection::parse(&wrong).is_err(), "{wrong}");
        }
    }
}
