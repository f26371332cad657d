//! Holders and waiters of one resource. Every change of a lock's state happens in this file;
//! nothing here blocks, wakes tasks by itself or knows about other resources.
//!
//! # Invariants
//! 1. Modes granted to different sessions are pairwise compatible.
//! 2. Upgrades stand before newcomers; within each group it is first come, first served, which
//!    is the order of tickets.
//! 3. When `settle` returns, the first waiter cannot be granted.

use std::collections::VecDeque;
use std::sync::Arc;

use smallvec::SmallVec;
use tokio::time::Instant;

use crate::blame::{Blame, difference};
use crate::mode::{MODE_COUNT, Mode};
use crate::owner::OwnerInfo;
use crate::report::LockError;
use crate::wait::WaitNode;

/// Waiters that one resource may have before newcomers are refused.
pub(crate) const QUEUE_WAITERS_MAX: usize = 16_384;

/// One granted lock.
#[derive(Debug)]
pub(crate) struct Holder {
    pub(crate) owner: Arc<OwnerInfo>,
    pub(crate) mode: Mode,
    /// Since when it is known to hold the lock, if anybody waited for it.
    since: Option<Instant>,
}

/// What `request` did.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Requested {
    /// Granted; this is what the owner holds now.
    Granted { now: Mode },
    /// Not granted: the caller waits in the queue, or goes away.
    MustWait { wanted: Mode },
}

/// Holders and waiters of one resource.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    granted: SmallVec<[Holder; 2]>,
    /// How many holders have each mode, so that a busy table's intention lock costs no search.
    granted_count: [u32; MODE_COUNT],
    /// Waiters that hold a lock here already: they pass newcomers, who cannot go on before them.
    upgrades: VecDeque<Arc<WaitNode>>,
    newcomers: VecDeque<Arc<WaitNode>>,
    blame: Option<Box<Blame>>,
    /// Holds that ended while somebody waited, for the caller to take.
    pub(crate) ended_hold: Option<std::time::Duration>,
}

impl Holder {
    pub(crate) fn new(owner: &Arc<OwnerInfo>, mode: Mode) -> Holder {
        Holder {
            owner: Arc::clone(owner),
            mode,
            since: None,
        }
    }

    /// A request where this is the only holder; `None` if that needs a queue.
    pub(crate) fn request(
        &mut self,
        owner: &Arc<OwnerInfo>,
        before: Option<Mode>,
        mode: Mode,
    ) -> Option<Requested> {
        let now = before.map_or(mode, |held| held.join(mode));
        if Arc::ptr_eq(&self.owner, owner) {
            self.mode = now;
            return Some(Requested::Granted { now });
        }
        let fits = now.is_compatible_with(self.mode) || self.owner.is_one_with(owner);
        (!fits).then_some(Requested::MustWait { wanted: now })
    }
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.granted.is_empty() && self.waiters_len() == 0
    }

    pub(crate) fn holders(&self) -> &[Holder] {
        &self.granted
    }

    /// All waiters, in the order they will be granted.
    pub(crate) fn waiters(&self) -> impl Iterator<Item = &Arc<WaitNode>> {
        self.upgrades.iter().chain(&self.newcomers)
    }

    pub(crate) fn waiters_len(&self) -> usize {
        self.upgrades.len() + self.newcomers.len()
    }

    /// What keeps intention modes off the fast path: strong holders, and all who wait.
    pub(crate) fn strong(&self) -> u32 {
        let strong = Mode::ALL.into_iter().filter(|mode| !mode.is_intention());
        let holders: u32 = strong.map(|mode| self.granted_count[mode as usize]).sum();
        holders + self.waiters_len() as u32
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
            return Requested::Granted { now: wanted };
        }
        // Newcomers stay behind earlier waiters, or a stream of readers could starve a writer.
        // An upgrade passes them: they cannot go on before its holder does, anyway.
        let may_pass = self.waiters_len() == 0 || self.passes(owner, before);
        if !may_pass || !self.fits_beside_holders(owner, before, wanted) {
            return Requested::MustWait { wanted };
        }
        self.grant(owner, before, wanted, None);
        Requested::Granted { now: wanted }
    }

    /// Makes a holder of an owner whose lock was granted elsewhere.
    pub(crate) fn adopt(&mut self, owner: Arc<OwnerInfo>, mode: Mode) {
        self.granted_count[mode as usize] += 1;
        self.granted.push(Holder {
            owner,
            mode,
            since: None,
        });
    }

    /// Puts a request at its place among the waiters. The caller calls `settle` afterwards.
    pub(crate) fn enqueue(&mut self, node: Arc<WaitNode>) -> Result<(), LockError> {
        if self.waiters_len() >= QUEUE_WAITERS_MAX {
            return Err(LockError::QueueFull {
                waiters_max: QUEUE_WAITERS_MAX,
            });
        }
        for holder in &mut self.granted {
            if holder.since.is_some() {
                break;
            }
            holder.since = Some(node.since);
        }
        if self.passes(&node.owner, node.before) {
            self.upgrades.push_back(node);
        } else {
            self.newcomers.push_back(node);
        }
        Ok(())
    }

    /// Takes a request out of the waiters. The caller calls `settle` afterwards.
    pub(crate) fn remove_waiter(&mut self, ticket: u64, now: Instant) -> Option<Arc<WaitNode>> {
        let node = match place(&self.upgrades, ticket) {
            Some(at) => self.upgrades.remove(at),
            None => self.newcomers.remove(place(&self.newcomers, ticket)?),
        }?;
        self.end_wait(&node, now);
        Some(node)
    }

    /// How many waiters stand before the one of that ticket.
    pub(crate) fn ahead(&self, ticket: u64) -> Option<usize> {
        place(&self.upgrades, ticket)
            .or_else(|| Some(self.upgrades.len() + place(&self.newcomers, ticket)?))
    }

    /// Sets what the owner holds back to `to`, or releases it. The caller calls `settle`.
    pub(crate) fn lower(&mut self, owner: &Arc<OwnerInfo>, to: Option<Mode>, now: Instant) {
        let Some(at) = self.place_of(owner) else {
            return;
        };
        self.granted_count[self.granted[at].mode as usize] -= 1;
        match to {
            Some(mode) => {
                self.granted[at].mode = mode;
                self.granted_count[mode as usize] += 1;
            }
            None => {
                let gone = self.granted.swap_remove(at);
                if self.waiters_len() > 0 {
                    self.ended_hold = gone.since.map(|since| now.saturating_duration_since(since));
                }
            }
        }
    }

    /// Grants what can be granted from the front of the waiters, and tells them.
    pub(crate) fn settle(&mut self, now: Instant) {
        while let Some(first) = self.first() {
            if !self.fits_beside_holders(&first.owner, first.before, first.mode) {
                return;
            }
            let first = match self.upgrades.pop_front() {
                Some(first) => first,
                None => match self.newcomers.pop_front() {
                    Some(first) => first,
                    None => return,
                },
            };
            self.grant(&first.owner, first.before, first.mode, Some(now));
            self.end_wait(&first, now);
            first.answer(Ok(()));
        }
    }

    fn first(&self) -> Option<&Arc<WaitNode>> {
        self.upgrades.front().or_else(|| self.newcomers.front())
    }

    /// Brings the account of blame up to date after a change.
    pub(crate) fn blame(&mut self, is_profiling: bool, now: Instant) {
        if self.waiters_len() == 0 || !is_profiling {
            self.blame = None;
            return;
        }
        let Some(first) = self.first() else { return };
        let in_the_way = |holder: &&Holder| {
            !first.mode.is_compatible_with(holder.mode) && !holder.owner.is_one_with(&first.owner)
        };
        let last = self.blame.as_ref().and_then(|blame| blame.blocker());
        // Of many in the way it stays the same one, as long as it is.
        let same = last.and_then(|last| {
            let same = self.granted.iter().find(|h| Arc::ptr_eq(&h.owner, last));
            same.filter(in_the_way)
        });
        let blocker = same.or_else(|| self.granted.iter().find(in_the_way));
        self.blame
            .get_or_insert_with(|| Box::new(Blame::new(now)))
            .turn_to(blocker.map(|holder| &holder.owner), now);
    }

    /// The account that a wait which begins now starts from, if waits are profiled.
    pub(crate) fn account(
        &mut self,
        is_profiling: bool,
        now: Instant,
    ) -> Option<crate::blame::Account> {
        is_profiling.then(|| {
            let blame = self.blame.get_or_insert_with(|| Box::new(Blame::new(now)));
            blame.settle(now).clone()
        })
    }

    /// Charges the wait.
    fn end_wait(&mut self, node: &WaitNode, now: Instant) {
        let charged = match (&node.base, &mut self.blame) {
            (Some(base), Some(blame)) => Some(difference(blame.settle(now), base)),
            _ => None,
        };
        node.end(now, charged);
    }

    /// Whom a request for `mode` waits for: holders in its way, and then all who stand before it
    /// in the queue (before the waiter `ticket`, or all if it is not in the queue).
    pub(crate) fn blockers<'a>(
        &'a self,
        owner: &'a OwnerInfo,
        ticket: Option<u64>,
        mode: Mode,
    ) -> impl Iterator<Item = (&'a Arc<OwnerInfo>, Mode, Option<&'a WaitNode>)> {
        let earlier = self
            .waiters()
            .take_while(move |waiter| Some(waiter.ticket) != ticket)
            .filter(move |waiter| !waiter.owner.is_one_with(owner))
            .map(|waiter| (&waiter.owner, waiter.mode, Some(&**waiter)));
        in_the_way(&self.granted, owner, mode)
            .map(|holder| (&holder.owner, holder.mode, None))
            .chain(earlier)
    }

    /// A newcomer goes behind those who wait, but not behind those who wait for its own session.
    fn passes(&self, owner: &OwnerInfo, before: Option<Mode>) -> bool {
        before.is_some()
            || owner.session.is_some() && self.granted.iter().any(|h| h.owner.is_one_with(owner))
    }

    fn fits_beside_holders(&self, owner: &OwnerInfo, own: Option<Mode>, wanted: Mode) -> bool {
        let fits = Mode::ALL.into_iter().all(|held| {
            let others = self.granted_count[held as usize] - u32::from(own == Some(held));
            others == 0 || wanted.is_compatible_with(held)
        });
        fits || owner.session.is_some() && in_the_way(&self.granted, owner, wanted).next().is_none()
    }

    fn place_of(&self, owner: &Arc<OwnerInfo>) -> Option<usize> {
        self.granted
            .iter()
            .position(|holder| Arc::ptr_eq(&holder.owner, owner))
    }

    fn grant(
        &mut self,
        owner: &Arc<OwnerInfo>,
        before: Option<Mode>,
        mode: Mode,
        since: Option<Instant>,
    ) {
        let held = before.and_then(|_| self.place_of(owner));
        match held {
            None => {
                self.granted.push(Holder {
                    owner: Arc::clone(owner),
                    mode,
                    since,
                });
            }
            Some(at) => {
                self.granted_count[self.granted[at].mode as usize] -= 1;
                self.granted[at].mode = mode;
            }
        }
        self.granted_count[mode as usize] += 1;
        debug_assert!(
            in_the_way(&self.granted, owner, mode).next().is_none(),
            "invariant 1"
        );
    }
}

/// The holders that keep `mode` from `owner`.
pub(crate) fn in_the_way<'a>(
    holders: &'a [Holder],
    owner: &'a OwnerInfo,
    mode: Mode,
) -> impl Iterator<Item = &'a Holder> {
    holders.iter().filter(move |holder| {
        !mode.is_compatible_with(holder.mode) && !holder.owner.is_one_with(owner)
    })
}

/// Tickets grow within each group, so the place is found in few steps.
fn place(waiters: &VecDeque<Arc<WaitNode>>, ticket: u64) -> Option<usize> {
    waiters
        .binary_search_by_key(&ticket, |node| node.ticket)
        .ok()
}
