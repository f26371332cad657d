//! Arithmetic of integers and floating point numbers: out of range is an error.

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::compute::{try_binary, try_unary};
use arrow::datatypes::{Float32Type, Float64Type, Int16Type, Int32Type, Int64Type};
use arrow::error::ArrowError;
use datafusion::common::{Result as DfResult, ScalarValue, internal_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use std::sync::Arc;
use tessera_planner::errors::division_by_zero;
use tessera_planner::functions::{Argument, FunctionRegistry, Returns, Scalar};
use tessera_types::{Report, SqlType, codes};

/// Result of one step; the report says why there is none.
type Step<T> = Result<T, Report>;

pub(super) fn register(registry: &mut FunctionRegistry) {
    integers::<Int16Type>(registry, SqlType::SmallInt, "smallint");
    integers::<Int32Type>(registry, SqlType::Integer, "integer");
    integers::<Int64Type>(registry, SqlType::BigInt, "bigint");
    floats::<Float32Type>(registry, SqlType::Real);
    floats::<Float64Type>(registry, SqlType::Double);
    unary::<Float64Type>(registry, "|/", SqlType::Double, |x| {
        if x < 0.0 {
            return Err(Report::error(
                codes::INVALID_ARGUMENT_FOR_POWER_FUNCTION,
                "cannot take square root of a negative number",
            ));
        }
        Ok(x.sqrt())
    });
    unary::<Float64Type>(registry, "||/", SqlType::Double, |x| Ok(x.cbrt()));
    binary::<Float64Type>(registry, "^", SqlType::Double, |a, b| {
        if a == 0.0 && b < 0.0 {
            return Err(Report::error(
                codes::INVALID_ARGUMENT_FOR_POWER_FUNCTION,
                "zero raised to a negative power is undefined",
            ));
        }
        if a < 0.0 && b.fract() != 0.0 {
            return Err(Report::error(
                codes::INVALID_ARGUMENT_FOR_POWER_FUNCTION,
                "a negative number raised to a non-integer power yields a complex result",
            ));
        }
        in_range(a.powf(b), a.is_finite() && b.is_finite(), a == 0.0)
    });
}

/// What the operators need of an integer type.
trait Integer: Copy {
    fn plus(self, other: Self) -> Option<Self>;
    fn minus(self, other: Self) -> Option<Self>;
    fn times(self, other: Self) -> Option<Self>;
    fn divided(self, other: Self) -> Option<Self>;
    fn remainder(self, other: Self) -> Self;
    fn negated(self) -> Option<Self>;
    fn absolute(self) -> Option<Self>;
    fn and(self, other: Self) -> Self;
    fn or(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
    fn not(self) -> Self;
    fn left(self, bits: i32) -> Self;
    fn right(self, bits: i32) -> Self;
    fn is_zero(self) -> bool;
}

macro_rules! integer {
    ($($native:ty),+) => {$(
        impl Integer for $native {
            fn plus(self, other: Self) -> Option<Self> {
                self.checked_add(other)
            }
            fn minus(self, other: Self) -> Option<Self> {
                self.checked_sub(other)
            }
            fn times(self, other: Self) -> Option<Self> {
                self.checked_mul(other)
            }
            fn divided(self, other: Self) -> Option<Self> {
                self.checked_div(other)
            }
            fn remainder(self, other: Self) -> Self {
                self.wrapping_rem(other)
            }
            fn negated(self) -> Option<Self> {
                self.checked_neg()
            }
            fn absolute(self) -> Option<Self> {
                self.checked_abs()
            }
            fn and(self, other: Self) -> Self {
                self & other
            }
            fn or(self, other: Self) -> Self {
                self | other
            }
            fn xor(self, other: Self) -> Self {
                self ^ other
            }
            fn not(self) -> Self {
                !self
            }
            fn left(self, bits: i32) -> Self {
                self.wrapping_shl(bits as u32)
            }
            fn right(self, bits: i32) -> Self {
                self.wrapping_shr(bits as u32)
            }
            fn is_zero(self) -> bool {
                self == 0
            }
        }
    )+};
}

integer!(i16, i32, i64);

fn integers<T>(registry: &mut FunctionRegistry, sql_type: SqlType, name: &'static str)
where
    T: ArrowPrimitiveType,
    T::Native: Integer,
{
    let range = move || {
        Report::error(
            codes::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("{name} out of range"),
        )
    };
    let t = || sql_type.clone();
    binary::<T>(registry, "+", t(), move |a, b| a.plus(b).ok_or_else(range));
    binary::<T>(registry, "-", t(), move |a, b| a.minus(b).ok_or_else(range));
    binary::<T>(registry, "*", t(), move |a, b| a.times(b).ok_or_else(range));
    binary::<T>(registry, "/", t(), move |a, b| {
        if b.is_zero() {
            return Err(division_by_zero());
        }
        a.divided(b).ok_or_else(range)
    });
    binary::<T>(registry, "%", t(), |a, b| {
        if b.is_zero() {
            Err(division_by_zero())
        } else {
            Ok(a.remainder(b))
        }
    });
    binary::<T>(registry, "&", t(), |a, b| Ok(a.and(b)));
    binary::<T>(registry, "|", t(), |a, b| Ok(a.or(b)));
    binary::<T>(registry, "#", t(), |a, b| Ok(a.xor(b)));
    unary::<T>(registry, "~", t(), |a| Ok(a.not()));
    unary::<T>(registry, "-", t(), move |a| a.negated().ok_or_else(range));
    unary::<T>(registry, "+", t(), Ok);
    unary::<T>(registry, "@", t(), move |a| a.absolute().ok_or_else(range));
    shift::<T>(registry, "<<", t(), |a, bits| a.left(bits));
    shift::<T>(registry, ">>", t(), |a, bits| a.right(bits));
}

/// What the operators need of a floating point type.
trait Float: Copy + PartialEq {
    fn apply(self, other: Self, op: char) -> Self;
    fn finite(self) -> bool;
    fn zero(self) -> bool;
    fn is_nan_number(self) -> bool;
    fn negative(self) -> Self;
    fn magnitude(self) -> Self;
}

macro_rules! float {
    ($($native:ty),+) => {$(
        impl Float for $native {
            fn apply(self, other: Self, op: char) -> Self {
                match op {
                    '+' => self + other,
                    '-' => self - other,
                    '*' => self * other,
                    _ => self / other,
                }
            }
            fn finite(self) -> bool {
                self.is_finite()
            }
            fn zero(self) -> bool {
                self == 0.0
            }
            fn is_nan_number(self) -> bool {
                self.is_nan()
            }
            fn negative(self) -> Self {
                -self
            }
            fn magnitude(self) -> Self {
                self.abs()
            }
        }
    )+};
}

float!(f32, f64);

/// Overflow and underflow are errors; infinity in may give infinity out.
fn in_range<F: Float>(result: F, finite_in: bool, zero_in: bool) -> Step<F> {
    let range = |what: &str| {
        Report::error(
            codes::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("value out of range: {what}"),
        )
    };
    if finite_in && !result.finite() {
        return Err(range("overflow"));
    }
    if result.zero() && !zero_in && finite_in {
        return Err(range("underflow"));
    }
    Ok(result)
}

fn floats<T>(registry: &mut FunctionRegistry, sql_type: SqlType)
where
    T: ArrowPrimitiveType,
    T::Native: Float,
{
    let t = || sql_type.clone();
    binary::<T>(registry, "+", t(), |a, b| {
        in_range(a.apply(b, '+'), a.finite() && b.finite(), true)
    });
    binary::<T>(registry, "-", t(), |a, b| {
        in_range(a.apply(b, '-'), a.finite() && b.finite(), true)
    });
    binary::<T>(registry, "*", t(), |a, b| {
        in_range(
            a.apply(b, '*'),
            a.finite() && b.finite(),
            a.zero() || b.zero(),
        )
    });
    binary::<T>(registry, "/", t(), |a, b| {
        if b.zero() && !a.is_nan_number() {
            return Err(division_by_zero());
        }
        in_range(a.apply(b, '/'), a.finite() && b.finite(), a.zero())
    });
    unary::<T>(registry, "-", t(), |a| Ok(a.negative()));
    unary::<T>(registry, "+", t(), Ok);
    unary::<T>(registry, "@", t(), |a| Ok(a.magnitude()));
}

/// An infix operator of one type.
fn binary<T: ArrowPrimitiveType>(
    registry: &mut FunctionRegistry,
    symbol: &str,
    sql_type: SqlType,
    step: impl Fn(T::Native, T::Native) -> Step<T::Native> + Send + Sync + 'static,
) {
    let arguments = [
        Argument::Exact(sql_type.clone()),
        Argument::Exact(sql_type.clone()),
    ];
    registry.operator(Scalar::new(
        symbol,
        arguments,
        Returns::Exact(sql_type),
        move |args| {
            two_arrays(&args, |a, b| {
                let (a, b) = (a.as_primitive::<T>(), b.as_primitive::<T>());
                let result: PrimitiveArray<T> =
                    try_binary(a, b, |x, y| step(x, y).map_err(as_arrow))?;
                Ok(Arc::new(result))
            })
        },
    ));
}

/// A prefix operator of one type.
fn unary<T: ArrowPrimitiveType>(
    registry: &mut FunctionRegistry,
    symbol: &str,
    sql_type: SqlType,
    step: impl Fn(T::Native) -> Step<T::Native> + Send + Sync + 'static,
) {
    let arguments = [Argument::Exact(sql_type.clone())];
    registry.operator(Scalar::new(
        symbol,
        arguments,
        Returns::Exact(sql_type),
        move |args| {
            one_array(&args, |a| {
                let result: PrimitiveArray<T> =
                    try_unary(a.as_primitive::<T>(), |x| step(x).map_err(as_arrow))?;
                Ok(Arc::new(result))
            })
        },
    ));
}

/// `value << bits`.
fn shift<T: ArrowPrimitiveType>(
    registry: &mut FunctionRegistry,
    symbol: &str,
    sql_type: SqlType,
    step: impl Fn(T::Native, i32) -> T::Native + Send + Sync + 'static,
) {
    let arguments = [
        Argument::Exact(sql_type.clone()),
        Argument::Exact(SqlType::Integer),
    ];
    registry.operator(Scalar::new(
        symbol,
        arguments,
        Returns::Exact(sql_type),
        move |args| {
            two_arrays(&args, |a, b| {
                let (a, b) = (a.as_primitive::<T>(), b.as_primitive::<Int32Type>());
                let result: PrimitiveArray<T> = try_binary(a, b, |x, y| Ok(step(x, y)))?;
                Ok(Arc::new(result))
            })
        },
    ));
}

/// A report as an error of Arrow's kernels.
pub(super) fn as_arrow(report: Report) -> ArrowError {
    ArrowError::ExternalError(Box::new(report))
}

/// Runs a kernel over two arguments as arrays of one length.
pub(super) fn two_arrays(
    args: &ScalarFunctionArgs,
    kernel: impl Fn(&ArrayRef, &ArrayRef) -> Result<ArrayRef, ArrowError>,
) -> DfResult<ColumnarValue> {
    let [left, right] = args.args.as_slice() else {
        return internal_err!("an infix operator takes two arguments");
    };
    let constant = matches!(
        (left, right),
        (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_))
    );
    let rows = if constant { 1 } else { args.number_rows };
    let result = kernel(&left.to_array(rows)?, &right.to_array(rows)?)?;
    finish(result, constant)
}

/// Runs a kernel over one argument.
pub(super) fn one_array(
    args: &ScalarFunctionArgs,
    kernel: impl Fn(&ArrayRef) -> Result<ArrayRef, ArrowError>,
) -> DfResult<ColumnarValue> {
    let [operand] = args.args.as_slice() else {
        return internal_err!("a prefix operator takes one argument");
    };
    let constant = matches!(operand, ColumnarValue::Scalar(_));
    let rows = if constant { 1 } else { args.number_rows };
    finish(kernel(&operand.to_array(rows)?)?, constant)
}

fn finish(result: ArrayRef, constant: bool) -> DfResult<ColumnarValue> {
    if constant {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
            &result, 0,
        )?));
    }
    Ok(ColumnarValue::Array(result))
}
