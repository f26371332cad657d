//! Changed copies of `jsonb`: set, insert, delete, strip, pretty-print.

use tessera_planner::functions::{Argument, FunctionRegistry, Returns, Scalar};
use tessera_types::SqlType::{Boolean, Integer, Json as JsonType, Jsonb, Text};
use tessera_types::json::{self, Json};
use tessera_types::{Report, Value, ValueRef, codes};

use super::super::kernel::{Row, check_length, function, invalid, operator, strict};
use super::{jsonb, texts, tree};

/// Adds them.
pub(super) fn register(r: &mut FunctionRegistry) {
    operator(r, "-", [Jsonb, Text], Jsonb, |row| {
        let key = row.text(1);
        jsonb(&match tree(row, 0)? {
            Json::Object(mut pairs) => {
                pairs.retain(|pair| pair.0 != key);
                Json::Object(pairs)
            }
            Json::Array(mut elements) => {
                elements.retain(|element| !matches!(element, Json::String(text) if text == key));
                Json::Array(elements)
            }
            _ => return Err(invalid("cannot delete from scalar")),
        })
    });
    operator(r, "-", [Jsonb, texts()], Jsonb, |row| {
        let keys: Vec<String> = super::keys(row).map(str::to_owned).collect();
        jsonb(&match tree(row, 0)? {
            Json::Object(mut pairs) => {
                pairs.retain(|pair| !keys.contains(&pair.0));
                Json::Object(pairs)
            }
            Json::Array(mut elements) => {
                elements.retain(
                    |element| !matches!(element, Json::String(text) if keys.contains(text)),
                );
                Json::Array(elements)
            }
            _ => return Err(invalid("cannot delete from scalar")),
        })
    });
    operator(r, "-", [Jsonb, Integer], Jsonb, |row| {
        let Json::Array(mut elements) = tree(row, 0)? else {
            let kind = if row.text(0).starts_with('{') {
                "object using integer index"
            } else {
                "scalar"
            };
            return Err(invalid(format!("cannot delete from {kind}")));
        };
        if let Some(index) = place(row.integer(1), elements.len()) {
            elements.remove(index);
        }
        jsonb(&Json::Array(elements))
    });
    for name in ["#-", "jsonb_delete_path"] {
        let body = |row: &Row<'_>| {
            let mut tree = tree(row, 0)?;
            if !matches!(tree, Json::Object(_) | Json::Array(_)) {
                return Err(invalid("cannot delete path in scalar"));
            }
            let steps = steps(row)?;
            change(&mut tree, &steps, 0, &Change::Delete)?;
            jsonb(&tree)
        };
        if name == "#-" {
            operator(r, name, [Jsonb, texts()], Jsonb, body);
        } else {
            function(r, name, [Jsonb, texts()], Jsonb, body);
        }
    }
    let arguments = || [Jsonb, texts(), Jsonb, Boolean].map(Argument::Exact);
    let set = |row: &Row<'_>| {
        let mut tree = tree(row, 0)?;
        if !matches!(tree, Json::Object(_) | Json::Array(_)) {
            return Err(invalid("cannot set path in scalar"));
        }
        let create = row.len() < 4 || row.boolean(3);
        let new = super::tree(row, 2)?;
        change(&mut tree, &steps(row)?, 0, &Change::Set { new, create })?;
        jsonb(&tree)
    };
    r.scalar(Scalar::new("jsonb_set", arguments(), Returns::Exact(Jsonb), strict(set)).optional(1));
    let insert = |row: &Row<'_>| {
        let mut tree = tree(row, 0)?;
        if !matches!(tree, Json::Object(_) | Json::Array(_)) {
            return Err(invalid("cannot set path in scalar"));
        }
        let after = row.len() >= 4 && row.boolean(3);
        let new = super::tree(row, 2)?;
        change(&mut tree, &steps(row)?, 0, &Change::Insert { new, after })?;
        jsonb(&tree)
    };
    r.scalar(
        Scalar::new(
            "jsonb_insert",
            arguments(),
            Returns::Exact(Jsonb),
            strict(insert),
        )
        .optional(1),
    );
    function(r, "jsonb_strip_nulls", [Jsonb], Jsonb, |row| {
        jsonb(&strip_nulls(tree(row, 0)?))
    });
    function(r, "json_strip_nulls", [JsonType], JsonType, |row| {
        let mut out = String::new();
        write_compact(&strip_nulls(json::parse(row.text(0))?), &mut out);
        Ok(Value::Json(out.into()))
    });
    function(r, "jsonb_pretty", [Jsonb], Text, |row| {
        let mut out = String::new();
        pretty(&tree(row, 0)?, 0, &mut out)?;
        Ok(Value::from(out))
    });
}

enum Change {
    Set { new: Json, create: bool },
    Insert { new: Json, after: bool },
    Delete,
}

fn steps(row: &Row<'_>) -> Result<Vec<String>, Report> {
    let ValueRef::Array(steps) = row.value(1) else {
        return Ok(Vec::new());
    };
    let texts = steps.elements.iter().enumerate().map(|(index, step)| {
        step.as_str().map(str::to_owned).ok_or_else(|| {
            Report::error(
                codes::NULL_VALUE_NOT_ALLOWED,
                format!("path element at position {} is null", index + 1),
            )
        })
    });
    texts.collect()
}

/// The place of an index that may count from the end; None outside.
fn place(index: i64, length: usize) -> Option<usize> {
    let index = if index < 0 {
        index.checked_add(i64::try_from(length).ok()?)?
    } else {
        index
    };
    usize::try_from(index).ok().filter(|index| *index < length)
}

fn change(
    tree: &mut Json,
    steps: &[String],
    depth: usize,
    change_to: &Change,
) -> Result<(), Report> {
    let Some(step) = steps.get(depth) else {
        return Ok(());
    };
    let last = depth + 1 == steps.len();
    match tree {
        Json::Object(pairs) => {
            let found = pairs.iter().position(|pair| pair.0 == *step);
            match (found, last) {
                (Some(index), false) => {
                    return change(&mut pairs[index].1, steps, depth + 1, change_to);
                }
                (Some(index), true) => match change_to {
                    Change::Delete => {
                        pairs.remove(index);
                    }
                    Change::Set { new, .. } => pairs[index].1 = new.clone(),
                    Change::Insert { .. } => {
                        return Err(invalid("cannot replace existing key")
                            .with_hint("Try using the function jsonb_set to replace key value."));
                    }
                },
                (None, true) => match change_to {
                    Change::Set { new, create: true } | Change::Insert { new, .. } => {
                        let mut all = std::mem::take(pairs);
                        all.push((step.clone(), new.clone()));
                        *tree = Json::object(all);
                    }
                    _ => {}
                },
                (None, false) => {}
            }
        }
        Json::Array(elements) => {
            let index: i64 = step.trim().parse().map_err(|_| {
                Report::error(
                    codes::INVALID_TEXT_REPRESENTATION,
                    format!(
                        "path element at position {} is not an integer: \"{step}\"",
                        depth + 1
                    ),
                )
            })?;
            let found = place(index, elements.len());
            match (found, last) {
                (Some(index), false) => {
                    return change(&mut elements[index], steps, depth + 1, change_to);
                }
                (Some(index), true) => match change_to {
                    Change::Delete => {
                        elements.remove(index);
                    }
                    Change::Set { new, .. } => elements[index] = new.clone(),
                    Change::Insert { new, after } => {
                        elements.insert(index + usize::from(*after), new.clone())
                    }
                },
                (None, true) => {
                    // Beyond an end: at that end.
                    let new = match change_to {
                        Change::Set { new, create: true } | Change::Insert { new, .. } => {
                            new.clone()
                        }
                        _ => return Ok(()),
                    };
                    if index < 0 {
                        elements.insert(0, new)
                    } else {
                        elements.push(new)
                    }
                }
                (None, false) => {}
            }
        }
        _ => {}
    }
    Ok(())
}

fn strip_nulls(tree: Json) -> Json {
    match tree {
        Json::Object(pairs) => Json::Object(
            pairs
                .into_iter()
                .filter(|pair| pair.1 != Json::Null)
                .map(|(key, value)| (key, strip_nulls(value)))
                .collect(),
        ),
        Json::Array(elements) => Json::Array(elements.into_iter().map(strip_nulls).collect()),
        other => other,
    }
}

/// Without blanks, as `json_strip_nulls` prints.
fn write_compact(tree: &Json, out: &mut String) {
    match tree {
        Json::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_compact(element, out);
            }
            out.push(']');
        }
        Json::Object(pairs) => {
            out.push('{');
            for (index, (key, value)) in pairs.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                json::write_string(key, out);
                out.push(':');
                write_compact(value, out);
            }
            out.push('}');
        }
        other => other.write(out),
    }
}

fn pretty(tree: &Json, depth: usize, out: &mut String) -> Result<(), Report> {
    check_length(out.len().saturating_add(depth * 4))?;
    let line = |depth: usize, out: &mut String| {
        out.push('\n');
        out.push_str(&"    ".repeat(depth));
    };
    match tree {
        Json::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                line(depth + 1, out);
                pretty(element, depth + 1, out)?;
            }
            line(depth, out);
            out.push(']');
        }
        Json::Object(pairs) => {
            out.push('{');
            for (index, (key, value)) in pairs.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                line(depth + 1, out);
                json::write_string(key, out);
                out.push_str(": ");
                pretty(value, depth + 1, out)?;
            }
            line(depth, out);
            out.push('}');
        }
        other => other.write(out),
    }
    Ok(())
}
