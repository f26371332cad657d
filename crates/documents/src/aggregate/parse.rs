//! A tree to stages.

use serde_json::{Map, Value};

use super::expression::Expression;
use super::group::Accumulator;
use super::{Pipeline, STAGES_MAX, Stage};
use crate::document::ID_FIELD;
use crate::error::{DocumentError, Result};
use crate::filter::Filter;
use crate::order::Sort;
use crate::path::{Path, integer_of};
use crate::query::Projection;

const WHAT: &str = "pipeline";

/// Levels of objects in a `$project`.
const PROJECT_DEPTH_MAX: usize = 16;

fn wrong(place: &str, reason: &str) -> DocumentError {
    DocumentError::invalid(WHAT, place, reason)
}

pub(super) fn pipeline(value: &Value) -> Result<Pipeline> {
    let Value::Array(list) = value else {
        return Err(wrong("", "a pipeline must be an array of stages"));
    };
    if list.len() > STAGES_MAX {
        return Err(DocumentError::Limit {
            what: "the number of stages in a pipeline",
            limit: STAGES_MAX,
        });
    }
    let stages = list.iter().enumerate().map(|(at, value)| {
        let pairs = value.as_object().filter(|pairs| pairs.len() == 1);
        match pairs.and_then(|pairs| pairs.iter().next()) {
            Some((name, argument)) => stage(name, argument),
            None => Err(wrong(
                &at.to_string(),
                "a stage is an object with one member",
            )),
        }
    });
    Ok(Pipeline {
        stages: stages.collect::<Result<_>>()?,
    })
}

fn stage(name: &str, argument: &Value) -> Result<Stage> {
    let count = || {
        integer_of(argument)
            .and_then(|count| u64::try_from(count).ok())
            .ok_or_else(|| wrong(name, "it takes a whole number from 0"))
    };
    Ok(match name {
        "$match" => Stage::Match(Filter::parse(argument)?),
        "$project" => project(object(name, argument)?)?,
        "$addFields" | "$set" => Stage::AddFields(add_fields(name, object(name, argument)?)?),
        "$unset" => unset(argument)?,
        "$replaceRoot" => {
            let pairs = only(name, object(name, argument)?, &["newRoot"])?;
            let root = pairs.get("newRoot");
            let root = root.ok_or_else(|| wrong(name, "newRoot is missing"))?;
            Stage::ReplaceRoot(Expression::parse(root)?)
        }
        "$replaceWith" => Stage::ReplaceRoot(Expression::parse(argument)?),
        "$group" => group(name, object(name, argument)?)?,
        "$sort" => match Sort::parse(argument)? {
            sort if sort.is_empty() => return Err(wrong(name, "it needs a path")),
            sort => Stage::Sort(sort),
        },
        "$limit" => match count()? {
            0 => return Err(wrong(name, "it takes a number from 1")),
            limit => Stage::Limit(limit),
        },
        "$skip" => Stage::Skip(count()?),
        "$unwind" => unwind(name, argument)?,
        "$lookup" => lookup(name, object(name, argument)?)?,
        "$count" => match argument.as_str() {
            Some(field) if !field.is_empty() && !field.starts_with('$') && !field.contains('.') => {
                Stage::Count(field.to_owned())
            }
            _ => return Err(wrong(name, "it takes the name of a field")),
        },
        _ => return Err(DocumentError::unsupported("pipeline stage", name)),
    })
}

fn object<'a>(place: &str, value: &'a Value) -> Result<&'a Map<String, Value>> {
    value
        .as_object()
        .ok_or_else(|| wrong(place, "it takes an object"))
}

fn only<'a>(
    place: &str,
    pairs: &'a Map<String, Value>,
    names: &[&str],
) -> Result<&'a Map<String, Value>> {
    match pairs.keys().find(|key| !names.contains(&key.as_str())) {
        Some(key) => Err(DocumentError::unsupported(
            "member of a stage",
            format!("{place}.{key}"),
        )),
        None => Ok(pairs),
    }
}

/// Flags as in a query's projection, and expressions.
fn project(pairs: &Map<String, Value>) -> Result<Stage> {
    let (mut flags, mut computed) = (Map::new(), Vec::new());
    flatten("", pairs, 0, &mut flags, &mut computed)?;
    if flags.is_empty() && computed.is_empty() {
        return Err(wrong("$project", "it needs a field"));
    }
    let projection = Projection::for_stage(&Value::Object(flags), !computed.is_empty())?;
    Ok(Stage::Project {
        projection,
        computed,
    })
}

fn flatten(
    above: &str,
    pairs: &Map<String, Value>,
    depth: usize,
    flags: &mut Map<String, Value>,
    computed: &mut Vec<(Path, Expression)>,
) -> Result<()> {
    if depth > PROJECT_DEPTH_MAX {
        return Err(DocumentError::Limit {
            what: "the depth of a $project",
            limit: PROJECT_DEPTH_MAX,
        });
    }
    for (key, value) in pairs {
        let path = match above {
            "" => key.clone(),
            above => format!("{above}.{key}"),
        };
        match value {
            Value::Bool(_) | Value::Number(_) => {
                flags.insert(path, value.clone());
            }
            Value::Object(below) if !below.keys().any(|key| key.starts_with('$')) => {
                flatten(&path, below, depth + 1, flags, computed)?;
            }
            value => computed.push((Path::parse(&path, WHAT)?, Expression::parse(value)?)),
        }
    }
    Ok(())
}

fn add_fields(name: &str, pairs: &Map<String, Value>) -> Result<Vec<(Path, Expression)>> {
    if pairs.is_empty() {
        return Err(wrong(name, "it needs a field"));
    }
    pairs
        .iter()
        .map(|(path, value)| Ok((Path::parse(path, WHAT)?, Expression::parse(value)?)))
        .collect()
}

fn unset(argument: &Value) -> Result<Stage> {
    let error = || wrong("$unset", "it takes a path or an array of paths");
    let paths = match argument {
        Value::String(path) => vec![path.as_str()],
        Value::Array(paths) if !paths.is_empty() => paths
            .iter()
            .map(|path| path.as_str().ok_or_else(error))
            .collect::<Result<_>>()?,
        _ => return Err(error()),
    };
    let flags = paths
        .into_iter()
        .map(|path| (path.to_owned(), Value::Bool(false)));
    Ok(Stage::Project {
        projection: Projection::for_stage(&Value::Object(flags.collect()), false)?,
        computed: Vec::new(),
    })
}

fn group(name: &str, pairs: &Map<String, Value>) -> Result<Stage> {
    let id = pairs
        .get(ID_FIELD)
        .ok_or_else(|| wrong(name, "_id is missing: the key of the groups, or null"))?;
    let mut fields = Vec::new();
    for (field, value) in pairs.iter().filter(|(key, _)| *key != ID_FIELD) {
        if field.contains('.') || field.starts_with('$') {
            return Err(wrong(field, "a field of a group is a plain name"));
        }
        let spec = value.as_object().filter(|spec| spec.len() == 1);
        let Some((operator, argument)) = spec.and_then(|spec| spec.iter().next()) else {
            return Err(wrong(field, "it takes an object with one accumulator"));
        };
        let accumulator = Accumulator::parse(operator)?;
        let expression = if accumulator == Accumulator::Count {
            match argument.as_object() {
                Some(empty) if empty.is_empty() => Expression::one(),
                _ => return Err(wrong(field, "$count takes {}")),
            }
        } else {
            Expression::parse(argument)?
        };
        fields.push((field.clone(), accumulator, expression));
    }
    Ok(Stage::Group {
        id: Expression::parse(id)?,
        fields,
    })
}

fn field_path(place: &str, text: Option<&str>) -> Result<Path> {
    match text.and_then(|text| text.strip_prefix('$')) {
        Some(path) => Path::parse(path, WHAT),
        None => Err(wrong(place, "a path begins with $")),
    }
}

fn unwind(name: &str, argument: &Value) -> Result<Stage> {
    let pairs = match argument {
        Value::String(text) => {
            return Ok(Stage::Unwind {
                path: field_path(name, Some(text))?,
                index_field: None,
                keeps_empty: false,
            });
        }
        argument => object(name, argument)?,
    };
    only(
        name,
        pairs,
        &["path", "includeArrayIndex", "preserveNullAndEmptyArrays"],
    )?;
    let index_field = match pairs.get("includeArrayIndex") {
        None => None,
        Some(Value::String(field)) => Some(Path::parse(field, WHAT)?),
        Some(_) => return Err(wrong(name, "includeArrayIndex takes a path")),
    };
    let keeps_empty = match pairs.get("preserveNullAndEmptyArrays") {
        None => false,
        Some(Value::Bool(flag)) => *flag,
        Some(_) => {
            return Err(wrong(
                name,
                "preserveNullAndEmptyArrays takes true or false",
            ));
        }
    };
    Ok(Stage::Unwind {
        path: field_path(name, pairs.get("path").and_then(Value::as_str))?,
        index_field,
        keeps_empty,
    })
}

fn lookup(name: &str, pairs: &Map<String, Value>) -> Result<Stage> {
    only(name, pairs, &["from", "localField", "foreignField", "as"])?;
    let text = |member: &str| {
        let text = pairs.get(member).and_then(Value::as_str);
        text.ok_or_else(|| wrong(name, &format!("{member} must be a string")))
    };
    Ok(Stage::Lookup {
        from: text("from")?.to_owned(),
        local: Path::parse(text("localField")?, WHAT)?,
        foreign: Path::parse(text("foreignField")?, WHAT)?,
        into: Path::parse(text("as")?, WHAT)?,
    })
}
