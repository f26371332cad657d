//! [`TestServer`]: engine and PostgreSQL port in this process, data in a folder of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use parking_lot::Mutex;
use tempfile::TempDir;
use tessera_engine::{Engine, EngineOptions, StoreKind};
use tessera_postgres::{Authentication, Server, ServerOptions};
use tokio::runtime;

use crate::log_lines::{unexpected_log_lines, watch_log};

/// The administrator's password in every test server.
const PASSWORD: &str = "correct horse battery staple";
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// Tasks may need a moment to leave after they were told to.
const TASKS_GONE_WITHIN: Duration = Duration::from_secs(10);

/// The runtime of every test server alive in this process. Tests of one process have a runtime
/// each; only the last server of a runtime can tell whether tasks leaked there.
static ALIVE: Mutex<Vec<runtime::Id>> = Mutex::new(Vec::new());

/// What a test server is started with.
#[derive(Clone, Debug)]
pub struct TestOptions {
    /// Which storage engine; the memory engine loses its data at a restart.
    pub store: StoreKind,
    /// Whether clients must prove who they are.
    pub authentication: Authentication,
}

impl Default for TestOptions {
    fn default() -> TestOptions {
        TestOptions {
            store: StoreKind::Embedded,
            authentication: Authentication::Trust,
        }
    }
}

/// A running server; stop it with [`TestServer::stop`], which checks for leaks.
pub struct TestServer {
    options: TestOptions,
    folder: TempDir,
    engine: Engine,
    postgres: Server,
    presence: Presence,
}

impl TestServer {
    /// A server on a free port, with an empty data directory.
    ///
    /// # Errors
    /// The engine's or the port's.
    pub async fn start() -> Result<TestServer> {
        TestServer::start_with(TestOptions::default()).await
    }

    /// As [`TestServer::start`], with options.
    ///
    /// # Errors
    /// The engine's or the port's.
    pub async fn start_with(options: TestOptions) -> Result<TestServer> {
        TestServer::open(options, TempDir::with_prefix("tessera-test-")?).await
    }

    async fn open(options: TestOptions, folder: TempDir) -> Result<TestServer> {
        watch_log();
        let presence = Presence::here();
        let engine = Engine::open(EngineOptions {
            data_dir: folder.path().join("data"),
            store: options.store,
            admin_password: Some(PASSWORD.to_owned()),
            ..EngineOptions::default()
        });
        let engine = engine.await?;
        let mut server = ServerOptions::on(([127, 0, 0, 1], 0).into());
        server.authentication = options.authentication;
        let postgres = Server::start(engine.clone(), server).await?;
        Ok(TestServer {
            options,
            folder,
            engine,
            postgres,
            presence,
        })
    }

    /// The engine behind it.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Where the PostgreSQL port listens.
    pub fn address(&self) -> SocketAddr {
        self.postgres.address()
    }

    /// The administrator's password.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// The server's own folder; `data` in it is the data directory.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A client that is logged in as administrator.
    ///
    /// # Errors
    /// The client's.
    pub async fn connect(&self) -> Result<tokio_postgres::Client> {
        let mut config = tokio_postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(self.address().port())
            .dbname("tessera");
        config.user("admin").password(PASSWORD);
        let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
        // Ends with its client.
        tokio::spawn(connection);
        Ok(client)
    }

    /// Stops the server and opens its data directory again.
    ///
    /// # Errors
    /// As [`TestServer::stop`].
    pub async fn restart(self) -> Result<TestServer> {
        let options = self.options.clone();
        let folder = self.close().await?;
        TestServer::open(options, folder).await
    }

    /// Stops the server; an error if a task leaked or the log holds a line nobody announced.
    ///
    /// # Errors
    /// What leaked, or what was logged.
    pub async fn stop(self) -> Result<()> {
        self.close().await?;
        let unexpected = unexpected_log_lines();
        if !unexpected.is_empty() {
            bail!(
                "unexpected lines in the log:\n  {}",
                unexpected.join("\n  ")
            );
        }
        Ok(())
    }

    async fn close(self) -> Result<TempDir> {
        self.postgres.stop(STOP_WITHIN).await;
        self.engine.close().await.context("closing the engine")?;
        drop(self.engine);
        wait_until_no_task_is_left(self.presence).await?;
        Ok(self.folder)
    }
}

/// Counts a test server from before its first task starts until its last one has had to end.
struct Presence(runtime::Id);

impl Presence {
    fn here() -> Presence {
        let here = runtime::Handle::current().id();
        ALIVE.lock().push(here);
        Presence(here)
    }

    fn is_last(&self) -> bool {
        ALIVE
            .lock()
            .iter()
            .filter(|place| **place == self.0)
            .count()
            == 1
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut alive = ALIVE.lock();
        if let Some(place) = alive.iter().position(|place| *place == self.0) {
            alive.swap_remove(place);
        }
    }
}

async fn wait_until_no_task_is_left(presence: Presence) -> Result<()> {
    let deadline = Instant::now() + TASKS_GONE_WITHIN;
    loop {
        let alive = tessera_tasks::alive_on(presence.0);
        // Another server of the same test has tasks of its own, and checks when it stops.
        if alive.is_empty() || !presence.is_last() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let names: Vec<String> = alive
                .iter()
                .map(|task| format!("{}/{}", task.group, task.name))
                .collect();
            bail!("leaked tasks: {}", names.join(", "));
        }
        tokio::task::yield_now().await;
    }
}
