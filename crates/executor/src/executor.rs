//! Prepares and executes statements; holds what all of them share.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tessera_catalog::{Catalog, TableDef};
use tessera_documents::Collection;
use tessera_keyvalue::Space;
use tessera_planner::functions::FunctionRegistry;
use tessera_planner::{ColumnInfo, Parsed, Statement, mask_literals};
use tessera_transactions::Transactions;
use tessera_types::{FormatContext, Report, SqlType};

use crate::context::{SessionContext, StatementContext};
use crate::models::OpenModels;
use crate::outcome::Outcome;
use crate::query::QueryEngine;
use crate::system_catalog::SystemTables;
use crate::{copy, ddl, dml, explain, functions, operators, query, short_path, system_catalog};

/// Limits and places of query execution.
#[derive(Debug, Clone)]
pub struct ExecutorOptions {
    /// Memory that all running queries may hold together.
    pub memory_budget_bytes: usize,
    /// Memory that one query may hold, unless its session says otherwise.
    pub query_memory_bytes_max: usize,
    /// Folder for spilled data; emptied when the executor is made. `None`: queries do not spill.
    pub spill_directory: Option<PathBuf>,
    /// Bytes of spilled data at one time.
    pub spill_bytes_max: u64,
    /// Runtime for query work; `None` means the caller's.
    pub runtime: Option<tokio::runtime::Handle>,
    /// Partitions of one query.
    pub parallelism: usize,
    /// Rows per batch.
    pub batch_rows: usize,
    /// Bound plans kept.
    pub plan_cache_entries_max: usize,
}

impl Default for ExecutorOptions {
    fn default() -> Self {
        ExecutorOptions {
            memory_budget_bytes: 1 << 30,
            query_memory_bytes_max: 512 << 20,
            spill_directory: None,
            spill_bytes_max: 64 << 30,
            runtime: None,
            parallelism: std::thread::available_parallelism().map_or(1, usize::from),
            batch_rows: 8192,
            plan_cache_entries_max: 1_000,
        }
    }
}

/// Executes statements. Cheap to clone; one per engine.
#[derive(Clone)]
pub struct Executor {
    shared: Arc<Shared>,
}

struct Shared {
    options: ExecutorOptions,
    catalog: Arc<Catalog>,
    transactions: Arc<Transactions>,
    registry: Arc<FunctionRegistry>,
    system_tables: Arc<SystemTables>,
    queries: QueryEngine,
    writes: dml::cache::WriteCache,
    plans: PlanCache,
    models: OnceLock<Arc<dyn OpenModels>>,
}

/// A statement with its names and types resolved. Valid as long as the catalog it was prepared
/// under; [`Executor::execute`] prepares it again when the catalog has changed. Cheap to clone.
#[derive(Clone)]
pub struct Prepared {
    /// The statement.
    pub parsed: Arc<Parsed>,
    /// Type of each parameter.
    pub params: Vec<SqlType>,
    /// Columns of the result; `None` when it returns no rows.
    pub columns: Option<Arc<[ColumnInfo]>>,
    /// Types of the parameters as the client gave them, for preparing again.
    given_types: Vec<Option<SqlType>>,
    /// Catalog and session values that the plan depends on.
    validity: Validity,
    plan: Arc<Plan>,
    /// The statement without its literals, made when it first runs: what others are told of it.
    masked: Arc<OnceLock<Arc<str>>>,
}

/// What a plan was made under.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Validity {
    catalog_version: u64,
    search_path: Arc<[String]>,
    user: Arc<str>,
    format: FormatContext,
    short_path: bool,
}

/// How a prepared statement runs.
enum Plan {
    Query(query::PreparedQuery),
    Short(short_path::ShortPlan),
    Write(dml::PreparedWrite),
    Ddl(ddl::PreparedDdl),
    Copy(copy::PreparedCopy),
    Explain(explain::PreparedExplain),
}

impl Prepared {
    /// Whether it runs on the store directly.
    pub fn is_short_path(&self) -> bool {
        self.short_plan().is_some()
    }

    /// The text for errors and views of other sessions: without literals.
    fn masked_text(&self) -> Arc<str> {
        let mask = || mask_literals(&self.parsed.text).into();
        self.masked.get_or_init(mask).clone()
    }

    /// The short path's plan, when the statement has one.
    pub(crate) fn short_plan(&self) -> Option<&short_path::ShortPlan> {
        match self.plan.as_ref() {
            Plan::Short(plan) => Some(plan),
            _ => None,
        }
    }

    /// The query plan, when the statement is an ordinary query.
    pub(crate) fn query(&self) -> Option<&query::PreparedQuery> {
        match self.plan.as_ref() {
            Plan::Query(query) => Some(query),
            _ => None,
        }
    }

    /// The write's plan, when the statement is one.
    pub(crate) fn write(&self) -> Option<&dml::PreparedWrite> {
        match self.plan.as_ref() {
            Plan::Write(write) => Some(write),
            _ => None,
        }
    }
}

impl Executor {
    /// An executor over this catalog and these transactions.
    pub fn new(
        options: ExecutorOptions,
        catalog: Arc<Catalog>,
        transactions: Arc<Transactions>,
    ) -> Result<Executor, Report> {
        let mut registry = FunctionRegistry::new();
        operators::register(&mut registry);
        functions::register(&mut registry);
        system_catalog::register_functions(&mut registry);
        let mut system_tables = SystemTables::new();
        system_catalog::register_tables(&mut system_tables);
        let queries = QueryEngine::new(&options)?;
        Ok(Executor {
            shared: Arc::new(Shared {
                options,
                catalog,
                transactions,
                registry: Arc::new(registry),
                system_tables: Arc::new(system_tables),
                queries,
                writes: dml::cache::WriteCache::default(),
                plans: PlanCache::default(),
                models: OnceLock::new(),
            }),
        })
    }

    /// The options it was made with.
    pub fn options(&self) -> &ExecutorOptions {
        &self.shared.options
    }

    /// The catalog.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.shared.catalog
    }

    /// The transactions.
    pub fn transactions(&self) -> &Arc<Transactions> {
        &self.shared.transactions
    }

    /// Functions, operators, casts.
    pub fn registry(&self) -> &Arc<FunctionRegistry> {
        &self.shared.registry
    }

    /// The tables of `pg_catalog` and `information_schema`.
    pub(crate) fn system_tables(&self) -> &Arc<SystemTables> {
        &self.shared.system_tables
    }

    /// Says who opens key spaces and collections; once, by the engine.
    pub fn set_models(&self, models: Arc<dyn OpenModels>) {
        let _ = self.shared.models.set(models);
    }

    fn models(&self) -> Result<&Arc<dyn OpenModels>, Report> {
        let models = self.shared.models.get();
        models.ok_or_else(|| Report::internal("nobody opens key spaces and collections"))
    }

    /// The space of a relation.
    pub(crate) async fn space(&self, table: &TableDef) -> Result<Arc<Space>, Report> {
        self.models()?.space(table).await
    }

    /// The collection of a relation.
    pub(crate) fn collection(&self, table: &Arc<TableDef>) -> Result<Arc<Collection>, Report> {
        self.models()?.collection(table)
    }

    /// Tables prepared for writing, and what else writes share.
    pub(crate) fn writes(&self) -> &dml::cache::WriteCache {
        &self.shared.writes
    }

    pub(crate) fn queries(&self) -> &QueryEngine {
        &self.shared.queries
    }

    /// Resolves names and types. `types` are those the client declared; the rest is inferred.
    pub fn prepare(
        &self,
        parsed: &Arc<Parsed>,
        session: &Arc<SessionContext>,
        types: &[Option<SqlType>],
    ) -> Result<Prepared, Report> {
        let validity = validity_of(session);
        if let Some(found) = self.shared.plans.find(parsed, types, &validity) {
            return Ok(found);
        }
        let mut params = types.to_vec();
        let (plan, columns) = match &parsed.statement {
            Statement::Query(query) => {
                match short_path::plan_query(self, query, session, &mut params)? {
                    Some((plan, columns)) => (Plan::Short(plan), Some(columns)),
                    None => {
                        let prepared = query::prepare(self, parsed, query, session, &mut params)?;
                        let columns = prepared.columns().clone();
                        (Plan::Query(prepared), Some(columns))
                    }
                }
            }
            Statement::Write(write) => {
                match short_path::plan_write(self, write, session, &mut params)? {
                    Some((plan, columns)) => (Plan::Short(plan), columns),
                    None => {
                        let (plan, columns) =
                            dml::prepare(self, parsed, write, session, &mut params)?;
                        (Plan::Write(plan), columns)
                    }
                }
            }
            Statement::Ddl(_)
            | Statement::Model(_)
            | Statement::CreateTableAs(_)
            | Statement::Maintenance(_) => (
                Plan::Ddl(ddl::prepare(self, parsed, session, &mut params)?),
                None,
            ),
            Statement::Copy(statement) => (
                Plan::Copy(copy::prepare(self, parsed, statement, session)?),
                None,
            ),
            Statement::Explain(explain) => {
                let plan = explain::prepare(self, explain, session, &mut params)?;
                let columns = plan.columns();
                (Plan::Explain(plan), Some(columns))
            }
            other => {
                return Err(Report::internal(format!(
                    "{} is a statement of the session, not of the executor",
                    other.verb()
                )));
            }
        };
        let params = params
            .into_iter()
            .map(|found| found.unwrap_or(SqlType::Text))
            .collect();
        let prepared = Prepared {
            parsed: parsed.clone(),
            params,
            columns,
            given_types: types.to_vec(),
            validity,
            plan: Arc::new(plan),
            masked: Arc::default(),
        };
        self.shared
            .plans
            .keep(&prepared, self.shared.options.plan_cache_entries_max);
        Ok(prepared)
    }

    /// Runs a prepared statement as one statement of its transaction.
    ///
    /// On an error the statement's writes are undone; the transaction goes on or not as the
    /// engine decides.
    pub async fn execute(
        &self,
        prepared: &Prepared,
        context: &StatementContext,
    ) -> Result<Outcome, Report> {
        if prepared.validity != validity_of(&context.session) {
            let again = self.prepare(&prepared.parsed, &context.session, &prepared.given_types)?;
            if again.columns != prepared.columns {
                return Err(Report::error(
                    tessera_types::codes::FEATURE_NOT_SUPPORTED,
                    "cached plan must not change result type",
                ));
            }
            return self.execute_valid(&again, context).await;
        }
        self.execute_valid(prepared, context).await
    }

    async fn execute_valid(
        &self,
        prepared: &Prepared,
        context: &StatementContext,
    ) -> Result<Outcome, Report> {
        context.check_cancelled()?;
        let guard = context
            .txn
            .start_statement()
            .await
            .map_err(|error| error.report())?;
        // What others are told when they wait for this one, and how long this one waits.
        context.txn.set_statement_text(Some(prepared.masked_text()));
        let locks = self.shared.transactions.locks();
        context
            .txn
            .set_lock_timeout(context.session.lock_patience(locks));
        let mut context = context.clone();
        context.session = context.session.at(context.transaction_micros);
        context.view = Some(context.txn.view());
        match self.execute_plan(prepared, &context).await {
            Ok(outcome) => {
                guard.finish();
                Ok(outcome)
            }
            Err(report) => {
                guard.undo();
                Err(report)
            }
        }
    }

    /// Runs a prepared statement within a statement that has started.
    pub(crate) async fn execute_plan(
        &self,
        prepared: &Prepared,
        context: &StatementContext,
    ) -> Result<Outcome, Report> {
        match prepared.plan.as_ref() {
            Plan::Query(query) => query::execute(self, query, context).await,
            Plan::Short(plan) => short_path::execute(self, plan, context).await,
            Plan::Write(write) => dml::execute(self, write, context).await,
            Plan::Ddl(ddl) => ddl::execute(self, ddl, context).await,
            Plan::Copy(copy) => copy::execute(self, copy, context).await,
            Plan::Explain(explain) => explain::execute(self, explain, context).await,
        }
    }

    /// Runs one query text of our own (system views, `\d`), and gives all its rows.
    pub async fn query_values(
        &self,
        sql: &str,
        context: &StatementContext,
    ) -> Result<Vec<Vec<tessera_types::Value>>, Report> {
        let parsed = tessera_planner::parse(sql)?;
        let [parsed] = <[Parsed; 1]>::try_from(parsed)
            .map_err(|_| Report::internal("one statement expected"))?;
        let prepared = self.prepare(&Arc::new(parsed), &context.session, &[])?;
        match Box::pin(self.execute(&prepared, context)).await? {
            Outcome::Rows(rows) => rows.collect().await,
            _ => Ok(Vec::new()),
        }
    }
}

/// Texts longer than this are not kept in the plan cache.
const CACHED_TEXT_BYTES_MAX: usize = 16 << 10;

/// Prepared queries and writes by text and declared parameter types.
///
/// A plan made under another catalog or search path is never given: its validity differs.
#[derive(Default)]
struct PlanCache {
    plans: Mutex<HashMap<PlanKey, Prepared>>,
}

/// What makes two statements the same.
type PlanKey = (Arc<str>, Vec<Option<SqlType>>);

impl PlanCache {
    fn find(
        &self,
        parsed: &Parsed,
        types: &[Option<SqlType>],
        validity: &Validity,
    ) -> Option<Prepared> {
        if !is_cached(parsed) {
            return None;
        }
        let plans = self.plans.lock();
        let found = plans.get(&(parsed.text.clone(), types.to_vec()))?;
        (found.validity == *validity).then(|| found.clone())
    }

    fn keep(&self, prepared: &Prepared, entries_max: usize) {
        if !is_cached(&prepared.parsed) {
            return;
        }
        let mut plans = self.plans.lock();
        if plans.len() >= entries_max {
            // Rare, and cheap to fill again: what is used comes back at once.
            plans.clear();
        }
        let key = (prepared.parsed.text.clone(), prepared.given_types.clone());
        if entries_max > 0 {
            plans.insert(key, prepared.clone());
        }
    }
}

/// Statements whose text says all. Without a text (a part of another statement) there is none.
fn is_cached(parsed: &Parsed) -> bool {
    !parsed.text.is_empty()
        && parsed.text.len() <= CACHED_TEXT_BYTES_MAX
        && matches!(parsed.statement, Statement::Query(_) | Statement::Write(_))
}

fn validity_of(session: &SessionContext) -> Validity {
    Validity {
        catalog_version: session.catalog.version(),
        search_path: session.search_path.clone(),
        user: session.user.clone(),
        // The clock is not part of how literals are read; `now` in them is evaluated late.
        format: FormatContext {
            now_micros: 0,
            ..*session.format
        },
        short_path: session.short_path,
    }
}
