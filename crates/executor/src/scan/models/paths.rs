//! Conditions of SQL on a collection as a filter of the document model, to find candidates.
//!
//! SQL decides on every candidate again, so the filter may let too much pass, but never too
//! little: whatever makes the condition true must match. The two languages differ in what they
//! compare. `doc->>'a' = '1'` holds for the text `"1"` and for the number 1; `>` on texts compares
//! numbers, truth values and whole arrays by what they look like; a cast reads texts, too. So a
//! condition on a path names the values of its own kind, and every other kind as a whole where one
//! of its values could pass, or could make the cast fail: documents that would raise an error are
//! candidates. (Only a fraction outside of the range that a cast to an integer is compared with is
//! passed over.)
//!
//! # Not here
//! Which index serves the filter (`documents`); paths through names that dotted paths cannot say.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, Operator};
use serde_json::{Map, Value as Json, json};
use tessera_planner::by_value::argument_of;
use tessera_planner::scalar;
use tessera_types::{SqlType, Value};

use crate::operators::{cast, in_set};

/// Names in one path; longer ones are not looked up.
const STEPS_MAX: usize = 32;

/// The filter that every document matches for which the condition is true; `None` if there is
/// nothing to say. Columns are `id`, `doc` and `version`.
pub(super) fn candidates(condition: &Expr) -> Option<Json> {
    match condition {
        Expr::BinaryExpr(binary) => match binary.op {
            Operator::And => match (candidates(&binary.left), candidates(&binary.right)) {
                (Some(left), Some(right)) => Some(all(vec![left, right])),
                (found, None) | (None, found) => found,
            },
            Operator::Or => Some(any(vec![
                candidates(&binary.left)?,
                candidates(&binary.right)?,
            ])),
            op => compared(&binary.left, op, &binary.right),
        },
        Expr::Between(between) if !between.negated => {
            let low = compared(&between.expr, Operator::GtEq, &between.low);
            let high = compared(&between.expr, Operator::LtEq, &between.high);
            match (low, high) {
                (Some(low), Some(high)) => Some(all(vec![low, high])),
                (found, None) | (None, found) => found,
            }
        }
        Expr::InList(list) if !list.negated => {
            let values = list.list.iter().map(literal).collect::<Option<Vec<_>>>()?;
            one_of(&list.expr, &values)
        }
        Expr::Like(like) if !like.negated && !like.case_insensitive => {
            let escape = like.escape_char.unwrap_or('\\');
            let pattern = text_of(literal(&like.pattern)?)?;
            let (prefix, _) = literal_prefix(&pattern, escape);
            match subject_of(&like.expr)? {
                Subject::Text(path) => Some(texts_from(&path, &prefix)),
                _ => None,
            }
        }
        Expr::IsNull(inner) => match subject_of(inner)? {
            // Below an array SQL finds nothing where the filter finds the elements' fields.
            Subject::Text(path) | Subject::Json(path) if !path.contains('.') => {
                Some(on(&path, "$eq", Json::Null))
            }
            _ => None,
        },
        Expr::IsNotNull(inner) => match subject_of(inner)? {
            Subject::Text(path) | Subject::Json(path) => Some(on(&path, "$exists", json!(true))),
            Subject::Id | Subject::Number(..) => None,
        },
        Expr::ScalarFunction(call) => {
            if let Some(values) = in_set::values_of(&call.func) {
                let [subject] = call.args.as_slice() else {
                    return None;
                };
                return one_of(subject, &values.iter().collect::<Vec<_>>());
            }
            let [left, right] = call.args.as_slice() else {
                return None;
            };
            match call.name() {
                "@>" => contained(left, right),
                "<@" => contained(right, left),
                "?" => has_name(left, right),
                _ => None,
            }
        }
        _ => None,
    }
}

/// What a condition looks at.
enum Subject {
    /// The column `id`.
    Id,
    /// The text at a path: `->>`.
    Text(String),
    /// The JSON value at a path: `->`.
    Json(String),
    /// The text at a path as a number.
    Number(String, Precision),
}

/// How a cast treats numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Precision {
    /// They keep their value.
    Exact,
    /// They become the nearest of 64 bits.
    Double,
}

fn subject_of(expr: &Expr) -> Option<Subject> {
    match argument_of(expr) {
        Expr::Column(column) if column.name == "id" => Some(Subject::Id),
        Expr::Column(_) => None,
        // Integers as wider numbers keep their value.
        Expr::Cast(outer) => match subject_of(&outer.expr)? {
            Subject::Number(path, Precision::Exact) if is_exact(outer.field.data_type()) => {
                Some(Subject::Number(path, Precision::Exact))
            }
            _ => None,
        },
        Expr::ScalarFunction(call) => {
            if let Some((from, to)) = cast::types_of(&call.func) {
                let [inner] = call.args.as_slice() else {
                    return None;
                };
                let precision = match to {
                    SqlType::SmallInt
                    | SqlType::Integer
                    | SqlType::BigInt
                    | SqlType::Numeric(None) => Precision::Exact,
                    SqlType::Double => Precision::Double,
                    _ => return None,
                };
                return match (from, subject_of(inner)?) {
                    (SqlType::Text, Subject::Text(path)) => Some(Subject::Number(path, precision)),
                    // To a wider number.
                    (from, Subject::Number(path, Precision::Exact))
                        if precision == Precision::Exact && *from != SqlType::Text =>
                    {
                        Some(Subject::Number(path, precision))
                    }
                    _ => None,
                };
            }
            let [_, ..] = call.args.as_slice() else {
                return None;
            };
            let path = || dotted(&steps_of(expr)?);
            match call.name() {
                "->>" | "#>>" | "jsonb_extract_path_text" => path().map(Subject::Text),
                "->" | "#>" | "jsonb_extract_path" => path().map(Subject::Json),
                _ => None,
            }
        }
        _ => None,
    }
}

fn is_exact(data_type: &DataType) -> bool {
    data_type.is_integer()
        || matches!(
            data_type,
            DataType::Decimal128(..) | DataType::Decimal256(..)
        )
}

/// The names that lead from the document to what an expression takes out of it.
fn steps_of(expr: &Expr) -> Option<Vec<String>> {
    match argument_of(expr) {
        Expr::Column(column) if column.name == "doc" => Some(Vec::new()),
        Expr::ScalarFunction(call) => {
            let (inner, names) = call.args.split_first()?;
            let mut steps = steps_of(inner)?;
            match (call.name(), names) {
                ("->" | "->>", [name]) => steps.push(step(literal(name)?)?),
                ("#>" | "#>>", [names]) => {
                    let texts = SqlType::Array(Box::new(SqlType::Text));
                    let names = scalar::from_scalar(literal_of(names)?, &texts).ok()?;
                    let Value::Array(names) = names else {
                        return None;
                    };
                    for name in &names.elements {
                        steps.push(name.as_str()?.to_owned());
                    }
                }
                ("jsonb_extract_path" | "jsonb_extract_path_text", names) => {
                    for name in names {
                        steps.push(text_of(literal(name)?)?);
                    }
                }
                _ => return None,
            }
            (steps.len() <= STEPS_MAX).then_some(steps)
        }
        _ => None,
    }
}

fn step(name: Value) -> Option<String> {
    match name {
        Value::Text(name) => Some(name.to_string()),
        // From the end of an array is nothing that a path can say.
        name => name.as_i64().filter(|at| *at >= 0).map(|at| at.to_string()),
    }
}

/// The names as a dotted path, where that means the same.
fn dotted(steps: &[String]) -> Option<String> {
    let means_itself = |name: &String| {
        !name.is_empty() && !name.contains('.') && !name.starts_with('$') && !name.contains('\0')
    };
    let first = steps.first()?;
    (first != tessera_documents::ID_FIELD && steps.iter().all(means_itself))
        .then(|| steps.join("."))
}

fn literal_of(expr: &Expr) -> Option<&ScalarValue> {
    match argument_of(expr) {
        Expr::Literal(value, _) if !value.is_null() => Some(value),
        _ => None,
    }
}

/// A constant that is not NULL.
fn literal(expr: &Expr) -> Option<Value> {
    value_of(literal_of(expr)?)
}

fn value_of(literal: &ScalarValue) -> Option<Value> {
    let sql_type = match literal {
        ScalarValue::Decimal128(..) | ScalarValue::Decimal256(..) => SqlType::Numeric(None),
        _ => SqlType::Text,
    };
    scalar::from_scalar(literal, &sql_type).ok()
}

fn text_of(value: Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.to_string()),
        _ => None,
    }
}

/// A number with its value, as JSON.
fn number_of(value: &Value) -> Option<Json> {
    match value {
        Value::Numeric(number) => json_number(&number.to_string()),
        value => json_number(&value.as_i64()?.to_string()),
    }
}

fn json_number(text: &str) -> Option<Json> {
    let parsed = tessera_codec::json::parse(text.as_bytes()).ok()?;
    parsed.is_number().then_some(parsed)
}

fn all(conditions: Vec<Json>) -> Json {
    json!({ "$and": conditions })
}

fn any(conditions: Vec<Json>) -> Json {
    json!({ "$or": conditions })
}

/// One operator on one path.
fn on(path: &str, operator: &str, operand: Json) -> Json {
    let mut test = Map::new();
    test.insert(operator.to_owned(), operand);
    let mut condition = Map::new();
    condition.insert(path.to_owned(), Json::Object(test));
    Json::Object(condition)
}

/// `left op right`, one of them a constant.
fn compared(left: &Expr, op: Operator, right: &Expr) -> Option<Json> {
    let (subject, op, constant) = match (literal_of(left), literal_of(right)) {
        (None, Some(constant)) => (left, op, constant),
        (Some(constant), None) => (right, op.swap()?, constant),
        _ => return None,
    };
    if !matches!(
        op,
        Operator::Eq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq
    ) {
        return None;
    }
    let subject = subject_of(subject)?;
    if op == Operator::Eq {
        return equal(&subject, &[value_of(constant)?]);
    }
    match subject {
        Subject::Text(path) => {
            let bound = text_of(value_of(constant)?)?;
            let (name, lower, upper) = match op {
                Operator::Gt => ("$gt", Some(bound.as_str()), None),
                Operator::GtEq => ("$gte", Some(bound.as_str()), None),
                Operator::Lt => ("$lt", None, Some(bound.as_str())),
                _ => ("$lte", None, Some(bound.as_str())),
            };
            let own = on(&path, name, json!(bound));
            Some(with_kinds(&path, own, &kinds_between(lower, upper)))
        }
        Subject::Number(path, precision) => {
            let lower = matches!(op, Operator::Gt | Operator::GtEq);
            let (name, bound) = match (precision, value_of(constant)?) {
                (Precision::Exact, value) => {
                    let name = match op {
                        Operator::Gt => "$gt",
                        Operator::GtEq => "$gte",
                        Operator::Lt => "$lt",
                        _ => "$lte",
                    };
                    (name, number_of(&value)?)
                }
                // What is rounded to a bound lies closer to it than the next number does.
                (Precision::Double, Value::Double(bound)) if lower => {
                    ("$gte", double(bound.next_down())?)
                }
                (Precision::Double, Value::Double(bound)) => ("$lte", double(bound.next_up())?),
                _ => return None,
            };
            let own = on(&path, name, bound);
            Some(with_kinds(&path, own, &NOT_NUMBERS))
        }
        Subject::Id | Subject::Json(_) => None,
    }
}

fn double(value: f64) -> Option<Json> {
    value
        .is_finite()
        .then(|| json_number(&format!("{value:?}")))
        .flatten()
}

/// `subject IN (constants)`; NULLs among them find nothing.
fn one_of(subject: &Expr, constants: &[impl Constant]) -> Option<Json> {
    let subject = subject_of(subject)?;
    let mut values = Vec::with_capacity(constants.len());
    for constant in constants {
        values.push(constant.value()?);
    }
    equal(&subject, &values)
}

/// A constant in one of its two forms.
trait Constant {
    fn value(&self) -> Option<Value>;
}

impl Constant for Value {
    fn value(&self) -> Option<Value> {
        Some(self.clone())
    }
}

impl Constant for &ScalarValue {
    fn value(&self) -> Option<Value> {
        value_of(self)
    }
}

/// The subject equals one of these.
fn equal(subject: &Subject, values: &[Value]) -> Option<Json> {
    match subject {
        Subject::Id => {
            let texts = values.iter().map(|value| value.as_str());
            let texts = texts.collect::<Option<Vec<_>>>()?;
            Some(on(tessera_documents::ID_FIELD, "$in", json!(texts)))
        }
        Subject::Text(path) => {
            let mut choices = Vec::new();
            let mut kinds: &[&str] = &[];
            for value in values {
                let text = value.as_str()?;
                choices.push(json!(text));
                // Values of other kinds that look so.
                match tessera_codec::json::parse(text.as_bytes()) {
                    Ok(number @ (Json::Number(_) | Json::Bool(_))) => choices.push(number),
                    Ok(Json::Object(_) | Json::Array(_)) => kinds = &["object", "array"],
                    Ok(Json::String(_) | Json::Null) | Err(_) => {}
                }
            }
            let own = on(path, "$in", Json::Array(choices));
            Some(with_kinds(path, own, kinds))
        }
        Subject::Number(path, Precision::Exact) => {
            let numbers = values.iter().map(number_of);
            let numbers = numbers.collect::<Option<Vec<_>>>()?;
            let own = on(path, "$in", Json::Array(numbers));
            Some(with_kinds(path, own, &NOT_NUMBERS))
        }
        Subject::Number(path, Precision::Double) => {
            let mut choices = Vec::new();
            for value in values {
                let Value::Double(value) = value else {
                    return None;
                };
                let (low, high) = (double(value.next_down())?, double(value.next_up())?);
                choices.push(all(vec![on(path, "$gte", low), on(path, "$lte", high)]));
            }
            Some(with_kinds(path, any(choices), &NOT_NUMBERS))
        }
        Subject::Json(_) => None,
    }
}

/// What a cast to a number reads besides numbers, or fails on. JSON's `null` is NULL.
const NOT_NUMBERS: [&str; 4] = ["string", "bool", "object", "array"];

/// Kinds of values whose text lies at or behind the first, and before the second of these.
const TEXTS_OF_KINDS: [(&str, &str, &str); 4] = [
    ("number", "-", ":"),
    ("bool", "false", "true\u{1}"),
    ("object", "{", "|"),
    ("array", "[", "\\"),
];

/// The kinds besides strings that have values whose text lies between two bounds.
fn kinds_between(lower: Option<&str>, upper: Option<&str>) -> Vec<&'static str> {
    let kinds = TEXTS_OF_KINDS.iter().filter(|(_, first, end)| {
        lower.is_none_or(|lower| lower < *end) && upper.is_none_or(|upper| upper >= *first)
    });
    kinds.map(|(kind, _, _)| *kind).collect()
}

fn with_kinds(path: &str, own: Json, kinds: &[&str]) -> Json {
    if kinds.is_empty() {
        return own;
    }
    any(vec![own, on(path, "$type", json!(kinds))])
}

/// Texts at a path that begin so.
fn texts_from(path: &str, prefix: &str) -> Json {
    let end = text_behind(prefix);
    let mut own = vec![on(path, "$gte", json!(prefix))];
    own.extend(end.as_deref().map(|end| on(path, "$lt", json!(end))));
    let kinds = kinds_between(Some(prefix), end.as_deref());
    with_kinds(path, all(own), &kinds)
}

/// The first text behind all that begin with a prefix.
pub(super) fn text_behind(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        let next = match last {
            '\u{D7FF}' => Some('\u{E000}'),
            last => char::from_u32(last as u32 + 1),
        };
        if let Some(next) = next {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

/// What every text that a LIKE pattern fits begins with, and whether the pattern is that text.
pub(super) fn literal_prefix(pattern: &str, escape: char) -> (String, bool) {
    let mut prefix = String::new();
    for character in pattern.chars() {
        if matches!(character, '%' | '_') || character == escape {
            return (prefix, false);
        }
        prefix.push(character);
    }
    (prefix, true)
}

/// `whole @> constant`.
fn contained(whole: &Expr, part: &Expr) -> Option<Json> {
    let steps = steps_of(whole)?;
    let part = text_of(literal(part)?)?;
    let part = tessera_codec::json::parse(part.as_bytes()).ok()?;
    let mut conditions = Vec::new();
    add_contained(&steps, &part, &mut conditions);
    (!conditions.is_empty()).then(|| all(conditions))
}

/// What containment demands of each path. Of arrays within arrays nothing is said.
fn add_contained(steps: &[String], part: &Json, conditions: &mut Vec<Json>) {
    if steps.len() > STEPS_MAX {
        return;
    }
    match part {
        Json::Object(fields) => {
            for (name, value) in fields {
                let mut below = steps.to_vec();
                below.push(name.clone());
                add_contained(&below, value, conditions);
            }
            if fields.is_empty()
                && let Some(path) = dotted(steps)
            {
                conditions.push(on(&path, "$exists", json!(true)));
            }
        }
        Json::Array(elements) => {
            for element in elements {
                if !element.is_array() {
                    add_contained(steps, element, conditions);
                }
            }
        }
        value => {
            if let Some(path) = dotted(steps) {
                conditions.push(on(&path, "$eq", value.clone()));
            }
        }
    }
}

/// `whole ? 'name'`: an element of an array, a field of an object, or the text itself.
fn has_name(whole: &Expr, name: &Expr) -> Option<Json> {
    let path = dotted(&steps_of(whole)?)?;
    let name = text_of(literal(name)?)?;
    Some(any(vec![
        on(&path, "$eq", json!(name)),
        on(&path, "$type", json!(["object"])),
    ]))
}
