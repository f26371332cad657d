//! Rows as a stream of Arrow's IPC format (<https://arrow.apache.org/docs/format/Columnar.html>):
//! a schema, record batches as they are computed, the end.
//!
//! | SQL | Arrow |
//! |---|---|
//! | `boolean`, `smallint`, `integer`, `bigint`, `real`, `double precision` | the same |
//! | `numeric(p, s)` | `decimal128(p, s)` |
//! | `date`, `time`, `timestamp` | `date32`, `time64[us]`, `timestamp[us]` |
//! | `timestamp with time zone` | `timestamp[us, UTC]` |
//! | `bytea` | `binary` |
//! | everything else, `numeric` and arrays too | `utf8`, SQL's text |
//!
//! Each field names its SQL type as the metadata `sql_type`. The format has no place for an error
//! behind its first batch: a stream that is cut off before its end has failed.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder,
    Float64Builder, Int16Builder, Int32Builder, Int64Builder, StringBuilder,
    Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use tessera_engine::{ColumnInfo, Report, RowBatch};
use tessera_types::{FormatContext, SqlType, ValueRef, codes, text};

pub(super) const MEDIA_TYPE: &str = "application/vnd.apache.arrow.stream";

/// Digits of a `decimal128`.
const DECIMAL_DIGITS_MAX: u8 = 38;

/// Writes batches into the bytes of a stream.
pub(super) struct ArrowStream {
    writer: StreamWriter<Vec<u8>>,
    schema: SchemaRef,
    columns: Arc<[ColumnInfo]>,
}

impl ArrowStream {
    /// A stream of rows. The schema is the first of its bytes.
    pub(super) fn new(columns: &Arc<[ColumnInfo]>) -> Result<ArrowStream, Report> {
        let fields: Vec<Field> = columns.iter().map(field).collect();
        ArrowStream::with(Schema::new(fields), Arc::clone(columns))
    }

    /// A stream without columns and rows, for what a statement without rows did.
    pub(super) fn command(tag: &str) -> Result<Vec<u8>, Report> {
        let metadata = HashMap::from([("tag".to_owned(), tag.to_owned())]);
        let schema = Schema::new_with_metadata(Vec::<Field>::new(), metadata);
        let mut stream = ArrowStream::with(schema, Arc::from([]))?;
        stream.finish()?;
        Ok(stream.take())
    }

    fn with(schema: Schema, columns: Arc<[ColumnInfo]>) -> Result<ArrowStream, Report> {
        let writer = StreamWriter::try_new(Vec::new(), &schema).map_err(broken)?;
        Ok(ArrowStream {
            writer,
            schema: Arc::new(schema),
            columns,
        })
    }

    /// Adds rows.
    pub(super) fn write(&mut self, batch: &RowBatch, format: &FormatContext) -> Result<(), Report> {
        let columns = self.columns.iter().enumerate();
        let arrays = columns.map(|(at, column)| array(batch, at, &column.sql_type, format));
        let arrays = arrays.collect::<Result<Vec<ArrayRef>, Report>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.rows()));
        let schema = Arc::clone(&self.schema);
        let batch = RecordBatch::try_new_with_options(schema, arrays, &options).map_err(broken)?;
        self.writer.write(&batch).map_err(broken)
    }

    /// Marks the end.
    pub(super) fn finish(&mut self) -> Result<(), Report> {
        self.writer.finish().map_err(broken)
    }

    /// The bytes since the last call.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.writer.get_mut())
    }
}

fn broken(error: ArrowError) -> Report {
    Report::internal(format!("rows could not be written as Arrow: {error}"))
}

fn field(column: &ColumnInfo) -> Field {
    let metadata = HashMap::from([("sql_type".to_owned(), column.sql_type.name())]);
    Field::new(column.name.as_str(), data_type(&column.sql_type), true).with_metadata(metadata)
}

fn data_type(sql_type: &SqlType) -> DataType {
    match sql_type {
        SqlType::Boolean => DataType::Boolean,
        SqlType::SmallInt => DataType::Int16,
        SqlType::Integer => DataType::Int32,
        SqlType::BigInt => DataType::Int64,
        SqlType::Real => DataType::Float32,
        SqlType::Double => DataType::Float64,
        SqlType::Numeric(Some((precision, scale))) if *precision <= DECIMAL_DIGITS_MAX => {
            DataType::Decimal128(*precision, i8::try_from(*scale).unwrap_or(i8::MAX))
        }
        SqlType::Bytea => DataType::Binary,
        SqlType::Date => DataType::Date32,
        SqlType::Time => DataType::Time64(TimeUnit::Microsecond),
        SqlType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        SqlType::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        _ => DataType::Utf8,
    }
}

/// One column of a batch.
fn array(
    batch: &RowBatch,
    column: usize,
    sql_type: &SqlType,
    format: &FormatContext,
) -> Result<ArrayRef, Report> {
    let values = (0..batch.rows()).map(|row| batch.value(row, column));
    macro_rules! build {
        ($builder:expr, $($pattern:pat => $value:expr),+) => {{
            let mut builder = $builder;
            for value in values {
                match value {
                    ValueRef::Null => builder.append_null(),
                    $($pattern => builder.append_value($value),)+
                    other => return Err(mismatch(sql_type, other)),
                }
            }
            Ok(Arc::new(builder.finish()))
        }};
    }
    let wanted = data_type(sql_type);
    match &wanted {
        DataType::Boolean => build!(BooleanBuilder::new(), ValueRef::Boolean(value) => value),
        DataType::Int16 => build!(Int16Builder::new(), ValueRef::SmallInt(value) => value),
        DataType::Int32 => build!(Int32Builder::new(), ValueRef::Integer(value) => value),
        DataType::Int64 => build!(Int64Builder::new(), ValueRef::BigInt(value) => value),
        DataType::Float32 => build!(Float32Builder::new(), ValueRef::Real(value) => value),
        DataType::Float64 => build!(Float64Builder::new(), ValueRef::Double(value) => value),
        DataType::Binary => build!(BinaryBuilder::new(), ValueRef::Bytea(value) => value),
        DataType::Date32 => build!(Date32Builder::new(), ValueRef::Date(value) => value),
        DataType::Time64(_) => {
            build!(Time64MicrosecondBuilder::new(), ValueRef::Time(value) => value)
        }
        DataType::Timestamp(..) => build!(
            TimestampMicrosecondBuilder::new().with_data_type(wanted.clone()),
            ValueRef::Timestamp(value) | ValueRef::TimestampTz(value) => value
        ),
        DataType::Decimal128(_, scale) => {
            let mut builder = Decimal128Builder::new().with_data_type(wanted.clone());
            for value in values {
                if matches!(value, ValueRef::Null) {
                    builder.append_null();
                } else {
                    let text = text::to_string(value, sql_type, format);
                    builder.append_value(unscaled(&text, *scale)?);
                }
            }
            Ok(Arc::new(builder.finish()))
        }
        _ => {
            let mut builder = StringBuilder::new();
            for value in values {
                match value {
                    ValueRef::Null => builder.append_null(),
                    ValueRef::Text(text) | ValueRef::Json(text) => builder.append_value(text),
                    value => builder.append_value(text::to_string(value, sql_type, format)),
                }
            }
            Ok(Arc::new(builder.finish()))
        }
    }
}

fn mismatch(sql_type: &SqlType, value: ValueRef<'_>) -> Report {
    Report::internal(format!(
        "a column of type {} holds {value:?}",
        sql_type.name()
    ))
}

/// The digits of a number with `scale` of them behind the point.
fn unscaled(text: &str, scale: i8) -> Result<i128, Report> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let scale = usize::try_from(scale).unwrap_or(0);
    let digits = format!("{whole}{part:0<scale$}");
    let parsed = (part.len() <= scale).then(|| digits.parse().ok()).flatten();
    parsed.ok_or_else(|| {
        Report::error(
            codes::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("{text} is no decimal number of Arrow"),
        )
        .with_hint("Cast the column to text or to double precision.")
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]
mod tests {
    use arrow_array::cast::AsArray as _;
    use arrow_array::types::{Decimal128Type, Int32Type};
    use arrow_ipc::reader::StreamReader;
    use tessera_engine::Value;

    use super::*;

    fn column(name: &str, sql_type: SqlType) -> ColumnInfo {
        ColumnInfo {
            name: name.to_owned(),
            sql_type,
            table: None,
            column: 0,
        }
    }

    #[test]
    fn a_stream_is_read_back_batch_by_batch() {
        let columns: Arc<[ColumnInfo]> = Arc::from([
            column("n", SqlType::Integer),
            column("price", SqlType::Numeric(Some((10, 2)))),
            column("note", SqlType::Jsonb),
        ]);
        let format = FormatContext::default();
        let mut stream = ArrowStream::new(&columns).unwrap();
        let mut bytes = stream.take();
        assert!(!bytes.is_empty(), "the schema comes first");
        let price = |text| text::parse(&SqlType::Numeric(Some((10, 2))), text, &format).unwrap();
        for rows in [
            vec![
                vec![Value::Integer(1), price("-1.5"), Value::Json("{}".into())],
                vec![Value::Null, Value::Null, Value::Null],
            ],
            vec![vec![Value::Integer(3), price("0.07"), Value::Null]],
        ] {
            let batch = RowBatch::from_values(rows, 3);
            stream.write(&batch, &format).unwrap();
            bytes.extend(stream.take());
        }
        stream.finish().unwrap();
        bytes.extend(stream.take());
        let reader = StreamReader::try_new(&bytes[..], None).unwrap();
        assert_eq!(
            reader.schema().field(1).metadata()["sql_type"],
            "numeric(10,2)"
        );
        let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
        assert_eq!(batches.len(), 2);
        let first = &batches[0];
        assert_eq!(first.num_rows(), 2);
        assert_eq!(first.column(0).as_primitive::<Int32Type>().value(0), 1);
        assert_eq!(
            first.column(1).as_primitive::<Decimal128Type>().value(0),
            -150
        );
        assert_eq!(first.column(2).as_string::<i32>().value(0), "{}");
        assert_eq!(first.column(0).null_count(), 1);
        assert_eq!(
            batches[1]
                .column(1)
                .as_primitive::<Decimal128Type>()
                .value(0),
            7
        );
    }

    #[test]
    fn a_command_is_a_stream_without_columns() {
        let bytes = ArrowStream::command("CREATE TABLE").unwrap();
        let mut reader = StreamReader::try_new(&bytes[..], None).unwrap();
        assert_eq!(reader.schema().metadata()["tag"], "CREATE TABLE");
        assert!(reader.next().is_none());
    }

    #[test]
    fn what_is_no_decimal_is_refused() {
        assert_eq!(unscaled("12.3", 2).unwrap(), 1230);
        assert_eq!(unscaled("-0.05", 2).unwrap(), -5);
        assert!(unscaled("NaN", 2).is_err());
        assert!(unscaled("1.234", 2).is_err());
    }
}
