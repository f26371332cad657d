//! Several transactions at once: counts, conflicts, own writes.

use proptest::prelude::*;
use tessera_keyvalue::{
    End, Expire, Footprint, KeyValueError, KeyWaiter, Reader, ReclaimLimits, SetExpiry, SetOptions,
    Space, Writer,
};
use tessera_transactions::{Isolation, TransactionError};
use tessera_types::RelationId;

use crate::world::{RELATION, World, block_on, worlds};

async fn set(world: &World, txn: &tessera_transactions::Transaction, key: &str) {
    world
        .statement(txn, async |w| {
            w.set(key.as_bytes(), b"v", SetOptions::default()).await
        })
        .await
        .unwrap();
}

#[test]
fn counts_change_with_the_commit_and_are_seen_before_only_by_their_own() {
    block_on(async {
        for world in worlds().await {
            let (one, two) = (world.begin(), world.begin());
            set(&world, &one, "a:1").await;
            set(&world, &two, "a:2").await;
            set(&world, &two, "a:3").await;
            let own = |txn| world.space.prefix_footprint(b"a:", Some(txn), world.now());
            assert_eq!(world.footprint().await, Footprint::default());
            assert_eq!(own(&one).await.unwrap().keys, 1);
            assert_eq!(own(&two).await.unwrap().keys, 2);
            two.commit().await.unwrap();
            assert_eq!(world.footprint().await.keys, 2);
            assert_eq!(own(&one).await.unwrap().keys, 3);
            one.rollback();
            assert_eq!(world.footprint().await.keys, 2);
            assert_eq!(world.prefix_footprint("a:").await.bytes, 8);
        }
    });
}

#[test]
fn what_is_undone_does_not_count() {
    block_on(async {
        for world in worlds().await {
            let txn = world.begin();
            set(&world, &txn, "a").await;
            txn.savepoint("s").unwrap();
            set(&world, &txn, "b").await;
            txn.rollback_to("s").unwrap();
            let guard = txn.start_statement().await.unwrap();
            let writer = Writer::new(&world.space, &txn, world.now());
            writer.set(b"c", b"v", SetOptions::default()).await.unwrap();
            guard.undo();
            let own = world
                .space
                .footprint(Some(&txn), world.now())
                .await
                .unwrap();
            assert_eq!(own.keys, 1);
            txn.commit().await.unwrap();
            assert_eq!(world.footprint().await.keys, 1);
            assert_eq!(world.keys("*").await, ["a"]);
        }
    });
}

#[test]
fn a_changed_element_is_a_conflict_for_an_older_snapshot() {
    block_on(async {
        for world in worlds().await {
            world
                .write(async |w| w.hset(b"h", &[("f", "1")]).await)
                .await
                .unwrap();
            let older = world.begin_at(Isolation::RepeatableRead);
            let guard = older.start_statement().await.unwrap();
            drop(older.view());
            guard.finish();
            // Neither number nor size of the elements changes.
            world
                .write(async |w| w.hset(b"h", &[("f", "2")]).await)
                .await
                .unwrap();
            let answer = world
                .statement(&older, async |w| w.hincr_by(b"h", b"f", 1).await)
                .await;
            assert!(matches!(
                answer,
                Err(KeyValueError::Transaction(
                    TransactionError::ConcurrentUpdate { .. }
                ))
            ));
        }
    });
}

#[test]
fn increments_of_many_transactions_are_all_counted() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        for world in worlds().await {
            let world = std::sync::Arc::new(world);
            let mut tasks = tokio::task::JoinSet::new();
            for task in 0..4 {
                let world = std::sync::Arc::clone(&world);
                tasks.spawn(async move {
                    for step in 0..25 {
                        let key = format!("k:{task}:{step}");
                        let txn = world.begin();
                        let guard = txn.start_statement().await.unwrap();
                        let writer = Writer::new(&world.space, &txn, world.now());
                        writer.incr_by(b"counter", 1).await.unwrap();
                        writer
                            .set(key.as_bytes(), b"v", SetOptions::default())
                            .await
                            .unwrap();
                        guard.finish();
                        txn.commit().await.unwrap();
                    }
                });
            }
            while let Some(task) = tasks.join_next().await {
                task.unwrap();
            }
            let counter = world.reader().get(b"counter").await.unwrap().unwrap();
            assert_eq!(counter, &b"100"[..]);
            assert_eq!(world.footprint().await.keys, 101);
            assert_eq!(world.prefix_footprint("k:2:").await.keys, 25);
        }
    });
}

#[derive(Debug, Clone)]
enum Step {
    Set(usize, u8, usize, Option<u16>),
    Add(usize, u8, u8),
    Delete(usize, u8),
    Undone(usize, u8),
    Savepoint(usize),
    RollBackTo(usize),
    Commit(usize),
    RollBack(usize),
    Advance(u16),
    Reclaim,
}

/// Two transactions with keys of their own, so that neither waits.
fn step() -> impl Strategy<Value = Step> {
    let (txn, key) = (|| 0..2_usize, || 0..5_u8);
    prop_oneof![
        4 => (txn(), key(), 0..3_000_usize, prop::option::of(1..60_u16))
            .prop_map(|(t, k, length, e)| Step::Set(t, k, length, e)),
        3 => (txn(), key(), 0..9_u8).prop_map(|(t, k, m)| Step::Add(t, k, m)),
        2 => (txn(), key()).prop_map(|(t, k)| Step::Delete(t, k)),
        2 => (txn(), key()).prop_map(|(t, k)| Step::Undone(t, k)),
        2 => txn().prop_map(Step::Savepoint),
        2 => txn().prop_map(Step::RollBackTo),
        3 => txn().prop_map(Step::Commit),
        1 => txn().prop_map(Step::RollBack),
        2 => (0..40_u16).prop_map(Step::Advance),
        1 => Just(Step::Reclaim),
    ]
}

async fn run(world: &World, steps: &[Step]) {
    let mut txns = [world.begin(), world.begin()];
    let key = |txn: usize, key: u8| format!("k:{txn}:{key}");
    for step in steps {
        match step {
            Step::Set(txn, k, length, millis) => {
                let (key, value) = (key(*txn, *k), vec![7; *length]);
                let options = SetOptions {
                    expiry: millis.map_or(SetExpiry::Clear, |millis| {
                        SetExpiry::Expire(Expire::InMillis(i64::from(millis)))
                    }),
                    ..SetOptions::default()
                };
                let set = async |w: Writer<'_>| w.set(key.as_bytes(), &value, options).await;
                world.statement(&txns[*txn], set).await.unwrap();
            }
            Step::Add(txn, k, member) => {
                let (key, member) = (key(*txn, *k), format!("m{member}"));
                // Refused where it is a string.
                let add = async |w: Writer<'_>| w.sadd(key.as_bytes(), &[&member]).await;
                let _ = world.statement(&txns[*txn], add).await;
            }
            Step::Delete(txn, k) => {
                let key = key(*txn, *k);
                let delete = async |w: Writer<'_>| w.del(&[&key]).await;
                world.statement(&txns[*txn], delete).await.unwrap();
            }
            Step::Undone(txn, k) => {
                let guard = txns[*txn].start_statement().await.unwrap();
                let writer = Writer::new(&world.space, &txns[*txn], world.now());
                writer.del(&[&key(*txn, *k)]).await.unwrap();
                let value = vec![1; 9];
                let options = SetOptions::default();
                writer
                    .set(key(*txn, *k).as_bytes(), &value, options)
                    .await
                    .unwrap();
                guard.undo();
            }
            Step::Savepoint(txn) => txns[*txn].savepoint("s").unwrap(),
            Step::RollBackTo(txn) => {
                let _ = txns[*txn].rollback_to("s");
            }
            Step::Commit(txn) => {
                txns[*txn].commit().await.unwrap();
                txns[*txn] = world.begin();
            }
            Step::RollBack(txn) => {
                txns[*txn].rollback();
                txns[*txn] = world.begin();
            }
            Step::Advance(millis) => world.advance(u64::from(*millis)),
            Step::Reclaim => world.reclaim_all().await,
        }
        // A space opened anew counts what is stored.
        let options = tessera_keyvalue::SpaceOptions::default();
        let fresh = Space::open(&world.transactions, RELATION, options)
            .await
            .unwrap();
        let now = world.now();
        for (at, txn) in txns.iter().enumerate() {
            for prefix in ["", "k:", "k:1:"] {
                let prefix = prefix.as_bytes();
                let expected = fresh.prefix_footprint(prefix, None, now).await.unwrap();
                let found = world
                    .space
                    .prefix_footprint(prefix, None, now)
                    .await
                    .unwrap();
                assert_eq!(found, expected);
                // What the transaction sees itself, counted by a scan: no separator at the end.
                let own = world
                    .space
                    .prefix_footprint(b"k:", Some(txn), now)
                    .await
                    .unwrap();
                let scanned = world
                    .space
                    .prefix_footprint(b"k", Some(txn), now)
                    .await
                    .unwrap();
                assert_eq!(own, scanned, "transaction {at}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Method: two transactions with savepoints and undone statements; after each step the counts
    /// are compared with those of a scan, for everybody and for each transaction.
    #[test]
    fn counts_are_exact_whatever_is_undone(steps in prop::collection::vec(step(), 1..60)) {
        block_on(async {
            for world in worlds().await {
                run(&world, &steps).await;
            }
        });
    }
}

#[test]
fn the_reclaimer_passes_over_locked_keys() {
    block_on(async {
        for world in worlds().await {
            let options = SetOptions {
                expiry: SetExpiry::Expire(Expire::InMillis(5)),
                ..SetOptions::default()
            };
            for key in ["a", "b"] {
                world
                    .write(async |w| w.set(key.as_bytes(), b"v", options).await)
                    .await
                    .unwrap();
            }
            world.advance(5);
            let txn = world.begin();
            let writer = async |w: Writer<'_>| w.append(b"a", b"new").await;
            world.statement(&txn, writer).await.unwrap();
            let limits = ReclaimLimits::default();
            let done = world
                .write(async |w| w.reclaim(limits).await)
                .await
                .unwrap();
            assert_eq!((done.keys, done.skipped), (1, 1));
            txn.commit().await.unwrap();
            let done = world
                .write(async |w| w.reclaim(limits).await)
                .await
                .unwrap();
            assert_eq!((done.keys, done.skipped), (0, 0));
            assert_eq!(world.keys("*").await, ["a"]);
            assert_eq!(world.stored_rows().await, (1, 0));
        }
    });
}

#[test]
fn keys_move_between_spaces() {
    block_on(async {
        for world in worlds().await {
            let other = RelationId(RELATION.0 + 1);
            let options = tessera_keyvalue::SpaceOptions::default();
            let other = Space::open(&world.transactions, other, options)
                .await
                .unwrap();
            let members: Vec<String> = (0..300).map(|n| format!("m{n}")).collect();
            world
                .write(async |w| w.sadd(b"k", &members).await)
                .await
                .unwrap();
            let footprint = world.footprint().await;
            let moved = world
                .write(async |w| w.move_to(b"k", &other).await)
                .await
                .unwrap();
            assert!(moved);
            assert!(
                !world
                    .write(async |w| w.move_to(b"k", &other).await)
                    .await
                    .unwrap()
            );
            assert_eq!(world.footprint().await, Footprint::default());
            assert_eq!(other.footprint(None, world.now()).await.unwrap(), footprint);
            let reader = Reader::new(&other, world.transactions.view(), world.now());
            assert_eq!(reader.smembers(b"k").await.unwrap().len(), 300);
            world.reclaim_all().await;
            assert_eq!(world.stored_rows().await, (0, 0));
            assert_eq!(reader.smembers(b"k").await.unwrap().len(), 300);
        }
    });
}

#[test]
fn commands_on_the_same_keys_in_another_order_do_not_deadlock() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let world = std::sync::Arc::new(World::memory().await);
        let mut tasks = tokio::task::JoinSet::new();
        for reverse in [false, true] {
            let world = std::sync::Arc::clone(&world);
            tasks.spawn(async move {
                let mut pairs: Vec<(String, &str)> =
                    (0..20).map(|n| (format!("{n}"), "v")).collect();
                if reverse {
                    pairs.reverse();
                }
                for _ in 0..50 {
                    let txn = world.begin();
                    let guard = txn.start_statement().await.unwrap();
                    let writer = Writer::new(&world.space, &txn, world.now());
                    writer.mset(&pairs).await.unwrap();
                    guard.finish();
                    txn.commit().await.unwrap();
                }
            });
        }
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
        assert_eq!(world.footprint().await.keys, 20);
    });
}

/// Method: a consumer pops until it has met every item, waiting only where it finds none, beside two
/// producers. A wake-up that is missed ends in the time-out.
#[test]
fn who_waits_for_a_key_misses_nothing() {
    const ITEMS: usize = 300;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        for world in worlds().await {
            let world = std::sync::Arc::new(world);
            let mut tasks = tokio::task::JoinSet::new();
            for producer in 0..2 {
                let world = std::sync::Arc::clone(&world);
                tasks.spawn(async move {
                    for _ in 0..ITEMS / 2 {
                        let key = [&b"a"[..], b"b"][producer];
                        let txn = world.begin();
                        let guard = txn.start_statement().await.unwrap();
                        let writer = Writer::new(&world.space, &txn, world.now());
                        writer.push(key, End::Left, &[""], false).await.unwrap();
                        guard.finish();
                        txn.commit().await.unwrap();
                        tokio::task::yield_now().await;
                    }
                });
            }
            let consumer = async {
                let waiter = KeyWaiter::new(&world.space, &["a", "b"]);
                waiter.ready().await;
                let mut popped = 0;
                while popped < ITEMS {
                    let pop = async |w: Writer<'_>| w.lmpop(&["a", "b"], End::Right, 9).await;
                    match world.write(pop).await.unwrap() {
                        Some((_, items)) => popped += items.len(),
                        None => waiter.changed().await,
                    }
                }
            };
            let limit = std::time::Duration::from_secs(60);
            tokio::time::timeout(limit, consumer)
                .await
                .expect("no wake-up is missed");
            while let Some(task) = tasks.join_next().await {
                task.unwrap();
            }
        }
    });
}

#[test]
fn a_watched_key_is_changed_by_any_write_below_it() {
    block_on(async {
        for world in worlds().await {
            world
                .write(async |w| w.hset(b"h", &[("f", "1")]).await)
                .await
                .unwrap();
            let view = world.transactions.view();
            let is_changed = async || {
                let check = async |w: Writer<'_>| w.is_changed_since(b"h", &view).await;
                world.write(check).await.unwrap()
            };
            world
                .write(async |w| w.hset(b"other", &[("f", "2")]).await)
                .await
                .unwrap();
            assert!(!is_changed().await);
            world
                .write(async |w| w.hset(b"h", &[("f", "2")]).await)
                .await
                .unwrap();
            assert!(is_changed().await);
        }
    });
}
