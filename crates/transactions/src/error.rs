//! Why a transaction did not do what it was asked.

use std::sync::Arc;

use tessera_locks::LockError;
use tessera_storage::{Key, KeySpace, StoreError};
use tessera_types::{RelationId, Report, Retry, SqlState, TxnId, Version, codes};

/// The write that a transaction lost against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictingWrite {
    /// Where.
    pub space: KeySpace,
    /// The key that was written. Meant for layers that can tell what it stands for, and whether
    /// the client may see it.
    pub key: Key,
    /// The version of the loser's snapshot.
    pub snapshot: Version,
    /// The version of the write.
    pub version: Version,
    /// Who wrote, if that is remembered.
    pub writer: Option<TxnId>,
    /// The statement with which the writer wrote last (not always the one that wrote this key),
    /// or its beginning, if that is remembered. May hold literals.
    pub statement: Option<Arc<str>>,
}

/// An error of a transaction. `code()` is a promise to clients; the text is not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A lock was not granted.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// REPEATABLE READ and above: a row to be written was changed after the snapshot.
    #[error("could not serialize access due to concurrent update")]
    ConcurrentUpdate {
        /// The relation that holds the row.
        relation: RelationId,
        /// The change.
        write: Box<ConflictingWrite>,
    },
    /// SERIALIZABLE: something that was read was changed by a transaction that comes before.
    #[error("could not serialize access due to read/write dependencies among transactions")]
    SerializationFailure {
        /// The change.
        write: Box<ConflictingWrite>,
    },
    /// No savepoint of that name.
    #[error("savepoint \"{name}\" does not exist")]
    NoSuchSavepoint {
        /// The name.
        name: String,
    },
    /// A write in a read-only transaction.
    #[error("cannot write in a read-only transaction")]
    ReadOnly,
    /// The transaction has ended, perhaps through another session that joined it.
    #[error("the transaction has already ended")]
    Ended,
    /// Whether the commit took place is not known.
    #[error("it is not known whether transaction {txn} was committed")]
    OutcomeUnknown {
        /// The transaction; `Store::resolve` may tell later.
        txn: TxnId,
    },
    /// Over a limit.
    #[error("too many {what} in one transaction (limit {limit})")]
    TooMany {
        /// What.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
}

impl TransactionError {
    /// SQLSTATE and retry class. No `_` arm: a new variant must answer here.
    pub fn code(&self) -> (SqlState, Retry) {
        match self {
            TransactionError::Store(error) => error.code(),
            TransactionError::Lock(error) => error.code(),
            TransactionError::ConcurrentUpdate { .. }
            | TransactionError::SerializationFailure { .. } => {
                (codes::SERIALIZATION_FAILURE, Retry::Transaction)
            }
            TransactionError::NoSuchSavepoint { .. } => {
                (codes::INVALID_SAVEPOINT_SPECIFICATION, Retry::Never)
            }
            TransactionError::ReadOnly => (codes::READ_ONLY_SQL_TRANSACTION, Retry::Never),
            TransactionError::Ended => (codes::NO_ACTIVE_SQL_TRANSACTION, Retry::Never),
            TransactionError::OutcomeUnknown { .. } => {
                (codes::TRANSACTION_RESOLUTION_UNKNOWN, Retry::Never)
            }
            TransactionError::TooMany { .. } => (codes::PROGRAM_LIMIT_EXCEEDED, Retry::Never),
        }
    }

    /// Whether the same transaction, run again at once, may well succeed: it lost a conflict or a
    /// deadlock, or its snapshot, and nothing of it is left. What the client was sent must not
    /// depend on what is run again, so only a statement that is a transaction of its own, and has
    /// sent nothing yet, may be run again by the server.
    ///
    /// Not so if it waited in vain (a time-out, NOWAIT): the same may happen again, and the client
    /// asked to be told.
    pub fn is_retryable(&self) -> bool {
        let (code, retry) = self.code();
        retry == Retry::Transaction && code != codes::LOCK_NOT_AVAILABLE
    }

    /// The facts of a lost conflict.
    pub fn conflicting_write(&self) -> Option<&ConflictingWrite> {
        match self {
            TransactionError::ConcurrentUpdate { write, .. }
            | TransactionError::SerializationFailure { write } => Some(write),
            _ => None,
        }
    }

    /// What a client is told.
    pub fn report(&self) -> Report {
        let (code, _) = self.code();
        match self {
            TransactionError::Store(error) => error.report(),
            TransactionError::Lock(error) => error.report().with_cause(error.clone()),
            TransactionError::ConcurrentUpdate { relation, write } => {
                Report::error(code, self.to_string())
                    .with_detail(format!(
                        "A row of relation {relation} was changed by {}.",
                        write.by_whom()
                    ))
                    .with_hint("Run the transaction again.")
                    .with_cause(write.as_ref().clone())
            }
            TransactionError::SerializationFailure { write } => {
                Report::error(code, self.to_string())
                    .with_detail(format!(
                        "Something in {} that this transaction had read was changed by {}.",
                        write.space,
                        write.by_whom()
                    ))
                    .with_hint("Run the transaction again.")
                    .with_cause(write.as_ref().clone())
            }
            TransactionError::OutcomeUnknown { .. } => Report::error(code, self.to_string())
                .with_hint(
                    "Look whether its changes are there before running it again; the server's log \
                     tells what went wrong.",
                ),
            TransactionError::NoSuchSavepoint { .. }
            | TransactionError::ReadOnly
            | TransactionError::Ended
            | TransactionError::TooMany { .. } => Report::error(code, self.to_string()),
        }
    }
}

impl ConflictingWrite {
    /// Without key and statement, for they may hold what the client may not see.
    fn by_whom(&self) -> String {
        let who = match self.writer {
            Some(writer) => format!("transaction {writer}"),
            None => "a transaction".to_owned(),
        };
        format!(
            "{who} that committed version {} after this one took its snapshot of version {}",
            self.version, self.snapshot
        )
    }
}

impl From<TransactionError> for Report {
    fn from(error: TransactionError) -> Report {
        error.report()
    }
}
