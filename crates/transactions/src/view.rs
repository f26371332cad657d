//! What a statement reads: one snapshot, merged with the transaction's writes of earlier
//! statements.

use std::sync::Arc;

use parking_lot::RwLock;
use tessera_storage::{
    Deferred, Key, KeyRange, KeySpace, ReadFilter, Scan, ScanOptions, Snapshot, StoreError, Val,
};
use tessera_types::Version;

use crate::buffer::{Command, Found, RangeWrites, WriteBuffer};
use crate::merge::MergeScan;
use crate::own_scan::{FIRST_PIECE, OwnRange, OwnScan, Piece};
use crate::reads::ViewReads;
use crate::tracked::TrackedScan;

/// A frozen view of the database. `Send + Sync`: one statement may read it from many threads.
///
/// It does not see what its own statement writes, so `INSERT … SELECT` from the same table ends.
/// After the transaction has ended, only the snapshot is left of it.
pub struct TxnView {
    snapshot: Arc<dyn Snapshot>,
    own: Option<Arc<OwnWrites>>,
    /// Where reads are recorded: only in serializable transactions that may write.
    reads: Option<ViewReads>,
}

/// The transaction's writes before one command; registered as a live view until dropped.
pub(crate) struct OwnWrites {
    buffer: Arc<RwLock<WriteBuffer>>,
    command: Command,
}

impl OwnWrites {
    /// `None` if there is nothing to see and nothing can become visible.
    pub(crate) fn new(buffer: &Arc<RwLock<WriteBuffer>>, command: Command) -> Option<Self> {
        if buffer.read().is_empty() {
            return None;
        }
        buffer.write().add_view(command);
        Some(OwnWrites {
            buffer: Arc::clone(buffer),
            command,
        })
    }

    fn find(&self, space: KeySpace, key: &[u8]) -> Found {
        self.buffer.read().find(space, key, self.command)
    }

    fn range(self: &Arc<Self>, space: KeySpace, range: &KeyRange, reverse: bool) -> RangeWrites {
        let of = OwnRange {
            space,
            range: range.clone(),
            command: self.command,
            reverse,
        };
        {
            let buffer = self.buffer.read();
            let (ready, has_more) = buffer.piece(&of, FIRST_PIECE);
            if !has_more {
                return RangeWrites {
                    memory: OwnScan::whole(ready),
                    runs: buffer.runs(self.command),
                };
            }
        }
        // Once more under the lock that registers it: another session may have spilled meanwhile.
        let mut buffer = self.buffer.write();
        let (ready, has_more) = buffer.piece(&of, FIRST_PIECE);
        let runs = buffer.runs(self.command);
        let memory = if has_more {
            let id = buffer.open_scan(of, &ready);
            drop(buffer);
            OwnScan::open(ready, Arc::clone(self), id)
        } else {
            OwnScan::whole(ready)
        };
        RangeWrites { memory, runs }
    }

    pub(crate) fn next_piece(&self, id: u64) -> (Piece, bool) {
        self.buffer.write().next_piece(id)
    }

    pub(crate) fn end_scan(&self, id: u64) {
        self.buffer.write().end_scan(id);
    }
}

impl Drop for OwnWrites {
    fn drop(&mut self) {
        self.buffer.write().drop_view(self.command);
    }
}

impl TxnView {
    pub(crate) fn new(
        snapshot: Arc<dyn Snapshot>,
        own: Option<OwnWrites>,
        reads: Option<ViewReads>,
    ) -> Self {
        TxnView {
            snapshot,
            own: own.map(Arc::new),
            reads,
        }
    }

    /// The same view for a reader who looks only for some rows: changes of what its scans read
    /// count against a serializable transaction only if `filter` says that they may matter.
    /// Points are not filtered.
    pub fn refined(self: &Arc<Self>, filter: ReadFilter) -> Arc<TxnView> {
        let Some(reads) = &self.reads else {
            return Arc::clone(self);
        };
        Arc::new(TxnView {
            snapshot: Arc::clone(&self.snapshot),
            own: self.own.clone(),
            reads: Some(reads.refined(filter)),
        })
    }

    /// Whether what it reads is recorded, so that a filter is worth making.
    pub fn records_reads(&self) -> bool {
        self.reads.is_some()
    }

    /// Version of the snapshot below.
    pub fn version(&self) -> Version {
        self.snapshot.version()
    }

    /// Whether own writes may be merged in; without, the view is the snapshot itself.
    pub fn has_own_writes(&self) -> bool {
        self.own.is_some()
    }

    /// The value of one key.
    pub fn get(
        &self,
        space: KeySpace,
        key: &[u8],
    ) -> Deferred<'_, Result<Option<Val>, StoreError>> {
        match self
            .own
            .as_ref()
            .map_or(Found::Nothing, |own| own.find(space, key))
        {
            // What others do to a key does not change what was written to it here.
            Found::Write(write) => Deferred::Ready(Ok(write.into_value())),
            Found::Nothing => {
                self.record(space, key);
                self.snapshot.get(space, key)
            }
            Found::MaybeIn(runs) => {
                self.record(space, key);
                let key = Key::copy_from_slice(key);
                Deferred::Pending(Box::pin(async move {
                    for run in runs {
                        if let Some(write) = run.get(space, &key).await? {
                            return Ok(write.into_value());
                        }
                    }
                    self.snapshot.get(space, &key).await
                }))
            }
        }
    }

    /// The values of several keys, in the order asked.
    pub fn get_many(
        &self,
        keys: &[(KeySpace, Key)],
    ) -> Deferred<'_, Result<Vec<Option<Val>>, StoreError>> {
        if self.own.is_none() {
            for (space, key) in keys {
                self.record(*space, key);
            }
            return self.snapshot.get_many(keys);
        }
        let keys = keys.to_vec();
        Deferred::Pending(Box::pin(async move {
            let mut values = Vec::with_capacity(keys.len());
            for (space, key) in keys {
                values.push(self.get(space, &key).await?);
            }
            Ok(values)
        }))
    }

    /// Reads a range.
    pub fn scan(
        self: &Arc<Self>,
        space: KeySpace,
        range: KeyRange,
        options: ScanOptions,
    ) -> Box<dyn Scan> {
        let Some(reads) = &self.reads else {
            return self.scan_merged(space, range, options);
        };
        let merged = self.scan_merged(space, range.clone(), options.clone());
        let reads = reads.clone();
        Box::new(TrackedScan::new(merged, reads, space, &range, &options))
    }

    fn scan_merged(&self, space: KeySpace, range: KeyRange, options: ScanOptions) -> Box<dyn Scan> {
        let Some(own) = &self.own else {
            return Arc::clone(&self.snapshot).scan(space, range, options);
        };
        let writes = own.range(space, &range, options.reverse);
        if writes.memory.is_empty() && writes.runs.is_empty() {
            return Arc::clone(&self.snapshot).scan(space, range, options);
        }
        Box::new(MergeScan::new(
            &self.snapshot,
            writes,
            space,
            range,
            options,
        ))
    }

    fn record(&self, space: KeySpace, key: &[u8]) {
        if let Some(reads) = &self.reads {
            reads.key(space, key);
        }
    }

    /// Cuts a range into at most `count` parts of about equal size, for parallel scans.
    pub fn partitions(&self, space: KeySpace, range: &KeyRange, count: usize) -> Vec<KeyRange> {
        self.snapshot.partitions(space, range, count)
    }
}

impl Snapshot for TxnView {
    fn version(&self) -> Version {
        TxnView::version(self)
    }

    fn get(&self, space: KeySpace, key: &[u8]) -> Deferred<'_, Result<Option<Val>, StoreError>> {
        TxnView::get(self, space, key)
    }

    fn get_many(
        &self,
        keys: &[(KeySpace, Key)],
    ) -> Deferred<'_, Result<Vec<Option<Val>>, StoreError>> {
        TxnView::get_many(self, keys)
    }

    fn scan(
        self: Arc<Self>,
        space: KeySpace,
        range: KeyRange,
        options: ScanOptions,
    ) -> Box<dyn Scan> {
        TxnView::scan(&self, space, range, options)
    }

    fn partitions(&self, space: KeySpace, range: &KeyRange, count: usize) -> Vec<KeyRange> {
        TxnView::partitions(self, space, range, count)
    }
}

impl std::fmt::Debug for TxnView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TxnView")
            .field("version", &self.version())
            .field("command", &self.own.as_ref().map(|own| own.command))
            .finish()
    }
}
