//! Arithmetic of decimals: 128 bits where the digits fit, else 256.
//!
//! The types of results follow `tessera_planner::arrow_types`: sums and products of bounded
//! decimals stay bounded, quotients and everything with an unconstrained `numeric` is unconstrained.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Decimal256Array};
use arrow::compute::kernels::numeric as kernels;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, FieldRef};
use arrow::error::ArrowError;
use datafusion::common::Result as DfResult;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use tessera_planner::arrow_types::{NUMERIC_ANY, metadata_of};
use tessera_planner::decimals::{from_i128, from_i256, numeric_overflow, to_any};
use tessera_planner::errors::division_by_zero;
use tessera_planner::functions::{Argument, FunctionRegistry, Returns, Scalar};
use tessera_types::{DECIMAL_SCALE_MAX, Decimal, Report, SqlType};

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
    registry.operator(Scalar::new(
        "@",
        [numeric()],
        Returns::Field(same_field),
        |args| one_array(&args, magnitude),
    ));
    for (symbol, negate) in [("-", true), ("+", false)] {
        registry.operator(Scalar::new(
            symbol,
            [numeric()],
            Returns::Field(same_field),
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

/// The operand's own type: a decimal keeps its scale.
fn same_field(fields: &[FieldRef]) -> DfResult<FieldRef> {
    let (operand, _) = both(fields);
    Ok(field(operand))
}

/// The size without the sign. A mantissa and what it shows have one sign.
fn magnitude(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let data_type = array.data_type().clone();
    Ok(match data_type {
        DataType::Decimal128(..) => {
            let sizes: Decimal128Array = array.as_primitive::<Decimal128Type>().unary(i128::abs);
            Arc::new(sizes.with_data_type(data_type))
        }
        _ => {
            let mantissas = array.as_primitive::<Decimal256Type>();
            let sizes: Decimal256Array = mantissas.unary(|mantissa| mantissa.wrapping_abs());
            Arc::new(sizes.with_data_type(data_type))
        }
    })
}

fn sum_field(fields: &[FieldRef]) -> DfResult<FieldRef> {
    let (a, b) = both(fields);
    Ok(field(match (&a, &b) {
        (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)) => {
            let scale = *s1.max(s2);
            let integer = (*p1 as i8 - s1).max(*p2 as i8 - s2);
            DataType::Decimal128((integer + scale + 1).clamp(1, 38) as u8, scale)
        }
        _ => NUMERIC_ANY,
    }))
}

fn product_field(fields: &[FieldRef]) -> DfResult<FieldRef> {
    let (a, b) = both(fields);
    Ok(field(match (&a, &b) {
        (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2))
            if s1 + s2 <= DECIMAL_SCALE_MAX as i8 =>
        {
            DataType::Decimal128((p1 + p2 + 1).min(38), s1 + s2)
        }
        _ => NUMERIC_ANY,
    }))
}

fn quotient_field(_: &[FieldRef]) -> DfResult<FieldRef> {
    Ok(field(NUMERIC_ANY))
}

fn binary(args: &ScalarFunctionArgs, op: Op) -> DfResult<ColumnarValue> {
    let wanted = args.return_field.data_type().clone();
    two_arrays(args, |a, b| {
        let narrow = wanted != NUMERIC_ANY
            && matches!(
                (a.data_type(), b.data_type()),
                (DataType::Decimal128(..), DataType::Decimal128(..))
            );
        let result = match op {
            Op::Add if narrow => kernels::add(a, b).map_err(overflow)?,
            Op::Subtract if narrow => kernels::sub(a, b).map_err(overflow)?,
            Op::Multiply if narrow => kernels::mul(a, b).map_err(overflow)?,
            _ => return by_value(a, b, op, &wanted),
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

/// Any operator, number by number: each result has its own display scale.
fn by_value(a: &ArrayRef, b: &ArrayRef, op: Op, wanted: &DataType) -> Result<ArrayRef, ArrowError> {
    let (left, right) = (Numbers::of(a)?, Numbers::of(b)?);
    let results = (0..a.len()).map(|row| {
        if a.is_null(row) || b.is_null(row) {
            return Ok(None);
        }
        compute(left.get(row)?, right.get(row)?, op).map(Some)
    });
    if let DataType::Decimal128(_, scale) = wanted {
        let scale = u8::try_from(*scale).unwrap_or(0);
        let results = results.map(|result| match result.map_err(as_arrow)? {
            None => Ok(None),
            Some(number) => number
                .rescale(scale)
                .map(|number| Some(number.unscaled))
                .ok_or_else(|| as_arrow(numeric_overflow())),
        });
        let results: Decimal128Array = results.collect::<Result<_, ArrowError>>()?;
        return Ok(Arc::new(results.with_data_type(wanted.clone())));
    }
    let results = results.map(|result| match result.map_err(as_arrow)? {
        None => Ok(None),
        Some(number) => to_any(number)
            .map(Some)
            .ok_or_else(|| as_arrow(numeric_overflow())),
    });
    let results: Decimal256Array = results.collect::<Result<_, ArrowError>>()?;
    Ok(Arc::new(results.with_data_type(NUMERIC_ANY)))
}

fn compute(x: Decimal, y: Decimal, op: Op) -> Result<Decimal, Report> {
    let exact = match op {
        Op::Add => x.checked_add(y),
        Op::Subtract => x.checked_sub(y),
        Op::Multiply => x.checked_mul(y),
        Op::Divide => return x.checked_div(y).map_err(|error| error.report()),
        Op::Remainder => return x.checked_rem(y).map_err(|error| error.report()),
    };
    exact.ok_or_else(numeric_overflow)
}

/// An array of decimals, read number by number.
enum Numbers<'a> {
    Narrow(&'a Decimal128Array, i8),
    Wide(&'a Decimal256Array, i8),
}

impl Numbers<'_> {
    fn of(array: &ArrayRef) -> Result<Numbers<'_>, ArrowError> {
        match array.data_type() {
            DataType::Decimal128(_, scale) => Ok(Numbers::Narrow(array.as_primitive(), *scale)),
            DataType::Decimal256(_, scale) => Ok(Numbers::Wide(array.as_primitive(), *scale)),
            other => Err(ArrowError::InvalidArgumentError(format!(
                "{other} is not a decimal"
            ))),
        }
    }

    fn get(&self, row: usize) -> Result<Decimal, Report> {
        match self {
            Numbers::Narrow(array, scale) => from_i128(array.value(row), *scale),
            Numbers::Wide(array, scale) => from_i256(array.value(row), *scale),
        }
    }
}
