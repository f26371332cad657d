//! Set-returning functions as functions that give the list of their rows.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};
use tessera_planner::arrow_types::{element_field, field_of};
use tessera_planner::errors::external;
use tessera_planner::functions::SetOverload;
use tessera_types::{Report, SqlType, Value, codes};

use super::rows::argument_type;
use crate::arrow_values::{ArrayWriter, ColumnReader};

/// Rows of one call.
const ROWS_MAX: usize = 50_000_000;

/// Gives the list of a set-returning function's rows: of values, or of structs.
struct ListFunction {
    set: Arc<SetOverload>,
    types: Vec<SqlType>,
    ordinality: bool,
    signature: Signature,
}

/// Makes the function for a call whose columns are of these types, the ordinality included.
pub(crate) fn list_function(
    set: &Arc<SetOverload>,
    types: &[SqlType],
    ordinality: bool,
) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(ListFunction {
        set: set.clone(),
        types: types.to_vec(),
        ordinality,
        // Its rows may depend on the session; evaluating it once for a statement is right.
        signature: Signature::one_of(
            vec![TypeSignature::Nullary, TypeSignature::VariadicAny],
            Volatility::Stable,
        ),
    }))
}

impl ListFunction {
    /// The item field: the value itself, or a struct with fields `f0`, `f1`, ….
    fn item(&self) -> FieldRef {
        match self.types.as_slice() {
            [only] => element_field(only),
            _ => Arc::new(Field::new("item", DataType::Struct(self.fields()), true)),
        }
    }

    fn fields(&self) -> Fields {
        self.types
            .iter()
            .enumerate()
            .map(|(i, sql_type)| Arc::new(field_of(&format!("f{i}"), sql_type, true)))
            .collect()
    }

    fn items(&self, writers: Vec<ArrayWriter>) -> Result<ArrayRef> {
        let mut columns: Vec<ArrayRef> = writers.into_iter().map(ArrayWriter::finish).collect();
        if columns.len() == 1 {
            return Ok(columns.remove(0));
        }
        Ok(Arc::new(StructArray::try_new(
            self.fields(),
            columns,
            None,
        )?))
    }
}

impl ScalarUDFImpl for ListFunction {
    fn name(&self) -> &str {
        &self.set.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(self.item()))
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(
            &self.set.name,
            DataType::List(self.item()),
            true,
        )))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let all_scalar = args
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let calls = if all_scalar { 1 } else { args.number_rows };
        let mut readers = Vec::with_capacity(args.args.len());
        for (arg, field) in args.args.iter().zip(&args.arg_fields) {
            let array = arg.to_array(calls)?;
            readers.push(ColumnReader::new(&array, &argument_type(field)).map_err(external)?);
        }
        let mut writers: Vec<ArrayWriter> = self
            .types
            .iter()
            .map(|sql_type| ArrayWriter::new(sql_type, calls))
            .collect();
        let mut lengths = Vec::with_capacity(calls);
        let mut total = 0;
        for call in 0..calls {
            let values: Vec<Value> = readers.iter().map(|r| r.value(call).to_owned()).collect();
            let mut length = 0;
            // NULL in: no rows.
            if !values.iter().any(Value::is_null) {
                let rows = (self.set.rows)(&values, &args.config_options).map_err(external)?;
                for row in rows {
                    let row = row.map_err(external)?;
                    length += 1;
                    total += 1;
                    if total > ROWS_MAX {
                        return Err(external(Report::error(
                            codes::PROGRAM_LIMIT_EXCEEDED,
                            format!("function {} gives more than {ROWS_MAX} rows", self.set.name),
                        )));
                    }
                    let columns = self.types.len() - usize::from(self.ordinality);
                    for (i, writer) in writers.iter_mut().enumerate() {
                        let value = if i < columns {
                            row.get(i).cloned().unwrap_or(Value::Null)
                        } else {
                            Value::BigInt(length as i64)
                        };
                        writer.push(value.as_ref()).map_err(external)?;
                    }
                }
            }
            lengths.push(length);
        }
        let items = self.items(writers)?;
        let list = ListArray::try_new(
            self.item(),
            OffsetBuffer::from_lengths(lengths),
            items,
            None,
        )?;
        let list: ArrayRef = Arc::new(list);
        if list.len() != calls {
            return internal_err!("one list for each call");
        }
        if all_scalar {
            let scalar = datafusion::common::ScalarValue::try_from_array(&list, 0)?;
            return Ok(ColumnarValue::Scalar(scalar));
        }
        Ok(ColumnarValue::Array(list))
    }
}

impl std::fmt::Debug for ListFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.set.name)
    }
}

impl PartialEq for ListFunction {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.set, &other.set)
            && self.types == other.types
            && self.ordinality == other.ordinality
    }
}

impl Eq for ListFunction {}

impl Hash for ListFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.set.name.hash(state);
        self.ordinality.hash(state);
    }
}
