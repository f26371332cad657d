//! The engine that is a model: one ordered map per key space, no files.
//!
//! It keeps the promises of [`Store`] in the simplest way, so that tests of the layers above run
//! fast and the embedded engine has something to be compared with. What a crash would lose, and
//! failures that a real engine has, are made to happen through [`MemoryControl`].
//!
//! # Map
//! - `versions`: the map of keys to their versions.
//! - `snapshot`: reads. `run`: the overflow of large transactions.
//! - `changes`: commits, for those who follow them.
//! - `validate`: whether what a transaction read is still so.
//!
//! # Invariants
//! 1. One commit at a time, under `Inner::sequence`.
//! 2. Versions over `newest` are in the map only while their commit holds `sequence`.

mod changes;
mod run;
mod snapshot;
mod validate;
mod versions;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::BoxFuture;
use parking_lot::{Mutex, RwLock};
use tessera_types::{TxnId, Version};

use crate::batch::{CommitOutcome, Durability, Origin, Publish, Write, WriteBatch};
use crate::capabilities::Capabilities;
use crate::changes::{ChangeItem, ChangeReader, ChangeWindow, Reach, Watcher, Watchers, Watching};
use crate::deferred::Deferred;
use crate::error::{Conflict, StoreError};
use crate::limits::check_batch;
use crate::live::LiveVersions;
use crate::range::{KeyRange, KeySpace};
use crate::statistics::{SnapshotStatistics, StoreStatistics};
use crate::store::{Key, Mode, RunId, RunWriter, Snapshot, Store};
use changes::{MemoryChanges, Ring, SharedRing};
use run::{MemoryRun, MemoryRunWriter};
use snapshot::MemorySnapshot;
use validate::validate;
use versions::Versions;

/// Keys with more than one version after which old versions are looked for.
const GARBAGE_KEYS_MAX: usize = 4_096;
/// Bytes of one key.
const KEY_BYTES_MAX: usize = 32 * 1024;
/// Bytes of one value.
const VALUE_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// Bytes of one batch.
const BATCH_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// Writes of one batch.
const BATCH_WRITES_MAX: usize = 64 * 1024 * 1024;
/// Keys and ranges of the reads of one batch.
const BATCH_READS_MAX: usize = 64 * 1024;
/// Runs of one batch.
const BATCH_RUNS_MAX: usize = 4_096;

/// Bytes of commits that are kept for those who follow them, unless told otherwise.
const CHANGES_BYTES_MAX: usize = 16 << 20;

/// How the engine behaves.
#[derive(Debug, Clone)]
pub struct MemoryOptions {
    /// Bytes of one batch; small values make the layers above use runs.
    pub batch_bytes_max: usize,
    /// Bytes of commits that are kept for those who follow them.
    pub changes_bytes_max: usize,
}

impl Default for MemoryOptions {
    fn default() -> MemoryOptions {
        MemoryOptions {
            batch_bytes_max: BATCH_BYTES_MAX,
            changes_bytes_max: CHANGES_BYTES_MAX,
        }
    }
}

/// A new empty store in memory.
pub fn open_memory() -> Arc<dyn Store> {
    open_memory_with(MemoryOptions::default()).0
}

/// A new empty store in memory, with the handle that makes it fail.
pub fn open_memory_with(options: MemoryOptions) -> (Arc<dyn Store>, MemoryControl) {
    let store = MemoryStore::new(
        options,
        [const { Versions::new() }; KeySpace::COUNT],
        Version::ZERO,
    );
    (
        Arc::new(MemoryStore {
            inner: store.inner.clone(),
        }),
        MemoryControl { inner: store.inner },
    )
}

/// Makes a memory store crash or fail.
#[derive(Clone)]
pub struct MemoryControl {
    inner: Arc<Inner>,
}

impl MemoryControl {
    /// What is left after a loss of power: a new store without the commits that were only
    /// buffered. The old store refuses everything from now on.
    pub fn crash(&self) -> (Arc<dyn Store>, MemoryControl) {
        let state = self.inner.sequence.lock();
        self.inner.control.lock().is_closed = true;
        let spaces = self.inner.spaces.read();
        let survivors = spaces.each_ref().map(|space| space.as_of(state.durable));
        let store = MemoryStore::new(self.inner.options.clone(), survivors, state.durable);
        (
            Arc::new(MemoryStore {
                inner: store.inner.clone(),
            }),
            MemoryControl { inner: store.inner },
        )
    }

    /// The next commit is answered this way instead of being done. `Committed` does the commit
    /// and answers `Unknown`, as when the answer is lost on its way.
    pub fn next_commit(&self, fault: CommitOutcome) {
        self.inner.control.lock().faults.push_back(fault);
    }

    /// Refuses writes from now on, or takes them again.
    pub fn set_mode(&self, mode: Mode) {
        self.inner.control.lock().mode = mode;
    }
}

struct MemoryStore {
    inner: Arc<Inner>,
}

/// Shared by the store, its snapshots and its runs.
pub(crate) struct Inner {
    options: MemoryOptions,
    capabilities: Capabilities,
    pub(crate) spaces: RwLock<[Versions; KeySpace::COUNT]>,
    newest: AtomicU64,
    pub(crate) live: Mutex<LiveVersions>,
    /// Held from validation to publication of a commit.
    sequence: Mutex<Sequence>,
    control: Mutex<Control>,
    pub(crate) runs: Mutex<HashMap<RunId, Arc<MemoryRun>>>,
    next_run: AtomicU64,
    pub(crate) ring: SharedRing,
    durable: AtomicU64,
    watchers: Mutex<Watchers>,
    /// Names the history of this store.
    identity: u64,
}

struct Sequence {
    durable: Version,
    garbage: Vec<(KeySpace, Key)>,
    garbage_max: usize,
    /// Outcomes of the commits answered `Unknown`.
    unknown: HashMap<TxnId, CommitOutcome>,
    commits_total: u64,
    conflicts_total: u64,
}

struct Control {
    mode: Mode,
    is_closed: bool,
    faults: VecDeque<CommitOutcome>,
}

impl MemoryStore {
    fn new(
        options: MemoryOptions,
        spaces: [Versions; KeySpace::COUNT],
        newest: Version,
    ) -> MemoryStore {
        let capabilities = Capabilities {
            engine: "memory",
            is_durable: false,
            key_bytes_max: KEY_BYTES_MAX,
            value_bytes_max: VALUE_BYTES_MAX,
            batch_bytes_max: options.batch_bytes_max,
            batch_writes_max: BATCH_WRITES_MAX,
            batch_runs_max: BATCH_RUNS_MAX,
            batch_reads_max: BATCH_READS_MAX,
            snapshot_age_max: None,
        };
        let sequence = Sequence {
            durable: newest,
            garbage: Vec::new(),
            garbage_max: GARBAGE_KEYS_MAX,
            unknown: HashMap::new(),
            commits_total: 0,
            conflicts_total: 0,
        };
        let control = Control {
            mode: Mode::ReadWrite,
            is_closed: false,
            faults: VecDeque::new(),
        };
        MemoryStore {
            inner: Arc::new(Inner {
                options,
                capabilities,
                spaces: RwLock::new(spaces),
                newest: AtomicU64::new(newest.0),
                live: Mutex::default(),
                sequence: Mutex::new(sequence),
                control: Mutex::new(control),
                runs: Mutex::default(),
                next_run: AtomicU64::new(1),
                ring: Mutex::new(Ring::new(newest)),
                durable: AtomicU64::new(newest.0),
                watchers: Mutex::default(),
                identity: ahash::RandomState::new().hash_one(newest),
            }),
        }
    }
}

impl Inner {
    pub(crate) fn durable(&self) -> Version {
        Version(self.durable.load(Ordering::Acquire))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.control.lock().is_closed
    }

    pub(crate) fn watch(self: &Arc<Self>, watcher: Arc<dyn Watcher>) -> Watching {
        let _nothing_is_committed = self.sequence.lock();
        let id = self.watchers.lock().add(watcher);
        let inner = Arc::downgrade(self);
        Watching::new(move || {
            if let Some(inner) = inner.upgrade() {
                let gone = inner.watchers.lock().remove(id);
                drop(gone);
            }
        })
    }

    /// Keeps a commit for those who follow.
    fn remember(&self, version: Version, batch: &WriteBatch, runs: &[Arc<MemoryRun>]) {
        let begin = ChangeItem::Begin {
            version,
            txn: batch.txn,
            origin: batch.origin,
            unix_micros: None,
        };
        let mut items = vec![begin];
        let item = |(space, key, write)| ChangeItem::Write { space, key, write };
        let own = batch.writes.iter().cloned();
        if runs.is_empty() {
            items.extend(own.map(item));
        } else {
            let of_runs = runs.iter().flat_map(|run| run.iter());
            items.extend(changes::merged(of_runs.chain(own)).map(item));
        }
        items.extend(batch.notices.iter().cloned().map(ChangeItem::Notice));
        items.push(ChangeItem::End { version });
        let bytes_max = self.options.changes_bytes_max;
        self.ring.lock().push(version, items, bytes_max);
    }

    pub(crate) fn newest(&self) -> Version {
        Version(self.newest.load(Ordering::Acquire))
    }

    fn snapshot(self: &Arc<Self>) -> MemorySnapshot {
        let mut live = self.live.lock();
        // Read under the lock: what is visible here is not pruned before it is registered.
        let version = self.newest();
        live.open(version);
        MemorySnapshot {
            inner: self.clone(),
            version,
        }
    }

    fn check_writable(&self) -> Result<(), StoreError> {
        let control = self.control.lock();
        if control.is_closed {
            return Err(StoreError::Unavailable {
                reason: "the store is closed",
            });
        }
        match &control.mode {
            Mode::ReadWrite => Ok(()),
            Mode::ReadOnly { reason } => Err(StoreError::ReadOnly {
                reason: reason.clone(),
            }),
        }
    }

    fn check_conditions(&self, batch: &WriteBatch) -> Result<(), StoreError> {
        let newest = self.newest();
        let spaces = self.spaces.read();
        for (space, key) in &batch.must_not_exist {
            if spaces[space.index()].get(key, newest).is_some() {
                let (space, key) = (*space, key.clone());
                return Err(StoreError::Conflict {
                    kind: Conflict::Exists,
                    space,
                    key,
                });
            }
        }
        for (space, key, since) in &batch.must_be_unchanged {
            if spaces[space.index()]
                .changed_since(key, *since, newest)
                .is_some()
            {
                let (space, key) = (*space, key.clone());
                return Err(StoreError::Conflict {
                    kind: Conflict::Changed,
                    space,
                    key,
                });
            }
        }
        drop(spaces);
        match &batch.reads {
            Some(reads) => validate(self, reads),
            None => Ok(()),
        }
    }

    fn commit(&self, mut batch: WriteBatch, before_publish: Option<Publish>) -> CommitOutcome {
        if let Err(error) = self
            .check_writable()
            .and_then(|()| check_batch(&self.capabilities, &batch))
        {
            return CommitOutcome::Aborted(error);
        }
        let runs = {
            let runs = self.runs.lock();
            let found: Option<Vec<_>> = batch.runs.iter().map(|id| runs.get(id).cloned()).collect();
            match found {
                Some(found) => found,
                None => {
                    let reason = "a run of the batch is not there";
                    return CommitOutcome::Aborted(StoreError::Unavailable { reason });
                }
            }
        };
        if batch.is_trivial() && before_publish.is_none() {
            return CommitOutcome::Committed(self.newest());
        }
        let mut sequence = self.sequence.lock();
        let fault = self.control.lock().faults.pop_front();
        match fault {
            None | Some(CommitOutcome::Committed(_)) => {}
            Some(CommitOutcome::Aborted(error)) => return CommitOutcome::Aborted(error),
            Some(CommitOutcome::Unknown(_)) => {
                let reason = "the commit was lost";
                let outcome = CommitOutcome::Aborted(StoreError::Unavailable { reason });
                sequence.unknown.insert(batch.txn, outcome);
                return CommitOutcome::Unknown(batch.txn);
            }
        }
        if let Err(error) = self.check_conditions(&batch) {
            sequence.conflicts_total += 1;
            return CommitOutcome::Aborted(error);
        }
        let version = self.newest().next();
        let (txn, durability) = (batch.txn, batch.durability);
        self.remember(version, &batch, &runs);
        let run_writes = runs.iter().flat_map(|run| run.iter());
        let writes = std::mem::take(&mut batch.writes);
        self.apply(&mut sequence, version, run_writes.chain(writes));
        if durability == Durability::Durable {
            sequence.durable = version;
            self.durable.store(version.0, Ordering::Release);
        }
        if let Some(before_publish) = before_publish {
            before_publish(version);
        }
        self.newest.store(version.0, Ordering::Release);
        self.watchers.lock().tell(version, &batch.notices);
        sequence.commits_total += 1;
        self.collect_garbage(&mut sequence);
        if matches!(fault, Some(CommitOutcome::Committed(_))) {
            sequence
                .unknown
                .insert(txn, CommitOutcome::Committed(version));
            return CommitOutcome::Unknown(txn);
        }
        CommitOutcome::Committed(version)
    }

    fn apply(
        &self,
        sequence: &mut Sequence,
        version: Version,
        writes: impl Iterator<Item = (KeySpace, Key, Write)>,
    ) {
        let mut spaces = self.spaces.write();
        let live = self.live.lock();
        for (space, key, write) in writes {
            if spaces[space.index()].insert(key.clone(), version, write.into_value(), &live) {
                sequence.garbage.push((space, key));
            }
        }
    }

    /// Drops versions nobody can see, once enough keys may have some.
    fn collect_garbage(&self, sequence: &mut Sequence) {
        if sequence.garbage.len() < sequence.garbage_max {
            return;
        }
        let newest = self.newest();
        let mut spaces = self.spaces.write();
        let live = self.live.lock();
        sequence.garbage.sort_unstable();
        sequence.garbage.dedup();
        sequence
            .garbage
            .retain(|(space, key)| spaces[space.index()].prune(key, newest, &live));
        // What is left is pinned by a snapshot: do not look again before it has doubled.
        sequence.garbage_max = GARBAGE_KEYS_MAX.max(2 * sequence.garbage.len());
    }
}

impl Store for MemoryStore {
    fn capabilities(&self) -> &Capabilities {
        &self.inner.capabilities
    }

    fn newest(&self) -> Version {
        self.inner.newest()
    }

    fn snapshot(&self) -> Arc<dyn Snapshot> {
        Arc::new(self.inner.snapshot())
    }

    fn changed_since(
        &self,
        space: KeySpace,
        key: &[u8],
        since: Version,
    ) -> Deferred<'_, Result<Option<Version>, StoreError>> {
        let newest = self.inner.newest();
        let spaces = self.inner.spaces.read();
        Deferred::Ready(Ok(spaces[space.index()].changed_since(key, since, newest)))
    }

    fn range_changed_since(
        &self,
        space: KeySpace,
        range: &KeyRange,
        since: Version,
    ) -> Deferred<'_, Result<bool, StoreError>> {
        let newest = self.inner.newest();
        let spaces = self.inner.spaces.read();
        Deferred::Ready(Ok(
            spaces[space.index()].range_changed_since(range, since, newest)
        ))
    }

    fn begin_run(&self) -> Result<Box<dyn RunWriter>, StoreError> {
        self.inner.check_writable()?;
        let id = RunId(self.inner.next_run.fetch_add(1, Ordering::Relaxed));
        Ok(Box::new(MemoryRunWriter::new(self.inner.clone(), id)))
    }

    fn commit(
        &self,
        batch: WriteBatch,
        before_publish: Option<Publish>,
    ) -> BoxFuture<'static, CommitOutcome> {
        let inner = self.inner.clone();
        Box::pin(async move { inner.commit(batch, before_publish) })
    }

    fn resolve(&self, txn: TxnId) -> BoxFuture<'static, CommitOutcome> {
        let outcome = self.inner.sequence.lock().unknown.get(&txn).cloned();
        Box::pin(async move { outcome.unwrap_or(CommitOutcome::Unknown(txn)) })
    }

    fn destroy_range(&self, space: KeySpace, range: KeyRange) -> Result<(), StoreError> {
        self.inner.check_writable()?;
        let mut sequence = self.inner.sequence.lock();
        let newest = self.inner.newest();
        let keys = self.inner.spaces.read()[space.index()].keys(&range, newest);
        let writes = keys.into_iter().map(|key| (space, key, Write::Delete));
        let version = newest.next();
        let items = vec![
            ChangeItem::Begin {
                version,
                txn: TxnId::default(),
                origin: Origin::System,
                unix_micros: None,
            },
            ChangeItem::Destroyed { space, range },
            ChangeItem::End { version },
        ];
        let bytes_max = self.inner.options.changes_bytes_max;
        self.inner.ring.lock().push(version, items, bytes_max);
        self.inner.apply(&mut sequence, version, writes);
        sequence.durable = version;
        self.inner.durable.store(version.0, Ordering::Release);
        self.inner.newest.store(version.0, Ordering::Release);
        self.inner.watchers.lock().tell(version, &[]);
        self.inner.collect_garbage(&mut sequence);
        Ok(())
    }

    fn change_window(&self) -> ChangeWindow {
        let oldest = self.inner.ring.lock().oldest();
        ChangeWindow {
            identity: self.inner.identity,
            oldest,
            newest: self.inner.durable(),
        }
    }

    fn changes(&self, after: Version, reach: Reach) -> Result<Box<dyn ChangeReader>, StoreError> {
        Ok(Box::new(MemoryChanges::open(&self.inner, after, reach)?))
    }

    fn watch(&self, watcher: Arc<dyn Watcher>) -> Watching {
        self.inner.watch(watcher)
    }

    fn checkpoint(&self) -> BoxFuture<'static, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }

    fn statistics(&self) -> StoreStatistics {
        let (commits_total, conflicts_total) = {
            let sequence = self.inner.sequence.lock();
            (sequence.commits_total, sequence.conflicts_total)
        };
        let newest = self.inner.newest();
        let (keys, versions, bytes) =
            self.inner
                .spaces
                .read()
                .iter()
                .fold((0, 0, 0), |(keys, versions, bytes), space| {
                    let (k, v, b) = space.sizes();
                    (keys + k, versions + v, bytes + b)
                });
        let live = self.inner.live.lock();
        StoreStatistics {
            newest,
            checkpointed: Version::ZERO,
            snapshots: SnapshotStatistics {
                live: live.live(),
                oldest: live.oldest().unwrap_or(newest),
                expired_total: live.expired_total(),
            },
            recent_keys: keys,
            recent_versions: versions,
            recent_bytes: bytes,
            commits_total,
            conflicts_total,
            ..StoreStatistics::default()
        }
    }

    fn mode(&self) -> Mode {
        self.inner.control.lock().mode.clone()
    }

    fn close(&self) -> BoxFuture<'static, Result<(), StoreError>> {
        let inner = self.inner.clone();
        Box::pin(async move {
            inner.control.lock().is_closed = true;
            inner.watchers.lock().tell(inner.newest(), &[]);
            Ok(())
        })
    }
}
