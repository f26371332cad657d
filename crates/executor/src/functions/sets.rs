//! Functions that give rows: `generate_series`, `unnest`, the parts of a JSON value, matches.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use tessera_planner::functions::{
    Argument, FunctionRegistry, Returns, RowIterator, SetColumns, SetOverload,
};
use tessera_types::SqlType::{
    Array, BigInt, Integer, Interval, Json, Jsonb, Numeric, Text, Timestamp, TimestampTz,
};
use tessera_types::{Decimal, Report, SqlType, TimeZone, Value, codes, datetime};

use super::json::raw;
use super::kernel::invalid;
use crate::context::statement_of;

/// Adds them.
pub(super) fn register(r: &mut FunctionRegistry) {
    series(r);
    arrays(r);
    json(r);
    text(r);
    channels(r);
}

type Rows = Result<RowIterator, Report>;

fn set(
    r: &mut FunctionRegistry,
    name: &str,
    arguments: Vec<Argument>,
    optional: usize,
    columns: SetColumns,
    rows: impl Fn(&[Value], &ConfigOptions) -> Rows + Send + Sync + 'static,
) {
    r.set_returning(SetOverload {
        name: name.to_owned(),
        arguments,
        optional,
        columns,
        rows: Arc::new(rows),
    });
}

fn exact<const N: usize>(types: [SqlType; N]) -> Vec<Argument> {
    types.into_iter().map(Argument::Exact).collect()
}

fn one(ty: SqlType) -> SetColumns {
    SetColumns::One(Returns::Exact(ty))
}

/// One column with a name of its own.
fn named(name: &str, ty: SqlType) -> SetColumns {
    SetColumns::Record(vec![(name.to_owned(), ty)])
}

fn none() -> Rows {
    Ok(Box::new(std::iter::empty()))
}

fn values(values: Vec<Value>) -> Rows {
    Ok(Box::new(values.into_iter().map(|value| Ok(vec![value]))))
}

fn any_null(arguments: &[Value]) -> bool {
    arguments.iter().any(Value::is_null)
}

fn step_is_zero() -> Report {
    invalid("step size cannot equal zero")
}

fn series(r: &mut FunctionRegistry) {
    for ty in [Integer, BigInt] {
        let narrow = ty == Integer;
        let arguments = exact([ty.clone(), ty.clone(), ty.clone()]);
        set(
            r,
            "generate_series",
            arguments,
            1,
            one(ty),
            move |arguments, _| {
                if any_null(arguments) {
                    return none();
                }
                let number = |index: usize| arguments.get(index).and_then(Value::as_i64);
                let (from, to, step) = (
                    number(0).unwrap_or(0),
                    number(1).unwrap_or(0),
                    number(2).unwrap_or(1),
                );
                if step == 0 {
                    return Err(step_is_zero());
                }
                let inside = move |at: i64| if step > 0 { at <= to } else { at >= to };
                let first = inside(from).then_some(from);
                let all = std::iter::successors(first, move |at| {
                    at.checked_add(step).filter(|at| inside(*at))
                });
                Ok(Box::new(all.map(move |at| {
                    // Between two integers, so it fits where those did.
                    Ok(vec![if narrow {
                        Value::Integer(at as i32)
                    } else {
                        Value::BigInt(at)
                    }])
                })))
            },
        );
    }
    let numeric = || Numeric(None);
    set(
        r,
        "generate_series",
        exact([numeric(), numeric(), numeric()]),
        1,
        one(numeric()),
        |arguments, _| {
            if any_null(arguments) {
                return none();
            }
            let number = |index: usize| match arguments.get(index) {
                Some(Value::Numeric(value)) => *value,
                _ => Decimal::from(1i64),
            };
            let (from, to, step) = (number(0), number(1), number(2));
            if step.is_zero() {
                return Err(step_is_zero());
            }
            let up = step.unscaled > 0;
            let inside = move |at: Decimal| if up { at <= to } else { at >= to };
            let first = inside(from).then_some(from);
            let all = std::iter::successors(first, move |at| {
                at.checked_add(step).filter(|at| inside(*at))
            });
            Ok(Box::new(all.map(|at| Ok(vec![Value::Numeric(at)]))))
        },
    );
    for ty in [Timestamp, TimestampTz] {
        let zoned = ty == TimestampTz;
        let arguments = exact([ty.clone(), ty.clone(), Interval]);
        set(
            r,
            "generate_series",
            arguments,
            0,
            one(ty),
            move |arguments, options| {
                let zone = match statement_of(options) {
                    Ok(statement) if zoned => statement.session.format.time_zone,
                    _ => TimeZone::UTC,
                };
                let micros = |index: usize| match arguments.get(index) {
                    Some(Value::Timestamp(v) | Value::TimestampTz(v)) => Some(*v),
                    _ => None,
                };
                let (Some(from), Some(to), Some(Value::Interval(step))) =
                    (micros(0), micros(1), arguments.get(2))
                else {
                    return none();
                };
                let step = *step;
                let direction = step.comparison_micros().signum();
                if direction == 0 {
                    return Err(step_is_zero());
                }
                let infinite = |v: i64| {
                    v == datetime::TIMESTAMP_INFINITY || v == datetime::TIMESTAMP_NEGATIVE_INFINITY
                };
                if infinite(from) {
                    return Err(invalid("start value cannot be infinity"));
                }
                let inside = move |at: i64| if direction > 0 { at <= to } else { at >= to };
                let next = move |at: &i64| {
                    let next = if zoned {
                        datetime::add_interval_in_zone(*at, step, &zone)
                    } else {
                        datetime::add_interval(*at, step)
                    };
                    // A month of mixed signs may stand still; that must not go on for ever.
                    next.filter(|next| {
                        inside(*next) && (if direction > 0 { next > at } else { next < at })
                    })
                };
                let all = std::iter::successors(inside(from).then_some(from), next);
                Ok(Box::new(all.map(move |at| {
                    Ok(vec![if zoned {
                        Value::TimestampTz(at)
                    } else {
                        Value::Timestamp(at)
                    }])
                })))
            },
        );
    }
}

fn arrays(r: &mut FunctionRegistry) {
    set(
        r,
        "unnest",
        vec![Argument::AnyArray],
        0,
        SetColumns::One(Returns::Element),
        |arguments, _| match arguments.first() {
            Some(Value::Array(array)) => values(array.elements.clone()),
            _ => none(),
        },
    );
    let arguments = vec![
        Argument::AnyArray,
        Argument::Exact(Integer),
        Argument::Exact(SqlType::Boolean),
    ];
    set(
        r,
        "generate_subscripts",
        arguments,
        1,
        one(Integer),
        |arguments, _| {
            let (Some(Value::Array(array)), Some(dimension)) =
                (arguments.first(), arguments.get(1).and_then(Value::as_i64))
            else {
                return none();
            };
            let index = usize::try_from(dimension - 1).unwrap_or(usize::MAX);
            let Some((length, lower)) = array.dimensions.get(index).copied() else {
                return none();
            };
            let mut all: Vec<Value> = (lower..lower.saturating_add(length))
                .map(Value::Integer)
                .collect();
            if arguments.get(2).and_then(Value::as_bool) == Some(true) {
                all.reverse();
            }
            values(all)
        },
    );
}

fn channels(r: &mut FunctionRegistry) {
    set(
        r,
        "pg_listening_channels",
        Vec::new(),
        0,
        one(Text),
        |_, options| {
            let statement = statement_of(options)?;
            let listening = statement.session.state.listening.lock();
            let names = listening.iter().map(|name| Value::text(name.to_string()));
            values(names.collect())
        },
    );
}

fn json(r: &mut FunctionRegistry) {
    for (prefix, ty) in [("json", Json), ("jsonb", Jsonb)] {
        for as_text in [false, true] {
            let suffix = if as_text { "_text" } else { "" };
            let result = if as_text { Text } else { ty.clone() };
            let wrap = move |part: &str| {
                if as_text {
                    raw::as_text(part).map_or(Value::Null, Value::from)
                } else {
                    Value::Json(part.into())
                }
            };
            let name = format!("{prefix}_array_elements{suffix}");
            let shown_name = name.clone();
            set(
                r,
                &name,
                exact([ty.clone()]),
                0,
                named("value", result.clone()),
                move |arguments, _| {
                    let Some(Value::Json(text)) = arguments.first() else {
                        return none();
                    };
                    let Some(elements) = raw::elements(text) else {
                        if prefix == "json" && raw::trim(text).starts_with('{') {
                            return Err(invalid(format!(
                                "cannot call {shown_name} on a non-array"
                            )));
                        }
                        let kind = if raw::trim(text).starts_with('{') {
                            "an object"
                        } else {
                            "a scalar"
                        };
                        return Err(invalid(format!("cannot extract elements from {kind}")));
                    };
                    values(elements.map(wrap).collect())
                },
            );
            let columns =
                SetColumns::Record(vec![("key".to_owned(), Text), ("value".to_owned(), result)]);
            let name = format!("{prefix}_each{suffix}");
            let shown = name.clone();
            set(
                r,
                &name,
                exact([ty.clone()]),
                0,
                columns,
                move |arguments, _| {
                    let Some(Value::Json(text)) = arguments.first() else {
                        return none();
                    };
                    let Some(entries) = raw::entries(text) else {
                        return Err(invalid(format!("cannot call {shown} on a non-object")));
                    };
                    let rows: Vec<Vec<Value>> = entries
                        .map(|(key, part)| vec![Value::from(key), wrap(part)])
                        .collect();
                    Ok(Box::new(rows.into_iter().map(Ok)))
                },
            );
        }
        let name = format!("{prefix}_object_keys");
        let shown = name.clone();
        set(r, &name, exact([ty]), 0, one(Text), move |arguments, _| {
            let Some(Value::Json(text)) = arguments.first() else {
                return none();
            };
            let Some(entries) = raw::entries(text) else {
                let kind = if raw::trim(text).starts_with('[') {
                    "an array"
                } else {
                    "a scalar"
                };
                return Err(Report::error(
                    codes::INVALID_PARAMETER_VALUE,
                    format!("cannot call {shown} on {kind}"),
                ));
            };
            values(entries.map(|(key, _)| Value::from(key)).collect())
        });
    }
}

fn text(r: &mut FunctionRegistry) {
    let texts = || Array(Box::new(Text));
    set(
        r,
        "regexp_matches",
        exact([Text, Text, Text]),
        1,
        one(texts()),
        |arguments, _| {
            if any_null(arguments) {
                return none();
            }
            let part = |index: usize| arguments.get(index).and_then(Value::as_str).unwrap_or("");
            values(super::regex::all_matches(part(0), part(1), part(2))?)
        },
    );
    set(
        r,
        "regexp_split_to_table",
        exact([Text, Text, Text]),
        1,
        one(Text),
        |arguments, _| {
            if any_null(arguments) {
                return none();
            }
            let part = |index: usize| arguments.get(index).and_then(Value::as_str).unwrap_or("");
            values(super::regex::split(part(0), part(1), part(2))?)
        },
    );
    set(
        r,
        "string_to_table",
        exact([Text, Text, Text]),
        1,
        one(Text),
        |arguments, _| {
            let Some(text) = arguments.first().and_then(Value::as_str) else {
                return none();
            };
            let delimiter = arguments.get(1).and_then(Value::as_str);
            let null = arguments.get(2).and_then(Value::as_str);
            values(super::array::split_text(text, delimiter, null))
        },
    );
}
