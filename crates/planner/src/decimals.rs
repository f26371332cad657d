//! Decimals in Arrow, and how an unconstrained `numeric` keeps its display scale.
//!
//! PostgreSQL's `numeric` remembers with how many digits after the point it is shown: `1.50` is
//! not shown as `1.5`, though they are equal. Arrow's decimals have one scale for a whole column.
//! So the mantissa of an unconstrained `numeric`, a Decimal256(76, 38), holds two things:
//!
//! | part of the mantissa | meaning |
//! |---|---|
//! | all but the two lowest decimal digits | the value, with 36 digits after the point |
//! | the two lowest decimal digits | the digits to show after the point, 0 to 36 |
//!
//! Both have the mantissa's sign. As numbers such mantissas are in the order of their values, and
//! differ only in the last two digits where the values are equal; [`value_of`] drops those, and
//! [`crate::by_value`] does so wherever values are compared.

use arrow::datatypes::{DataType, i256};
use datafusion::common::ScalarValue;
use tessera_types::{DECIMAL_SCALE_MAX, Decimal, Report, SqlType, codes};

use crate::arrow_types::{NUMERIC_ANY, NUMERIC_ANY_SCALE};

/// What the two lowest digits of a mantissa are split off with.
const SHOWN_UNIT: i256 = i256::from_i128(100);

/// 22003 for numerics.
pub fn numeric_overflow() -> Report {
    Report::error(
        codes::NUMERIC_VALUE_OUT_OF_RANGE,
        "value overflows numeric format",
    )
}

/// The mantissa of an unconstrained `numeric`; `None` when the number has too many digits.
pub fn to_any(decimal: Decimal) -> Option<i256> {
    let decimal = if decimal.scale > DECIMAL_SCALE_MAX {
        decimal.rescale(DECIMAL_SCALE_MAX)?
    } else {
        decimal
    };
    let scale = u8::try_from(NUMERIC_ANY_SCALE).ok()?;
    let factor = i256::from_i128(10i128.checked_pow(u32::from(scale - decimal.scale))?);
    let value = i256::from_i128(decimal.unscaled).checked_mul(factor)?;
    Some(with_shown(value, decimal.scale))
}

/// The value of a mantissa with the digits to show.
pub fn with_shown(value: i256, shown: u8) -> i256 {
    let shown = i256::from_i128(i128::from(shown));
    if value < i256::ZERO {
        value.wrapping_sub(shown)
    } else {
        value.wrapping_add(shown)
    }
}

/// The mantissa without its digits to show: equal for equal values.
pub fn value_of(mantissa: i256) -> i256 {
    mantissa.wrapping_sub(mantissa.wrapping_rem(SHOWN_UNIT))
}

/// How many digits a mantissa shows after the point.
pub fn shown_of(mantissa: i256) -> u8 {
    let shown = mantissa.wrapping_rem(SHOWN_UNIT).wrapping_abs();
    let shown = shown.to_i128().and_then(|shown| u8::try_from(shown).ok());
    shown.unwrap_or(0).min(DECIMAL_SCALE_MAX)
}

/// The number of a mantissa. Digits that it has are shown even where it says that fewer are.
fn from_any(mantissa: i256) -> Result<Decimal, Report> {
    let shown = shown_of(mantissa);
    let value = mantissa.wrapping_div(SHOWN_UNIT);
    let unit = i256::from_i128(10i128.pow(u32::from(DECIMAL_SCALE_MAX - shown)));
    if value.wrapping_rem(unit) == i256::ZERO {
        return narrow(value.wrapping_div(unit), shown);
    }
    let (mut value, mut scale) = (value, DECIMAL_SCALE_MAX);
    let ten = i256::from_i128(10);
    while scale > 0 && value.wrapping_rem(ten) == i256::ZERO {
        value = value.wrapping_div(ten);
        scale -= 1;
    }
    narrow(value, scale)
}

/// A decimal of 128 bits; its scale is not negative in arrays that we make.
pub fn from_i128(unscaled: i128, scale: i8) -> Result<Decimal, Report> {
    let scale = u8::try_from(scale).map_err(|_| numeric_overflow())?;
    Decimal::new(unscaled, scale).ok_or_else(numeric_overflow)
}

/// A decimal of 256 bits as a number: an unconstrained `numeric`, or digits at a scale.
pub fn from_i256(unscaled: i256, scale: i8) -> Result<Decimal, Report> {
    if scale == NUMERIC_ANY_SCALE {
        return from_any(unscaled);
    }
    narrow(
        unscaled,
        u8::try_from(scale).map_err(|_| numeric_overflow())?,
    )
}

/// To 38 digits: digits after the point go first, rounded.
pub fn narrow(mut value: i256, mut scale: u8) -> Result<Decimal, Report> {
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

/// Ten to a power, in 256 bits; `None` above 76.
pub fn power_of_ten(exponent: u8) -> Option<i256> {
    i256::from_i128(10).checked_pow(u32::from(exponent))
}

/// Drops digits, rounding half away from zero.
fn round_i256(value: i256, digits: u8) -> i256 {
    let Some(unit) = power_of_ten(digits) else {
        return i256::ZERO;
    };
    let half = unit.wrapping_div(i256::from_i128(2));
    let shifted = if value < i256::ZERO {
        value.wrapping_sub(half)
    } else {
        value.wrapping_add(half)
    };
    shifted.wrapping_div(unit)
}

/// The Arrow type in which values of both decimal types fit, to compare them.
pub fn common_decimal(a: &DataType, b: &DataType) -> DataType {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn any(text: &str) -> i256 {
        to_any(text.parse().expect("a number")).expect("fits")
    }

    #[test]
    fn mantissas_are_in_the_order_of_their_values() {
        let ascending = [
            "-2", "-1.50", "-1.4", "0.00", "1e-36", "1.49", "1.5", "1.51",
        ];
        for pair in ascending.windows(2) {
            assert!(any(pair[0]) < any(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn equal_values_differ_only_in_what_they_show() {
        for (a, b) in [
            ("1.5", "1.50"),
            ("-3", "-3.000"),
            ("0", "0.0"),
            ("-0.00", "0"),
        ] {
            assert_ne!(any(a), any(b), "{a} {b}");
            assert_eq!(value_of(any(a)), value_of(any(b)), "{a} {b}");
        }
    }

    #[test]
    fn a_value_shows_all_its_digits_even_without_a_display_scale() {
        let shown = |mantissa| {
            from_i256(mantissa, NUMERIC_ANY_SCALE)
                .expect("fits")
                .to_string()
        };
        assert_eq!(shown(value_of(any("12.3400"))), "12.34");
        assert_eq!(shown(any("12.3400")), "12.3400");
        let largest = "9".repeat(38);
        assert_eq!(shown(any(&largest)), largest);
        let smallest = format!("-0.{}1", "0".repeat(35));
        assert_eq!(shown(any(&smallest)), smallest);
    }
}
