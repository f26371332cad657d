//! What the lock table tells the metrics.

use std::time::Instant;

use tessera_telemetry::labels::{LockMode, LockPath, LockResult, ResourceClass};
use tessera_telemetry::metrics;

use crate::manager::Grant;
use crate::mode::Mode;
use crate::report::LockError;
use crate::resource::Resource;

/// A request was granted without waiting.
pub(crate) fn granted_at_once(mode: Mode) {
    let labels = (label(mode), LockPath::Fast, LockResult::Granted);
    metrics().lock_acquisitions.with(labels).increment();
}

/// Row locks became a relation lock.
pub(crate) fn escalated() {
    metrics().lock_escalations.increment();
}

/// A request that waits; counted among the waiters until dropped.
pub(crate) struct WaitMeasured {
    resource: Resource,
    mode: Mode,
    since: Instant,
}

impl WaitMeasured {
    pub(crate) fn start(resource: Resource, mode: Mode) -> WaitMeasured {
        metrics().lock_waiters.add(1);
        WaitMeasured {
            resource,
            mode,
            since: Instant::now(),
        }
    }

    /// Notes how the wait ended. A wait whose future was dropped has no result.
    pub(crate) fn end(self, outcome: &Result<Grant, LockError>) {
        let metrics = metrics();
        let result = match outcome {
            Ok(_) => LockResult::Granted,
            Err(LockError::Timeout { .. }) => {
                metrics.lock_timeouts.increment();
                LockResult::Timeout
            }
            Err(LockError::Deadlock { .. }) => {
                metrics.deadlocks.increment();
                LockResult::Deadlock
            }
            Err(_) => LockResult::Refused,
        };
        let mode = label(self.mode);
        metrics
            .lock_acquisitions
            .with((mode, LockPath::Slow, result))
            .increment();
        let class = class(self.resource);
        metrics
            .lock_wait_duration
            .with((mode, class))
            .record(self.since.elapsed());
    }
}

impl Drop for WaitMeasured {
    fn drop(&mut self) {
        metrics().lock_waiters.add(-1);
    }
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
    }
}
