//! Why the store did not do what it was asked.

use std::fmt;
use std::io;
use std::sync::Arc;

use tessera_types::{Report, Retry, SqlState, TxnId, Version, codes};

use crate::range::KeySpace;
use crate::store::Key;

/// What a commit found in its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// A key of `must_not_exist` exists.
    Exists,
    /// A key of `must_be_unchanged` was changed after the version given.
    Changed,
}

/// Why a call failed. `code()` is a promise; the text is not.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another transaction committed first.
    #[error("a key of {space} was {} by a transaction that committed first", describe(*.kind))]
    Conflict {
        /// Which condition failed.
        kind: Conflict,
        /// Where.
        space: KeySpace,
        /// The key.
        key: Key,
    },
    /// Something that the transaction read was changed by another one that comes before it.
    #[error("a key of {space} that was read at {snapshot} was changed at {version}")]
    SerializationFailure {
        /// Where.
        space: KeySpace,
        /// The key that was changed; of a destroyed range the first key that was read of it.
        key: Key,
        /// The version as of which it was read.
        snapshot: Version,
        /// The version of the change.
        version: Version,
        /// Who changed it, if the change was on its way when it was found.
        writer: Option<TxnId>,
    },
    /// Chosen to break a cycle of waiting transactions.
    #[error("the store ended the transaction to break a deadlock")]
    Deadlock,
    /// A lock of the store itself was not granted in time.
    #[error("a lock of the store was not granted in time")]
    LockTimeout,
    /// The snapshot's versions are gone.
    #[error("snapshot {snapshot} is too old: versions before {kept_from} were given up")]
    SnapshotTooOld {
        /// Version of the snapshot.
        snapshot: Version,
        /// The oldest version still readable.
        kept_from: Version,
    },
    /// Commits that somebody wants to read again are not kept any more.
    #[error("changes after version {after} are not kept any more, they begin after {oldest}")]
    ChangesCut {
        /// From where they were asked for.
        after: Version,
        /// From where they are there.
        oldest: Version,
    },
    /// Over a limit of `Capabilities`.
    #[error("{what} is larger than the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The limit, in the unit that the name of `what` implies (bytes or entries).
        limit: u64,
    },
    /// Overloaded; the same call may work later.
    #[error("the store is busy: {reason}")]
    Busy {
        /// What is short.
        reason: &'static str,
    },
    /// Closing, closed, or not reachable.
    #[error("the store is not available: {reason}")]
    Unavailable {
        /// Why.
        reason: &'static str,
    },
    /// The batch was made for another version of the schema.
    #[error("the schema changed before the commit")]
    SchemaChanged,
    /// A file does not contain what was written to it.
    #[error("damaged data in {place}: {detail}")]
    Corruption {
        /// File, with an offset where known.
        place: String,
        /// What does not fit.
        detail: String,
    },
    /// No space left for the data directory; reads go on.
    #[error("no space left on the disk of the data directory")]
    DiskFull,
    /// Opened in safe mode, or a write to the disk failed.
    #[error("the store is read-only: {reason}")]
    ReadOnly {
        /// Why, and what to do about it.
        reason: Arc<str>,
    },
    /// Another process has the data directory open.
    #[error("another process is using the data directory {path}")]
    InUse {
        /// The directory.
        path: String,
    },
    /// The directory was written by another release.
    #[error("data directory format {found} is not known, this release knows formats up to {known}")]
    Format {
        /// The number in `VERSION`.
        found: u32,
        /// The newest number this release reads.
        known: u32,
    },
    /// The directory holds something else.
    #[error("{path} is not a data directory of this server and is not empty")]
    Foreign {
        /// The directory.
        path: String,
    },
    /// The operating system refused.
    #[error("{action} failed")]
    Io {
        /// What was tried, with the path.
        action: String,
        /// The system's answer.
        #[source]
        source: Arc<io::Error>,
    },
}

impl StoreError {
    /// SQLSTATE and retry class. No `_` arm: a new variant must answer here.
    pub fn code(&self) -> (SqlState, Retry) {
        match self {
            StoreError::Conflict { .. }
            | StoreError::SerializationFailure { .. }
            | StoreError::SchemaChanged => (codes::SERIALIZATION_FAILURE, Retry::Transaction),
            StoreError::Deadlock => (codes::DEADLOCK_DETECTED, Retry::Transaction),
            StoreError::LockTimeout => (codes::LOCK_NOT_AVAILABLE, Retry::Transaction),
            StoreError::SnapshotTooOld { .. } => (codes::SNAPSHOT_TOO_OLD, Retry::Transaction),
            StoreError::ChangesCut { .. } => (codes::SNAPSHOT_TOO_OLD, Retry::Never),
            StoreError::TooLarge { .. } => (codes::PROGRAM_LIMIT_EXCEEDED, Retry::Never),
            StoreError::Busy { .. } => (codes::INSUFFICIENT_RESOURCES, Retry::Later),
            StoreError::Unavailable { .. } => (codes::CANNOT_CONNECT_NOW, Retry::Later),
            StoreError::Corruption { .. } => (codes::DATA_CORRUPTED, Retry::Never),
            StoreError::DiskFull => (codes::DISK_FULL, Retry::Later),
            StoreError::ReadOnly { .. } => (codes::READ_ONLY_SQL_TRANSACTION, Retry::Never),
            StoreError::InUse { .. } => (codes::OBJECT_IN_USE, Retry::Later),
            StoreError::Format { .. } => (codes::FEATURE_NOT_SUPPORTED, Retry::Never),
            StoreError::Foreign { .. } => (codes::OBJECT_NOT_IN_PREREQUISITE_STATE, Retry::Never),
            StoreError::Io { .. } => (codes::IO_ERROR, Retry::Later),
        }
    }

    /// What a client is told.
    pub fn report(&self) -> Report {
        let mut message = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            message.push_str(": ");
            message.push_str(&error.to_string());
            cause = error.source();
        }
        let report = Report::error(self.code().0, message);
        match self.hint() {
            Some(hint) => report.with_hint(hint),
            None => report,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            StoreError::Conflict { .. }
            | StoreError::SerializationFailure { .. }
            | StoreError::SchemaChanged
            | StoreError::Deadlock => Some("Run the transaction again."),
            StoreError::SnapshotTooOld { .. } => Some(
                "Run the transaction again; keep transactions short while much data is written, \
                 or give the store more memory for recent versions.",
            ),
            StoreError::ChangesCut { .. } => Some(
                "Read the data anew and follow the changes from now; the setting \
                 changes_retention says how much is kept.",
            ),
            StoreError::DiskFull => {
                Some("Free space on the disk of the data directory; writes then work again.")
            }
            StoreError::Corruption { .. } => Some(
                "Stop the server, keep a copy of the data directory, run `tessera check` on it, \
                 and restore the last backup if damage is confirmed.",
            ),
            StoreError::InUse { .. } => {
                Some("Stop the other server, or give this one a directory of its own.")
            }
            StoreError::Format { .. } => {
                Some("Open the directory with the release that wrote it, or a newer one.")
            }
            StoreError::Foreign { .. } => Some("Give the server a new or an empty directory."),
            StoreError::TooLarge { .. } => Some("Split the work into smaller parts."),
            StoreError::LockTimeout
            | StoreError::Busy { .. }
            | StoreError::Unavailable { .. }
            | StoreError::ReadOnly { .. }
            | StoreError::Io { .. } => None,
        }
    }

    /// A failed call of the operating system; a full disk becomes `DiskFull`.
    pub(crate) fn io(action: impl Into<String>, error: io::Error) -> StoreError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::DiskFull,
            _ => StoreError::Io {
                action: action.into(),
                source: Arc::new(error),
            },
        }
    }

    /// Damage found at `place`.
    pub(crate) fn corruption(place: impl fmt::Display, detail: impl fmt::Display) -> StoreError {
        StoreError::Corruption {
            place: place.to_string(),
            detail: detail.to_string(),
        }
    }
}

fn describe(kind: Conflict) -> &'static str {
    match kind {
        Conflict::Exists => "created",
        Conflict::Changed => "changed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_failures() {
        let full = StoreError::io("write", io::ErrorKind::StorageFull.into());
        assert_eq!(full.code().0, codes::DISK_FULL);
        let other = StoreError::io("write log/1", io::Error::other("bad sector"));
        assert_eq!(other.code(), (codes::IO_ERROR, Retry::Later));
        assert_eq!(other.report().message, "write log/1 failed: bad sector");
    }
}
