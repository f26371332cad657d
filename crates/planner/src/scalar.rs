//! SQL values in and out of DataFusion's scalar values.

use arrow::array::Array;
use arrow::datatypes::{DataType, IntervalMonthDayNano, TimeUnit};
use datafusion::common::ScalarValue;
use tessera_types::{ArrayValue, Interval, Report, SqlType, Value, codes};

use crate::arrow_types::{NUMERIC_ANY_SCALE, data_type_of, element_field};
use crate::decimals::{from_i128, from_i256, numeric_overflow, to_any};
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
                Some(to_any(*v).ok_or_else(numeric_overflow)?),
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

/// Whether the type is microseconds since 1970.
pub fn is_timestamp(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(TimeUnit::Microsecond, _))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unconstrained_numerics_keep_their_display_scale() {
        for text in ["1.5", "1.50", "-0.00", "12345678901234567890", "-3.1400"] {
            let value = Value::Numeric(text.parse().expect("a number"));
            let scalar = to_scalar(&value, &SqlType::Numeric(None)).expect("fits");
            let back = from_scalar(&scalar, &SqlType::Numeric(None)).expect("fits");
            let Value::Numeric(back) = back else {
                panic!("{back:?} is not a number");
            };
            let Value::Numeric(given) = value else {
                panic!("{value:?} is not a number");
            };
            assert_eq!(
                (back.unscaled, back.scale),
                (given.unscaled, given.scale),
                "{text}"
            );
        }
    }
}
