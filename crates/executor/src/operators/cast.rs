//! Casts as PostgreSQL does them, by `tessera_types::coerce`, value by value.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, FieldRef};
use arrow::error::ArrowError;
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use tessera_planner::arrow_types::field_of;
use tessera_types::{
    CastKind, Decimal, FormatContext, Report, SqlType, Value, codes, coerce, datetime,
};

use super::rows::evaluate;
use crate::context::StatementExtension;
use crate::system_catalog::names;

/// One cast between two types.
#[derive(Debug)]
struct CastFunction {
    from: SqlType,
    to: SqlType,
    kind: CastKind,
    signature: Signature,
}

/// Makes the function that casts `from` to `to`.
pub(crate) fn function(from: &SqlType, to: &SqlType, kind: CastKind) -> Arc<ScalarUDF> {
    let volatility = if reads_session(from, to) {
        Volatility::Stable
    } else {
        Volatility::Immutable
    };
    Arc::new(ScalarUDF::new_from_impl(CastFunction {
        from: from.clone(),
        to: to.clone(),
        kind,
        signature: Signature::any(1, volatility),
    }))
}

/// The types that the function casts between, when it is one of these.
pub(crate) fn types_of(udf: &ScalarUDF) -> Option<(&SqlType, &SqlType)> {
    let inner: &dyn std::any::Any = udf.inner().as_ref();
    let cast = inner.downcast_ref::<CastFunction>()?;
    Some((&cast.from, &cast.to))
}

/// Casts that are frequent in conditions, a whole array at once.
fn by_vector(array: &ArrayRef, from: &SqlType, to: &SqlType) -> Result<Option<ArrayRef>> {
    match (from, to) {
        (SqlType::Date, SqlType::Timestamp) => {
            let dates = array.as_primitive::<Date32Type>();
            let result: TimestampMicrosecondArray =
                dates.try_unary(|date| midnight(date).ok_or_else(out_of_range))?;
            Ok(Some(Arc::new(result)))
        }
        (SqlType::Numeric(_), SqlType::Double) => {
            let &DataType::Decimal128(_, scale) = array.data_type() else {
                return Ok(None);
            };
            let scale = u8::try_from(scale).unwrap_or(0);
            let numbers = array.as_primitive::<Decimal128Type>();
            let result: Float64Array =
                numbers.unary(|unscaled| Decimal { unscaled, scale }.to_f64());
            Ok(Some(Arc::new(result)))
        }
        _ => Ok(None),
    }
}

/// The first microsecond of a date; infinity stays infinity.
fn midnight(date: i32) -> Option<i64> {
    match date {
        i32::MAX => Some(i64::MAX),
        i32::MIN => Some(i64::MIN),
        date => i64::from(date)
            .checked_mul(86_400_000_000)
            .filter(|micros| datetime::timestamp_in_range(*micros)),
    }
}

fn out_of_range() -> ArrowError {
    super::arithmetic::as_arrow(Report::error(
        codes::DATETIME_FIELD_OVERFLOW,
        "date out of range for timestamp",
    ))
}

/// Whether the result depends on the session's time zone or date style.
fn reads_session(from: &SqlType, to: &SqlType) -> bool {
    let is_time = |t: &SqlType| {
        matches!(
            t,
            SqlType::Date
                | SqlType::Time
                | SqlType::Timestamp
                | SqlType::TimestampTz
                | SqlType::Interval
        )
    };
    let zoned = *from == SqlType::TimestampTz || *to == SqlType::TimestampTz;
    let names = |t: &SqlType| t.is_oid_like() && *t != SqlType::Oid;
    zoned
        || names(from)
        || names(to)
        || (is_time(from) != is_time(to))
        || matches!((from, to), (SqlType::Bytea, _))
        || matches!((from, to), (SqlType::Array(_), _) | (_, SqlType::Array(_)))
}

impl ScalarUDFImpl for CastFunction {
    fn name(&self) -> &str {
        "cast"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the result's type comes from return_field_from_args")
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(field_of("cast", &self.to, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if let [ColumnarValue::Array(array)] = args.args.as_slice()
            && let Some(result) = by_vector(array, &self.from, &self.to)?
        {
            return Ok(ColumnarValue::Array(result));
        }
        let extension = StatementExtension::of(&args.config_options);
        let format = match extension {
            Some(extension) => *extension.statement.session.format,
            None => FormatContext::default(),
        };
        evaluate(&args, |values| {
            let Some(value) = values.first().filter(|value| !value.is_null()) else {
                return Ok(Value::Null);
            };
            if let Some(extension) = extension
                && let Some(named) = names::cast(extension, value, &self.from, &self.to)?
            {
                return Ok(named);
            }
            coerce::to_column(value.to_owned(), &self.from, &self.to, self.kind, &format)
                .map_err(|error| error.report())
        })
    }

    fn schema_name(&self, args: &[datafusion::logical_expr::Expr]) -> Result<String> {
        // The type is part of the name: two casts of one column are two columns.
        let inner = args
            .first()
            .map(|arg| arg.schema_name().to_string())
            .unwrap_or_default();
        Ok(format!("{inner}::{}", self.to.name()))
    }
}

impl PartialEq for CastFunction {
    fn eq(&self, other: &Self) -> bool {
        self.from == other.from && self.to == other.to && self.kind == other.kind
    }
}

impl Eq for CastFunction {}

impl Hash for CastFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.from.hash(state);
        self.to.hash(state);
    }
}
