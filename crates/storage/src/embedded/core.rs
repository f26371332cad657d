//! What the parts of the embedded engine share.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use tessera_environment::Environment;
use tessera_log::{Log, LogError};
use tessera_types::{TxnId, Version};

use crate::batch::CommitOutcome;
use crate::capabilities::Capabilities;
use crate::changes::{Watcher, Watching};
use crate::directory::DataDirectory;
use crate::embedded::base::Base;
use crate::embedded::cache::RowCache;
use crate::embedded::checkpoint::Checkpointer;
use crate::embedded::finisher::Finisher;
use crate::embedded::options::{EmbeddedOptions, UNKNOWN_TXNS_MAX};
use crate::embedded::pressure::Pressure;
use crate::embedded::publish::Publisher;
use crate::embedded::recent::Recent;
use crate::embedded::retention::{self, Retention};
use crate::embedded::run::RunSet;
use crate::embedded::sequencer::Sequencer;
use crate::embedded::views::Views;
use crate::error::StoreError;
use crate::store::Mode;

/// Bytes committed between two looks at the free space of the disk.
const SPACE_CHECK_BYTES: u64 = 4 << 20;

/// The state of an open embedded store.
pub(crate) struct Core {
    pub(crate) env: Environment,
    pub(crate) options: EmbeddedOptions,
    pub(crate) capabilities: Capabilities,
    pub(crate) directory: DataDirectory,
    /// None in safe mode.
    pub(crate) log: Option<Log>,
    pub(crate) recent: Recent,
    /// Bytes of `recent` that the last sweep could not drop.
    pub(crate) recent_pinned: AtomicU64,
    pub(crate) views: Views,
    pub(crate) base: Arc<dyn Base>,
    pub(crate) cache: RowCache,
    pub(crate) runs: Arc<RunSet>,
    /// Bytes of the committed runs that are not in the base.
    pub(crate) run_bytes: AtomicU64,
    pub(crate) sequencer: Sequencer,
    pub(crate) publisher: Publisher,
    pub(crate) pressure: Pressure,
    pub(crate) checkpointer: Checkpointer,
    pub(crate) finisher: Finisher,
    pub(crate) retention: Retention,
    pub(crate) counters: Counters,
    pub(crate) is_closed: AtomicBool,
    pub(crate) read_only: RwLock<Option<Arc<str>>>,
    pub(crate) space: SpaceWatch,
    /// Outcomes of transactions that clients may ask about: those answered `Unknown`, and those
    /// found in the log at the opening.
    pub(crate) outcomes: Mutex<Outcomes>,
}

/// Totals since opening.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) conflicts: AtomicU64,
    pub(crate) throttled: AtomicU64,
    pub(crate) checkpoints: AtomicU64,
    pub(crate) checkpoint_failures: AtomicU64,
    pub(crate) checkpoint_last_ms: AtomicU64,
}

/// When the disk was looked at last.
#[derive(Default)]
pub(crate) struct SpaceWatch {
    bytes_since: AtomicU64,
    is_low: AtomicBool,
}

impl Core {
    /// Refuses writes to a store that does not take any.
    pub(crate) fn check_writable(&self) -> Result<(), StoreError> {
        if self.is_closed.load(Ordering::Acquire) {
            return Err(self.unavailable());
        }
        match &*self.read_only.read() {
            Some(reason) => Err(StoreError::ReadOnly {
                reason: reason.clone(),
            }),
            None => Ok(()),
        }
    }

    pub(crate) fn unavailable(&self) -> StoreError {
        StoreError::Unavailable {
            reason: "the store is closed",
        }
    }

    pub(crate) fn mode(&self) -> Mode {
        match &*self.read_only.read() {
            Some(reason) => Mode::ReadOnly {
                reason: reason.clone(),
            },
            None => Mode::ReadWrite,
        }
    }

    /// Refuses writes when the disk has less left than the reserve. Asks the system only now and
    /// then; while space is short, every time, so that writes go on as soon as there is some.
    pub(crate) fn check_space(&self, bytes: u64) -> Result<(), StoreError> {
        let reserve = self.options.disk_reserve_bytes;
        if reserve == 0 {
            return Ok(());
        }
        let since = self.space.bytes_since.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let is_low = self.space.is_low.load(Ordering::Relaxed);
        if since < SPACE_CHECK_BYTES && !is_low {
            return Ok(());
        }
        self.space.bytes_since.store(0, Ordering::Relaxed);
        let path = self.directory.path();
        let available = self.env.files.available_bytes(path).map_err(|error| {
            StoreError::io(format!("look at the disk of {}", path.display()), error)
        })?;
        let is_low = available < reserve;
        if self.space.is_low.swap(is_low, Ordering::Relaxed) != is_low {
            if is_low {
                tracing::warn!(
                    available,
                    reserve,
                    "the disk is nearly full, refusing writes"
                );
            } else {
                tracing::info!(available, "the disk has space again, taking writes");
            }
        }
        if is_low && self.options.changes_bytes_max > 0 {
            // What is kept for readers of changes gives way first.
            let checkpoint = self.views.lock().current_view().checkpoint;
            retention::trim(self, checkpoint, 0)?;
        }
        if is_low {
            Err(StoreError::DiskFull)
        } else {
            Ok(())
        }
    }

    /// Tells a watcher of every commit from now on.
    pub(crate) fn watch_commits(self: &Arc<Self>, watcher: Arc<dyn Watcher>) -> Watching {
        let id = self.publisher.watch(watcher);
        let core = Arc::downgrade(self);
        Watching::new(move || {
            if let Some(core) = core.upgrade() {
                core.publisher.unwatch(id);
            }
        })
    }

    /// Puts a record in line.
    pub(crate) fn enqueue(&self, payload: Vec<u8>) -> Result<Version, StoreError> {
        let Some(log) = &self.log else {
            return Err(self.unavailable());
        };
        log.enqueue(payload)
            .map_err(|error| self.log_failure(&error))
    }

    /// The log's error as ours.
    pub(crate) fn log_failure(&self, error: &LogError) -> StoreError {
        match error {
            LogError::DiskFull => StoreError::DiskFull,
            LogError::Busy { .. } => StoreError::Busy {
                reason: "the log's queue is full",
            },
            LogError::TooLarge {
                record_bytes_max, ..
            } => StoreError::TooLarge {
                what: "the size of a log record in bytes",
                limit: *record_bytes_max as u64,
            },
            LogError::Closed => self.unavailable(),
            LogError::Poisoned { reason } | LogError::Unresolved { reason } => {
                StoreError::ReadOnly {
                    reason: stopped(reason),
                }
            }
            other => StoreError::corruption(self.directory.log_dir().display(), other),
        }
    }

    /// Takes no more writes: the log is not to be trusted until the next start.
    pub(crate) fn stop_writing(&self, error: &LogError) {
        let mut read_only = self.read_only.write();
        if read_only.is_none() {
            tracing::error!(%error, "the log stopped; the store is read-only until a restart");
            *read_only = Some(stopped(&error.to_string()));
        }
    }
}

impl Core {
    /// Takes no more writes once a read has met damage: what would be written could rest on it.
    /// Returns what it was given.
    pub(crate) fn watch<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error @ StoreError::Corruption { .. }) = &result {
            self.enter_safe_mode(error);
        }
        result
    }

    #[cold]
    fn enter_safe_mode(&self, error: &StoreError) {
        let mut read_only = self.read_only.write();
        if read_only.is_none() {
            let reason = damaged(error);
            tracing::error!(%reason, "a read met damage; the store is read-only");
            *read_only = Some(reason);
        }
    }
}

/// Outcomes by transaction, the newest `UNKNOWN_TXNS_MAX` of them.
#[derive(Default)]
pub(crate) struct Outcomes {
    by_txn: HashMap<TxnId, CommitOutcome>,
    order: VecDeque<TxnId>,
}

impl Outcomes {
    pub(crate) fn put(&mut self, txn: TxnId, outcome: CommitOutcome) {
        if self.by_txn.insert(txn, outcome).is_some() {
            return;
        }
        self.order.push_back(txn);
        if self.order.len() > UNKNOWN_TXNS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_txn.remove(&oldest);
        }
    }

    /// What is known; `Unknown` if nothing.
    pub(crate) fn get(&self, txn: TxnId) -> CommitOutcome {
        self.by_txn
            .get(&txn)
            .cloned()
            .unwrap_or(CommitOutcome::Unknown(txn))
    }
}

fn damaged(error: &StoreError) -> Arc<str> {
    format!(
        "safe mode: {error}; what is not damaged can be read. Keep a copy of the data directory, \
         run `tessera check` on it, and restore the last backup or copy the data into a new \
         directory"
    )
    .into()
}

fn stopped(reason: &str) -> Arc<str> {
    format!("{reason}; check the disk and restart the server").into()
}
