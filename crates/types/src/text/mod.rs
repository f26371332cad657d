//! PostgreSQL's input and output functions: the text form of every type.
//!
//! # Map
//! - `number`: integers, floats, `numeric`, `oid`.
//! - `bytes`: `bytea` and `uuid`.
//! - `date_in`, `date_out`: dates, times, timestamps in all styles.
//! - `interval_in`, `interval_out`: intervals in all styles.
//! - `array`: array literals.

mod array;
mod bytes;
mod date_in;
mod date_out;
mod interval_in;
mod interval_out;
mod number;

use crate::coerce;
use crate::context::FormatContext;
use crate::decimal::Decimal;
use crate::error::ValueError;
use crate::json;
use crate::sql_type::SqlType;
use crate::value::{Value, ValueRef};

pub use date_out::write_time_of_day;
pub use interval_in::parse_interval;

/// Bytes of a `name`, without the end mark.
const NAME_BYTES_MAX: usize = 63;

/// Reads the text form of a value, and applies the type's length or precision as an assignment does.
///
/// Names of `regclass` and its kin need a catalog and are refused here; their numbers are read.
pub fn parse(ty: &SqlType, text: &str, ctx: &FormatContext) -> Result<Value, ValueError> {
    check_no_zero_byte(text)?;
    Ok(match ty {
        SqlType::Boolean => Value::Boolean(parse_bool(text)?),
        SqlType::SmallInt => Value::SmallInt(number::parse_integer(text, "smallint")?),
        SqlType::Integer => Value::Integer(number::parse_integer(text, "integer")?),
        SqlType::BigInt => Value::BigInt(number::parse_integer(text, "bigint")?),
        SqlType::Real => Value::Real(number::parse_real(text)?),
        SqlType::Double => Value::Double(number::parse_double(text)?),
        SqlType::Numeric(modifier) => {
            Value::Numeric(coerce::fit_numeric(text.parse()?, *modifier)?)
        }
        SqlType::Text | SqlType::Unknown => Value::Text(text.into()),
        SqlType::Varchar(length) => Value::Text(coerce::fit_varchar(
            text.into(),
            *length,
            coerce::CastKind::Assignment,
        )?),
        SqlType::Char(length) => Value::Text(coerce::fit_char(
            text.into(),
            *length,
            coerce::CastKind::Assignment,
        )?),
        SqlType::Name => Value::Text(truncate_name(text).into()),
        SqlType::InternalChar => Value::Text(first_char(text).into()),
        SqlType::Bytea => Value::Bytea(bytes::parse_bytea(text)?.into()),
        SqlType::Date => Value::Date(date_in::parse_date(text, ctx)?),
        SqlType::Time => Value::Time(date_in::parse_time(text, ctx)?),
        SqlType::Timestamp => Value::Timestamp(date_in::parse_timestamp(text, ctx)?),
        SqlType::TimestampTz => Value::TimestampTz(date_in::parse_timestamptz(text, ctx)?),
        SqlType::Interval => {
            Value::Interval(interval_in::parse_interval(text, ctx.interval_style)?)
        }
        SqlType::Uuid => Value::Uuid(bytes::parse_uuid(text)?),
        SqlType::Json => {
            json::validate(text)?;
            Value::Json(text.into())
        }
        SqlType::Jsonb => Value::Json(json::normalize(text)?.into()),
        SqlType::Oid => Value::Oid(number::parse_oid(text)?),
        SqlType::Regclass
        | SqlType::Regtype
        | SqlType::Regproc
        | SqlType::Regnamespace
        | SqlType::Regrole => parse_reg(text, ty)?,
        SqlType::Array(element) => Value::Array(Box::new(array::parse(element, text, ctx)?)),
        SqlType::Void => Value::Text(text.into()),
        SqlType::Record => {
            return Err(ValueError::PseudoType {
                type_name: ty.name(),
            });
        }
    })
}

/// Writes the text form; nothing at all for NULL.
///
/// A value that does not belong to the type is written in its own natural form.
pub fn write(value: ValueRef<'_>, ty: &SqlType, ctx: &FormatContext, out: &mut Vec<u8>) {
    match value {
        ValueRef::Null => {}
        ValueRef::Boolean(v) => out.push(if v { b't' } else { b'f' }),
        ValueRef::SmallInt(v) => number::write_integer(i64::from(v), out),
        ValueRef::Integer(v) => number::write_integer(i64::from(v), out),
        ValueRef::BigInt(v) => number::write_integer(v, out),
        ValueRef::Real(v) => number::write_real(v, ctx.extra_float_digits, out),
        ValueRef::Double(v) => number::write_double(v, ctx.extra_float_digits, out),
        ValueRef::Numeric(v) => v.write(out),
        ValueRef::Text(v) | ValueRef::Json(v) => out.extend_from_slice(v.as_bytes()),
        ValueRef::Bytea(v) => bytes::write_bytea(v, ctx.bytea_output, out),
        ValueRef::Date(v) => date_out::write_date(v, ctx, out),
        ValueRef::Time(v) => date_out::write_time_of_day(v, out),
        ValueRef::Timestamp(v) => date_out::write_timestamp(v, ctx, out),
        ValueRef::TimestampTz(v) => date_out::write_timestamptz(v, ctx, out),
        ValueRef::Interval(v) => interval_out::write_interval(&v, ctx.interval_style, out),
        ValueRef::Uuid(v) => bytes::write_uuid(&v, out),
        // Numbers; `regproc` and its kin print 0 as a dash.
        ValueRef::Oid(0) if *ty != SqlType::Oid && ty.is_oid_like() => out.push(b'-'),
        ValueRef::Oid(v) if *ty == SqlType::Regtype => match SqlType::from_oid(v, -1) {
            Some(named) => out.extend_from_slice(named.name().as_bytes()),
            None => number::write_integer(i64::from(v), out),
        },
        ValueRef::Oid(v) => number::write_integer(i64::from(v), out),
        ValueRef::Array(v) => array::write(&v, ctx, out),
    }
}

/// The text form as a string.
pub fn to_string(value: ValueRef<'_>, ty: &SqlType, ctx: &FormatContext) -> String {
    let mut out = Vec::new();
    write(value, ty, ctx, &mut out);
    // Every writer above writes UTF-8.
    String::from_utf8(out)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// PostgreSQL's text has no zero bytes.
pub(crate) fn check_no_zero_byte(text: &str) -> Result<(), ValueError> {
    if text.as_bytes().contains(&0) {
        return Err(ValueError::InvalidUtf8 {
            bytes: "0x00".to_owned(),
        });
    }
    Ok(())
}

/// A prefix of at most 63 bytes that ends between characters.
pub(crate) fn truncate_name(text: &str) -> &str {
    let mut end = text.len().min(NAME_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The first character; `"char"` has room for no more.
fn first_char(text: &str) -> &str {
    text.chars()
        .next()
        .map_or("", |first| &text[..first.len_utf8()])
}

/// Any unique beginning of `true`, `false`, `yes`, `no`, `on`, `off`, or `1`, `0`.
pub(crate) fn parse_bool(text: &str) -> Result<bool, ValueError> {
    let word = trim(text).to_ascii_lowercase();
    let begins = |full: &str, least: usize| word.len() >= least && full.starts_with(&word);
    if begins("true", 1) || begins("yes", 1) || begins("on", 2) || word == "1" {
        Ok(true)
    } else if begins("false", 1) || begins("no", 1) || begins("off", 2) || word == "0" {
        Ok(false)
    } else {
        Err(ValueError::text("boolean", text))
    }
}

/// A number in a statement that is no integer: `numeric`, or `double precision` where it is too
/// large or too small for the digits of our `numeric`.
pub fn parse_number(text: &str) -> Result<(Value, SqlType), ValueError> {
    let is_zero = |text: &str| {
        let digits = text.split(['e', 'E']).next().unwrap_or_default();
        !digits.bytes().any(|byte| (b'1'..=b'9').contains(&byte))
    };
    match text.parse::<Decimal>() {
        Ok(number) if !number.is_zero() || is_zero(text) => {
            Ok((Value::Numeric(number), SqlType::Numeric(None)))
        }
        outcome => match text.parse::<f64>() {
            Ok(number) if number.is_finite() && text.contains(['e', 'E']) => {
                Ok((Value::Double(number), SqlType::Double))
            }
            _ => outcome.map(|number| (Value::Numeric(number), SqlType::Numeric(None))),
        },
    }
}

fn parse_reg(text: &str, ty: &SqlType) -> Result<Value, ValueError> {
    if text == "-" {
        return Ok(Value::Oid(0));
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(Value::Oid(number::parse_oid(text)?));
    }
    Err(ValueError::Unsupported {
        message: format!("the name \"{text}\" of type {ty} is not resolved here, only a number is"),
    })
}

/// Without the blanks that C's `isspace` knows.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b')
}

#[cfg(test)]
mod tests;
