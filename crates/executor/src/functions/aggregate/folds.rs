//! What aggregates over collected rows make of them.

use tessera_types::datetime::MICROS_PER_DAY;
use tessera_types::json::{self, Json};
use tessera_types::{ArrayValue, Decimal, Interval, Report, SqlType, Value, codes};

use super::super::json::to_json;
use super::super::kernel::invalid;
use super::collect::Fold;

fn first(types: &[SqlType]) -> SqlType {
    types.first().cloned().unwrap_or(SqlType::Text)
}

fn fixed(
    name: &'static str,
    returns: fn(&[SqlType]) -> SqlType,
    fold: super::collect::FoldFn,
) -> Fold {
    Fold {
        name,
        skips_nulls: true,
        returns,
        keeps_field: false,
        fold,
    }
}

fn same(name: &'static str, fold: super::collect::FoldFn) -> Fold {
    Fold {
        name,
        skips_nulls: true,
        returns: first,
        keeps_field: true,
        fold,
    }
}

pub(super) fn min() -> Fold {
    same("min", |rows, _| {
        Ok(rows
            .iter()
            .map(|row| &row[0])
            .min()
            .cloned()
            .unwrap_or(Value::Null))
    })
}

pub(super) fn max() -> Fold {
    same("max", |rows, _| {
        Ok(rows
            .iter()
            .map(|row| &row[0])
            .max()
            .cloned()
            .unwrap_or(Value::Null))
    })
}

pub(super) fn any_value() -> Fold {
    same("any_value", |rows, _| Ok(rows[0][0].clone()))
}

pub(super) fn sum_real() -> Fold {
    fixed(
        "sum",
        |_| SqlType::Real,
        |rows, _| {
            let sum = rows.iter().fold(0.0f32, |sum, row| match row[0] {
                Value::Real(value) => sum + value,
                _ => sum,
            });
            Ok(Value::Real(sum))
        },
    )
}

fn interval_sum(rows: &[Vec<Value>]) -> Result<Interval, Report> {
    let overflow = || Report::error(codes::DATETIME_FIELD_OVERFLOW, "interval out of range");
    rows.iter()
        .try_fold(Interval::default(), |sum, row| match row[0] {
            Value::Interval(value) => sum.checked_add(value).ok_or_else(overflow),
            _ => Ok(sum),
        })
}

pub(super) fn sum_interval() -> Fold {
    fixed(
        "sum",
        |_| SqlType::Interval,
        |rows, _| interval_sum(rows).map(Value::Interval),
    )
}

pub(super) fn avg_interval() -> Fold {
    fixed(
        "avg",
        |_| SqlType::Interval,
        |rows, _| {
            let count = rows.len() as f64;
            Ok(Value::Interval(scale_interval(
                interval_sum(rows)?,
                1.0 / count,
            )))
        },
    )
}

/// `interval * factor`: fractions of months become days, fractions of days time.
fn scale_interval(interval: Interval, factor: f64) -> Interval {
    let months = f64::from(interval.months) * factor;
    let days = f64::from(interval.days) * factor + months.fract() * 30.0;
    let micros = interval.micros as f64 * factor + days.fract() * MICROS_PER_DAY as f64;
    Interval {
        months: months.trunc() as i32,
        days: days.trunc() as i32,
        micros: micros.round_ties_even() as i64,
    }
}

/// Standard deviation and variance of exact numbers: computed exactly, divided once.
pub(super) fn deviation(name: &str) -> Fold {
    let numeric = |_: &[SqlType]| SqlType::Numeric(None);
    match name {
        "stddev_pop" => fixed("stddev_pop", numeric, |rows, _| spread(rows, true, true)),
        "var_pop" => fixed("var_pop", numeric, |rows, _| spread(rows, true, false)),
        "variance" | "var_samp" => fixed("var_samp", numeric, |rows, _| spread(rows, false, false)),
        _ => fixed("stddev_samp", numeric, |rows, _| spread(rows, false, true)),
    }
}

fn spread(rows: &[Vec<Value>], population: bool, root: bool) -> Result<Value, Report> {
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let divisor = if population { count } else { count - 1 };
    if divisor < 1 {
        return Ok(Value::Null);
    }
    let number = |value: &Value| match value {
        Value::Numeric(decimal) => *decimal,
        other => Decimal::from(other.as_i64().unwrap_or(0)),
    };
    let exact = || -> Option<Decimal> {
        let (mut sum, mut squares) = (Decimal::ZERO, Decimal::ZERO);
        for row in rows {
            let value = number(&row[0]);
            sum = sum.checked_add(value)?;
            squares = squares.checked_add(value.checked_mul(value)?)?;
        }
        let n = Decimal::from(count);
        let numerator = n.checked_mul(squares)?.checked_sub(sum.checked_mul(sum)?)?;
        let denominator = n.checked_mul(Decimal::from(divisor))?;
        if numerator.unscaled <= 0 {
            return Some(Decimal::ZERO);
        }
        numerator.checked_div(denominator).ok()
    };
    let variance = match exact() {
        Some(variance) => variance,
        None => {
            // Numbers too large to square in 38 digits: two passes in floating point.
            let values: Vec<f64> = rows.iter().map(|row| number(&row[0]).to_f64()).collect();
            let mean = values.iter().sum::<f64>() / count as f64;
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            Decimal::from_f64(squares / divisor as f64)
                .ok_or_else(tessera_planner::decimals::numeric_overflow)?
        }
    };
    if !root {
        return Ok(Value::Numeric(variance));
    }
    super::super::exact::root_at_scale(variance, variance.scale).map(Value::Numeric)
}

pub(super) fn array_agg() -> Fold {
    Fold {
        name: "array_agg",
        skips_nulls: false,
        returns: |types| first(types).array_of(),
        keeps_field: false,
        fold: |rows, types| {
            let elements: Vec<Value> = rows.iter().map(|row| row[0].clone()).collect();
            Ok(Value::Array(Box::new(ArrayValue::from_elements(
                first(types),
                elements,
            ))))
        },
    }
}

pub(super) fn string_agg() -> Fold {
    fixed(
        "string_agg",
        |_| SqlType::Text,
        |rows, _| {
            let mut out = String::new();
            for (index, row) in rows.iter().enumerate() {
                if index > 0 {
                    out.push_str(row[1].as_str().unwrap_or(""));
                }
                out.push_str(row[0].as_str().unwrap_or(""));
                super::super::kernel::check_length(out.len())?;
            }
            Ok(Value::from(out))
        },
    )
}

pub(super) fn bytea_agg() -> Fold {
    fixed(
        "string_agg",
        |_| SqlType::Bytea,
        |rows, _| {
            let mut out = Vec::new();
            for (index, row) in rows.iter().enumerate() {
                if let (true, Value::Bytea(delimiter)) = (index > 0, &row[1]) {
                    out.extend_from_slice(delimiter);
                }
                if let Value::Bytea(bytes) = &row[0] {
                    out.extend_from_slice(bytes);
                }
                super::super::kernel::check_length(out.len())?;
            }
            Ok(Value::from(out))
        },
    )
}

pub(super) fn json_agg(name: &str, binary: bool) -> Fold {
    let _ = name;
    let (name, returns, fold): (_, fn(&[SqlType]) -> SqlType, super::collect::FoldFn) = if binary {
        (
            "jsonb_agg",
            |_| SqlType::Jsonb,
            |rows, types| {
                let elements = rows
                    .iter()
                    .map(|row| to_json(&row[0], &types[0], true))
                    .collect::<Result<_, _>>()?;
                Ok(Value::Json(Json::Array(elements).to_string().into()))
            },
        )
    } else {
        (
            "json_agg",
            |_| SqlType::Json,
            |rows, types| {
                let elements: Vec<String> = rows
                    .iter()
                    .map(|row| super::super::json::json_text(&row[0], &types[0]))
                    .collect::<Result<_, _>>()?;
                Ok(Value::Json(format!("[{}]", elements.join(", ")).into()))
            },
        )
    };
    Fold {
        name,
        skips_nulls: false,
        returns,
        keeps_field: false,
        fold,
    }
}

pub(super) fn json_object_agg(name: &str, binary: bool) -> Fold {
    let _ = name;
    let (name, returns, fold): (_, fn(&[SqlType]) -> SqlType, super::collect::FoldFn) = if binary {
        (
            "jsonb_object_agg",
            |_| SqlType::Jsonb,
            |rows, types| {
                let pairs = rows
                    .iter()
                    .map(|row| {
                        Ok((
                            key_text(&row[0], &types[0])?,
                            to_json(&row[1], &types[1], true)?,
                        ))
                    })
                    .collect::<Result<Vec<_>, Report>>()?;
                Ok(Value::Json(Json::object(pairs).to_string().into()))
            },
        )
    } else {
        (
            "json_object_agg",
            |_| SqlType::Json,
            |rows, types| {
                let mut out = String::from("{ ");
                for (index, row) in rows.iter().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    json::write_string(&key_text(&row[0], &types[0])?, &mut out);
                    out.push_str(" : ");
                    out.push_str(&super::super::json::json_text(&row[1], &types[1])?);
                }
                out.push_str(" }");
                Ok(Value::Json(out.into()))
            },
        )
    };
    Fold {
        name,
        skips_nulls: false,
        returns,
        keeps_field: false,
        fold,
    }
}

fn key_text(value: &Value, ty: &SqlType) -> Result<String, Report> {
    if value.is_null() {
        return Err(invalid("field name must not be null"));
    }
    Ok(super::super::kernel::output(
        &value.as_ref(),
        ty,
        &tessera_types::FormatContext::default(),
    ))
}

pub(super) fn mode() -> Fold {
    same("mode", |rows, _| {
        let mut values: Vec<&Value> = rows.iter().map(|row| &row[0]).collect();
        values.sort();
        let (mut best, mut best_count, mut at) = (values[0], 0, 0);
        while at < values.len() {
            let run = values[at..]
                .iter()
                .take_while(|value| **value == values[at])
                .count();
            if run > best_count {
                (best, best_count) = (values[at], run);
            }
            at += run;
        }
        Ok(best.clone())
    })
}

fn fraction(rows: &[Vec<Value>]) -> Result<Option<f64>, Report> {
    match rows[0].get(1) {
        Some(Value::Double(fraction)) if (0.0..=1.0).contains(fraction) => Ok(Some(*fraction)),
        Some(Value::Double(fraction)) => Err(Report::error(
            codes::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("percentile value {fraction} is not between 0 and 1"),
        )),
        _ => Ok(None),
    }
}

pub(super) fn percentile_disc() -> Fold {
    same("percentile_disc", |rows, _| {
        let Some(fraction) = fraction(rows)? else {
            return Ok(Value::Null);
        };
        // The rows come in the order of WITHIN GROUP.
        let index = (fraction * rows.len() as f64).ceil() as usize;
        Ok(rows[index.clamp(1, rows.len()) - 1][0].clone())
    })
}

pub(super) fn percentile_cont() -> Fold {
    same("percentile_cont", |rows, _| {
        let Some(fraction) = fraction(rows)? else {
            return Ok(Value::Null);
        };
        let place = fraction * (rows.len() - 1) as f64;
        let (low, part) = (place.floor() as usize, place.fract());
        let high = (low + 1).min(rows.len() - 1);
        Ok(match (&rows[low][0], &rows[high][0]) {
            (Value::Double(a), Value::Double(b)) => Value::Double(a + part * (b - a)),
            (Value::Interval(a), Value::Interval(b)) => {
                let difference = Interval {
                    months: b.months.wrapping_sub(a.months),
                    days: b.days.wrapping_sub(a.days),
                    micros: b.micros.wrapping_sub(a.micros),
                };
                let step = scale_interval(difference, part);
                Value::Interval(a.checked_add(step).unwrap_or(*a))
            }
            _ => Value::Null,
        })
    })
}
