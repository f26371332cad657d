//! What an engine and a session are opened with.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tessera_environment::Environment;

/// Name of the database that every data directory holds.
pub const DATABASE: &str = "tessera";
/// Name of the administrator made at the first start.
pub const ADMIN: &str = "admin";

/// Which storage engine keeps the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreKind {
    /// Log, memory and LSM in the data directory.
    #[default]
    Embedded,
    /// The same, with a base made for simulated disks: all files go through the environment.
    Simulated,
    /// In memory only; for tests and for programs that need no durability.
    Memory,
}

/// What an engine is opened with; start from `Default`, or from [`EngineOptions::memory`].
#[derive(Clone)]
pub struct EngineOptions {
    /// Directory of the data; made when it is missing.
    pub data_dir: PathBuf,
    /// Clock, randomness and files.
    pub environment: Environment,
    /// Which storage engine.
    pub store: StoreKind,
    /// Password of `admin` at the first start; generated when missing
    /// (see [`crate::Engine::take_generated_password`]).
    pub admin_password: Option<String>,
    /// Memory that queries may use together, bytes.
    pub query_memory_bytes: usize,
    /// Changed data kept in memory before a checkpoint moves it into the base, bytes.
    pub recent_bytes_max: usize,
    /// Stored data kept in memory for the next reader, bytes; 0 for an eighth of the memory that
    /// the process may use.
    pub cache_bytes: usize,
    /// Bytes one transaction keeps in memory before it spills to a run file.
    pub write_buffer_bytes_max: usize,
    /// Bytes of log kept for those who follow the changes, beyond what a restart needs.
    pub changes_retention_bytes: u64,
    /// Age at which that log goes though there is room for it; `None` for none.
    pub changes_retention_time: Option<Duration>,
    /// Threads for queries; 0 for one per core.
    pub query_threads: usize,
    /// Sessions at one time.
    pub sessions_max: usize,
    /// Of these, how many only administrators may use.
    pub sessions_reserved: usize,
    /// Defaults of session settings that differ from the built-in ones.
    pub setting_defaults: Vec<(String, String)>,
}

impl Default for EngineOptions {
    fn default() -> EngineOptions {
        EngineOptions {
            data_dir: PathBuf::from("data"),
            environment: Environment::real(),
            store: StoreKind::Embedded,
            admin_password: None,
            query_memory_bytes: 512 << 20,
            recent_bytes_max: 256 << 20,
            cache_bytes: 0,
            write_buffer_bytes_max: 64 << 20,
            changes_retention_bytes: 128 << 20,
            changes_retention_time: None,
            query_threads: 0,
            sessions_max: 100,
            sessions_reserved: 3,
            setting_defaults: Vec::new(),
        }
    }
}

impl EngineOptions {
    /// A durable engine in a directory.
    pub fn at(data_dir: impl Into<PathBuf>) -> EngineOptions {
        EngineOptions {
            data_dir: data_dir.into(),
            ..EngineOptions::default()
        }
    }

    /// An engine that keeps nothing after it is closed.
    pub fn memory() -> EngineOptions {
        EngineOptions {
            store: StoreKind::Memory,
            ..EngineOptions::default()
        }
    }
}

impl fmt::Debug for EngineOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The password stays out.
        f.debug_struct("EngineOptions")
            .field("data_dir", &self.data_dir)
            .field("store", &self.store)
            .field("query_memory_bytes", &self.query_memory_bytes)
            .field("sessions_max", &self.sessions_max)
            .finish_non_exhaustive()
    }
}

/// Who connects, and with which settings. The caller has checked the password.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// User name; must exist.
    pub user: String,
    /// Database name; empty for `tessera`.
    pub database: String,
    /// Address of the client, if it came over a network.
    pub peer: Option<SocketAddr>,
    /// Which door: `postgres`, `http`, `embedded`.
    pub protocol: &'static str,
    /// Settings of the start-up message, such as `application_name`.
    pub settings: Vec<(String, String)>,
}
