//! Very many keys with times to live: counts are exact at every moment, and when all have expired,
//! memory, log and disk are given back.
//!
//! Method: random writes against a model, on a clock that the test moves. The store is the one for
//! data that matters, on a real disk. `TESSERA_TEST_KEYS` is the number of keys; a million is for optimized
//! builds.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use tessera_environment::Environment;
use tessera_keyvalue::{Expire, ExpireCondition, ReclaimLimits, SetExpiry, SetOptions, Writer};
use tessera_storage::{EmbeddedOptions, StoreStatistics, open_embedded};
use tessera_transactions::Transaction;

use crate::world::World;

const KEYS_DEFAULT: u64 = 60_000;
const SEED: u64 = 20_260_101;
/// Commands of one transaction.
const BATCH: usize = 500;
/// Longest time to live.
const TTL_MILLIS_MAX: u64 = 600_000;
/// Moments at which the counts are compared.
const MOMENTS: u64 = 60;

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit
    }
}

/// What is known of a key.
#[derive(Clone, Copy)]
struct Known {
    bytes: u64,
    /// None for ever.
    expires: Option<u64>,
}

#[derive(Default)]
struct Model {
    keys: HashMap<u64, Known>,
}

impl Model {
    /// Keys, keys with a time to live, bytes.
    fn totals(&mut self, now: u64) -> (u64, u64, u64) {
        self.keys
            .retain(|_, known| known.expires.is_none_or(|expires| expires > now));
        let expiring = self.keys.values().filter(|known| known.expires.is_some());
        let bytes = self.keys.values().map(|known| known.bytes).sum();
        (self.keys.len() as u64, expiring.count() as u64, bytes)
    }
}

fn name(number: u64) -> String {
    format!("{}:{number}", number % 10)
}

fn keys_wanted() -> u64 {
    let wanted = std::env::var("TESSERA_TEST_KEYS");
    wanted.map_or(KEYS_DEFAULT, |text| text.parse().unwrap())
}

async fn world_on_disk(folder: &Path) -> World {
    let (simulated, simulation) = Environment::simulated(SEED);
    let environment = Environment {
        clock: simulated.clock,
        ..Environment::real()
    };
    let options = EmbeddedOptions {
        // Small, so that there are many checkpoints.
        checkpoint_bytes: 4 << 20,
        ..EmbeddedOptions::default()
    };
    let store = open_embedded(&environment, folder, options).unwrap();
    World::over(environment, simulation, store, None).await
}

/// One random command on a random key, and what it does to the model.
async fn step(writer: &Writer<'_>, random: &mut Random, model: &mut Model, keys: u64, now: u64) {
    let number = random.below(keys);
    let key = name(number);
    let living = model
        .keys
        .get(&number)
        .filter(|known| known.expires.is_none_or(|expires| expires > now))
        .copied();
    let ttl = 1 + random.below(TTL_MILLIS_MAX);
    match random.below(20) {
        0 => {
            let found = writer.del(&[&key]).await.unwrap();
            assert_eq!(found, u64::from(living.is_some()), "{key}");
            model.keys.remove(&number);
        }
        1 => {
            let expire = Expire::InMillis(i64::try_from(ttl).unwrap());
            let done = writer.expire(key.as_bytes(), expire, ExpireCondition::default());
            assert_eq!(done.await.unwrap(), living.is_some(), "{key}");
            if let Some(known) = living {
                let expires = Some(now + ttl);
                model.keys.insert(number, Known { expires, ..known });
            }
        }
        2 => {
            let done = writer.persist(key.as_bytes()).await.unwrap();
            let was_expiring = living.is_some_and(|known| known.expires.is_some());
            assert_eq!(done, was_expiring, "{key}");
            if let Some(known) = living {
                let expires = None;
                model.keys.insert(number, Known { expires, ..known });
            }
        }
        _ => {
            let value = vec![b'v'; random.below(200) as usize];
            let expire = Expire::InMillis(i64::try_from(ttl).unwrap());
            let options = SetOptions {
                expiry: SetExpiry::Expire(expire),
                ..SetOptions::default()
            };
            writer.set(key.as_bytes(), &value, options).await.unwrap();
            let bytes = (key.len() + value.len()) as u64;
            let expires = Some(now + ttl);
            model.keys.insert(number, Known { bytes, expires });
        }
    }
}

async fn compare(world: &World, model: &mut Model) {
    let found = world.footprint().await;
    let now = world.now().0;
    let (keys, expiring, bytes) = model.totals(now);
    assert_eq!(
        (found.keys, found.expiring, found.bytes),
        (keys, expiring, bytes),
        "at {now}, seed {SEED}"
    );
    let third = world.prefix_footprint("3:").await;
    let expected = model.keys.keys().filter(|number| *number % 10 == 3).count();
    assert_eq!(third.keys, expected as u64, "at {now}, seed {SEED}");
}

/// As the background task does it.
async fn reclaim(world: &World, rounds_max: u64) {
    for _ in 0..rounds_max {
        let limits = ReclaimLimits::default();
        let done = world
            .write(async |w| w.reclaim(limits).await)
            .await
            .unwrap();
        if !done.has_more {
            return;
        }
    }
}

fn statistics(world: &World) -> StoreStatistics {
    world.transactions.store().statistics()
}

#[test]
fn counts_are_exact_at_every_moment_and_everything_is_given_back() {
    let keys = keys_wanted();
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let world = world_on_disk(folder.path()).await;
        let mut random = Random(SEED);
        let mut model = Model::default();
        let mut left = keys;
        // Writes and moments in turn; the clock goes through the longest time to live once.
        for moment in 0..MOMENTS {
            let mut writes = if moment < MOMENTS / 2 {
                left / (MOMENTS / 2 - moment)
            } else {
                keys / 500
            };
            left = left.saturating_sub(writes);
            while writes > 0 {
                let count = writes.min(BATCH as u64);
                let txn: Transaction = world.begin();
                let now = world.now().0;
                world
                    .statement(&txn, async |writer| {
                        for _ in 0..count {
                            step(&writer, &mut random, &mut model, keys, now).await;
                        }
                        Ok(())
                    })
                    .await
                    .unwrap();
                txn.commit().await.unwrap();
                writes -= count;
            }
            compare(&world, &mut model).await;
            world.advance(random.below(2 * TTL_MILLIS_MAX / MOMENTS));
            // What has expired does not count, whether it was reclaimed or not.
            compare(&world, &mut model).await;
            if random.below(3) == 0 {
                reclaim(&world, random.below(10)).await;
                compare(&world, &mut model).await;
            }
        }
        world.transactions.store().checkpoint().await.unwrap();
        let full = statistics(&world);
        let all: Vec<u64> = model.keys.keys().copied().collect();
        for part in all.chunks(BATCH) {
            // Those that would stay for ever expire, too.
            let expire = Expire::InMillis(1);
            let expire_all = async |w: Writer<'_>| {
                for number in part {
                    let name = name(*number);
                    w.expire(name.as_bytes(), expire, ExpireCondition::default())
                        .await?;
                }
                Ok(())
            };
            world.write(expire_all).await.unwrap();
        }
        world.advance(1);
        let footprint = world.footprint().await;
        assert_eq!((footprint.keys, footprint.bytes), (0, 0));
        reclaim(&world, u64::MAX).await;
        assert_eq!(world.stored_rows().await, (0, 0));
        let (prefixes, is_whole) = world.space.prefixes(b"", 10, world.now()).await.unwrap();
        assert!(prefixes.is_empty() && is_whole);
        given_back(&world, &full).await;
    });
}

/// Waits until memory, log and disk are given back: what the last snapshots kept goes when they are
/// gone.
async fn given_back(world: &World, full: &StoreStatistics) {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        world.transactions.store().checkpoint().await.unwrap();
        let end = statistics(world);
        let is_back = end.recent_keys == 0
            && end.recent_bytes < full.recent_bytes_max / 1_000
            && end.log_bytes < 1 << 20
            && end.base_bytes < full.base_bytes / 10;
        if is_back {
            return;
        }
        let is_late = std::time::Instant::now() > deadline;
        assert!(!is_late, "full {full:?}\nend {end:?}");
        tokio::task::yield_now().await;
    }
}

/// A model that never forgets would agree with a store that never counts.
#[test]
fn the_model_forgets_what_has_expired() {
    let mut model = Model::default();
    let known = |expires| Known { bytes: 5, expires };
    model.keys.insert(1, known(Some(10)));
    model.keys.insert(2, known(None));
    assert_eq!(model.totals(9), (2, 1, 10));
    assert_eq!(model.totals(10), (1, 0, 5));
}
