//! How values compare and hash: PostgreSQL's default B-tree operator classes, collation C.
//!
//! Values of one type are compared; numbers of different types compare by value. NULL is the
//! greatest, as NULLS LAST has it. `jsonb` compares as PostgreSQL does, see [`crate::json::compare`].

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use crate::decimal::Decimal;
use crate::json;
use crate::value::{ArrayValue, Value};

impl Value {
    /// The order of the type's default B-tree operator class; NULL is the greatest.
    pub fn cmp_sql(&self, other: &Value) -> Ordering {
        use Value::*;
        match (self, other) {
            (Null, Null) => Ordering::Equal,
            (Null, _) => Ordering::Greater,
            (_, Null) => Ordering::Less,
            (Boolean(a), Boolean(b)) => a.cmp(b),
            (SmallInt(a), SmallInt(b)) => a.cmp(b),
            (Integer(a), Integer(b)) => a.cmp(b),
            (BigInt(a), BigInt(b)) => a.cmp(b),
            (Real(a), Real(b)) => float_order(f64::from(*a), f64::from(*b)),
            (Double(a), Double(b)) => float_order(*a, *b),
            (Numeric(a), Numeric(b)) => a.cmp(b),
            (Text(a), Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Bytea(a), Bytea(b)) => a.cmp(b),
            (Date(a), Date(b)) => a.cmp(b),
            (Time(a), Time(b)) => a.cmp(b),
            (Timestamp(a), Timestamp(b)) | (TimestampTz(a), TimestampTz(b)) => a.cmp(b),
            (Interval(a), Interval(b)) => a.cmp(b),
            (Uuid(a), Uuid(b)) => a.cmp(b),
            (Json(a), Json(b)) => json::compare(a, b),
            (Oid(a), Oid(b)) => a.cmp(b),
            (Array(a), Array(b)) => a.cmp_sql(b),
            (a, b) => match (Number::of(a), Number::of(b)) {
                (Some(a), Some(b)) => a.cmp(&b),
                // Different families never meet in one column; any total order will do.
                _ => a.rank().cmp(&b.rank()),
            },
        }
    }

    /// Hashes so that values equal under [`Value::cmp_sql`] of one type hash the same.
    pub fn hash_sql<H: Hasher>(&self, state: &mut H) {
        if let Some(number) = Number::of(self) {
            return number.hash(state);
        }
        self.rank().hash(state);
        match self {
            Value::Null
            | Value::SmallInt(_)
            | Value::Integer(_)
            | Value::BigInt(_)
            | Value::Real(_)
            | Value::Double(_)
            | Value::Numeric(_)
            | Value::Oid(_) => {}
            Value::Boolean(v) => v.hash(state),
            Value::Text(v) => v.hash(state),
            Value::Bytea(v) => v.hash(state),
            Value::Date(v) => v.hash(state),
            Value::Time(v) | Value::Timestamp(v) | Value::TimestampTz(v) => v.hash(state),
            Value::Interval(v) => v.hash(state),
            Value::Uuid(v) => v.hash(state),
            Value::Json(v) => json::hash(v, state),
            Value::Array(v) => {
                v.dimensions.hash(state);
                for element in &v.elements {
                    element.hash_sql(state);
                }
            }
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Value::Boolean(_) => 0,
            Value::SmallInt(_)
            | Value::Integer(_)
            | Value::BigInt(_)
            | Value::Real(_)
            | Value::Double(_)
            | Value::Numeric(_)
            | Value::Oid(_) => 1,
            Value::Text(_) => 2,
            Value::Bytea(_) => 3,
            Value::Date(_) => 4,
            Value::Time(_) => 5,
            Value::Timestamp(_) => 6,
            Value::TimestampTz(_) => 7,
            Value::Interval(_) => 8,
            Value::Uuid(_) => 9,
            Value::Json(_) => 10,
            Value::Array(_) => 11,
            Value::Null => 12,
        }
    }
}

impl PartialEq for Value {
    /// Equality of the type's operator class; NULL equals NULL, NaN equals NaN.
    fn eq(&self, other: &Value) -> bool {
        self.cmp_sql(other) == Ordering::Equal
    }
}

impl Eq for Value {}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Value) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Value) -> Ordering {
        self.cmp_sql(other)
    }
}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash_sql(state);
    }
}

impl ArrayValue {
    /// Elements first, then their number, dimensions, lengths and bounds, as `array_cmp` does.
    pub fn cmp_sql(&self, other: &ArrayValue) -> Ordering {
        let elements = self.elements.iter().zip(&other.elements);
        elements
            .map(|(a, b)| a.cmp_sql(b))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
            .then(self.elements.len().cmp(&other.elements.len()))
            .then(self.dimensions.len().cmp(&other.dimensions.len()))
            .then_with(|| self.dimensions.cmp(&other.dimensions))
    }
}

impl PartialEq for ArrayValue {
    fn eq(&self, other: &ArrayValue) -> bool {
        self.cmp_sql(other) == Ordering::Equal
    }
}

impl Eq for ArrayValue {}

/// NaN equals itself and is greater than everything; -0 equals 0.
pub(crate) fn float_order(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
    }
}

/// A number of any type, comparable with one of any other.
enum Number {
    Exact(Decimal),
    Float(f64),
}

impl Number {
    fn of(value: &Value) -> Option<Number> {
        Some(match value {
            Value::SmallInt(v) => Number::Exact(Decimal::from(i64::from(*v))),
            Value::Integer(v) => Number::Exact(Decimal::from(i64::from(*v))),
            Value::BigInt(v) => Number::Exact(Decimal::from(*v)),
            Value::Oid(v) => Number::Exact(Decimal::from(i64::from(*v))),
            Value::Numeric(v) => Number::Exact(*v),
            Value::Real(v) => Number::Float(f64::from(*v)),
            Value::Double(v) => Number::Float(*v),
            _ => return None,
        })
    }

    /// An exact number with a float compares as floats, as PostgreSQL's casts make it.
    fn cmp(&self, other: &Number) -> Ordering {
        match (self, other) {
            (Number::Exact(a), Number::Exact(b)) => a.cmp(b),
            (a, b) => float_order(a.as_f64(), b.as_f64()),
        }
    }

    fn as_f64(&self) -> f64 {
        match self {
            Number::Exact(decimal) => decimal.to_f64(),
            Number::Float(float) => *float,
        }
    }

    fn hash<H: Hasher>(&self, state: &mut H) {
        let float = self.as_f64();
        let canonical = if float.is_nan() {
            f64::NAN
        } else if float == 0.0 {
            0.0
        } else {
            float
        };
        canonical.to_bits().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_greatest_and_nan_is_greatest_of_floats() {
        assert_eq!(Value::Null.cmp_sql(&Value::Integer(1)), Ordering::Greater);
        assert_eq!(Value::Null.cmp_sql(&Value::Null), Ordering::Equal);
        assert_eq!(
            Value::Double(f64::NAN).cmp_sql(&Value::Double(f64::INFINITY)),
            Ordering::Greater
        );
        assert_eq!(Value::Double(-0.0), Value::Double(0.0));
    }

    #[test]
    fn numbers_of_different_types_compare_by_value() {
        assert_eq!(Value::Integer(2), Value::BigInt(2));
        assert!(Value::Integer(2) < Value::Double(2.5));
        assert!(Value::Numeric("1.50".parse().expect("decimal")) == Value::Double(1.5));
    }

    #[test]
    fn text_compares_by_bytes() {
        assert!(Value::from("Z") < Value::from("a"));
        assert!(Value::from("a") < Value::from("é"));
        assert!(Value::from("a") < Value::from("ab"));
    }
}
