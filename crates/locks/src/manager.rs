//! The lock manager: what upper layers call. How a request is granted is in `acquire`, how it
//! waits in `waiting`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tessera_types::TxnId;

use crate::history::{DeadlockRecord, History, WaitRecord};
use crate::measure::{self, LocksHeld};
use crate::mode::Mode;
use crate::owner::{Mark, Owner, OwnerInfo};
use crate::pace::Pace;
use crate::profile::{self, Frames, Profile, ProfileRow};
use crate::registry::Registry;
use crate::report::LockError;
use crate::resource::Resource;
use crate::sync::Mutex;
use crate::table::Table;
use crate::wait::{Pool, WaitList};

/// Limits of a lock manager.
#[derive(Debug, Clone, Copy)]
pub struct LockManagerOptions {
    /// Row locks of one transaction in one relation after which a lock on the relation is tried.
    pub escalate_rows: usize,
    /// Row locks after which that lock is waited for, so that memory stays bounded.
    pub escalate_rows_max: usize,
    /// Least time that a request waits before it looks for a deadlock.
    pub deadlock_delay_min: Duration,
    /// Most time. If this is zero, every request looks when it begins to wait.
    pub deadlock_delay_max: Duration,
}

impl Default for LockManagerOptions {
    fn default() -> Self {
        LockManagerOptions {
            escalate_rows: 20_000,
            escalate_rows_max: 1_000_000,
            deadlock_delay_min: Duration::from_millis(1),
            deadlock_delay_max: Duration::from_millis(20),
        }
    }
}

/// What to do when a lock is not free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wait {
    /// Wait, until the deadline if there is one.
    #[default]
    Block,
    /// Fail with `NotAvailable` (SQL: NOWAIT).
    NoWait,
    /// Answer `Grant::Skipped` (SQL: SKIP LOCKED).
    SkipLocked,
}

/// How to ask for a lock.
#[derive(Debug, Clone, Copy, Default)]
pub struct LockOptions {
    /// What to do when it is not free.
    pub wait: Wait,
    /// When to give up waiting.
    pub deadline: Option<std::time::Instant>,
}

/// A request for one lock, with what the layer above knows of it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What.
    pub resource: Resource,
    /// In which mode.
    pub mode: Mode,
    /// The key behind a row or range, for errors, views and the profile. Copied (at most 1,024
    /// bytes of it) only if the request waits or fails.
    pub key: Option<&'a [u8]>,
    /// What to do when it is not free.
    pub options: LockOptions,
}

/// How a request ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// Granted at once.
    Immediate,
    /// Granted after other transactions released it: what it protects may have changed.
    AfterWait,
    /// The owner had it already, or a lock above it that covers it.
    Held,
    /// Not granted, and not waited for.
    Skipped,
}

/// The lock table of one database.
#[derive(Debug)]
pub struct LockManager {
    table: Table,
    registry: Registry,
    waiting: WaitList,
    pub(crate) pool: Pool,
    history: History,
    pub(crate) profile: Profile,
    /// Searches for deadlocks follow one another.
    pub(crate) searching: Mutex<()>,
    pub(crate) next_ticket: AtomicU64,
    /// The owner of pooled wait objects.
    pub(crate) nobody: Arc<OwnerInfo>,
    pub(crate) options: LockManagerOptions,
}

impl Default for LockManager {
    fn default() -> Self {
        Self::new(LockManagerOptions::default())
    }
}

impl LockManager {
    /// An empty lock table.
    pub fn new(options: LockManagerOptions) -> Self {
        let pace = Pace::new(options.deadlock_delay_min, options.deadlock_delay_max);
        LockManager {
            table: Table::new(pace),
            registry: Registry::new(),
            waiting: WaitList::new(),
            pool: Pool::default(),
            history: History::default(),
            profile: Profile::default(),
            searching: Mutex::new(()),
            next_ticket: AtomicU64::new(1),
            nobody: Arc::clone(&Owner::new(TxnId(0)).info),
            options,
        }
    }

    /// Acquires `mode` on `resource`, in addition to what `owner` holds on it.
    ///
    /// The parent must be held in the matching intention mode. Dropping the future at any time
    /// leaves no trace of the request.
    pub async fn acquire(
        &self,
        owner: &Owner,
        resource: Resource,
        mode: Mode,
        options: &LockOptions,
    ) -> Result<Grant, LockError> {
        let request = Request {
            resource,
            mode,
            key: None,
            options: *options,
        };
        self.lock_alone(owner, &request).await
    }

    /// `acquire` for a caller that does not know whether the parents are held: takes them first.
    pub async fn acquire_with_parents(
        &self,
        owner: &Owner,
        resource: Resource,
        mode: Mode,
        options: &LockOptions,
    ) -> Result<Grant, LockError> {
        let request = Request {
            resource,
            mode,
            key: None,
            options: *options,
        };
        self.lock(owner, &request).await
    }

    /// Releases everything the owner holds.
    pub fn release_all(&self, owner: &Owner) {
        let mut held = owner.info.held.lock();
        for step in held.steps.iter().rev() {
            if step.before.is_none() && !step.fast {
                self.table.lower(&owner.info, step.resource, None);
            }
        }
        held.clear();
    }

    /// Releases what the owner got after the mark; upgrades go back to what was held before.
    ///
    /// A relation lock that replaced row locks (escalation) stays.
    pub fn release_to(&self, owner: &Owner, mark: Mark) {
        let mut held = owner.info.held.lock();
        while let Some(step) = held.pop_after(mark) {
            if !step.fast {
                self.table.lower(&owner.info, step.resource, step.before);
            }
        }
    }

    /// Releases one resource, whatever mode it is held in; answers that mode. Locks are not
    /// counted: who takes one twice and wants to release it twice counts itself.
    ///
    /// Meant for advisory locks. Whoever releases a parent before its children breaks the rule
    /// that `acquire` checks.
    pub fn release_one(&self, owner: &Owner, resource: Resource) -> Option<Mode> {
        let mut held = owner.info.held.lock();
        let grip = held.remove(resource)?;
        if !grip.fast {
            self.table.lower(&owner.info, resource, None);
        }
        Some(grip.mode)
    }

    /// Keeps an advisory lock or a row in a weaker mode than it is held in: `false` if what is
    /// held does not cover `mode`. The lock then counts as acquired now, for marks.
    pub fn weaken(&self, owner: &Owner, resource: Resource, mode: Mode) -> bool {
        let mut held = owner.info.held.lock();
        let Some(grip) = held.grip_of(resource).filter(|grip| grip.mode.covers(mode)) else {
            return false;
        };
        if resource.has_children() || grip.mode == mode {
            return grip.mode == mode;
        }
        held.remove(resource);
        let grip = crate::held::Grip { mode, ..grip };
        held.record(resource, None, grip);
        self.table.lower(&owner.info, resource, Some(mode));
        true
    }

    /// Number of resources that are held or waited for.
    pub fn resource_count(&self) -> usize {
        let mut fast = Vec::new();
        self.registry.for_each(|owner| {
            fast.extend(owner.held.lock().fast().map(|(resource, _)| resource));
        });
        fast.sort_unstable();
        fast.dedup();
        let in_table = |resource: &Resource| {
            self.table.look(*resource, |holders, queue| {
                !holders.is_empty() || queue.is_some()
            })
        };
        fast.retain(|resource| !in_table(resource));
        self.table.len() + fast.len()
    }

    /// How long to wait for a lock when nobody has said: 64 times the 99th percentile of how long
    /// locks were held that others waited for, between 5 s and 120 s.
    pub fn adaptive_timeout(&self) -> Duration {
        self.pace().timeout()
    }

    /// The last waits that ended, oldest first; at most 1,000.
    pub fn recent_waits(&self) -> Vec<WaitRecord> {
        self.history.waits()
    }

    /// The last deadlocks, oldest first; at most 200.
    pub fn recent_deadlocks(&self) -> Vec<DeadlockRecord> {
        self.history.deadlocks()
    }

    /// Switches the profile of waits on or off. Waits that begin while it is on are counted.
    pub fn set_profiling(&self, is_on: bool) {
        self.table.is_profiling.store(is_on, Ordering::Relaxed);
    }

    /// Whether waits are profiled.
    pub fn is_profiling(&self) -> bool {
        self.table.is_profiling.load(Ordering::Relaxed)
    }

    /// The profile of waits that have ended, the most expensive first. Totals are exact: their
    /// sum is the time that all waits took.
    pub fn profile(&self) -> Vec<ProfileRow> {
        self.profile.rows()
    }

    /// The profile in the folded format of flame graph tools, resources by their numbers:
    /// `waiting statement;relation;key;blocking statement microseconds`, one line per stack.
    pub fn folded(&self) -> String {
        self.profile.folded(&profile::numbered)
    }

    /// As `folded`; `name` gives the two frames of a resource: relation, key.
    pub fn folded_with(&self, name: Frames<'_>) -> String {
        self.profile.folded(name)
    }

    /// Forgets the profile.
    pub fn reset_profile(&self) {
        self.profile.reset();
    }

    /// Brings the metrics up to date that are not counted at the event. Call before reading them.
    pub fn collect_metrics(&self) {
        let mut locks = LocksHeld::default();
        self.registry.for_each(|owner| {
            let mut held = owner.held.lock();
            held.count_granted();
            for (resource, mode) in held.fast() {
                locks.add(resource, mode);
            }
        });
        self.table.for_each(|resource, holders, _| {
            for holder in holders {
                locks.add(resource, holder.mode);
            }
        });
        locks.show();
        measure::granted_at_once(&self.registry.take_granted());
        let oldest = self
            .waits()
            .first()
            .map_or(Duration::ZERO, |wait| wait.waited);
        measure::gauges(self.table.len(), self.chain_len(), oldest);
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn waiting(&self) -> &WaitList {
        &self.waiting
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    pub(crate) fn pace(&self) -> &Pace {
        &self.table.pace
    }
}
