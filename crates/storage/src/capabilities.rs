//! What an engine can do and how much of it, as data.

use std::time::Duration;

/// Limits and abilities of an engine, asked when objects are made and transactions begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// Name of the engine.
    pub engine: &'static str,
    /// Whether commits survive the end of the process.
    pub is_durable: bool,
    /// Bytes of one key.
    pub key_bytes_max: usize,
    /// Bytes of one value.
    pub value_bytes_max: usize,
    /// Bytes of the keys and values of `WriteBatch::writes`; larger sets go through runs.
    pub batch_bytes_max: usize,
    /// Entries of `WriteBatch::writes`.
    pub batch_writes_max: usize,
    /// Runs of one batch.
    pub batch_runs_max: usize,
    /// Keys and ranges of `WriteBatch::reads`.
    pub batch_reads_max: usize,
    /// How long a snapshot is sure to live, where time limits it.
    pub snapshot_age_max: Option<Duration>,
}
