//! Why a command failed, in the words of Redis 7.

use tessera_keyvalue::KeyValueError;
use tessera_locks::LockError;
use tessera_transactions::TransactionError;
use tessera_types::Report;

use crate::reply::Reply;
use crate::table::{Command, Row};

/// Result of a command.
pub(crate) type Result<T> = std::result::Result<T, Fault>;

/// Why a command failed. What it has written is undone.
#[derive(Debug)]
pub(crate) enum Fault {
    /// A whole error, code word included.
    Static(&'static str),
    /// The same, made up.
    Text(String),
    KeyValue(KeyValueError),
    Transaction(TransactionError),
    Report(Report),
    /// A blocking command found nothing to take.
    WouldBlock,
}

pub(crate) const SYNTAX: Fault = Fault::Static("ERR syntax error");
pub(crate) const NOT_AN_INTEGER: Fault =
    Fault::Static("ERR value is not an integer or out of range");
pub(crate) const NOT_A_FLOAT: Fault = Fault::Static("ERR value is not a valid float");
pub(crate) const NOT_POSITIVE: Fault = Fault::Static("ERR value is out of range, must be positive");

impl From<KeyValueError> for Fault {
    fn from(error: KeyValueError) -> Fault {
        match error {
            KeyValueError::Transaction(error) => Fault::Transaction(error),
            error => Fault::KeyValue(error),
        }
    }
}

impl From<TransactionError> for Fault {
    fn from(error: TransactionError) -> Fault {
        Fault::Transaction(error)
    }
}

impl From<Report> for Fault {
    fn from(report: Report) -> Fault {
        Fault::Report(report)
    }
}

impl Fault {
    /// Whether the same transaction, run again at once, may well succeed.
    pub(crate) fn is_retryable(&self) -> bool {
        matches!(self, Fault::Transaction(error) if error.is_retryable())
    }

    /// Whether it did not want to wait for a lock that another transaction has.
    pub(crate) fn is_lock_taken(&self) -> bool {
        matches!(
            self,
            Fault::Transaction(TransactionError::Lock(LockError::NotAvailable { .. }))
        )
    }

    /// Whether it says nothing about the command: a lock, a conflict, the store.
    pub(crate) fn is_of_transaction(&self) -> bool {
        matches!(
            self,
            Fault::Transaction(_) | Fault::KeyValue(KeyValueError::Store(_))
        )
    }

    /// The error's text as the client is told it by this command.
    pub(crate) fn text(&self, row: &Row) -> String {
        match self {
            Fault::Static(text) => (*text).to_owned(),
            Fault::Text(text) => text.clone(),
            Fault::KeyValue(error) => key_value_text(error, row),
            Fault::Transaction(error) => report_text(&error.report()),
            Fault::Report(report) => report_text(report),
            // Those who can wait have waited; it is not told to anybody.
            Fault::WouldBlock => "ERR nothing to take".to_owned(),
        }
    }

    /// The error of a command whose transaction could not be committed.
    pub(crate) fn text_of_commit(error: &TransactionError) -> String {
        report_text(&error.report())
    }

    pub(crate) fn write(&self, row: &Row, reply: &mut Reply) {
        match self {
            Fault::Static(text) => reply.error(text),
            _ => reply.error(&self.text(row)),
        }
    }
}

/// Errors that Redis does not have: SQLSTATE and sentence, so that they can be looked up.
pub(crate) fn report_text(report: &Report) -> String {
    let word = match report.code.as_str() {
        "25006" => "READONLY",
        "42501" => "NOPERM",
        "40001" | "40P01" => "TRYAGAIN",
        _ => "ERR",
    };
    let mut text = format!("{word} {} (SQLSTATE {})", report.message, report.code);
    if let Some(detail) = &report.detail {
        text.push_str(": ");
        text.push_str(detail);
    }
    text
}

fn key_value_text(error: &KeyValueError, row: &Row) -> String {
    let text = match error {
        KeyValueError::WrongType if row.command == Command::Lcs => {
            "ERR The specified keys must contain string values"
        }
        KeyValueError::WrongType => {
            "WRONGTYPE Operation against a key holding the wrong kind of value"
        }
        KeyValueError::NotAHyperLogLog => "WRONGTYPE Key is not a valid HyperLogLog string value.",
        KeyValueError::NotAnInteger if row.command == Command::Hincrby => {
            "ERR hash value is not an integer"
        }
        KeyValueError::NotAnInteger => "ERR value is not an integer or out of range",
        KeyValueError::NotAFloat if row.command == Command::Hincrbyfloat => {
            "ERR hash value is not a float"
        }
        KeyValueError::NotAFloat => "ERR value is not a valid float",
        KeyValueError::Overflow => "ERR increment or decrement would overflow",
        KeyValueError::NotFinite if matches!(row.command, Command::Zincrby | Command::Zadd) => {
            "ERR resulting score is not a number (NaN)"
        }
        KeyValueError::NotFinite => "ERR increment would produce NaN or Infinity",
        KeyValueError::OutOfRange { what: "count" } => {
            "ERR value is out of range, value must between -9223372036854775807 and \
             9223372036854775807"
        }
        KeyValueError::OutOfRange { what: "index" } => "ERR index out of range",
        KeyValueError::OutOfRange { what } => return format!("ERR {what} is out of range"),
        KeyValueError::InvalidArgument { what } => return format!("ERR {what}"),
        KeyValueError::ValueTooLarge { what: "string", .. } => {
            "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
        }
        KeyValueError::NoSuchKey => "ERR no such key",
        KeyValueError::InvalidExpire => {
            return format!("ERR invalid expire time in '{}' command", row.name);
        }
        KeyValueError::InvalidCursor => "ERR invalid cursor",
        KeyValueError::StreamIdTooSmall => {
            "ERR The ID specified in XADD is equal or smaller than the target stream top item"
        }
        KeyValueError::StreamIdZero => "ERR The ID specified in XADD must be greater than 0-0",
        KeyValueError::StreamIdsExhausted => {
            "ERR The stream has exhausted the last possible ID, unable to add more items"
        }
        KeyValueError::InvalidStreamId => {
            "ERR Invalid stream ID specified as stream command argument"
        }
        KeyValueError::GroupExists => "BUSYGROUP Consumer Group name already exists",
        KeyValueError::NoSuchMember => "ERR could not decode requested zset member",
        other => return report_text(&other.report()),
    };
    text.to_owned()
}
