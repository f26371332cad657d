//! `x IN (many constants)` as one function that holds the constants as a hash set.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, Literal, in_list};
use tessera_planner::by_value;

/// Tells whether its argument is one of many constants.
struct InSet {
    values: Arc<[ScalarValue]>,
    /// The same as an expression over a batch of one column, its set built once.
    test: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
    signature: Signature,
}

/// Makes the function; all values are of the type.
pub(crate) fn function(data_type: &DataType, values: Vec<ScalarValue>) -> Arc<ScalarUDF> {
    // The argument of the call comes without display scale too.
    let values = by_value::in_set_values(values).unwrap_or_default();
    let schema = Arc::new(Schema::new(vec![Field::new("x", data_type.clone(), true)]));
    let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new("x", 0));
    let list: Vec<Arc<dyn PhysicalExpr>> = values
        .iter()
        .map(|value| Arc::new(Literal::new(value.clone())) as Arc<dyn PhysicalExpr>)
        .collect();
    // The binder made all values of one type, which is all that can go wrong here.
    let test = in_list(column.clone(), list, &false, &schema).unwrap_or(column);
    Arc::new(ScalarUDF::new_from_impl(InSet {
        values: values.into(),
        test,
        schema,
        signature: Signature::any(1, Volatility::Immutable),
    }))
}

/// The constants, when the function is one of these.
pub(crate) fn values_of(udf: &ScalarUDF) -> Option<&[ScalarValue]> {
    let inner: &dyn std::any::Any = udf.inner().as_ref();
    inner.downcast_ref::<InSet>().map(|set| set.values.as_ref())
}

impl ScalarUDFImpl for InSet {
    fn name(&self) -> &str {
        by_value::IN_SET
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [argument] = args.args.as_slice() else {
            return internal_err!("in_set takes one argument");
        };
        let is_scalar = matches!(argument, ColumnarValue::Scalar(_));
        let array = argument.to_array(if is_scalar { 1 } else { args.number_rows })?;
        let batch = RecordBatch::try_new(self.schema.clone(), vec![array])?;
        let result = self.test.evaluate(&batch)?;
        if is_scalar {
            let array = result.into_array(1)?;
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &array, 0,
            )?));
        }
        Ok(result)
    }
}

impl std::fmt::Debug for InSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InSet({} values)", self.values.len())
    }
}

impl PartialEq for InSet {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.values, &other.values) || self.values == other.values
    }
}

impl Eq for InSet {}

impl Hash for InSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.values.len().hash(state);
        self.values.first().hash(state);
    }
}
