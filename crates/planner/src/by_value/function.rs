//! The two functions of display scales: `value` drops it, `shown` brings a column's own along.

use std::hash::Hash;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Decimal256Array, ListArray};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use tessera_types::SqlType;

use super::has_display_scale;
use crate::arrow_types::{NUMERIC_ANY, metadata_of};
use crate::decimals::{from_i128, from_i256, numeric_overflow, to_any, value_of};
use crate::errors::external;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// An unconstrained numeric, or an array of them, without its display scale.
    Value,
    /// A decimal of a fixed scale as an unconstrained numeric that shows that scale.
    Shown,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DisplayScale {
    kind: Kind,
    signature: Signature,
}

static VALUE: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| udf(Kind::Value));
static SHOWN: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| udf(Kind::Shown));

fn udf(kind: Kind) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(DisplayScale {
        kind,
        signature: Signature::any(1, Volatility::Immutable),
    }))
}

/// The expression without display scale; a constant at once.
pub(super) fn compared(expr: Expr) -> Result<Expr> {
    match expr {
        Expr::Literal(value, metadata) => Ok(Expr::Literal(compared_scalar(value)?, metadata)),
        Expr::ScalarFunction(call) if Arc::ptr_eq(&call.func, &VALUE) => {
            Ok(Expr::ScalarFunction(call))
        }
        expr => Ok(call(&VALUE, expr)),
    }
}

/// A decimal as an unconstrained numeric that shows its scale.
pub(crate) fn shown(expr: Expr) -> Result<Expr> {
    match expr {
        Expr::Literal(value, metadata) => Ok(Expr::Literal(
            ScalarValue::try_from_array(&with_scale(&value.to_array()?)?, 0)?,
            metadata,
        )),
        expr => Ok(call(&SHOWN, expr)),
    }
}

fn call(function: &Arc<ScalarUDF>, expr: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(function), vec![expr]))
}

/// A constant without display scale.
pub(super) fn compared_scalar(value: ScalarValue) -> Result<ScalarValue> {
    if value.is_null() || !has_display_scale(&value.data_type()) {
        return Ok(value);
    }
    ScalarValue::try_from_array(&without_scale(&value.to_array()?)?, 0)
}

/// The constants of a set, without display scale.
pub fn in_set_values(values: Vec<ScalarValue>) -> Result<Vec<ScalarValue>> {
    values.into_iter().map(compared_scalar).collect()
}

/// What a comparison is about: the argument of the function that drops the display scale.
pub fn argument_of(expr: &Expr) -> &Expr {
    match expr {
        Expr::ScalarFunction(call) if Arc::ptr_eq(&call.func, &VALUE) => {
            call.args.first().unwrap_or(expr)
        }
        expr => expr,
    }
}

impl ScalarUDFImpl for DisplayScale {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Value => "numeric_value",
            Kind::Shown => "numeric_shown",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(match (self.kind, arguments) {
            (Kind::Value, [argument]) => argument.clone(),
            _ => NUMERIC_ANY,
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        match (self.kind, args.arg_fields) {
            (Kind::Value, [argument]) => {
                Ok(Arc::new(argument.as_ref().clone().with_name(self.name())))
            }
            _ => Ok(Arc::new(
                Field::new(self.name(), NUMERIC_ANY, true)
                    .with_metadata(metadata_of(&SqlType::Numeric(None))),
            )),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let run = |array: &ArrayRef| match self.kind {
            Kind::Value => without_scale(array),
            Kind::Shown => with_scale(array),
        };
        match args.args.as_slice() {
            [ColumnarValue::Array(array)] => Ok(ColumnarValue::Array(run(array)?)),
            [ColumnarValue::Scalar(scalar)] => {
                let result = run(&scalar.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                    &result, 0,
                )?))
            }
            _ => exec_err!("{} takes one argument", self.name()),
        }
    }
}

fn without_scale(array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::List(item) => {
            let list: &ListArray = array.as_list();
            Ok(Arc::new(ListArray::try_new(
                item.clone(),
                list.offsets().clone(),
                without_scale(list.values())?,
                list.nulls().cloned(),
            )?))
        }
        DataType::Decimal256(..) => {
            let mantissas = array.as_primitive::<Decimal256Type>();
            let values: Decimal256Array = mantissas.unary(value_of);
            Ok(Arc::new(values.with_data_type(array.data_type().clone())))
        }
        _ => Ok(array.clone()),
    }
}

fn with_scale(array: &ArrayRef) -> Result<ArrayRef> {
    let shown: Decimal256Array = match array.data_type() {
        data_type if *data_type == NUMERIC_ANY => return Ok(array.clone()),
        DataType::Decimal128(_, scale) => array
            .as_primitive::<Decimal128Type>()
            .iter()
            .map(|value| match value {
                None => Ok(None),
                Some(value) => {
                    let mantissa = from_i128(value, *scale).map(to_any).map_err(external)?;
                    let overflow = || external(numeric_overflow());
                    mantissa.map(Some).ok_or_else(overflow)
                }
            })
            .collect::<Result<_>>()?,
        DataType::Decimal256(_, scale) => array
            .as_primitive::<Decimal256Type>()
            .iter()
            .map(|value| match value {
                None => Ok(None),
                Some(value) => {
                    let mantissa = from_i256(value, *scale).map(to_any).map_err(external)?;
                    let overflow = || external(numeric_overflow());
                    mantissa.map(Some).ok_or_else(overflow)
                }
            })
            .collect::<Result<_>>()?,
        other => return exec_err!("{other} is not a decimal"),
    };
    Ok(Arc::new(shown.with_data_type(NUMERIC_ANY)))
}
