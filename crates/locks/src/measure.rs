//! What the lock table tells the metrics.

use std::time::Duration;

use tessera_telemetry::labels::{LockMode, LockPath, LockResult, ResourceClass, Victim};
use tessera_telemetry::metrics;

use crate::history::WaitOutcome;
use crate::mode::{MODE_COUNT, Mode};
use crate::resource::Resource;
use crate::victim::VictimPolicy;

/// In the order of their numbers.
const RESOURCE_CLASSES: [ResourceClass; 5] = [
    ResourceClass::Database,
    ResourceClass::Relation,
    ResourceClass::Range,
    ResourceClass::Row,
    ResourceClass::Advisory,
];

/// So many requests, by mode, were granted without waiting.
pub(crate) fn granted_at_once(granted: &[u64; MODE_COUNT]) {
    for (mode, count) in Mode::ALL.into_iter().zip(granted) {
        if *count > 0 {
            let labels = (label(mode), LockPath::Fast, LockResult::Granted);
            metrics().lock_acquisitions.with(labels).add(*count);
        }
    }
}

/// A request did not want to wait.
pub(crate) fn refused(mode: Mode) {
    let labels = (label(mode), LockPath::Slow, LockResult::Refused);
    metrics().lock_acquisitions.with(labels).increment();
}

/// Row locks became a relation lock.
pub(crate) fn escalated() {
    metrics().lock_escalations.increment();
}

/// A request begins to wait.
pub(crate) fn wait_began() {
    metrics().lock_waiters.add(1);
}

/// A wait has ended.
pub(crate) fn wait_ended(mode: Mode, resource: Resource, outcome: WaitOutcome, waited: Duration) {
    let metrics = metrics();
    metrics.lock_waiters.add(-1);
    let result = match outcome {
        WaitOutcome::Granted => LockResult::Granted,
        WaitOutcome::Timeout => {
            metrics.lock_timeouts.increment();
            LockResult::Timeout
        }
        WaitOutcome::Deadlock => LockResult::Deadlock,
        WaitOutcome::Cancelled => LockResult::Refused,
    };
    let labels = (label(mode), LockPath::Slow, result);
    metrics.lock_acquisitions.with(labels).increment();
    let labels = (label(mode), class(resource));
    metrics.lock_wait_duration.with(labels).record(waited);
    if let Some(relation) = resource.relation() {
        let name = relation.0.to_string();
        metrics.lock_relation_wait.add(&name, waited.as_secs_f64());
    }
}

/// A search for deadlocks took so long.
pub(crate) fn searched(took: Duration) {
    metrics().deadlock_detection_duration.record(took);
}

/// A deadlock was broken.
pub(crate) fn deadlock(resource: Resource, policy: VictimPolicy) {
    let metrics = metrics();
    metrics.deadlocks.with(class(resource)).increment();
    let policy = match policy {
        VictimPolicy::Priority => Victim::Priority,
        VictimPolicy::Cost => Victim::Cost,
        VictimPolicy::Age => Victim::Age,
    };
    metrics.deadlock_victims.with(policy).increment();
}

/// Locks that are held, by class of the resource and mode.
#[derive(Default)]
pub(crate) struct LocksHeld([[i64; MODE_COUNT]; RESOURCE_CLASSES.len()]);

impl LocksHeld {
    pub(crate) fn add(&mut self, resource: Resource, mode: Mode) {
        self.0[class(resource) as usize][mode as usize] += 1;
    }

    pub(crate) fn show(&self) {
        for (class, counts) in RESOURCE_CLASSES.into_iter().zip(self.0) {
            for (mode, count) in Mode::ALL.into_iter().zip(counts) {
                metrics().lock_held.with((label(mode), class)).set(count);
            }
        }
    }
}

/// What is measured when the metrics are read.
pub(crate) fn gauges(entries: usize, chain_len: usize, oldest_wait: Duration) {
    let metrics = metrics();
    metrics.lock_table_entries.set(entries as i64);
    metrics.lock_wait_chain_length.set(chain_len as i64);
    metrics.lock_wait_oldest.set(oldest_wait.as_secs_f64());
}

fn label(mode: Mode) -> LockMode {
    match mode {
        Mode::IS => LockMode::IntentShared,
        Mode::IX => LockMode::IntentExclusive,
        Mode::S => LockMode::Shared,
        Mode::SIX => LockMode::SharedIntentExclusive,
        Mode::U => LockMode::Update,
        Mode::X => LockMode::Exclusive,
    }
}

fn class(resource: Resource) -> ResourceClass {
    match resource {
        Resource::Database => ResourceClass::Database,
        Resource::Relation(_) => ResourceClass::Relation,
        Resource::Range(..) => ResourceClass::Range,
        Resource::Row(..) => ResourceClass::Row,
        Resource::Advisory(..) => ResourceClass::Advisory,
    }
}
