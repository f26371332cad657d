//! What the lock manager costs: `cargo run --profile bench-fast -p tessera-locks --example lock_bench`.
//!
//! Prints the median of several rounds of: a row lock with its intention locks, taken and
//! released, on one thread; how two threads on different relations scale; one search for
//! deadlocks beside 1,000 waiting transactions; the time until a cycle of two is broken; the
//! view of 10,000 waiters on one row.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tessera_locks::{
    LockError, LockManager, LockManagerOptions, LockOptions, Mode, Owner, Resource,
};
use tessera_types::{RelationId, TxnId};

/// Rounds of each measurement.
const ROUNDS: usize = 9;
/// Locks taken and released in one round.
const LOCKS: u64 = 300_000;

fn main() {
    let one = rounds(|| one_thread(false));
    say(
        "row lock + unlock with its intention locks, one owner",
        one,
        "ns",
    );
    let fresh = rounds(|| one_thread(true));
    say("the same, with a new owner each time", fresh, "ns");
    let (alone, both) = scaling();
    say("two threads, different relations, each", both, "ns");
    say("scaling of two threads", 2.0 * alone / both, "x");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime");
    let searches: Vec<f64> = (0..ROUNDS).map(|_| runtime.block_on(search())).collect();
    say(
        "processor time per second of 1,000 waiters in chains",
        median(searches),
        "ms",
    );
    let broken: Vec<f64> = (0..ROUNDS)
        .map(|_| runtime.block_on(cycle_of_two()))
        .collect();
    say("until a cycle of two is broken", median(broken), "ms");
    let (enqueue, view, drain) = runtime.block_on(many_waiters(10_000));
    say(
        "10,000 waiters on one row: until all stand in the queue",
        enqueue,
        "ms",
    );
    say(
        "10,000 waiters on one row: processor time of waits()",
        view,
        "ms",
    );
    say(
        "10,000 waiters on one row: until all had it, one after the other",
        drain,
        "ms",
    );
}

fn say(what: &str, value: f64, unit: &str) {
    #[expect(clippy::print_stdout, reason = "a benchmark prints")]
    {
        println!("{what}: {value:.2} {unit}");
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn rounds(measure: impl Fn() -> f64) -> f64 {
    median((0..ROUNDS).map(|_| measure()).collect())
}

fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a free lock was waited for"),
    }
}

/// Nanoseconds per lock and unlock in a relation.
fn cycle(locks: &LockManager, relation: u32, new_owner: bool, count: u64) -> f64 {
    let options = LockOptions::default();
    let mut owner = Owner::new(TxnId(u64::from(relation)));
    let began = on_processor();
    for n in 0..count {
        if new_owner {
            owner = Owner::new(TxnId(n));
        }
        let row = Resource::Row(RelationId(relation), n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        at_once(locks.acquire_with_parents(&owner, row, Mode::X, &options)).expect("free");
        locks.release_all(&owner);
    }
    (on_processor() - began) as f64 / count as f64
}

/// Nanoseconds that this thread has run: other work of the machine must not count.
fn on_processor() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = text.split_whitespace().next();
    first.and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
}

fn one_thread(new_owner: bool) -> f64 {
    cycle(&LockManager::default(), 1, new_owner, LOCKS)
}

/// Nanoseconds per lock and unlock: alone, and beside another thread.
fn scaling() -> (f64, f64) {
    let locks = Arc::new(LockManager::default());
    let both = |threads: u32| {
        let barrier = Arc::new(Barrier::new(threads as usize));
        let threads: Vec<_> = (1..=threads)
            .map(|relation| {
                let (locks, barrier) = (Arc::clone(&locks), Arc::clone(&barrier));
                std::thread::spawn(move || {
                    barrier.wait();
                    cycle(&locks, relation, false, LOCKS)
                })
            })
            .collect();
        let times = threads.into_iter().map(|t| t.join().expect("no panic"));
        times.fold(0.0, f64::max)
    };
    // Next to each other, so that both see the same machine.
    let pairs: Vec<(f64, f64)> = (0..ROUNDS).map(|_| (both(1), both(2))).collect();
    let alone = median(pairs.iter().map(|(alone, _)| *alone).collect());
    let beside = median(pairs.iter().map(|(_, beside)| *beside).collect());
    (alone, beside)
}

fn row(n: u64) -> Resource {
    Resource::Row(RelationId(1), n)
}

async fn lock(locks: &LockManager, owner: &Owner, n: u64) -> Result<(), LockError> {
    let options = LockOptions::default();
    locks
        .acquire_with_parents(owner, row(n), Mode::X, &options)
        .await
        .map(drop)
}

/// What all threads of the process have run.
fn busy() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let nanos = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// Method: 1,000 transactions in chains of 10 wait for two seconds; what that takes of the
/// processor, per second.
async fn search() -> f64 {
    let locks = Arc::new(LockManager::default());
    let mut owners = Vec::new();
    for n in 0..1_100_u64 {
        let owner = Arc::new(Owner::new(TxnId(n + 1)));
        lock(&locks, &owner, n).await.expect("free");
        owners.push(owner);
    }
    let before = busy();
    let tasks: Vec<_> = (0..1_100_u64)
        .filter(|n| n % 11 != 0)
        .map(|n| {
            let (locks, owner) = (Arc::clone(&locks), Arc::clone(&owners[n as usize]));
            tokio::spawn(async move {
                let ended = lock(&locks, &owner, n - 1).await;
                locks.release_all(&owner);
                ended
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let used = busy() - before;
    assert_eq!(locks.waits().len(), 1_000);
    for n in (0..1_100).step_by(11) {
        locks.release_all(&owners[n]);
    }
    for task in tasks {
        task.await.expect("no panic").expect("no deadlock");
    }
    used.as_secs_f64() * 1e3 / 2.0
}

/// Milliseconds from the request that closes a cycle of two until one of them has lost.
async fn cycle_of_two() -> f64 {
    let locks = Arc::new(LockManager::new(LockManagerOptions::default()));
    let (a, b) = (Arc::new(Owner::new(TxnId(1))), Owner::new(TxnId(2)));
    lock(&locks, &a, 1).await.expect("free");
    lock(&locks, &b, 2).await.expect("free");
    let first = tokio::spawn({
        let (locks, a) = (Arc::clone(&locks), Arc::clone(&a));
        async move { lock(&locks, &a, 2).await }
    });
    while locks.waits().is_empty() {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    lock(&locks, &b, 1).await.expect_err("a deadlock");
    let took = began.elapsed();
    locks.release_all(&b);
    first.await.expect("no panic").expect("granted");
    locks.release_all(&a);
    took.as_secs_f64() * 1e3
}

/// Milliseconds: until all wait, of the processor for the view, until all are through.
async fn many_waiters(count: u64) -> (f64, f64, f64) {
    let locks = Arc::new(LockManager::default());
    locks.set_profiling(true);
    let holder = Owner::new(TxnId(1));
    lock(&locks, &holder, 1).await.expect("free");
    let began = Instant::now();
    let tasks: Vec<_> = (0..count)
        .map(|n| {
            let locks = Arc::clone(&locks);
            tokio::spawn(async move {
                let owner = Owner::new(TxnId(n + 2));
                owner.set_statement(Some("update t set n = n + 1 where id = 1".into()));
                lock(&locks, &owner, 1).await.expect("no deadlock");
                locks.release_all(&owner);
            })
        })
        .collect();
    while locks.waits().len() < count as usize {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let enqueued = began.elapsed();
    let views: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = on_processor();
            assert_eq!(locks.waits().len(), count as usize);
            (on_processor() - began) as f64 / 1e6
        })
        .collect();
    let began = Instant::now();
    locks.release_all(&holder);
    for task in tasks {
        task.await.expect("no panic");
    }
    let drained = began.elapsed();
    (
        enqueued.as_secs_f64() * 1e3,
        median(views),
        drained.as_secs_f64() * 1e3,
    )
}
