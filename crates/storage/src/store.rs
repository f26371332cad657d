//! The traits between the layers above and the engines below.
//!
//! Everything that may have to ask a disk or a network answers [`Deferred`]; an engine that has
//! the answer in memory pays neither an allocation nor a task switch for it.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use tessera_types::{TxnId, Version};

use crate::batch::{CommitOutcome, Publish, Write, WriteBatch};
use crate::capabilities::Capabilities;
use crate::changes::{ChangeReader, ChangeWindow, Reach, Watcher, Watching};
use crate::deferred::Deferred;
use crate::error::StoreError;
use crate::range::{KeyRange, KeySpace};
use crate::statistics::StoreStatistics;

/// A key. Keep it in an allocation of its own: a slice of a large buffer pins the buffer.
pub type Key = Bytes;
/// A value; the same advice.
pub type Val = Bytes;
/// A key and its value, as scans give them.
pub type Row = (Key, Val);

/// A key and what a run does to it.
pub type RunEntry = (Key, Write);

/// How much of a range a scan gives, and in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanOptions {
    /// From the end of the range to its start.
    pub reverse: bool,
    /// Rows in total.
    pub row_limit: Option<usize>,
    /// Bytes of keys and values per batch; a batch has at least one row.
    pub bytes_max: usize,
    /// Leave the values empty.
    pub keys_only: bool,
}

impl ScanOptions {
    /// Bytes per batch unless told otherwise.
    pub const BYTES_MAX_DEFAULT: usize = 256 * 1024;
}

impl Default for ScanOptions {
    fn default() -> ScanOptions {
        ScanOptions {
            reverse: false,
            row_limit: None,
            bytes_max: ScanOptions::BYTES_MAX_DEFAULT,
            keys_only: false,
        }
    }
}

/// A scan under way. Holds its snapshot.
pub trait Scan: Send {
    /// The next rows, never an empty batch; `None` at the end.
    fn next_batch(&mut self) -> Deferred<'_, Result<Option<Vec<Row>>, StoreError>>;
}

/// One version of everything, unchanging until dropped.
///
/// A snapshot costs memory for every version that only it can see. When that grows over the
/// store's bound, the oldest snapshots end: their reads fail with `SnapshotTooOld`.
pub trait Snapshot: Send + Sync {
    /// Which version it is.
    fn version(&self) -> Version;

    /// The value of one key.
    fn get(&self, space: KeySpace, key: &[u8]) -> Deferred<'_, Result<Option<Val>, StoreError>>;

    /// The values of several keys, in the order asked.
    fn get_many(
        &self,
        keys: &[(KeySpace, Key)],
    ) -> Deferred<'_, Result<Vec<Option<Val>>, StoreError>>;

    /// Reads a range.
    fn scan(
        self: Arc<Self>,
        space: KeySpace,
        range: KeyRange,
        options: ScanOptions,
    ) -> Box<dyn Scan>;

    /// Cuts a range into at most `count` parts of about equal size, for parallel scans.
    fn partitions(&self, space: KeySpace, range: &KeyRange, count: usize) -> Vec<KeyRange>;
}

/// Names a finished run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u64);

/// Takes the overflow of a large transaction. Dropped unfinished, it leaves nothing behind.
pub trait RunWriter: Send {
    /// Adds a write. Spaces and keys must ascend, each key once; anything else is a fault of the
    /// caller and answered `Unavailable`.
    fn add(&mut self, space: KeySpace, key: Key, write: Write) -> Result<(), StoreError>;

    /// Makes the run readable, and durable as soon as a commit names it. Blocks.
    fn finish(self: Box<Self>) -> Result<Arc<dyn Run>, StoreError>;
}

/// A sorted, immutable set of writes outside memory. Dropped before a commit names it, it is
/// deleted.
pub trait Run: Send + Sync {
    /// Its name for `WriteBatch::runs`.
    fn id(&self) -> RunId;

    /// What the run does to a key, if anything.
    fn get(&self, space: KeySpace, key: &[u8]) -> Deferred<'_, Result<Option<Write>, StoreError>>;

    /// Its writes of a range, in order. `row_limit` and `keys_only` of the options are ignored.
    fn scan(
        self: Arc<Self>,
        space: KeySpace,
        range: KeyRange,
        options: ScanOptions,
    ) -> Box<dyn RunScan>;

    /// Number of writes.
    fn entries(&self) -> u64;

    /// Bytes it takes.
    fn bytes(&self) -> u64;
}

/// A scan of a run under way.
pub trait RunScan: Send {
    /// The next writes, never an empty batch; `None` at the end.
    fn next_batch(&mut self) -> Deferred<'_, Result<Option<Vec<RunEntry>>, StoreError>>;
}

/// Whether the store takes writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Reads and writes.
    ReadWrite,
    /// Reads only.
    ReadOnly {
        /// Why, and what to do about it.
        reason: Arc<str>,
    },
}

/// Ordered keys in fixed spaces, snapshots, atomic commits.
pub trait Store: Send + Sync {
    /// Limits and abilities.
    fn capabilities(&self) -> &Capabilities;

    /// The newest visible version.
    fn newest(&self) -> Version;

    /// The newest visible version as a snapshot.
    fn snapshot(&self) -> Arc<dyn Snapshot>;

    /// The newest change of a key after `since` by a visible commit. `since` must be the version
    /// of a snapshot still held: what no snapshot can see is forgotten. If that snapshot was given
    /// up and no change is known, the answer is `SnapshotTooOld`.
    fn changed_since(
        &self,
        space: KeySpace,
        key: &[u8],
        since: Version,
    ) -> Deferred<'_, Result<Option<Version>, StoreError>>;

    /// Whether any key of a range was changed after `since`; the same condition.
    fn range_changed_since(
        &self,
        space: KeySpace,
        range: &KeyRange,
        since: Version,
    ) -> Deferred<'_, Result<bool, StoreError>>;

    /// Begins a run file for a transaction too large for memory.
    fn begin_run(&self) -> Result<Box<dyn RunWriter>, StoreError>;

    /// Commits a batch. `before_publish` is called only for batches that become visible.
    ///
    /// Dropping the future after its first poll does not stop a commit that is under way.
    fn commit(
        &self,
        batch: WriteBatch,
        before_publish: Option<Publish>,
    ) -> BoxFuture<'static, CommitOutcome>;

    /// What became of a commit that was answered `Unknown`; the same again if still not known.
    fn resolve(&self, txn: TxnId) -> BoxFuture<'static, CommitOutcome>;

    /// Removes every key of a range, outside transactions and without conditions: only for ranges
    /// that nobody will write again, such as a dropped relation. Snapshots older than the call
    /// still see the keys; space is given back when the last of them is gone.
    fn destroy_range(&self, space: KeySpace, range: KeyRange) -> Result<(), StoreError>;

    /// Which commits can be read again.
    fn change_window(&self) -> ChangeWindow;

    /// Reads the commits after a version, in order, and follows those to come.
    ///
    /// # Errors
    /// `ChangesCut` if the first of them is not kept any more.
    fn changes(&self, after: Version, reach: Reach) -> Result<Box<dyn ChangeReader>, StoreError>;

    /// Tells `watcher` of every commit that becomes visible from now on.
    fn watch(&self, watcher: Arc<dyn Watcher>) -> Watching;

    /// Moves everything visible now into the base.
    fn checkpoint(&self) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Numbers for metrics.
    fn statistics(&self) -> StoreStatistics;

    /// Whether writes are taken.
    fn mode(&self) -> Mode;

    /// Finishes what is under way and closes the files. Later commits fail with `Unavailable`.
    fn close(&self) -> BoxFuture<'static, Result<(), StoreError>>;
}
