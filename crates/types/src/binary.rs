//! PostgreSQL's send and receive functions: the binary form of every type, big-endian.
//!
//! Any bytes may arrive here; lengths are checked before anything is read or allocated.

use crate::coerce::{self, CastKind};
use crate::datetime::{
    self, DATE_INFINITY, DATE_NEGATIVE_INFINITY, MICROS_PER_DAY, POSTGRES_EPOCH_DAYS,
    POSTGRES_EPOCH_MICROS, TIMESTAMP_INFINITY, TIMESTAMP_NEGATIVE_INFINITY,
};
use crate::decimal::{self, Decimal, DecimalError};
use crate::error::ValueError;
use crate::interval::Interval;
use crate::json;
use crate::sql_type::SqlType;
use crate::text;
use crate::value::{ArrayValue, Value, ValueRef};

/// The only version of `jsonb`'s binary form.
const JSONB_VERSION: u8 = 1;
const NUMERIC_NEGATIVE: u16 = 0x4000;
const NUMERIC_SPECIAL: u16 = 0xC000;
/// Digits after the point that PostgreSQL's format can announce.
const NUMERIC_SCALE_MAX: u16 = 0x3fff;
/// The length that means NULL inside an array.
const NULL_LENGTH: i32 = -1;

/// Checks that bytes are UTF-8 without zero bytes, as all text is.
pub fn utf8(bytes: &[u8]) -> Result<&str, ValueError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            text::check_no_zero_byte(text)?;
            Ok(text)
        }
        Err(error) => {
            let at = error.valid_up_to();
            let length = error.error_len().unwrap_or(bytes.len() - at).clamp(1, 4);
            let shown: Vec<String> = bytes[at..]
                .iter()
                .take(length)
                .map(|byte| format!("0x{byte:02x}"))
                .collect();
            Err(ValueError::InvalidUtf8 {
                bytes: shown.join(" "),
            })
        }
    }
}

/// Reads the binary form of a value; all bytes must be used.
pub fn parse(ty: &SqlType, bytes: &[u8]) -> Result<Value, ValueError> {
    Ok(match ty {
        SqlType::Boolean => Value::Boolean(fixed::<1>(bytes)?[0] != 0),
        SqlType::SmallInt => Value::SmallInt(i16::from_be_bytes(fixed(bytes)?)),
        SqlType::Integer => Value::Integer(i32::from_be_bytes(fixed(bytes)?)),
        SqlType::BigInt => Value::BigInt(i64::from_be_bytes(fixed(bytes)?)),
        SqlType::Real => Value::Real(f32::from_be_bytes(fixed(bytes)?)),
        SqlType::Double => Value::Double(f64::from_be_bytes(fixed(bytes)?)),
        SqlType::Numeric(modifier) => {
            Value::Numeric(coerce::fit_numeric(parse_numeric(bytes)?, *modifier)?)
        }
        SqlType::Text | SqlType::Unknown => Value::Text(utf8(bytes)?.into()),
        SqlType::Varchar(length) => Value::Text(coerce::fit_varchar(
            utf8(bytes)?.into(),
            *length,
            CastKind::Assignment,
        )?),
        SqlType::Char(length) => Value::Text(coerce::fit_char(
            utf8(bytes)?.into(),
            *length,
            CastKind::Assignment,
        )?),
        SqlType::Name => Value::Text(text::truncate_name(utf8(bytes)?).into()),
        SqlType::InternalChar => match fixed::<1>(bytes)? {
            [0] => Value::Text("".into()),
            byte => Value::Text(utf8(&byte)?.into()),
        },
        SqlType::Bytea => Value::Bytea(bytes.into()),
        SqlType::Date => Value::Date(parse_date(i32::from_be_bytes(fixed(bytes)?))?),
        SqlType::Time => {
            let micros = i64::from_be_bytes(fixed(bytes)?);
            if !(0..=MICROS_PER_DAY).contains(&micros) {
                return Err(ValueError::DatetimeOverflow {
                    what: "time".to_owned(),
                });
            }
            Value::Time(micros)
        }
        SqlType::Timestamp => Value::Timestamp(parse_timestamp(i64::from_be_bytes(fixed(bytes)?))?),
        SqlType::TimestampTz => {
            Value::TimestampTz(parse_timestamp(i64::from_be_bytes(fixed(bytes)?))?)
        }
        SqlType::Interval => {
            let mut rest = bytes;
            let interval = Interval {
                micros: i64::from_be_bytes(take(&mut rest)?),
                days: i32::from_be_bytes(take(&mut rest)?),
                months: i32::from_be_bytes(take(&mut rest)?),
            };
            finish(rest)?;
            Value::Interval(interval)
        }
        SqlType::Uuid => Value::Uuid(fixed(bytes)?),
        SqlType::Json => {
            let text = utf8(bytes)?;
            json::validate(text)?;
            Value::Json(text.into())
        }
        SqlType::Jsonb => match bytes.split_first() {
            Some((&JSONB_VERSION, text)) => Value::Json(json::normalize(utf8(text)?)?.into()),
            Some((version, _)) => {
                return Err(ValueError::InvalidBinary {
                    message: format!("unsupported jsonb version number {version}"),
                });
            }
            None => return Err(too_short()),
        },
        SqlType::Oid
        | SqlType::Regclass
        | SqlType::Regtype
        | SqlType::Regproc
        | SqlType::Regnamespace
        | SqlType::Regrole => Value::Oid(u32::from_be_bytes(fixed(bytes)?)),
        SqlType::Array(element) => Value::Array(Box::new(parse_array(element, bytes)?)),
        SqlType::Void | SqlType::Record => {
            return Err(ValueError::PseudoType {
                type_name: ty.name(),
            });
        }
    })
}

/// Writes the binary form, without the length; nothing for NULL.
pub fn write(value: ValueRef<'_>, ty: &SqlType, out: &mut Vec<u8>) {
    match value {
        ValueRef::Null => {}
        ValueRef::Boolean(v) => out.push(u8::from(v)),
        ValueRef::SmallInt(v) => out.extend_from_slice(&v.to_be_bytes()),
        ValueRef::Integer(v) => out.extend_from_slice(&v.to_be_bytes()),
        ValueRef::BigInt(v) => out.extend_from_slice(&v.to_be_bytes()),
        ValueRef::Real(v) => out.extend_from_slice(&v.to_be_bytes()),
        ValueRef::Double(v) => out.extend_from_slice(&v.to_be_bytes()),
        ValueRef::Numeric(v) => write_numeric(v, out),
        ValueRef::Text(v) if *ty == SqlType::InternalChar => {
            out.push(v.bytes().next().unwrap_or(0))
        }
        ValueRef::Text(v) => out.extend_from_slice(v.as_bytes()),
        ValueRef::Bytea(v) => out.extend_from_slice(v),
        ValueRef::Date(v) => out.extend_from_slice(&date_to_wire(v).to_be_bytes()),
        ValueRef::Time(v) => out.extend_from_slice(&v.to_be_bytes()),
        ValueRef::Timestamp(v) | ValueRef::TimestampTz(v) => {
            out.extend_from_slice(&timestamp_to_wire(v).to_be_bytes());
        }
        ValueRef::Interval(v) => {
            out.extend_from_slice(&v.micros.to_be_bytes());
            out.extend_from_slice(&v.days.to_be_bytes());
            out.extend_from_slice(&v.months.to_be_bytes());
        }
        ValueRef::Uuid(v) => out.extend_from_slice(&v),
        ValueRef::Json(v) => {
            if *ty == SqlType::Jsonb {
                out.push(JSONB_VERSION);
            }
            out.extend_from_slice(v.as_bytes());
        }
        ValueRef::Oid(v) => out.extend_from_slice(&v.to_be_bytes()),
        ValueRef::Array(v) => write_array(&v, out),
    }
}

fn too_short() -> ValueError {
    ValueError::BinaryLength {
        message: "insufficient data left in message".to_owned(),
    }
}

fn too_long() -> ValueError {
    ValueError::InvalidBinary {
        message: "incorrect binary data format".to_owned(),
    }
}

fn finish(rest: &[u8]) -> Result<(), ValueError> {
    if rest.is_empty() {
        Ok(())
    } else {
        Err(too_long())
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], ValueError> {
    let (head, rest) = bytes.split_first_chunk::<N>().ok_or_else(too_short)?;
    *bytes = rest;
    Ok(*head)
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], ValueError> {
    let mut rest = bytes;
    let head = take(&mut rest)?;
    finish(rest)?;
    Ok(head)
}

fn parse_date(wire: i32) -> Result<i32, ValueError> {
    match wire {
        DATE_INFINITY | DATE_NEGATIVE_INFINITY => Ok(wire),
        wire => i64::from(wire)
            .checked_add(i64::from(POSTGRES_EPOCH_DAYS))
            .filter(|days| datetime::date_in_range(*days))
            .and_then(|days| i32::try_from(days).ok())
            .ok_or_else(|| ValueError::DatetimeOverflow {
                what: "date".to_owned(),
            }),
    }
}

fn date_to_wire(days: i32) -> i32 {
    match days {
        DATE_INFINITY | DATE_NEGATIVE_INFINITY => days,
        days => days.saturating_sub(POSTGRES_EPOCH_DAYS),
    }
}

fn parse_timestamp(wire: i64) -> Result<i64, ValueError> {
    match wire {
        TIMESTAMP_INFINITY | TIMESTAMP_NEGATIVE_INFINITY => Ok(wire),
        wire => wire
            .checked_add(POSTGRES_EPOCH_MICROS)
            .filter(|micros| datetime::timestamp_in_range(*micros))
            .ok_or_else(|| ValueError::DatetimeOverflow {
                what: "timestamp".to_owned(),
            }),
    }
}

fn timestamp_to_wire(micros: i64) -> i64 {
    match micros {
        TIMESTAMP_INFINITY | TIMESTAMP_NEGATIVE_INFINITY => micros,
        micros => micros.saturating_sub(POSTGRES_EPOCH_MICROS),
    }
}

/// Groups of four digits: count, weight of the first, sign, digits after the point, groups.
fn parse_numeric(bytes: &[u8]) -> Result<Decimal, ValueError> {
    let invalid = |what: &str| ValueError::InvalidBinary {
        message: format!("invalid {what} in external \"numeric\" value"),
    };
    let overflow = |_: DecimalError| ValueError::NumericUnsupported {
        message: format!(
            "value overflows numeric format (at most {} digits)",
            decimal::DECIMAL_DIGITS_MAX
        ),
    };
    let mut rest = bytes;
    let count = u16::from_be_bytes(take(&mut rest)?);
    let weight = i16::from_be_bytes(take(&mut rest)?);
    let sign = u16::from_be_bytes(take(&mut rest)?);
    let shown = u16::from_be_bytes(take(&mut rest)?);
    if sign & NUMERIC_SPECIAL == NUMERIC_SPECIAL {
        return Err(ValueError::NumericUnsupported {
            message: "numeric cannot hold NaN or infinity here".to_owned(),
        });
    }
    if sign != 0 && sign != NUMERIC_NEGATIVE {
        return Err(invalid("sign"));
    }
    if shown > NUMERIC_SCALE_MAX {
        return Err(invalid("scale"));
    }
    let length = usize::from(count) * 2;
    if rest.len() < length {
        return Err(too_short());
    }
    finish(&rest[length..])?;
    let mut digits = Vec::with_capacity(length * 2);
    for group in rest.chunks_exact(2) {
        let group = u16::from_be_bytes([group[0], group[1]]);
        if group >= 10_000 {
            return Err(invalid("digit"));
        }
        for divisor in [1000, 100, 10, 1] {
            // A single digit, so the cast keeps the value.
            digits.push((group / divisor % 10) as u8);
        }
    }
    let scale = (i64::from(count) - 1 - i64::from(weight)) * 4;
    if digits.iter().all(|digit| *digit == 0) {
        return Ok(Decimal {
            unscaled: 0,
            scale: scale_shown(shown),
        });
    }
    // Zeros at both ends are padding; the shown scale decides how many of them are kept.
    let leading = digits.iter().take_while(|digit| **digit == 0).count();
    let trailing = digits.iter().rev().take_while(|digit| **digit == 0).count();
    let kept = &digits[leading..digits.len() - trailing];
    let scale = scale - i64::try_from(trailing).unwrap_or(0);
    let number = decimal::from_digits(sign == NUMERIC_NEGATIVE, kept.iter().copied(), scale)
        .map_err(overflow)?;
    let shown = scale_shown(shown);
    if number.scale > shown {
        return number
            .trunc(i32::from(shown))
            .ok_or_else(|| overflow(DecimalError::Overflow));
    }
    // As many zeros as were shown, where 38 digits have room for them.
    let mut wider = shown;
    while wider > number.scale {
        if let Some(number) = number.rescale(wider) {
            return Ok(number);
        }
        wider -= 1;
    }
    Ok(number)
}

fn scale_shown(shown: u16) -> u8 {
    u8::try_from(shown)
        .unwrap_or(u8::MAX)
        .min(decimal::DECIMAL_SCALE_MAX)
}

fn write_numeric(value: Decimal, out: &mut Vec<u8>) {
    let digits = value.unscaled.unsigned_abs().to_string().into_bytes();
    let scale = usize::from(value.scale);
    let (whole, fraction) = if digits.len() > scale {
        digits.split_at(digits.len() - scale)
    } else {
        (&[][..], &digits[..])
    };
    // Whole part padded on the left, fraction on the left to its scale and on the right to a group.
    let whole_groups = whole.len().div_ceil(4);
    let mut padded = vec![b'0'; whole_groups * 4 - whole.len()];
    padded.extend_from_slice(whole);
    padded.resize(padded.len() + scale.saturating_sub(fraction.len()), b'0');
    padded.extend_from_slice(if scale == 0 { &[] } else { fraction });
    padded.resize(padded.len().div_ceil(4) * 4, b'0');
    let mut groups: Vec<u16> = padded
        .chunks_exact(4)
        .map(|group| {
            group
                .iter()
                .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'))
        })
        .collect();
    let leading = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..leading);
    while groups.last() == Some(&0) {
        groups.pop();
    }
    // At most 20 groups, so none of the conversions below can fail.
    let small = |number: usize| i16::try_from(number).unwrap_or(0);
    let weight = if groups.is_empty() {
        0
    } else {
        small(whole_groups) - small(leading) - 1
    };
    let sign = if value.unscaled < 0 {
        NUMERIC_NEGATIVE
    } else {
        0
    };
    out.extend_from_slice(&small(groups.len()).to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&u16::from(value.scale).to_be_bytes());
    for group in groups {
        out.extend_from_slice(&group.to_be_bytes());
    }
}

fn parse_array(element: &SqlType, bytes: &[u8]) -> Result<ArrayValue, ValueError> {
    let invalid = |message: String| ValueError::InvalidBinary { message };
    let mut rest = bytes;
    let count = i32::from_be_bytes(take(&mut rest)?);
    let flags = i32::from_be_bytes(take(&mut rest)?);
    let oid = u32::from_be_bytes(take(&mut rest)?);
    let dimensions_count = match usize::try_from(count) {
        Ok(count) if count <= ArrayValue::DIMENSIONS_MAX => count,
        Ok(count) => {
            return Err(ValueError::ProgramLimit {
                message: format!(
                    "number of array dimensions ({count}) exceeds the maximum allowed ({})",
                    ArrayValue::DIMENSIONS_MAX
                ),
            });
        }
        Err(_) => return Err(invalid(format!("invalid number of dimensions: {count}"))),
    };
    if flags != 0 && flags != 1 {
        return Err(invalid("invalid array flags".to_owned()));
    }
    if oid != element.oid() {
        return Err(invalid(format!(
            "binary data has array element type {oid} instead of expected {}",
            element.oid()
        )));
    }
    let mut dimensions = Vec::with_capacity(dimensions_count);
    let mut total: usize = 1;
    for _ in 0..dimensions_count {
        let length = i32::from_be_bytes(take(&mut rest)?);
        let lower = i32::from_be_bytes(take(&mut rest)?);
        let wide =
            usize::try_from(length).map_err(|_| invalid("array length is negative".to_owned()))?;
        if lower.checked_add(length).is_none() {
            return Err(invalid("array lower bound is too large".to_owned()));
        }
        total = total.checked_mul(wide).ok_or_else(too_short)?;
        dimensions.push((length, lower));
    }
    if dimensions.is_empty() || total == 0 {
        finish(rest)?;
        return Ok(ArrayValue {
            element: element.clone(),
            dimensions: Vec::new(),
            elements: Vec::new(),
        });
    }
    // Every element brings its length, so an announced size beyond the input is refused at once.
    if total > rest.len() / 4 {
        return Err(too_short());
    }
    let mut elements = Vec::with_capacity(total);
    for _ in 0..total {
        let length = i32::from_be_bytes(take(&mut rest)?);
        if length == NULL_LENGTH {
            elements.push(Value::Null);
            continue;
        }
        let length = usize::try_from(length).map_err(|_| too_short())?;
        let (head, tail) = rest.split_at_checked(length).ok_or_else(too_short)?;
        elements.push(parse(element, head)?);
        rest = tail;
    }
    finish(rest)?;
    Ok(ArrayValue {
        element: element.clone(),
        dimensions,
        elements,
    })
}

fn write_array(array: &ArrayValue, out: &mut Vec<u8>) {
    let has_null = array.elements.iter().any(Value::is_null);
    // At most six dimensions.
    let count = i32::try_from(array.dimensions.len()).unwrap_or(0);
    out.extend_from_slice(&count.to_be_bytes());
    out.extend_from_slice(&i32::from(has_null).to_be_bytes());
    out.extend_from_slice(&array.element.oid().to_be_bytes());
    for (length, lower) in &array.dimensions {
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&lower.to_be_bytes());
    }
    for element in &array.elements {
        if element.is_null() {
            out.extend_from_slice(&NULL_LENGTH.to_be_bytes());
            continue;
        }
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        write(element.as_ref(), &array.element, out);
        // Values are limited to a gigabyte, far below what the length can say.
        let length = i32::try_from(out.len() - start - 4).unwrap_or(i32::MAX);
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
