//! Functions computed value by value: slower than a vector kernel, and enough for most.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result as DfResult;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use tessera_planner::arrow_types::sql_type_of;
use tessera_planner::errors::{external, report_of};
use tessera_planner::functions::{Argument, Returns, Scalar};
use tessera_types::{Report, SqlType, Value, ValueRef};

use crate::arrow_values::{ArrayWriter, ColumnReader};

/// A function of one row's values; NULL in gives NULL out without a call.
pub(crate) fn strict(
    name: &str,
    arguments: &[SqlType],
    returns: SqlType,
    function: impl Fn(&[ValueRef<'_>]) -> Result<Value, Report> + Send + Sync + 'static,
) -> Scalar {
    let arguments: Vec<Argument> = arguments.iter().cloned().map(Argument::Exact).collect();
    Scalar::new(name, arguments, Returns::Exact(returns), move |args| {
        evaluate(&args, |values| {
            if values.iter().any(ValueRef::is_null) {
                return Ok(Value::Null);
            }
            function(values)
        })
    })
}

/// Calls a function for every row of a batch.
pub(crate) fn evaluate(
    args: &ScalarFunctionArgs,
    function: impl Fn(&[ValueRef<'_>]) -> Result<Value, Report>,
) -> DfResult<ColumnarValue> {
    let all_scalar = args
        .args
        .iter()
        .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    let rows = if all_scalar { 1 } else { args.number_rows };
    let mut readers = Vec::with_capacity(args.args.len());
    for (arg, field) in args.args.iter().zip(&args.arg_fields) {
        // A constant is read once and used for every row.
        let (array, constant) = match arg {
            ColumnarValue::Array(array) => (array.clone(), false),
            ColumnarValue::Scalar(scalar) => (scalar.to_array_of_size(1)?, true),
        };
        let sql_type = argument_type(field);
        readers.push((
            ColumnReader::new(&array, &sql_type).map_err(external)?,
            constant,
        ));
    }
    let sql_type = sql_type_of(&args.return_field);
    let mut results = Vec::with_capacity(rows);
    let mut values: Vec<ValueRef<'_>> = Vec::with_capacity(readers.len());
    for row in 0..rows {
        values.clear();
        for (reader, constant) in &readers {
            values.push(reader.value(if *constant { 0 } else { row }));
        }
        results.push(function(&values).map_err(external)?);
    }
    let array = array_of(&results, &sql_type, args.return_field.data_type()).map_err(external)?;
    if all_scalar {
        let scalar = datafusion::common::ScalarValue::try_from_array(&array, 0)?;
        return Ok(ColumnarValue::Scalar(scalar));
    }
    Ok(ColumnarValue::Array(array))
}

/// The type in which an argument is read; a literal without type is text.
pub(crate) fn argument_type(field: &FieldRef) -> SqlType {
    match sql_type_of(field) {
        SqlType::Unknown => SqlType::Text,
        sql_type => sql_type,
    }
}

/// Values as an array of the type that the plan expects.
pub(crate) fn array_of(
    values: &[Value],
    sql_type: &SqlType,
    data_type: &DataType,
) -> Result<ArrayRef, Report> {
    let mut writer = ArrayWriter::new(sql_type, values.len());
    for value in values {
        writer.push(value.as_ref())?;
    }
    let array = writer.finish();
    if array.data_type() == data_type {
        return Ok(array);
    }
    // Decimals: the plan may want another scale than the type's own.
    let options = arrow::compute::CastOptions {
        safe: false,
        ..Default::default()
    };
    arrow::compute::cast_with_options(&array, data_type, &options)
        .map(|array| Arc::clone(&array))
        .map_err(|error| report_of(error.into()))
}
