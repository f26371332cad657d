//! Casts between types: which exist, what they do, and how values fit a column's length or precision.
//!
//! After PostgreSQL's `pg_cast`. Names of `regclass` and its kin need a catalog and are not cast here.

use crate::context::FormatContext;
use crate::datetime::{self, Civil, MICROS_PER_DAY};
use crate::decimal::Decimal;
use crate::error::ValueError;
use crate::interval::Interval;
use crate::json::{self, Json};
use crate::sql_type::SqlType;
use crate::text;
use crate::value::{ArrayValue, Value};

/// How much a cast may do; each kind includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CastKind {
    /// In any expression.
    Implicit,
    /// To a column on INSERT and UPDATE.
    Assignment,
    /// `CAST` and `::`; too long texts are cut.
    Explicit,
}

/// The least kind of cast that is allowed from one type to another; None when there is no cast.
pub fn kind(from: &SqlType, to: &SqlType) -> Option<CastKind> {
    use CastKind::{Assignment, Explicit, Implicit};
    use SqlType::*;
    let (from, to) = (from.base(), to.base());
    if from == to || from == Unknown {
        return Some(Implicit);
    }
    let kind = match (&from, &to) {
        (_, Void | Record | Unknown) | (Void | Record, _) => return None,
        (Array(a), Array(b)) => return kind(a, b),
        (from, to) if from.is_character() && to.is_character() => match (from, to) {
            (Text | Varchar(_) | Char(_), Name) | (Name | InternalChar, Text) => Implicit,
            (Text | Varchar(_) | Char(_), Text | Varchar(_) | Char(_)) => Implicit,
            _ => Assignment,
        },
        // Output functions make a text of anything; input functions need to be asked for.
        (_, to) if to.is_character() => Assignment,
        (from, _) if from.is_character() => Explicit,
        (SmallInt, Integer | BigInt | Numeric(_) | Real | Double) => Implicit,
        (Integer, BigInt | Numeric(_) | Real | Double) => Implicit,
        (BigInt, Numeric(_) | Real | Double) => Implicit,
        (Numeric(_), Real | Double) | (Real, Double) => Implicit,
        (from, to) if from.is_number() && to.is_number() => Assignment,
        (SmallInt | Integer | BigInt, to) if to.is_oid_like() => Implicit,
        (from, to) if from.is_oid_like() && to.is_oid_like() => Implicit,
        (from, Integer | BigInt) if from.is_oid_like() => Assignment,
        (Integer, Boolean) | (Boolean, Integer) => Explicit,
        (Date, Timestamp | TimestampTz) | (Timestamp, TimestampTz) | (Time, Interval) => Implicit,
        (Timestamp | TimestampTz, Date | Time | Timestamp) | (Interval, Time) => Assignment,
        (Json, Jsonb) | (Jsonb, Json) => Assignment,
        (Jsonb, Boolean | SmallInt | Integer | BigInt | Real | Double | Numeric(_)) => Explicit,
        _ => return None,
    };
    Some(kind)
}

/// Whether such a cast exists, whatever the value.
pub fn exists(from: &SqlType, to: &SqlType, allowed: CastKind) -> bool {
    kind(from, to).is_some_and(|needed| needed <= allowed)
}

/// Casts a value and applies the target's length or precision.
///
/// `from` may be `Unknown` for a literal: its text is read by the target's input function.
pub fn to_column(
    value: Value,
    from: &SqlType,
    to: &SqlType,
    allowed: CastKind,
    ctx: &FormatContext,
) -> Result<Value, ValueError> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    match kind(from, to) {
        None => {
            return Err(ValueError::CannotCast {
                from: from.name(),
                to: to.name(),
            });
        }
        Some(needed) if needed > allowed => {
            return Err(ValueError::NeedsExplicitCast {
                from: from.name(),
                to: to.name(),
            });
        }
        Some(_) => {}
    }
    cast(value, from, to, allowed, ctx)
}

fn cast(
    value: Value,
    from: &SqlType,
    to: &SqlType,
    allowed: CastKind,
    ctx: &FormatContext,
) -> Result<Value, ValueError> {
    let no_cast = || ValueError::CannotCast {
        from: from.name(),
        to: to.name(),
    };
    Ok(match (value, to) {
        (Value::Null, _) => Value::Null,
        (value @ Value::Boolean(_), SqlType::Boolean) => value,
        (Value::Integer(v), SqlType::Boolean) => Value::Boolean(v != 0),
        (Value::Boolean(v), SqlType::Integer) => Value::Integer(i32::from(v)),
        (Value::Text(text), to) if !to.is_character() => {
            let trimmed = if matches!(from, SqlType::Char(_)) {
                text.trim_end_matches(' ')
            } else {
                &text
            };
            text::parse(to, trimmed, ctx)?
        }
        (value, to) if to.is_character() => {
            let text = character_text(value, from, ctx);
            match to {
                SqlType::Varchar(length) => Value::Text(fit_varchar(text, *length, allowed)?),
                SqlType::Char(length) => Value::Text(fit_char(text, *length, allowed)?),
                SqlType::Name | SqlType::InternalChar => text::parse(to, &text, ctx)?,
                _ => Value::Text(text),
            }
        }
        (value @ Value::Bytea(_), SqlType::Bytea) => value,
        (value @ Value::Uuid(_), SqlType::Uuid) => value,
        (Value::Json(text), to) => cast_json(text, from, to, &no_cast)?,
        (Value::Array(array), SqlType::Array(element)) => {
            Value::Array(Box::new(cast_array(*array, element, allowed, ctx)?))
        }
        (value, SqlType::SmallInt) => Value::SmallInt(to_integer(&value, "smallint", &no_cast)?),
        (value, SqlType::Integer) => Value::Integer(to_integer(&value, "integer", &no_cast)?),
        (value, SqlType::BigInt) => Value::BigInt(to_integer(&value, "bigint", &no_cast)?),
        (value, SqlType::Real) => Value::Real(to_real(&value, &no_cast)?),
        (value, SqlType::Double) => Value::Double(to_double(&value, &no_cast)?),
        (value, SqlType::Numeric(modifier)) => {
            Value::Numeric(fit_numeric(to_decimal(&value, &no_cast)?, *modifier)?)
        }
        (value @ Value::Oid(_), to) if to.is_oid_like() => value,
        (value, to) if to.is_oid_like() => {
            let wide: i64 = to_integer(&value, "oid", &no_cast)?;
            // As the cast from integer does: the bits of a negative integer stay.
            let oid = match value {
                Value::BigInt(_) => u32::try_from(wide).ok(),
                _ => u32::try_from(wide & i64::from(u32::MAX)).ok(),
            };
            Value::Oid(oid.ok_or_else(|| ValueError::out_of_range("OID"))?)
        }
        (value, to) => cast_datetime(value, to, ctx, &no_cast)?,
    })
}

/// The text that a cast to a character type gives: `true` for a boolean, `char` without padding.
fn character_text(value: Value, from: &SqlType, ctx: &FormatContext) -> Box<str> {
    match value {
        Value::Text(text) if matches!(from, SqlType::Char(_)) => text.trim_end_matches(' ').into(),
        Value::Text(text) | Value::Json(text) => text,
        Value::Boolean(value) => if value { "true" } else { "false" }.into(),
        value => {
            let ty = if *from == SqlType::Unknown {
                value.natural_type()
            } else {
                from.clone()
            };
            text::to_string(value.as_ref(), &ty, ctx).into()
        }
    }
}

fn cast_json(
    text: Box<str>,
    from: &SqlType,
    to: &SqlType,
    no_cast: &dyn Fn() -> ValueError,
) -> Result<Value, ValueError> {
    if matches!(to, SqlType::Json) {
        return Ok(Value::Json(text));
    }
    if matches!(to, SqlType::Jsonb) {
        return Ok(Value::Json(if *from == SqlType::Jsonb {
            text
        } else {
            json::normalize(&text)?.into()
        }));
    }
    let wrong = |tree: &Json| ValueError::JsonCast {
        kind: tree.type_name().to_owned(),
        to: to.base_name(),
    };
    match (json::parse_binary(&text)?, to) {
        (Json::Bool(value), SqlType::Boolean) => Ok(Value::Boolean(value)),
        (Json::Number(digits), to) if to.is_number() => {
            let number: Decimal = digits.parse()?;
            cast(
                Value::Numeric(number),
                &SqlType::Numeric(None),
                to,
                CastKind::Explicit,
                &FormatContext::default(),
            )
        }
        (tree, to) if to.is_number() || *to == SqlType::Boolean => Err(wrong(&tree)),
        _ => Err(no_cast()),
    }
}

fn cast_array(
    array: ArrayValue,
    element: &SqlType,
    allowed: CastKind,
    ctx: &FormatContext,
) -> Result<ArrayValue, ValueError> {
    let from = array.element;
    let elements = array
        .elements
        .into_iter()
        .map(|value| cast(value, &from, element, allowed, ctx))
        .collect::<Result<_, _>>()?;
    Ok(ArrayValue {
        element: element.clone(),
        dimensions: array.dimensions,
        elements,
    })
}

fn to_integer<T: TryFrom<i64>>(
    value: &Value,
    type_name: &str,
    no_cast: &dyn Fn() -> ValueError,
) -> Result<T, ValueError> {
    let out_of_range = || ValueError::out_of_range(type_name);
    let wide = match value {
        Value::SmallInt(v) => i64::from(*v),
        Value::Integer(v) => i64::from(*v),
        Value::BigInt(v) => *v,
        Value::Oid(v) => i64::from(*v),
        Value::Real(v) => float_to_i64(f64::from(*v)).ok_or_else(out_of_range)?,
        Value::Double(v) => float_to_i64(*v).ok_or_else(out_of_range)?,
        Value::Numeric(v) => v.to_i64().ok_or_else(out_of_range)?,
        _ => return Err(no_cast()),
    };
    T::try_from(wide).map_err(|_| out_of_range())
}

/// Rounds half to even, as C's `rint`.
fn float_to_i64(value: f64) -> Option<i64> {
    let rounded = value.round_ties_even();
    // 2^63 itself is the first that does not fit; NaN fails both comparisons.
    let limit = 9_223_372_036_854_775_808.0;
    (rounded >= -limit && rounded < limit).then_some(rounded as i64)
}

fn to_double(value: &Value, no_cast: &dyn Fn() -> ValueError) -> Result<f64, ValueError> {
    Ok(match value {
        Value::Double(v) => *v,
        Value::Real(v) => f64::from(*v),
        Value::Numeric(v) => v.to_f64(),
        other => other.as_i64().ok_or_else(no_cast)? as f64,
    })
}

fn to_real(value: &Value, no_cast: &dyn Fn() -> ValueError) -> Result<f32, ValueError> {
    let fault = |what: &str| ValueError::NumericUnsupported {
        message: format!("value out of range: {what}"),
    };
    match value {
        Value::Real(v) => Ok(*v),
        Value::SmallInt(v) => Ok(f32::from(*v)),
        Value::Integer(v) => Ok(*v as f32),
        Value::BigInt(v) => Ok(*v as f32),
        other => {
            let double = to_double(other, no_cast)?;
            let real = double as f32;
            if real.is_infinite() && double.is_finite() {
                Err(fault("overflow"))
            } else if real == 0.0 && double != 0.0 {
                Err(fault("underflow"))
            } else {
                Ok(real)
            }
        }
    }
}

fn to_decimal(value: &Value, no_cast: &dyn Fn() -> ValueError) -> Result<Decimal, ValueError> {
    let unsupported = || ValueError::NumericUnsupported {
        message: "numeric cannot hold NaN, infinity, or more than 38 digits".to_owned(),
    };
    match value {
        Value::Numeric(v) => Ok(*v),
        Value::Double(v) => Decimal::from_f64(*v).ok_or_else(unsupported),
        Value::Real(v) => Decimal::from_f32(*v).ok_or_else(unsupported),
        other => other.as_i64().map(Decimal::from).ok_or_else(no_cast),
    }
}

fn cast_datetime(
    value: Value,
    to: &SqlType,
    ctx: &FormatContext,
    no_cast: &dyn Fn() -> ValueError,
) -> Result<Value, ValueError> {
    let overflow = |what: &str| ValueError::DatetimeOverflow {
        what: what.to_owned(),
    };
    let date_micros = |days: i32| match days {
        datetime::DATE_INFINITY => Ok(datetime::TIMESTAMP_INFINITY),
        datetime::DATE_NEGATIVE_INFINITY => Ok(datetime::TIMESTAMP_NEGATIVE_INFINITY),
        days => i64::from(days)
            .checked_mul(MICROS_PER_DAY)
            .filter(|micros| datetime::timestamp_in_range(*micros))
            .ok_or_else(|| overflow("date out of range for timestamp:")),
    };
    let to_utc = |local: i64| {
        datetime::local_to_utc(local, &ctx.time_zone).ok_or_else(|| overflow("timestamp"))
    };
    let to_local =
        |utc: i64| datetime::utc_to_local(utc, &ctx.time_zone).ok_or_else(|| overflow("timestamp"));
    let to_date = |micros: i64| match micros {
        datetime::TIMESTAMP_INFINITY => Ok(datetime::DATE_INFINITY),
        datetime::TIMESTAMP_NEGATIVE_INFINITY => Ok(datetime::DATE_NEGATIVE_INFINITY),
        micros => i32::try_from(micros.div_euclid(MICROS_PER_DAY)).map_err(|_| overflow("date")),
    };
    let to_time = |micros: i64| match micros {
        // PostgreSQL gives NULL here.
        datetime::TIMESTAMP_INFINITY | datetime::TIMESTAMP_NEGATIVE_INFINITY => Value::Null,
        micros => Value::Time(Civil::from_micros(micros).time_micros()),
    };
    Ok(match (value, to) {
        (value @ Value::Date(_), SqlType::Date)
        | (value @ Value::Time(_), SqlType::Time)
        | (value @ Value::Timestamp(_), SqlType::Timestamp)
        | (value @ Value::TimestampTz(_), SqlType::TimestampTz)
        | (value @ Value::Interval(_), SqlType::Interval) => value,
        (Value::Date(days), SqlType::Timestamp) => Value::Timestamp(date_micros(days)?),
        (Value::Date(days), SqlType::TimestampTz) => {
            Value::TimestampTz(to_utc(date_micros(days)?)?)
        }
        (Value::Timestamp(micros), SqlType::TimestampTz) => Value::TimestampTz(to_utc(micros)?),
        (Value::Timestamp(micros), SqlType::Date) => Value::Date(to_date(micros)?),
        (Value::Timestamp(micros), SqlType::Time) => to_time(micros),
        (Value::TimestampTz(micros), SqlType::Timestamp) => Value::Timestamp(to_local(micros)?),
        (Value::TimestampTz(micros), SqlType::Date) => Value::Date(to_date(to_local(micros)?)?),
        (Value::TimestampTz(micros), SqlType::Time) => to_time(to_local(micros)?),
        (Value::Time(micros), SqlType::Interval) => Value::Interval(Interval {
            months: 0,
            days: 0,
            micros,
        }),
        (Value::Interval(interval), SqlType::Time) => {
            Value::Time(interval.micros.rem_euclid(MICROS_PER_DAY))
        }
        _ => return Err(no_cast()),
    })
}

/// Rounds to a column's scale; 22003 where it has more digits before the point than allowed.
pub fn fit_numeric(value: Decimal, modifier: Option<(u8, u8)>) -> Result<Decimal, ValueError> {
    let Some((precision, scale)) = modifier else {
        return Ok(value);
    };
    let overflow = || {
        let whole = precision.saturating_sub(scale);
        let limit = if whole == 0 {
            "1".to_owned()
        } else {
            format!("10^{whole}")
        };
        ValueError::NumericFieldOverflow {
            detail: format!(
                "A field with precision {precision}, scale {scale} must round to an absolute value less than {limit}."
            ),
        }
    };
    let fitted = value.rescale(scale).ok_or_else(overflow)?;
    if fitted.digits() > precision {
        Err(overflow())
    } else {
        Ok(fitted)
    }
}

/// Checks or cuts to the length of `varchar(n)`; blanks beyond the end never count.
pub fn fit_varchar(
    text: Box<str>,
    length: Option<u32>,
    kind: CastKind,
) -> Result<Box<str>, ValueError> {
    let Some(length) = length else {
        return Ok(text);
    };
    fit_length(text, length, kind, "character varying").map(|fitted| fitted.0)
}

/// Checks, cuts or pads to the length of `char(n)`; 0 means unconstrained.
pub fn fit_char(text: Box<str>, length: u32, kind: CastKind) -> Result<Box<str>, ValueError> {
    if length == 0 {
        return Ok(text);
    }
    let (fitted, characters) = fit_length(text, length, kind, "character")?;
    let missing = usize::try_from(length)
        .unwrap_or(usize::MAX)
        .saturating_sub(characters);
    if missing == 0 {
        return Ok(fitted);
    }
    let mut padded = String::with_capacity(fitted.len() + missing);
    padded.push_str(&fitted);
    padded.extend(std::iter::repeat_n(' ', missing));
    Ok(padded.into())
}

/// The text and its number of characters (counted only as far as needed).
fn fit_length(
    text: Box<str>,
    length: u32,
    kind: CastKind,
    name: &str,
) -> Result<(Box<str>, usize), ValueError> {
    let limit = usize::try_from(length).unwrap_or(usize::MAX);
    if text.is_ascii() && text.len() <= limit {
        let characters = text.len();
        return Ok((text, characters));
    }
    let Some((end, _)) = text.char_indices().nth(limit) else {
        let characters = text.chars().count();
        return Ok((text, characters));
    };
    if kind != CastKind::Explicit && !text[end..].bytes().all(|byte| byte == b' ') {
        return Err(ValueError::TooLong {
            type_name: format!("{name}({length})"),
        });
    }
    Ok((text[..end].into(), limit))
}

#[cfg(test)]
mod tests;
