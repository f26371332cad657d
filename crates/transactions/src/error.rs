//! Why a transaction did not do what it was asked.

use tessera_locks::LockError;
use tessera_storage::StoreError;
use tessera_types::{RelationId, Report, Retry, SqlState, TxnId, codes};

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
    /// REPEATABLE READ: a row to be written was changed after the snapshot.
    #[error("could not serialize access due to concurrent update")]
    ConcurrentUpdate {
        /// The relation that holds the row.
        relation: RelationId,
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
            TransactionError::ConcurrentUpdate { .. } => {
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

    /// What a client is told.
    pub fn report(&self) -> Report {
        let (code, _) = self.code();
        match self {
            TransactionError::Store(error) => error.report(),
            TransactionError::Lock(error) => error.report(),
            TransactionError::ConcurrentUpdate { relation } => {
                Report::error(code, self.to_string())
                    .with_detail(format!(
                        "A row of relation {relation} was changed by a transaction that committed \
                         after this one took its snapshot."
                    ))
                    .with_hint("Run the transaction again.")
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

impl From<TransactionError> for Report {
    fn from(error: TransactionError) -> Report {
        error.report()
    }
}
