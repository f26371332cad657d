//! Finds a cycle among waiters when one begins to wait, and ends it.
//!
//! A cycle can only close when somebody starts to wait, so the search starts there and needs no
//! timer. Edges are not stored: they are read from the queues, one shard at a time, while the
//! detector's mutex keeps other searches out. A search may see an edge that is going away; the
//! victim is therefore looked up again in its queue, and nothing happens if it was granted.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;
use tessera_types::TxnId;

use crate::manager::LockManager;
use crate::mode::Mode;
use crate::report::{CycleMember, LockError};
use crate::resource::Resource;

/// Transactions looked at in one search; past it the lock timeout must do.
const SEARCH_TXNS_MAX: usize = 10_000;

/// Who waits where. Only transactions that have to wait ever come here.
#[derive(Debug, Default)]
pub(crate) struct Detector {
    waiting: Mutex<HashMap<TxnId, Wait>>,
}

#[derive(Debug, Clone, Copy)]
struct Wait {
    resource: Resource,
    ticket: u64,
}

/// A waiter as found in its queue.
struct Edge {
    member: CycleMember,
    blockers: Vec<TxnId>,
}

impl Detector {
    /// Notes that `txn` waits, and breaks the cycle that this closes.
    pub(crate) fn waits(&self, locks: &LockManager, txn: TxnId, resource: Resource, ticket: u64) {
        let mut waiting = self.waiting.lock();
        waiting.insert(txn, Wait { resource, ticket });
        // Breaking one cycle may leave another one through the same waiter.
        while let Some(cycle) = find_cycle(locks, &waiting, txn) {
            let victim = youngest(&cycle);
            let is_self = cycle[victim].txn == txn;
            end_wait(locks, &waiting, &cycle, victim);
            waiting.remove(&cycle[victim].txn);
            if is_self {
                return;
            }
        }
    }

    /// Notes that the request of that ticket is over.
    pub(crate) fn waits_no_more(&self, txn: TxnId, ticket: u64) {
        let mut waiting = self.waiting.lock();
        if waiting.get(&txn).is_some_and(|wait| wait.ticket == ticket) {
            waiting.remove(&txn);
        }
    }
}

/// The transaction that began last has done the least work, as a rule, and choosing by age means
/// that the oldest one always gets through.
fn youngest(cycle: &[CycleMember]) -> usize {
    (0..cycle.len())
        .max_by_key(|at| cycle[*at].txn)
        .unwrap_or(0)
}

/// Depth-first search from `start`, without recursion: waiters can form a long chain.
fn find_cycle(
    locks: &LockManager,
    waiting: &HashMap<TxnId, Wait>,
    start: TxnId,
) -> Option<Vec<CycleMember>> {
    let mut path: Vec<Edge> = vec![edge_of(locks, waiting, start)?];
    let mut seen: HashSet<TxnId> = HashSet::from([start]);
    while let Some(last) = path.last_mut() {
        let Some(next) = last.blockers.pop() else {
            path.pop();
            continue;
        };
        if next == start {
            return Some(path.into_iter().map(|edge| edge.member).collect());
        }
        if seen.len() >= SEARCH_TXNS_MAX || !seen.insert(next) {
            continue;
        }
        if let Some(edge) = edge_of(locks, waiting, next) {
            path.push(edge);
        }
    }
    None
}

/// Whom `txn` waits for, or `None` if it runs.
fn edge_of(locks: &LockManager, waiting: &HashMap<TxnId, Wait>, txn: TxnId) -> Option<Edge> {
    let wait = waiting.get(&txn)?;
    let shard = locks.shard(wait.resource);
    let queue = shard.get(&wait.resource)?;
    let waiter = queue
        .waiters()
        .iter()
        .find(|waiter| waiter.ticket == wait.ticket)?;
    let mode: Mode = waiter.mode;
    let mut blockers: Vec<TxnId> = queue
        .blockers(txn, Some(wait.ticket), mode)
        .map(|(owner, _, _)| owner.txn)
        .collect();
    // They are looked at from the end: holders first, for a cycle of holders needs no victim
    // among those who merely stand in the queue.
    blockers.reverse();
    Some(Edge {
        member: CycleMember {
            txn,
            resource: wait.resource,
            mode,
            statement: waiter.owner.statement(),
        },
        blockers,
    })
}

/// Takes the victim out of its queue and tells it.
fn end_wait(
    locks: &LockManager,
    waiting: &HashMap<TxnId, Wait>,
    cycle: &[CycleMember],
    victim: usize,
) {
    let member = &cycle[victim];
    let Some(wait) = waiting.get(&member.txn) else {
        return;
    };
    let mut shard = locks.shard(wait.resource);
    let Some(queue) = shard.get_mut(&wait.resource) else {
        return;
    };
    let Some(waiter) = queue.remove_waiter(wait.ticket) else {
        return;
    };
    let mut seen_from_victim = cycle[victim..].to_vec();
    seen_from_victim.extend_from_slice(&cycle[..victim]);
    let error = LockError::Deadlock {
        victim: member.txn,
        cycle: seen_from_victim,
    };
    // A receiver that is gone has given up by itself; that breaks the cycle as well.
    let _ = waiter.answer.send(Err(error));
    queue.settle();
    if queue.is_empty() {
        shard.remove(&wait.resource);
    }
}
