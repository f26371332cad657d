//! What CREATE INDEX says about a collection, in the terms of the document model.
//!
//! A key is a path of `doc`: `(doc->>'title')`, `(doc->'a'->>'b')`, `(doc #>> '{a,b}')`,
//! `(doc['a']['b'])`; a cast around it changes nothing, for an index holds JSON values as they are.
//! Over an array there is an entry for each element. A condition is kept as a filter.
//!
//! In SQL no two NULLs are equal, so a unique index leaves out documents in which a field is
//! missing or null, unless it says NULLS NOT DISTINCT.

use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, Expr, Subscript, UnaryOperator, Value as AstValue,
};
use serde_json::{Map, Value as Json, json};
use tessera_documents::ID_FIELD;
use tessera_planner::ddl::CreateIndex;
use tessera_types::{Report, codes};

/// Kinds of values besides null.
const NOT_NULL: [&str; 5] = ["bool", "number", "string", "object", "array"];

/// The options of the index: `{"fields", "unique", "sparse", "partial"}`.
pub(super) fn options_of(create: &CreateIndex) -> Result<Map<String, Json>, Report> {
    let mut fields = Vec::with_capacity(create.keys.len());
    let mut conditions = Vec::new();
    for key in &create.keys {
        let path = path_of(&key.expr)?;
        if let Some(first) = key.nulls_first
            && first == !key.descending
        {
            // The order of JSON has null first, and last from its end.
        } else if key.nulls_first.is_some() {
            return Err(Report::unsupported(
                "an index of a collection has nulls first, or last when it descends",
            ));
        }
        if create.unique && !create.nulls_not_distinct {
            conditions.push(on(&path, "$type", json!(NOT_NULL)));
        }
        fields.push(json!({"path": path, "descending": key.descending}));
    }
    if let Some(predicate) = &create.predicate {
        add_conditions(predicate, &mut conditions)?;
    }
    let mut options = Map::new();
    options.insert("fields".to_owned(), Json::Array(fields));
    options.insert("unique".to_owned(), create.unique.into());
    if !conditions.is_empty() {
        options.insert("partial".to_owned(), json!({ "$and": conditions }));
    }
    Ok(options)
}

/// A name made of the collection and the paths, as PostgreSQL makes one of table and columns.
pub(super) fn name_of(collection: &str, options: &Map<String, Json>) -> String {
    let fields = options.get("fields").and_then(Json::as_array);
    let paths = fields.into_iter().flatten();
    let paths = paths.filter_map(|field| field.get("path").and_then(Json::as_str));
    let words: Vec<String> = std::iter::once(collection.to_owned())
        .chain(paths.map(|path| path.replace(|c: char| !c.is_alphanumeric(), "_")))
        .collect();
    let mut name = words.join("_");
    let limit = tessera_catalog::NAME_BYTES_MAX - "_idx".len() - 3;
    while name.len() > limit {
        name.pop();
    }
    name + "_idx"
}

/// The dotted path that a key is.
fn path_of(expr: &Expr) -> Result<String, Report> {
    let mut steps = Vec::new();
    add_steps(expr, &mut steps)?;
    let Some(first) = steps.first() else {
        return Err(not_a_path(expr));
    };
    if first == ID_FIELD {
        return Err(Report::error(
            codes::INVALID_OBJECT_DEFINITION,
            "the id has an index already",
        ));
    }
    for step in &steps {
        if step.is_empty() || step.contains('.') || step.starts_with('$') {
            return Err(Report::unsupported(format!(
                "an index cannot lead through a field named \"{step}\""
            ))
            .with_detail("Names in a path are not empty, have no dot, and do not begin with $."));
        }
    }
    Ok(steps.join("."))
}

fn not_a_path(expr: &Expr) -> Report {
    Report::unsupported(format!(
        "an index of a collection is on paths of its documents, not on {expr}"
    ))
    .with_hint("For example: CREATE INDEX ON movies ((doc->>'title')).")
}

fn add_steps(expr: &Expr, steps: &mut Vec<String>) -> Result<(), Report> {
    match expr {
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => add_steps(inner, steps),
        Expr::Identifier(ident) if ident.value.eq_ignore_ascii_case("doc") => Ok(()),
        Expr::BinaryOp { left, op, right } => {
            add_steps(left, steps)?;
            match op {
                BinaryOperator::Arrow | BinaryOperator::LongArrow => {
                    steps.push(step_of(right).ok_or_else(|| not_a_path(expr))?);
                }
                BinaryOperator::HashArrow | BinaryOperator::HashLongArrow => {
                    let list = text_of(right).ok_or_else(|| not_a_path(expr))?;
                    let list = list.strip_prefix('{').and_then(|l| l.strip_suffix('}'));
                    let list = list.ok_or_else(|| not_a_path(expr))?;
                    let names = list.split(',').map(|name| name.trim().trim_matches('"'));
                    steps.extend(names.map(str::to_owned));
                }
                _ => return Err(not_a_path(expr)),
            }
            Ok(())
        }
        Expr::CompoundFieldAccess { root, access_chain } => {
            add_steps(root, steps)?;
            for access in access_chain {
                let AccessExpr::Subscript(Subscript::Index { index }) = access else {
                    return Err(not_a_path(expr));
                };
                steps.push(step_of(index).ok_or_else(|| not_a_path(expr))?);
            }
            Ok(())
        }
        other => Err(not_a_path(other)),
    }
}

fn text_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => text_of(inner),
        Expr::Value(value) => match &value.value {
            AstValue::SingleQuotedString(text) | AstValue::EscapedStringLiteral(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn number_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => number_of(inner),
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => number_of(expr).map(|number| format!("-{number}")),
        Expr::Value(value) => match &value.value {
            AstValue::Number(text, _) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn step_of(expr: &Expr) -> Option<String> {
    text_of(expr)
        .map(str::to_owned)
        .or_else(|| number_of(expr).filter(|number| number.bytes().all(|b| b.is_ascii_digit())))
}

fn on(path: &str, operator: &str, operand: Json) -> Json {
    let mut test = Map::new();
    test.insert(operator.to_owned(), operand);
    let mut condition = Map::new();
    condition.insert(path.to_owned(), Json::Object(test));
    Json::Object(condition)
}

/// WHERE of a partial index: comparisons of paths with constants, joined by AND.
fn add_conditions(expr: &Expr, conditions: &mut Vec<Json>) -> Result<(), Report> {
    let refused = || {
        Report::unsupported(format!("the condition {expr} of an index is not supported")).with_hint(
            "It may compare paths with constants (=, <, IN, IS NOT NULL, @>), joined by AND.",
        )
    };
    match expr {
        Expr::Nested(inner) => add_conditions(inner, conditions),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            add_conditions(left, conditions)?;
            add_conditions(right, conditions)
        }
        Expr::BinaryOp {
            left,
            op: BinaryOperator::AtArrow,
            right,
        } => {
            let mut steps = Vec::new();
            add_steps(left, &mut steps)?;
            let part = text_of(right).ok_or_else(refused)?;
            let part = tessera_codec::json::parse(part.as_bytes()).map_err(|e| e.report())?;
            add_contained(&steps, &part, conditions).ok_or_else(refused)
        }
        Expr::BinaryOp { left, op, right } => {
            let operator = match op {
                BinaryOperator::Eq => "$eq",
                BinaryOperator::Gt => "$gt",
                BinaryOperator::GtEq => "$gte",
                BinaryOperator::Lt => "$lt",
                BinaryOperator::LtEq => "$lte",
                _ => return Err(refused()),
            };
            let path = path_of(left)?;
            conditions.push(on(
                &path,
                operator,
                constant(left, right).ok_or_else(refused)?,
            ));
            Ok(())
        }
        Expr::InList {
            expr: subject,
            list,
            negated: false,
        } => {
            let path = path_of(subject)?;
            let values = list.iter().map(|item| constant(subject, item));
            let values = values.collect::<Option<Vec<_>>>().ok_or_else(refused)?;
            conditions.push(on(&path, "$in", Json::Array(values)));
            Ok(())
        }
        Expr::IsNotNull(subject) => {
            conditions.push(on(&path_of(subject)?, "$type", json!(NOT_NULL)));
            Ok(())
        }
        _ => Err(refused()),
    }
}

/// A constant as the JSON value that it is compared with: a number under a cast, else a text.
fn constant(subject: &Expr, constant: &Expr) -> Option<Json> {
    let is_cast = matches!(strip(subject), Expr::Cast { .. });
    match (number_of(constant), text_of(constant)) {
        (Some(number), _) if is_cast => tessera_codec::json::parse(number.as_bytes()).ok(),
        (None, Some(text)) if !is_cast => Some(json!(text)),
        _ => None,
    }
}

fn strip(mut expr: &Expr) -> &Expr {
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

fn add_contained(steps: &[String], part: &Json, conditions: &mut Vec<Json>) -> Option<()> {
    match part {
        Json::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let mut below = steps.to_vec();
                below.push(name.clone());
                add_contained(&below, value, conditions)?;
            }
            Some(())
        }
        Json::Object(_) | Json::Array(_) => None,
        value => {
            let is_plain =
                |step: &String| !step.is_empty() && !step.contains('.') && !step.starts_with('$');
            (!steps.is_empty() && steps.iter().all(is_plain)).then_some(())?;
            conditions.push(on(&steps.join("."), "$eq", value.clone()));
            Some(())
        }
    }
}
