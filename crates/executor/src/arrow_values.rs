//! SQL values in and out of Arrow arrays, column by column.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BinaryViewBuilder, BooleanArray, BooleanBuilder,
    Date32Array, Date32Builder, Decimal128Array, Decimal128Builder, Decimal256Array,
    Decimal256Builder, FixedSizeBinaryArray, FixedSizeBinaryBuilder, Float32Array, Float32Builder,
    Float64Array, Float64Builder, Int16Array, Int16Builder, Int32Array, Int32Builder, Int64Array,
    Int64Builder, IntervalMonthDayNanoArray, IntervalMonthDayNanoBuilder, ListArray, StringArray,
    StringViewArray, StringViewBuilder, Time64MicrosecondArray, Time64MicrosecondBuilder,
    TimestampMicrosecondArray, TimestampMicrosecondBuilder, UInt32Array, UInt32Builder,
    UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::DataType;
use tessera_planner::arrow_types::{NUMERIC_ANY, UTC, element_field};
use tessera_planner::decimals::{from_i256, numeric_overflow, to_any};
use tessera_planner::scalar::{check_one_dimension, from_month_day_nano, to_month_day_nano};
use tessera_types::{ArrayValue, Decimal, Report, SqlType, Value, ValueRef};

/// Builds the array of one column from values.
pub struct ArrayWriter {
    builder: Builder,
}

enum Builder {
    Boolean(BooleanBuilder),
    SmallInt(Int16Builder),
    Integer(Int32Builder),
    BigInt(Int64Builder),
    Real(Float32Builder),
    Double(Float64Builder),
    Decimal(Decimal128Builder, u8),
    AnyDecimal(Decimal256Builder),
    Text(StringViewBuilder),
    Bytea(BinaryViewBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Interval(IntervalMonthDayNanoBuilder),
    Uuid(FixedSizeBinaryBuilder),
    Oid(UInt32Builder),
    List(Box<ListWriter>),
}

struct ListWriter {
    element: SqlType,
    items: ArrayWriter,
    lengths: Vec<usize>,
    valid: Vec<bool>,
}

impl ArrayWriter {
    /// A writer for a column of an SQL type.
    pub fn new(sql_type: &SqlType, capacity: usize) -> ArrayWriter {
        let builder = match sql_type {
            SqlType::Boolean => Builder::Boolean(BooleanBuilder::with_capacity(capacity)),
            SqlType::SmallInt => Builder::SmallInt(Int16Builder::with_capacity(capacity)),
            SqlType::Integer => Builder::Integer(Int32Builder::with_capacity(capacity)),
            SqlType::BigInt => Builder::BigInt(Int64Builder::with_capacity(capacity)),
            SqlType::Real => Builder::Real(Float32Builder::with_capacity(capacity)),
            SqlType::Double => Builder::Double(Float64Builder::with_capacity(capacity)),
            SqlType::Numeric(Some((precision, scale))) => {
                let data_type = DataType::Decimal128(*precision, *scale as i8);
                let builder = Decimal128Builder::with_capacity(capacity).with_data_type(data_type);
                Builder::Decimal(builder, *scale)
            }
            SqlType::Numeric(None) => {
                let builder =
                    Decimal256Builder::with_capacity(capacity).with_data_type(NUMERIC_ANY);
                Builder::AnyDecimal(builder)
            }
            SqlType::Text
            | SqlType::Varchar(_)
            | SqlType::Char(_)
            | SqlType::Name
            | SqlType::InternalChar
            | SqlType::Json
            | SqlType::Jsonb
            | SqlType::Record
            | SqlType::Void
            | SqlType::Unknown => Builder::Text(StringViewBuilder::with_capacity(capacity)),
            SqlType::Bytea => Builder::Bytea(BinaryViewBuilder::with_capacity(capacity)),
            SqlType::Date => Builder::Date(Date32Builder::with_capacity(capacity)),
            SqlType::Time => Builder::Time(Time64MicrosecondBuilder::with_capacity(capacity)),
            SqlType::Timestamp => {
                Builder::Timestamp(TimestampMicrosecondBuilder::with_capacity(capacity))
            }
            SqlType::TimestampTz => Builder::Timestamp(
                TimestampMicrosecondBuilder::with_capacity(capacity).with_timezone(UTC),
            ),
            SqlType::Interval => {
                Builder::Interval(IntervalMonthDayNanoBuilder::with_capacity(capacity))
            }
            SqlType::Uuid => Builder::Uuid(FixedSizeBinaryBuilder::with_capacity(capacity, 16)),
            SqlType::Oid
            | SqlType::Regclass
            | SqlType::Regtype
            | SqlType::Regproc
            | SqlType::Regnamespace
            | SqlType::Regrole => Builder::Oid(UInt32Builder::with_capacity(capacity)),
            SqlType::Array(element) => Builder::List(Box::new(ListWriter {
                element: (**element).clone(),
                items: ArrayWriter::new(element, capacity),
                lengths: Vec::with_capacity(capacity),
                valid: Vec::with_capacity(capacity),
            })),
        };
        ArrayWriter { builder }
    }

    /// Adds one value. A value of another type than the column's is an internal error.
    pub fn push(&mut self, value: ValueRef<'_>) -> Result<(), Report> {
        match (&mut self.builder, value) {
            (Builder::Boolean(b), ValueRef::Boolean(v)) => b.append_value(v),
            (Builder::SmallInt(b), ValueRef::SmallInt(v)) => b.append_value(v),
            (Builder::Integer(b), ValueRef::Integer(v)) => b.append_value(v),
            (Builder::BigInt(b), ValueRef::BigInt(v)) => b.append_value(v),
            (Builder::Real(b), ValueRef::Real(v)) => b.append_value(v),
            (Builder::Double(b), ValueRef::Double(v)) => b.append_value(v),
            (Builder::Decimal(b, scale), ValueRef::Numeric(v)) => {
                b.append_value(unscaled_at(v, *scale)?);
            }
            (Builder::AnyDecimal(b), ValueRef::Numeric(v)) => {
                b.append_value(to_any(v).ok_or_else(numeric_overflow)?);
            }
            (Builder::Text(b), ValueRef::Text(v) | ValueRef::Json(v)) => b.append_value(v),
            (Builder::Bytea(b), ValueRef::Bytea(v)) => b.append_value(v),
            (Builder::Date(b), ValueRef::Date(v)) => b.append_value(v),
            (Builder::Time(b), ValueRef::Time(v)) => b.append_value(v),
            (Builder::Timestamp(b), ValueRef::Timestamp(v) | ValueRef::TimestampTz(v)) => {
                b.append_value(v);
            }
            (Builder::Interval(b), ValueRef::Interval(v)) => b.append_value(to_month_day_nano(v)?),
            (Builder::Uuid(b), ValueRef::Uuid(v)) => {
                b.append_value(v)
                    .map_err(|error| Report::internal(error.to_string()))?;
            }
            (Builder::Oid(b), ValueRef::Oid(v)) => b.append_value(v),
            (Builder::List(list), ValueRef::Array(v)) => {
                let array: &ArrayValue = &v;
                check_one_dimension(array)?;
                list.valid.push(true);
                list.lengths.push(array.elements.len());
                for item in &array.elements {
                    list.items.push(item.as_ref())?;
                }
            }
            (_, ValueRef::Null) => self.push_null(),
            (_, other) => {
                return Err(Report::internal(format!(
                    "a value of type {} in a column of another type",
                    other.to_owned().natural_type().name()
                )));
            }
        }
        Ok(())
    }

    fn push_null(&mut self) {
        match &mut self.builder {
            Builder::Boolean(b) => b.append_null(),
            Builder::SmallInt(b) => b.append_null(),
            Builder::Integer(b) => b.append_null(),
            Builder::BigInt(b) => b.append_null(),
            Builder::Real(b) => b.append_null(),
            Builder::Double(b) => b.append_null(),
            Builder::Decimal(b, _) => b.append_null(),
            Builder::AnyDecimal(b) => b.append_null(),
            Builder::Text(b) => b.append_null(),
            Builder::Bytea(b) => b.append_null(),
            Builder::Date(b) => b.append_null(),
            Builder::Time(b) => b.append_null(),
            Builder::Timestamp(b) => b.append_null(),
            Builder::Interval(b) => b.append_null(),
            Builder::Uuid(b) => b.append_null(),
            Builder::Oid(b) => b.append_null(),
            Builder::List(list) => {
                list.valid.push(false);
                list.lengths.push(0);
            }
        }
    }

    /// The array.
    pub fn finish(self) -> ArrayRef {
        match self.builder {
            Builder::Boolean(mut b) => Arc::new(b.finish()),
            Builder::SmallInt(mut b) => Arc::new(b.finish()),
            Builder::Integer(mut b) => Arc::new(b.finish()),
            Builder::BigInt(mut b) => Arc::new(b.finish()),
            Builder::Real(mut b) => Arc::new(b.finish()),
            Builder::Double(mut b) => Arc::new(b.finish()),
            Builder::Decimal(mut b, _) => Arc::new(b.finish()),
            Builder::AnyDecimal(mut b) => Arc::new(b.finish()),
            Builder::Text(mut b) => Arc::new(b.finish()),
            Builder::Bytea(mut b) => Arc::new(b.finish()),
            Builder::Date(mut b) => Arc::new(b.finish()),
            Builder::Time(mut b) => Arc::new(b.finish()),
            Builder::Timestamp(mut b) => Arc::new(b.finish()),
            Builder::Interval(mut b) => Arc::new(b.finish()),
            Builder::Uuid(mut b) => Arc::new(b.finish()),
            Builder::Oid(mut b) => Arc::new(b.finish()),
            Builder::List(list) => {
                let items = list.items.finish();
                let field = element_field(&list.element);
                Arc::new(ListArray::new(
                    field,
                    OffsetBuffer::from_lengths(list.lengths),
                    items,
                    Some(NullBuffer::from(list.valid)),
                ))
            }
        }
    }
}

fn unscaled_at(decimal: Decimal, scale: u8) -> Result<i128, Report> {
    if decimal.scale == scale {
        return Ok(decimal.unscaled);
    }
    decimal
        .rescale(scale)
        .map(|d| d.unscaled)
        .ok_or_else(numeric_overflow)
}

/// Values of one column of an Arrow batch.
#[derive(Clone)]
pub struct ColumnReader {
    values: Values,
}

#[derive(Clone)]
enum Values {
    Boolean(BooleanArray),
    SmallInt(Int16Array),
    Integer(Int32Array),
    BigInt(Int64Array),
    Unsigned(UInt64Array),
    Real(Float32Array),
    Double(Float64Array),
    Decimal(Decimal128Array, u8),
    TextView(StringViewArray, bool),
    Text(StringArray, bool),
    Bytea(BinaryViewArray),
    Date(Date32Array),
    Time(Time64MicrosecondArray),
    Timestamp(TimestampMicrosecondArray, bool),
    Interval(IntervalMonthDayNanoArray),
    Uuid(FixedSizeBinaryArray),
    Oid(UInt32Array),
    /// Converted when the batch came: arrays and wide decimals.
    Owned(Arc<[Value]>),
    Null,
}

impl ColumnReader {
    /// Reads an array as values of an SQL type.
    pub fn new(array: &ArrayRef, sql_type: &SqlType) -> Result<ColumnReader, Report> {
        let is_json = matches!(sql_type, SqlType::Json | SqlType::Jsonb);
        let values = match array.data_type() {
            DataType::Boolean => Values::Boolean(array.as_boolean().clone()),
            DataType::Int16 => Values::SmallInt(array.as_primitive().clone()),
            DataType::Int32 => Values::Integer(array.as_primitive().clone()),
            DataType::Int64 => Values::BigInt(array.as_primitive().clone()),
            DataType::UInt64 => Values::Unsigned(array.as_primitive().clone()),
            DataType::UInt32 => Values::Oid(array.as_primitive().clone()),
            DataType::Float32 => Values::Real(array.as_primitive().clone()),
            DataType::Float64 => Values::Double(array.as_primitive().clone()),
            DataType::Decimal128(_, scale) => {
                let scale = u8::try_from(*scale).map_err(|_| numeric_overflow())?;
                Values::Decimal(array.as_primitive().clone(), scale)
            }
            DataType::Decimal256(_, scale) => Values::Owned(wide_decimals(array, *scale)?),
            DataType::Utf8View => Values::TextView(array.as_string_view().clone(), is_json),
            DataType::Utf8 => Values::Text(array.as_string().clone(), is_json),
            DataType::BinaryView => Values::Bytea(array.as_binary_view().clone()),
            DataType::Date32 => Values::Date(array.as_primitive().clone()),
            DataType::Time64(_) => Values::Time(array.as_primitive().clone()),
            DataType::Timestamp(_, zone) => {
                Values::Timestamp(array.as_primitive().clone(), zone.is_some())
            }
            DataType::Interval(_) => Values::Interval(array.as_primitive().clone()),
            DataType::FixedSizeBinary(16) => Values::Uuid(array.as_fixed_size_binary().clone()),
            DataType::List(_) => Values::Owned(lists(array, sql_type)?),
            DataType::Null => Values::Null,
            DataType::Binary | DataType::LargeBinary => {
                let cast = arrow::compute::cast(array, &DataType::BinaryView)
                    .map_err(|error| Report::internal(error.to_string()))?;
                return ColumnReader::new(&cast, sql_type);
            }
            DataType::LargeUtf8 | DataType::Dictionary(..) => {
                let cast = arrow::compute::cast(array, &DataType::Utf8View)
                    .map_err(|error| Report::internal(error.to_string()))?;
                return ColumnReader::new(&cast, sql_type);
            }
            other => return Err(Report::internal(format!("a result of type {other}"))),
        };
        Ok(ColumnReader { values })
    }

    /// The value of a row.
    pub fn value(&self, row: usize) -> ValueRef<'_> {
        /// The value unless the row is NULL.
        fn some<'a, A: Array>(
            array: &'a A,
            row: usize,
            get: impl Fn(&'a A) -> ValueRef<'a>,
        ) -> ValueRef<'a> {
            if array.is_null(row) {
                ValueRef::Null
            } else {
                get(array)
            }
        }
        match &self.values {
            Values::Boolean(a) => some(a, row, |a| ValueRef::Boolean(a.value(row))),
            Values::SmallInt(a) => some(a, row, |a| ValueRef::SmallInt(a.value(row))),
            Values::Integer(a) => some(a, row, |a| ValueRef::Integer(a.value(row))),
            Values::BigInt(a) => some(a, row, |a| ValueRef::BigInt(a.value(row))),
            // Row numbers and ranks; they never come near the sign bit.
            Values::Unsigned(a) => some(a, row, |a| ValueRef::BigInt(a.value(row) as i64)),
            Values::Real(a) => some(a, row, |a| ValueRef::Real(a.value(row))),
            Values::Double(a) => some(a, row, |a| ValueRef::Double(a.value(row))),
            Values::Decimal(a, scale) => some(a, row, |a| {
                ValueRef::Numeric(Decimal {
                    unscaled: a.value(row),
                    scale: *scale,
                })
            }),
            Values::TextView(a, false) => some(a, row, |a| ValueRef::Text(a.value(row))),
            Values::TextView(a, true) => some(a, row, |a| ValueRef::Json(a.value(row))),
            Values::Text(a, false) => some(a, row, |a| ValueRef::Text(a.value(row))),
            Values::Text(a, true) => some(a, row, |a| ValueRef::Json(a.value(row))),
            Values::Bytea(a) => some(a, row, |a| ValueRef::Bytea(a.value(row))),
            Values::Date(a) => some(a, row, |a| ValueRef::Date(a.value(row))),
            Values::Time(a) => some(a, row, |a| ValueRef::Time(a.value(row))),
            Values::Timestamp(a, false) => some(a, row, |a| ValueRef::Timestamp(a.value(row))),
            Values::Timestamp(a, true) => some(a, row, |a| ValueRef::TimestampTz(a.value(row))),
            Values::Interval(a) => some(a, row, |a| {
                ValueRef::Interval(from_month_day_nano(a.value(row)))
            }),
            Values::Uuid(a) => some(a, row, |a| {
                ValueRef::Uuid(a.value(row).try_into().unwrap_or_default())
            }),
            Values::Oid(a) => some(a, row, |a| ValueRef::Oid(a.value(row))),
            Values::Owned(values) => values[row].as_ref(),
            Values::Null => ValueRef::Null,
        }
    }
}

fn wide_decimals(array: &ArrayRef, scale: i8) -> Result<Arc<[Value]>, Report> {
    let decimals: &Decimal256Array = array.as_primitive();
    (0..decimals.len())
        .map(|row| {
            if decimals.is_null(row) {
                return Ok(Value::Null);
            }
            from_i256(decimals.value(row), scale).map(Value::Numeric)
        })
        .collect()
}

fn lists(array: &ArrayRef, sql_type: &SqlType) -> Result<Arc<[Value]>, Report> {
    let list: &ListArray = array.as_list();
    let element = sql_type.element().cloned().unwrap_or(SqlType::Text);
    let items = ColumnReader::new(list.values(), &element)?;
    let offsets = list.value_offsets();
    (0..list.len())
        .map(|row| {
            if list.is_null(row) {
                return Ok(Value::Null);
            }
            let range = offsets[row] as usize..offsets[row + 1] as usize;
            let values = range.map(|i| items.value(i).to_owned()).collect();
            Ok(Value::Array(Box::new(ArrayValue::from_elements(
                element.clone(),
                values,
            ))))
        })
        .collect()
}
