//! Keeps memory for recent versions within its bound, smoothly.
//!
//! Up to three quarters of the bound commits pass freely; over half of it, while a checkpoint runs,
//! only as fast as it makes progress. So they slow down instead of stopping.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tessera_telemetry::labels::StallReason;
use tessera_telemetry::metrics;
use tokio::sync::Notify;

use crate::embedded::core::Core;
use crate::error::StoreError;

/// Progress in these parts.
const WHOLE: u64 = 1_000;
/// From here on a checkpoint has next to nothing left but to sync.
const MERGED: u64 = WHOLE / 100 * 95;
/// No checkpoint is running.
const IDLE: u64 = u64::MAX;

#[derive(Default)]
pub(crate) struct Pressure {
    progress: AtomicU64,
    /// Why the last checkpoint failed, if it did.
    failure: Mutex<Option<StoreError>>,
    stalled_us: AtomicU64,
    changed: Notify,
}

impl Pressure {
    pub(crate) fn new() -> Pressure {
        Pressure {
            progress: AtomicU64::new(IDLE),
            ..Pressure::default()
        }
    }

    /// Waits until there is room for a commit.
    pub(crate) async fn admit(&self, core: &Core) -> Result<(), StoreError> {
        if core.recent.bytes() < self.allowed(core) {
            return Ok(());
        }
        core.counters.throttled.fetch_add(1, Ordering::Relaxed);
        let started = core.env.clock.monotonic();
        let outcome = self.wait(core).await;
        let waited = core
            .env
            .clock
            .monotonic()
            .saturating_sub(started)
            .as_micros() as u64;
        let total = self.stalled_us.fetch_add(waited, Ordering::Relaxed) + waited;
        metrics()
            .write_stall
            .with(StallReason::RecentFull)
            .set(total as f64 / 1e6);
        outcome
    }

    async fn wait(&self, core: &Core) -> Result<(), StoreError> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the look at the state, so that no change is missed.
            changed.as_mut().enable();
            core.check_writable()?;
            if core.recent.bytes() < self.allowed(core) {
                return Ok(());
            }
            if let Some(error) = &*self.failure.lock() {
                return Err(error.clone());
            }
            core.checkpointer.request();
            changed.await;
        }
    }

    /// How full memory may be for a commit to pass. While a checkpoint merges, the bound rises with
    /// its progress; the last quarter is kept for the time in which it syncs and nothing moves.
    fn allowed(&self, core: &Core) -> u64 {
        let max = core.options.recent_bytes_max;
        match self.progress.load(Ordering::Relaxed) {
            IDLE => max / 4 * 3,
            progress if progress >= MERGED => max,
            progress => max / 2 + max / 4 * progress / WHOLE,
        }
    }

    /// Asks for a checkpoint when one is due.
    pub(crate) fn check(&self, core: &Core) {
        if core.options.checkpoint_automatic && core.is_checkpoint_due() {
            core.checkpointer.request();
        }
    }

    pub(crate) fn begin(&self) {
        self.progress.store(0, Ordering::Relaxed);
    }

    pub(crate) fn progress(&self, done: u64, total: u64) {
        let progress = (done * WHOLE).checked_div(total).unwrap_or(WHOLE);
        self.progress.store(progress.min(WHOLE), Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    pub(crate) fn end(&self, failure: Option<&StoreError>) {
        *self.failure.lock() = failure.cloned();
        self.progress.store(IDLE, Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    /// Lets waiting commits look again, for instance at a store that was closed.
    pub(crate) fn wake(&self) {
        self.changed.notify_waiters();
    }
}
