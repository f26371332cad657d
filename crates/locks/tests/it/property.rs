//! The lock manager against a reference that is too simple to be wrong: one vector of grants,
//! one vector of waiters, everything by linear search.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;
use tessera_locks::{Grant, LockError, LockManager, LockOptions, Mode, Owner, Resource};
use tessera_types::{RelationId, TxnId};

const TXNS: u64 = 4;

#[derive(Debug, Clone)]
enum Action {
    Acquire { txn: u64, relation: u32, mode: Mode },
    ReleaseAll { txn: u64 },
    ReleaseOne { txn: u64, relation: u32 },
    Cancel { txn: u64 },
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let mode = prop::sample::select(Mode::ALL.to_vec());
    let action = prop_oneof![
        6 => (1..=TXNS, 1..4_u32, mode)
            .prop_map(|(txn, relation, mode)| Action::Acquire { txn, relation, mode }),
        2 => (1..=TXNS).prop_map(|txn| Action::ReleaseAll { txn }),
        2 => (1..=TXNS, 1..4_u32)
            .prop_map(|(txn, relation)| Action::ReleaseOne { txn, relation }),
        1 => (1..=TXNS).prop_map(|txn| Action::Cancel { txn }),
    ];
    prop::collection::vec(action, 1..60)
}

#[derive(Debug, Clone, PartialEq)]
struct Waiting {
    txn: u64,
    relation: u32,
    mode: Mode,
    upgrade: bool,
}

#[derive(Debug, Default)]
struct Reference {
    granted: BTreeMap<(u32, u64), Mode>,
    waiting: Vec<Waiting>,
}

impl Reference {
    fn acquire(&mut self, txn: u64, relation: u32, mode: Mode) -> bool {
        let before = self.granted.get(&(relation, txn)).copied();
        let wanted = before.map_or(mode, |held| held.join(mode));
        if before == Some(wanted) {
            return true;
        }
        let anyone_waits = self.waiting.iter().any(|w| w.relation == relation);
        if (before.is_some() || !anyone_waits) && self.fits(txn, relation, wanted) {
            self.granted.insert((relation, txn), wanted);
            return true;
        }
        let waiting = Waiting {
            txn,
            relation,
            mode: wanted,
            upgrade: before.is_some(),
        };
        let at = if before.is_some() {
            self.waiting
                .iter()
                .rposition(|w| w.relation == relation && w.upgrade)
                .map_or(0, |at| at + 1)
        } else {
            self.waiting.len()
        };
        self.waiting.insert(at, waiting);
        false
    }

    fn fits(&self, txn: u64, relation: u32, wanted: Mode) -> bool {
        self.granted
            .iter()
            .filter(|((r, t), _)| *r == relation && *t != txn)
            .all(|(_, held)| wanted.is_compatible_with(*held))
    }

    /// Grants from the front of each queue. Returns who was granted.
    fn settle(&mut self) -> Vec<u64> {
        let mut woken = Vec::new();
        for relation in 1..4 {
            while let Some(at) = self.waiting.iter().position(|w| w.relation == relation) {
                let first = self.waiting[at].clone();
                if !self.fits(first.txn, relation, first.mode) {
                    break;
                }
                self.granted.insert((relation, first.txn), first.mode);
                self.waiting.remove(at);
                woken.push(first.txn);
            }
        }
        woken
    }

    fn blockers(&self, waiter: &Waiting) -> Vec<u64> {
        let holders = self
            .granted
            .iter()
            .filter(|((r, t), held)| {
                *r == waiter.relation && *t != waiter.txn && !waiter.mode.is_compatible_with(**held)
            })
            .map(|((_, t), _)| *t);
        let earlier = self
            .waiting
            .iter()
            .take_while(|w| *w != waiter)
            .filter(|w| w.relation == waiter.relation)
            .map(|w| w.txn);
        holders.chain(earlier).collect()
    }

    /// All transactions that lie on a cycle, by following every edge from each of them.
    fn on_a_cycle(&self) -> Vec<u64> {
        let next = |txn: u64| -> Vec<u64> {
            self.waiting
                .iter()
                .filter(|w| w.txn == txn)
                .flat_map(|w| self.blockers(w))
                .collect()
        };
        (1..=TXNS)
            .filter(|start| {
                let mut reached = next(*start);
                let mut at = 0;
                while at < reached.len() {
                    for txn in next(reached[at]) {
                        if !reached.contains(&txn) {
                            reached.push(txn);
                        }
                    }
                    at += 1;
                }
                reached.contains(start)
            })
            .collect()
    }
}

type Pending = Pin<Box<dyn Future<Output = Result<Grant, LockError>>>>;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn grants_waits_and_victims_are_those_of_the_reference(actions in actions()) {
        let locks = Arc::new(LockManager::default());
        let owners: Vec<_> = (0..=TXNS).map(|txn| Arc::new(Owner::new(TxnId(txn)))).collect();
        let mut pending: BTreeMap<u64, Pending> = BTreeMap::new();
        let mut reference = Reference::default();
        // Parents first: all hold IX on the database, which conflicts with nothing here but
        // absolute modes on relations need it.
        for owner in &owners[1..] {
            poll_once(Box::pin({
                let (locks, owner) = (Arc::clone(&locks), Arc::clone(owner));
                async move {
                    let options = LockOptions::default();
                    locks.acquire(&owner, Resource::Database, Mode::IX, &options).await
                }
            })).expect("free").expect("granted");
        }
        for action in actions {
            let mut victims = Vec::new();
            match action {
                Action::Acquire { txn, relation, mode } => {
                    if pending.contains_key(&txn) {
                        continue;
                    }
                    let granted = reference.acquire(txn, relation, mode);
                    let mut future: Pending = Box::pin({
                        let (locks, owner) = (Arc::clone(&locks), Arc::clone(&owners[txn as usize]));
                        async move {
                            let resource = Resource::Relation(RelationId(relation));
                            locks.acquire(&owner, resource, mode, &LockOptions::default()).await
                        }
                    });
                    match poll(&mut future) {
                        // Also when it closed a cycle whose victim let it in at once: the
                        // comparison of the two tables below tells.
                        Poll::Ready(Ok(_)) => {}
                        Poll::Ready(Err(LockError::Deadlock { victim, .. })) => {
                            prop_assert!(!granted);
                            prop_assert_eq!(victim, TxnId(txn));
                            victims.push(txn);
                        }
                        Poll::Ready(Err(other)) => panic!("{other}"),
                        Poll::Pending => {
                            prop_assert!(!granted);
                            pending.insert(txn, future);
                        }
                    }
                }
                Action::ReleaseAll { txn } => {
                    if pending.contains_key(&txn) {
                        continue;
                    }
                    locks.release_all(&owners[txn as usize]);
                    reference.granted.retain(|(_, t), _| *t != txn);
                    reference.settle();
                    let again = poll_once(Box::pin({
                        let (locks, owner) = (Arc::clone(&locks), Arc::clone(&owners[txn as usize]));
                        async move {
                            let options = LockOptions::default();
                            locks.acquire(&owner, Resource::Database, Mode::IX, &options).await
                        }
                    }));
                    prop_assert!(again.is_some());
                }
                Action::ReleaseOne { txn, relation } => {
                    if pending.contains_key(&txn) {
                        continue;
                    }
                    let resource = Resource::Relation(RelationId(relation));
                    let released = locks.release_one(&owners[txn as usize], resource);
                    let expected = reference.granted.remove(&(relation, txn));
                    prop_assert_eq!(released, expected);
                    reference.settle();
                }
                Action::Cancel { txn } => {
                    if pending.remove(&txn).is_some() {
                        reference.waiting.retain(|w| w.txn != txn);
                        reference.settle();
                    }
                }
            }
            // Others may have become victims: each must have been on a cycle.
            loop {
                let mut ended = Vec::new();
                for (txn, future) in &mut pending {
                    if let Poll::Ready(result) = poll(future) {
                        ended.push((*txn, result));
                    }
                }
                if ended.is_empty() {
                    break;
                }
                for (txn, result) in ended {
                    pending.remove(&txn);
                    match result {
                        Ok(_) => {}
                        Err(LockError::Deadlock { victim, .. }) => {
                            prop_assert_eq!(victim, TxnId(txn));
                            victims.push(txn);
                        }
                        Err(other) => panic!("{other}"),
                    }
                }
            }
            let on_a_cycle = reference.on_a_cycle();
            prop_assert!(victims.iter().all(|victim| on_a_cycle.contains(victim)));
            reference.waiting.retain(|w| !victims.contains(&w.txn));
            reference.settle();
            prop_assert!(reference.on_a_cycle().is_empty(), "a deadlock stayed: {reference:?}");
            let mut granted = BTreeMap::new();
            let mut waiting = 0;
            let snapshot = locks.snapshot();
            for fast in snapshot.iter().filter(|lock| lock.fast) {
                prop_assert!(matches!(fast.mode, Mode::IS | Mode::IX));
                // While anybody waits or holds a strong mode, the queue must know all holders.
                let alone = snapshot.iter().filter(|lock| lock.resource == fast.resource).all(
                    |lock| lock.granted && matches!(lock.mode, Mode::IS | Mode::IX),
                );
                prop_assert!(alone, "{snapshot:?}");
            }
            let mut order: BTreeMap<u32, Vec<(usize, u64)>> = BTreeMap::new();
            for wait in locks.waits() {
                let relation = wait.resource.relation().expect("only relations are waited for");
                order.entry(relation.0).or_default().push((wait.ahead, wait.txn.0));
            }
            for (relation, mut order) in order {
                order.sort_unstable();
                let txns: Vec<u64> = order.into_iter().map(|(_, txn)| txn).collect();
                let expected: Vec<u64> = reference
                    .waiting
                    .iter()
                    .filter(|w| w.relation == relation)
                    .map(|w| w.txn)
                    .collect();
                prop_assert_eq!(txns, expected, "order of the queue");
            }
            for lock in snapshot {
                match lock.resource {
                    Resource::Relation(relation) if lock.granted => {
                        granted.insert((relation.0, lock.txn.0), lock.mode);
                    }
                    Resource::Relation(_) => waiting += 1,
                    _ => {}
                }
            }
            prop_assert_eq!(&granted, &reference.granted);
            prop_assert_eq!(waiting, reference.waiting.len());
        }
        pending.clear();
        for owner in &owners {
            locks.release_all(owner);
        }
        prop_assert_eq!(locks.resource_count(), 0);
    }
}

fn poll(future: &mut Pending) -> Poll<Result<Grant, LockError>> {
    future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
}

fn poll_once(mut future: Pending) -> Option<Result<Grant, LockError>> {
    match poll(&mut future) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}
