//! Moves what is committed into the base, in the background.
//!
//! A checkpoint at C: make the log durable up to C; write, for every key changed since the last
//! checkpoint, its state as of C to the base in one sorted stream per key space; record C; switch
//! new snapshots to the new base; drop from memory what only it kept; cut the log; delete the run
//! files that are now in the base. Up to the record of C a failure costs nothing: the log still
//! has everything, and nobody reads the half-written base except the replay that corrects it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::channel::oneshot;
use parking_lot::{Condvar, Mutex};
use tessera_telemetry::metrics;
use tessera_types::Version;

use crate::embedded::base::Change;
use crate::embedded::core::Core;
use crate::embedded::merge::{Item, Merge, Source};
use crate::embedded::retention;
use crate::embedded::run::RunSource;
use crate::embedded::snapshot::{EmbeddedSnapshot, RecentSource};
use crate::embedded::views::View;
use crate::error::StoreError;
use crate::range::{KeyRange, KeySpace};
use crate::store::Snapshot;

/// Changed keys over which the whole row cache is dropped instead of single rows.
const CHANGED_KEYS_MAX: usize = 1 << 20;
/// Keys between two reports of progress.
const PROGRESS_KEYS: u64 = 1_024;

type Answer = oneshot::Sender<Result<(), StoreError>>;

/// Requests to the checkpoint thread.
#[derive(Default)]
pub(crate) struct Checkpointer {
    requests: Mutex<Requests>,
    changed: Condvar,
}

#[derive(Default)]
struct Requests {
    wanted: bool,
    /// An old view is gone: memory may hold what no snapshot needs any more.
    sweep: bool,
    stop: bool,
    /// After a failure, not before somebody asks or this much time is over.
    waiting: Option<Duration>,
    answers: Vec<Answer>,
}

/// What the thread is to do next.
pub(crate) enum Order {
    /// Checkpoint, and tell these how it went.
    Checkpoint(Vec<Answer>),
    /// Drop from memory what is no longer needed.
    Sweep,
    /// End.
    Stop,
}

impl Checkpointer {
    /// Asks for a checkpoint.
    pub(crate) fn request(&self) {
        let mut requests = self.requests.lock();
        if !requests.wanted {
            requests.wanted = true;
            self.changed.notify_one();
        }
    }

    /// Asks for memory to be looked through.
    pub(crate) fn request_sweep(&self) {
        let mut requests = self.requests.lock();
        if !requests.sweep {
            requests.sweep = true;
            self.changed.notify_one();
        }
    }

    /// Asks for a checkpoint and its outcome.
    pub(crate) fn request_answer(&self) -> oneshot::Receiver<Result<(), StoreError>> {
        let (sender, receiver) = oneshot::channel();
        let mut requests = self.requests.lock();
        // After `stop` the sender is dropped at once, and the receiver says so.
        if !requests.stop {
            requests.answers.push(sender);
            self.changed.notify_one();
        }
        receiver
    }

    /// Ends the thread after what it is doing.
    pub(crate) fn stop(&self) {
        let mut requests = self.requests.lock();
        requests.stop = true;
        requests.answers.clear();
        self.changed.notify_one();
    }

    fn is_stopping(&self) -> bool {
        self.requests.lock().stop
    }

    /// Waits for the next order.
    fn next(&self) -> Order {
        let mut requests = self.requests.lock();
        loop {
            if requests.stop {
                return Order::Stop;
            }
            let is_due = requests.wanted && requests.waiting.is_none();
            if is_due || !requests.answers.is_empty() {
                requests.wanted = false;
                return Order::Checkpoint(std::mem::take(&mut requests.answers));
            }
            if std::mem::take(&mut requests.sweep) {
                return Order::Sweep;
            }
            match requests.waiting {
                Some(delay) => {
                    if self.changed.wait_for(&mut requests, delay).timed_out() {
                        requests.waiting = None;
                    }
                }
                None => self.changed.wait(&mut requests),
            }
        }
    }

    fn retry_after(&self, delay: Duration) {
        let mut requests = self.requests.lock();
        requests.wanted = true;
        requests.waiting = Some(delay);
    }
}

/// The body of the checkpoint thread.
pub(crate) fn run(core: &Arc<Core>) {
    loop {
        let answers = match core.checkpointer.next() {
            Order::Checkpoint(answers) => answers,
            Order::Sweep => {
                relieve(core);
                core.pressure.wake();
                if let Err(error) = give_back(core) {
                    tracing::warn!(%error, "disk space of deleted rows was not given back");
                }
                continue;
            }
            Order::Stop => return,
        };
        let outcome = checkpoint(core);
        if let Err(error) = &outcome {
            tracing::warn!(%error, "a checkpoint failed and will be tried again");
            if core.options.checkpoint_automatic {
                core.checkpointer.retry_after(core.options.checkpoint_retry);
            }
        }
        for answer in answers {
            // Whoever asked may have gone.
            let _ = answer.send(outcome.clone());
        }
    }
}

impl Core {
    /// Whether a checkpoint should begin by itself.
    pub(crate) fn is_checkpoint_due(&self) -> bool {
        let options = &self.options;
        let view = self.views.lock().current_view();
        // Every run makes each read slower, and the work has to be done anyway.
        if !view.runs.is_empty() {
            return true;
        }
        // What is pinned by snapshots is no reason: another checkpoint would not free it.
        let pinned = self.recent_pinned.load(Ordering::Relaxed);
        if self.recent.bytes() >= pinned + options.checkpoint_bytes {
            return true;
        }
        // Hot keys fill the log and not the memory.
        let log = self.log.as_ref();
        log.is_some_and(|log| log.bytes_after(view.checkpoint) >= options.checkpoint_log_bytes)
    }
}

/// Makes one checkpoint of everything visible.
pub(crate) fn checkpoint(core: &Arc<Core>) -> Result<(), StoreError> {
    core.check_not_safe_mode()?;
    let started = core.env.clock.monotonic();
    core.pressure.begin();
    let outcome = core.watch(advance(core));
    relieve(core);
    if let Err(StoreError::ReadOnly { reason }) = &outcome {
        // The base has stopped, or the log has.
        core.read_only.write().get_or_insert_with(|| reason.clone());
    }
    core.pressure.end(outcome.as_ref().err());
    let counters = &core.counters;
    match &outcome {
        Ok(true) => {
            let took = core.env.clock.monotonic().saturating_sub(started);
            counters.checkpoints.fetch_add(1, Ordering::Relaxed);
            counters
                .checkpoint_last_ms
                .store(took.as_millis() as u64, Ordering::Relaxed);
            metrics().checkpoint_duration.record(took);
            metrics()
                .checkpoint_last
                .set(core.env.clock.unix_micros() as f64 / 1e6);
        }
        Ok(false) => {}
        Err(_) => {
            counters.checkpoint_failures.fetch_add(1, Ordering::Relaxed);
        }
    }
    outcome.map(|_| ())
}

/// Whether there was anything to do.
fn advance(core: &Arc<Core>) -> Result<bool, StoreError> {
    // The snapshot keeps in memory what the checkpoint is about to read.
    let snapshot = EmbeddedSnapshot::open(core);
    let version = snapshot.version();
    let view = snapshot.view().clone();
    if version == view.checkpoint {
        drop((snapshot, view));
        give_back(core)?;
        return Ok(false);
    }
    fail::fail_point!("storage::checkpoint::begin");
    core.base.health()?;
    core.base.settle(&|| core.checkpointer.is_stopping())?;
    if let Some(log) = &core.log {
        log.wait_blocking(version, true)
            .map_err(|error| core.log_failure(&error))?;
    }
    let mut changes = Changes::new(core, &view, version);
    for space in KeySpace::ALL {
        changes.enter(space);
        core.base.ingest(space, &mut changes)?;
        fail::fail_point!("storage::checkpoint::after_space");
    }
    core.base.record(version)?;
    fail::fail_point!("storage::checkpoint::after_record");
    let changed = (!changes.is_overflown).then_some(changes.changed.as_slice());
    core.cache.switch(version, changed);
    let moved = core.views.advance_base(version, core.base.view());
    fail::fail_point!("storage::checkpoint::after_switch");
    drop(changes);
    drop(snapshot);
    drop(view);
    for run in &moved {
        core.run_bytes.fetch_sub(run.bytes(), Ordering::Relaxed);
        retention::retire(core, run.version, run);
    }
    drop(moved);
    retention::trim(core, version, core.options.changes_bytes_max)?;
    give_back(core)?;
    Ok(true)
}

/// Gives back disk space where many rows were deleted.
fn give_back(core: &Core) -> Result<(), StoreError> {
    if core.base.give_back()? {
        // Only the view from before needs the old files.
        let checkpoint = core.views.lock().current_view().checkpoint;
        core.views.advance_base(checkpoint, core.base.view());
        core.base.give_back()?;
    }
    Ok(())
}

/// Drops from memory what is no longer needed; if that is not enough, gives up old snapshots.
fn relieve(core: &Core) {
    core.checkpointer.requests.lock().sweep = false;
    let sweep = || {
        let floor = core.views.lock().floor();
        core.recent.sweep(floor, &core.views);
    };
    sweep();
    let max = core.options.recent_bytes_max;
    while core.recent.bytes() > max - max / 4 && core.views.expire_oldest() {
        tracing::warn!(kept_from = %core.views.kept_from(), "gave up the oldest snapshot");
        sweep();
    }
    core.recent_pinned
        .store(core.recent.bytes(), Ordering::Relaxed);
}

impl Core {
    fn check_not_safe_mode(&self) -> Result<(), StoreError> {
        match (&self.log, &*self.read_only.read()) {
            (None, Some(reason)) => Err(StoreError::ReadOnly {
                reason: reason.clone(),
            }),
            _ => Ok(()),
        }
    }
}

/// The changes of one space after another, in key order.
struct Changes<'a> {
    core: &'a Arc<Core>,
    view: &'a View,
    version: Version,
    space: KeySpace,
    merge: Merge,
    /// Names of the changed rows for the row cache.
    changed: Vec<u64>,
    is_overflown: bool,
    done: u64,
    total: u64,
}

impl<'a> Changes<'a> {
    fn new(core: &'a Arc<Core>, view: &'a View, version: Version) -> Changes<'a> {
        let of_runs: u64 = view.runs.iter().map(|run| run.entries()).sum();
        let total = core.recent.sizes().keys + of_runs;
        Changes {
            core,
            view,
            version,
            space: KeySpace::Meta,
            merge: Merge::new(Vec::new(), false),
            changed: Vec::new(),
            is_overflown: false,
            done: 0,
            total,
        }
    }

    fn enter(&mut self, space: KeySpace) {
        self.space = space;
        let all = KeyRange::all();
        let window = (self.view.checkpoint, self.version);
        let recent = RecentSource::new(self.core, space, all.clone(), false, window);
        let mut sources: Vec<Box<dyn Source>> = vec![Box::new(recent)];
        for run in self
            .view
            .runs
            .iter()
            .filter(|run| run.version <= self.version)
        {
            let source = RunSource::new(run.file.clone(), run.version, space, all.clone(), false);
            sources.push(Box::new(source));
        }
        for destroyed in self.view.destroyed.iter().filter(|d| d.space == space) {
            if destroyed.version <= self.version && !destroyed.range.is_empty() {
                let rows = self.view.base.rows(space, &destroyed.range, false);
                sources.push(Box::new(DestroyedSource {
                    rows,
                    version: destroyed.version,
                }));
            }
        }
        self.merge = Merge::new(sources, false);
    }

    fn note(&mut self, item: &Item) {
        if self.changed.len() < CHANGED_KEYS_MAX {
            self.changed
                .push(self.core.cache.hash(self.space, &item.key));
        } else {
            self.is_overflown = true;
        }
        self.done += 1;
        if self.done.is_multiple_of(PROGRESS_KEYS) {
            self.core.pressure.progress(self.done, self.total);
        }
    }

    /// Whether a range destroyed later than the change emptied its place.
    fn is_destroyed(&self, item: &Item) -> bool {
        self.view.destroyed.iter().any(|d| {
            d.space == self.space
                && d.version > item.version
                && d.version <= self.version
                && d.range.contains(&item.key)
        })
    }
}

impl Iterator for Changes<'_> {
    type Item = Change;

    fn next(&mut self) -> Option<Change> {
        match self.merge.next_item() {
            Ok(Some(item)) => {
                self.note(&item);
                let value = if self.is_destroyed(&item) {
                    None
                } else {
                    item.value
                };
                Some(Ok((item.key, value)))
            }
            Ok(None) => {
                self.core.pressure.progress(self.done, self.total);
                None
            }
            Err(error) => Some(Err(error)),
        }
    }
}

/// The rows of a destroyed range, as deletes.
struct DestroyedSource {
    rows: crate::embedded::base::BaseRows,
    version: Version,
}

impl Source for DestroyedSource {
    fn next_item(&mut self) -> Result<Option<Item>, StoreError> {
        let version = self.version;
        let row = self.rows.next().transpose()?;
        Ok(row.map(|(key, _)| Item {
            key,
            version,
            value: None,
        }))
    }
}
