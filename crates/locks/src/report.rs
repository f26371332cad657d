//! Errors of the lock manager, and what they tell a client about the other side.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tessera_types::{Report, Retry, SqlState, TxnId, codes};

use crate::mode::Mode;
use crate::resource::Resource;

/// Characters of a statement that are shown in an error of another transaction.
const STATEMENT_SHOWN_MAX: usize = 200;

/// A transaction that stands in the way.
#[derive(Debug, Clone)]
pub struct Blocker {
    /// The transaction.
    pub txn: TxnId,
    /// What it holds, or waits for if it is not `granted`.
    pub mode: Mode,
    /// Holds the resource, instead of standing before us in the queue.
    pub granted: bool,
    /// What it runs or ran last.
    pub statement: Option<Arc<str>>,
}

/// One transaction of a deadlock: it waits for the next one of the list.
#[derive(Debug, Clone)]
pub struct CycleMember {
    /// The transaction.
    pub txn: TxnId,
    /// What it waits for.
    pub resource: Resource,
    /// In which mode.
    pub mode: Mode,
    /// What it runs.
    pub statement: Option<Arc<str>>,
}

/// What was asked for in vain.
#[derive(Debug, Clone)]
pub struct Refused {
    /// The resource.
    pub resource: Resource,
    /// The mode asked for.
    pub mode: Mode,
    /// Who was in the way.
    pub blockers: Vec<Blocker>,
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

    /// What a client sees; resources are named by their numbers.
    pub fn report(&self) -> Report {
        self.report_with(&|resource| resource.to_string())
    }

    /// What a client sees, with `name` putting names to resources ("row in relation \"t\"").
    pub fn report_with(&self, name: &dyn Fn(Resource) -> String) -> Report {
        let (code, _) = self.code();
        match self {
            LockError::Deadlock { cycle, .. } => Report::error(code, self.to_string())
                .with_detail(describe_cycle(cycle, name))
                .with_hint(
                    "Run the transaction again. Transactions that lock in the same order do not \
                     deadlock.",
                ),
            LockError::Timeout { refused, waited } => {
                let mut detail = format!(
                    "Waited {} ms for {} lock on {}.",
                    waited.as_millis(),
                    refused.mode,
                    name(refused.resource)
                );
                describe_blockers(&refused.blockers, &mut detail);
                Report::error(code, self.to_string()).with_detail(detail)
            }
            LockError::NotAvailable { refused } => {
                let message = format!("could not obtain lock on {}", name(refused.resource));
                let mut detail = format!("{} lock was asked for.", refused.mode);
                describe_blockers(&refused.blockers, &mut detail);
                Report::error(code, message).with_detail(detail)
            }
            LockError::QueueFull { .. } | LockError::ParentNotHeld { .. } => {
                Report::error(code, self.to_string())
            }
        }
    }
}

fn describe_cycle(cycle: &[CycleMember], name: &dyn Fn(Resource) -> String) -> String {
    let mut detail = String::new();
    for (at, member) in cycle.iter().enumerate() {
        let next = cycle[(at + 1) % cycle.len()].txn;
        let _ = writeln!(
            detail,
            "Transaction {} waits for {} lock on {}; blocked by transaction {next}.",
            member.txn,
            member.mode,
            name(member.resource)
        );
    }
    for member in cycle {
        if let Some(statement) = &member.statement {
            let _ = writeln!(
                detail,
                "Transaction {}: {}",
                member.txn,
                shortened(statement)
            );
        }
    }
    detail.truncate(detail.trim_end().len());
    detail
}

fn describe_blockers(blockers: &[Blocker], detail: &mut String) {
    for blocker in blockers {
        let verb = if blocker.granted {
            "holds"
        } else {
            "waits before us for"
        };
        let _ = write!(
            detail,
            "\nTransaction {} {verb} {}",
            blocker.txn, blocker.mode
        );
        match &blocker.statement {
            Some(statement) => {
                let _ = write!(detail, ": {}", shortened(statement));
            }
            None => detail.push('.'),
        }
    }
}

/// One line of bounded length.
fn shortened(statement: &str) -> String {
    let mut line: String = statement
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(STATEMENT_SHOWN_MAX)
        .collect();
    if statement.chars().nth(STATEMENT_SHOWN_MAX).is_some() {
        line.push('…');
    }
    line
}
