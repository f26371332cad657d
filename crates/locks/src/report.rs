//! Errors of the lock manager, with all they know about the other side.

use std::sync::Arc;
use std::time::Duration;

use tessera_types::{Retry, SqlState, TxnId, codes};

use crate::mode::Mode;
use crate::resource::Resource;

/// A transaction that stands in the way.
#[derive(Debug, Clone)]
pub struct Blocker {
    /// The transaction.
    pub txn: TxnId,
    /// What it holds, or waits for if it is not `granted`.
    pub mode: Mode,
    /// Holds the resource, instead of standing before us in the queue.
    pub granted: bool,
    /// What it runs or, if it is idle, ran last.
    pub statement: Option<Arc<str>>,
    /// It runs nothing: idle in transaction.
    pub is_idle: bool,
    /// How long it has waited itself, if it stands in the queue.
    pub waited: Option<Duration>,
    /// How long ago the transaction began.
    pub age: Duration,
}

/// One transaction of a deadlock: it waits for the next one of the list.
#[derive(Debug, Clone)]
pub struct CycleMember {
    /// The transaction.
    pub txn: TxnId,
    /// What it waits for.
    pub resource: Resource,
    /// Its key, as the layer above described it.
    pub key: Option<Box<[u8]>>,
    /// In which mode.
    pub mode: Mode,
    /// What it holds on that resource already, if it wants more of it.
    pub held: Option<Mode>,
    /// What the next one of the list holds on that resource, or waits for.
    pub blocked_by_mode: Mode,
    /// The next one holds the resource, instead of standing before it in the queue.
    pub blocked_by_holder: bool,
    /// How long it has waited.
    pub waited: Duration,
    /// How long ago the transaction began.
    pub age: Duration,
    /// What it runs.
    pub statement: Option<Arc<str>>,
    /// Rows it has written.
    pub work: u64,
    /// Resources it holds.
    pub locks: usize,
    /// Its priority.
    pub priority: i8,
    /// How many times it was a victim before.
    pub restarts: u32,
}

/// What was asked for in vain.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Who asked.
    pub txn: TxnId,
    /// The resource.
    pub resource: Resource,
    /// Its key, as the layer above described it.
    pub key: Option<Box<[u8]>>,
    /// The mode asked for.
    pub mode: Mode,
    /// What the asking transaction held on it already.
    pub held: Option<Mode>,
    /// What the asking transaction runs.
    pub statement: Option<Arc<str>>,
    /// How long ago the asking transaction began.
    pub age: Duration,
    /// Who was in the way, holders first; not all of them if there are many.
    pub blockers: Vec<Blocker>,
    /// Requests that stood before this one in the queue.
    pub ahead: usize,
}

/// Why a lock was not granted. `code()` is a promise to clients; the text is not.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Chosen to break a cycle; the transaction must roll back and may run again.
    #[error("deadlock detected")]
    Deadlock {
        /// The transaction that gets this error.
        victim: TxnId,
        /// Everyone in the cycle, the victim first.
        cycle: Vec<CycleMember>,
    },
    /// The deadline passed.
    #[error("canceling statement due to lock timeout")]
    Timeout {
        /// What was asked for.
        refused: Box<Refused>,
        /// For how long.
        waited: Duration,
    },
    /// The caller did not want to wait.
    #[error("could not obtain lock on {}", refused.resource)]
    NotAvailable {
        /// What was asked for.
        refused: Box<Refused>,
    },
    /// More waiters than the server is willing to keep.
    #[error("too many waiters on one lock (limit {waiters_max})")]
    QueueFull {
        /// The limit.
        waiters_max: usize,
    },
    /// A child was asked for without its parent: a bug of the caller.
    #[error("{mode} lock on {resource} asked for without an intention lock on its parent")]
    ParentNotHeld {
        /// The child.
        resource: Resource,
        /// The mode asked for.
        mode: Mode,
    },
}

impl LockError {
    /// SQLSTATE and retry class. No `_` arm: a new variant must answer here.
    pub fn code(&self) -> (SqlState, Retry) {
        match self {
            LockError::Deadlock { .. } => (codes::DEADLOCK_DETECTED, Retry::Transaction),
            LockError::Timeout { .. } | LockError::NotAvailable { .. } => {
                (codes::LOCK_NOT_AVAILABLE, Retry::Transaction)
            }
            LockError::QueueFull { .. } => (codes::CONFIGURATION_LIMIT_EXCEEDED, Retry::Later),
            LockError::ParentNotHeld { .. } => (codes::INTERNAL_ERROR, Retry::Never),
        }
    }
}
