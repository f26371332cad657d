//! Opening, closing and watching an engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use tessera_catalog::{Catalog, UserSpec};
use tessera_environment::Environment;
use tessera_executor::{Executor, ExecutorOptions};
use tessera_locks::LockManager;
use tessera_storage::{BaseKind, EmbeddedOptions, Mode, Store, StoreStatistics, Watching};
use tessera_transactions::{
    ActiveTransaction, TransactionOptions, Transactions, TransactionsOptions,
};
use tessera_types::{Report, codes};

use crate::activity::{SessionInfo, Sessions};
use crate::background::Background;
use crate::listening::Notifier;
use crate::models::Models;
use crate::options::{ADMIN, DATABASE, EngineOptions, SessionOptions, StoreKind};
use crate::scram::{ITERATIONS, SALT_BYTES, Verifier};
use crate::session::Session;
use crate::users::Users;

/// Part of the memory that caches of stored data take, if nothing else is said: one of so many.
const CACHE_SHARE: u64 = 8;
/// What they take at least.
const CACHE_BYTES_MIN: u64 = 64 << 20;
/// Bytes of randomness in a generated password.
const GENERATED_PASSWORD_BYTES: usize = 18;

/// An open database. Cheap to clone; [`Engine::close`] ends it for all clones.
#[derive(Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
}

/// What all sessions of an engine share.
pub(crate) struct Shared {
    pub(crate) options: EngineOptions,
    pub(crate) environment: Environment,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) transactions: Arc<Transactions>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) executor: Executor,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) models: Arc<Models>,
    pub(crate) notifier: Arc<Notifier>,
    /// Hands the messages of commits to the notifier.
    _notifying: Watching,
    background: Background,
    query_runtime: Mutex<Option<tokio::runtime::Runtime>>,
    /// Makes the answers for unknown users; new with every opening.
    mock_secret: [u8; 32],
    generated_password: Mutex<Option<String>>,
    closed: AtomicBool,
}

/// What the health endpoints tell.
#[derive(Clone, Debug)]
pub struct Health {
    /// Statements are answered.
    pub ready: bool,
    /// Why writes are refused, if they are: disk full, damaged store.
    pub read_only_reason: Option<String>,
    /// Sessions open now.
    pub sessions: usize,
    /// Transactions open now.
    pub transactions: usize,
    /// Data in memory that the next checkpoint moves, bytes.
    pub recent_bytes: u64,
}

impl Engine {
    /// Opens the data directory, making it at the first start.
    ///
    /// # Errors
    /// Another server uses the directory, its format is newer, or it cannot be read.
    pub async fn open(options: EngineOptions) -> Result<Engine, Report> {
        let environment = options.environment.clone();
        let store = open_store(&options).await?;
        let locks = Arc::new(LockManager::default());
        let transactions = Transactions::new(
            store.clone(),
            locks,
            environment.clone(),
            TransactionsOptions {
                write_buffer_bytes_max: options.write_buffer_bytes_max,
                ..TransactionsOptions::default()
            },
        );
        let catalog = Catalog::open(transactions.clone())
            .await
            .map_err(|error| error.report())?;
        let query_runtime = query_runtime(options.query_threads)?;
        let executor = Executor::new(
            executor_options(&options, &query_runtime),
            catalog.clone(),
            transactions.clone(),
        )?;
        let mut mock_secret = [0; 32];
        environment.random.fill(&mut mock_secret);
        let sessions = Arc::new(Sessions::new(
            options.sessions_max,
            options.sessions_reserved,
        ));
        let models = Models::new(&catalog, &options.setting_defaults)?;
        executor.set_models(models.clone());
        let background = Background::start(catalog.clone(), store.clone(), models.clone())?;
        let notifier = Arc::new(Notifier::default());
        let notifying = store.watch(notifier.clone());
        let engine = Engine {
            shared: Arc::new(Shared {
                environment,
                store,
                transactions,
                catalog,
                executor,
                sessions,
                models,
                _notifying: notifying,
                notifier,
                background,
                query_runtime: Mutex::new(Some(query_runtime)),
                mock_secret,
                generated_password: Mutex::new(None),
                closed: AtomicBool::new(false),
                options,
            }),
        };
        engine.bootstrap().await?;
        Ok(engine)
    }

    /// Makes the administrator when there is none. The database itself needs nothing: its name
    /// is fixed and its schema `public` is the catalog's business.
    async fn bootstrap(&self) -> Result<(), Report> {
        let shared = &self.shared;
        let state = shared.catalog.state();
        if state.users().any(|user| user.admin && user.login) {
            return Ok(());
        }
        if let Mode::ReadOnly { .. } = shared.store.mode() {
            // Safe mode: reading goes on, with the users that are there.
            return Ok(());
        }
        let password = match &shared.options.admin_password {
            Some(password) => password.clone(),
            None => {
                let mut bytes = [0; GENERATED_PASSWORD_BYTES];
                shared.environment.random.fill(&mut bytes);
                let password = URL_SAFE_NO_PAD.encode(bytes);
                *shared.generated_password.lock() = Some(password.clone());
                password
            }
        };
        let spec = UserSpec {
            name: ADMIN.to_owned(),
            verifier: Some(Some(self.new_verifier(password).await?)),
            admin: Some(true),
            login: Some(true),
            rename: None,
        };
        let exists = state.user(ADMIN).is_some();
        let catalog = shared.catalog.clone();
        self.in_transaction(async move |txn| {
            let made = if exists {
                catalog.alter_user(txn, spec).await.map(drop)
            } else {
                catalog.create_user(txn, spec).await.map(drop)
            };
            made.map_err(|error| error.report())
        })
        .await
    }

    /// Runs catalog work in a transaction of its own.
    pub(crate) async fn in_transaction(
        &self,
        work: impl AsyncFnOnce(&tessera_transactions::Transaction) -> Result<(), Report>,
    ) -> Result<(), Report> {
        let txn = self
            .shared
            .transactions
            .begin(TransactionOptions::default());
        let guard = txn.start_statement().await?;
        match work(&txn).await {
            Ok(()) => {
                guard.finish();
                txn.commit().await?;
                Ok(())
            }
            Err(report) => {
                guard.undo();
                txn.rollback();
                Err(report)
            }
        }
    }

    /// A password's verifier as text, computed away from the network threads.
    pub(crate) async fn new_verifier(&self, password: String) -> Result<String, Report> {
        if password.is_empty() {
            return Err(Report::error(
                codes::INVALID_PARAMETER_VALUE,
                "the password must not be empty",
            ));
        }
        if password.len() > crate::scram::PASSWORD_BYTES_MAX {
            return Err(Report::error(
                codes::PROGRAM_LIMIT_EXCEEDED,
                format!(
                    "the password is longer than {} bytes",
                    crate::scram::PASSWORD_BYTES_MAX
                ),
            ));
        }
        // A verifier may be given instead of a password, as `psql`'s \password does.
        if Verifier::parse(&password).is_some() {
            return Ok(password);
        }
        let mut salt = [0; SALT_BYTES];
        self.shared.environment.random.fill(&mut salt);
        let compute = move || Verifier::new(&password, &salt, ITERATIONS).to_text();
        tokio::task::spawn_blocking(compute)
            .await
            .map_err(|_| Report::internal("computing the password's verifier was interrupted"))
    }

    /// The password made for `admin` when this open was the first start and none was given.
    /// Answers once, so that it is printed once.
    pub fn take_generated_password(&self) -> Option<String> {
        self.shared.generated_password.lock().take()
    }

    /// Ends all sessions, stops background work, writes a checkpoint, releases the directory.
    pub async fn close(&self) -> Result<(), Report> {
        let shared = &self.shared;
        if shared.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        shared.sessions.shut_down();
        shared.models.shut_down();
        shared.background.stop().await;
        // Without it the next start skips some values; that is allowed, so the close goes on.
        if let Err(error) = shared.catalog.flush_sequences().await {
            tracing::warn!(%error, "reserved values of sequences are skipped");
        }
        let closed = shared.store.close().await.map_err(|error| error.report());
        if let Some(runtime) = shared.query_runtime.lock().take() {
            runtime.shutdown_background();
        }
        closed
    }

    /// Whether [`Engine::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }

    /// State for the health endpoints.
    pub fn health(&self) -> Health {
        let shared = &self.shared;
        Health {
            ready: !self.is_closed(),
            read_only_reason: match shared.store.mode() {
                Mode::ReadWrite => None,
                Mode::ReadOnly { reason } => Some(reason.to_string()),
            },
            sessions: shared.sessions.count(),
            transactions: shared.transactions.active_count(),
            recent_bytes: shared.store.statistics().recent_bytes,
        }
    }

    /// Numbers of the store, for metrics.
    pub fn store_statistics(&self) -> StoreStatistics {
        self.shared.store.statistics()
    }

    /// Brings the metrics of locks up to date that are not counted at the event. Call it before
    /// metrics are read.
    pub fn collect_lock_metrics(&self) {
        self.shared.transactions.locks().collect_metrics();
    }

    /// The open transactions, oldest first.
    pub fn transactions(&self) -> Vec<ActiveTransaction> {
        self.shared.transactions.active()
    }

    /// Moves everything committed into the base now.
    pub async fn checkpoint(&self) -> Result<(), Report> {
        self.shared
            .store
            .checkpoint()
            .await
            .map_err(|error| error.report())
    }

    /// A session of the given user with default settings.
    pub async fn session(&self, user: &str) -> Result<Session, Report> {
        let options = SessionOptions {
            user: user.to_owned(),
            protocol: "embedded",
            ..SessionOptions::default()
        };
        self.connect(options).await
    }

    /// A session. The caller has checked the password (see [`Engine::verifier`]).
    ///
    /// # Errors
    /// 28000 for an unknown user, 3D000 for an unknown database, 53300 when all sessions are
    /// taken, 42704 and 22023 for wrong settings.
    pub async fn connect(&self, options: SessionOptions) -> Result<Session, Report> {
        if self.is_closed() {
            return Err(Report::fatal(
                codes::CANNOT_CONNECT_NOW,
                "the database system is shutting down",
            ));
        }
        let user = self.shared.catalog.state().user(&options.user).cloned();
        let user = user.filter(|user| user.login).ok_or_else(|| {
            Report::fatal(
                codes::INVALID_AUTHORIZATION_SPECIFICATION,
                format!("role \"{}\" does not exist or may not log in", options.user),
            )
        })?;
        if !options.database.is_empty() && options.database != DATABASE {
            return Err(Report::fatal(
                codes::INVALID_CATALOG_NAME,
                format!("database \"{}\" does not exist", options.database),
            )
            .with_hint(format!("There is one database, \"{DATABASE}\".")));
        }
        Session::open(self.clone(), user, options)
    }

    /// What a password exchange checks against. An unknown user, or one that may not log in, gets
    /// a verifier that no password meets and that is the same every time.
    pub fn verifier(&self, user: &str) -> Verifier {
        let state = self.shared.catalog.state();
        let known = state.user(user).filter(|user| user.login);
        known
            .and_then(|user| user.verifier.as_deref())
            .and_then(Verifier::parse)
            .unwrap_or_else(|| Verifier::mock(user, &self.shared.mock_secret))
    }

    /// Checks a plain password: true when the user exists, may log in, and it is right.
    /// Takes milliseconds of CPU time.
    pub fn check_password(&self, user: &str, password: &str) -> bool {
        self.verifier(user).check_password(password)
    }

    /// Whether the user exists and is an administrator.
    pub fn is_admin(&self, user: &str) -> bool {
        self.shared
            .catalog
            .state()
            .user(user)
            .is_some_and(|user| user.admin)
    }

    /// Users, for `tessera user`.
    pub fn users(&self) -> Users {
        Users::new(self.clone())
    }

    /// Asks the running statement of a session to stop. False when the key is wrong.
    pub fn cancel(&self, process_id: i32, secret: i32) -> bool {
        self.shared.sessions.cancel(process_id, secret)
    }

    /// The open sessions, as `pg_stat_activity` shows them.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.shared.sessions.list()
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // A runtime must not be dropped by waiting for its threads inside another runtime.
        if let Some(runtime) = self.query_runtime.lock().take() {
            runtime.shutdown_background();
        }
    }
}

async fn open_store(options: &EngineOptions) -> Result<Arc<dyn Store>, Report> {
    let base = match options.store {
        StoreKind::Memory => return Ok(tessera_storage::open_memory()),
        StoreKind::Embedded => BaseKind::Lsm,
        StoreKind::Simulated => BaseKind::Simulated,
    };
    let environment = options.environment.clone();
    let dir = options.data_dir.clone();
    let cache_bytes = match options.cache_bytes as u64 {
        0 => tessera_telemetry::memory_limit_bytes()
            .map_or(CACHE_BYTES_MIN, |limit| limit / CACHE_SHARE)
            .max(CACHE_BYTES_MIN),
        bytes => bytes,
    };
    let embedded = EmbeddedOptions {
        base,
        recent_bytes_max: options.recent_bytes_max as u64,
        changes_bytes_max: options.changes_retention_bytes,
        changes_age_max: options.changes_retention_time,
        // Rows are found faster than blocks, and blocks serve ranges.
        row_cache_bytes: cache_bytes / 2,
        base_cache_bytes: cache_bytes / 2,
        ..EmbeddedOptions::default()
    };
    // Opening replays the log, which may take seconds.
    tokio::task::spawn_blocking(move || {
        tessera_storage::open_embedded(&environment, &dir, embedded).map_err(|error| error.report())
    })
    .await
    .map_err(|_| Report::internal("opening the data directory was interrupted"))?
}

fn query_runtime(threads: usize) -> Result<tokio::runtime::Runtime, Report> {
    let threads = match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("tessera-query")
        .enable_all()
        .build()
        .map_err(|error| {
            Report::error(
                codes::INSUFFICIENT_RESOURCES,
                "cannot start the query threads",
            )
            .with_detail(error.to_string())
        })
}

fn executor_options(options: &EngineOptions, runtime: &tokio::runtime::Runtime) -> ExecutorOptions {
    let mut executor = ExecutorOptions {
        memory_budget_bytes: options.query_memory_bytes,
        query_memory_bytes_max: options.query_memory_bytes / 2,
        runtime: Some(runtime.handle().clone()),
        ..ExecutorOptions::default()
    };
    if options.query_threads > 0 {
        executor.parallelism = options.query_threads;
    }
    if options.store == StoreKind::Embedded {
        executor.spill_directory = Some(options.data_dir.join("tmp").join("spill"));
    }
    executor
}
