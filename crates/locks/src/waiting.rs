//! A request that waits: from the queue to its end, whatever that is.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use crate::deadlock;
use crate::held::Grip;
use crate::history::{WaitOutcome, WaitRecord};
use crate::manager::{LockManager, Request};
use crate::measure;
use crate::mode::Mode;
use crate::owner::Owner;
use crate::report::LockError;
use crate::table::Raised;
use crate::wait::{FirstBlocker, WaitBegin, WaitNode};

/// After the first search for a deadlock a waiter searches again, in growing intervals. A cycle
/// needs only one search to be found; this is for one whose search gave up at a limit.
const SEARCH_AGAIN_MIN: Duration = Duration::from_secs(1);
const SEARCH_AGAIN_MAX: Duration = Duration::from_secs(60);

/// A request in a queue. Dropped before it is over, it takes the request (or the grant that came
/// in the same instant) back.
pub(crate) struct Waiting<'a> {
    manager: &'a LockManager,
    owner: &'a Owner,
    node: Option<Arc<WaitNode>>,
    outcome: Option<WaitOutcome>,
}

impl LockManager {
    /// Puts the request into the queue. If the holder has gone meanwhile, it is granted there.
    pub(crate) fn begin_wait<'a>(
        &'a self,
        owner: &'a Owner,
        request: &Request<'_>,
        before: Option<Mode>,
        wanted: Mode,
        raised: Option<Raised<'a>>,
    ) -> Result<Waiting<'a>, LockError> {
        let is_profiling = self.is_profiling();
        let node = self.table().edit(request.resource, |queue, now| {
            let first = queue.blockers(&owner.info, None, wanted).next();
            let first_blocker = first.map(|(other, mode, _)| FirstBlocker {
                txn: other.txn,
                mode,
                statement: other.statement(),
            });
            let node = self.pool.take(WaitBegin {
                owner: &owner.info,
                resource: request.resource,
                mode: wanted,
                before,
                key: request.key,
                // Drawn under the queue's mutex, so that tickets grow along the queue.
                ticket: self.next_ticket.fetch_add(1, Ordering::Relaxed),
                since: now,
                first_blocker,
                base: queue.account(is_profiling, now),
            });
            queue.enqueue(Arc::clone(&node))?;
            queue.settle(now);
            Ok::<_, LockError>(node)
        })?;
        // From here on the waiter itself keeps the fast path closed.
        drop(raised);
        owner.info.begin_wait(&node);
        self.waiting().add(&node);
        measure::wait_began();
        Ok(Waiting {
            manager: self,
            owner,
            node: Some(node),
            outcome: None,
        })
    }

    /// Waits for the answer. Returns the number of rows that the owner has locked in the relation.
    pub(crate) async fn wait(
        &self,
        mut waiting: Waiting<'_>,
        deadline: Option<std::time::Instant>,
    ) -> Result<usize, LockError> {
        let Some(node) = waiting.node.clone() else {
            return Ok(0);
        };
        let answer = self.answer(&node, deadline.map(Instant::from_std)).await;
        waiting.outcome = match &answer {
            Ok(()) => Some(WaitOutcome::Granted),
            Err(LockError::Deadlock { .. }) => Some(WaitOutcome::Deadlock),
            Err(LockError::Timeout { .. }) => Some(WaitOutcome::Timeout),
            Err(_) => None,
        };
        let rows = answer.map(|()| {
            let grip = Grip {
                mode: node.mode,
                fast: false,
            };
            let mut held = waiting.owner.info.held.lock();
            held.record(node.resource, node.before, grip)
        });
        drop(node);
        drop(waiting);
        rows
    }

    async fn answer(
        &self,
        node: &Arc<WaitNode>,
        deadline: Option<Instant>,
    ) -> Result<(), LockError> {
        let mut next_search = Some(node.since + self.pace().detection_delay());
        let mut pause = SEARCH_AGAIN_MIN;
        // Without a clock to wake us there is no later.
        if self.options.deadlock_delay_max.is_zero() || Handle::try_current().is_err() {
            deadlock::detect(self, node);
            next_search = None;
        }
        loop {
            let next = match (next_search, deadline) {
                (Some(search), Some(deadline)) => search.min(deadline),
                (Some(only), None) | (None, Some(only)) => only,
                (None, None) => return node.answered().await,
            };
            if let Ok(answer) = timeout_at(next, node.answered()).await {
                return answer;
            }
            if deadline.is_some_and(|deadline| next >= deadline) {
                return node
                    .take_answer()
                    .unwrap_or_else(|| Err(self.timed_out(node)));
            }
            deadlock::detect(self, node);
            next_search = Some(Instant::now() + pause);
            pause = (pause * 2).min(SEARCH_AGAIN_MAX);
        }
    }

    fn timed_out(&self, node: &WaitNode) -> LockError {
        let modes = (node.before, node.mode);
        let key = node.key.as_deref();
        let refused = self.refused(&node.owner, node.resource, modes, key, Some(node.ticket));
        LockError::Timeout {
            refused,
            waited: node.since.elapsed(),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(node) = self.node.take() else { return };
        let manager = self.manager;
        self.owner.info.end_wait(node.ticket);
        manager.waiting().remove(node.ticket);
        if !matches!(
            self.outcome,
            Some(WaitOutcome::Granted | WaitOutcome::Deadlock)
        ) {
            manager.table().edit(node.resource, |queue, now| {
                // Answers are given under the shard's mutex, so this one is complete.
                if queue.remove_waiter(node.ticket, now).is_none()
                    && let Some(Ok(())) = node.take_answer()
                {
                    queue.lower(&node.owner, node.before, now);
                }
                queue.settle(now);
            });
        }
        let outcome = self.outcome.unwrap_or(WaitOutcome::Cancelled);
        let ended = node.take_ended();
        let at = ended.as_ref().map_or_else(Instant::now, |ended| ended.at);
        let waited = node.waited(at);
        if outcome == WaitOutcome::Granted {
            manager.pace().waited(waited);
        }
        measure::wait_ended(node.mode, node.resource, outcome, waited);
        if let Some(charged) = ended.and_then(|ended| ended.charged) {
            manager.profile.add(&node, &charged);
        }
        let first = node.first_blocker.as_ref();
        manager.history().wait(WaitRecord {
            txn: node.owner.txn,
            statement: node.statement.clone(),
            resource: node.resource,
            key: node.key_bytes(),
            mode: node.mode,
            outcome,
            waited,
            ended: at,
            blocker: first.map(|first| first.txn),
            blocker_mode: first.map(|first| first.mode),
            blocker_statement: first.and_then(|first| first.statement.clone()),
        });
        manager.pool.give_back(node, &manager.nobody);
    }
}
