//! One client's statements and transactions.
//!
//! # Map
//! - `statement`: texts to [`PreparedStatement`]s; named ones; the cache of simple statements.
//! - `execute`: running one statement; cancelling and timeouts; rows and COPY.
//! - `transaction`: implicit and explicit transactions, savepoints, joining, what an error does.
//! - `portal`: [`Portal`]s of the protocol and SQL's cursors, in one name space.
//! - `control`: statements about the session: SET, SHOW, PREPARE, EXECUTE, FETCH, DISCARD.
//! - `listen`: LISTEN and NOTIFY.
//! - `role`: statements about users.
//! - `embedded`: whole results, for programs without a protocol.
//!
//! # Invariants
//! 1. `txn` is there from the first statement of a transaction to its end, and never longer.
//! 2. After an error the statement's writes are gone before the caller hears of it.
//! 3. Portals end with their transaction, but for cursors WITH HOLD, which own their rows.

mod control;
mod embedded;
mod execute;
mod listen;
mod portal;
mod role;
mod statement;
mod transaction;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tessera_catalog::UserDef;
use tessera_executor::{Notices, OidNames, SessionContext, SessionState, WrittenTables};
use tessera_planner::ColumnInfo;
use tessera_transactions::Transaction;
use tessera_types::{FormatContext, Report, SqlType, codes};
use tokio_util::sync::CancellationToken;

pub use execute::{CopyIn, CopyOut, Outcome, Rows};
pub use portal::{Portal, PortalStep};
pub use statement::{PreparedStatement, SourceStatement};
pub use transaction::TransactionStatus;

use crate::activity::{CancelHandle, Entry, NewSession, SqlSessions};
use crate::engine::Engine;
use crate::listening::Mailbox;
use crate::options::{DATABASE, SessionOptions};
use crate::settings::{Effective, SessionSettings};
use statement::SimpleCache;
use transaction::TransactionState;

/// One client's connection to the engine.
pub struct Session {
    engine: Engine,
    entry: Arc<Entry>,
    user: Arc<UserDef>,
    settings: Arc<SessionSettings>,
    /// The typed settings as of `generation`.
    effective: Arc<Effective>,
    generation: u64,
    /// What planning and functions know of the session; made anew when it changed.
    context: Arc<SessionContext>,
    state: Arc<SessionState>,
    /// Messages of channels, once it has listened to one.
    mailbox: Option<Arc<Mailbox>>,
    notices: Arc<Notices>,
    transaction: TransactionState,
    statements: HashMap<String, Arc<PreparedStatement>>,
    unnamed_statement: Option<Arc<PreparedStatement>>,
    simple: SimpleCache,
    portals: HashMap<String, Portal>,
    unnamed_portal: Option<Portal>,
    /// Whether the session told `pg_stat_activity` that it is at work.
    active: bool,
    /// The client says that the batch ends after the next statement.
    ends_batch: bool,
    /// How often the present statement was run again.
    times_victim: u32,
    /// Runs out while the present statement runs.
    deadline: Option<tokio::time::Instant>,
}

impl Session {
    pub(crate) fn open(
        engine: Engine,
        user: Arc<UserDef>,
        options: SessionOptions,
    ) -> Result<Session, Report> {
        let shared = &engine.shared;
        let name: Arc<str> = Arc::from(user.name.as_str());
        let on_off = |value: bool| if value { "on" } else { "off" }.to_owned();
        let facts = [
            ("is_superuser", on_off(user.admin)),
            ("session_authorization", user.name.clone()),
            ("max_connections", shared.options.sessions_max.to_string()),
            (
                "superuser_reserved_connections",
                shared.options.sessions_reserved.to_string(),
            ),
        ];
        let settings = SessionSettings::new(name.clone(), &shared.options.setting_defaults, &facts)
            .map_err(fatal)?;
        for (name, value) in &options.settings {
            settings.set_at_start(name, value).map_err(fatal)?;
        }
        settings.commit();
        let settings = Arc::new(settings);
        let effective = settings.effective();
        let state = Arc::new(SessionState::default());
        let entry = shared.sessions.add(NewSession {
            user: name.clone(),
            is_admin: user.admin,
            peer: options.peer,
            protocol: options.protocol,
            application_name: effective.application_name.clone(),
            now: shared.environment.clock.unix_micros(),
            secret: shared.environment.random.u64() as i32,
            state: state.clone(),
        })?;
        let _ = state.server.set(Arc::new(SqlSessions {
            sessions: shared.sessions.clone(),
            catalog: shared.catalog.clone(),
        }));
        let context = Arc::new(SessionContext {
            catalog: shared.catalog.state(),
            search_path: effective.search_path.clone(),
            session_user: name.clone(),
            user: name,
            database: Arc::from(DATABASE),
            process_id: entry.process_id,
            format: effective.format.clone(),
            settings: settings.clone(),
            short_path: effective.short_path,
            query_memory_bytes_max: effective.query_memory_bytes,
            lock_timeout: effective.lock_timeout,
            adaptive_lock_timeout: effective.adaptive_lock_timeout,
            state: state.clone(),
            written: WrittenTables::default(),
        });
        Ok(Session {
            generation: settings.generation(),
            transaction: TransactionState::default(),
            statements: HashMap::new(),
            unnamed_statement: None,
            simple: SimpleCache::default(),
            portals: HashMap::new(),
            unnamed_portal: None,
            mailbox: None,
            notices: Arc::default(),
            active: false,
            ends_batch: false,
            times_victim: 0,
            deadline: None,
            engine,
            entry,
            user,
            settings,
            effective,
            context,
            state,
        })
    }

    /// The engine it belongs to.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Name of the user.
    pub fn user(&self) -> &str {
        &self.user.name
    }

    /// Whether the user is an administrator.
    pub fn is_admin(&self) -> bool {
        self.user.admin
    }

    /// The session's number and the key that a cancel request must bring.
    pub fn cancel_key(&self) -> (i32, i32) {
        (self.entry.process_id, self.entry.secret)
    }

    /// For cancelling from another task.
    pub fn cancel_handle(&self) -> CancelHandle {
        CancelHandle {
            entry: self.entry.clone(),
        }
    }

    /// Fires when the session must end: shutdown, or `pg_terminate_backend`.
    pub fn terminated(&self) -> &CancellationToken {
        self.entry.terminated()
    }

    /// What a terminated session's client is told.
    pub fn termination_report() -> Report {
        Report::fatal(
            codes::ADMIN_SHUTDOWN,
            "terminating connection due to administrator command",
        )
    }

    /// How long the session may stay idle as it is now.
    pub fn idle_limit(&self) -> Option<Duration> {
        match self.status() {
            TransactionStatus::Idle => self.effective.idle_session_timeout,
            TransactionStatus::InTransaction | TransactionStatus::Failed => {
                self.effective.idle_in_transaction_timeout
            }
        }
    }

    /// What the client is told when it stayed idle for too long.
    pub fn idle_report(&self) -> Report {
        match self.status() {
            TransactionStatus::Idle => Report::fatal(
                codes::IDLE_SESSION_TIMEOUT,
                "terminating connection due to idle-session timeout",
            ),
            TransactionStatus::InTransaction | TransactionStatus::Failed => Report::fatal(
                codes::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                "terminating connection due to idle-in-transaction timeout",
            ),
        }
    }

    /// Notices and warnings since the last call that the client wants to hear.
    pub fn take_notices(&mut self) -> Vec<Report> {
        let mut notices = self.notices.take();
        notices.retain(|notice| self.effective.wants(notice.severity));
        notices
    }

    /// Settings that the client is told when the session begins.
    pub fn reported_settings(&self) -> Vec<(&'static str, String)> {
        self.settings.reported()
    }

    /// Settings that changed since the last call and that the client is told.
    pub fn take_setting_changes(&mut self) -> Vec<(&'static str, String)> {
        if self.generation == self.settings.generation() {
            return Vec::new();
        }
        self.refresh_settings();
        self.settings.take_reports()
    }

    /// How values turn into text under the session's settings.
    pub fn format(&self) -> &Arc<FormatContext> {
        &self.effective.format
    }

    /// Ends the session: rolls back what is open. Dropping it does the same.
    pub fn close(self) {}

    /// Names for results with these columns, when one is of a type such as `regclass`.
    pub fn oid_names(&self, columns: &[ColumnInfo]) -> Option<OidNames> {
        let types = columns.iter().map(|column| &column.sql_type);
        OidNames::for_types(&self.engine.shared.executor, &self.context, types)
    }

    /// The oid that a name stands for, as a value of a type such as `regclass`.
    pub fn oid_of_name(&self, sql_type: &SqlType, name: &str) -> Result<u32, Report> {
        OidNames::new(&self.engine.shared.executor, &self.context).oid(sql_type, name)
    }

    fn notice(&self, report: Report) {
        self.notices.push(report);
    }

    fn now(&self) -> i64 {
        self.engine.shared.environment.clock.unix_micros()
    }

    /// Takes over changed settings.
    fn refresh_settings(&mut self) {
        let generation = self.settings.generation();
        if generation == self.generation {
            return;
        }
        let before = self.effective.application_name.clone();
        self.effective = self.settings.effective();
        self.generation = generation;
        if before != self.effective.application_name {
            self.entry
                .set_application_name(&self.effective.application_name);
        }
        let mut context = SessionContext::clone(&self.context);
        context.search_path = self.effective.search_path.clone();
        context.format = self.effective.format.clone();
        context.short_path = self.effective.short_path;
        context.query_memory_bytes_max = self.effective.query_memory_bytes;
        context.lock_timeout = self.effective.lock_timeout;
        context.adaptive_lock_timeout = self.effective.adaptive_lock_timeout;
        self.context = Arc::new(context);
    }

    /// The session as the next statement sees it.
    fn context(&mut self) -> Arc<SessionContext> {
        self.refresh_settings();
        let catalog = &self.engine.shared.catalog;
        let state = match self.transaction.txn() {
            Some(txn) => catalog.state_for(txn),
            None => catalog.state(),
        };
        if !Arc::ptr_eq(&state, &self.context.catalog) {
            let mut context = SessionContext::clone(&self.context);
            context.catalog = state;
            self.context = Arc::new(context);
        }
        self.context.clone()
    }

    fn release_advisory_locks(&self) {
        let locks = self.engine.shared.transactions.locks();
        self.state.advisory.release_all(locks);
    }

    fn txn(&self) -> Option<&Transaction> {
        self.transaction.txn()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.transaction.abandon();
        self.release_advisory_locks();
        self.close_mailbox();
        self.engine.shared.sessions.remove(self.entry.process_id);
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("process_id", &self.entry.process_id)
            .field("user", &self.user.name)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

/// A wrong setting ends the connection that brings it.
fn fatal(report: Report) -> Report {
    report.with_severity(tessera_types::Severity::Fatal)
}
