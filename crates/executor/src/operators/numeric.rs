//! Arithmetic of decimals: 128 bits where the digits fit, else 256.
//!
//! The types of results follow `tessera_planner::arrow_types`: sums and products of bounded
//! decimals stay bounded, quotients have 20 digits after the point and are shown as PostgreSQL
//! would, everything with an unconstrained `numeric` is unconstrained.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Decimal256Array};
use arrow::compute::kernels::numeric as kernels;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, FieldRef, i256};
use arrow::error::ArrowError;
use datafusion::common::Result as DfResult;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use tessera_planner::arrow_types::{
    NUMERIC_ANY, NUMERIC_QUOTIENT, NUMERIC_QUOTIENT_SCALE, metadata_of,
};
use tessera_planner::errors::division_by_zero;
use tessera_planner::functions::{Argument, FunctionRegistry, Returns, Scalar};
use tessera_planner::scalar::{numeric_overflow, power_of_ten, round_i256, scale_of};
use tessera_types::{Report, SqlType};

use super::arithmetic::{as_arrow, one_array, two_arrays};

pub(super) fn register(registry: &mut FunctionRegistry) {
    let numeric = || Argument::Exact(SqlType::Numeric(None));
    let mut infix = |symbol: &str, returns: Returns, op: Op| {
        registry.operator(Scalar::new(
            symbol,
            [numeric(), numeric()],
            returns,
            move |args| binary(&args, op),
        ));
    };
    infix("+", Returns::Field(sum_field), Op::Add);
    infix("-", Returns::Field(sum_field), Op::Subtract);
    infix("*", Returns::Field(product_field), Op::Multiply);
    infix("/", Returns::Field(quotient_field), Op::Divide);
    infix("%", Returns::Field(sum_field), Op::Remainder);
    for (symbol, negate) in [("-", true), ("+", false)] {
        registry.operator(Scalar::new(
            symbol,
            [numeric()],
            Returns::Element,
            move |args| {
                if negate {
                    one_array(&args, |a| kernels::neg(a))
                } else {
                    Ok(args.args[0].clone())
                }
            },
        ));
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Op {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

fn field(data_type: DataType) -> FieldRef {
    let field = arrow::datatypes::Field::new("numeric", data_type, true);
    Arc::new(field.with_metadata(metadata_of(&SqlType::Numeric(None))))
}

/// Types of two decimals; anything else is not called with these functions.
fn both(fields: &[FieldRef]) -> (DataType, DataType) {
    let of = |i: usize| {
        fields
            .get(i)
            .map_or(NUMERIC_ANY, |field| field.data_type().clone())
    };
    (of(0), of(1))
}

fn wide(a: &DataType, b: &DataType) -> Option<DataType> {
    if *a == NUMERIC_ANY || *b == NUMERIC_ANY {
        return Some(NUMERIC_ANY);
    }
    if *a == NUMERIC_QUOTIENT || *b == NUMERIC_QUOTIENT {
        return Some(NUMERIC_QUOTIENT);
    }
    if matches!(a, DataType::Decimal256(..)) || matches!(b, DataType::Decimal256(..)) {
        return Some(DataType::Decimal256(76, scale_of(a).max(scale_of(b))));
    }
    None
}

fn sum_field(fields: &[FieldRef]) -> DfResult<FieldRef> {
    let (a, b) = both(fields);
    Ok(field(match (&a, &b) {
        (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)) => {
            let scale = *s1.max(s2);
            let integer = (*p1 as i8 - s1).max(*p2 as i8 - s2);
            DataType::Decimal128((integer + scale + 1).clamp(1, 38) as u8, scale)
        }
        _ => wide(&a, &b).unwrap_or(NUMERIC_ANY),
    }))
}

fn product_field(fields: &[FieldRef]) -> DfResult<FieldRef> {
    let (a, b) = both(fields);
    Ok(field(match (&a, &b) {
        (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)) if s1 + s2 <= 38 => {
            DataType::Decimal128((p1 + p2 + 1).min(38), s1 + s2)
        }
        (DataType::Decimal128(..), DataType::Decimal128(..)) => NUMERIC_ANY,
        _ => wide(&a, &b).unwrap_or(NUMERIC_ANY),
    }))
}

fn quotient_field(_: &[FieldRef]) -> DfResult<FieldRef> {
    Ok(field(NUMERIC_QUOTIENT))
}

fn binary(args: &ScalarFunctionArgs, op: Op) -> DfResult<ColumnarValue> {
    let wanted = args.return_field.data_type().clone();
    two_arrays(args, |a, b| {
        let narrow = matches!(
            (a.data_type(), b.data_type()),
            (DataType::Decimal128(..), DataType::Decimal128(..))
        );
        let result = match op {
            Op::Add if narrow => kernels::add(a, b).map_err(overflow)?,
            Op::Subtract if narrow => kernels::sub(a, b).map_err(overflow)?,
            Op::Multiply if narrow && wanted != NUMERIC_ANY => {
                kernels::mul(a, b).map_err(overflow)?
            }
            Op::Divide if narrow => narrow_quotient(a, b)?,
            _ => wide_step(a, b, op, &wanted)?,
        };
        if *result.data_type() == wanted {
            return Ok(result);
        }
        let options = CastOptions {
            safe: false,
            ..Default::default()
        };
        cast_with_options(&result, &wanted, &options).map_err(overflow)
    })
}

/// Kernel errors in PostgreSQL's words.
fn overflow(error: ArrowError) -> ArrowError {
    match error {
        ArrowError::DivideByZero => as_arrow(division_by_zero()),
        _ => as_arrow(numeric_overflow()),
    }
}

/// Division of 128-bit decimals; the usual case does not leave 128 bits.
fn narrow_quotient(a: &ArrayRef, b: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let shift = i16::from(NUMERIC_QUOTIENT_SCALE) + i16::from(scale_of(b.data_type()))
        - i16::from(scale_of(a.data_type()));
    let (a, b): (&Decimal128Array, &Decimal128Array) = (
        a.as_primitive::<Decimal128Type>(),
        b.as_primitive::<Decimal128Type>(),
    );
    let result: Decimal256Array = arrow::compute::try_binary(a, b, |x, y| {
        divide(i256::from_i128(x), i256::from_i128(y), shift).map_err(as_arrow)
    })?;
    Ok(Arc::new(result.with_data_type(NUMERIC_QUOTIENT)))
}

/// `x * 10^shift / y`, rounded half away from zero.
fn divide(x: i256, y: i256, shift: i16) -> Result<i256, Report> {
    if y == i256::ZERO {
        return Err(division_by_zero());
    }
    let (mut x, mut y) = (x, y);
    let mut shift = shift;
    // Trailing zeros of the divisor make room: they are usual in unconstrained numerics.
    let ten = i256::from_i128(10);
    while shift > 0 && y.wrapping_rem(ten) == i256::ZERO {
        y = y.wrapping_div(ten);
        shift -= 1;
    }
    if shift >= 0 {
        let factor = power_of_ten(shift as u8).ok_or_else(numeric_overflow)?;
        x = x.checked_mul(factor).ok_or_else(numeric_overflow)?;
    } else {
        let factor = power_of_ten(shift.unsigned_abs() as u8).ok_or_else(numeric_overflow)?;
        y = y.checked_mul(factor).ok_or_else(numeric_overflow)?;
    }
    let quotient = x.wrapping_div(y);
    let rest = x.wrapping_sub(quotient.wrapping_mul(y)).wrapping_abs();
    let twice = rest
        .checked_mul(i256::from_i128(2))
        .ok_or_else(numeric_overflow)?;
    if twice >= y.wrapping_abs() {
        let negative = (x < i256::ZERO) != (y < i256::ZERO);
        let one = if negative { i256::MINUS_ONE } else { i256::ONE };
        return Ok(quotient.wrapping_add(one));
    }
    Ok(quotient)
}

/// Any operator in 256 bits, at the scale that the result has.
fn wide_step(
    a: &ArrayRef,
    b: &ArrayRef,
    op: Op,
    wanted: &DataType,
) -> Result<ArrayRef, ArrowError> {
    let (s1, s2, scale) = (
        scale_of(a.data_type()),
        scale_of(b.data_type()),
        scale_of(wanted),
    );
    let (a, b) = (widen(a)?, widen(b)?);
    let align = |value: i256, from: i8| -> Result<i256, Report> {
        if from > scale {
            return Ok(round_i256(value, (from - scale) as u8));
        }
        let factor = power_of_ten((scale - from) as u8).ok_or_else(numeric_overflow)?;
        value.checked_mul(factor).ok_or_else(numeric_overflow)
    };
    let step = |x: i256, y: i256| -> Result<i256, Report> {
        match op {
            Op::Add => align(x, s1)?
                .checked_add(align(y, s2)?)
                .ok_or_else(numeric_overflow),
            Op::Subtract => align(x, s1)?
                .checked_sub(align(y, s2)?)
                .ok_or_else(numeric_overflow),
            Op::Multiply => multiply(x, s1, y, s2, scale),
            Op::Divide => {
                let shift = i16::from(scale) + i16::from(s2) - i16::from(s1);
                divide(x, y, shift)
            }
            Op::Remainder => {
                let y = align(y, s2)?;
                if y == i256::ZERO {
                    return Err(division_by_zero());
                }
                Ok(align(x, s1)?.wrapping_rem(y))
            }
        }
    };
    let result: Decimal256Array =
        arrow::compute::try_binary(&a, &b, |x, y| step(x, y).map_err(as_arrow))?;
    Ok(Arc::new(
        result.with_data_type(DataType::Decimal256(76, scale)),
    ))
}

/// A product at a scale. Trailing zeros are dropped first, so that it fits whenever it can.
fn multiply(x: i256, s1: i8, y: i256, s2: i8, scale: i8) -> Result<i256, Report> {
    let trim = |mut value: i256, mut scale: i8| {
        let ten = i256::from_i128(10);
        while scale > 0 && value.wrapping_rem(ten) == i256::ZERO {
            value = value.wrapping_div(ten);
            scale -= 1;
        }
        (value, scale)
    };
    let ((x, s1), (y, s2)) = (trim(x, s1), trim(y, s2));
    let product = x.checked_mul(y).ok_or_else(numeric_overflow)?;
    let have = s1 + s2;
    if have >= scale {
        return Ok(round_i256(product, (have - scale) as u8));
    }
    let factor = power_of_ten((scale - have) as u8).ok_or_else(numeric_overflow)?;
    product.checked_mul(factor).ok_or_else(numeric_overflow)
}

/// As 256 bits, at the same scale.
fn widen(array: &ArrayRef) -> Result<Decimal256Array, ArrowError> {
    match array.data_type() {
        DataType::Decimal256(..) => Ok(array.as_primitive::<Decimal256Type>().clone()),
        DataType::Decimal128(_, scale) => {
            let narrow = array.as_primitive::<Decimal128Type>();
            let wide: Decimal256Array = narrow.unary(i256::from_i128);
            Ok(wide.with_data_type(DataType::Decimal256(76, *scale)))
        }
        other => Err(ArrowError::InvalidArgumentError(format!(
            "{other} is not a decimal"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn division_rounds_half_away_from_zero() {
        let div = |x: i128, y: i128, shift| {
            divide(i256::from_i128(x), i256::from_i128(y), shift)
                .expect("fits")
                .to_i128()
        };
        assert_eq!(div(1, 3, 5), Some(33_333));
        assert_eq!(div(2, 3, 5), Some(66_667));
        assert_eq!(div(-2, 3, 5), Some(-66_667));
        assert_eq!(div(5, 2, 0), Some(3));
        assert_eq!(div(-5, 2, 0), Some(-3));
        assert!(divide(i256::ONE, i256::ZERO, 0).is_err());
    }

    #[test]
    fn wide_products_fit_whenever_the_result_does() {
        let x = i256::from_i128(15)
            .checked_mul(power_of_ten(37).expect("fits"))
            .expect("fits");
        // 1.5 * 1.5 at scale 38.
        let product = multiply(x, 38, x, 38, 38).expect("fits");
        let wanted = i256::from_i128(225).checked_mul(power_of_ten(36).expect("fits"));
        assert_eq!(Some(product), wanted);
    }
}
