//! Literals: numbers by their size, quoted text by what is wanted of it.

use sqlparser::ast::Value as AstValue;
use tessera_types::{FormatContext, SqlType, Value, text};

use super::bind::{Bound, Typed, Unbound, boolean};
use super::scalar::{Cast, Scalar};

/// Text of a character literal.
pub(super) fn string_of(value: &AstValue) -> Option<&str> {
    match value {
        AstValue::SingleQuotedString(text)
        | AstValue::EscapedStringLiteral(text)
        | AstValue::UnicodeStringLiteral(text)
        | AstValue::NationalStringLiteral(text) => Some(text),
        AstValue::DollarQuotedString(text) => Some(&text.value),
        _ => None,
    }
}

pub(super) fn bind_literal(literal: &AstValue, expected: Option<&SqlType>) -> Bound<Typed> {
    match literal {
        AstValue::Null => {
            let sql_type = expected.cloned().unwrap_or(SqlType::Text);
            Ok(Typed {
                scalar: Scalar::Literal(Value::Null),
                sql_type,
            })
        }
        AstValue::Boolean(value) => Ok(boolean(Scalar::Literal(Value::Boolean(*value)))),
        AstValue::Number(text, false) => number_literal(text),
        other => match string_of(other) {
            Some(text) => literal_of_text(text, expected.unwrap_or(&SqlType::Text)),
            None => Err(Unbound::Unsupported),
        },
    }
}

pub(super) fn number_literal(text: &str) -> Bound<Typed> {
    let (value, sql_type) = if let Ok(number) = text.parse::<i32>() {
        (Value::Integer(number), SqlType::Integer)
    } else if let Ok(number) = text.parse::<i64>() {
        (Value::BigInt(number), SqlType::BigInt)
    } else {
        text::parse_number(text).map_err(|_| Unbound::Unsupported)?
    };
    Ok(Typed {
        scalar: Scalar::Literal(value),
        sql_type,
    })
}

/// A quoted literal in the type it is wanted in. Types whose text depends on the session (dates,
/// times) are converted when the statement runs.
pub(super) fn literal_of_text(text: &str, wanted: &SqlType) -> Bound<Typed> {
    use SqlType::{Date, Interval, Time, Timestamp, TimestampTz};
    let raw = || Scalar::Literal(Value::Text(text.into()));
    match wanted {
        SqlType::Unknown | SqlType::Text | SqlType::Varchar(_) | SqlType::Name => {
            // The length is the assignment's business: 'abc' compared with a varchar(2) stays 'abc'.
            let sql_type = if matches!(wanted, SqlType::Name) {
                SqlType::Name
            } else {
                SqlType::Text
            };
            Ok(Typed {
                scalar: raw(),
                sql_type,
            })
        }
        SqlType::Char(_) => Ok(Typed {
            scalar: raw(),
            sql_type: wanted.clone(),
        }),
        Date | Time | Timestamp | TimestampTz | Interval => {
            let cast = Cast {
                input: raw(),
                from: SqlType::Unknown,
                to: wanted.clone(),
                explicit: true,
            };
            Ok(Typed {
                scalar: Scalar::Cast(Box::new(cast)),
                sql_type: wanted.clone(),
            })
        }
        SqlType::Regclass
        | SqlType::Regtype
        | SqlType::Regproc
        | SqlType::Regnamespace
        | SqlType::Regrole => Err(Unbound::Unsupported),
        other => {
            let base = other.base();
            // The general path reports bad text with its position.
            let value = text::parse(&base, text, &FormatContext::default())
                .map_err(|_| Unbound::Unsupported)?;
            Ok(Typed {
                scalar: Scalar::Literal(value),
                sql_type: base,
            })
        }
    }
}

/// `'…'::type`: the literal with the type's length or precision applied.
pub(super) fn cast_literal(text: &str, to: &SqlType) -> Bound<Typed> {
    let wanted = match to {
        SqlType::Unknown => return Err(Unbound::Unsupported),
        // Padded by the cast; as the other side of a comparison it would not be.
        SqlType::Char(_) => &SqlType::Text,
        other => other,
    };
    let typed = literal_of_text(text, wanted)?;
    if typed.sql_type == *to {
        return Ok(typed);
    }
    let cast = Cast {
        input: typed.scalar,
        from: typed.sql_type,
        to: to.clone(),
        explicit: true,
    };
    Ok(Typed {
        scalar: Scalar::Cast(Box::new(cast)),
        sql_type: to.clone(),
    })
}

pub(super) fn negated_literal(value: Value) -> Bound<Value> {
    Ok(match value {
        Value::Integer(n) => match n.checked_neg() {
            Some(n) => Value::Integer(n),
            None => return Err(Unbound::Unsupported),
        },
        Value::BigInt(n) => match n.checked_neg() {
            Some(n) => Value::BigInt(n),
            None => return Err(Unbound::Unsupported),
        },
        Value::Numeric(mut n) => {
            n.unscaled = -n.unscaled;
            Value::Numeric(n)
        }
        Value::Double(n) => Value::Double(-n),
        Value::Null => Value::Null,
        _ => return Err(Unbound::Unsupported),
    })
}
