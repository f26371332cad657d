//! SQL types with the oid, modifier and name that PostgreSQL clients know them by.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::decimal::{DECIMAL_DIGITS_MAX, DECIMAL_SCALE_MAX};
use crate::error::ValueError;

/// The longest `varchar(n)` and `char(n)`, as in PostgreSQL.
const CHARACTER_LENGTH_MAX: u32 = 10_485_760;

/// A type of a column, parameter or expression.
///
/// Serialized as its SQL name, such as `character varying(10)[]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SqlType {
    /// `boolean`
    Boolean,
    /// `smallint`, 16 bits
    SmallInt,
    /// `integer`, 32 bits
    Integer,
    /// `bigint`, 64 bits
    BigInt,
    /// `real`, 32 bits
    Real,
    /// `double precision`, 64 bits
    Double,
    /// `numeric` or `numeric(precision, scale)`
    Numeric(Option<(u8, u8)>),
    /// `text`
    Text,
    /// `character varying` or `character varying(n)`
    Varchar(Option<u32>),
    /// `character(n)`; 0 is the unconstrained `bpchar`
    Char(u32),
    /// `bytea`
    Bytea,
    /// `date`
    Date,
    /// `time without time zone`
    Time,
    /// `timestamp without time zone`
    Timestamp,
    /// `timestamp with time zone`
    TimestampTz,
    /// `interval`
    Interval,
    /// `uuid`
    Uuid,
    /// `json`: text as given
    Json,
    /// `jsonb`: canonical text
    Jsonb,
    /// `oid`
    Oid,
    /// `name`: a system identifier, at most 63 bytes
    Name,
    /// `"char"`: one byte
    InternalChar,
    /// `regclass`: an oid that prints as a relation's name
    Regclass,
    /// `regtype`
    Regtype,
    /// `regproc`
    Regproc,
    /// `regnamespace`
    Regnamespace,
    /// `regrole`
    Regrole,
    /// A literal or parameter whose type is not decided yet
    Unknown,
    /// The result of a function that gives nothing
    Void,
    /// An anonymous row
    Record,
    /// An array of any number of dimensions
    Array(Box<SqlType>),
}

/// (type without modifier, oid, oid of its array, length in bytes or -1, SQL name)
const SCALARS: &[(SqlType, u32, u32, i16, &str)] = &[
    (SqlType::Boolean, 16, 1000, 1, "boolean"),
    (SqlType::Bytea, 17, 1001, -1, "bytea"),
    (SqlType::InternalChar, 18, 1002, 1, "\"char\""),
    (SqlType::Name, 19, 1003, 64, "name"),
    (SqlType::BigInt, 20, 1016, 8, "bigint"),
    (SqlType::SmallInt, 21, 1005, 2, "smallint"),
    (SqlType::Integer, 23, 1007, 4, "integer"),
    (SqlType::Regproc, 24, 1008, 4, "regproc"),
    (SqlType::Text, 25, 1009, -1, "text"),
    (SqlType::Oid, 26, 1028, 4, "oid"),
    (SqlType::Json, 114, 199, -1, "json"),
    (SqlType::Real, 700, 1021, 4, "real"),
    (SqlType::Double, 701, 1022, 8, "double precision"),
    (SqlType::Unknown, 705, 0, -2, "unknown"),
    (SqlType::Char(0), 1042, 1014, -1, "bpchar"),
    (SqlType::Varchar(None), 1043, 1015, -1, "character varying"),
    (SqlType::Date, 1082, 1182, 4, "date"),
    (SqlType::Time, 1083, 1183, 8, "time without time zone"),
    (
        SqlType::Timestamp,
        1114,
        1115,
        8,
        "timestamp without time zone",
    ),
    (
        SqlType::TimestampTz,
        1184,
        1185,
        8,
        "timestamp with time zone",
    ),
    (SqlType::Interval, 1186, 1187, 16, "interval"),
    (SqlType::Numeric(None), 1700, 1231, -1, "numeric"),
    (SqlType::Regclass, 2205, 2210, 4, "regclass"),
    (SqlType::Regtype, 2206, 2211, 4, "regtype"),
    (SqlType::Record, 2249, 2287, -1, "record"),
    (SqlType::Void, 2278, 0, 4, "void"),
    (SqlType::Uuid, 2950, 2951, 16, "uuid"),
    (SqlType::Jsonb, 3802, 3807, -1, "jsonb"),
    (SqlType::Regnamespace, 4089, 4090, 4, "regnamespace"),
    (SqlType::Regrole, 4096, 4097, 4, "regrole"),
];

impl SqlType {
    /// An array of this type; an array of an array is the same array with more dimensions.
    pub fn array_of(self) -> SqlType {
        match self {
            SqlType::Array(_) => self,
            element => SqlType::Array(Box::new(element)),
        }
    }

    /// The element type of an array.
    pub fn element(&self) -> Option<&SqlType> {
        match self {
            SqlType::Array(element) => Some(element),
            _ => None,
        }
    }

    /// The type without its modifier.
    pub fn base(&self) -> SqlType {
        match self {
            SqlType::Numeric(_) => SqlType::Numeric(None),
            SqlType::Varchar(_) => SqlType::Varchar(None),
            SqlType::Char(_) => SqlType::Char(0),
            SqlType::Array(element) => SqlType::Array(Box::new(element.base())),
            other => other.clone(),
        }
    }

    fn scalar(&self) -> Option<&'static (SqlType, u32, u32, i16, &'static str)> {
        let same = |entry: &&(SqlType, u32, u32, i16, &str)| {
            std::mem::discriminant(&entry.0) == std::mem::discriminant(self)
        };
        SCALARS.iter().find(same)
    }

    /// PostgreSQL's oid of the type.
    pub fn oid(&self) -> u32 {
        match self {
            // The common ones without a search.
            SqlType::Integer => 23,
            SqlType::BigInt => 20,
            SqlType::Text => 25,
            SqlType::Array(element) => element.array_oid(),
            other => other.scalar().map_or(0, |entry| entry.1),
        }
    }

    /// The oid of the array over this type; an array is its own array type.
    pub fn array_oid(&self) -> u32 {
        match self {
            SqlType::Array(_) => self.oid(),
            other => other.scalar().map_or(0, |entry| entry.2),
        }
    }

    /// PostgreSQL's type modifier; -1 where there is none.
    pub fn typmod(&self) -> i32 {
        match self {
            SqlType::Numeric(Some((precision, scale))) => {
                ((i32::from(*precision) << 16) | i32::from(*scale)) + 4
            }
            SqlType::Varchar(Some(length)) => {
                i32::try_from(*length).map_or(-1, |length| length + 4)
            }
            SqlType::Char(length) if *length > 0 => {
                i32::try_from(*length).map_or(-1, |length| length + 4)
            }
            SqlType::Array(element) => element.typmod(),
            _ => -1,
        }
    }

    /// PostgreSQL's `typlen`: bytes of a value, -1 when it varies, -2 for a C string.
    pub fn size(&self) -> i16 {
        self.scalar().map_or(-1, |entry| entry.3)
    }

    /// The name that `format_type` gives, such as `character varying(10)` or `integer[]`.
    pub fn name(&self) -> String {
        self.to_string()
    }

    /// The name without any modifier, as error messages use it.
    pub fn base_name(&self) -> String {
        match self {
            SqlType::Char(_) => "character".to_owned(),
            SqlType::Array(element) => format!("{}[]", element.base_name()),
            other => other.scalar().map_or("unknown", |entry| entry.4).to_owned(),
        }
    }

    /// `pg_type.typname`, such as `int4` or `_int4`.
    pub fn internal_name(&self) -> String {
        let name = match self {
            SqlType::Boolean => "bool",
            SqlType::SmallInt => "int2",
            SqlType::Integer => "int4",
            SqlType::BigInt => "int8",
            SqlType::Real => "float4",
            SqlType::Double => "float8",
            SqlType::Varchar(_) => "varchar",
            SqlType::Char(_) => "bpchar",
            SqlType::InternalChar => "char",
            SqlType::Time => "time",
            SqlType::Timestamp => "timestamp",
            SqlType::TimestampTz => "timestamptz",
            SqlType::Array(element) => return format!("_{}", element.internal_name()),
            other => other.scalar().map_or("unknown", |entry| entry.4),
        };
        name.to_owned()
    }

    /// The type of an oid and modifier as clients send them; None when we do not know it.
    pub fn from_oid(oid: u32, typmod: i32) -> Option<SqlType> {
        if oid == 0 {
            return None;
        }
        let entry = SCALARS
            .iter()
            .find(|entry| entry.1 == oid || entry.2 == oid)?;
        let scalar = entry.0.clone().with_typmod(typmod);
        Some(if entry.1 == oid {
            scalar
        } else {
            scalar.array_of()
        })
    }

    fn with_typmod(self, typmod: i32) -> SqlType {
        let Some(modifier) = typmod
            .checked_sub(4)
            .and_then(|modifier| u32::try_from(modifier).ok())
        else {
            return self;
        };
        match self {
            SqlType::Numeric(_) => {
                let precision = u8::try_from(modifier >> 16).ok();
                let scale = u8::try_from(modifier & 0x7ff).ok();
                SqlType::Numeric(precision.zip(scale).filter(|(precision, _)| *precision > 0))
            }
            SqlType::Varchar(_) if modifier > 0 => SqlType::Varchar(Some(modifier)),
            SqlType::Char(_) => SqlType::Char(modifier),
            other => other,
        }
    }

    /// Reads a SQL type name with modifiers and array brackets, in any spelling PostgreSQL takes.
    ///
    /// Serial types are not types and are not read here.
    pub fn from_name(name: &str) -> Result<SqlType, ValueError> {
        let unknown = || ValueError::UnknownType {
            name: name.trim().to_owned(),
        };
        let mut rest = name.trim();
        let mut array = false;
        while let Some(before) = rest.strip_suffix(']') {
            let (before, bound) = before.rsplit_once('[').ok_or_else(unknown)?;
            if !bound.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(unknown());
            }
            rest = before.trim_end();
            array = true;
        }
        if let Some(before) = strip_suffix_word(rest, "array") {
            rest = before;
            array = true;
        }
        let rest = strip_prefix_ignore_case(rest, "pg_catalog.").unwrap_or(rest);
        // `timestamp(3) with time zone` has its modifier in the middle.
        let (base, arguments) = match (rest.find('('), rest.rfind(')')) {
            (Some(open), Some(close)) if open < close => (
                format!("{} {}", &rest[..open], &rest[close + 1..]),
                Some(&rest[open + 1..close]),
            ),
            (None, None) => (rest.to_owned(), None),
            _ => return Err(unknown()),
        };
        let base = base.split_whitespace().collect::<Vec<_>>().join(" ");
        let arguments: Vec<i64> = match arguments {
            Some(list) => list
                .split(',')
                .map(|argument| argument.trim().parse().map_err(|_| unknown()))
                .collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        let quoted = base == "\"char\"";
        let base = base.trim_matches('"').to_ascii_lowercase();
        let base = base.strip_prefix('_').map_or(base.as_str(), |element| {
            array = true;
            element
        });
        let plain = |ty: SqlType| {
            if arguments.is_empty() {
                Ok(ty)
            } else {
                Err(unknown())
            }
        };
        let ty = match base {
            "bool" | "boolean" => plain(SqlType::Boolean)?,
            "smallint" | "int2" => plain(SqlType::SmallInt)?,
            "integer" | "int" | "int4" => plain(SqlType::Integer)?,
            "bigint" | "int8" => plain(SqlType::BigInt)?,
            "real" | "float4" => plain(SqlType::Real)?,
            "double precision" | "float8" => plain(SqlType::Double)?,
            "float" => match arguments[..] {
                [] => SqlType::Double,
                [bits @ 1..=24] if bits > 0 => SqlType::Real,
                [25..=53] => SqlType::Double,
                _ => {
                    return Err(ValueError::InvalidTypeModifier {
                        message: "precision for type float must be between 1 and 53 bits"
                            .to_owned(),
                    });
                }
            },
            "numeric" | "decimal" | "dec" => numeric_of(&arguments)?,
            "text" => plain(SqlType::Text)?,
            "varchar" | "character varying" | "char varying" => {
                SqlType::Varchar(character_length(&arguments, "varchar")?)
            }
            "char" if quoted => SqlType::InternalChar,
            "char" | "character" => {
                SqlType::Char(character_length(&arguments, "char")?.unwrap_or(1))
            }
            "bpchar" => SqlType::Char(character_length(&arguments, "char")?.unwrap_or(0)),
            "bytea" => plain(SqlType::Bytea)?,
            "date" => plain(SqlType::Date)?,
            "time" | "time without time zone" => precision_six(SqlType::Time, &arguments)?,
            "timestamp" | "timestamp without time zone" => {
                precision_six(SqlType::Timestamp, &arguments)?
            }
            "timestamptz" | "timestamp with time zone" => {
                precision_six(SqlType::TimestampTz, &arguments)?
            }
            "interval" => precision_six(SqlType::Interval, &arguments)?,
            "uuid" => plain(SqlType::Uuid)?,
            "json" => plain(SqlType::Json)?,
            "jsonb" => plain(SqlType::Jsonb)?,
            "oid" => plain(SqlType::Oid)?,
            "name" => plain(SqlType::Name)?,
            "regclass" => plain(SqlType::Regclass)?,
            "regtype" => plain(SqlType::Regtype)?,
            "regproc" => plain(SqlType::Regproc)?,
            "regnamespace" => plain(SqlType::Regnamespace)?,
            "regrole" => plain(SqlType::Regrole)?,
            "unknown" => plain(SqlType::Unknown)?,
            "void" => plain(SqlType::Void)?,
            "record" => plain(SqlType::Record)?,
            _ => return Err(unknown()),
        };
        Ok(if array { ty.array_of() } else { ty })
    }

    /// `smallint`, `integer` or `bigint`.
    pub fn is_integer(&self) -> bool {
        matches!(self, SqlType::SmallInt | SqlType::Integer | SqlType::BigInt)
    }

    /// Any number: integers, floats, `numeric`.
    pub fn is_number(&self) -> bool {
        self.is_integer() || matches!(self, SqlType::Real | SqlType::Double | SqlType::Numeric(_))
    }

    /// Types whose values are [`crate::Value::Text`].
    pub fn is_character(&self) -> bool {
        use SqlType::{Char, InternalChar, Name, Text, Unknown, Varchar};
        matches!(
            self,
            Text | Varchar(_) | Char(_) | Name | InternalChar | Unknown
        )
    }

    /// `oid` and the types that print an oid as a name; their values are [`crate::Value::Oid`].
    pub fn is_oid_like(&self) -> bool {
        use SqlType::{Oid, Regclass, Regnamespace, Regproc, Regrole, Regtype};
        matches!(
            self,
            Oid | Regclass | Regtype | Regproc | Regnamespace | Regrole
        )
    }

    /// `pg_type.typcategory`.
    pub fn category(&self) -> char {
        match self {
            SqlType::Boolean => 'B',
            SqlType::Array(_) => 'A',
            SqlType::Date | SqlType::Time | SqlType::Timestamp | SqlType::TimestampTz => 'D',
            SqlType::Interval => 'T',
            SqlType::Unknown => 'X',
            SqlType::InternalChar => 'Z',
            SqlType::Void | SqlType::Record => 'P',
            SqlType::Bytea | SqlType::Uuid | SqlType::Json | SqlType::Jsonb => 'U',
            other if other.is_character() => 'S',
            _ => 'N',
        }
    }

    /// Every scalar type without a modifier, with its oid and the oid of its array (0: none).
    pub fn scalars() -> impl Iterator<Item = (SqlType, u32, u32)> {
        SCALARS
            .iter()
            .map(|entry| (entry.0.clone(), entry.1, entry.2))
    }
}

impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SqlType::Numeric(Some((precision, scale))) => write!(f, "numeric({precision},{scale})"),
            SqlType::Varchar(Some(length)) => write!(f, "character varying({length})"),
            SqlType::Char(length) if *length > 0 => write!(f, "character({length})"),
            SqlType::Array(element) => write!(f, "{element}[]"),
            other => f.write_str(other.scalar().map_or("unknown", |entry| entry.4)),
        }
    }
}

impl Serialize for SqlType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SqlType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SqlType, D::Error> {
        let name = String::deserialize(deserializer)?;
        SqlType::from_name(&name).map_err(serde::de::Error::custom)
    }
}

fn numeric_of(arguments: &[i64]) -> Result<SqlType, ValueError> {
    let (precision, scale) = match *arguments {
        [] => return Ok(SqlType::Numeric(None)),
        [precision] => (precision, 0),
        [precision, scale] => (precision, scale),
        _ => {
            return Err(ValueError::InvalidTypeModifier {
                message: "invalid NUMERIC type modifier".to_owned(),
            });
        }
    };
    if !(1..=1000).contains(&precision) {
        return Err(ValueError::InvalidTypeModifier {
            message: format!("NUMERIC precision {precision} must be between 1 and 1000"),
        });
    }
    if precision > i64::from(DECIMAL_DIGITS_MAX) {
        return Err(ValueError::Unsupported {
            message: format!(
                "NUMERIC precision {precision} is above the limit of {DECIMAL_DIGITS_MAX}"
            ),
        });
    }
    if !(0..=precision).contains(&scale) {
        return Err(ValueError::Unsupported {
            message: format!("NUMERIC scale {scale} must be between 0 and precision {precision}"),
        });
    }
    if scale > i64::from(DECIMAL_SCALE_MAX) {
        return Err(ValueError::Unsupported {
            message: format!("NUMERIC scale {scale} is above the limit of {DECIMAL_SCALE_MAX}"),
        });
    }
    // Both fit: they are at most 38.
    Ok(SqlType::Numeric(
        u8::try_from(precision).ok().zip(u8::try_from(scale).ok()),
    ))
}

fn character_length(arguments: &[i64], name: &str) -> Result<Option<u32>, ValueError> {
    match *arguments {
        [] => Ok(None),
        [length] if length < 1 => Err(ValueError::InvalidTypeModifier {
            message: format!("length for type {name} must be at least 1"),
        }),
        [length] => match u32::try_from(length) {
            Ok(length) if length <= CHARACTER_LENGTH_MAX => Ok(Some(length)),
            _ => Err(ValueError::InvalidTypeModifier {
                message: format!("length for type {name} cannot exceed {CHARACTER_LENGTH_MAX}"),
            }),
        },
        _ => Err(ValueError::InvalidTypeModifier {
            message: "invalid type modifier".to_owned(),
        }),
    }
}

/// Only microseconds are kept, so only the precision that means them is taken.
fn precision_six(ty: SqlType, arguments: &[i64]) -> Result<SqlType, ValueError> {
    match *arguments {
        [] | [6] => Ok(ty),
        [precision] => Err(ValueError::Unsupported {
            message: format!(
                "precision {precision} of type {} is not supported, only 6 is",
                ty.base_name()
            ),
        }),
        _ => Err(ValueError::InvalidTypeModifier {
            message: "invalid type modifier".to_owned(),
        }),
    }
}

fn strip_suffix_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let split = text.len().checked_sub(word.len())?;
    let (before, last) = (text.get(..split)?, text.get(split..)?);
    (last.eq_ignore_ascii_case(word) && before.ends_with(char::is_whitespace))
        .then(|| before.trim_end())
}

fn strip_prefix_ignore_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let first = text.get(..prefix.len())?;
    first
        .eq_ignore_ascii_case(prefix)
        .then(|| &text[prefix.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, canonical: &str, oid: u32, typmod: i32) {
        let ty = SqlType::from_name(name).expect(name);
        assert_eq!(ty.to_string(), canonical);
        assert_eq!((ty.oid(), ty.typmod()), (oid, typmod), "{name}");
        assert_eq!(SqlType::from_oid(oid, typmod), Some(ty.clone()), "{name}");
        assert_eq!(SqlType::from_name(canonical), Ok(ty), "{name}");
    }

    #[test]
    fn names_oids_and_modifiers_agree_with_postgresql() {
        check("INT", "integer", 23, -1);
        check("int4[]", "integer[]", 1007, -1);
        check("_int4", "integer[]", 1007, -1);
        check("int[3][4]", "integer[]", 1007, -1);
        check("integer ARRAY", "integer[]", 1007, -1);
        check("Decimal(10, 2)", "numeric(10,2)", 1700, 655_366);
        check("numeric(5)", "numeric(5,0)", 1700, 327_684);
        check("numeric(7,3)[]", "numeric(7,3)[]", 1231, 458_759);
        check("varchar ( 10 )", "character varying(10)", 1043, 14);
        check("character", "character(1)", 1042, 5);
        check("bpchar", "bpchar", 1042, -1);
        check("\"char\"", "\"char\"", 18, -1);
        check(
            "timestamp(6) with time zone",
            "timestamp with time zone",
            1184,
            -1,
        );
        check("double  precision", "double precision", 701, -1);
        check("float(24)", "real", 700, -1);
        check("pg_catalog.jsonb", "jsonb", 3802, -1);
    }

    #[test]
    fn unknown_and_unsupported_names_are_refused() {
        for name in [
            "",
            "integr",
            "int(4)",
            "varchar(0)",
            "numeric(39,0)",
            "numeric(5,6)",
            "timestamp(3)",
            "x]",
        ] {
            assert!(SqlType::from_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn every_scalar_survives_a_round_trip() {
        for (ty, oid, array_oid) in SqlType::scalars() {
            assert_eq!(SqlType::from_name(&ty.name()), Ok(ty.clone()));
            assert_eq!(SqlType::from_oid(oid, -1), Some(ty.clone()));
            if array_oid != 0 {
                assert_eq!(SqlType::from_oid(array_oid, -1), Some(ty.array_of()));
            }
        }
    }
}
