//! Finds a cycle among waiters, and ends it.
//!
//! A cycle closes when its last member begins to wait, so it is enough that every waiter searches
//! from itself, once, some time after it began. Edges that appear later start at the new waiter
//! or lead to a transaction that runs, so no cycle closes without such a search after it.
//!
//! The graph is kept where it changes: an owner names what it waits for, a queue names holders
//! and order. A search follows only edges that lead to waiters, and never lists the waiters of a
//! queue: all who stand before a waiter wait for the same holders. Searches follow one another.
//! Edges are read one queue at a time, so a found cycle is read once more: an edge between two
//! waiters cannot go and come back while neither request has ended.

use std::collections::HashSet;
use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use crate::manager::LockManager;
use crate::measure;
use crate::mode::Mode;
use crate::owner::OwnerInfo;
use crate::queue::Queue;
use crate::report::{CycleMember, LockError};
use crate::victim;
use crate::wait::WaitNode;

/// Waiters looked at in one search; past it the lock timeout must do.
const SEARCH_WAITERS_MAX: usize = 16_384;
/// Cycles through one waiter that one search breaks or finds gone; the next search goes on.
const CYCLES_MAX: usize = 64;

/// One step of a cycle: `from` waits for the owner of the next one.
#[derive(Debug, Clone)]
struct Edge {
    from: Arc<WaitNode>,
    mode: Mode,
    is_holder: bool,
}

/// A waiter that the search has reached.
struct Reached {
    node: Arc<WaitNode>,
    /// How it was reached: the edges from the place of the one before it, and that place.
    parent: Option<(usize, Vec<Edge>)>,
}

/// Breaks all cycles through the waiter.
pub(crate) fn detect(locks: &LockManager, start: &Arc<WaitNode>) {
    let _turn = locks.searching.lock();
    let began = Instant::now();
    for _ in 0..CYCLES_MAX {
        let Some(cycle) = find_cycle(locks, start) else {
            break;
        };
        if !still_stands(locks, &cycle) {
            continue;
        }
        locks.pace().deadlock_found();
        if end_cycle(locks, &cycle) {
            break;
        }
    }
    measure::searched(began.elapsed());
}

/// Breadth first, so that the cycle found has no shorter way: each member's loss breaks it.
fn find_cycle(locks: &LockManager, start: &Arc<WaitNode>) -> Option<Vec<Edge>> {
    let mut reached = vec![Reached {
        node: Arc::clone(start),
        parent: None,
    }];
    let mut seen: HashSet<u64> = HashSet::from([start.ticket]);
    let mut todo = VecDeque::from([0]);
    while let Some(at) = todo.pop_front() {
        let node = Arc::clone(&reached[at].node);
        for (edges, to) in edges_of(locks, &node, start) {
            if to.is_one_with(&start.owner) {
                return Some(path(&reached, at, edges));
            }
            for next in to.waiting() {
                if seen.len() < SEARCH_WAITERS_MAX && seen.insert(next.ticket) {
                    todo.push_back(reached.len());
                    reached.push(Reached {
                        node: next,
                        parent: Some((at, edges.clone())),
                    });
                }
            }
        }
    }
    None
}

fn path(reached: &[Reached], last: usize, closing: Vec<Edge>) -> Vec<Edge> {
    let mut parts = vec![closing];
    let mut at = last;
    while let Some((before, edges)) = &reached[at].parent {
        parts.push(edges.clone());
        at = *before;
    }
    parts.into_iter().rev().flatten().collect()
}

/// Whom a waiter waits for. An edge that leads through an earlier waiter of the queue comes with
/// that one. Earlier waiters are not listed otherwise: they wait for the same holders.
fn edges_of(
    locks: &LockManager,
    node: &Arc<WaitNode>,
    start: &Arc<WaitNode>,
) -> Vec<(Vec<Edge>, Arc<OwnerInfo>)> {
    let edge = |from: &Arc<WaitNode>, mode, is_holder| Edge {
        from: Arc::clone(from),
        mode,
        is_holder,
    };
    locks.table().look(node.resource, |holders, queue| {
        let mut edges = Vec::new();
        let Some((queue, ahead)) = queue.and_then(|q| Some((q, q.ahead(node.ticket)?))) else {
            // It was granted or gave up meanwhile.
            return edges;
        };
        for holder in holders {
            // Only a waiter leads further, and only the start closes a cycle.
            let is_start = holder.owner.is_one_with(&start.owner);
            let is_own = holder.owner.is_one_with(&node.owner);
            if !is_start && (is_own || !holder.owner.is_waiting()) {
                continue;
            }
            if !is_own && !node.mode.is_compatible_with(holder.mode) {
                edges.push((
                    vec![edge(node, holder.mode, true)],
                    Arc::clone(&holder.owner),
                ));
                continue;
            }
            // Those before us may wait for whom we would not, and even for ourselves.
            let between = queue.waiters().take(ahead).find(|earlier| {
                !earlier.mode.is_compatible_with(holder.mode)
                    && !earlier.owner.is_one_with(&holder.owner)
            });
            if let Some(earlier) = between {
                let way = vec![
                    edge(node, earlier.mode, false),
                    edge(earlier, holder.mode, true),
                ];
                edges.push((way, Arc::clone(&holder.owner)));
            }
        }
        if node.resource == start.resource && queue.ahead(start.ticket).is_some_and(|at| at < ahead)
        {
            edges.push((
                vec![edge(node, start.mode, false)],
                Arc::clone(&start.owner),
            ));
        }
        edges
    })
}

/// Whether every edge is there, seen again one by one.
fn still_stands(locks: &LockManager, cycle: &[Edge]) -> bool {
    cycle.iter().enumerate().all(|(at, edge)| {
        let next = &cycle[(at + 1) % cycle.len()].from;
        locks.table().look(edge.from.resource, |holders, queue| {
            let Some(ahead) = queue.and_then(|queue| queue.ahead(edge.from.ticket)) else {
                return false;
            };
            if edge.is_holder {
                return crate::queue::in_the_way(holders, &edge.from.owner, edge.from.mode)
                    .any(|holder| holder.owner.is_one_with(&next.owner));
            }
            queue
                .and_then(|queue| queue.ahead(next.ticket))
                .is_some_and(|at| at < ahead)
        })
    })
}

/// Takes the victim out of its queue and tells it. Returns whether it was the first of the cycle,
/// from whom the search started.
fn end_cycle(locks: &LockManager, cycle: &[Edge]) -> bool {
    let now = Instant::now();
    let members: Vec<CycleMember> = cycle.iter().map(|edge| member(edge, now)).collect();
    let (at, policy) = victim::choose(&members);
    let node = &cycle[at].from;
    let mut seen_from_victim = members[at..].to_vec();
    seen_from_victim.extend_from_slice(&members[..at]);
    let ended = locks.table().edit(node.resource, |queue: &mut Queue, now| {
        let Some(victim) = queue.remove_waiter(node.ticket, now) else {
            return false;
        };
        // Before its answer, so that no other search takes it for a waiter.
        victim.owner.end_wait(victim.ticket);
        victim.answer(Err(LockError::Deadlock {
            victim: victim.owner.txn,
            cycle: seen_from_victim.clone(),
        }));
        queue.settle(now);
        true
    });
    if ended {
        measure::deadlock(node.resource, policy);
        locks.history().deadlock(now, seen_from_victim, policy);
    }
    at == 0
}

fn member(edge: &Edge, now: Instant) -> CycleMember {
    let (node, owner) = (&edge.from, &edge.from.owner);
    CycleMember {
        txn: owner.txn,
        resource: node.resource,
        key: node.key_bytes(),
        mode: node.mode,
        held: node.before,
        blocked_by_mode: edge.mode,
        blocked_by_holder: edge.is_holder,
        waited: node.waited(now),
        age: owner.age(now),
        statement: owner.statement(),
        work: owner.work(),
        locks: owner.held.lock().count(),
        priority: owner.priority(),
        restarts: owner.restarts(),
    }
}
