//! Aggregates that need all values of a group at once, and `DISTINCT` for the others.
//!
//! The state is one list per argument (and per ORDER BY key), so partial results can be merged; the
//! rows are put in order, and duplicates removed, when the result is asked for.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};
use tessera_planner::arrow_types::{field_of, sql_type_of};
use tessera_planner::errors::external;
use tessera_types::{Report, SqlType, Value};

use super::super::kernel::{in_type, written_type};
use crate::arrow_values::{ArrayWriter, ColumnReader};

/// Rows of arguments to a result.
pub(super) type FoldFn = fn(&[Vec<Value>], &[SqlType]) -> Result<Value, Report>;

/// An aggregate given by what it makes of its rows.
#[derive(Clone, Copy)]
pub(super) struct Fold {
    /// Shown in plans.
    pub(super) name: &'static str,
    /// Rows in which the first argument is NULL do not count.
    pub(super) skips_nulls: bool,
    /// The result's type from those of the arguments.
    pub(super) returns: fn(&[SqlType]) -> SqlType,
    /// The result keeps the first argument's own Arrow type (scales of decimals).
    pub(super) keeps_field: bool,
    /// Makes the result of at least one row; no rows give NULL.
    pub(super) fold: FoldFn,
}

pub(super) fn udaf(fold: Fold) -> Arc<AggregateUDF> {
    let signature = Signature::variadic_any(Volatility::Immutable);
    Arc::new(AggregateUDF::new_from_impl(Collect { fold, signature }))
}

struct Collect {
    fold: Fold,
    signature: Signature,
}

impl fmt::Debug for Collect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.fold.name)
    }
}

impl PartialEq for Collect {
    fn eq(&self, other: &Collect) -> bool {
        self.fold.name == other.fold.name
    }
}

impl Eq for Collect {}

impl Hash for Collect {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.fold.name.hash(state);
    }
}

impl AggregateUDFImpl for Collect {
    fn name(&self) -> &str {
        self.fold.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the result's type comes from return_field")
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        if self.fold.keeps_field
            && let Some(field) = fields.first()
        {
            return Ok(Arc::new(
                field
                    .as_ref()
                    .clone()
                    .with_name(self.name())
                    .with_nullable(true),
            ));
        }
        let types: Vec<SqlType> = fields.iter().map(|field| sql_type_of(field)).collect();
        Ok(Arc::new(field_of(
            self.name(),
            &(self.fold.returns)(&types),
            true,
        )))
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let mut columns: Vec<FieldRef> = args.expr_fields.to_vec();
        for key in args.order_bys {
            columns.push(key.expr.return_field(args.schema)?);
        }
        let types: Vec<SqlType> = columns.iter().map(|field| sql_type_of(field)).collect();
        Ok(Box::new(Rows {
            fold: self.fold,
            arguments: args.expr_fields.len(),
            columns,
            types,
            order: args.order_bys.iter().map(|key| key.options).collect(),
            distinct: args.is_distinct,
            returns: args.return_field.clone(),
            rows: Vec::new(),
            bytes: 0,
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let all = args.input_fields.iter().chain(args.ordering_fields);
        Ok(all
            .enumerate()
            .map(|(index, field)| list_state(&format!("{}[{index}]", args.name), field.data_type()))
            .collect())
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Beneficial
    }

    fn with_beneficial_ordering(
        self: Arc<Self>,
        _: bool,
    ) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        // The rows are sorted at the end in any case.
        Ok(Some(self))
    }
}

/// The field of a state that is a list of values.
pub(super) fn list_state(name: &str, data_type: &DataType) -> FieldRef {
    let item = Arc::new(Field::new("item", data_type.clone(), true));
    Arc::new(Field::new(name, DataType::List(item), true))
}

struct Rows {
    fold: Fold,
    arguments: usize,
    /// Arguments, then ORDER BY keys.
    columns: Vec<FieldRef>,
    types: Vec<SqlType>,
    order: Vec<SortOptions>,
    distinct: bool,
    returns: FieldRef,
    rows: Vec<Vec<Value>>,
    bytes: usize,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({} rows)", self.fold.name, self.rows.len())
    }
}

impl Rows {
    fn add(&mut self, arrays: &[ArrayRef]) -> Result<()> {
        let readers = arrays
            .iter()
            .zip(&self.types)
            .map(|(array, ty)| ColumnReader::new(array, ty).map_err(external))
            .collect::<Result<Vec<_>>>()?;
        let count = arrays.first().map_or(0, |array| array.len());
        for row in 0..count {
            if self.fold.skips_nulls && readers[0].value(row).is_null() {
                continue;
            }
            let values: Vec<Value> = readers
                .iter()
                .map(|reader| reader.value(row).to_owned())
                .collect();
            self.bytes +=
                values.iter().map(Value::memory_bytes).sum::<usize>() + size_of::<Vec<Value>>();
            self.rows.push(values);
        }
        Ok(())
    }

    /// The rows in order, without duplicates where DISTINCT asks for it.
    fn ordered(&self) -> Cow<'_, [Vec<Value>]> {
        if !self.distinct && self.order.is_empty() {
            return Cow::Borrowed(&self.rows);
        }
        let mut rows = self.rows.clone();
        if self.distinct {
            let mut seen = HashSet::new();
            rows.retain(|row| seen.insert(row[..self.arguments].to_vec()));
            if self.order.is_empty() {
                // PostgreSQL sorts to find duplicates, so its result is sorted.
                rows.sort_by(|a, b| a[..self.arguments].cmp(&b[..self.arguments]));
            }
        }
        if !self.order.is_empty() {
            rows.sort_by(|a, b| {
                let keys = a[self.arguments..]
                    .iter()
                    .zip(&b[self.arguments..])
                    .zip(&self.order);
                keys.map(|((a, b), options)| compare(a, b, *options))
                    .find(|order| order.is_ne())
                    .unwrap_or(std::cmp::Ordering::Equal)
            });
        }
        Cow::Owned(rows)
    }
}

fn compare(a: &Value, b: &Value, options: SortOptions) -> std::cmp::Ordering {
    use std::cmp::Ordering;
    match (a.is_null(), b.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) if options.nulls_first => Ordering::Less,
        (true, false) => Ordering::Greater,
        (false, true) if options.nulls_first => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) if options.descending => b.cmp_sql(a),
        (false, false) => a.cmp_sql(b),
    }
}

impl Accumulator for Rows {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(values)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let rows = self.ordered();
        let value = if rows.is_empty() {
            Value::Null
        } else {
            (self.fold.fold)(&rows, &self.types[..self.arguments]).map_err(external)?
        };
        let mut writer = ArrayWriter::new(&written_type(&self.returns), 1);
        writer.push(value.as_ref()).map_err(external)?;
        let array = in_type(writer.finish(), self.returns.data_type())?;
        ScalarValue::try_from_array(&array, 0)
    }

    fn size(&self) -> usize {
        size_of::<Rows>() + self.bytes
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        // A window frame leaves rows behind in the order in which it took them.
        let counted = match values.first() {
            Some(first) if self.fold.skips_nulls => first.len() - first.null_count(),
            Some(first) => first.len(),
            None => 0,
        };
        self.rows.drain(..counted.min(self.rows.len()));
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let mut states = Vec::with_capacity(self.columns.len());
        for (index, field) in self.columns.iter().enumerate() {
            let mut writer = ArrayWriter::new(&written_type(field), rows.len());
            for row in &rows {
                writer.push(row[index].as_ref()).map_err(external)?;
            }
            let items = in_type(writer.finish(), field.data_type())?;
            let item = Arc::new(Field::new("item", field.data_type().clone(), true));
            let offsets = OffsetBuffer::from_lengths([items.len()]);
            states.push(ScalarValue::List(Arc::new(ListArray::new(
                item, offsets, items, None,
            ))));
        }
        Ok(states)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let count = states.first().map_or(0, |state| state.len());
        for row in 0..count {
            let arrays: Vec<ArrayRef> = states
                .iter()
                .map(|state| state.as_list::<i32>().value(row))
                .collect();
            // NULLs were left out before; doing it again changes nothing.
            self.add(&arrays)?;
        }
        Ok(())
    }
}

/// DISTINCT for an accumulator of one argument: values are kept, and counted once at the end.
#[derive(Debug)]
pub(super) struct Distinct {
    inner: Box<dyn Accumulator>,
    field: FieldRef,
    /// The value that is compared, and the first one that had it.
    seen: HashMap<Value, ScalarValue>,
}

impl Distinct {
    pub(super) fn new(inner: Box<dyn Accumulator>, field: FieldRef) -> Distinct {
        Distinct {
            inner,
            field,
            seen: HashMap::new(),
        }
    }

    fn values(&self) -> Result<ArrayRef> {
        if self.seen.is_empty() {
            return Ok(arrow::array::new_empty_array(self.field.data_type()));
        }
        ScalarValue::iter_to_array(self.seen.values().cloned())
    }
}

impl Accumulator for Distinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let reader = ColumnReader::new(&values[0], &sql_type_of(&self.field)).map_err(external)?;
        for row in 0..values[0].len() {
            if values[0].is_valid(row)
                && let Entry::Vacant(free) = self.seen.entry(reader.value(row).to_owned())
            {
                free.insert(ScalarValue::try_from_array(&values[0], row)?);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let values = self.values()?;
        self.inner.update_batch(&[values])?;
        self.inner.evaluate()
    }

    fn size(&self) -> usize {
        self.inner.size() + self.seen.capacity() * (size_of::<Value>() + size_of::<ScalarValue>())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let items = self.values()?;
        let item = Arc::new(Field::new("item", self.field.data_type().clone(), true));
        let offsets = OffsetBuffer::from_lengths([items.len()]);
        Ok(vec![ScalarValue::List(Arc::new(ListArray::new(
            item, offsets, items, None,
        )))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states[0].as_list::<i32>();
        for row in 0..lists.len() {
            self.update_batch(&[lists.value(row)])?;
        }
        Ok(())
    }
}
