//! What is seen of waits, and that it stays bounded.

use std::sync::Arc;
use std::time::Duration;

use tessera_locks::{LockManager, LockOptions, Mode, Owner, Request, Resource, WaitOutcome};
use tessera_types::{RelationId, TxnId};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::advance;

const ROW: Resource = Resource::Row(RelationId(1), 1);

fn owner(txn: u64, statement: &str) -> Owner {
    let owner = Owner::new(TxnId(txn));
    owner.set_statement(Some(statement.into()));
    owner
}

async fn lock(locks: &LockManager, owner: &Owner) {
    let request = Request {
        resource: ROW,
        mode: Mode::X,
        key: Some(b"key"),
        options: LockOptions::default(),
    };
    locks.lock(owner, &request).await.expect("no deadlock");
}

/// Takes the row when it is its turn and keeps it for `hold`.
fn visit(locks: &Arc<LockManager>, owner: Owner, hold: Duration) -> JoinHandle<()> {
    let locks = Arc::clone(locks);
    tokio::spawn(async move {
        lock(&locks, &owner).await;
        tokio::time::sleep(hold).await;
        locks.release_all(&owner);
    })
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_waiters_are_named_without_naming_all_to_each() {
    const WAITERS: usize = 10_000;
    let locks = Arc::new(LockManager::default());
    let holder = owner(1, "update");
    lock(&locks, &holder).await;
    let tasks: Vec<_> = (0..WAITERS as u64)
        .map(|n| visit(&locks, owner(n + 2, "update"), Duration::ZERO))
        .collect();
    for _ in 0..WAITERS {
        yield_now().await;
        if locks.waits().len() == WAITERS {
            break;
        }
    }
    let waits = locks.waits();
    assert_eq!(waits.len(), WAITERS);
    let mut ahead: Vec<usize> = waits.iter().map(|wait| wait.ahead).collect();
    ahead.sort_unstable();
    assert_eq!(ahead, (0..WAITERS).collect::<Vec<_>>());
    for wait in &waits {
        assert_eq!(wait.blockers.len(), 1);
        assert_eq!(
            (wait.blockers[0].txn, wait.blockers[0].granted),
            (TxnId(1), true)
        );
        assert_eq!(wait.key.as_deref(), Some(&b"key"[..]));
    }
    assert!(
        locks
            .snapshot()
            .iter()
            .all(|lock| lock.blocked_by.len() <= 5)
    );
    locks.release_all(&holder);
    for task in tasks {
        task.await.unwrap();
    }
    assert!(locks.waits().is_empty());
    assert_eq!(locks.recent_waits().len(), 1_000, "the ring is bounded");
    assert_eq!(locks.resource_count(), 0);
}

/// Method: holders of random statements, holds and moments; all instants come from one clock.
#[tokio::test(start_paused = true)]
async fn the_leaves_of_the_profile_sum_to_the_time_of_all_waits() {
    for seed in 0..20_u64 {
        let locks = Arc::new(LockManager::default());
        locks.set_profiling(true);
        let mut tasks = Vec::new();
        for n in 0..200_u64 {
            let random = (seed + 1) * (n + 1) * 7_919;
            let owner = owner(n + 1, &format!("statement {}", random % 7));
            tasks.push(visit(&locks, owner, Duration::from_micros(random % 900)));
            advance(Duration::from_micros(random % 300)).await;
        }
        for task in tasks {
            task.await.unwrap();
        }
        let waited: Duration = locks.recent_waits().iter().map(|wait| wait.waited).sum();
        let profiled: Duration = locks.profile().iter().map(|row| row.total).sum();
        assert_eq!(profiled, waited, "seed {seed}");
        assert!(waited > Duration::ZERO);
        let folded: u128 = locks
            .folded()
            .lines()
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u128>().unwrap())
            .sum();
        let lost = waited.as_micros() - folded;
        assert!(
            lost <= locks.profile().len() as u128,
            "only fractions: {lost}"
        );
        locks.reset_profile();
        assert!(locks.profile().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn blocking_statements_past_the_limit_are_summed_as_others() {
    let locks = Arc::new(LockManager::default());
    locks.set_profiling(true);
    let holder = owner(1, "statement 0");
    lock(&locks, &holder).await;
    let waiter = visit(&locks, owner(2, "waits"), Duration::ZERO);
    yield_now().await;
    for n in 1..=50 {
        advance(Duration::from_millis(1)).await;
        holder.set_statement(Some(format!("statement {n}").into()));
    }
    advance(Duration::from_millis(1)).await;
    locks.release_all(&holder);
    waiter.await.unwrap();
    let profile = locks.profile();
    let total: Duration = profile.iter().map(|row| row.total).sum();
    assert_eq!(total, Duration::from_millis(51));
    assert!(profile.len() <= 33, "{}", profile.len());
    assert!(
        profile
            .iter()
            .any(|row| row.blocking.as_deref() == Some("(other)"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_profile_that_is_off_has_nothing() {
    let locks = Arc::new(LockManager::default());
    let holder = owner(1, "holds");
    lock(&locks, &holder).await;
    let waiter = visit(&locks, owner(2, "waits"), Duration::ZERO);
    yield_now().await;
    // Switched on while one waits: that one has no beginning to count from.
    locks.set_profiling(true);
    advance(Duration::from_millis(5)).await;
    locks.release_all(&holder);
    waiter.await.unwrap();
    assert!(locks.profile().is_empty());
    let wait = locks.recent_waits().remove(0);
    assert_eq!(
        (wait.outcome, wait.waited),
        (WaitOutcome::Granted, Duration::from_millis(5))
    );
    assert_eq!(wait.blocker_statement.as_deref(), Some("holds"));
}

#[tokio::test(start_paused = true)]
async fn the_timeout_follows_holds_that_others_waited_for() {
    let locks = Arc::new(LockManager::default());
    assert_eq!(locks.adaptive_timeout(), Duration::from_secs(120));
    let tasks: Vec<_> = (1..200)
        .map(|n| visit(&locks, owner(n, "update"), Duration::from_millis(200)))
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let timeout = locks.adaptive_timeout();
    assert!(
        timeout > Duration::from_secs(12) && timeout < Duration::from_secs(26),
        "{timeout:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn grants_and_locks_held_reach_the_metrics() {
    use tessera_telemetry::labels::{LockMode, LockPath, LockResult, ResourceClass};
    let locks = Arc::new(LockManager::default());
    let labels = (LockMode::Exclusive, LockPath::Fast, LockResult::Granted);
    let counter = tessera_telemetry::metrics().lock_acquisitions.with(labels);
    let before = counter.value();
    let owner = owner(1, "update");
    for _ in 0..10 {
        lock(&locks, &owner).await;
        locks.release_all(&owner);
    }
    lock(&locks, &owner).await;
    let held = |mode, class| {
        locks.collect_metrics();
        let gauge = tessera_telemetry::metrics().lock_held.with((mode, class));
        gauge.value()
    };
    assert_eq!(held(LockMode::Exclusive, ResourceClass::Row), 1);
    // Other tests of this process count, too.
    assert!(counter.value() >= before + 10);
    let intention = LockMode::IntentExclusive;
    assert_eq!(held(intention, ResourceClass::Relation), 1);
    assert_eq!(held(intention, ResourceClass::Database), 1);
    locks.release_all(&owner);
    assert_eq!(held(LockMode::Exclusive, ResourceClass::Row), 0);
    assert_eq!(held(intention, ResourceClass::Relation), 0);
}
