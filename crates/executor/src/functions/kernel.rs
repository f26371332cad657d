//! A function over one row of values as a kernel over arrays.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result as DfResult, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use tessera_planner::arrow_types::sql_type_of;
use tessera_planner::errors::external;
use tessera_planner::functions::{Argument, FunctionRegistry, Returns, Scalar};
use tessera_types::{Decimal, FormatContext, Interval, Report, SqlType, Value, ValueRef, codes};

use super::TEXT_BYTES_MAX;
use crate::arrow_values::{ArrayWriter, ColumnReader};
use crate::context::{StatementContext, statement_of};

/// The value of type `void`.
pub(super) const NOTHING: &str = "";

/// The arguments of one call, for one row.
pub(super) struct Row<'a> {
    values: &'a [ValueRef<'a>],
    types: &'a [SqlType],
    options: &'a ConfigOptions,
}

/// What a function over one row gives.
pub(super) type RowResult = Result<Value, Report>;

impl<'a> Row<'a> {
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn value(&self, index: usize) -> &ValueRef<'a> {
        self.values.get(index).unwrap_or(&ValueRef::Null)
    }

    pub(super) fn values(&self) -> &[ValueRef<'a>] {
        self.values
    }

    pub(super) fn sql_type(&self, index: usize) -> &SqlType {
        self.types.get(index).unwrap_or(&SqlType::Unknown)
    }

    pub(super) fn is_null(&self, index: usize) -> bool {
        self.value(index).is_null()
    }

    /// The text of an argument of a character or JSON type; empty for anything else.
    pub(super) fn text(&self, index: usize) -> &str {
        match self.value(index) {
            ValueRef::Text(text) | ValueRef::Json(text) => text,
            _ => "",
        }
    }

    pub(super) fn bytes(&self, index: usize) -> &[u8] {
        match self.value(index) {
            ValueRef::Bytea(bytes) => bytes,
            _ => &[],
        }
    }

    /// Any integer, widened; 0 for anything else.
    pub(super) fn integer(&self, index: usize) -> i64 {
        match self.value(index) {
            ValueRef::SmallInt(v) => i64::from(*v),
            ValueRef::Integer(v) => i64::from(*v),
            ValueRef::BigInt(v) => *v,
            ValueRef::Oid(v) => i64::from(*v),
            _ => 0,
        }
    }

    pub(super) fn double(&self, index: usize) -> f64 {
        match self.value(index) {
            ValueRef::Double(v) => *v,
            ValueRef::Real(v) => f64::from(*v),
            _ => 0.0,
        }
    }

    pub(super) fn decimal(&self, index: usize) -> Decimal {
        match self.value(index) {
            ValueRef::Numeric(v) => *v,
            _ => Decimal::ZERO,
        }
    }

    pub(super) fn boolean(&self, index: usize) -> bool {
        matches!(self.value(index), ValueRef::Boolean(true))
    }

    /// Microseconds of a timestamp of either kind, or of a time.
    pub(super) fn micros(&self, index: usize) -> i64 {
        match self.value(index) {
            ValueRef::Timestamp(v) | ValueRef::TimestampTz(v) | ValueRef::Time(v) => *v,
            _ => 0,
        }
    }

    pub(super) fn interval(&self, index: usize) -> Interval {
        match self.value(index) {
            ValueRef::Interval(v) => *v,
            _ => Interval::default(),
        }
    }

    /// The statement that runs; an error while planning.
    pub(super) fn statement(&self) -> Result<&StatementContext, Report> {
        statement_of(self.options)
    }

    /// The session's formats; the defaults while planning.
    pub(super) fn format(&self) -> FormatContext {
        statement_of(self.options).map_or_else(
            |_| FormatContext::default(),
            |statement| *statement.session.format,
        )
    }

    /// The text form of an argument, as its output function gives it.
    pub(super) fn output(&self, index: usize) -> String {
        output(self.value(index), self.sql_type(index), &self.format())
    }
}

/// The text form of a value; `char` without its padding.
pub(super) fn output(value: &ValueRef<'_>, ty: &SqlType, format: &FormatContext) -> String {
    tessera_types::text::to_string(value.clone(), ty, format)
}

/// A kernel of a function that gives NULL for any NULL argument, without being called.
pub(super) fn strict(
    function: impl Fn(&Row<'_>) -> RowResult + Send + Sync + 'static,
) -> impl Fn(ScalarFunctionArgs) -> DfResult<ColumnarValue> + Send + Sync + 'static {
    move |args| evaluate(&args, true, false, &function)
}

/// A kernel of a function that sees NULLs.
pub(super) fn lenient(
    function: impl Fn(&Row<'_>) -> RowResult + Send + Sync + 'static,
) -> impl Fn(ScalarFunctionArgs) -> DfResult<ColumnarValue> + Send + Sync + 'static {
    move |args| evaluate(&args, false, false, &function)
}

/// A kernel of a function whose result differs from row to row even for equal arguments.
pub(super) fn per_row(
    function: impl Fn(&Row<'_>) -> RowResult + Send + Sync + 'static,
) -> impl Fn(ScalarFunctionArgs) -> DfResult<ColumnarValue> + Send + Sync + 'static {
    move |args| evaluate(&args, false, true, &function)
}

fn evaluate(
    args: &ScalarFunctionArgs,
    strict: bool,
    per_row: bool,
    function: &dyn Fn(&Row<'_>) -> RowResult,
) -> DfResult<ColumnarValue> {
    let types: Vec<SqlType> = args
        .arg_fields
        .iter()
        .map(|field| sql_type_of(field))
        .collect();
    let constant = args
        .args
        .iter()
        .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    let rows = if constant && !per_row {
        1
    } else {
        args.number_rows
    };
    let mut readers = Vec::with_capacity(args.args.len());
    for (arg, ty) in args.args.iter().zip(&types) {
        readers.push(match arg {
            ColumnarValue::Array(array) => (ColumnReader::new(array, ty).map_err(external)?, true),
            ColumnarValue::Scalar(scalar) => (
                ColumnReader::new(&scalar.to_array()?, ty).map_err(external)?,
                false,
            ),
        });
    }
    let written = written_type(args.return_field.as_ref());
    let mut writer = ArrayWriter::new(&written, rows);
    let mut values: Vec<ValueRef<'_>> = Vec::with_capacity(readers.len());
    for row in 0..rows {
        values.clear();
        values.extend(
            readers
                .iter()
                .map(|(reader, varies)| reader.value(if *varies { row } else { 0 })),
        );
        let result = if strict && values.iter().any(ValueRef::is_null) {
            Value::Null
        } else {
            let row = Row {
                values: &values,
                types: &types,
                options: &args.config_options,
            };
            function(&row).map_err(external)?
        };
        writer.push(result.as_ref()).map_err(external)?;
    }
    let array = in_type(writer.finish(), args.return_field.data_type())?;
    if constant && !per_row {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
            &array, 0,
        )?));
    }
    Ok(ColumnarValue::Array(array))
}

/// The SQL type in which results for a field are written.
pub(super) fn written_type(field: &Field) -> SqlType {
    match field.data_type() {
        DataType::Decimal128(precision, scale) => match u8::try_from(*scale) {
            Ok(scale) => SqlType::Numeric(Some((*precision, scale))),
            Err(_) => SqlType::Numeric(None),
        },
        DataType::Decimal256(..) => SqlType::Numeric(None),
        _ => sql_type_of(field),
    }
}

/// An untyped literal has an Arrow type of its own; everything else is in its type already.
pub(super) fn in_type(array: ArrayRef, data_type: &DataType) -> DfResult<ArrayRef> {
    if matches!(data_type, DataType::Utf8) {
        return Ok(arrow::compute::cast(&array, data_type)?);
    }
    Ok(array)
}

/// Short forms of the declarations below.
pub(super) fn function<const N: usize>(
    registry: &mut FunctionRegistry,
    name: &str,
    arguments: [SqlType; N],
    returns: SqlType,
    body: impl Fn(&Row<'_>) -> RowResult + Send + Sync + 'static,
) {
    let arguments = arguments.into_iter().map(Argument::Exact);
    registry.scalar(Scalar::new(
        name,
        arguments,
        Returns::Exact(returns),
        strict(body),
    ));
}

/// As [`function`], for an operator.
pub(super) fn operator<const N: usize>(
    registry: &mut FunctionRegistry,
    symbol: &str,
    arguments: [SqlType; N],
    returns: SqlType,
    body: impl Fn(&Row<'_>) -> RowResult + Send + Sync + 'static,
) {
    let arguments = arguments.into_iter().map(Argument::Exact);
    registry.operator(Scalar::new(
        symbol,
        arguments,
        Returns::Exact(returns),
        strict(body),
    ));
}

/// 22023
pub(super) fn invalid(message: impl Into<String>) -> Report {
    Report::error(codes::INVALID_PARAMETER_VALUE, message)
}

/// 22003
pub(super) fn out_of_range(type_name: &str) -> Report {
    Report::error(
        codes::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("{type_name} out of range"),
    )
}

/// Refuses a text that would be too long, before it is made.
pub(super) fn check_length(bytes: usize) -> Result<(), Report> {
    if bytes > TEXT_BYTES_MAX {
        return Err(Report::error(
            codes::PROGRAM_LIMIT_EXCEEDED,
            "requested length too large",
        ));
    }
    Ok(())
}

/// A 32-bit result.
pub(super) fn integer(value: i64) -> RowResult {
    i32::try_from(value)
        .map(Value::Integer)
        .map_err(|_| out_of_range("integer"))
}
