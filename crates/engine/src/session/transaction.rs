//! Implicit and explicit transactions, savepoints, joining, and what an error does to them.
//!
//! The rules are PostgreSQL's: a simple-query message, or an extended-protocol batch up to Sync,
//! is one implicit transaction; BEGIN inside it makes it explicit, with what went before; an
//! error rolls an implicit one back and makes an explicit one wait for ROLLBACK.

use tessera_planner::statement::{IsolationLevel, Transaction as Control, TransactionModes};
use tessera_storage::Durability;
use tessera_telemetry::labels::TxnOutcome;
use tessera_transactions::{Isolation, Transaction, TransactionOptions};
use tessera_types::{Report, codes};

use super::Session;
use super::execute::Outcome;
use crate::measure;
use crate::settings::TransactionCharacteristics;

/// Where a session is between two messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// No transaction block.
    Idle,
    /// Inside a block.
    InTransaction,
    /// Inside a block whose statement failed.
    Failed,
}

/// How the present transaction began and what it may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Block {
    /// There is none.
    #[default]
    Idle,
    /// Begun by a statement; ends with the batch.
    Implicit,
    /// Begun by BEGIN.
    Explicit,
    /// Begun by BEGIN, and a statement failed.
    Failed,
}

/// The transaction of a session.
#[derive(Default)]
pub(super) struct TransactionState {
    block: Block,
    txn: Option<Transaction>,
    /// Characteristics of the block; `None` for the session's defaults.
    modes: TransactionModes,
    /// Names of the savepoints, oldest first.
    savepoints: Vec<String>,
    /// When the block began, for `now()`.
    started_at: i64,
    /// The transaction was begun by another session.
    joined: bool,
}

impl TransactionState {
    pub(super) fn txn(&self) -> Option<&Transaction> {
        self.txn.as_ref()
    }

    pub(super) fn started_at(&self) -> i64 {
        self.started_at
    }

    /// The session is gone: what it began is rolled back, what it joined goes on.
    pub(super) fn abandon(&mut self) {
        if let Some(txn) = self.txn.take()
            && !self.joined
        {
            txn.rollback();
        }
    }
}

impl Session {
    /// Where the session is.
    pub fn status(&self) -> TransactionStatus {
        match self.transaction.block {
            Block::Idle | Block::Implicit => TransactionStatus::Idle,
            Block::Explicit => TransactionStatus::InTransaction,
            Block::Failed => TransactionStatus::Failed,
        }
    }

    /// The end of a simple-query message, or Sync: commits an implicit transaction.
    ///
    /// # Errors
    /// The commit failed; nothing of the batch took effect, unless the code is 08007.
    pub async fn end_of_batch(&mut self) -> Result<(), Report> {
        let result = match self.transaction.block {
            Block::Implicit => self.commit_transaction().await,
            Block::Idle => {
                self.drop_portals();
                Ok(())
            }
            Block::Explicit | Block::Failed => Ok(()),
        };
        self.ends_batch = false;
        self.go_idle();
        result
    }

    /// Whether the next statement begins a transaction.
    pub(super) fn is_between_transactions(&self) -> bool {
        self.transaction.block == Block::Idle
    }

    /// Commits the transaction that a statement has begun for itself.
    pub(super) async fn commit_implicit(&mut self) -> Result<(), Report> {
        match self.transaction.block {
            Block::Implicit => self.commit_transaction().await,
            // BEGIN, or COMMIT of nothing.
            Block::Idle | Block::Explicit | Block::Failed => Ok(()),
        }
    }

    /// A statement failed, here or in the protocol above: undoes it, and makes an explicit
    /// transaction wait for its ROLLBACK. May be called more than once for one error.
    pub fn fail(&mut self) {
        self.deadline = None;
        self.entry.cancel_answered();
        match self.transaction.block {
            Block::Idle | Block::Failed => {}
            Block::Implicit => self.roll_back_transaction(),
            Block::Explicit => {
                self.transaction.block = Block::Failed;
                match self.transaction.savepoints.last() {
                    // The part after the last savepoint is lost, as in PostgreSQL.
                    Some(savepoint) => {
                        self.settings.rollback_to(savepoint);
                        if let Some(txn) = &self.transaction.txn {
                            // It fails only when the transaction has ended: then all is undone.
                            let _ = txn.rollback_to(savepoint);
                            txn.set_failed(true);
                        }
                    }
                    None if self.transaction.joined => {
                        if let Some(txn) = &self.transaction.txn {
                            txn.set_failed(true);
                        }
                    }
                    None => {
                        // Locks and memory are given back now, not when the client comes back.
                        if let Some(txn) = self.transaction.txn.take() {
                            txn.rollback();
                            self.count_transaction(&txn, TxnOutcome::RolledBack);
                        }
                        self.settings.rollback();
                    }
                }
                self.drop_portals();
            }
        }
    }

    fn go_idle(&mut self) {
        self.deadline = None;
        if !self.active {
            return;
        }
        self.active = false;
        if let Some(txn) = self.txn() {
            txn.set_idle();
        }
        let (state, in_transaction) = match self.transaction.block {
            Block::Idle | Block::Implicit => ("idle", false),
            Block::Explicit => ("idle in transaction", true),
            Block::Failed => ("idle in transaction (aborted)", true),
        };
        self.entry.idle(state, self.now(), in_transaction);
    }

    /// 25P02 for everything but the statements that end a failed block.
    pub(super) fn check_not_failed(&mut self) -> Result<(), Report> {
        let failed_elsewhere = self.transaction.block == Block::Explicit
            && self
                .transaction
                .txn
                .as_ref()
                .is_some_and(Transaction::is_failed);
        if failed_elsewhere {
            self.transaction.block = Block::Failed;
        }
        if self.transaction.block == Block::Failed {
            return Err(failed_block());
        }
        Ok(())
    }

    pub(super) fn in_block(&self) -> bool {
        matches!(self.transaction.block, Block::Explicit | Block::Failed)
    }

    /// A statement of the session is part of the batch's implicit transaction, too: an error
    /// later in the batch takes back what it set.
    pub(super) fn begin_implicit(&mut self) {
        if self.transaction.block == Block::Idle {
            self.transaction.block = Block::Implicit;
            self.transaction.started_at = self.now();
        }
    }

    /// The transaction that a statement runs in, begun now if there is none.
    pub(super) fn ensure_transaction(&mut self, now: i64) -> Result<Transaction, Report> {
        if let Some(txn) = &self.transaction.txn {
            return Ok(txn.clone());
        }
        self.refresh_settings();
        let options = self.transaction_options();
        let transactions = &self.engine.shared.transactions;
        let txn = transactions.begin_in_session(options, &self.state.advisory.group);
        txn.set_deadlock_standing(self.effective.transaction_priority, self.times_victim);
        if self.transaction.block == Block::Idle {
            self.transaction.block = Block::Implicit;
            self.transaction.started_at = now;
        }
        self.transaction.txn = Some(txn.clone());
        Ok(txn)
    }

    fn transaction_options(&self) -> TransactionOptions {
        let modes = &self.transaction.modes;
        let level = modes
            .isolation
            .unwrap_or_else(|| level_of(&self.effective.default_isolation));
        TransactionOptions {
            isolation: isolation_of(level),
            read_only: modes.read_only.unwrap_or(self.effective.default_read_only),
            deferrable: modes.deferrable.unwrap_or(false),
            durability: if self.effective.durable {
                Durability::Durable
            } else {
                Durability::Buffered
            },
            ..TransactionOptions::default()
        }
    }

    /// BEGIN, COMMIT and their kin.
    pub(super) async fn control_transaction(
        &mut self,
        control: &Control,
    ) -> Result<Outcome, Report> {
        let tag = match control {
            Control::Begin(modes) => {
                self.begin_block(*modes)?;
                "BEGIN"
            }
            Control::Commit { chain } => self.commit_block(*chain).await?,
            Control::Rollback { chain } => {
                self.rollback_block(*chain)?;
                "ROLLBACK"
            }
            Control::Savepoint(name) => {
                self.check_not_failed()?;
                self.require_block("SAVEPOINT")?;
                let now = self.now();
                let txn = self.ensure_transaction(now)?;
                txn.savepoint_in_turn(name).await?;
                self.settings.savepoint(name);
                self.transaction.savepoints.push(name.clone());
                "SAVEPOINT"
            }
            Control::RollbackTo(name) => {
                self.require_block("ROLLBACK TO SAVEPOINT")?;
                let at = self.find_savepoint(name)?;
                if let Some(txn) = &self.transaction.txn {
                    txn.rollback_to_in_turn(name).await?;
                }
                self.settings.rollback_to(name);
                self.transaction.savepoints.truncate(at + 1);
                self.transaction.block = Block::Explicit;
                "ROLLBACK"
            }
            Control::Release(name) => {
                self.check_not_failed()?;
                self.require_block("RELEASE SAVEPOINT")?;
                let at = self.find_savepoint(name)?;
                if let Some(txn) = &self.transaction.txn {
                    txn.release(name)?;
                }
                self.settings.release(name);
                self.transaction.savepoints.truncate(at);
                "RELEASE"
            }
            Control::Set(modes) => {
                self.check_not_failed()?;
                self.set_transaction(*modes)?;
                "SET"
            }
            Control::SetDefault(modes) => {
                self.check_not_failed()?;
                self.set_default_modes(*modes)?;
                "SET"
            }
        };
        Ok(Outcome::command(tag))
    }

    fn begin_block(&mut self, modes: TransactionModes) -> Result<(), Report> {
        self.check_not_failed()?;
        if self.transaction.block == Block::Explicit {
            self.notice(Report::warning(
                codes::ACTIVE_SQL_TRANSACTION,
                "there is already a transaction in progress",
            ));
            return self.set_transaction(modes);
        }
        if self.transaction.block == Block::Idle {
            self.transaction.started_at = self.now();
        }
        self.transaction.block = Block::Explicit;
        if let Err(report) = self.set_transaction(modes) {
            if self.transaction.txn.is_none() {
                self.reset_transaction();
            }
            return Err(report);
        }
        self.tell_characteristics();
        Ok(())
    }

    async fn commit_block(&mut self, chain: bool) -> Result<&'static str, Report> {
        if self.transaction.block == Block::Explicit {
            // Another session of this transaction may have failed.
            let _ = self.check_not_failed();
        }
        match self.transaction.block {
            Block::Idle | Block::Implicit => {
                if chain {
                    return Err(outside("COMMIT AND CHAIN"));
                }
                self.notice(no_transaction());
                if self.transaction.block == Block::Implicit {
                    self.commit_transaction().await?;
                }
                Ok("COMMIT")
            }
            Block::Explicit => {
                let modes = self.transaction.modes;
                self.commit_transaction().await?;
                if chain {
                    self.begin_block(modes)?;
                }
                Ok("COMMIT")
            }
            Block::Failed => {
                self.rollback_block(chain)?;
                Ok("ROLLBACK")
            }
        }
    }

    fn rollback_block(&mut self, chain: bool) -> Result<(), Report> {
        let modes = self.transaction.modes;
        match self.transaction.block {
            Block::Idle | Block::Implicit => {
                if chain {
                    return Err(outside("ROLLBACK AND CHAIN"));
                }
                self.notice(no_transaction());
                self.roll_back_transaction();
            }
            Block::Explicit | Block::Failed => {
                self.roll_back_transaction();
                if chain {
                    self.begin_block(modes)?;
                }
            }
        }
        Ok(())
    }

    fn set_transaction(&mut self, modes: TransactionModes) -> Result<(), Report> {
        if modes == TransactionModes::default() {
            return Ok(());
        }
        if !self.in_block() {
            self.notice(Report::warning(
                codes::NO_ACTIVE_SQL_TRANSACTION,
                "SET TRANSACTION can only be used in transaction blocks",
            ));
            return Ok(());
        }
        if let Some(txn) = &self.transaction.txn {
            // The transaction has begun: only what does not change it is possible.
            let same_level = modes
                .isolation
                .is_none_or(|level| isolation_of(level) == txn.isolation());
            if !same_level {
                return Err(Report::error(
                    codes::ACTIVE_SQL_TRANSACTION,
                    "SET TRANSACTION ISOLATION LEVEL must be called before any query",
                ));
            }
            if modes
                .read_only
                .is_some_and(|read_only| read_only != txn.is_read_only())
            {
                return Err(Report::error(
                    codes::ACTIVE_SQL_TRANSACTION,
                    "transaction access mode must be set before any query",
                ));
            }
        }
        let mine = &mut self.transaction.modes;
        mine.isolation = modes.isolation.or(mine.isolation);
        mine.read_only = modes.read_only.or(mine.read_only);
        mine.deferrable = modes.deferrable.or(mine.deferrable);
        self.tell_characteristics();
        Ok(())
    }

    fn set_default_modes(&mut self, modes: TransactionModes) -> Result<(), Report> {
        let on_off = |value: bool| Some(if value { "on" } else { "off" });
        if let Some(level) = modes.isolation {
            let words = isolation_words(level);
            self.settings
                .assign("default_transaction_isolation", Some(words), false)?;
        }
        if let Some(read_only) = modes.read_only {
            self.settings
                .assign("default_transaction_read_only", on_off(read_only), false)?;
        }
        if let Some(deferrable) = modes.deferrable {
            self.settings
                .assign("default_transaction_deferrable", on_off(deferrable), false)?;
        }
        Ok(())
    }

    /// `SET transaction_isolation = …` and its like mean SET TRANSACTION.
    pub(super) fn set_characteristic(&mut self, name: &str, value: &str) -> Result<(), Report> {
        let flag = || match value {
            "on" | "true" | "yes" | "1" => Ok(Some(true)),
            "off" | "false" | "no" | "0" => Ok(Some(false)),
            _ => Err(Report::error(
                codes::INVALID_PARAMETER_VALUE,
                format!("parameter \"{name}\" requires a Boolean value"),
            )),
        };
        let mut modes = TransactionModes::default();
        match name {
            "transaction_read_only" => modes.read_only = flag()?,
            "transaction_deferrable" => modes.deferrable = flag()?,
            _ => {
                modes.isolation = Some(match value.to_ascii_lowercase().as_str() {
                    "read uncommitted" => IsolationLevel::ReadUncommitted,
                    "read committed" => IsolationLevel::ReadCommitted,
                    "repeatable read" => IsolationLevel::RepeatableRead,
                    "serializable" => IsolationLevel::Serializable,
                    _ => {
                        return Err(Report::error(
                            codes::INVALID_PARAMETER_VALUE,
                            format!("invalid value for parameter \"{name}\": \"{value}\""),
                        ));
                    }
                });
            }
        }
        self.set_transaction(modes)
    }

    /// `SHOW tessera.transaction_token`: makes the transaction joinable.
    pub(super) fn transaction_token(&mut self) -> Result<String, Report> {
        self.require_block("SHOW tessera.transaction_token")?;
        let now = self.now();
        let token = self.ensure_transaction(now)?.token();
        // The user is part of what is shown, so that only the same user, or an administrator,
        // gets in.
        Ok(format!("{}-{token}", self.user.oid))
    }

    /// `SET tessera.join = 'token'`: takes part in the transaction that another session, or
    /// [`crate::models::Client::begin`], has begun.
    pub fn join_transaction(&mut self, token: &str) -> Result<(), Report> {
        if self.in_block() || self.transaction.txn.is_some() {
            return Err(Report::error(
                codes::ACTIVE_SQL_TRANSACTION,
                "a session inside a transaction cannot join another one",
            ));
        }
        let found = token.split_once('-').and_then(|(oid, token)| {
            let may = self.user.admin || oid.parse() == Ok(self.user.oid);
            may.then(|| self.engine.shared.transactions.join(token))
                .flatten()
        });
        let Some(txn) = found else {
            return Err(Report::error(
                codes::INVALID_PARAMETER_VALUE,
                "there is no open transaction with that token",
            )
            .with_hint("Get a token by SHOW tessera.transaction_token inside the transaction, as the same user."));
        };
        self.transaction = TransactionState {
            block: Block::Explicit,
            modes: TransactionModes {
                isolation: Some(match txn.isolation() {
                    Isolation::ReadCommitted => IsolationLevel::ReadCommitted,
                    Isolation::RepeatableRead => IsolationLevel::RepeatableRead,
                    Isolation::Serializable => IsolationLevel::Serializable,
                }),
                read_only: Some(txn.is_read_only()),
                deferrable: None,
            },
            savepoints: Vec::new(),
            started_at: txn.started_at(),
            joined: true,
            txn: Some(txn),
        };
        self.tell_characteristics();
        Ok(())
    }

    /// `RESET tessera.join`: what this session did in the joined transaction stays part of it.
    pub(super) fn leave_transaction(&mut self) {
        if self.transaction.joined {
            self.settings.commit();
            self.reset_transaction();
        }
    }

    /// Commits what there is. A session that joined only leaves: the other one decides.
    async fn commit_transaction(&mut self) -> Result<(), Report> {
        if self.transaction.joined {
            self.notice(Report::notice(
                "left the joined transaction; it is committed by the session that began it",
            ));
            self.settings.commit();
            self.reset_transaction();
            return Ok(());
        }
        let held = self.new_held_cursors();
        if !held.is_empty()
            // Running a query may end in a commit, says the compiler: hence the box.
            && let Err(report) = Box::pin(self.keep_held_cursors(held)).await
        {
            self.roll_back_transaction();
            return Err(report);
        }
        let committed = match self.transaction.txn.take() {
            Some(txn) => {
                let committed = txn.commit().await.map(drop);
                let committed = committed.map_err(|error| self.explain(error.report()));
                let outcome = if committed.is_ok() {
                    TxnOutcome::Committed
                } else {
                    TxnOutcome::Failed
                };
                self.count_transaction(&txn, outcome);
                committed
            }
            None => Ok(()),
        };
        match &committed {
            Ok(()) => self.settings.commit(),
            Err(_) => self.settings.rollback(),
        }
        self.reset_transaction();
        committed
    }

    /// Rolls everything back, for all sessions of the transaction.
    fn roll_back_transaction(&mut self) {
        if let Some(txn) = self.transaction.txn.take() {
            txn.rollback();
            self.count_transaction(&txn, TxnOutcome::RolledBack);
        }
        self.settings.rollback();
        self.reset_transaction();
    }

    fn count_transaction(&self, txn: &Transaction, outcome: TxnOutcome) {
        let took = self.now().saturating_sub(txn.started_at());
        measure::transaction_ended(outcome, txn.isolation(), took);
    }

    fn reset_transaction(&mut self) {
        if self.transaction.block != Block::Implicit || self.transaction.joined {
            self.settings.set_transaction(None);
        }
        self.drop_portals();
        self.transaction = TransactionState::default();
    }

    fn tell_characteristics(&self) {
        let modes = &self.transaction.modes;
        let level = modes
            .isolation
            .unwrap_or_else(|| level_of(&self.effective.default_isolation));
        self.settings
            .set_transaction(Some(TransactionCharacteristics {
                isolation: isolation_words(level),
                read_only: modes.read_only.unwrap_or(self.effective.default_read_only),
                deferrable: modes.deferrable.unwrap_or(false),
            }));
    }

    pub(super) fn require_block(&self, what: &str) -> Result<(), Report> {
        if self.in_block() {
            Ok(())
        } else {
            Err(outside(what))
        }
    }

    fn find_savepoint(&self, name: &str) -> Result<usize, Report> {
        self.transaction
            .savepoints
            .iter()
            .rposition(|known| known == name)
            .ok_or_else(|| {
                Report::error(
                    codes::INVALID_SAVEPOINT_SPECIFICATION,
                    format!("savepoint \"{name}\" does not exist"),
                )
            })
    }
}

/// 25P02.
fn failed_block() -> Report {
    Report::error(
        codes::IN_FAILED_SQL_TRANSACTION,
        "current transaction is aborted, commands ignored until end of transaction block",
    )
}

fn no_transaction() -> Report {
    Report::warning(
        codes::NO_ACTIVE_SQL_TRANSACTION,
        "there is no transaction in progress",
    )
}

fn outside(what: &str) -> Report {
    Report::error(
        codes::NO_ACTIVE_SQL_TRANSACTION,
        format!("{what} can only be used in transaction blocks"),
    )
}

fn isolation_words(level: IsolationLevel) -> &'static str {
    match level {
        IsolationLevel::ReadUncommitted => "read uncommitted",
        IsolationLevel::ReadCommitted => "read committed",
        IsolationLevel::RepeatableRead => "repeatable read",
        IsolationLevel::Serializable => "serializable",
    }
}

/// The level of a setting's words; they were checked when it was set.
fn level_of(words: &str) -> IsolationLevel {
    match words {
        "serializable" => IsolationLevel::Serializable,
        "repeatable read" => IsolationLevel::RepeatableRead,
        "read uncommitted" => IsolationLevel::ReadUncommitted,
        _ => IsolationLevel::ReadCommitted,
    }
}

/// What a level means here: READ UNCOMMITTED runs as READ COMMITTED, as in PostgreSQL.
fn isolation_of(level: IsolationLevel) -> Isolation {
    match level {
        IsolationLevel::ReadUncommitted | IsolationLevel::ReadCommitted => Isolation::ReadCommitted,
        IsolationLevel::RepeatableRead => Isolation::RepeatableRead,
        IsolationLevel::Serializable => Isolation::Serializable,
    }
}
