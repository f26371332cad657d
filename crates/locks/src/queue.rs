//! Holders and waiters of one resource. Every change of a lock's state happens in this file;
//! nothing here blocks, wakes tasks by itself or knows about other resources.
//!
//! # Invariants
//! 1. Granted modes are pairwise compatible.
//! 2. Upgrades stand before newcomers; within each group it is first come, first served.
//! 3. When `settle` returns, the first waiter cannot be granted.

use std::collections::VecDeque;
use std::sync::Arc;

use smallvec::SmallVec;
use tessera_types::TxnId;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::mode::{MODE_COUNT, Mode};
use crate::owner::OwnerInfo;
use crate::report::LockError;

/// Waiters that one resource may have before newcomers are refused.
pub(crate) const QUEUE_WAITERS_MAX: usize = 10_000;

/// One granted lock.
#[derive(Debug)]
pub(crate) struct Holder {
    pub(crate) owner: Arc<OwnerInfo>,
    pub(crate) mode: Mode,
}

/// One request that is not granted yet.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) owner: Arc<OwnerInfo>,
    /// What the owner will hold when granted: for an upgrade, the join with what it holds.
    pub(crate) mode: Mode,
    /// What the owner holds now, if this is an upgrade.
    pub(crate) upgrade_from: Option<Mode>,
    /// Names the request, so that a dropped future can find it.
    pub(crate) ticket: u64,
    pub(crate) since: Instant,
    /// Tells the waiting task. A closed receiver means that its future is being dropped.
    pub(crate) answer: oneshot::Sender<Result<(), LockError>>,
}

/// What `request` did.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Requested {
    /// Granted; the owner held `before`.
    Granted { before: Option<Mode>, now: Mode },
    /// Not granted: the caller waits in the queue, or goes away.
    MustWait { before: Option<Mode>, wanted: Mode },
}

/// Holders and waiters of one resource.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    granted: SmallVec<[Holder; 1]>,
    /// How many holders have each mode, so that a busy table's intention lock costs no search.
    granted_count: [u32; MODE_COUNT],
    waiters: VecDeque<Waiter>,
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.granted.is_empty() && self.waiters.is_empty()
    }

    pub(crate) fn holders(&self) -> &[Holder] {
        &self.granted
    }

    pub(crate) fn waiters(&self) -> &VecDeque<Waiter> {
        &self.waiters
    }

    /// Asks for `mode` beside the `before` that the owner holds. Does not enqueue.
    pub(crate) fn request(
        &mut self,
        owner: &Arc<OwnerInfo>,
        before: Option<Mode>,
        mode: Mode,
    ) -> Requested {
        let wanted = before.map_or(mode, |held| held.join(mode));
        if before == Some(wanted) {
            return Requested::Granted {
                before,
                now: wanted,
            };
        }
        // Newcomers stay behind earlier waiters, or a stream of readers could starve a writer.
        // An upgrade passes them: they cannot go on before its holder does, anyway.
        let may_pass = before.is_some() || self.waiters.is_empty();
        if !may_pass || !self.fits_beside_holders(before, wanted) {
            return Requested::MustWait { before, wanted };
        }
        self.grant(owner, before, wanted);
        Requested::Granted {
            before,
            now: wanted,
        }
    }

    /// Puts a request at its place among the waiters.
    pub(crate) fn enqueue(&mut self, waiter: Waiter) -> Result<(), LockError> {
        if self.waiters.len() >= QUEUE_WAITERS_MAX {
            return Err(LockError::QueueFull {
                waiters_max: QUEUE_WAITERS_MAX,
            });
        }
        if waiter.upgrade_from.is_some() {
            let upgrades = self
                .waiters
                .iter()
                .take_while(|w| w.upgrade_from.is_some())
                .count();
            self.waiters.insert(upgrades, waiter);
        } else {
            self.waiters.push_back(waiter);
        }
        Ok(())
    }

    /// Takes a request out of the waiters. The caller calls `settle` afterwards.
    pub(crate) fn remove_waiter(&mut self, ticket: u64) -> Option<Waiter> {
        let at = self
            .waiters
            .iter()
            .position(|waiter| waiter.ticket == ticket)?;
        self.waiters.remove(at)
    }

    /// Sets what the owner holds back to `to`, or releases it. The caller calls `settle`.
    pub(crate) fn lower(&mut self, txn: TxnId, to: Option<Mode>) {
        let Some(at) = self
            .granted
            .iter()
            .position(|holder| holder.owner.txn == txn)
        else {
            return;
        };
        self.granted_count[self.granted[at].mode as usize] -= 1;
        match to {
            Some(mode) => {
                self.granted[at].mode = mode;
                self.granted_count[mode as usize] += 1;
            }
            None => {
                self.granted.swap_remove(at);
            }
        }
    }

    /// Grants what can be granted from the front of the waiters, and tells them.
    pub(crate) fn settle(&mut self) {
        while let Some(first) = self.waiters.front() {
            if !first.answer.is_closed()
                && !self.fits_beside_holders(first.upgrade_from, first.mode)
            {
                return;
            }
            let Some(first) = self.waiters.pop_front() else {
                return;
            };
            if first.answer.is_closed() {
                // Its future is gone; it takes nothing with it.
                continue;
            }
            self.grant(&first.owner, first.upgrade_from, first.mode);
            if first.answer.send(Ok(())).is_err() {
                self.lower(first.owner.txn, first.upgrade_from);
            }
        }
    }

    /// Whom a request for `mode` that stands before the waiter `ticket` (or last) waits for:
    /// holders in its way and everyone before it in the queue.
    pub(crate) fn blockers(
        &self,
        txn: TxnId,
        ticket: Option<u64>,
        mode: Mode,
    ) -> impl Iterator<Item = (&Arc<OwnerInfo>, Mode, bool)> {
        let holders = self
            .granted
            .iter()
            .filter(move |holder| holder.owner.txn != txn && !mode.is_compatible_with(holder.mode))
            .map(|holder| (&holder.owner, holder.mode, true));
        let earlier = self
            .waiters
            .iter()
            .take_while(move |waiter| Some(waiter.ticket) != ticket)
            .filter(move |waiter| waiter.owner.txn != txn)
            .map(|waiter| (&waiter.owner, waiter.mode, false));
        holders.chain(earlier)
    }

    fn fits_beside_holders(&self, own: Option<Mode>, wanted: Mode) -> bool {
        Mode::ALL.into_iter().all(|held| {
            let others = self.granted_count[held as usize] - u32::from(own == Some(held));
            others == 0 || wanted.is_compatible_with(held)
        })
    }

    fn grant(&mut self, owner: &Arc<OwnerInfo>, before: Option<Mode>, now: Mode) {
        match before {
            None => {
                self.granted.push(Holder {
                    owner: Arc::clone(owner),
                    mode: now,
                });
                self.granted_count[now as usize] += 1;
            }
            Some(_) => {
                if let Some(holder) = self.granted.iter_mut().find(|h| h.owner.txn == owner.txn) {
                    self.granted_count[holder.mode as usize] -= 1;
                    holder.mode = now;
                    self.granted_count[now as usize] += 1;
                }
            }
        }
        debug_assert!(self.holders_are_compatible(), "invariant 1");
    }

    fn holders_are_compatible(&self) -> bool {
        self.granted.iter().enumerate().all(|(at, a)| {
            self.granted[at + 1..]
                .iter()
                .all(|b| a.mode.is_compatible_with(b.mode))
        })
    }
}
