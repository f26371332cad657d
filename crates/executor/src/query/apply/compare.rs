//! `x op ANY (rows)` and `x op ALL (rows)`, with SQL's three truth values.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Float32Array, Float64Array, RecordBatch};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Schema, SchemaRef};
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::cast::as_boolean_array;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column};

use super::subplan::in_type;

/// How values are compared with the rows of a subquery.
pub(super) struct Comparison {
    all: bool,
    schema: SchemaRef,
    comparison: BinaryExpr,
    /// For `= ANY`: rows are looked up instead of being compared one by one.
    converter: Option<RowConverter>,
}

/// The rows of a subquery, to be compared with.
pub(super) struct Values {
    array: ArrayRef,
    set: Option<HashSet<OwnedRow>>,
    has_null: bool,
}

impl Comparison {
    pub(super) fn new(op: Operator, all: bool, data_type: &DataType) -> Result<Comparison> {
        let schema = Arc::new(Schema::new(vec![
            Field::new("operand", data_type.clone(), true),
            Field::new("value", data_type.clone(), true),
        ]));
        let comparison = BinaryExpr::new(
            Arc::new(Column::new("operand", 0)),
            op,
            Arc::new(Column::new("value", 1)),
        );
        let field = SortField::new(data_type.clone());
        let is_lookup = op == Operator::Eq
            && !all
            && RowConverter::supports_fields(std::slice::from_ref(&field));
        let converter = if is_lookup {
            Some(RowConverter::new(vec![field])?)
        } else {
            None
        };
        Ok(Comparison {
            all,
            schema,
            comparison,
            converter,
        })
    }

    /// Takes the rows of a subquery.
    pub(super) fn values(&self, batches: &[RecordBatch]) -> Result<Values> {
        let data_type = self.schema.field(1).data_type();
        let mut parts = Vec::with_capacity(batches.len());
        for batch in batches {
            parts.push(in_type(batch.column(0), data_type)?);
        }
        let parts: Vec<&dyn Array> = parts.iter().map(|part| part.as_ref()).collect();
        let array = if parts.is_empty() {
            arrow::array::new_empty_array(data_type)
        } else {
            concat(&parts)?
        };
        let set = match &self.converter {
            Some(converter) => {
                let rows = converter.convert_columns(&[one_zero(&array)])?;
                let present = rows.iter().enumerate().filter(|(i, _)| array.is_valid(*i));
                Some(present.map(|(_, row)| row.owned()).collect())
            }
            None => None,
        };
        Ok(Values {
            has_null: array.null_count() > 0,
            array,
            set,
        })
    }

    /// The truth value for one operand.
    pub(super) fn of(&self, operand: &ScalarValue, values: &Values) -> Result<Option<bool>> {
        let (Some(set), Some(converter)) = (&values.set, &self.converter) else {
            return self.one_by_one(operand, values);
        };
        if values.array.is_empty() {
            return Ok(Some(false));
        }
        if operand.is_null() {
            return Ok(None);
        }
        let operand = one_zero(&operand.to_array()?);
        let key = converter.convert_columns(&[operand])?.row(0).owned();
        Ok(match set.contains(&key) {
            true => Some(true),
            false if values.has_null => None,
            false => Some(false),
        })
    }

    fn one_by_one(&self, operand: &ScalarValue, values: &Values) -> Result<Option<bool>> {
        let count = values.array.len();
        if count == 0 {
            return Ok(Some(self.all));
        }
        let operand = operand.to_array_of_size(count)?;
        let batch = RecordBatch::try_new(self.schema.clone(), vec![operand, values.array.clone()])?;
        let truths = self.comparison.evaluate(&batch)?.into_array(count)?;
        let truths: &BooleanArray = as_boolean_array(&truths)?;
        // ANY ends with the first true, ALL with the first false.
        let deciding = !self.all;
        if truths.iter().any(|truth| truth == Some(deciding)) {
            return Ok(Some(deciding));
        }
        Ok((truths.null_count() == 0).then_some(!deciding))
    }
}

impl Values {
    pub(super) fn bytes(&self) -> usize {
        let set = self.set.as_ref().map_or(0, |set| {
            set.iter().map(|row| row.as_ref().len() + 48).sum::<usize>()
        });
        self.array.get_array_memory_size() + set
    }
}

/// -0 equals 0, and every NaN every other, though their bits differ.
fn one_zero(array: &ArrayRef) -> ArrayRef {
    use arrow::array::AsArray;
    match array.data_type() {
        DataType::Float64 => {
            let plain: Float64Array = array
                .as_primitive::<Float64Type>()
                .unary(|x| if x.is_nan() { f64::NAN } else { x + 0.0 });
            Arc::new(plain)
        }
        DataType::Float32 => {
            let plain: Float32Array = array
                .as_primitive::<Float32Type>()
                .unary(|x| if x.is_nan() { f32::NAN } else { x + 0.0 });
            Arc::new(plain)
        }
        _ => array.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int32Array;

    fn check(op: Operator, all: bool, operand: Option<i32>, rows: &[Option<i32>]) -> Option<bool> {
        let comparison = Comparison::new(op, all, &DataType::Int32).expect("made");
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int32, true)]));
        let column: ArrayRef = Arc::new(Int32Array::from(rows.to_vec()));
        let batch = RecordBatch::try_new(schema, vec![column]).expect("a batch");
        let values = comparison.values(&[batch]).expect("values");
        comparison
            .of(&ScalarValue::Int32(operand), &values)
            .expect("compared")
    }

    /// The truth tables of SQL:2016, 8.9.
    #[test]
    fn any_and_all_know_three_truth_values() {
        use Operator::{Eq, Gt, LtEq};
        let some = [Some(1), Some(3)];
        let nulls = [Some(1), None];
        assert_eq!(check(Eq, false, Some(3), &some), Some(true));
        assert_eq!(check(Eq, false, Some(2), &some), Some(false));
        assert_eq!(check(Eq, false, Some(2), &nulls), None);
        assert_eq!(check(Eq, false, Some(1), &nulls), Some(true));
        assert_eq!(check(Eq, false, None, &some), None);
        assert_eq!(check(Eq, false, None, &[]), Some(false));
        assert_eq!(check(Gt, false, Some(2), &some), Some(true));
        assert_eq!(check(Gt, false, Some(1), &nulls), None);
        assert_eq!(check(Gt, true, Some(4), &some), Some(true));
        assert_eq!(check(Gt, true, Some(4), &nulls), None);
        assert_eq!(check(Gt, true, Some(1), &nulls), Some(false));
        assert_eq!(check(LtEq, true, None, &[]), Some(true));
        assert_eq!(check(LtEq, true, None, &some), None);
    }
}
