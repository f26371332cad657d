//! Why a value was refused.

use crate::codes::{self, SqlState};
use crate::report::{Report, Retry};

/// Why a text, a byte string or a value is not a value of the type asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// A text does not follow the type's syntax.
    #[error("invalid input syntax for type {type_name}: \"{input}\"")]
    InvalidText { type_name: String, input: String },
    /// A text is not JSON.
    #[error("invalid input syntax for type json")]
    InvalidJson {
        detail: String,
        context: Option<String>,
    },
    /// JSON that is well formed and cannot be stored.
    #[error("unsupported Unicode escape sequence")]
    UnsupportedJsonEscape { detail: String },
    /// An array literal is malformed.
    #[error("malformed array literal: \"{input}\"")]
    MalformedArray { input: String, detail: String },
    /// Array dimensions or bounds are wrong.
    #[error("{message}")]
    ArrayBounds {
        message: String,
        detail: Option<String>,
    },
    /// A number in a text does not fit.
    #[error("value \"{input}\" is out of range for type {type_name}")]
    TextOutOfRange { type_name: String, input: String },
    /// A floating point number in a text does not fit.
    #[error("\"{input}\" is out of range for type {type_name}")]
    FloatOutOfRange { type_name: String, input: String },
    /// A number does not fit; PostgreSQL's short form.
    #[error("{type_name} out of range")]
    OutOfRange { type_name: String },
    /// A number has more digits before the point than its column.
    #[error("numeric field overflow")]
    NumericFieldOverflow { detail: String },
    /// A number that no `numeric` of ours can hold.
    #[error("{message}")]
    NumericUnsupported { message: String },
    /// A text is longer than its column.
    #[error("value too long for type {type_name}")]
    TooLong { type_name: String },
    /// A division by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// A date or time is not in a form that is understood.
    #[error("invalid input syntax for type {type_name}: \"{input}\"")]
    InvalidDatetime { type_name: String, input: String },
    /// A date or time has a field, such as month 13, that is out of range.
    #[error("date/time field value out of range: \"{input}\"")]
    DatetimeField { input: String, hint: Option<String> },
    /// A date or time is outside what the type can hold.
    #[error("{what} out of range: \"{input}\"")]
    DatetimeRange { what: String, input: String },
    /// A date or time that arithmetic or a cast brought out of range.
    #[error("{what} out of range")]
    DatetimeOverflow { what: String },
    /// An interval has a field that is out of range.
    #[error("interval field value out of range: \"{input}\"")]
    IntervalField { input: String },
    /// A time zone offset is out of range.
    #[error("time zone displacement out of range: \"{input}\"")]
    ZoneDisplacement { input: String },
    /// There is no such time zone.
    #[error("time zone \"{name}\" not recognized")]
    UnknownTimeZone { name: String },
    /// A `bytea` text is malformed.
    #[error("{message}")]
    InvalidBytea { message: String, code: SqlState },
    /// Text that is not UTF-8, or contains a zero byte.
    #[error("invalid byte sequence for encoding \"UTF8\": {bytes}")]
    InvalidUtf8 { bytes: String },
    /// A binary value is malformed.
    #[error("{message}")]
    InvalidBinary { message: String },
    /// A binary value ends too early, or late.
    #[error("{message}")]
    BinaryLength { message: String },
    /// There is no cast between the types.
    #[error("cannot cast type {from} to {to}")]
    CannotCast { from: String, to: String },
    /// A JSON value of the wrong kind for a cast.
    #[error("cannot cast jsonb {kind} to type {to}")]
    JsonCast { kind: String, to: String },
    /// The type's values are not read or written in this format.
    #[error("cannot accept a value of type {type_name}")]
    PseudoType { type_name: String },
    /// The value needs a cast that the statement does not ask for.
    #[error("expression is of type {from} but type {to} is needed")]
    NeedsExplicitCast { from: String, to: String },
    /// There is no such type.
    #[error("type \"{name}\" does not exist")]
    UnknownType { name: String },
    /// A type modifier is wrong.
    #[error("{message}")]
    InvalidTypeModifier { message: String },
    /// PostgreSQL takes this, we do not.
    #[error("{message}")]
    Unsupported { message: String },
    /// A fixed limit is exceeded.
    #[error("{message}")]
    ProgramLimit { message: String },
    /// A value is nested too deeply.
    #[error("stack depth limit exceeded")]
    TooDeep { limit: usize },
}

impl ValueError {
    /// SQLSTATE and retry class.
    pub fn code(&self) -> (SqlState, Retry) {
        use ValueError::*;
        let code = match self {
            InvalidText { .. } | InvalidJson { .. } | MalformedArray { .. } => {
                codes::INVALID_TEXT_REPRESENTATION
            }
            UnsupportedJsonEscape { .. } => codes::UNTRANSLATABLE_CHARACTER,
            ArrayBounds { .. } => codes::ARRAY_SUBSCRIPT_ERROR,
            TextOutOfRange { .. }
            | FloatOutOfRange { .. }
            | OutOfRange { .. }
            | NumericFieldOverflow { .. }
            | NumericUnsupported { .. } => codes::NUMERIC_VALUE_OUT_OF_RANGE,
            TooLong { .. } => codes::STRING_DATA_RIGHT_TRUNCATION,
            DivisionByZero => codes::DIVISION_BY_ZERO,
            InvalidDatetime { .. } => codes::INVALID_DATETIME_FORMAT,
            DatetimeField { .. } | DatetimeRange { .. } | DatetimeOverflow { .. } => {
                codes::DATETIME_FIELD_OVERFLOW
            }
            IntervalField { .. } => codes::INTERVAL_FIELD_OVERFLOW,
            ZoneDisplacement { .. } => codes::INVALID_TIME_ZONE_DISPLACEMENT_VALUE,
            JsonCast { .. } | UnknownTimeZone { .. } | InvalidTypeModifier { .. } => {
                codes::INVALID_PARAMETER_VALUE
            }
            InvalidBytea { code, .. } => *code,
            InvalidUtf8 { .. } => codes::CHARACTER_NOT_IN_REPERTOIRE,
            InvalidBinary { .. } => codes::INVALID_BINARY_REPRESENTATION,
            BinaryLength { .. } => codes::PROTOCOL_VIOLATION,
            CannotCast { .. } => codes::CANNOT_COERCE,
            PseudoType { .. } | Unsupported { .. } => codes::FEATURE_NOT_SUPPORTED,
            NeedsExplicitCast { .. } => codes::DATATYPE_MISMATCH,
            UnknownType { .. } => codes::UNDEFINED_OBJECT,
            ProgramLimit { .. } => codes::PROGRAM_LIMIT_EXCEEDED,
            TooDeep { .. } => codes::STATEMENT_TOO_COMPLEX,
        };
        (code, code.retry())
    }

    /// What a client sees.
    pub fn report(&self) -> Report {
        let mut report = Report::error(self.code().0, self.to_string());
        match self {
            ValueError::InvalidJson { detail, context } => {
                report.detail = Some(detail.clone());
                report.context = context.clone();
            }
            ValueError::UnsupportedJsonEscape { detail }
            | ValueError::MalformedArray { detail, .. }
            | ValueError::NumericFieldOverflow { detail } => report.detail = Some(detail.clone()),
            ValueError::ArrayBounds { detail, .. } => report.detail = detail.clone(),
            ValueError::DatetimeField { hint, .. } => report.hint = hint.clone(),
            ValueError::NeedsExplicitCast { .. } => {
                report.hint = Some("You will need to rewrite or cast the expression.".to_owned());
            }
            ValueError::TooDeep { limit } => {
                report.detail = Some(format!("Values may be nested {limit} levels deep."));
            }
            _ => {}
        }
        report
    }

    pub(crate) fn text(type_name: &str, input: &str) -> ValueError {
        ValueError::InvalidText {
            type_name: type_name.to_owned(),
            input: input.to_owned(),
        }
    }

    pub(crate) fn out_of_range(type_name: &str) -> ValueError {
        ValueError::OutOfRange {
            type_name: type_name.to_owned(),
        }
    }
}

impl From<ValueError> for Report {
    fn from(error: ValueError) -> Report {
        error.report()
    }
}
