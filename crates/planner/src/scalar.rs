//! SQL values in and out of DataFusion's scalar values.

use arrow::array::Array;
use arrow::datatypes::{DataType, IntervalMonthDayNano, TimeUnit, i256};
use datafusion::common::ScalarValue;
use tessera_types::{ArrayValue, Decimal, Interval, Report, SqlType, Value, codes};

use crate::arrow_types::{NUMERIC_ANY_SCALE, data_type_of, element_field};
use crate::errors::report_of;

/// Nanoseconds in a microsecond.
const NANOS: i64 = 1_000;

/// The scalar of a value, in the Arrow type of `sql_type`.
pub fn to_scalar(value: &Value, sql_type: &SqlType) -> Result<ScalarValue, Report> {
    if value.is_null() {
        return ScalarValue::try_from(&data_type_of(sql_type)).map_err(report_of);
    }
    Ok(match value {
        Value::Null => ScalarValue::Null,
        Value::Boolean(v) => ScalarValue::Boolean(Some(*v)),
        Value::SmallInt(v) => ScalarValue::Int16(Some(*v)),
        Value::Integer(v) => ScalarValue::Int32(Some(*v)),
        Value::BigInt(v) => ScalarValue::Int64(Some(*v)),
        Value::Real(v) => ScalarValue::Float32(Some(*v)),
        Value::Double(v) => ScalarValue::Float64(Some(*v)),
        Value::Numeric(v) => match sql_type {
            SqlType::Numeric(Some((precision, scale))) => {
                let fitted = v.rescale(*scale).ok_or_else(numeric_overflow)?;
                ScalarValue::Decimal128(Some(fitted.unscaled), *precision, *scale as i8)
            }
            _ => ScalarValue::Decimal256(
                Some(to_i256(*v, NUMERIC_ANY_SCALE).ok_or_else(numeric_overflow)?),
                76,
                NUMERIC_ANY_SCALE,
            ),
        },
        Value::Text(v) | Value::Json(v) => match sql_type {
            SqlType::Unknown => ScalarValue::Utf8(Some(v.to_string())),
            _ => ScalarValue::Utf8View(Some(v.to_string())),
        },
        Value::Bytea(v) => ScalarValue::BinaryView(Some(v.to_vec())),
        Value::Date(v) => ScalarValue::Date32(Some(*v)),
        Value::Time(v) => ScalarValue::Time64Microsecond(Some(*v)),
        Value::Timestamp(v) => ScalarValue::TimestampMicrosecond(Some(*v), None),
        Value::TimestampTz(v) => {
            ScalarValue::TimestampMicrosecond(Some(*v), Some(crate::arrow_types::UTC.into()))
        }
        Value::Interval(v) => ScalarValue::IntervalMonthDayNano(Some(to_month_day_nano(*v)?)),
        Value::Uuid(v) => ScalarValue::FixedSizeBinary(16, Some(v.to_vec())),
        Value::Oid(v) => ScalarValue::UInt32(Some(*v)),
        Value::Array(v) => return array_scalar(v, sql_type),
    })
}

fn array_scalar(array: &ArrayValue, sql_type: &SqlType) -> Result<ScalarValue, Report> {
    check_one_dimension(array)?;
    let element = sql_type.element().unwrap_or(&array.element);
    let scalars = array
        .elements
        .iter()
        .map(|value| to_scalar(value, element))
        .collect::<Result<Vec<_>, _>>()?;
    let item = element_field(element);
    Ok(ScalarValue::List(ScalarValue::new_list(
        &scalars,
        item.data_type(),
        true,
    )))
}

/// Arrow lists have one dimension that begins at 1; anything else is refused, not flattened.
pub fn check_one_dimension(array: &ArrayValue) -> Result<(), Report> {
    match array.dimensions.as_slice() {
        [] | [(_, 1)] => Ok(()),
        _ => Err(Report::unsupported(
            "arrays of several dimensions cannot be used in this kind of query",
        )),
    }
}

/// The value of a scalar whose SQL type is known.
pub fn from_scalar(scalar: &ScalarValue, sql_type: &SqlType) -> Result<Value, Report> {
    if scalar.is_null() {
        return Ok(Value::Null);
    }
    Ok(match scalar {
        ScalarValue::Boolean(Some(v)) => Value::Boolean(*v),
        ScalarValue::Int16(Some(v)) => Value::SmallInt(*v),
        ScalarValue::Int32(Some(v)) => Value::Integer(*v),
        ScalarValue::Int64(Some(v)) => Value::BigInt(*v),
        ScalarValue::UInt32(Some(v)) => Value::Oid(*v),
        ScalarValue::Float32(Some(v)) => Value::Real(*v),
        ScalarValue::Float64(Some(v)) => Value::Double(*v),
        ScalarValue::Decimal128(Some(v), _, scale) => Value::Numeric(from_i128(*v, *scale)?),
        ScalarValue::Decimal256(Some(v), _, scale) => Value::Numeric(from_i256(*v, *scale)?),
        ScalarValue::Utf8(Some(v))
        | ScalarValue::Utf8View(Some(v))
        | ScalarValue::LargeUtf8(Some(v)) => match sql_type {
            SqlType::Json | SqlType::Jsonb => Value::Json(v.as_str().into()),
            _ => Value::Text(v.as_str().into()),
        },
        ScalarValue::Binary(Some(v)) | ScalarValue::BinaryView(Some(v)) => {
            Value::Bytea(v.as_slice().into())
        }
        ScalarValue::Date32(Some(v)) => Value::Date(*v),
        ScalarValue::Time64Microsecond(Some(v)) => Value::Time(*v),
        ScalarValue::TimestampMicrosecond(Some(v), None) => Value::Timestamp(*v),
        ScalarValue::TimestampMicrosecond(Some(v), Some(_)) => Value::TimestampTz(*v),
        ScalarValue::IntervalMonthDayNano(Some(v)) => Value::Interval(from_month_day_nano(*v)),
        ScalarValue::FixedSizeBinary(16, Some(v)) => {
            let bytes: [u8; 16] = v
                .as_slice()
                .try_into()
                .map_err(|_| Report::internal("a uuid has 16 bytes"))?;
            Value::Uuid(bytes)
        }
        ScalarValue::List(list) => {
            let element = sql_type.element().cloned().unwrap_or(SqlType::Text);
            let items = list.value(0);
            let mut elements = Vec::with_capacity(items.len());
            for i in 0..items.len() {
                let item = ScalarValue::try_from_array(&items, i).map_err(report_of)?;
                elements.push(from_scalar(&item, &element)?);
            }
            Value::Array(Box::new(ArrayValue::from_elements(element, elements)))
        }
        other => {
            return Err(Report::internal(format!(
                "no SQL value for {}",
                other.data_type()
            )));
        }
    })
}

/// 22003 for numerics.
pub fn numeric_overflow() -> Report {
    Report::error(codes::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow")
}

/// An interval as Arrow keeps it: time in nanoseconds.
pub fn to_month_day_nano(interval: Interval) -> Result<IntervalMonthDayNano, Report> {
    let nanos = interval
        .micros
        .checked_mul(NANOS)
        .ok_or_else(|| Report::error(codes::DATETIME_FIELD_OVERFLOW, "interval out of range"))?;
    Ok(IntervalMonthDayNano::new(
        interval.months,
        interval.days,
        nanos,
    ))
}

/// An interval from Arrow; below a microsecond is dropped, because SQL never made it.
pub fn from_month_day_nano(interval: IntervalMonthDayNano) -> Interval {
    Interval {
        months: interval.months,
        days: interval.days,
        micros: interval.nanoseconds / NANOS,
    }
}

/// A decimal in 256 bits at a scale; `None` when it does not fit.
pub fn to_i256(decimal: Decimal, scale: i8) -> Option<i256> {
    let wanted = u8::try_from(scale).ok()?;
    if decimal.scale > wanted {
        let rounded = decimal.rescale(wanted)?;
        return Some(i256::from_i128(rounded.unscaled));
    }
    let mut value = i256::from_i128(decimal.unscaled);
    value = value.checked_mul(power_of_ten(wanted - decimal.scale)?)?;
    Some(value)
}

/// Ten to a power, in 256 bits; `None` above 76.
pub fn power_of_ten(exponent: u8) -> Option<i256> {
    i256::from_i128(10).checked_pow(u32::from(exponent))
}

/// A decimal of 128 bits; its scale is not negative in arrays that we make.
pub fn from_i128(unscaled: i128, scale: i8) -> Result<Decimal, Report> {
    let scale = u8::try_from(scale).map_err(|_| numeric_overflow())?;
    Decimal::new(unscaled, scale).ok_or_else(numeric_overflow)
}

/// A decimal of 256 bits as a value.
///
/// Scale 20 is a quotient and keeps as many digits as PostgreSQL's division would show; scale 38
/// is an unconstrained `numeric` and loses its trailing zeros. See [`crate::arrow_types`].
pub fn from_i256(unscaled: i256, scale: i8) -> Result<Decimal, Report> {
    use crate::arrow_types::NUMERIC_QUOTIENT_SCALE;
    let scale_now = u8::try_from(scale).map_err(|_| numeric_overflow())?;
    if scale == NUMERIC_QUOTIENT_SCALE {
        let shown = quotient_scale(unscaled, scale_now);
        return narrow(round_i256(unscaled, scale_now - shown), shown);
    }
    if scale == NUMERIC_ANY_SCALE {
        let mut value = unscaled;
        let mut scale = scale_now;
        let ten = i256::from_i128(10);
        while scale > 0 && value.wrapping_rem(ten) == i256::ZERO {
            value = value.wrapping_div(ten);
            scale -= 1;
        }
        return narrow(value, scale);
    }
    narrow(unscaled, scale_now)
}

/// To 38 digits: digits after the point go first, rounded.
fn narrow(mut value: i256, mut scale: u8) -> Result<Decimal, Report> {
    loop {
        if let Some(decimal) = value.to_i128().and_then(|v| Decimal::new(v, scale)) {
            return Ok(decimal);
        }
        if scale == 0 {
            return Err(numeric_overflow());
        }
        value = round_i256(value, 1);
        scale -= 1;
    }
}

/// Drops digits, rounding half away from zero.
pub fn round_i256(value: i256, digits: u8) -> i256 {
    let Some(unit) = power_of_ten(digits) else {
        return i256::ZERO;
    };
    if digits == 0 {
        return value;
    }
    let half = unit.wrapping_div(i256::from_i128(2));
    let shifted = if value < i256::ZERO {
        value.wrapping_sub(half)
    } else {
        value.wrapping_add(half)
    };
    shifted.wrapping_div(unit)
}

/// Digits after the point that PostgreSQL shows of a quotient: at least 16 significant ones,
/// counted in groups of four (`select_div_scale`).
fn quotient_scale(value: i256, scale: u8) -> u8 {
    let digits = value.wrapping_abs().to_string().len() as i32;
    if value == i256::ZERO {
        return 16.min(scale);
    }
    // Weight of the first base-10000 digit: 0 for 1..9999, 1 for 10000.., -1 for 0.0001..
    let integer_digits = digits - i32::from(scale);
    let weight = (integer_digits - 1).div_euclid(4);
    (16 - 4 * weight).clamp(0, i32::from(scale)) as u8
}

/// The Arrow type in which values of both decimal types fit.
pub fn common_decimal(a: &DataType, b: &DataType) -> DataType {
    use crate::arrow_types::{NUMERIC_ANY, NUMERIC_QUOTIENT};
    match (a, b) {
        (a, b) if a == b => a.clone(),
        (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)) => {
            let scale = *s1.max(s2);
            let integer = (*p1 as i8 - s1).max(*p2 as i8 - s2);
            match integer + scale {
                precision @ ..=38 => DataType::Decimal128(precision.max(1) as u8, scale),
                precision => DataType::Decimal256(precision.min(76) as u8, scale),
            }
        }
        (a, b) if *a == NUMERIC_ANY || *b == NUMERIC_ANY => NUMERIC_ANY,
        (a, b) if *a == NUMERIC_QUOTIENT || *b == NUMERIC_QUOTIENT => NUMERIC_QUOTIENT,
        (a, b) => DataType::Decimal256(76, scale_of(a).max(scale_of(b))),
    }
}

/// The scale of a decimal type; 0 for others.
pub fn scale_of(data_type: &DataType) -> i8 {
    match data_type {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => *scale,
        _ => 0,
    }
}

/// The decimal type that holds every value of an integer type.
pub fn decimal_of_integer(sql_type: &SqlType) -> Option<DataType> {
    Some(match sql_type {
        SqlType::SmallInt => DataType::Decimal128(5, 0),
        SqlType::Integer => DataType::Decimal128(10, 0),
        SqlType::BigInt => DataType::Decimal128(19, 0),
        _ => return None,
    })
}

/// A literal such as `1.50`: its digits are its type.
pub fn decimal_literal(decimal: Decimal) -> ScalarValue {
    let precision = decimal.digits().max(decimal.scale).max(1);
    ScalarValue::Decimal128(Some(decimal.unscaled), precision, decimal.scale as i8)
}

/// Whether the type is microseconds since 1970.
pub fn is_timestamp(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(TimeUnit::Microsecond, _))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quotient(text: i128, scale_digits: u8) -> String {
        let value = i256::from_i128(text)
            .checked_mul(power_of_ten(20 - scale_digits).expect("small"))
            .expect("small");
        let mut out = Vec::new();
        from_i256(value, 20).expect("fits").write(&mut out);
        String::from_utf8(out).expect("digits")
    }

    #[test]
    fn quotients_show_the_digits_that_postgres_shows() {
        assert_eq!(quotient(15, 1), "1.5000000000000000");
        assert_eq!(quotient(33333333333333333333, 20), "0.33333333333333333333");
        assert_eq!(quotient(17636571428571429, 12), "17636.571428571429");
        assert_eq!(quotient(0, 0), "0.0000000000000000");
    }

    #[test]
    fn unconstrained_numerics_lose_trailing_zeros_and_nothing_else() {
        for (unscaled, scale) in [(15, 1), (-1, 38), (12345678901234567890, 0), (100, 2)] {
            let value = Value::Numeric(Decimal::new(unscaled, scale).expect("fits"));
            let scalar = to_scalar(&value, &SqlType::Numeric(None)).expect("fits");
            let back = from_scalar(&scalar, &SqlType::Numeric(None)).expect("fits");
            assert_eq!(value.cmp_sql(&back), std::cmp::Ordering::Equal);
        }
    }
}
