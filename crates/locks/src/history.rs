//! What happened: the last waits and the last deadlocks, kept after they ended.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tessera_types::TxnId;
use tokio::time::Instant;

use crate::mode::Mode;
use crate::report::CycleMember;
use crate::resource::Resource;
use crate::sync::Mutex;
use crate::victim::VictimPolicy;

/// Ended waits that are kept.
const WAITS_MAX: usize = 1_000;
/// Deadlocks that are kept.
const DEADLOCKS_MAX: usize = 200;

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitOutcome {
    /// The lock was granted.
    Granted,
    /// The deadline passed.
    Timeout,
    /// Chosen as the victim of a deadlock.
    Deadlock,
    /// The waiting statement was cancelled.
    Cancelled,
}

/// A wait that has ended.
#[derive(Debug, Clone)]
pub struct WaitRecord {
    /// Who waited.
    pub txn: TxnId,
    /// What it ran.
    pub statement: Option<Arc<str>>,
    /// What it waited for.
    pub resource: Resource,
    /// The key, as the layer above described it.
    pub key: Option<Box<[u8]>>,
    /// In which mode.
    pub mode: Mode,
    /// How it ended.
    pub outcome: WaitOutcome,
    /// How long it took.
    pub waited: Duration,
    /// When it ended.
    pub ended: Instant,
    /// Who was in the way when it began.
    pub blocker: Option<TxnId>,
    /// What that one held, or waited for.
    pub blocker_mode: Option<Mode>,
    /// What it ran then, or had run last.
    pub blocker_statement: Option<Arc<str>>,
}

/// A deadlock that was broken.
#[derive(Debug, Clone)]
pub struct DeadlockRecord {
    /// When it was found.
    pub found: Instant,
    /// Everyone in the cycle, the victim first; each waits for the next one.
    pub cycle: Vec<CycleMember>,
    /// What decided who had to go.
    pub policy: VictimPolicy,
}

/// Rings of both.
#[derive(Debug, Default)]
pub(crate) struct History {
    waits: Mutex<VecDeque<WaitRecord>>,
    deadlocks: Mutex<VecDeque<DeadlockRecord>>,
}

impl History {
    pub(crate) fn wait(&self, record: WaitRecord) {
        let oldest = push(&mut self.waits.lock(), record, WAITS_MAX);
        drop(oldest);
    }

    pub(crate) fn deadlock(&self, found: Instant, cycle: Vec<CycleMember>, policy: VictimPolicy) {
        let record = DeadlockRecord {
            found,
            cycle,
            policy,
        };
        drop(push(&mut self.deadlocks.lock(), record, DEADLOCKS_MAX));
    }

    pub(crate) fn waits(&self) -> Vec<WaitRecord> {
        self.waits.lock().iter().cloned().collect()
    }

    pub(crate) fn deadlocks(&self) -> Vec<DeadlockRecord> {
        self.deadlocks.lock().iter().cloned().collect()
    }
}

fn push<T>(ring: &mut VecDeque<T>, record: T, most: usize) -> Option<T> {
    let oldest = (ring.len() >= most).then(|| ring.pop_front()).flatten();
    ring.push_back(record);
    oldest
}
