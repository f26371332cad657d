//! An aggregate that keeps one row and knows whether there were more.
//!
//! A scalar subquery that does not aggregate may give one row only. As an aggregate it becomes
//! a join with groups. Groups that no outer row meets may have many rows, so the aggregate only
//! notes it, and the function over it fails with 21000 where the value is used.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StructArray};
use arrow::compute::{is_null, nullif};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type};
use datafusion::common::cast::as_struct_array;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Expr, ExprSchemable,
    LogicalPlanBuilder, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Subquery, Volatility,
};
use tessera_planner::errors::external;

use crate::query::apply::more_than_one_row;

/// The subquery over the aggregate; `None` when it has not one column.
pub(super) fn over(subquery: &Subquery) -> Result<Option<Subquery>> {
    let plan = &subquery.subquery;
    let columns = plan.schema().columns();
    let [column] = columns.as_slice() else {
        return Ok(None);
    };
    let aggregate = Expr::AggregateFunction(AggregateFunction::new_udf(
        Arc::new(AggregateUDF::from(SingleRow::new())),
        vec![Expr::Column(column.clone())],
        false,
        None,
        vec![],
        None,
    ));
    let name = format!("single {}", column.name);
    let plan = LogicalPlanBuilder::from(plan.as_ref().clone())
        .aggregate(Vec::<Expr>::new(), vec![aggregate.alias(name)])?
        .build()?;
    Ok(Some(Subquery {
        outer_ref_columns: plan.all_out_ref_exprs(),
        subquery: Arc::new(plan),
        spans: subquery.spans.clone(),
    }))
}

/// The value that such a subquery kept.
pub(super) fn value_of(subquery: Expr) -> Result<Expr> {
    let value = match &subquery {
        Expr::ScalarSubquery(inner) => match inner.subquery.schema().field(0).data_type() {
            DataType::Struct(fields) if fields.len() == 2 => fields[0].clone(),
            other => Arc::new(Field::new(VALUE, other.clone(), true)),
        },
        other => {
            let schema = datafusion::common::DFSchema::empty();
            Arc::new(Field::new(VALUE, other.get_type(&schema)?, true))
        }
    };
    let function = Arc::new(ScalarUDF::from(SingleValue {
        value,
        signature: Signature::any(1, Volatility::Immutable),
    }));
    Ok(Expr::ScalarFunction(ScalarFunction::new_udf(
        function,
        vec![subquery],
    )))
}

/// Name of the value within the aggregate's result.
const VALUE: &str = "value";

fn result_fields(value: &Field) -> Fields {
    Fields::from(vec![
        value.clone().with_name(VALUE).with_nullable(true),
        Field::new("more", DataType::Boolean, true),
    ])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SingleRow {
    signature: Signature,
}

impl SingleRow {
    fn new() -> SingleRow {
        SingleRow {
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

impl AggregateUDFImpl for SingleRow {
    fn name(&self) -> &str {
        "single_row"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let value = arguments.first().cloned().unwrap_or(DataType::Null);
        Ok(DataType::Struct(result_fields(&Field::new(
            VALUE, value, true,
        ))))
    }

    fn return_field(&self, arguments: &[FieldRef]) -> Result<FieldRef> {
        let fields = match arguments.first() {
            Some(value) => result_fields(value),
            None => result_fields(&Field::new(VALUE, DataType::Null, true)),
        };
        Ok(Arc::new(Field::new(
            self.name(),
            DataType::Struct(fields),
            true,
        )))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let value = args
            .input_fields
            .first()
            .map_or(DataType::Null, |field| field.data_type().clone());
        Ok(vec![
            Arc::new(Field::new(format!("{}[value]", args.name), value, true)),
            Arc::new(Field::new(
                format!("{}[rows]", args.name),
                DataType::Int64,
                false,
            )),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let fields = match args.return_field.data_type() {
            DataType::Struct(fields) => fields.clone(),
            other => result_fields(&Field::new(VALUE, other.clone(), true)),
        };
        Ok(Box::new(OneRow {
            value: ScalarValue::try_from(fields[0].data_type())?,
            fields,
            rows: 0,
        }))
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        ScalarValue::try_from(data_type)
    }
}

#[derive(Debug)]
struct OneRow {
    fields: Fields,
    value: ScalarValue,
    rows: i64,
}

impl Accumulator for OneRow {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first().filter(|values| !values.is_empty()) else {
            return Ok(());
        };
        if self.rows == 0 {
            self.value = ScalarValue::try_from_array(values, 0)?;
        }
        self.rows = self.rows.saturating_add(values.len() as i64);
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [values, rows] = states else {
            return Ok(());
        };
        for (i, rows) in rows.as_primitive::<Int64Type>().iter().enumerate() {
            let rows = rows.unwrap_or(0);
            if rows > 0 && self.rows == 0 {
                self.value = ScalarValue::try_from_array(values, i)?;
            }
            self.rows = self.rows.saturating_add(rows);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![
            self.value.clone(),
            ScalarValue::Int64(Some(self.rows)),
        ])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.rows == 0 {
            return ScalarValue::try_from(&DataType::Struct(self.fields.clone()));
        }
        let more = ScalarValue::Boolean(Some(self.rows > 1));
        let columns = vec![self.value.to_array()?, more.to_array()?];
        let row = StructArray::try_new(self.fields.clone(), columns, None)?;
        Ok(ScalarValue::Struct(Arc::new(row)))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.value.size()
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SingleValue {
    value: FieldRef,
    signature: Signature,
}

impl ScalarUDFImpl for SingleValue {
    fn name(&self) -> &str {
        "single_value"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.value.data_type().clone())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let field = self.value.as_ref().clone();
        Ok(Arc::new(field.with_name(self.name()).with_nullable(true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(argument) = args.args.into_iter().next() else {
            return Ok(ColumnarValue::Scalar(ScalarValue::Null));
        };
        let rows = argument.into_array(args.number_rows)?;
        let rows = as_struct_array(&rows)?;
        let more = rows.column(1).as_boolean();
        if (0..rows.len()).any(|i| rows.is_valid(i) && more.is_valid(i) && more.value(i)) {
            return Err(external(more_than_one_row()));
        }
        let value = nullif(rows.column(0), &is_null(rows)?)?;
        Ok(ColumnarValue::Array(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int32Array;

    fn after(batches: &[&[Option<i32>]]) -> ScalarValue {
        let fields = result_fields(&Field::new("v", DataType::Int32, true));
        let mut one = OneRow {
            value: ScalarValue::Int32(None),
            fields,
            rows: 0,
        };
        for batch in batches {
            let values: ArrayRef = Arc::new(Int32Array::from(batch.to_vec()));
            one.update_batch(&[values]).expect("taken");
        }
        one.evaluate().expect("a row")
    }

    fn more(value: &ScalarValue) -> Option<bool> {
        let ScalarValue::Struct(row) = value else {
            return None;
        };
        row.is_valid(0).then(|| row.column(1).as_boolean().value(0))
    }

    #[test]
    fn a_second_row_is_noted_even_of_nulls() {
        assert_eq!(more(&after(&[])), None);
        assert_eq!(more(&after(&[&[]])), None);
        assert_eq!(more(&after(&[&[None]])), Some(false));
        assert_eq!(more(&after(&[&[Some(1)], &[]])), Some(false));
        assert_eq!(more(&after(&[&[Some(1)], &[None]])), Some(true));
        assert_eq!(more(&after(&[&[None, None]])), Some(true));
    }
}
