//! The engine for data that matters: log, recent, base.
//!
//! # Map
//! - `core`: the shared state. `open`: makes it. `options`: its limits.
//! - `commit`, `publish`, `finisher`: the way of a batch. `record`: its form in the log.
//! - `recent`: versions in memory. `views`: what is visible, and to whom. `merge`: one order from
//!   many sources. `snapshot`: reads. `cache`: rows of the base.
//! - `run`: run files of large transactions.
//! - `changes`: reads commits from the log again; `retention`: how long they stay for that.
//! - `base`: the LSM. `checkpoint`: moves commits into it. `pressure`: slows writers down.
//! - `coding`: integers in files.
//!
//! # Invariants
//! 1. Opening gives the base at checkpoint C plus the log after C; both together are every
//!    commit that was acknowledged as durable.
//! 2. A snapshot (view at C, version S) reads the newest version v of a key in memory or in a run
//!    with C < v <= S, or else the base as of C.
//! 3. A version is in memory, or in a run, until no snapshot over an older base lives.
//!
//! # Not here
//! Bytes of the log (`tessera-log`); anything that knows what a key means.
//!
//! The commit and checkpoint protocols are described in `docs/internals/storage.md`.

mod base;
mod cache;
mod changes;
mod checkpoint;
mod coding;
mod commit;
mod conditions;
mod core;
mod finisher;
mod history;
mod merge;
mod open;
mod options;
mod pressure;
mod publish;
mod recent;
mod record;
mod retention;
mod run;
mod sequencer;
mod snapshot;
mod validate;
mod verify;
mod views;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tessera_environment::Environment;
use tessera_types::{TxnId, Version};

use crate::batch::{CommitOutcome, Publish, WriteBatch};
use crate::capabilities::Capabilities;
use crate::changes::{ChangeReader, ChangeWindow, Reach, Watcher, Watching};
use crate::deferred::Deferred;
use crate::embedded::core::Core;
use crate::embedded::snapshot::EmbeddedSnapshot;
use crate::error::StoreError;
use crate::range::{KeyRange, KeySpace};
use crate::statistics::StoreStatistics;
use crate::store::{Mode, RunWriter, Snapshot, Store};

pub use options::{BaseKind, EmbeddedOptions};
pub(crate) use verify::verify;

/// Opens or makes the store in `dir`.
///
/// A damaged log opens read-only, with what came before the damage; `Store::mode` says why.
/// Blocks while the log is replayed.
pub fn open_embedded(
    env: &Environment,
    dir: &Path,
    options: EmbeddedOptions,
) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(EmbeddedStore::start(open::open(
        env, dir, options,
    )?)?))
}

pub(crate) struct EmbeddedStore {
    core: Arc<Core>,
    checkpoint_thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl EmbeddedStore {
    fn start(core: Arc<Core>) -> Result<EmbeddedStore, StoreError> {
        let body = {
            let core = core.clone();
            move || checkpoint::run(&core)
        };
        let thread = std::thread::Builder::new()
            .name("storage-checkpoint".into())
            .spawn(body)
            .map_err(|error| StoreError::io("start the checkpoint thread", error))?;
        core.pressure.check(&core);
        let checkpoint_thread = Arc::new(Mutex::new(Some(thread)));
        Ok(EmbeddedStore {
            core,
            checkpoint_thread,
        })
    }
}

impl Drop for EmbeddedStore {
    /// Ends the threads. Without `close` before it, the next opening replays the log.
    fn drop(&mut self) {
        self.core.is_closed.store(true, Ordering::Release);
        self.core.pressure.wake();
        stop_thread(&self.core, &self.checkpoint_thread);
    }
}

fn stop_thread(core: &Core, thread: &Mutex<Option<JoinHandle<()>>>) {
    core.checkpointer.stop();
    if let Some(thread) = thread.lock().take()
        && thread.join().is_err()
    {
        tracing::error!("the checkpoint thread panicked");
    }
}

/// Takes no more commits, moves everything into the base and marks the directory as clean.
async fn close(
    core: Arc<Core>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
) -> Result<(), StoreError> {
    if core.is_closed.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    core.pressure.wake();
    core.publisher.wake_watchers(core.views.newest());
    let Some(log) = core.log.clone() else {
        stop_thread(&core, &thread);
        return Ok(());
    };
    // Everything given to the log is decided before the last checkpoint.
    let settled = log.wait(log.last_version(), true).await;
    core.publisher.advance(&core);
    let last = settled.map_err(|error| core.log_failure(&error));
    let moved = match last {
        Ok(()) => core.checkpointer.request_answer().await.unwrap_or(Ok(())),
        Err(error) => Err(error),
    };
    stop_thread(&core, &thread);
    log.close().map_err(|error| core.log_failure(&error))?;
    moved?;
    core.directory.write_clean_mark(log.last_version())
}

impl Store for EmbeddedStore {
    fn capabilities(&self) -> &Capabilities {
        &self.core.capabilities
    }

    fn newest(&self) -> Version {
        self.core.views.newest()
    }

    fn snapshot(&self) -> Arc<dyn Snapshot> {
        Arc::new(EmbeddedSnapshot::open(&self.core))
    }

    fn changed_since(
        &self,
        space: KeySpace,
        key: &[u8],
        since: Version,
    ) -> Deferred<'_, Result<Option<Version>, StoreError>> {
        let changed = conditions::changed_since(&self.core, space, key, since);
        Deferred::Ready(self.core.watch(changed))
    }

    fn range_changed_since(
        &self,
        space: KeySpace,
        range: &KeyRange,
        since: Version,
    ) -> Deferred<'_, Result<bool, StoreError>> {
        let changed = conditions::range_changed_since(&self.core, space, range, since);
        Deferred::Ready(self.core.watch(changed))
    }

    fn begin_run(&self) -> Result<Box<dyn RunWriter>, StoreError> {
        self.core.check_writable()?;
        self.core.runs.begin(&self.core.capabilities)
    }

    fn commit(
        &self,
        batch: WriteBatch,
        before_publish: Option<Publish>,
    ) -> BoxFuture<'static, CommitOutcome> {
        commit::commit(self.core.clone(), batch, before_publish).boxed()
    }

    fn resolve(&self, txn: TxnId) -> BoxFuture<'static, CommitOutcome> {
        let outcome = self.core.outcomes.lock().get(txn);
        Box::pin(async move { outcome })
    }

    fn destroy_range(&self, space: KeySpace, range: KeyRange) -> Result<(), StoreError> {
        commit::destroy_range(&self.core, space, range)
    }

    fn change_window(&self) -> ChangeWindow {
        changes::window(&self.core)
    }

    fn changes(&self, after: Version, reach: Reach) -> Result<Box<dyn ChangeReader>, StoreError> {
        changes::open(&self.core, after, reach)
    }

    fn watch(&self, watcher: Arc<dyn Watcher>) -> Watching {
        self.core.watch_commits(watcher)
    }

    fn checkpoint(&self) -> BoxFuture<'static, Result<(), StoreError>> {
        let core = self.core.clone();
        Box::pin(async move {
            let answer = core.checkpointer.request_answer();
            answer.await.unwrap_or_else(|_| Err(core.unavailable()))
        })
    }

    fn statistics(&self) -> StoreStatistics {
        let core = &*self.core;
        let view = core.views.lock().current_view();
        let sizes = core.recent.sizes();
        let (cached, cached_bytes, hits, misses) = core.cache.statistics();
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        StoreStatistics {
            newest: core.views.newest(),
            checkpointed: view.checkpoint,
            snapshots: core.views.statistics(),
            recent_keys: sizes.keys,
            recent_versions: sizes.versions,
            recent_bytes: sizes.bytes,
            recent_bytes_max: core.options.recent_bytes_max,
            log_bytes: core
                .log
                .as_ref()
                .map_or(0, |log| log.bytes_after(view.checkpoint)),
            runs: view.runs.len() as u64,
            runs_bytes: load(&core.run_bytes),
            row_cache_entries: cached,
            row_cache_bytes: cached_bytes,
            row_cache_hits_total: hits,
            row_cache_misses_total: misses,
            base_bytes: core.base.bytes(),
            checkpoints_total: load(&core.counters.checkpoints),
            checkpoint_failures_total: load(&core.counters.checkpoint_failures),
            checkpoint_last_ms: load(&core.counters.checkpoint_last_ms),
            commits_total: load(&core.counters.commits),
            conflicts_total: load(&core.counters.conflicts),
            throttled_total: load(&core.counters.throttled),
        }
    }

    fn mode(&self) -> Mode {
        self.core.mode()
    }

    fn close(&self) -> BoxFuture<'static, Result<(), StoreError>> {
        close(self.core.clone(), self.checkpoint_thread.clone()).boxed()
    }
}
