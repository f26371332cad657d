//! Values: owned, borrowed, and arrays of them.

use std::ops::Deref;

use crate::decimal::Decimal;
use crate::interval::Interval;
use crate::sql_type::SqlType;

/// A value of any SQL type. The type says which of several meanings a variant has.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// SQL NULL
    #[default]
    Null,
    /// `boolean`
    Boolean(bool),
    /// `smallint`
    SmallInt(i16),
    /// `integer`
    Integer(i32),
    /// `bigint`
    BigInt(i64),
    /// `real`
    Real(f32),
    /// `double precision`
    Double(f64),
    /// `numeric`
    Numeric(Decimal),
    /// `text`, `varchar`, `char` (padded), `name`, `"char"`, `unknown`
    Text(Box<str>),
    /// `bytea`
    Bytea(Box<[u8]>),
    /// `date`: days since 1970-01-01; `i32::MAX` and `i32::MIN` are the infinities
    Date(i32),
    /// `time`: microseconds since midnight, up to and with 24:00
    Time(i64),
    /// `timestamp`: microseconds since 1970-01-01 00:00; `i64::MAX` and `i64::MIN` are the infinities
    Timestamp(i64),
    /// `timestamptz`: microseconds since 1970-01-01 00:00 UTC, infinities as above
    TimestampTz(i64),
    /// `interval`
    Interval(Interval),
    /// `uuid`
    Uuid([u8; 16]),
    /// `json` (text as given) or `jsonb` (canonical text, see [`crate::json::normalize`])
    Json(Box<str>),
    /// `oid` and the types that print one as a name
    Oid(u32),
    /// Any array
    Array(Box<ArrayValue>),
}

/// A value that borrows what is long.
#[derive(Clone, Debug, Default)]
pub enum ValueRef<'a> {
    /// SQL NULL
    #[default]
    Null,
    /// `boolean`
    Boolean(bool),
    /// `smallint`
    SmallInt(i16),
    /// `integer`
    Integer(i32),
    /// `bigint`
    BigInt(i64),
    /// `real`
    Real(f32),
    /// `double precision`
    Double(f64),
    /// `numeric`
    Numeric(Decimal),
    /// Text of any character type
    Text(&'a str),
    /// `bytea`
    Bytea(&'a [u8]),
    /// Days since 1970-01-01
    Date(i32),
    /// Microseconds since midnight
    Time(i64),
    /// Microseconds since 1970
    Timestamp(i64),
    /// Microseconds since 1970 UTC
    TimestampTz(i64),
    /// `interval`
    Interval(Interval),
    /// `uuid`
    Uuid([u8; 16]),
    /// `json` or `jsonb`
    Json(&'a str),
    /// `oid` and kin
    Oid(u32),
    /// Any array
    Array(ArrayRef<'a>),
}

/// An array that is borrowed from a value, or was decoded from bytes.
#[derive(Clone, Debug)]
pub enum ArrayRef<'a> {
    /// Part of a [`Value`]
    Borrowed(&'a ArrayValue),
    /// Decoded on the way
    Owned(Box<ArrayValue>),
}

impl Deref for ArrayRef<'_> {
    type Target = ArrayValue;

    fn deref(&self) -> &ArrayValue {
        match self {
            ArrayRef::Borrowed(array) => array,
            ArrayRef::Owned(array) => array,
        }
    }
}

/// An array of any number of dimensions, elements in row-major order.
#[derive(Clone, Debug)]
pub struct ArrayValue {
    /// Type of the elements, never an array.
    pub element: SqlType,
    /// Length and lower bound of each dimension; none at all for an empty array.
    pub dimensions: Vec<(i32, i32)>,
    /// As many as the product of the lengths.
    pub elements: Vec<Value>,
}

impl ArrayValue {
    /// The most dimensions an array may have.
    pub const DIMENSIONS_MAX: usize = 6;

    /// A one-dimensional array with lower bound 1.
    pub fn from_elements(element: SqlType, elements: Vec<Value>) -> ArrayValue {
        let dimensions = match i32::try_from(elements.len()) {
            Ok(0) => Vec::new(),
            Ok(length) => vec![(length, 1)],
            // More elements than an array can count; not reachable below 100 GB of memory.
            Err(_) => vec![(i32::MAX, 1)],
        };
        ArrayValue {
            element,
            dimensions,
            elements,
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }
}

impl Value {
    /// A text value.
    pub fn text(text: impl Into<Box<str>>) -> Value {
        Value::Text(text.into())
    }

    /// Whether this is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Borrows.
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Value::Null => ValueRef::Null,
            Value::Boolean(v) => ValueRef::Boolean(*v),
            Value::SmallInt(v) => ValueRef::SmallInt(*v),
            Value::Integer(v) => ValueRef::Integer(*v),
            Value::BigInt(v) => ValueRef::BigInt(*v),
            Value::Real(v) => ValueRef::Real(*v),
            Value::Double(v) => ValueRef::Double(*v),
            Value::Numeric(v) => ValueRef::Numeric(*v),
            Value::Text(v) => ValueRef::Text(v),
            Value::Bytea(v) => ValueRef::Bytea(v),
            Value::Date(v) => ValueRef::Date(*v),
            Value::Time(v) => ValueRef::Time(*v),
            Value::Timestamp(v) => ValueRef::Timestamp(*v),
            Value::TimestampTz(v) => ValueRef::TimestampTz(*v),
            Value::Interval(v) => ValueRef::Interval(*v),
            Value::Uuid(v) => ValueRef::Uuid(*v),
            Value::Json(v) => ValueRef::Json(v),
            Value::Oid(v) => ValueRef::Oid(*v),
            Value::Array(v) => ValueRef::Array(ArrayRef::Borrowed(v)),
        }
    }

    /// The text of any character type or JSON.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Text(text) | Value::Json(text) => Some(text),
            _ => None,
        }
    }

    /// Any integer, widened.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::SmallInt(v) => Some(i64::from(*v)),
            Value::Integer(v) => Some(i64::from(*v)),
            Value::BigInt(v) => Some(*v),
            Value::Oid(v) => Some(i64::from(*v)),
            _ => None,
        }
    }

    /// A boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Boolean(v) => Some(*v),
            _ => None,
        }
    }

    /// The type a bare value suggests; `Unknown` for NULL.
    pub fn natural_type(&self) -> SqlType {
        match self {
            Value::Null => SqlType::Unknown,
            Value::Boolean(_) => SqlType::Boolean,
            Value::SmallInt(_) => SqlType::SmallInt,
            Value::Integer(_) => SqlType::Integer,
            Value::BigInt(_) => SqlType::BigInt,
            Value::Real(_) => SqlType::Real,
            Value::Double(_) => SqlType::Double,
            Value::Numeric(_) => SqlType::Numeric(None),
            Value::Text(_) => SqlType::Text,
            Value::Bytea(_) => SqlType::Bytea,
            Value::Date(_) => SqlType::Date,
            Value::Time(_) => SqlType::Time,
            Value::Timestamp(_) => SqlType::Timestamp,
            Value::TimestampTz(_) => SqlType::TimestampTz,
            Value::Interval(_) => SqlType::Interval,
            Value::Uuid(_) => SqlType::Uuid,
            Value::Json(_) => SqlType::Json,
            Value::Oid(_) => SqlType::Oid,
            Value::Array(array) => array.element.clone().array_of(),
        }
    }

    /// Bytes the value takes in memory, about.
    pub fn memory_bytes(&self) -> usize {
        let heap = match self {
            Value::Text(text) | Value::Json(text) => text.len(),
            Value::Bytea(bytes) => bytes.len(),
            Value::Array(array) => {
                size_of::<ArrayValue>()
                    + array
                        .elements
                        .iter()
                        .map(Value::memory_bytes)
                        .sum::<usize>()
            }
            _ => 0,
        };
        size_of::<Value>() + heap
    }
}

impl ValueRef<'_> {
    /// Whether this is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, ValueRef::Null)
    }

    /// Copies.
    pub fn to_owned(&self) -> Value {
        match self {
            ValueRef::Null => Value::Null,
            ValueRef::Boolean(v) => Value::Boolean(*v),
            ValueRef::SmallInt(v) => Value::SmallInt(*v),
            ValueRef::Integer(v) => Value::Integer(*v),
            ValueRef::BigInt(v) => Value::BigInt(*v),
            ValueRef::Real(v) => Value::Real(*v),
            ValueRef::Double(v) => Value::Double(*v),
            ValueRef::Numeric(v) => Value::Numeric(*v),
            ValueRef::Text(v) => Value::Text((*v).into()),
            ValueRef::Bytea(v) => Value::Bytea((*v).into()),
            ValueRef::Date(v) => Value::Date(*v),
            ValueRef::Time(v) => Value::Time(*v),
            ValueRef::Timestamp(v) => Value::Timestamp(*v),
            ValueRef::TimestampTz(v) => Value::TimestampTz(*v),
            ValueRef::Interval(v) => Value::Interval(*v),
            ValueRef::Uuid(v) => Value::Uuid(*v),
            ValueRef::Json(v) => Value::Json((*v).into()),
            ValueRef::Oid(v) => Value::Oid(*v),
            ValueRef::Array(ArrayRef::Borrowed(v)) => Value::Array(Box::new((*v).clone())),
            ValueRef::Array(ArrayRef::Owned(v)) => Value::Array(v.clone()),
        }
    }
}

impl<'a> From<&'a Value> for ValueRef<'a> {
    fn from(value: &'a Value) -> ValueRef<'a> {
        value.as_ref()
    }
}

macro_rules! from_native {
    ($($native:ty => $variant:ident),+) => {
        $(impl From<$native> for Value {
            fn from(value: $native) -> Value {
                Value::$variant(value.into())
            }
        })+
    };
}

from_native!(
    bool => Boolean, i16 => SmallInt, i32 => Integer, i64 => BigInt, f32 => Real, f64 => Double,
    Decimal => Numeric, &str => Text, String => Text, Interval => Interval, Vec<u8> => Bytea
);

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}
