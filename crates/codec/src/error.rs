//! Why stored bytes could not be decoded.

use tessera_types::{Report, Retry, SqlState, codes};

/// Stored bytes that are not what they should be: damage, or a bug.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes end too early.
    #[error("{what} ends too early")]
    Truncated { what: &'static str },
    /// The bytes are not a value of the type.
    #[error("{what} is malformed")]
    Malformed { what: &'static str },
    /// A checksum differs.
    #[error("checksum is {found:#010x}, expected {expected:#010x}")]
    Checksum { found: u32, expected: u32 },
    /// A value does not have the column's type.
    #[error("column {column} holds {type_name}, and was given another type of value")]
    WrongType { column: usize, type_name: String },
    /// A format number this program does not know.
    #[error("row format {found} is not known")]
    UnknownFormat { found: u8 },
    /// A row or value is larger than the format allows.
    #[error("row of {bytes} bytes is above the limit of {bytes_max}")]
    TooLarge { bytes: usize, bytes_max: usize },
}

impl CodecError {
    /// SQLSTATE and retry class.
    pub fn code(&self) -> (SqlState, Retry) {
        let code = match self {
            CodecError::Truncated { .. }
            | CodecError::Malformed { .. }
            | CodecError::Checksum { .. }
            | CodecError::UnknownFormat { .. } => codes::DATA_CORRUPTED,
            CodecError::WrongType { .. } => codes::INTERNAL_ERROR,
            CodecError::TooLarge { .. } => codes::PROGRAM_LIMIT_EXCEEDED,
        };
        (code, code.retry())
    }

    /// What a client sees.
    pub fn report(&self) -> Report {
        Report::error(self.code().0, self.to_string())
    }
}

impl From<CodecError> for Report {
    fn from(error: CodecError) -> Report {
        error.report()
    }
}
