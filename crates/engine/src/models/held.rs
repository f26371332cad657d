//! Transactions that wait between the requests of a client, by token.
//!
//! Whoever began one may join it again with its token, on any door: `Tessera-Transaction` over
//! HTTP, `SET tessera.join` in SQL. It ends by commit, by rollback, or when its client has not
//! come back for `idle_in_transaction_session_timeout`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tessera_telemetry::labels::TxnOutcome;
use tessera_transactions::{Isolation, Status, Transaction};
use tessera_types::{Report, codes};

use super::client::{Client, failed_block};

/// Transactions that wait for their clients at one time.
const HELD_MAX: usize = 1_000;
/// The same, of one user.
const HELD_PER_USER_MAX: usize = 200;

/// What a transaction begins with; what is not given is the server's default.
#[derive(Clone, Copy, Debug, Default)]
pub struct BeginOptions {
    /// Isolation level.
    pub isolation: Option<Isolation>,
    /// Refuse writes.
    pub read_only: bool,
    /// Whether the commit waits for the disk.
    pub durable: Option<bool>,
}

/// The waiting transactions.
#[derive(Default)]
pub(super) struct Held {
    by_token: Mutex<HashMap<String, Arc<Entry>>>,
    closed: AtomicBool,
}

struct Entry {
    txn: Transaction,
    /// Oid of the user.
    owner: u32,
    /// Requests that are at work in it.
    users: AtomicU32,
    used_at: Mutex<Instant>,
}

/// A transaction that a request takes part in.
#[derive(Clone)]
pub struct Joined {
    txn: Transaction,
    /// None when a session of another door has begun it: then only that one ends it.
    entry: Option<Arc<InUse>>,
}

/// While this lives, the transaction is not idle.
struct InUse(Arc<Entry>);

impl InUse {
    fn of(entry: &Arc<Entry>) -> Arc<InUse> {
        entry.users.fetch_add(1, Ordering::AcqRel);
        Arc::new(InUse(Arc::clone(entry)))
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        *self.0.used_at.lock() = Instant::now();
        self.0.users.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Joined {
    /// The transaction.
    pub fn transaction(&self) -> &Transaction {
        &self.txn
    }

    /// A statement lost a conflict: what is left of the transaction is its end.
    pub(super) fn fail(&self) {
        self.txn.set_failed(true);
        if self.entry.is_some() {
            // Its locks are given back now, not when the client comes back.
            self.txn.rollback();
        }
    }
}

impl std::fmt::Debug for Joined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Joined({:?})", self.txn)
    }
}

impl Held {
    fn find(&self, token: &str, owner: u32) -> Option<Arc<Entry>> {
        let entry = self.by_token.lock().get(token).cloned()?;
        (entry.owner == owner).then_some(entry)
    }

    /// Rolls back what has waited for longer than `limit`; how many.
    pub(super) fn expire(&self, limit: Duration, now: Instant) -> usize {
        let is_idle = |entry: &Arc<Entry>| {
            entry.users.load(Ordering::Acquire) == 0
                && now.saturating_duration_since(*entry.used_at.lock()) >= limit
        };
        let expired: Vec<Arc<Entry>> = {
            let mut all = self.by_token.lock();
            all.extract_if(|_, entry| is_idle(entry))
                .map(|(_, entry)| entry)
                .collect()
        };
        for entry in &expired {
            entry.txn.rollback();
        }
        expired.len()
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let all = std::mem::take(&mut *self.by_token.lock());
        for entry in all.into_values() {
            entry.txn.rollback();
        }
    }
}

impl Client {
    /// Begins a transaction that is kept for its token.
    ///
    /// # Errors
    /// 53400 when too many transactions wait for their clients.
    pub fn begin(&self, options: BeginOptions) -> Result<String, Report> {
        let held = &self.models().held;
        let mut all = held.by_token.lock();
        if held.closed.load(Ordering::Acquire) {
            return Err(Report::fatal(
                codes::CANNOT_CONNECT_NOW,
                "the database system is shutting down",
            ));
        }
        let mine = all.values().filter(|entry| entry.owner == self.user.oid);
        let too_many = if all.len() >= HELD_MAX {
            Some(HELD_MAX)
        } else if mine.count() >= HELD_PER_USER_MAX {
            Some(HELD_PER_USER_MAX)
        } else {
            None
        };
        if let Some(limit) = too_many {
            return Err(Report::error(
                codes::CONFIGURATION_LIMIT_EXCEEDED,
                format!("too many open transactions (limit {limit})"),
            )
            .with_hint("Commit or roll back transactions that are not needed any more."));
        }
        let txn = self.transaction(options);
        let token = self.token(&txn);
        let entry = Entry {
            txn,
            owner: self.user.oid,
            users: AtomicU32::new(0),
            used_at: Mutex::new(Instant::now()),
        };
        all.insert(token.clone(), Arc::new(entry));
        Ok(token)
    }

    /// The token of a transaction that the user's door keeps, for members on any door.
    pub fn token(&self, txn: &Transaction) -> String {
        // The user is part of it, so that only the same user, or an administrator, gets in.
        format!("{}-{}", self.user.oid, txn.token())
    }

    /// Takes part in the transaction of a token, whichever door began it, as the same user or as
    /// an administrator.
    ///
    /// # Errors
    /// 25P01 when there is none: unknown, ended, expired, or of another user.
    pub fn join(&self, token: &str) -> Result<Joined, Report> {
        if let Some(entry) = self.models().held.find(token, self.user.oid) {
            return Ok(Joined {
                txn: entry.txn.clone(),
                entry: Some(InUse::of(&entry)),
            });
        }
        let found = token.split_once('-').and_then(|(oid, token)| {
            let may = self.user.admin || oid.parse() == Ok(self.user.oid);
            may.then(|| self.models().transactions.join(token))
                .flatten()
        });
        let txn = found.ok_or_else(no_transaction)?;
        Ok(Joined { txn, entry: None })
    }

    /// Commits the transaction of a token, which ends it whatever the answer is.
    ///
    /// # Errors
    /// 25P01 as for [`Client::join`]; 25P02 when a statement had failed for good: it is rolled
    /// back then; those of a commit.
    pub async fn commit_held(&self, token: &str) -> Result<(), Report> {
        let entry = self.take(token)?;
        let txn = &entry.txn;
        if txn.is_failed() || txn.status() == Status::RolledBack {
            txn.rollback();
            self.count(txn, TxnOutcome::RolledBack);
            return Err(failed_block()
                .with_detail("The transaction was rolled back.")
                .with_hint("Run the whole transaction again."));
        }
        self.commit(txn).await
    }

    /// Rolls the transaction of a token back.
    ///
    /// # Errors
    /// 25P01 as for [`Client::join`].
    pub fn roll_back_held(&self, token: &str) -> Result<(), Report> {
        let entry = self.take(token)?;
        entry.txn.rollback();
        self.count(&entry.txn, TxnOutcome::RolledBack);
        Ok(())
    }

    fn take(&self, token: &str) -> Result<Arc<Entry>, Report> {
        let held = &self.models().held;
        if held.find(token, self.user.oid).is_some()
            && let Some(entry) = held.by_token.lock().remove(token)
        {
            return Ok(entry);
        }
        // It may be one that a session of another door began.
        self.join(token)?;
        Err(Report::error(
            codes::INVALID_TRANSACTION_TERMINATION,
            "the transaction is ended by the session that began it",
        ))
    }
}

fn no_transaction() -> Report {
    Report::error(
        codes::NO_ACTIVE_SQL_TRANSACTION,
        "there is no open transaction with that token",
    )
    .with_hint("It may have been ended, or have expired because it was idle for too long.")
}
