//! Limits of the embedded engine. Every one has a default.

use std::time::Duration;

use tessera_log::LogOptions;

/// Bytes of one key: what fits, with room to spare, into the base's 16-bit lengths.
pub(crate) const KEY_BYTES_MAX: usize = 32 * 1024;
/// Bytes of one value.
pub(crate) const VALUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of keys and values of one batch; more goes through runs.
pub(crate) const BATCH_BYTES_MAX: usize = 96 * 1024 * 1024;
/// Writes of one batch.
pub(crate) const BATCH_WRITES_MAX: usize = 4 * 1024 * 1024;
/// Runs of one batch.
pub(crate) const BATCH_RUNS_MAX: usize = 4_096;
/// Keys and ranges of the reads of one batch.
pub(crate) const BATCH_READS_MAX: usize = 64 * 1024;
/// Writes of other commits that are remembered while reads are validated.
pub(crate) const HISTORY_WRITES_MAX: usize = 1024 * 1024;
/// Transactions whose unknown outcome is remembered.
pub(crate) const UNKNOWN_TXNS_MAX: usize = 65_536;

/// Which base to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum BaseKind {
    /// The LSM tree, on the real file system.
    #[default]
    Lsm,
    /// A simple base on the files of the environment, for tests on a simulated disk.
    Simulated,
}

/// Limits of the embedded engine.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// Limits of the log.
    pub log: LogOptions,
    /// Which base to use.
    pub base: BaseKind,
    /// Memory for recent versions; writers wait, and in the end the oldest snapshots are given up,
    /// rather than going over it.
    pub recent_bytes_max: u64,
    /// Growth of recent versions in bytes after which a checkpoint begins. Run files are moved
    /// into the base as soon as they are committed.
    pub checkpoint_bytes: u64,
    /// Bytes of log, all replayed at an opening, after which a checkpoint begins.
    pub checkpoint_log_bytes: u64,
    /// How long a failed checkpoint waits before it is tried again.
    pub checkpoint_retry: Duration,
    /// Whether checkpoints begin by themselves; without it only `Store::checkpoint` makes them.
    pub checkpoint_automatic: bool,
    /// Bytes of rows cached in front of the base.
    pub row_cache_bytes: u64,
    /// Bytes of the base's own block cache.
    pub base_cache_bytes: u64,
    /// Threads with which the base tidies up.
    pub base_threads: usize,
    /// Bytes of log and run files that stay for readers of changes when nothing else needs them.
    pub changes_bytes_max: u64,
    /// Age after which they go though there is room; `None` for none.
    pub changes_age_max: Option<Duration>,
    /// Free bytes on the disk below which writes are refused, so that what is under way can end.
    pub disk_reserve_bytes: u64,
}

impl Default for EmbeddedOptions {
    fn default() -> EmbeddedOptions {
        EmbeddedOptions {
            log: LogOptions::default(),
            base: BaseKind::Lsm,
            recent_bytes_max: 256 << 20,
            checkpoint_bytes: 64 << 20,
            checkpoint_log_bytes: 256 << 20,
            checkpoint_retry: Duration::from_secs(1),
            checkpoint_automatic: true,
            row_cache_bytes: 32 << 20,
            base_cache_bytes: 64 << 20,
            base_threads: 1,
            changes_bytes_max: 0,
            changes_age_max: None,
            disk_reserve_bytes: 64 << 20,
        }
    }
}

impl EmbeddedOptions {
    /// Everything on the environment's files, small, and with no thread or timer that could change
    /// the order of calls: for tests on a simulated disk.
    pub fn simulated() -> EmbeddedOptions {
        EmbeddedOptions {
            log: LogOptions::deterministic(64 << 10),
            base: BaseKind::Simulated,
            checkpoint_automatic: false,
            disk_reserve_bytes: 0,
            ..EmbeddedOptions::default()
        }
    }
}
