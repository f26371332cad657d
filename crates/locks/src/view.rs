//! What administrators see: locks, and the graph of who waits for whom.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use tessera_types::TxnId;
use tokio::time::Instant;

use crate::manager::LockManager;
use crate::mode::{MODE_COUNT, Mode};
use crate::owner::OwnerInfo;
use crate::queue::{Holder, Queue, in_the_way};
use crate::report::{Blocker, Refused};
use crate::resource::Resource;
use crate::wait::WaitNode;

/// Blockers named of one waiter. A count tells of the others.
pub(crate) const BLOCKERS_NAMED_MAX: usize = 5;

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
    /// Granted by the fast path, without a queue.
    pub fast: bool,
    /// How long it has been waited for.
    pub waited: Option<Duration>,
    /// Who is in the way of a waiter: at most five, holders first.
    pub blocked_by: Vec<TxnId>,
    /// What the transaction runs or ran last.
    pub statement: Option<Arc<str>>,
}

/// One waiting request.
#[derive(Debug, Clone)]
pub struct WaitInfo {
    /// Who waits.
    pub txn: TxnId,
    /// What for.
    pub resource: Resource,
    /// Its key, as the layer above described it.
    pub key: Option<Box<[u8]>>,
    /// In which mode.
    pub mode: Mode,
    /// What it holds on the resource already, if it wants more of it.
    pub held: Option<Mode>,
    /// For how long.
    pub waited: Duration,
    /// How long ago the waiting transaction began.
    pub age: Duration,
    /// What it runs.
    pub statement: Option<Arc<str>>,
    /// Who is in the way: at most five holders, or the request right before if only the order of
    /// the queue is in the way.
    pub blockers: Vec<Blocker>,
    /// Requests that stand before this one.
    pub ahead: usize,
}

impl LockManager {
    /// All locks and waiters, for views. Not one instant: owners, then shards, are read one after
    /// the other. Costs O(locks); see [`LockManager::waits`] for the waiters alone.
    pub fn snapshot(&self) -> Vec<LockInfo> {
        let now = Instant::now();
        let mut infos = Vec::new();
        self.registry().for_each(|owner| {
            let fast: Vec<_> = owner.held.lock().fast().collect();
            infos.extend(fast.into_iter().map(|(resource, mode)| LockInfo {
                fast: true,
                ..held(owner, resource, mode)
            }));
        });
        self.table().for_each(|resource, holders, queue| {
            infos.extend(holders.iter().map(|h| held(&h.owner, resource, h.mode)));
            let Some(queue) = queue else { return };
            let in_way = InTheWay::of(holders, queue, now);
            let mut last = None;
            for waiter in queue.waiters() {
                let blockers = in_way.of_waiter(waiter, last, now);
                let mut blocked_by: Vec<_> = blockers.iter().map(|blocker| blocker.txn).collect();
                blocked_by.sort_unstable();
                blocked_by.dedup();
                infos.push(LockInfo {
                    granted: false,
                    waited: Some(waiter.waited(now)),
                    blocked_by,
                    ..held(&waiter.owner, resource, waiter.mode)
                });
                last = Some(waiter);
            }
        });
        infos.sort_by_key(|info| (info.resource, !info.granted, info.txn, info.fast));
        // Whoever moved from the fast path into a queue meanwhile was seen twice.
        infos.dedup_by_key(|info| (info.resource, info.granted, info.txn));
        infos
    }

    /// The graph of waiting transactions, longest wait first. Costs O(waiters and the holders in
    /// their way), whatever the number of locks.
    pub fn waits(&self) -> Vec<WaitInfo> {
        let now = Instant::now();
        let mut resources: Vec<Resource> = Vec::new();
        self.waiting()
            .for_each(|node| resources.push(node.resource));
        resources.sort_unstable();
        resources.dedup();
        let mut infos = Vec::new();
        for resource in resources {
            self.table().look(resource, |holders, queue| {
                let Some(queue) = queue else { return };
                let in_way = InTheWay::of(holders, queue, now);
                let mut last = None;
                for (ahead, waiter) in queue.waiters().enumerate() {
                    infos.push(WaitInfo {
                        txn: waiter.owner.txn,
                        resource,
                        key: waiter.key_bytes(),
                        mode: waiter.mode,
                        held: waiter.before,
                        waited: waiter.waited(now),
                        age: waiter.owner.age(now),
                        statement: waiter.owner.statement(),
                        blockers: in_way.of_waiter(waiter, last, now),
                        ahead,
                    });
                    last = Some(waiter);
                }
            });
        }
        infos.sort_by_key(|info| (std::cmp::Reverse(info.waited), info.txn));
        infos
    }

    /// The longest chain of waiters: each waits for the next one, the last one runs.
    pub(crate) fn chain_len(&self) -> usize {
        let mut next: HashMap<TxnId, TxnId> = HashMap::new();
        for wait in self.waits() {
            if let Some(blocker) = wait.blockers.first() {
                next.insert(wait.txn, blocker.txn);
            }
        }
        let mut depth: HashMap<TxnId, usize> = HashMap::new();
        let mut longest = 0;
        for start in next.keys() {
            let (mut way, mut at) = (Vec::new(), start);
            // A deadlock that is not broken yet ends the way, too.
            while let Some(blocker) = next.get(at)
                && !depth.contains_key(at)
                && way.len() < next.len()
            {
                way.push(*at);
                at = blocker;
            }
            let mut len = depth.get(at).copied().unwrap_or(0);
            for txn in way.iter().rev() {
                len += 1;
                depth.insert(*txn, len);
            }
            longest = longest.max(len);
        }
        longest
    }

    /// What an error says about a request that is not granted. `ticket` is its place in the queue,
    /// if it stands there.
    pub(crate) fn refused(
        &self,
        owner: &Arc<OwnerInfo>,
        resource: Resource,
        (held, mode): (Option<Mode>, Mode),
        key: Option<&[u8]>,
        ticket: Option<u64>,
    ) -> Box<Refused> {
        let now = Instant::now();
        let (blockers, ahead) = self.table().look(resource, |holders, queue| match queue {
            None => {
                let holders = in_the_way(holders, owner, mode);
                (
                    holders
                        .map(|holder| blocker(&holder.owner, holder.mode, None, now))
                        .collect(),
                    0,
                )
            }
            Some(queue) => {
                let blockers = queue.blockers(owner, ticket, mode).take(BLOCKERS_NAMED_MAX);
                let blockers = blockers.map(|(other, mode, node)| blocker(other, mode, node, now));
                let ahead = ticket.map_or(queue.waiters_len(), |ticket| {
                    queue.ahead(ticket).unwrap_or(0)
                });
                (blockers.collect(), ahead)
            }
        });
        Box::new(Refused {
            txn: owner.txn,
            resource,
            key: key.map(Box::from),
            mode,
            held,
            statement: owner.statement(),
            age: owner.age(now),
            blockers,
            ahead,
        })
    }
}

fn held(owner: &OwnerInfo, resource: Resource, mode: Mode) -> LockInfo {
    LockInfo {
        txn: owner.txn,
        resource,
        mode,
        granted: true,
        fast: false,
        waited: None,
        blocked_by: Vec::new(),
        statement: owner.statement(),
    }
}

fn blocker(owner: &OwnerInfo, mode: Mode, node: Option<&WaitNode>, now: Instant) -> Blocker {
    let statement = owner.current();
    Blocker {
        txn: owner.txn,
        mode,
        granted: node.is_none(),
        statement: statement.text,
        is_idle: statement.is_idle,
        waited: node.map(|node| node.waited(now)),
        age: owner.age(now),
    }
}

/// Holders in the way of each mode, found and described once for all waiters of a queue.
struct InTheWay<'a> {
    /// One more than is named, for a waiter may be among them.
    of_mode: [Vec<(&'a Holder, Blocker)>; MODE_COUNT],
}

impl<'a> InTheWay<'a> {
    fn of(holders: &'a [Holder], queue: &Queue, now: Instant) -> InTheWay<'a> {
        let mut of_mode: [Vec<(&'a Holder, Blocker)>; MODE_COUNT] = Default::default();
        let mut is_wanted = [false; MODE_COUNT];
        queue
            .waiters()
            .for_each(|waiter| is_wanted[waiter.mode as usize] = true);
        for mode in Mode::ALL
            .into_iter()
            .filter(|mode| is_wanted[*mode as usize])
        {
            of_mode[mode as usize] = holders
                .iter()
                .filter(|holder| !mode.is_compatible_with(holder.mode))
                .take(BLOCKERS_NAMED_MAX + 1)
                .map(|holder| (holder, blocker(&holder.owner, holder.mode, None, now)))
                .collect();
        }
        InTheWay { of_mode }
    }

    /// Who is in the way of a waiter that stands right behind `last`.
    fn of_waiter(
        &self,
        waiter: &WaitNode,
        last: Option<&Arc<WaitNode>>,
        now: Instant,
    ) -> Vec<Blocker> {
        let blockers: Vec<Blocker> = self.of_mode[waiter.mode as usize]
            .iter()
            .filter(|(holder, _)| !holder.owner.is_one_with(&waiter.owner))
            .take(BLOCKERS_NAMED_MAX)
            .map(|(_, blocker)| blocker.clone())
            .collect();
        match last {
            Some(last) if blockers.is_empty() => {
                vec![blocker(&last.owner, last.mode, Some(last), now)]
            }
            _ => blockers,
        }
    }
}
