//! An identity that says what its value is.
//!
//! Both terms of a recursive query must give fields with the same metadata, also in the
//! physical plan, where an alias keeps none.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

/// The function whose result has this field.
pub(super) fn function(field: FieldRef) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Described {
        field,
        signature: Signature::any(1, Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Described {
    field: FieldRef,
    signature: Signature,
}

impl ScalarUDFImpl for Described {
    fn name(&self) -> &str {
        "described"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(self.field.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let value = args.args.into_iter().next();
        Ok(value.unwrap_or(ColumnarValue::Scalar(ScalarValue::Null)))
    }
}
