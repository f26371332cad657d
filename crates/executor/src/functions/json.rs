//! Operators and functions on `json` and `jsonb`.

mod build;
mod edit;
pub(super) mod raw;

use tessera_planner::functions::FunctionRegistry;
use tessera_types::SqlType::{Array, Boolean, Integer, Json as JsonType, Jsonb, Text};
use tessera_types::json::Json;
use tessera_types::{Report, SqlType, Value, ValueRef, codes};

use super::kernel::{Row, RowResult, function, integer, operator};

pub(super) use build::{json_text, to_json};

/// Adds them.
pub(super) fn register(registry: &mut FunctionRegistry) {
    navigation(registry);
    containment(registry);
    questions(registry);
    build::register(registry);
    edit::register(registry);
}

fn texts() -> SqlType {
    Array(Box::new(Text))
}

/// A part of a JSON value as a value of the same type.
fn part(found: Option<&str>) -> RowResult {
    Ok(found.map_or(Value::Null, |text| Value::Json(text.into())))
}

/// A part as text.
fn part_text(found: Option<&str>) -> RowResult {
    Ok(found
        .and_then(raw::as_text)
        .map_or(Value::Null, Value::from))
}

/// Follows a path; None also when a step is NULL.
fn follow<'a>(row: &'a Row<'_>) -> Option<&'a str> {
    let ValueRef::Array(steps) = row.value(1) else {
        return None;
    };
    let steps: Option<Vec<&str>> = steps.elements.iter().map(Value::as_str).collect();
    raw::path(row.text(0), &steps?)
}

fn navigation(r: &mut FunctionRegistry) {
    for ty in [JsonType, Jsonb] {
        operator(r, "->", [ty.clone(), Text], ty.clone(), |row| {
            part(raw::get(row.text(0), row.text(1)))
        });
        operator(r, "->", [ty.clone(), Integer], ty.clone(), |row| {
            part(raw::element(row.text(0), row.integer(1)))
        });
        operator(r, "->>", [ty.clone(), Text], Text, |row| {
            part_text(raw::get(row.text(0), row.text(1)))
        });
        operator(r, "->>", [ty.clone(), Integer], Text, |row| {
            part_text(raw::element(row.text(0), row.integer(1)))
        });
        operator(r, "#>", [ty.clone(), texts()], ty.clone(), |row| {
            part(follow(row))
        });
        operator(r, "#>>", [ty.clone(), texts()], Text, |row| {
            part_text(follow(row))
        });
    }
    for (prefix, ty) in [("json", JsonType), ("jsonb", Jsonb)] {
        use tessera_planner::functions::{Argument, Returns, Scalar};
        let arguments = || [Argument::Exact(ty.clone()), Argument::Exact(Text)];
        let steps = |row: &Row<'_>| -> Vec<String> {
            (1..row.len()).map(|i| row.text(i).to_owned()).collect()
        };
        let name = format!("{prefix}_extract_path");
        let body = move |row: &Row<'_>| {
            let steps = steps(row);
            part(raw::path(
                row.text(0),
                &steps.iter().map(String::as_str).collect::<Vec<_>>(),
            ))
        };
        r.scalar(
            Scalar::new(
                &name,
                arguments(),
                Returns::Exact(ty.clone()),
                super::kernel::strict(body),
            )
            .variadic(),
        );
        let name = format!("{prefix}_extract_path_text");
        let body = move |row: &Row<'_>| {
            let steps = steps(row);
            part_text(raw::path(
                row.text(0),
                &steps.iter().map(String::as_str).collect::<Vec<_>>(),
            ))
        };
        r.scalar(
            Scalar::new(
                &name,
                arguments(),
                Returns::Exact(Text),
                super::kernel::strict(body),
            )
            .variadic(),
        );
    }
}

/// The tree of a `jsonb` argument.
fn tree(row: &Row<'_>, index: usize) -> Result<Json, Report> {
    Ok(tessera_types::json::parse_binary(row.text(index))?)
}

fn jsonb(tree: &Json) -> RowResult {
    Ok(Value::Json(tree.to_string().into()))
}

fn containment(r: &mut FunctionRegistry) {
    operator(r, "@>", [Jsonb, Jsonb], Boolean, |row| {
        Ok(Value::Boolean(contains(
            &tree(row, 0)?,
            &tree(row, 1)?,
            true,
        )))
    });
    operator(r, "<@", [Jsonb, Jsonb], Boolean, |row| {
        Ok(Value::Boolean(contains(
            &tree(row, 1)?,
            &tree(row, 0)?,
            true,
        )))
    });
    function(r, "jsonb_contains", [Jsonb, Jsonb], Boolean, |row| {
        Ok(Value::Boolean(contains(
            &tree(row, 0)?,
            &tree(row, 1)?,
            true,
        )))
    });
    for symbol in ["?", "jsonb_exists"] {
        let body = |row: &Row<'_>| Ok(Value::Boolean(exists(&tree(row, 0)?, row.text(1))));
        if symbol == "?" {
            operator(r, symbol, [Jsonb, Text], Boolean, body);
        } else {
            function(r, symbol, [Jsonb, Text], Boolean, body);
        }
    }
    operator(r, "?|", [Jsonb, texts()], Boolean, |row| {
        let tree = tree(row, 0)?;
        Ok(Value::Boolean(keys(row).any(|key| exists(&tree, key))))
    });
    operator(r, "?&", [Jsonb, texts()], Boolean, |row| {
        let tree = tree(row, 0)?;
        Ok(Value::Boolean(keys(row).all(|key| exists(&tree, key))))
    });
}

fn keys<'a>(row: &'a Row<'_>) -> impl Iterator<Item = &'a str> {
    let elements = match row.value(1) {
        ValueRef::Array(keys) => keys.elements.as_slice(),
        _ => &[],
    };
    elements.iter().filter_map(Value::as_str)
}

fn exists(tree: &Json, key: &str) -> bool {
    match tree {
        Json::Object(pairs) => pairs.iter().any(|pair| pair.0 == key),
        Json::Array(elements) => elements
            .iter()
            .any(|element| matches!(element, Json::String(text) if text == key)),
        Json::String(text) => text == key,
        _ => false,
    }
}

/// PostgreSQL's containment: keys and elements of `b` are in `a`; at the top an array contains a scalar.
fn contains(a: &Json, b: &Json, top: bool) -> bool {
    match (a, b) {
        (Json::Object(_), Json::Object(wanted)) => wanted.iter().all(|(key, value)| {
            a.get(key)
                .is_some_and(|found| contains(found, value, false))
        }),
        (Json::Array(have), Json::Array(wanted)) => wanted
            .iter()
            .all(|value| have.iter().any(|found| contains(found, value, false))),
        (Json::Array(have), scalar) if top && !matches!(scalar, Json::Object(_)) => {
            have.iter().any(|found| contains(found, scalar, false))
        }
        (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b) && a.compare(b).is_eq(),
    }
}

fn questions(r: &mut FunctionRegistry) {
    for (prefix, ty) in [("json", JsonType), ("jsonb", Jsonb)] {
        function(r, &format!("{prefix}_typeof"), [ty.clone()], Text, |row| {
            Ok(Value::from(
                match raw::trim(row.text(0)).as_bytes().first() {
                    Some(b'{') => "object",
                    Some(b'[') => "array",
                    Some(b'"') => "string",
                    Some(b't' | b'f') => "boolean",
                    Some(b'n') => "null",
                    _ => "number",
                },
            ))
        });
        function(
            r,
            &format!("{prefix}_array_length"),
            [ty.clone()],
            Integer,
            |row| match raw::elements(row.text(0)) {
                Some(elements) => integer(elements.count() as i64),
                None => Err(not_an_array(row.text(0), "get array length of")),
            },
        );
    }
}

/// 22023 for a value that has no elements.
pub(super) fn not_an_array(text: &str, action: &str) -> Report {
    let kind = if raw::trim(text).starts_with('{') {
        "a non-array"
    } else {
        "a scalar"
    };
    Report::error(
        codes::INVALID_PARAMETER_VALUE,
        format!("cannot {action} {kind}"),
    )
}
