//! Cycles at default settings, on a clock that moves only when everybody waits.

use std::sync::Arc;
use std::time::Duration;

use tessera_locks::{LockError, LockManager, LockOptions, Mode, Owner, Resource, VictimPolicy};
use tessera_types::{RelationId, TxnId};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep};

/// Most time that a cycle may stay.
const BROKEN_WITHIN: Duration = Duration::from_millis(50);

fn row(n: u64) -> Resource {
    Resource::Row(RelationId(1), n)
}

async fn lock(locks: &LockManager, owner: &Owner, n: u64) -> Result<(), LockError> {
    let options = LockOptions::default();
    let asked = locks.acquire_with_parents(owner, row(n), Mode::X, &options);
    asked.await.map(drop)
}

/// A small generator (Knuth's MMIX constants), so that a seed says everything.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at as u64 + 1) as usize);
        }
    }
}

/// Transactions `first..first + len`, each of which has a row and wants the next one's.
async fn ring(
    locks: &Arc<LockManager>,
    random: &mut Random,
    first: u64,
    len: u64,
) -> Vec<JoinHandle<bool>> {
    let mut members = Vec::new();
    for n in 0..len {
        let owner = Owner::new(TxnId(first + n));
        owner.add_work(random.below(3));
        owner.set_priority(random.below(2) as i8);
        lock(locks, &owner, first + n).await.expect("a free row");
        members.push((owner, first + (n + 1) % len));
    }
    random.shuffle(&mut members);
    let mut tasks = Vec::new();
    for (owner, next) in members {
        let locks = Arc::clone(locks);
        tasks.push(tokio::spawn(async move {
            let lost = match lock(&locks, &owner, next).await {
                Ok(()) => false,
                Err(LockError::Deadlock { victim, cycle }) => {
                    assert_eq!(victim, owner.txn());
                    assert_eq!(cycle[0].txn, victim);
                    true
                }
                Err(other) => panic!("{other}"),
            };
            locks.release_all(&owner);
            lost
        }));
        for _ in 0..random.below(3) {
            yield_now().await;
        }
    }
    tasks
}

async fn victims(tasks: Vec<JoinHandle<bool>>) -> usize {
    let mut victims = 0;
    for task in tasks {
        victims += usize::from(task.await.expect("no panic"));
    }
    victims
}

#[tokio::test(start_paused = true)]
async fn a_ring_has_exactly_one_victim_soon() {
    for len in [2, 3, 50] {
        for seed in 0..40 {
            let locks = Arc::new(LockManager::default());
            let tasks = ring(&locks, &mut Random(seed), 1, len).await;
            let began = Instant::now();
            assert_eq!(victims(tasks).await, 1, "ring of {len}, seed {seed}");
            let took = began.elapsed();
            assert!(took < BROKEN_WITHIN, "ring of {len}, seed {seed}: {took:?}");
            let deadlocks = locks.recent_deadlocks();
            assert_eq!(deadlocks.len(), 1, "ring of {len}, seed {seed}");
            assert_eq!(deadlocks[0].cycle.len(), len as usize);
            assert_eq!(locks.resource_count(), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_one_of_many_rings_has_one_victim() {
    for seed in 0..40 {
        let mut random = Random(seed);
        let locks = Arc::new(LockManager::default());
        let mut tasks = Vec::new();
        let rings = 2 + random.below(9);
        for n in 0..rings {
            let len = 2 + random.below(5);
            tasks.extend(ring(&locks, &mut random, 100 * (n + 1), len).await);
        }
        assert_eq!(victims(tasks).await as u64, rings, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_victim_is_the_cheapest_of_the_cycle() {
    for seed in 0..100 {
        let mut random = Random(seed);
        let locks = Arc::new(LockManager::default());
        let tasks = ring(&locks, &mut random, 1, 5).await;
        victims(tasks).await;
        let deadlock = locks.recent_deadlocks().remove(0);
        let loser = &deadlock.cycle[0];
        for other in &deadlock.cycle[1..] {
            let key = |m: &tessera_locks::CycleMember| (m.priority, m.work);
            assert!(key(loser) <= key(other), "seed {seed}: {deadlock:?}");
        }
    }
}

/// Method: the same small transaction, of the lowest priority, meets ever new big ones.
#[tokio::test(start_paused = true)]
async fn who_was_a_victim_often_enough_wins() {
    let locks = Arc::new(LockManager::default());
    let mut restarts = 0;
    loop {
        let (small, big) = (
            Owner::new(TxnId(1_000 + u64::from(restarts))),
            Owner::new(TxnId(1)),
        );
        small.set_priority(i8::MIN);
        small.set_restarts(restarts);
        big.set_priority(i8::MAX);
        big.add_work(1_000_000);
        lock(&locks, &small, 1).await.unwrap();
        lock(&locks, &big, 2).await.unwrap();
        let other = tokio::spawn({
            let locks = Arc::clone(&locks);
            async move {
                let ended = lock(&locks, &big, 1).await;
                locks.release_all(&big);
                ended
            }
        });
        let ended = lock(&locks, &small, 2).await;
        locks.release_all(&small);
        let other = other.await.unwrap();
        assert_ne!(ended.is_ok(), other.is_ok());
        if ended.is_ok() {
            break;
        }
        restarts += 1;
        assert!(restarts <= 64, "chosen for ever");
    }
    assert_eq!(restarts, 64);
    let last = locks.recent_deadlocks().pop().unwrap();
    assert_eq!(last.policy, VictimPolicy::Priority);
}

/// Method: one transaction locks thirty rows with pauses, backwards; a stream of short ones locks
/// two rows each, in random order. All restart when they lose, and say so.
#[tokio::test(start_paused = true)]
async fn a_long_transaction_is_not_starved_by_short_ones() {
    const ROWS: u64 = 30;
    for seed in 0..10 {
        let locks = Arc::new(LockManager::default());
        let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let short: Vec<_> = (0..8_u64)
            .map(|task| {
                let (locks, is_over) = (Arc::clone(&locks), Arc::clone(&is_over));
                tokio::spawn(async move {
                    let mut random = Random(seed * 100 + task);
                    let (mut id, mut restarts, mut done) = (1_000 * (task + 1), 0, 0_u64);
                    while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                        id += 1;
                        let owner = Owner::new(TxnId(id));
                        owner.set_restarts(restarts);
                        let mut ended = Ok(());
                        for _ in 0..2 {
                            if ended.is_ok() {
                                ended = lock(&locks, &owner, random.below(ROWS)).await;
                                owner.add_work(1);
                            }
                            sleep(Duration::from_millis(1)).await;
                        }
                        locks.release_all(&owner);
                        restarts = if ended.is_ok() { 0 } else { restarts + 1 };
                        done += u64::from(ended.is_ok());
                    }
                    done
                })
            })
            .collect();
        let mut restarts = 0;
        loop {
            let owner = Owner::new(TxnId(900 + u64::from(restarts)));
            owner.set_restarts(restarts);
            let mut ended = Ok(());
            for n in (0..ROWS).rev() {
                ended = lock(&locks, &owner, n).await;
                if ended.is_err() {
                    break;
                }
                owner.add_work(1);
                sleep(Duration::from_millis(3)).await;
            }
            locks.release_all(&owner);
            if ended.is_ok() {
                break;
            }
            restarts += 1;
            assert!(restarts < 10, "seed {seed}: starved");
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        for task in short {
            assert!(
                task.await.unwrap() > 0,
                "seed {seed}: a short one was starved"
            );
        }
        assert_eq!(locks.resource_count(), 0, "seed {seed}");
    }
}
