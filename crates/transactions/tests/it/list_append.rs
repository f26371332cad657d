//! Many sessions append to and read a few lists; the checker looks at what they saw.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tessera_histories::{Element, Key, Level, Outcome, Step, Txn, check};
use tessera_locks::{LockOptions, Mode, Wait};
use tessera_storage::{KeySpace, ScanOptions};
use tessera_transactions::{
    Isolation, Transaction, TransactionError, TransactionOptions, Transactions,
};

use crate::world::{RELATION, scan, worlds};

const TASKS: u64 = 16;
const TXNS_PER_TASK: usize = 60;
/// Lists that are in use at the same time.
const KEYS: u64 = 4;
/// Transactions after which one list is replaced by a new one.
const TXNS_PER_KEY: u64 = 40;

/// Small and good enough (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// What all tasks share.
struct Workload {
    transactions: Arc<Transactions>,
    level: Isolation,
    element: AtomicU64,
    begun: AtomicU64,
    history: Mutex<Vec<Txn>>,
}

fn name(key: Key) -> Bytes {
    Bytes::from(format!("list{key:06}"))
}

fn parse(value: &str) -> Vec<Element> {
    let numbers = value.split(',').filter(|number| !number.is_empty());
    numbers.map(|number| number.parse().unwrap()).collect()
}

impl Workload {
    fn key(&self, random: &mut Random) -> Key {
        let oldest = self.begun.load(Ordering::Relaxed) / TXNS_PER_KEY;
        u32::try_from(oldest + random.below(KEYS)).unwrap()
    }

    async fn task(&self, mut random: Random) {
        for _ in 0..TXNS_PER_TASK {
            self.begun.fetch_add(1, Ordering::Relaxed);
            let txn = self.transactions.begin(TransactionOptions {
                isolation: self.level,
                // Some write to runs.
                write_buffer_bytes_max: (random.below(8) == 0).then_some(0),
                ..Default::default()
            });
            let mut steps = Vec::new();
            let done = self.steps(&txn, &mut random, &mut steps).await;
            let outcome = match done {
                Ok(()) if random.below(12) > 0 => match txn.commit().await {
                    Ok(_) => Outcome::Committed,
                    Err(TransactionError::OutcomeUnknown { .. }) => Outcome::Unknown,
                    Err(error) => {
                        assert!(error.is_retryable(), "{error}");
                        Outcome::Aborted
                    }
                },
                Ok(()) => {
                    txn.rollback();
                    Outcome::Aborted
                }
                Err(error) => {
                    assert!(error.is_retryable(), "{error}");
                    txn.rollback();
                    Outcome::Aborted
                }
            };
            self.history.lock().push(Txn { steps, outcome });
        }
    }

    async fn steps(
        &self,
        txn: &Transaction,
        random: &mut Random,
        steps: &mut Vec<Step>,
    ) -> Result<(), TransactionError> {
        for _ in 0..=random.below(5) {
            let key = self.key(random);
            match random.below(10) {
                0..4 => {
                    let element = self.append(txn, key).await?;
                    steps.push(Step::Append(key, element));
                }
                4..7 => {
                    let guard = txn.start_statement().await?;
                    let value = txn.view().get(KeySpace::Rows, &name(key)).await?;
                    guard.finish();
                    let text = value.map(crate::world::text).unwrap_or_default();
                    steps.push(Step::Read(key, parse(&text)));
                }
                7..9 => {
                    let guard = txn.start_statement().await?;
                    let options = ScanOptions {
                        reverse: random.below(2) == 0,
                        bytes_max: 64,
                        ..ScanOptions::default()
                    };
                    let rows = scan(&txn.view(), options).await;
                    guard.finish();
                    let list = |(key, value): (String, String)| {
                        (key["list".len()..].parse().unwrap(), parse(&value))
                    };
                    let lists: BTreeMap<Key, Vec<Element>> = rows.into_iter().map(list).collect();
                    steps.push(Step::ReadAll(lists));
                }
                _ => {
                    // Undone again, so it must leave nothing behind.
                    txn.savepoint("s")?;
                    self.append(txn, key).await?;
                    txn.rollback_to("s")?;
                    txn.release("s")?;
                }
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn append(&self, txn: &Transaction, key: Key) -> Result<Element, TransactionError> {
        let guard = txn.start_statement().await?;
        drop(txn.view());
        let key = name(key);
        let wait = LockOptions {
            wait: Wait::Block,
            deadline: None,
        };
        txn.lock_row(RELATION, KeySpace::Rows, &key, Mode::X, &wait)
            .await?;
        tokio::task::yield_now().await;
        let value = txn.get_newest(KeySpace::Rows, &key).await?;
        let element = self.element.fetch_add(1, Ordering::Relaxed);
        let list = value.map(crate::world::text).unwrap_or_default();
        let list = format!("{list},{element}");
        txn.put(KeySpace::Rows, key, list.into())?;
        guard.finish();
        Ok(element)
    }
}

fn by_what_it_forbids(level: Isolation) -> Level {
    match level {
        Isolation::ReadCommitted => Level::ReadCommitted,
        Isolation::RepeatableRead => Level::Snapshot,
        Isolation::Serializable => Level::Serializable,
    }
}

/// Sixteen sessions over a few lists, with savepoints undone, transactions that spill,
/// rollbacks, and checkpoints in between.
#[expect(clippy::print_stdout, reason = "shown if the test fails")]
async fn no_forbidden_anomaly(level: Isolation) {
    let seed = match std::env::var("TESSERA_HISTORY_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => u64::from(std::process::id()),
    };
    for (engine, world) in worlds().into_iter().enumerate() {
        println!("{level:?}: engine {engine}, TESSERA_HISTORY_SEED={seed}");
        let workload = Arc::new(Workload {
            transactions: Arc::clone(&world.transactions),
            level,
            element: AtomicU64::new(1),
            begun: AtomicU64::new(0),
            history: Mutex::default(),
        });
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let (workload, random) = (Arc::clone(&workload), Random(seed ^ (task << 32)));
                tokio::spawn(async move { workload.task(random).await })
            })
            .collect();
        for task in tasks {
            world.transactions.store().checkpoint().await.unwrap();
            task.await.unwrap();
        }
        let history = std::mem::take(&mut *workload.history.lock());
        let committed = history
            .iter()
            .filter(|txn| txn.outcome == Outcome::Committed);
        println!("{} of {} committed", committed.count(), history.len());
        let found = check(&history);
        for finding in &found {
            println!("found {finding}");
        }
        let level_of_checker = by_what_it_forbids(level);
        let bad = found
            .iter()
            .find(|finding| level_of_checker.forbids(finding.anomaly));
        if let Some(bad) = bad {
            for (at, txn) in history.iter().enumerate() {
                println!("T{at}: {:?} {:?}", txn.outcome, txn.steps);
            }
            panic!("{level:?}, engine {engine}, seed {seed}: {bad}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn read_committed_has_no_dirty_reads_or_writes() {
    no_forbidden_anomaly(Isolation::ReadCommitted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn repeatable_read_is_snapshot_isolation() {
    no_forbidden_anomaly(Isolation::RepeatableRead).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn serializable_has_no_anomaly_at_all() {
    no_forbidden_anomaly(Isolation::Serializable).await;
}
