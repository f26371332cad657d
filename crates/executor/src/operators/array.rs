//! Arrays: construction, subscripts, concatenation, `op ANY (array)`.

use std::cmp::Ordering;

use tessera_planner::functions::{Argument, FunctionRegistry, Returns, Scalar};
use tessera_types::{ArrayValue, Report, SqlType, Value, ValueRef};

use super::rows::evaluate;
use super::text::advanced;

pub(super) fn register(registry: &mut FunctionRegistry) {
    construction(registry);
    subscripts(registry);
    concatenation(registry);
    for (symbol, test) in COMPARISONS {
        quantified(
            registry,
            symbol,
            Argument::AnyElement,
            Argument::AnyArray,
            *test,
        );
    }
    let text = || Argument::Exact(SqlType::Text);
    let texts = || Argument::Exact(SqlType::Array(Box::new(SqlType::Text)));
    for (symbol, test) in MATCHES {
        quantified(registry, symbol, text(), texts(), *test);
    }
}

/// Whether a value and an element of the array pass; `None` for NULL.
type Test = fn(&Value, &Value) -> Result<bool, Report>;

const COMPARISONS: &[(&str, Test)] = &[
    ("=", |a, b| Ok(a.cmp_sql(b) == Ordering::Equal)),
    ("<>", |a, b| Ok(a.cmp_sql(b) != Ordering::Equal)),
    ("<", |a, b| Ok(a.cmp_sql(b) == Ordering::Less)),
    ("<=", |a, b| Ok(a.cmp_sql(b) != Ordering::Greater)),
    (">", |a, b| Ok(a.cmp_sql(b) == Ordering::Greater)),
    (">=", |a, b| Ok(a.cmp_sql(b) != Ordering::Less)),
];

const MATCHES: &[(&str, Test)] = &[
    ("~~", |a, b| like(a, b, false)),
    ("!~~", |a, b| like(a, b, false).map(|found| !found)),
    ("~~*", |a, b| like(a, b, true)),
    ("!~~*", |a, b| like(a, b, true).map(|found| !found)),
    ("~", |a, b| regex(a, b, false)),
    ("!~", |a, b| regex(a, b, false).map(|found| !found)),
    ("~*", |a, b| regex(a, b, true)),
    ("!~*", |a, b| regex(a, b, true).map(|found| !found)),
];

fn texts<'a>(a: &'a Value, b: &'a Value) -> Result<(&'a str, &'a str), Report> {
    match (a.as_str(), b.as_str()) {
        (Some(a), Some(b)) => Ok((a, b)),
        _ => Err(Report::internal("text expected")),
    }
}

fn like(a: &Value, b: &Value, insensitive: bool) -> Result<bool, Report> {
    let (text, pattern) = texts(a, b)?;
    let pattern = super::text::like_pattern(pattern, insensitive)?;
    Ok(pattern.is_match(text))
}

fn regex(a: &Value, b: &Value, insensitive: bool) -> Result<bool, Report> {
    let (text, pattern) = texts(a, b)?;
    Ok(super::text::compile(&advanced(pattern), insensitive)?.is_match(text))
}

/// `value op ANY (array)` and `value op ALL (array)`.
fn quantified(
    registry: &mut FunctionRegistry,
    symbol: &str,
    value: Argument,
    array: Argument,
    test: Test,
) {
    for (word, any) in [("any", true), ("all", false)] {
        let name = format!("{word} {symbol}");
        let arguments = [value.clone(), array.clone()];
        registry.operator(Scalar::new(
            &name,
            arguments,
            Returns::Exact(SqlType::Boolean),
            move |args| {
                evaluate(&args, |values| {
                    let [value, ValueRef::Array(array)] = values else {
                        return Ok(Value::Null);
                    };
                    let array: &ArrayValue = array;
                    if array.elements.is_empty() {
                        return Ok(Value::Boolean(!any));
                    }
                    if value.is_null() {
                        return Ok(Value::Null);
                    }
                    let value = value.to_owned();
                    let mut unknown = false;
                    for element in &array.elements {
                        if element.is_null() {
                            unknown = true;
                        } else if test(&value, element)? == any {
                            return Ok(Value::Boolean(any));
                        }
                    }
                    Ok(if unknown {
                        Value::Null
                    } else {
                        Value::Boolean(!any)
                    })
                })
            },
        ));
    }
}

fn construction(registry: &mut FunctionRegistry) {
    let scalar = Scalar::new("ARRAY", [Argument::AnyElement], Returns::Array, |args| {
        let element = match args.return_field.data_type() {
            arrow::datatypes::DataType::List(_) => {
                tessera_planner::arrow_types::sql_type_of(&args.return_field)
                    .element()
                    .cloned()
                    .unwrap_or(SqlType::Text)
            }
            _ => SqlType::Text,
        };
        evaluate(&args, |values| {
            let elements = values.iter().map(ValueRef::to_owned).collect();
            let array = ArrayValue::from_elements(element.clone(), elements);
            Ok(Value::Array(Box::new(array)))
        })
    });
    registry.operator(scalar.variadic());
}

fn subscripts(registry: &mut FunctionRegistry) {
    let integer = || Argument::Exact(SqlType::Integer);
    registry.operator(Scalar::new(
        "[]",
        [Argument::AnyArray, integer()],
        Returns::Element,
        |args| {
            evaluate(&args, |values| match values {
                [ValueRef::Array(array), ValueRef::Integer(index)] => {
                    let array: &ArrayValue = array;
                    let [(_, lower)] = array.dimensions.as_slice() else {
                        return Ok(Value::Null);
                    };
                    let at = i64::from(*index) - i64::from(*lower);
                    let found = usize::try_from(at)
                        .ok()
                        .and_then(|at| array.elements.get(at));
                    Ok(found.cloned().unwrap_or(Value::Null))
                }
                _ => Ok(Value::Null),
            })
        },
    ));
    registry.operator(Scalar::new(
        "[:]",
        [Argument::AnyArray, integer(), integer()],
        Returns::Array,
        |args| {
            evaluate(&args, |values| {
                let [ValueRef::Array(array), from, to] = values else {
                    return Ok(Value::Null);
                };
                let array: &ArrayValue = array;
                let length = array.elements.len() as i64;
                let bound = |value: &ValueRef<'_>, open: i64| match value {
                    ValueRef::Integer(n) => i64::from(*n),
                    _ => open,
                };
                let from = bound(from, 1).max(1);
                let to = bound(to, length).min(length);
                let elements = if from > to {
                    Vec::new()
                } else {
                    array.elements[(from - 1) as usize..to as usize].to_vec()
                };
                let slice = ArrayValue::from_elements(array.element.clone(), elements);
                Ok(Value::Array(Box::new(slice)))
            })
        },
    ));
}

fn concatenation(registry: &mut FunctionRegistry) {
    let join = |values: &[ValueRef<'_>]| -> Result<Value, Report> {
        let mut element = None;
        let mut elements = Vec::new();
        for value in values {
            match value {
                ValueRef::Array(array) => {
                    let array: &ArrayValue = array;
                    element = Some(array.element.clone());
                    elements.extend(array.elements.iter().cloned());
                }
                other => elements.push(other.to_owned()),
            }
        }
        let array = ArrayValue::from_elements(element.unwrap_or(SqlType::Text), elements);
        Ok(Value::Array(Box::new(array)))
    };
    let arrays = [Argument::AnyArray, Argument::AnyArray];
    registry.operator(Scalar::new("||", arrays, Returns::Array, move |args| {
        evaluate(&args, |values| match values {
            // NULL is nothing to add.
            [ValueRef::Null, other] | [other, ValueRef::Null] => Ok(other.to_owned()),
            _ => join(values),
        })
    }));
    for arguments in [
        [Argument::AnyArray, Argument::AnyElement],
        [Argument::AnyElement, Argument::AnyArray],
    ] {
        registry.operator(Scalar::new("||", arguments, Returns::Array, move |args| {
            evaluate(&args, join)
        }));
    }
}
