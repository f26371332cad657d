//! One user's way to keys and documents, and the transaction that a call runs in.
//!
//! A call is one statement. Alone it is a transaction of its own: committed when it succeeds, and
//! run again, a few times at most, when it loses a conflict. In a joined transaction it is undone
//! by itself when it fails; a lost conflict (class 40) ends that transaction.

use std::sync::Arc;
use std::time::Duration;

use tessera_catalog::UserDef;
use tessera_documents::Proposals;
use tessera_environment::Environment;
use tessera_keyvalue::UnixMillis;
use tessera_storage::Durability;
use tessera_telemetry::labels::TxnOutcome;
use tessera_telemetry::metrics;
use tessera_transactions::{Isolation, Transaction, TransactionOptions};
use tessera_types::{Report, codes};

use super::Models;
use super::held::{BeginOptions, Joined};
use crate::engine::Engine;
use crate::measure;

/// How often a call that lost a conflict is run again.
const RETRIES_MAX: u32 = 5;

/// One user's way to the models. Cheap to clone; made per connection or per request.
#[derive(Clone)]
pub struct Client {
    pub(super) engine: Engine,
    pub(super) user: Arc<UserDef>,
}

/// How a call is run.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// What it is, for the errors of others who wait for it. No values of users in it.
    pub what: Option<Arc<str>>,
    /// The transaction that it is part of; none for one of its own.
    pub joined: Option<Joined>,
    /// Whether its commit waits for the disk; the server's default if not given.
    pub durable: Option<bool>,
    /// Refuse writes.
    pub read_only: bool,
    /// Time that it may take; the server's `statement_timeout` if not given.
    pub timeout: Option<Duration>,
}

impl Call {
    /// A call that only reads.
    pub fn read(what: &str, joined: Option<Joined>) -> Call {
        Call {
            what: Some(Arc::from(what)),
            joined,
            read_only: true,
            ..Call::default()
        }
    }

    /// A call that writes.
    pub fn write(what: &str, joined: Option<Joined>) -> Call {
        Call {
            read_only: false,
            ..Call::read(what, joined)
        }
    }
}

impl Engine {
    /// A user's way to keys and documents. The caller has checked who it is.
    ///
    /// # Errors
    /// 28000 for a user who does not exist or may not log in, 57P03 while the engine closes.
    pub fn client(&self, user: &str) -> Result<Client, Report> {
        if self.is_closed() {
            return Err(Report::fatal(
                codes::CANNOT_CONNECT_NOW,
                "the database system is shutting down",
            ));
        }
        let found = self.shared.catalog.state().user(user).cloned();
        let found = found.filter(|user| user.login).ok_or_else(|| {
            Report::fatal(
                codes::INVALID_AUTHORIZATION_SPECIFICATION,
                format!("role \"{user}\" does not exist or may not log in"),
            )
        })?;
        Ok(Client {
            engine: self.clone(),
            user: found,
        })
    }
}

impl Client {
    pub(super) fn models(&self) -> &Arc<Models> {
        &self.engine.shared.models
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn user_def(&self) -> &Arc<UserDef> {
        &self.user
    }

    /// Name of the user.
    pub fn user(&self) -> &str {
        &self.user.name
    }

    /// Whether the user is an administrator.
    pub fn is_admin(&self) -> bool {
        self.user.admin
    }

    /// Clock and randomness.
    pub fn environment(&self) -> &Environment {
        &self.engine.shared.environment
    }

    /// The moment that decides what has expired.
    pub fn now(&self) -> UnixMillis {
        UnixMillis::now(&*self.environment().clock)
    }

    /// Filters that no index answered.
    pub fn proposals(&self) -> &Proposals {
        &self.models().proposals
    }

    /// A transaction for a caller who keeps it, such as a connection: with the server's defaults,
    /// known to nobody else until its token is asked for. Dropping it rolls it back.
    pub fn transaction(&self, options: BeginOptions) -> Transaction {
        let models = self.models();
        let defaults = &models.defaults;
        let durable = options.durable.unwrap_or(defaults.durable);
        let isolation = options
            .isolation
            .unwrap_or(match &*defaults.default_isolation {
                "serializable" => Isolation::Serializable,
                "repeatable read" => Isolation::RepeatableRead,
                _ => Isolation::ReadCommitted,
            });
        let txn = models.transactions.begin(TransactionOptions {
            isolation,
            read_only: options.read_only,
            durability: if durable {
                Durability::Durable
            } else {
                Durability::Buffered
            },
            ..TransactionOptions::default()
        });
        txn.set_lock_timeout(defaults.lock_timeout);
        txn
    }

    /// Runs work as one statement, in the transaction that the call says.
    ///
    /// The work gets the transaction and reads `txn.view()`. It may be run several times, so it
    /// must not change anything but through the transaction.
    ///
    /// # Errors
    /// Those of the work; 25P02 in a failed transaction; 57014 after the time-out; those of the
    /// commit, of which 40003 and 08007 mean that nobody knows whether it took effect.
    pub async fn run<T, F>(
        &self,
        call: &Call,
        work: impl Fn(Transaction) -> F + Send + Sync,
    ) -> Result<T, Report>
    where
        F: Future<Output = Result<T, Report>> + Send,
        T: Send,
    {
        if self.engine.is_closed() {
            return Err(Report::fatal(
                codes::CANNOT_CONNECT_NOW,
                "the database system is shutting down",
            ));
        }
        if let Some(joined) = &call.joined {
            return self.run_joined(call, joined, &work).await;
        }
        let mut retries = 0;
        loop {
            let txn = self.transaction(BeginOptions {
                isolation: None,
                read_only: call.read_only,
                durable: call.durable,
            });
            txn.set_deadlock_standing(0, retries);
            let result = match self.statement(call, &txn, &work).await {
                Ok(value) => self.commit(&txn).await.map(|()| value),
                Err(report) => {
                    txn.rollback();
                    self.count(&txn, TxnOutcome::RolledBack);
                    Err(report)
                }
            };
            match result {
                Err(report) if is_lost(&report) && retries < RETRIES_MAX => {
                    retries += 1;
                    metrics().statement_retries.increment();
                }
                other => return other,
            }
        }
    }

    async fn run_joined<T, F>(
        &self,
        call: &Call,
        joined: &Joined,
        work: &(impl Fn(Transaction) -> F + Send + Sync),
    ) -> Result<T, Report>
    where
        F: Future<Output = Result<T, Report>> + Send,
        T: Send,
    {
        let txn = joined.transaction();
        if txn.is_failed() {
            return Err(failed_block());
        }
        if txn.is_read_only() && !call.read_only {
            return Err(Report::error(
                codes::READ_ONLY_SQL_TRANSACTION,
                "cannot write in a read-only transaction",
            ));
        }
        let result = self.statement(call, txn, work).await;
        if let Err(report) = &result
            && is_lost(report)
        {
            joined.fail();
        }
        result
    }

    async fn statement<T, F>(
        &self,
        call: &Call,
        txn: &Transaction,
        work: &(impl Fn(Transaction) -> F + Send + Sync),
    ) -> Result<T, Report>
    where
        F: Future<Output = Result<T, Report>> + Send,
        T: Send,
    {
        let statement = async {
            let guard = txn.start_statement().await?;
            txn.set_statement_text(call.what.clone());
            let result = work(txn.clone()).await;
            match result {
                Ok(value) => {
                    guard.finish();
                    Ok(value)
                }
                Err(report) => {
                    guard.undo();
                    Err(report)
                }
            }
        };
        let limit = call.timeout.or(self.models().defaults.statement_timeout);
        let result = match limit {
            // Giving up drops the guard, which undoes the statement.
            Some(limit) => match tokio::time::timeout(limit, statement).await {
                Ok(result) => result,
                Err(_) => Err(Report::error(
                    codes::QUERY_CANCELED,
                    "canceling statement due to statement timeout",
                )),
            },
            None => statement.await,
        };
        txn.set_idle();
        result.map_err(|report| self.explain(Some(txn), report))
    }

    /// Commits a transaction that the caller keeps, and counts it.
    pub async fn commit(&self, txn: &Transaction) -> Result<(), Report> {
        let committed = txn.commit().await;
        let outcome = match committed {
            Ok(_) => TxnOutcome::Committed,
            Err(_) => TxnOutcome::Failed,
        };
        self.count(txn, outcome);
        match committed {
            Ok(_) => Ok(()),
            Err(error) => Err(self.explain(Some(txn), error.report())),
        }
    }

    pub(super) fn count(&self, txn: &Transaction, outcome: TxnOutcome) {
        let now = self.environment().clock.unix_micros();
        let took = now.saturating_sub(txn.started_at());
        measure::transaction_ended(outcome, txn.isolation(), took);
    }

    /// Names instead of numbers in what a conflict's loser is told; other reports as they are. For
    /// doors that run work in transactions of their own.
    pub fn explain(&self, txn: Option<&Transaction>, report: Report) -> Report {
        let shared = &self.engine.shared;
        if report.cause.is_none() {
            return report;
        }
        tessera_executor::explain(&shared.executor, &shared.catalog.state(), txn, report)
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({})", self.user.name)
    }
}

/// Whether another one won, so that the whole transaction is to be run again.
fn is_lost(report: &Report) -> bool {
    matches!(
        report.code,
        codes::SERIALIZATION_FAILURE | codes::DEADLOCK_DETECTED
    )
}

/// 25P02.
pub(super) fn failed_block() -> Report {
    Report::error(
        codes::IN_FAILED_SQL_TRANSACTION,
        "current transaction is aborted, commands ignored until end of transaction block",
    )
}
