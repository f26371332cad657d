//! Why a command on a key was not done.

use tessera_codec::CodecError;
use tessera_storage::StoreError;
use tessera_transactions::TransactionError;
use tessera_types::{Report, Retry, SqlState, codes};

/// Result of this crate.
pub type Result<T> = std::result::Result<T, KeyValueError>;

/// An error of the key-value model. `code()` is a promise to clients; the text is not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyValueError {
    /// The key holds another type than the command works on.
    #[error("operation against a key holding the wrong kind of value")]
    WrongType,
    /// The string is no HyperLogLog, or a damaged one.
    #[error("the value is not a valid HyperLogLog")]
    NotAHyperLogLog,
    /// The stored text is no integer of 64 bits.
    #[error("value is not an integer or out of range")]
    NotAnInteger,
    /// The stored text is no floating-point number.
    #[error("value is not a valid float")]
    NotAFloat,
    /// An increment or decrement would leave 64 bits.
    #[error("increment or decrement would overflow")]
    Overflow,
    /// The result is not a number, or infinite where that is not allowed.
    #[error("increment would produce NaN or Infinity")]
    NotFinite,
    /// An index, offset or count is outside of what is there, or of what is allowed.
    #[error("{what} is out of range")]
    OutOfRange {
        /// What, as in "index".
        what: &'static str,
    },
    /// An argument or a combination of arguments that the command does not allow.
    #[error("{what}")]
    InvalidArgument {
        /// What is wrong, a whole phrase.
        what: &'static str,
    },
    /// A value over a limit of the model.
    #[error("{what} exceeds the maximum of {limit} bytes")]
    ValueTooLarge {
        /// What, as in "string".
        what: &'static str,
        /// Bytes.
        limit: u64,
    },
    /// The command needs a key that exists.
    #[error("no such key")]
    NoSuchKey,
    /// A time to live that is not positive, or beyond the end of time.
    #[error("invalid expire time")]
    InvalidExpire,
    /// A scan's cursor that is not known (any more); begin again.
    #[error("invalid cursor")]
    InvalidCursor,
    /// XADD with an id that is not above the newest one.
    #[error("the id specified is equal or smaller than the target stream's top item")]
    StreamIdTooSmall,
    /// XADD with the id 0-0.
    #[error("the id specified must be greater than 0-0")]
    StreamIdZero,
    /// No id is left in the stream.
    #[error("the stream has exhausted the last possible id, unable to add more items")]
    StreamIdsExhausted,
    /// The text is no id of a stream's entry.
    #[error("invalid stream id")]
    InvalidStreamId,
    /// The stream has no such consumer group.
    #[error("no such consumer group \"{group}\"")]
    NoSuchGroup {
        /// The group, with bytes that are not UTF-8 replaced.
        group: String,
    },
    /// XGROUP CREATE of a group that is there.
    #[error("consumer group name already exists")]
    GroupExists,
    /// No member of that name in the sorted set (GEO).
    #[error("could not decode requested zset member")]
    NoSuchMember,
    /// Stored bytes that are not what they should be.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The transaction refused.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
}

impl KeyValueError {
    /// SQLSTATE and retry class. No `_` arm: a new variant must answer here.
    pub fn code(&self) -> (SqlState, Retry) {
        let code = match self {
            KeyValueError::WrongType | KeyValueError::NotAHyperLogLog => codes::DATATYPE_MISMATCH,
            KeyValueError::NotAnInteger | KeyValueError::NotAFloat => {
                codes::INVALID_TEXT_REPRESENTATION
            }
            KeyValueError::Overflow
            | KeyValueError::NotFinite
            | KeyValueError::OutOfRange { .. } => codes::NUMERIC_VALUE_OUT_OF_RANGE,
            KeyValueError::InvalidArgument { .. }
            | KeyValueError::InvalidExpire
            | KeyValueError::StreamIdTooSmall
            | KeyValueError::StreamIdZero
            | KeyValueError::InvalidStreamId => codes::INVALID_PARAMETER_VALUE,
            KeyValueError::InvalidCursor => codes::INVALID_CURSOR_STATE,
            KeyValueError::ValueTooLarge { .. } | KeyValueError::StreamIdsExhausted => {
                codes::PROGRAM_LIMIT_EXCEEDED
            }
            KeyValueError::NoSuchKey | KeyValueError::NoSuchMember => codes::NO_DATA,
            KeyValueError::NoSuchGroup { .. } => codes::UNDEFINED_OBJECT,
            KeyValueError::GroupExists => codes::DUPLICATE_OBJECT,
            KeyValueError::Codec(error) => return error.code(),
            KeyValueError::Store(error) => return error.code(),
            KeyValueError::Transaction(error) => return error.code(),
        };
        (code, code.retry())
    }

    /// What a client sees on a door that speaks SQLSTATEs.
    pub fn report(&self) -> Report {
        match self {
            KeyValueError::Codec(error) => error.report(),
            KeyValueError::Store(error) => error.report(),
            KeyValueError::Transaction(error) => error.report(),
            _ => Report::error(self.code().0, self.to_string()),
        }
    }
}

impl From<KeyValueError> for Report {
    fn from(error: KeyValueError) -> Report {
        error.report()
    }
}

/// Stored bytes of this kind are damaged.
pub(crate) fn malformed(what: &'static str) -> KeyValueError {
    KeyValueError::Codec(CodecError::Malformed { what })
}
