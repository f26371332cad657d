//! Makes commits visible in the order of their versions.
//!
//! Every version given out by the log has a slot here. Whoever learns that something became
//! durable calls `advance`, which publishes from the front as far as outcomes are known. So the
//! first of a group that wakes publishes the whole group.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::channel::oneshot;
use parking_lot::Mutex;
use tessera_log::LogError;
use tessera_types::{TxnId, Version};

use crate::batch::{CommitOutcome, Publish};
use crate::changes::{Notice, Watcher, Watchers};
use crate::embedded::core::Core;
use crate::embedded::history::SharedWrites;
use crate::embedded::views::Additions;

/// A commit between its place in the log and its publication.
pub(crate) struct Slot {
    pub(crate) version: Version,
    pub(crate) txn: TxnId,
    pub(crate) durable: bool,
    /// The log has taken responsibility for a commit that does not wait for the disk.
    pub(crate) accepted: bool,
    pub(crate) writes: SharedWrites,
    pub(crate) additions: Additions,
    pub(crate) before_publish: Option<Publish>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) answer: oneshot::Sender<CommitOutcome>,
}

/// Commits under way, in the order of versions.
#[derive(Default)]
pub(crate) struct Publisher {
    slots: Mutex<VecDeque<Slot>>,
    /// Taken within `slots`: whoever is registered hears of every commit that is not visible yet.
    watchers: Mutex<Watchers>,
}

impl Publisher {
    /// Adds a slot; called under the sequencer's lock, so versions ascend.
    pub(crate) fn push(&self, slot: Slot) {
        self.slots.lock().push_back(slot);
    }

    /// Notes that the log answers for a commit that does not wait for the disk.
    pub(crate) fn accept(&self, version: Version) {
        let mut slots = self.slots.lock();
        if let Ok(at) = slots.binary_search_by_key(&version, |slot| slot.version) {
            slots[at].accepted = true;
        }
    }

    /// Whose commit has this version, if it is not published yet.
    pub(crate) fn txn_of(&self, version: Version) -> Option<TxnId> {
        let slots = self.slots.lock();
        let at = slots.binary_search_by_key(&version, |slot| slot.version);
        at.ok().map(|at| slots[at].txn)
    }

    pub(crate) fn watch(&self, watcher: Arc<dyn Watcher>) -> u64 {
        let _nothing_is_published = self.slots.lock();
        self.watchers.lock().add(watcher)
    }

    pub(crate) fn unwatch(&self, id: u64) {
        let gone = self.watchers.lock().remove(id);
        drop(gone);
    }

    /// Wakes all who wait for commits, such as when there will be no more.
    pub(crate) fn wake_watchers(&self, newest: Version) {
        self.watchers.lock().tell(newest, &[]);
    }

    /// Publishes, or takes back, everything at the front whose outcome is known.
    pub(crate) fn advance(&self, core: &Core) {
        let mut answers = Vec::new();
        let mut slots = self.slots.lock();
        let watchers = self.watchers.lock();
        while let Some(front) = slots.front() {
            let outcome = match (&core.log, front.accepted) {
                (_, true) => Some(Ok(())),
                (Some(log), false) => log.outcome(front.version, front.durable),
                (None, false) => Some(Err(LogError::Closed)),
            };
            let Some(outcome) = outcome else { break };
            let Some(slot) = slots.pop_front() else { break };
            answers.push(match outcome {
                Ok(()) => publish(core, slot, &watchers),
                Err(error) => withdraw(core, slot, &error),
            });
        }
        drop(watchers);
        drop(slots);
        core.pressure.check(core);
        for (sender, outcome) in answers {
            // Nobody may be waiting any more; the commit is done all the same.
            let _ = sender.send(outcome);
        }
    }
}

type Answer = (oneshot::Sender<CommitOutcome>, CommitOutcome);

fn publish(core: &Core, slot: Slot, watchers: &Watchers) -> Answer {
    fail::fail_point!("storage::commit::before_publish");
    if let Some(before_publish) = slot.before_publish {
        let version = slot.version;
        // A panic here must not leave later commits waiting for ever.
        if catch_unwind(AssertUnwindSafe(|| before_publish(version))).is_err() {
            tracing::error!(%version, "a call before publication panicked");
        }
    }
    if !slot.additions.runs.is_empty() {
        let bytes: u64 = slot.additions.runs.iter().map(|run| run.bytes()).sum();
        core.run_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
    let has_additions = !slot.additions.is_empty();
    core.views.publish(slot.version, slot.additions);
    if has_additions {
        // Only now: a batch that is checked at this moment must find them in one place.
        core.sequencer.forget(slot.version);
    }
    watchers.tell(slot.version, &slot.notices);
    core.counters.commits.fetch_add(1, Ordering::Relaxed);
    (slot.answer, CommitOutcome::Committed(slot.version))
}

fn withdraw(core: &Core, slot: Slot, error: &LogError) -> Answer {
    for (space, key, _) in slot.writes.iter() {
        core.recent.withdraw(*space, key, slot.version);
    }
    core.sequencer.forget(slot.version);
    let outcome = match error {
        LogError::Unresolved { .. } => {
            // The next opening may find the record, so its runs stay.
            core.outcomes
                .lock()
                .put(slot.txn, CommitOutcome::Unknown(slot.txn));
            CommitOutcome::Unknown(slot.txn)
        }
        error => {
            slot.additions.runs.iter().for_each(|run| run.discard());
            CommitOutcome::Aborted(core.log_failure(error))
        }
    };
    if matches!(
        error,
        LogError::Unresolved { .. } | LogError::Poisoned { .. }
    ) {
        core.stop_writing(error);
    }
    (slot.answer, outcome)
}
