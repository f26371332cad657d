//! Why the log could not do what was asked.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tessera_telemetry::labels::ChecksumPlace;
use tessera_telemetry::metrics;
use tessera_types::{Report, Retry, SqlState, Version, codes};

/// Why the log could not do what was asked. `code()` is a promise to clients; the text is not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// An input or output call failed while opening, reading or cutting.
    #[error("cannot {action} {}", .path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// Bytes that were once durable are not what was written.
    #[error("log file {} is damaged at byte {offset}: {what}", .file.display())]
    Corruption {
        file: PathBuf,
        offset: u64,
        what: String,
    },
    /// The log was written by a release that this one does not know.
    #[error("log format {found} is not supported (this release reads up to {known})")]
    Format { found: u32, known: u32 },
    /// No room for the record. It was not committed and never will be.
    #[error("no space left on the device of the log")]
    DiskFull,
    /// A write or sync failed earlier; the record was not written.
    #[error("the log stopped after a failure: {reason}")]
    Poisoned { reason: Arc<str> },
    /// A write or sync failed under this record: only the next start knows whether it survived.
    #[error("the outcome of the commit is unknown until the next start: {reason}")]
    Unresolved { reason: Arc<str> },
    /// Too many bytes wait to be written.
    #[error("the log's queue is full (limit {queue_bytes_max} bytes)")]
    Busy { queue_bytes_max: usize },
    /// One record over the limit.
    #[error("a log record of {bytes} bytes is over the limit of {record_bytes_max}")]
    TooLarge {
        bytes: usize,
        record_bytes_max: usize,
    },
    /// What a reader asked for is not in the log any more.
    #[error("the log begins after version {oldest}, what came before was cut off")]
    Cut {
        /// Records after this version are there.
        oldest: Version,
    },
    /// The log was closed before the record was written.
    #[error("the log is closed")]
    Closed,
    /// The receiver of a replay gave up.
    #[error("a log record could not be applied")]
    Replay(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl LogError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> LogError {
        if is_full(&source) {
            return LogError::DiskFull;
        }
        LogError::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn corruption(file: &Path, offset: u64, what: impl Into<String>) -> LogError {
        metrics()
            .checksum_failures
            .with(ChecksumPlace::Log)
            .increment();
        LogError::Corruption {
            file: file.to_owned(),
            offset,
            what: what.into(),
        }
    }

    /// SQLSTATE and retry class. No `_` arm: a new variant must answer here.
    pub fn code(&self) -> (SqlState, Retry) {
        match self {
            LogError::Io { .. } => (codes::IO_ERROR, Retry::Later),
            LogError::Corruption { .. } => (codes::DATA_CORRUPTED, Retry::Never),
            LogError::Format { .. } => (codes::OBJECT_NOT_IN_PREREQUISITE_STATE, Retry::Never),
            LogError::DiskFull => (codes::DISK_FULL, Retry::Later),
            LogError::Poisoned { .. } => (codes::IO_ERROR, Retry::Never),
            LogError::Unresolved { .. } => (codes::TRANSACTION_RESOLUTION_UNKNOWN, Retry::Never),
            LogError::Busy { .. } => (codes::CONFIGURATION_LIMIT_EXCEEDED, Retry::Later),
            LogError::TooLarge { .. } => (codes::PROGRAM_LIMIT_EXCEEDED, Retry::Never),
            LogError::Cut { .. } => (codes::SNAPSHOT_TOO_OLD, Retry::Never),
            LogError::Closed => (codes::ADMIN_SHUTDOWN, Retry::Later),
            LogError::Replay(_) => (codes::DATA_CORRUPTED, Retry::Never),
        }
    }

    /// What a client sees.
    pub fn report(&self) -> Report {
        let report = Report::error(self.code().0, self.to_string());
        match self {
            LogError::DiskFull => {
                report.with_hint("Free disk space; writes go on by themselves when there is room.")
            }
            LogError::Poisoned { .. } | LogError::Unresolved { .. } => {
                report.with_hint("Check the disk and restart the server.")
            }
            LogError::Io { source, .. } => report.with_detail(source.to_string()),
            LogError::Replay(source) => report.with_detail(source.to_string()),
            LogError::Busy { .. } => {
                report.with_hint("Retry; the disk is slower than the writers.")
            }
            LogError::Corruption { .. }
            | LogError::Format { .. }
            | LogError::TooLarge { .. }
            | LogError::Cut { .. }
            | LogError::Closed => report,
        }
    }
}

/// Whether an error says that there is no room, so that going on later makes sense.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
