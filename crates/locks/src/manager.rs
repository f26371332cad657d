//! The sharded table of queues; waiting, cancelling and escalation.
//!
//! A lock that is free is granted within the first poll of `acquire`: one shard mutex, no
//! allocation beyond the table entry, no task switch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ahash::RandomState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use parking_lot::{Mutex, MutexGuard};
use tessera_types::{RelationId, TxnId};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::deadlock::Detector;
use crate::measure;
use crate::mode::Mode;
use crate::owner::{Mark, Owner};
use crate::queue::{Queue, Requested, Waiter};
use crate::report::{Blocker, LockError, Refused};
use crate::resource::Resource;

/// Independent parts of the lock table.
const SHARDS: usize = 64;
/// Blockers named in an error.
const BLOCKERS_NAMED_MAX: usize = 5;

/// Limits of a lock manager.
#[derive(Debug, Clone, Copy)]
pub struct LockManagerOptions {
    /// Row locks of one transaction in one relation after which a lock on the relation is tried.
    pub escalate_rows: usize,
    /// Row locks after which that lock is waited for, so that memory stays bounded.
    pub escalate_rows_max: usize,
}

impl Default for LockManagerOptions {
    fn default() -> Self {
        LockManagerOptions {
            escalate_rows: 20_000,
            escalate_rows_max: 1_000_000,
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

/// One lock, for the views of the administrator.
#[derive(Debug, Clone)]
pub struct LockInfo {
    /// Who holds it or waits for it.
    pub txn: TxnId,
    /// What.
    pub resource: Resource,
    /// In which mode.
    pub mode: Mode,
    /// Held, instead of waited for.
    pub granted: bool,
    /// How long it has been waited for.
    pub waited: Option<Duration>,
    /// Who is in the way of a waiter.
    pub blocked_by: Vec<TxnId>,
    /// What the transaction runs or ran last.
    pub statement: Option<Arc<str>>,
}

type Shard = HashMap<Resource, Queue, RandomState>;

/// The lock table of one database.
#[derive(Debug)]
pub struct LockManager {
    shards: Box<[CacheAligned]>,
    hasher: RandomState,
    detector: Detector,
    next_ticket: AtomicU64,
    options: LockManagerOptions,
}

/// Keeps the mutexes of two shards off one cache line.
#[derive(Debug)]
#[repr(align(128))]
struct CacheAligned(Mutex<Shard>);

impl Default for LockManager {
    fn default() -> Self {
        Self::new(LockManagerOptions::default())
    }
}

impl LockManager {
    /// An empty lock table.
    pub fn new(options: LockManagerOptions) -> Self {
        let hasher = RandomState::new();
        let shards = (0..SHARDS)
            .map(|_| CacheAligned(Mutex::new(HashMap::with_hasher(hasher.clone()))))
            .collect();
        LockManager {
            shards,
            hasher,
            detector: Detector::default(),
            next_ticket: AtomicU64::new(1),
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
        let grant = match self.try_acquire(owner, resource, mode)? {
            Attempt::Granted(grant, rows) => {
                if grant == Grant::Immediate {
                    measure::granted_at_once(mode);
                }
                self.escalate_if_many(owner, resource, rows).await?;
                return Ok(grant);
            }
            Attempt::Blocked { before, wanted } => match options.wait {
                Wait::SkipLocked => return Ok(Grant::Skipped),
                Wait::NoWait => {
                    let refused = self.refused(owner, resource, mode, wanted, None);
                    return Err(LockError::NotAvailable { refused });
                }
                Wait::Block => {
                    let measured = measure::WaitMeasured::start(resource, mode);
                    let outcome = self
                        .wait(owner, resource, before, wanted, options.deadline)
                        .await;
                    measured.end(&outcome);
                    outcome?
                }
            },
        };
        Ok(grant)
    }

    /// `acquire` for a caller that knows the parents to be missing: takes them first.
    pub async fn acquire_with_parents(
        &self,
        owner: &Owner,
        resource: Resource,
        mode: Mode,
        options: &LockOptions,
    ) -> Result<Grant, LockError> {
        if let Some(parent) = resource.parent() {
            let (intention, above) = (mode.intention(), parent.parent());
            let (parent_missing, above_missing) = {
                let held = owner.held.lock();
                if held.is_covered(resource, mode) {
                    return Ok(Grant::Held);
                }
                let missing = |resource| {
                    !held
                        .mode_of(resource)
                        .is_some_and(|mode| mode.covers(intention))
                };
                (missing(parent), above.is_some_and(missing))
            };
            // Whoever skips locked rows still waits for a locked table, as PostgreSQL does.
            let above_options = match options.wait {
                Wait::SkipLocked => LockOptions {
                    wait: Wait::Block,
                    ..*options
                },
                Wait::Block | Wait::NoWait => *options,
            };
            let mut waited = false;
            if let Some(above) = above
                && above_missing
            {
                let grant = self
                    .acquire(owner, above, intention, &above_options)
                    .await?;
                waited |= grant == Grant::AfterWait;
            }
            if parent_missing {
                let grant = self
                    .acquire(owner, parent, intention, &above_options)
                    .await?;
                waited |= grant == Grant::AfterWait;
            }
            if waited {
                let grant = self.acquire(owner, resource, mode, options).await?;
                // What the resource protects may have changed while we waited above it.
                return Ok(match grant {
                    Grant::Immediate => Grant::AfterWait,
                    other => other,
                });
            }
        }
        self.acquire(owner, resource, mode, options).await
    }

    /// Releases everything the owner holds.
    pub fn release_all(&self, owner: &Owner) {
        let steps = owner.held.lock().take_all();
        for step in steps.iter().rev().filter(|step| step.before.is_none()) {
            self.lower(owner.txn(), step.resource, None);
        }
    }

    /// Releases what the owner got after the mark; upgrades go back to what was held before.
    ///
    /// A relation lock that replaced row locks (escalation) stays.
    pub fn release_to(&self, owner: &Owner, mark: Mark) {
        loop {
            let step = owner.held.lock().pop_after(mark);
            let Some(step) = step else { return };
            self.lower(owner.txn(), step.resource, step.before);
        }
    }

    /// All locks and waiters, for views. Not one instant: shards are read one after the other.
    pub fn snapshot(&self) -> Vec<LockInfo> {
        let now = Instant::now();
        let mut infos = Vec::new();
        for shard in &self.shards {
            let shard = shard.0.lock();
            for (resource, queue) in shard.iter() {
                for holder in queue.holders() {
                    infos.push(LockInfo {
                        txn: holder.owner.txn,
                        resource: *resource,
                        mode: holder.mode,
                        granted: true,
                        waited: None,
                        blocked_by: Vec::new(),
                        statement: holder.owner.statement(),
                    });
                }
                for waiter in queue.waiters() {
                    let mut blocked_by: Vec<TxnId> = queue
                        .blockers(waiter.owner.txn, Some(waiter.ticket), waiter.mode)
                        .map(|(owner, _, _)| owner.txn)
                        .collect();
                    blocked_by.sort_unstable();
                    blocked_by.dedup();
                    infos.push(LockInfo {
                        txn: waiter.owner.txn,
                        resource: *resource,
                        mode: waiter.mode,
                        granted: false,
                        waited: Some(now.saturating_duration_since(waiter.since)),
                        blocked_by,
                        statement: waiter.owner.statement(),
                    });
                }
            }
        }
        infos.sort_by_key(|info| (info.resource, !info.granted, info.txn));
        infos
    }

    /// Number of resources that are held or waited for.
    pub fn resource_count(&self) -> usize {
        self.shards.iter().map(|shard| shard.0.lock().len()).sum()
    }

    pub(crate) fn shard(&self, resource: Resource) -> MutexGuard<'_, Shard> {
        let at = self.hasher.hash_one(resource) as usize % SHARDS;
        self.shards[at].0.lock()
    }

    /// One try without waiting.
    fn try_acquire(
        &self,
        owner: &Owner,
        resource: Resource,
        mode: Mode,
    ) -> Result<Attempt, LockError> {
        let mut held = owner.held.lock();
        let before = held.mode_of(resource);
        if before.is_some_and(|before| before.covers(mode)) || held.is_covered(resource, mode) {
            return Ok(Attempt::Granted(Grant::Held, 0));
        }
        if let Some(parent) = resource.parent()
            && !held
                .mode_of(parent)
                .is_some_and(|held| held.covers(mode.intention()))
        {
            return Err(LockError::ParentNotHeld { resource, mode });
        }
        // The owner's own mutex is taken before the shard's, everywhere.
        let requested =
            self.shard(resource)
                .entry(resource)
                .or_default()
                .request(&owner.info, before, mode);
        Ok(match requested {
            Requested::Granted { before, now } => {
                Attempt::Granted(Grant::Immediate, held.record(resource, before, now))
            }
            Requested::MustWait { before, wanted } => Attempt::Blocked { before, wanted },
        })
    }

    async fn wait(
        &self,
        owner: &Owner,
        resource: Resource,
        before: Option<Mode>,
        wanted: Mode,
        deadline: Option<std::time::Instant>,
    ) -> Result<Grant, LockError> {
        let ticket = self.next_ticket.fetch_add(1, Ordering::Relaxed);
        let since = Instant::now();
        let (answer, answered) = oneshot::channel();
        {
            let mut shard = self.shard(resource);
            let queue = shard.entry(resource).or_default();
            let enqueued = queue.enqueue(Waiter {
                owner: Arc::clone(&owner.info),
                mode: wanted,
                upgrade_from: before,
                ticket,
                since,
                answer,
            });
            // The holder may have gone since `try_acquire`.
            queue.settle();
            if queue.is_empty() {
                shard.remove(&resource);
            }
            enqueued?;
        }
        let mut waiting = Waiting {
            manager: self,
            owner,
            resource,
            before,
            ticket,
            answered,
            is_over: false,
        };
        self.detector.waits(self, owner.txn(), resource, ticket);

        let answer = match deadline {
            None => (&mut waiting.answered).await,
            Some(deadline) => {
                let deadline = Instant::from_std(deadline);
                match tokio::time::timeout_at(deadline, &mut waiting.answered).await {
                    Ok(answer) => answer,
                    Err(_elapsed) => {
                        let waited = since.elapsed();
                        let refused = self.refused(owner, resource, wanted, wanted, Some(ticket));
                        // `waiting` is dropped here and takes the request back.
                        return Err(LockError::Timeout { refused, waited });
                    }
                }
            }
        };
        waiting.is_over = true;
        self.detector.waits_no_more(owner.txn(), ticket);
        match answer {
            Ok(Ok(())) => {
                let rows = owner.held.lock().record(resource, before, wanted);
                drop(waiting);
                Box::pin(self.escalate_if_many(owner, resource, rows)).await?;
                Ok(Grant::AfterWait)
            }
            Ok(Err(error)) => Err(error),
            // The sender lives in the queue until it has answered.
            Err(_closed) => Err(LockError::NotAvailable {
                refused: self.refused(owner, resource, wanted, wanted, None),
            }),
        }
    }

    /// Sets a holder back to `to` and wakes whom that lets in.
    fn lower(&self, txn: TxnId, resource: Resource, to: Option<Mode>) {
        let mut shard = self.shard(resource);
        let Entry::Occupied(mut queue) = shard.entry(resource) else {
            return;
        };
        queue.get_mut().lower(txn, to);
        queue.get_mut().settle();
        if queue.get().is_empty() {
            queue.remove();
        }
    }

    /// Replaces many row locks by one on the relation.
    async fn escalate_if_many(
        &self,
        owner: &Owner,
        resource: Resource,
        rows: usize,
    ) -> Result<(), LockError> {
        let Resource::Row(relation, _) = resource else {
            return Ok(());
        };
        if rows < self.options.escalate_rows || !rows.is_multiple_of(self.options.escalate_rows) {
            return Ok(());
        }
        let parent = Resource::Relation(relation);
        // Written rows were announced with IX, read ones with IS.
        let covering = match owner.mode_of(parent) {
            Some(Mode::IS | Mode::S) => Mode::S,
            _ => Mode::X,
        };
        match self.try_acquire(owner, parent, covering)? {
            Attempt::Granted(..) => {}
            Attempt::Blocked { .. } if rows < self.options.escalate_rows_max => return Ok(()),
            Attempt::Blocked { before, wanted } => {
                Box::pin(self.wait(owner, parent, before, wanted, None)).await?;
            }
        }
        self.drop_covered_rows(owner, relation);
        Ok(())
    }

    fn drop_covered_rows(&self, owner: &Owner, relation: RelationId) {
        let Some(covering) = owner.mode_of(Resource::Relation(relation)) else {
            return;
        };
        let rows = owner.held.lock().escalate(relation, covering);
        measure::escalated();
        for row in rows {
            self.lower(owner.txn(), row, None);
        }
    }

    fn refused(
        &self,
        owner: &Owner,
        resource: Resource,
        mode: Mode,
        wanted: Mode,
        ticket: Option<u64>,
    ) -> Box<Refused> {
        let shard = self.shard(resource);
        let blockers = shard.get(&resource).map_or_else(Vec::new, |queue| {
            queue
                .blockers(owner.txn(), ticket, wanted)
                .take(BLOCKERS_NAMED_MAX)
                .map(|(other, mode, granted)| Blocker {
                    txn: other.txn,
                    mode,
                    granted,
                    statement: other.statement(),
                })
                .collect()
        });
        Box::new(Refused {
            resource,
            mode,
            blockers,
        })
    }
}

/// Result of one try.
enum Attempt {
    /// Granted; the number is that of the relation's rows locked one by one.
    Granted(Grant, usize),
    Blocked {
        before: Option<Mode>,
        wanted: Mode,
    },
}

/// A request in a queue. Dropped before it is over, it takes the request (or the grant that came
/// in the same instant) back.
struct Waiting<'a> {
    manager: &'a LockManager,
    owner: &'a Owner,
    resource: Resource,
    before: Option<Mode>,
    ticket: u64,
    answered: oneshot::Receiver<Result<(), LockError>>,
    is_over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let txn = self.owner.txn();
        self.manager.detector.waits_no_more(txn, self.ticket);
        let mut shard = self.manager.shard(self.resource);
        let Entry::Occupied(mut queue) = shard.entry(self.resource) else {
            return;
        };
        if queue.get_mut().remove_waiter(self.ticket).is_none() {
            // Answers are sent under the shard's mutex, so this one is complete.
            if let Ok(Ok(())) = self.answered.try_recv() {
                queue.get_mut().lower(txn, self.before);
            }
        }
        queue.get_mut().settle();
        if queue.get().is_empty() {
            queue.remove();
        }
    }
}
