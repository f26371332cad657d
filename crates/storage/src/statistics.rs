//! Numbers for metrics and for people.

use tessera_types::Version;

/// What live snapshots hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SnapshotStatistics {
    /// Snapshots held now.
    pub live: u64,
    /// The oldest one's version; equals `newest` when there is none.
    pub oldest: Version,
    /// Snapshots ended with `SnapshotTooOld` since opening.
    pub expired_total: u64,
}

/// A moment of a store. Counters count from opening.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreStatistics {
    /// Newest visible version.
    pub newest: Version,
    /// Newest version in the base.
    pub checkpointed: Version,
    /// Snapshots.
    pub snapshots: SnapshotStatistics,
    /// Keys with versions in memory.
    pub recent_keys: u64,
    /// Versions in memory.
    pub recent_versions: u64,
    /// Bytes of memory they take, estimated.
    pub recent_bytes: u64,
    /// Where writers begin to wait.
    pub recent_bytes_max: u64,
    /// Bytes of log that an opening would replay.
    pub log_bytes: u64,
    /// Committed runs not yet in the base.
    pub runs: u64,
    /// Bytes of their files.
    pub runs_bytes: u64,
    /// Rows in the cache in front of the base.
    pub row_cache_entries: u64,
    /// Bytes of them.
    pub row_cache_bytes: u64,
    /// Reads answered by that cache.
    pub row_cache_hits_total: u64,
    /// Reads that it could not answer.
    pub row_cache_misses_total: u64,
    /// Bytes of the base on disk.
    pub base_bytes: u64,
    /// Checkpoints finished.
    pub checkpoints_total: u64,
    /// Checkpoints failed; they are tried again.
    pub checkpoint_failures_total: u64,
    /// Duration of the last finished checkpoint in milliseconds.
    pub checkpoint_last_ms: u64,
    /// Batches committed.
    pub commits_total: u64,
    /// Batches refused by a condition.
    pub conflicts_total: u64,
    /// Commits that had to wait for the checkpoint.
    pub throttled_total: u64,
}
