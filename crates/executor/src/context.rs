//! What a statement may know: its session, its transaction, its parameters, its clock.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use datafusion::common::config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions};
use datafusion::common::{Result as DfResult, config_err};
use parking_lot::Mutex;
use tessera_catalog::{Catalog, CatalogState};
use tessera_locks::LockManager;
use tessera_transactions::{Transaction, TxnView};
use tessera_types::{FormatContext, RelationId, Report, TxnId, Value};
use tokio_util::sync::CancellationToken;

use crate::executor::Executor;
use crate::system_catalog::SystemTable;

use crate::system_catalog::advisory::AdvisoryLocks;

/// Values of settings, kept by the engine; also behind `current_setting` and `pg_settings`.
pub trait Settings: Send + Sync {
    /// The value of a setting as text; `None` when there is no such setting.
    fn get(&self, name: &str) -> Option<String>;
    /// `set_config(name, value, is_local)`.
    fn set(&self, name: &str, value: &str, local: bool) -> Result<(), Report>;
    /// All settings, sorted by name.
    fn list(&self) -> Vec<SettingRow>;
}

/// One row of `pg_settings`.
#[derive(Debug, Clone)]
pub struct SettingRow {
    /// Name.
    pub name: String,
    /// Value as text.
    pub value: String,
    /// Default as text.
    pub default: String,
    /// `bool`, `integer`, `real`, `string` or `enum`.
    pub kind: &'static str,
    /// `ms`, `kB` and so on.
    pub unit: Option<&'static str>,
    /// One line of explanation.
    pub description: &'static str,
}

/// The session as planning and functions see it. Made anew when something of it changes.
#[derive(Clone)]
pub struct SessionContext {
    /// The catalog as the current transaction sees it.
    pub catalog: Arc<CatalogState>,
    /// Schemas where unqualified names are looked up, after `pg_catalog`; the first existing
    /// one is where new objects go.
    pub search_path: Arc<[String]>,
    /// User who logged in.
    pub session_user: Arc<str>,
    /// User whose rights count now.
    pub user: Arc<str>,
    /// Name of the database.
    pub database: Arc<str>,
    /// Process id as the client knows it.
    pub process_id: i32,
    /// Date style, time zone and so on.
    pub format: Arc<FormatContext>,
    /// Settings by name.
    pub settings: Arc<dyn Settings>,
    /// `tessera.short_path`.
    pub short_path: bool,
    /// `work_mem`-like limit of one query; `None` = the executor's default.
    pub query_memory_bytes_max: Option<usize>,
    /// `lock_timeout`.
    pub lock_timeout: Option<Duration>,
    /// Without a lock timeout, wait as long as usual holds suggest.
    pub adaptive_lock_timeout: bool,
    /// State that outlives statements: sequences' last values, …
    pub state: Arc<SessionState>,
    /// What the WITH queries of the statement return that write.
    pub written: WrittenTables,
}

/// Relations that stand for what WITH queries returned after they wrote, in order.
#[derive(Clone, Default)]
pub struct WrittenTables(Arc<Vec<Arc<SystemTable>>>);

impl WrittenTables {
    pub(crate) fn push(&mut self, table: Arc<SystemTable>) {
        Arc::make_mut(&mut self.0).push(table);
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Arc<SystemTable>> {
        self.0.iter().find(|table| table.name == name)
    }
}

/// Rows that a WITH query returned.
pub(crate) type WrittenRows = Arc<[Vec<Value>]>;

/// The rows of the statement's [`WrittenTables`], as far as they have run.
#[derive(Clone, Default)]
pub struct Written(Vec<WrittenRows>);

impl Written {
    pub(crate) fn push(&mut self, rows: WrittenRows) {
        self.0.push(rows);
    }

    pub(crate) fn of(&self, at: usize) -> Vec<Vec<Value>> {
        self.0.get(at).map(|rows| rows.to_vec()).unwrap_or_default()
    }
}

/// The sessions of the server, kept by the engine; behind `pg_stat_activity` and
/// `pg_cancel_backend`.
pub trait ServerSessions: Send + Sync {
    /// All open sessions, by process id.
    fn list(&self) -> Vec<SessionRow>;
    /// Ends the running statement of a session, or the whole session. False when there is none of
    /// that number; 42501 when `by` has no right to.
    fn signal(&self, process_id: i32, by: &str, terminate: bool) -> Result<bool, Report>;
}

/// One row of `pg_stat_activity`. Times are microseconds since 1970.
#[derive(Debug, Clone)]
pub struct SessionRow {
    /// Number of the session.
    pub process_id: i32,
    /// Name of its user.
    pub user: String,
    /// `application_name`.
    pub application_name: String,
    /// Address of the client, if it came over a network.
    pub peer: Option<std::net::SocketAddr>,
    /// When the session began.
    pub started_at: i64,
    /// The transaction it is in.
    pub transaction: Option<TxnId>,
    /// The holder of its advisory locks, if it ever took one.
    pub advisory_owner: Option<TxnId>,
    /// When its transaction began.
    pub transaction_started_at: Option<i64>,
    /// When its running or last statement began.
    pub statement_started_at: Option<i64>,
    /// When `state` changed.
    pub state_changed_at: i64,
    /// `active`, `idle`, …
    pub state: &'static str,
    /// Text of the running or last statement.
    pub query: String,
}

impl SessionContext {
    /// The session in a statement of which some WITH queries write.
    pub(crate) fn with_written(self: &Arc<Self>, tables: &WrittenTables) -> Arc<SessionContext> {
        Arc::new(SessionContext {
            written: tables.clone(),
            ..self.as_ref().clone()
        })
    }

    /// How long a lock is waited for.
    pub fn lock_patience(&self, locks: &LockManager) -> Option<Duration> {
        let adaptive = || self.adaptive_lock_timeout.then(|| locks.adaptive_timeout());
        self.lock_timeout.or_else(adaptive)
    }

    /// The session as a statement of a transaction sees it that began at this time: what `now`
    /// and `today` in literals mean.
    pub(crate) fn at(self: &Arc<Self>, transaction_micros: i64) -> Arc<SessionContext> {
        if self.format.now_micros == transaction_micros {
            return self.clone();
        }
        let format = FormatContext {
            now_micros: transaction_micros,
            ..*self.format
        };
        Arc::new(SessionContext {
            format: Arc::new(format),
            ..self.as_ref().clone()
        })
    }
}

/// What functions remember over the statements of one session.
#[derive(Default)]
pub struct SessionState {
    /// All sessions of the server; set once, by the engine.
    pub server: std::sync::OnceLock<Arc<dyn ServerSessions>>,
    /// `currval` per sequence and `lastval`.
    pub sequences: Mutex<SequenceState>,
    /// State of `random()` after `setseed`.
    pub random_seed: Mutex<Option<u64>>,
    /// Advisory locks that outlive transactions.
    pub advisory: AdvisoryLocks,
    /// Channels that the session listens to.
    pub listening: ListeningChannels,
}

/// Channels that a session listens to; kept by the engine, shown by `pg_listening_channels`.
pub type ListeningChannels = Arc<Mutex<std::collections::BTreeSet<Arc<str>>>>;

/// What `currval` and `lastval` answer.
#[derive(Debug, Default)]
pub struct SequenceState {
    /// Last value that `nextval` gave, by sequence.
    pub values: std::collections::HashMap<RelationId, i64>,
    /// The sequence that `nextval` was last called for.
    pub last: Option<RelationId>,
}

/// Notices for the client, in order. Bounded: the oldest stay, the rest is counted.
#[derive(Debug, Default)]
pub struct Notices(Mutex<Vec<Report>>);

/// Notices kept for one statement.
const NOTICES_MAX: usize = 1_000;

impl Notices {
    /// Adds a notice or warning.
    pub fn push(&self, report: Report) {
        let mut all = self.0.lock();
        if all.len() < NOTICES_MAX {
            all.push(report);
        }
    }

    /// Takes what has come in.
    pub fn take(&self) -> Vec<Report> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// Everything one execution of a statement needs.
#[derive(Clone)]
pub struct StatementContext {
    /// The session.
    pub session: Arc<SessionContext>,
    /// The transaction. The engine begins one where the client did not.
    pub txn: Transaction,
    /// Values of `$1`, `$2`, …, of the types that `Prepared::params` says.
    pub params: Arc<[Value]>,
    /// Ends the statement: cancel request, statement timeout, disconnect.
    pub cancel: CancellationToken,
    /// When the transaction began, µs since 1970: `now()`.
    pub transaction_micros: i64,
    /// When the statement arrived, µs since 1970: `statement_timestamp()`.
    pub statement_micros: i64,
    /// Where notices go.
    pub notices: Arc<Notices>,
    /// The data this statement reads. The executor sets it when the statement starts.
    pub view: Option<Arc<TxnView>>,
    /// Relations with a locked row that changed meanwhile are read as they are now.
    pub newest: Option<Arc<NewestOf>>,
    /// Rows of the session's `written` relations.
    pub written: Written,
    /// Whether the transaction goes on after the statement.
    pub in_block: bool,
}

/// Some relations as of now: a row of theirs is locked and looked at again. All others keep the
/// statement's snapshot, as in PostgreSQL's EvalPlanQual.
#[derive(Debug)]
pub struct NewestOf {
    pub(crate) relations: Vec<RelationId>,
    pub(crate) view: Arc<TxnView>,
}

impl StatementContext {
    /// The data this statement reads; an internal error before the statement has started.
    pub fn view(&self) -> Result<&Arc<TxnView>, Report> {
        self.view
            .as_ref()
            .ok_or_else(|| Report::internal("the statement has no snapshot yet"))
    }

    /// The data in which a relation is read.
    pub(crate) fn view_of(&self, relation: RelationId) -> Result<&Arc<TxnView>, Report> {
        match &self.newest {
            Some(newest) if newest.relations.contains(&relation) => Ok(&newest.view),
            _ => self.view(),
        }
    }

    /// The same statement, looking again at rows of these relations that are locked now.
    pub(crate) fn looking_again(&self, relations: Vec<RelationId>) -> StatementContext {
        let view = self.txn.newest_view();
        StatementContext {
            newest: Some(Arc::new(NewestOf { relations, view })),
            ..self.clone()
        }
    }

    /// `Err` (57014) once the statement was cancelled.
    pub fn check_cancelled(&self) -> Result<(), Report> {
        if self.cancel.is_cancelled() {
            return Err(Report::error(
                tessera_types::codes::QUERY_CANCELED,
                "canceling statement due to user request",
            ));
        }
        Ok(())
    }
}

/// Carries the statement through DataFusion: functions find it in their `config_options`,
/// scans in the task's session configuration.
#[derive(Clone)]
pub(crate) struct StatementExtension {
    pub(crate) statement: StatementContext,
    pub(crate) executor: Executor,
    /// Ranges of scans with several partitions, cut once for each execution.
    pub(crate) ranges: SharedRanges,
}

/// Ranges by the scan's id.
pub(crate) type SharedRanges =
    Arc<Mutex<std::collections::HashMap<u64, Arc<[tessera_storage::KeyRange]>>>>;

impl StatementExtension {
    /// The statement that runs, if any (constant folding while planning has none).
    pub(crate) fn of(options: &ConfigOptions) -> Option<&StatementExtension> {
        options.extensions.get::<StatementExtension>()
    }
}

/// The statement that a function is evaluated for.
pub fn statement_of(options: &ConfigOptions) -> Result<&StatementContext, Report> {
    StatementExtension::of(options)
        .map(|extension| &extension.statement)
        .ok_or_else(|| Report::internal("this function needs a running statement"))
}

/// The catalog behind the statement that a function is evaluated for.
pub fn catalog_of(options: &ConfigOptions) -> Result<&Arc<Catalog>, Report> {
    StatementExtension::of(options)
        .map(|extension| extension.executor.catalog())
        .ok_or_else(|| Report::internal("this function needs a running statement"))
}

impl ConfigExtension for StatementExtension {
    const PREFIX: &'static str = "tessera";
}

impl ExtensionOptions for StatementExtension {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _: &str) -> DfResult<()> {
        config_err!("tessera.{key} is not an option of the query engine")
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}

impl fmt::Debug for StatementExtension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StatementExtension")
    }
}
