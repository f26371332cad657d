//! The sources of the lock manager, compiled over shuttle's mutexes and atomics, which try many
//! interleavings of threads (Burckhardt et al., "A Randomized Scheduler with Probabilistic
//! Guarantees of Finding Bugs", ASPLOS 2010). A failure prints the schedule that replays it.

#![expect(
    dead_code,
    unreachable_pub,
    reason = "the model uses a part of the crate"
)]
#![expect(
    clippy::enum_variant_names,
    clippy::upper_case_acronyms,
    reason = "names that are public in the crate are not here"
)]

#[path = "../../src/acquire.rs"]
mod acquire;
#[path = "../../src/blame.rs"]
mod blame;
#[path = "../../src/deadlock.rs"]
mod deadlock;
#[path = "../../src/describe.rs"]
mod describe;
#[path = "../../src/held.rs"]
mod held;
#[path = "../../src/history.rs"]
mod history;
#[path = "../../src/manager.rs"]
mod manager;
#[path = "../../src/measure.rs"]
mod measure;
#[path = "../../src/mode.rs"]
mod mode;
#[path = "../../src/owner.rs"]
mod owner;
#[path = "../../src/pace.rs"]
mod pace;
#[path = "../../src/profile.rs"]
mod profile;
#[path = "../../src/queue.rs"]
mod queue;
#[path = "../../src/registry.rs"]
mod registry;
#[path = "../../src/report.rs"]
mod report;
#[path = "../../src/resource.rs"]
mod resource;
#[path = "../../src/statement.rs"]
mod statement;
mod sync;
#[path = "../../src/table.rs"]
mod table;
#[path = "../../src/victim.rs"]
mod victim;
#[path = "../../src/view.rs"]
mod view;
#[path = "../../src/wait.rs"]
mod wait;
#[path = "../../src/waiting.rs"]
mod waiting;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use shuttle::future::block_on;
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread;
use tessera_types::{RelationId, TxnId};

use crate::manager::{Grant, LockManager, LockManagerOptions, LockOptions, Wait};
use crate::mode::Mode;
use crate::owner::Owner;
use crate::report::LockError;
use crate::resource::Resource;

/// Interleavings tried per property and kind of scheduler.
const TRIES: usize = 400;
/// Preemptions that decide whether a bug shows.
const DEPTH: usize = 3;
const TABLE: Resource = Resource::Relation(RelationId(1));

fn check(property: fn()) {
    shuttle::check_random(property, TRIES);
    shuttle::check_pct(property, TRIES, DEPTH);
}

fn manager() -> Arc<LockManager> {
    Arc::new(LockManager::new(LockManagerOptions {
        deadlock_delay_min: Duration::ZERO,
        deadlock_delay_max: Duration::ZERO,
        ..LockManagerOptions::default()
    }))
}

fn row(n: u64) -> Resource {
    Resource::Row(RelationId(1), n)
}

fn lock(
    locks: &LockManager,
    owner: &Owner,
    what: Resource,
    mode: Mode,
) -> Result<Grant, LockError> {
    let options = LockOptions::default();
    block_on(locks.acquire_with_parents(owner, what, mode, &options))
}

fn join(threads: Vec<thread::JoinHandle<()>>) {
    threads
        .into_iter()
        .for_each(|thread| thread.join().expect("no panic"));
}

/// Method: two writers of rows (fast path) and one who wants the whole table, each twice, count
/// themselves in and out.
#[test]
fn a_table_lock_never_stands_beside_a_fast_path_lock() {
    check(|| {
        let locks = manager();
        let inside = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
        let threads = (1..=3_u64).map(|n| {
            let (locks, inside) = (Arc::clone(&locks), Arc::clone(&inside));
            thread::spawn(move || {
                for round in 0..2 {
                    let owner = Owner::new(TxnId(10 * round + n));
                    let (what, own, other) = match n {
                        3 => (TABLE, &inside.1, &inside.0),
                        _ => (row(n), &inside.0, &inside.1),
                    };
                    lock(&locks, &owner, what, Mode::X).unwrap();
                    own.fetch_add(1, Ordering::SeqCst);
                    assert_eq!(other.load(Ordering::SeqCst), 0, "both inside");
                    own.fetch_sub(1, Ordering::SeqCst);
                    locks.release_all(&owner);
                }
            })
        });
        join(threads.collect());
        assert_eq!(locks.resource_count(), 0);
    });
}

/// Method: readers upgrade to writers of the table while another one holds or takes it shared.
#[test]
fn upgrades_from_the_fast_path_end_and_exclude_each_other() {
    check(|| {
        let locks = manager();
        let inside = Arc::new(AtomicUsize::new(0));
        let threads = (1..=3_u64).map(|n| {
            let (locks, inside) = (Arc::clone(&locks), Arc::clone(&inside));
            thread::spawn(move || {
                let owner = Owner::new(TxnId(n));
                let first = if n == 3 { Mode::S } else { Mode::IS };
                lock(&locks, &owner, TABLE, first).unwrap();
                match lock(&locks, &owner, TABLE, Mode::X) {
                    Ok(_) => {
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two writers");
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                    Err(LockError::Deadlock { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
                locks.release_all(&owner);
            })
        });
        join(threads.collect());
        assert_eq!(locks.resource_count(), 0);
    });
}

/// Method: a waiter gives up after one look, while the holder releases and a third one asks.
#[test]
fn a_cancelled_wait_leaves_nothing_and_loses_no_wake_up() {
    check(|| {
        let locks = manager();
        let holder = Owner::new(TxnId(1));
        lock(&locks, &holder, row(1), Mode::X).unwrap();
        let gives_up = thread::spawn({
            let locks = Arc::clone(&locks);
            move || {
                let owner = Owner::new(TxnId(2));
                let options = LockOptions::default();
                {
                    let future = locks.acquire_with_parents(&owner, row(1), Mode::X, &options);
                    let mut future = pin!(future);
                    let mut context = Context::from_waker(Waker::noop());
                    if let Poll::Ready(ended) = future.as_mut().poll(&mut context) {
                        ended.unwrap();
                    }
                    thread::yield_now();
                }
                locks.release_all(&owner);
            }
        });
        let third = thread::spawn({
            let locks = Arc::clone(&locks);
            move || {
                let owner = Owner::new(TxnId(3));
                lock(&locks, &owner, row(1), Mode::S).unwrap();
                locks.release_all(&owner);
            }
        });
        locks.release_all(&holder);
        join(vec![gives_up, third]);
        assert_eq!(locks.resource_count(), 0);
        assert!(locks.waits().is_empty());
    });
}

/// Method: two transactions lock two rows in opposite order. Where nobody is told, shuttle sees
/// that all threads are blocked.
#[test]
fn a_cycle_of_two_has_one_victim_at_most_and_never_stays() {
    check(|| {
        let locks = manager();
        let victims = Arc::new(AtomicUsize::new(0));
        let threads = [(1, 2), (2, 1)].map(|(first, second)| {
            let (locks, victims) = (Arc::clone(&locks), Arc::clone(&victims));
            thread::spawn(move || {
                let owner = Owner::new(TxnId(first));
                lock(&locks, &owner, row(first), Mode::X).unwrap();
                if lock(&locks, &owner, row(second), Mode::X).is_err() {
                    victims.fetch_add(1, Ordering::SeqCst);
                }
                locks.release_all(&owner);
            })
        });
        join(threads.into());
        assert!(victims.load(Ordering::SeqCst) <= 1, "both lost");
        assert_eq!(locks.resource_count(), 0);
    });
}

/// Method: one skips, one takes the row, while the holder goes.
#[test]
fn skipping_never_waits_and_never_shares() {
    check(|| {
        let locks = manager();
        let inside = Arc::new(AtomicUsize::new(0));
        let threads = (1..=3_u64).map(|n| {
            let (locks, inside) = (Arc::clone(&locks), Arc::clone(&inside));
            thread::spawn(move || {
                let owner = Owner::new(TxnId(n));
                let options = LockOptions {
                    wait: if n == 1 {
                        Wait::Block
                    } else {
                        Wait::SkipLocked
                    },
                    deadline: None,
                };
                let asked = locks.acquire_with_parents(&owner, row(1), Mode::X, &options);
                if block_on(asked).unwrap() != Grant::Skipped {
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    inside.fetch_sub(1, Ordering::SeqCst);
                }
                locks.release_all(&owner);
            })
        });
        join(threads.collect());
        assert_eq!(locks.resource_count(), 0);
    });
}
