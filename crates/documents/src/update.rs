//! Update operators: atomic changes of fields.
//!
//! Names and meaning are MongoDB's (manual, "Update Operators"): fields that lead to a path are
//! created, a number in a path is an index of an array and nothing is done to several elements at
//! once. What is not here (`$`, `$[]`, `$[name]`, `$bit`, `$sort` of `$push`) is refused.
//!
//! # Map
//! - `place`: finds, creates and removes the value at a path of a tree.
//! - `apply`: what each operator does.

mod apply;
pub(crate) mod place;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use crate::error::{DocumentError, Result};
use crate::filter::Filter;
use crate::number;
use crate::path::{Path, integer_of};

/// Paths of one update.
pub const UPDATE_PATHS_MAX: usize = 1_000;
/// Elements that setting an index behind the end of an array may add.
pub const ARRAY_GROWTH_MAX: usize = 10_000;

const WHAT: &str = "update";

/// Operators on paths, such as `{"$inc": {"n": 1}, "$push": {"tags": "x"}}`.
#[derive(Clone, Debug)]
pub struct Update {
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
struct Step {
    path: Path,
    operator: Operator,
}

#[derive(Clone, Debug)]
enum Operator {
    Set(Value),
    SetOnInsert(Value),
    Unset,
    Increment(Value),
    Multiply(Value),
    Minimum(Value),
    Maximum(Value),
    Rename(Path),
    CurrentDate,
    Push {
        values: Vec<Value>,
        position: Option<i64>,
        slice: Option<i64>,
    },
    AddToSet(Vec<Value>),
    /// From the front or from the end.
    Pop {
        first: bool,
    },
    /// Removes the elements that match; the filter is about `{"v": [element]}`.
    Pull(Box<Filter>),
    PullAll(Vec<Value>),
}

/// What operators may know besides the document.
#[derive(Clone, Copy, Debug)]
pub struct UpdateContext {
    /// For `$currentDate`, microseconds since 1970.
    pub unix_micros: i64,
    /// The document is made by this update.
    pub is_insert: bool,
}

fn wrong(place: &str, reason: &str) -> DocumentError {
    DocumentError::invalid(WHAT, place, reason)
}

impl Update {
    /// Parses an object of operators.
    pub fn parse(value: &Value) -> Result<Update> {
        let Value::Object(operators) = value else {
            return Err(wrong("", "an update must be an object of operators"));
        };
        if operators.is_empty() {
            return Err(wrong("", "an update needs an operator"));
        }
        let mut steps: Vec<Step> = Vec::new();
        for (name, arguments) in operators {
            if !name.starts_with('$') {
                return Err(wrong(
                    name,
                    "an update has operators only, and they begin with $",
                ));
            }
            let Value::Object(arguments) = arguments else {
                return Err(wrong(name, "it takes an object of paths"));
            };
            for (text, argument) in arguments {
                if text.split('.').any(|part| part.starts_with('$')) {
                    return Err(DocumentError::unsupported("path in an update", text));
                }
                let path = Path::parse(text, WHAT)?;
                let operator = parse_operator(name, text, argument)?;
                add(&mut steps, Step { path, operator })?;
            }
        }
        Ok(Update { steps })
    }

    /// Applies all operators. On an error `document` is in some state between: the caller drops
    /// it.
    pub fn apply(&self, document: &mut Value, context: UpdateContext) -> Result<()> {
        for step in &self.steps {
            step.apply(document, context)?;
        }
        Ok(())
    }
}

/// Two operators may not touch the same place.
fn add(steps: &mut Vec<Step>, step: Step) -> Result<()> {
    if steps.len() == UPDATE_PATHS_MAX {
        return Err(DocumentError::Limit {
            what: "the number of paths in an update",
            limit: UPDATE_PATHS_MAX,
        });
    }
    for path in step.paths() {
        if steps
            .iter()
            .flat_map(Step::paths)
            .any(|other| other.meets(path))
        {
            return Err(wrong(
                path.as_str(),
                "another operator changes the same place",
            ));
        }
    }
    if let Operator::Rename(target) = &step.operator
        && target.meets(&step.path)
    {
        return Err(wrong(
            step.path.as_str(),
            "a field cannot be renamed into itself",
        ));
    }
    steps.push(step);
    Ok(())
}

impl Step {
    fn paths(&self) -> Vec<&Path> {
        match &self.operator {
            Operator::Rename(target) => vec![&self.path, target],
            _ => vec![&self.path],
        }
    }
}

fn parse_operator(name: &str, path: &str, argument: &Value) -> Result<Operator> {
    let needs_number = || match argument {
        Value::Number(_) if number::decimal(argument).is_some() => Ok(argument.clone()),
        _ => Err(wrong(
            path,
            &format!("{name} takes a number of at most 38 digits"),
        )),
    };
    Ok(match name {
        "$set" => Operator::Set(argument.clone()),
        "$setOnInsert" => Operator::SetOnInsert(argument.clone()),
        "$unset" => Operator::Unset,
        "$inc" => Operator::Increment(needs_number()?),
        "$mul" => Operator::Multiply(needs_number()?),
        "$min" => Operator::Minimum(argument.clone()),
        "$max" => Operator::Maximum(argument.clone()),
        "$rename" => match argument.as_str() {
            Some(target) => Operator::Rename(Path::parse(target, WHAT)?),
            None => return Err(wrong(path, "$rename takes the new path as a string")),
        },
        "$currentDate" => {
            current_date(path, argument)?;
            Operator::CurrentDate
        }
        "$push" => push(path, argument)?,
        "$addToSet" => Operator::AddToSet(match argument.as_object() {
            Some(pairs) if pairs.contains_key("$each") => {
                only(path, pairs, &["$each"])?;
                each(path, pairs)?
            }
            _ => vec![argument.clone()],
        }),
        "$pop" => match integer_of(argument) {
            Some(-1) => Operator::Pop { first: true },
            Some(1) => Operator::Pop { first: false },
            _ => return Err(wrong(path, "$pop takes 1 or -1")),
        },
        "$pull" => pull(argument)?,
        "$pullAll" => match argument {
            Value::Array(values) => Operator::PullAll(values.clone()),
            _ => return Err(wrong(path, "$pullAll takes an array")),
        },
        _ => return Err(DocumentError::unsupported("update operator", name)),
    })
}

fn current_date(path: &str, argument: &Value) -> Result<()> {
    match argument {
        Value::Bool(true) => Ok(()),
        Value::Object(pairs) if pairs.len() == 1 => match pairs.get("$type") {
            Some(Value::String(name)) if name == "date" => Ok(()),
            Some(Value::String(name)) => Err(DocumentError::unsupported("$type", name)),
            _ => Err(wrong(
                path,
                "$currentDate takes true or {\"$type\": \"date\"}",
            )),
        },
        _ => Err(wrong(
            path,
            "$currentDate takes true or {\"$type\": \"date\"}",
        )),
    }
}

fn only(path: &str, pairs: &Map<String, Value>, names: &[&str]) -> Result<()> {
    match pairs.keys().find(|key| !names.contains(&key.as_str())) {
        Some(name) if name.starts_with('$') => Err(DocumentError::unsupported("modifier", name)),
        Some(_) => Err(wrong(path, "modifiers and fields are mixed")),
        None => Ok(()),
    }
}

fn each(path: &str, pairs: &Map<String, Value>) -> Result<Vec<Value>> {
    match pairs.get("$each") {
        Some(Value::Array(values)) => Ok(values.clone()),
        _ => Err(wrong(path, "$each takes an array")),
    }
}

fn push(path: &str, argument: &Value) -> Result<Operator> {
    let pairs = match argument.as_object() {
        Some(pairs) if pairs.contains_key("$each") => pairs,
        _ => {
            return Ok(Operator::Push {
                values: vec![argument.clone()],
                position: None,
                slice: None,
            });
        }
    };
    only(path, pairs, &["$each", "$position", "$slice"])?;
    let whole = |name: &str| match pairs.get(name) {
        None => Ok(None),
        Some(value) => integer_of(value)
            .map(Some)
            .ok_or_else(|| wrong(path, &format!("{name} takes a whole number"))),
    };
    Ok(Operator::Push {
        values: each(path, pairs)?,
        position: whole("$position")?,
        slice: whole("$slice")?,
    })
}

/// A condition of operators or fields is a query on each element; anything else is a value.
fn pull(argument: &Value) -> Result<Operator> {
    let condition = match argument {
        Value::Object(_) => argument.clone(),
        value => {
            let mut pairs = Map::new();
            pairs.insert("$eq".to_owned(), value.clone());
            Value::Object(pairs)
        }
    };
    let mut element = Map::new();
    element.insert("$elemMatch".to_owned(), condition);
    let mut filter = Map::new();
    filter.insert("v".to_owned(), Value::Object(element));
    let filter = Filter::parse(&Value::Object(filter))?;
    Ok(Operator::Pull(Box::new(filter)))
}
