//! SQL type names as the parser gives them, to [`SqlType`].

use sqlparser::ast::{ArrayElemTypeDef, CharacterLength, DataType, ExactNumberInfo, TimezoneInfo};
use tessera_types::{DECIMAL_SCALE_MAX, Report, SqlType, codes};

use crate::short_path::bind::folded;

/// Longest `varchar(n)` and `char(n)`, as PostgreSQL has it.
const CHARACTERS_MAX: u64 = 10_485_760;
/// Digits of a `numeric` that are kept exactly.
const NUMERIC_DIGITS_MAX: u64 = 38;

/// The SQL type that a type name means; serial names are not types (see [`serial_type_of`]).
pub fn sql_type_of(data_type: &DataType) -> Result<SqlType, Report> {
    Ok(match data_type {
        DataType::Bool | DataType::Boolean => SqlType::Boolean,
        DataType::Int2(None) | DataType::SmallInt(None) => SqlType::SmallInt,
        DataType::Int(None) | DataType::Int4(None) | DataType::Integer(None) => SqlType::Integer,
        DataType::Int8(None) | DataType::BigInt(None) => SqlType::BigInt,
        DataType::Real | DataType::Float4 => SqlType::Real,
        DataType::Float8 | DataType::DoublePrecision | DataType::Double(ExactNumberInfo::None) => {
            SqlType::Double
        }
        DataType::Float(info) => match info {
            ExactNumberInfo::None => SqlType::Double,
            ExactNumberInfo::Precision(1..=24) => SqlType::Real,
            ExactNumberInfo::Precision(25..=53) => SqlType::Double,
            _ => {
                return Err(Report::error(
                    codes::INVALID_PARAMETER_VALUE,
                    "precision for type float must be between 1 and 53 bits",
                ));
            }
        },
        DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => numeric(info)?,
        DataType::Text => SqlType::Text,
        DataType::Varchar(length)
        | DataType::CharacterVarying(length)
        | DataType::CharVarying(length) => SqlType::Varchar(characters("varchar", length)?),
        DataType::Char(length) | DataType::Character(length) => {
            SqlType::Char(characters("char", length)?.unwrap_or(1))
        }
        DataType::Bytea => SqlType::Bytea,
        DataType::Date => SqlType::Date,
        DataType::Time(precision, zone) => match zone {
            TimezoneInfo::None | TimezoneInfo::WithoutTimeZone => {
                fractional("time", *precision)?;
                SqlType::Time
            }
            _ => return Err(unknown_type(data_type)),
        },
        DataType::Timestamp(precision, zone) => {
            fractional("timestamp", *precision)?;
            match zone {
                TimezoneInfo::None | TimezoneInfo::WithoutTimeZone => SqlType::Timestamp,
                TimezoneInfo::WithTimeZone | TimezoneInfo::Tz => SqlType::TimestampTz,
            }
        }
        DataType::Interval {
            fields: None,
            precision,
        } => {
            fractional("interval", *precision)?;
            SqlType::Interval
        }
        DataType::Uuid => SqlType::Uuid,
        DataType::JSON => SqlType::Json,
        DataType::JSONB => SqlType::Jsonb,
        DataType::Regclass => SqlType::Regclass,
        DataType::Array(ArrayElemTypeDef::SquareBracket(element, _))
        | DataType::Array(ArrayElemTypeDef::AngleBracket(element)) => {
            // `int[][]` is the same type as `int[]`.
            match sql_type_of(element)? {
                array @ SqlType::Array(_) => array,
                element => SqlType::Array(Box::new(element)),
            }
        }
        DataType::Custom(name, modifiers) => {
            let parts: Option<Vec<String>> = name
                .0
                .iter()
                .map(|part| part.as_ident().map(folded))
                .collect();
            let parts = parts.unwrap_or_default();
            let plain = match parts.as_slice() {
                [name] => name,
                [schema, name] if schema == "pg_catalog" => name,
                _ => return Err(unknown_type(data_type)),
            };
            let text = if modifiers.is_empty() {
                plain.clone()
            } else {
                format!("{plain}({})", modifiers.join(","))
            };
            SqlType::from_name(&text).map_err(|error| error.report())?
        }
        _ => return Err(unknown_type(data_type)),
    })
}

/// `serial`, `bigserial`, `smallserial`: the type of the column, whose default is a sequence.
pub fn serial_type_of(data_type: &DataType) -> Option<SqlType> {
    let DataType::Custom(name, modifiers) = data_type else {
        return None;
    };
    let [part] = name.0.as_slice() else {
        return None;
    };
    if !modifiers.is_empty() {
        return None;
    }
    match folded(part.as_ident()?).as_str() {
        "serial" | "serial4" => Some(SqlType::Integer),
        "bigserial" | "serial8" => Some(SqlType::BigInt),
        "smallserial" | "serial2" => Some(SqlType::SmallInt),
        _ => None,
    }
}

fn unknown_type(data_type: &DataType) -> Report {
    let name = data_type.to_string().to_lowercase();
    Report::error(
        codes::UNDEFINED_OBJECT,
        format!("type \"{name}\" does not exist"),
    )
}

fn characters(name: &str, length: &Option<CharacterLength>) -> Result<Option<u32>, Report> {
    let length = match length {
        None => return Ok(None),
        Some(CharacterLength::IntegerLength { length, .. }) => *length,
        Some(CharacterLength::Max) => return Ok(None),
    };
    if length == 0 {
        return Err(Report::error(
            codes::INVALID_PARAMETER_VALUE,
            format!("length for type {name} must be at least 1"),
        ));
    }
    if length > CHARACTERS_MAX {
        return Err(Report::error(
            codes::INVALID_PARAMETER_VALUE,
            format!("length for type {name} cannot exceed {CHARACTERS_MAX}"),
        ));
    }
    Ok(u32::try_from(length).ok())
}

fn numeric(info: &ExactNumberInfo) -> Result<SqlType, Report> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => return Ok(SqlType::Numeric(None)),
        ExactNumberInfo::Precision(precision) => (*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    if precision == 0 || precision > 1000 {
        return Err(Report::error(
            codes::INVALID_PARAMETER_VALUE,
            format!("NUMERIC precision {precision} must be between 1 and 1000"),
        ));
    }
    if precision > NUMERIC_DIGITS_MAX {
        return Err(Report::unsupported(format!(
            "NUMERIC precision {precision} is more than {NUMERIC_DIGITS_MAX} digits"
        )));
    }
    let in_range = u8::try_from(precision).ok().zip(u8::try_from(scale).ok());
    match in_range {
        Some((_, scale)) if scale > DECIMAL_SCALE_MAX => Err(Report::unsupported(format!(
            "NUMERIC scale {scale} is more than {DECIMAL_SCALE_MAX} digits"
        ))),
        Some((precision, scale)) if scale <= precision => {
            Ok(SqlType::Numeric(Some((precision, scale))))
        }
        _ => Err(Report::unsupported(format!(
            "NUMERIC scale {scale} must be between 0 and precision {precision}"
        ))),
    }
}

/// Seconds are kept to the microsecond; a coarser declared precision would have to round.
fn fractional(name: &str, precision: Option<u64>) -> Result<(), Report> {
    match precision {
        None | Some(6) => Ok(()),
        Some(_) => Err(Report::unsupported(format!(
            "{name} with a precision other than 6"
        ))),
    }
}
