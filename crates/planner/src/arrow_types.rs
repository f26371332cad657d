//! Which Arrow type carries which SQL type.
//!
//! | SQL | Arrow |
//! |---|---|
//! | boolean, smallint, integer, bigint, real, double precision | Boolean, Int16, Int32, Int64, Float32, Float64 |
//! | numeric(p,s) | Decimal128(p,s) |
//! | numeric | Decimal256(76,38), the display scale in the two lowest digits: see [`crate::decimals`] |
//! | text, varchar, char, name, json, jsonb, "char" | Utf8View |
//! | a literal of no type yet (`unknown`) | Utf8 |
//! | bytea | BinaryView |
//! | date, time, timestamp, timestamptz | Date32, Time64(µs), Timestamp(µs), Timestamp(µs, "+00:00") |
//! | interval | Interval(MonthDayNano) |
//! | uuid | FixedSizeBinary(16) |
//! | oid, regclass, regtype, … | UInt32 |
//! | arrays | List of the element |
//! | void (an empty text), record | Utf8View |
//!
//! The Arrow type alone does not tell varchar from text, so every field that we make carries
//! the SQL type in its metadata under [`TYPE_KEY`]; a field without it has the first SQL type of
//! its Arrow type's line.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, TimeUnit};
use tessera_types::SqlType;

/// Key of the metadata entry that names the SQL type: `oid:typmod`.
pub const TYPE_KEY: &str = "tessera.type";

/// Scale of an unconstrained `numeric`; no other decimal has it.
pub const NUMERIC_ANY_SCALE: i8 = 38;

/// Arrow type of an unconstrained `numeric`.
pub const NUMERIC_ANY: DataType = DataType::Decimal256(76, NUMERIC_ANY_SCALE);

/// Time zone of every `timestamptz` array.
pub const UTC: &str = "+00:00";

/// The Arrow type that carries an SQL type.
pub fn data_type_of(sql_type: &SqlType) -> DataType {
    match sql_type {
        SqlType::Boolean => DataType::Boolean,
        SqlType::SmallInt => DataType::Int16,
        SqlType::Integer => DataType::Int32,
        SqlType::BigInt => DataType::Int64,
        SqlType::Real => DataType::Float32,
        SqlType::Double => DataType::Float64,
        SqlType::Numeric(Some((precision, scale))) => {
            DataType::Decimal128(*precision, *scale as i8)
        }
        SqlType::Numeric(None) => NUMERIC_ANY,
        SqlType::Text
        | SqlType::Varchar(_)
        | SqlType::Char(_)
        | SqlType::Name
        | SqlType::InternalChar
        | SqlType::Json
        | SqlType::Jsonb
        | SqlType::Record
        | SqlType::Void => DataType::Utf8View,
        SqlType::Unknown => DataType::Utf8,
        SqlType::Bytea => DataType::BinaryView,
        SqlType::Date => DataType::Date32,
        SqlType::Time => DataType::Time64(TimeUnit::Microsecond),
        SqlType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        SqlType::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        SqlType::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
        SqlType::Uuid => DataType::FixedSizeBinary(16),
        SqlType::Oid
        | SqlType::Regclass
        | SqlType::Regtype
        | SqlType::Regproc
        | SqlType::Regnamespace
        | SqlType::Regrole => DataType::UInt32,
        SqlType::Array(element) => DataType::List(element_field(element)),
    }
}

/// The item field of an array type's Arrow list.
pub fn element_field(element: &SqlType) -> FieldRef {
    Arc::new(Field::new("item", data_type_of(element), true))
}

/// An Arrow field for a column of an SQL type; the type is kept in its metadata.
pub fn field_of(name: &str, sql_type: &SqlType, nullable: bool) -> Field {
    Field::new(name, data_type_of(sql_type), nullable).with_metadata(metadata_of(sql_type))
}

/// The metadata that says a field's SQL type.
pub fn metadata_of(sql_type: &SqlType) -> HashMap<String, String> {
    HashMap::from([(
        TYPE_KEY.to_owned(),
        format!("{}:{}", sql_type.oid(), sql_type.typmod()),
    )])
}

/// The SQL type of a field: what its metadata says, else the first type of its Arrow type.
pub fn sql_type_of(field: &Field) -> SqlType {
    if let Some(text) = field.metadata().get(TYPE_KEY)
        && let Some((oid, typmod)) = text.split_once(':')
        && let (Ok(oid), Ok(typmod)) = (oid.parse(), typmod.parse())
        && let Some(sql_type) = SqlType::from_oid(oid, typmod)
        && carries(field.data_type(), &sql_type)
    {
        return sql_type;
    }
    sql_type_of_data_type(field.data_type())
}

/// Whether an Arrow type can carry an SQL type. All decimals carry all numerics.
fn carries(data_type: &DataType, sql_type: &SqlType) -> bool {
    match sql_type {
        SqlType::Numeric(_) => {
            matches!(
                data_type,
                DataType::Decimal128(..) | DataType::Decimal256(..)
            )
        }
        SqlType::Array(_) => matches!(data_type, DataType::List(_)),
        _ => data_type_of(sql_type) == *data_type,
    }
}

/// The SQL type that an Arrow type stands for when no metadata says more.
pub fn sql_type_of_data_type(data_type: &DataType) -> SqlType {
    match data_type {
        DataType::Boolean => SqlType::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => SqlType::SmallInt,
        DataType::Int32 | DataType::UInt16 => SqlType::Integer,
        DataType::Int64 | DataType::UInt64 => SqlType::BigInt,
        DataType::UInt32 => SqlType::Oid,
        DataType::Float16 | DataType::Float32 => SqlType::Real,
        DataType::Float64 => SqlType::Double,
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => SqlType::Numeric(None),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => SqlType::Bytea,
        DataType::Date32 | DataType::Date64 => SqlType::Date,
        DataType::Time32(_) | DataType::Time64(_) => SqlType::Time,
        DataType::Timestamp(_, None) => SqlType::Timestamp,
        DataType::Timestamp(_, Some(_)) => SqlType::TimestampTz,
        DataType::Interval(_) | DataType::Duration(_) => SqlType::Interval,
        DataType::FixedSizeBinary(16) => SqlType::Uuid,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            SqlType::Array(Box::new(sql_type_of_data_type(item.data_type())))
        }
        DataType::Dictionary(_, value) => sql_type_of_data_type(value),
        DataType::Utf8 => SqlType::Unknown,
        DataType::Null => SqlType::Unknown,
        _ => SqlType::Text,
    }
}
