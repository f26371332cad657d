//! A list-append workload at every isolation level, whose history must show no anomaly that the
//! level forbids, the restart included.
//!
//! Each level has a table of its own: what a level promises holds among its own transactions. The
//! lists of one round are new, so that its history explains everything that is read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use anyhow::{Result, ensure};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tessera_histories::{Element, Key, Level, Outcome, Step, Txn, check};
use tokio::task::JoinSet;
use tokio_postgres::{Client, Error, NoTls};

use crate::model::Answer;
use crate::process::Process;
use crate::workload::{Clients, answer_to};

const CLIENTS: u64 = 16;
/// Transactions of one client in one round: the checker's work grows with their square.
const TXNS_PER_CLIENT: usize = 80;
/// Lists in use at the same time, of one level.
const LISTS: u32 = 5;
/// Appends after which the next list takes the place of the oldest.
const APPENDS_PER_LIST: u64 = 30;
const STEPS_MAX: usize = 4;

/// The workload's state, kept over all kills.
#[derive(Default)]
pub(crate) struct Lists {
    elements: AtomicU64,
    /// The first list of this round.
    first: AtomicU32,
    histories: [Mutex<Vec<Txn>>; Level::ALL.len()],
}

fn table(level: Level) -> &'static str {
    match level {
        Level::ReadCommitted => "lists_read_committed",
        Level::Snapshot => "lists_repeatable_read",
        Level::Serializable => "lists_serializable",
    }
}

fn begin(level: Level) -> &'static str {
    match level {
        Level::ReadCommitted => "BEGIN ISOLATION LEVEL READ COMMITTED",
        Level::Snapshot => "BEGIN ISOLATION LEVEL REPEATABLE READ",
        Level::Serializable => "BEGIN ISOLATION LEVEL SERIALIZABLE",
    }
}

/// Makes the tables.
pub(crate) async fn create(process: &Process) -> Result<()> {
    let client = process.connect().await?;
    for level in Level::ALL {
        let table = table(level);
        let sql = format!("CREATE TABLE {table} (key bigint PRIMARY KEY, elements bigint[])");
        client.batch_execute(&sql).await?;
    }
    Ok(())
}

/// Starts the clients; each takes its decisions from the seed.
pub(crate) fn start(process: &Process, lists: &Arc<Lists>, seed: u64) -> Clients {
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (config, lists) = (process.config(), Arc::clone(lists));
        clients.spawn(async move {
            let mut random = StdRng::seed_from_u64(seed.wrapping_add(number));
            let Ok((mut client, connection)) = config.connect(NoTls).await else {
                return;
            };
            let connection = tokio::spawn(connection);
            for _ in 0..TXNS_PER_CLIENT {
                if client.is_closed() {
                    break;
                }
                let at = random.random_range(0..Level::ALL.len());
                lists.transaction(&mut client, at, &mut random).await;
            }
            drop(client);
            // The connection's error is the kill.
            let _ = connection.await;
        });
    }
    Clients(clients)
}

impl Lists {
    /// Runs one transaction and notes what it saw and how it ended.
    async fn transaction(&self, client: &mut Client, at: usize, random: &mut StdRng) {
        let level = Level::ALL[at];
        let mut steps = Vec::new();
        let wants_rollback = random.random_bool(0.05);
        let outcome = match self.attempt(client, level, random, &mut steps).await {
            Ok(()) if wants_rollback => {
                // Nobody asked for it to last, whatever is heard.
                let _ = client.batch_execute("ROLLBACK").await;
                Outcome::Aborted
            }
            Ok(()) => match answer_to(client.batch_execute("COMMIT").await) {
                Answer::Acknowledged => Outcome::Committed,
                Answer::Refused => Outcome::Aborted,
                Answer::None => Outcome::Unknown,
            },
            Err(_) => {
                let _ = client.batch_execute("ROLLBACK").await;
                Outcome::Aborted
            }
        };
        self.histories[at].lock().push(Txn { steps, outcome });
    }

    async fn attempt(
        &self,
        client: &Client,
        level: Level,
        random: &mut StdRng,
        steps: &mut Vec<Step>,
    ) -> Result<(), Error> {
        client.batch_execute(begin(level)).await?;
        for _ in 0..random.random_range(1..=STEPS_MAX) {
            let key = self.some_list(random);
            steps.push(match random.random_range(0..100) {
                0..55 => self.append(client, level, key).await?,
                55..95 => Step::Read(key, read(client, level, key).await?),
                _ => Step::ReadAll(self.read_all(client, level).await?),
            });
        }
        Ok(())
    }

    /// One of the lists in use now, the newer the more appends there were in this round.
    fn some_list(&self, random: &mut StdRng) -> Key {
        let done = self.elements.load(Ordering::Relaxed) / APPENDS_PER_LIST;
        let newest = u32::try_from(done).unwrap_or(u32::MAX);
        let first = self.first.load(Ordering::Relaxed);
        first.max(newest) + random.random_range(0..LISTS)
    }

    async fn append(&self, client: &Client, level: Level, key: Key) -> Result<Step, Error> {
        let element = self.elements.fetch_add(1, Ordering::Relaxed);
        let table = table(level);
        let sql = format!(
            "INSERT INTO {table} VALUES ($1, ARRAY[$2::bigint]) ON CONFLICT (key) \
             DO UPDATE SET elements = array_append({table}.elements, $2::bigint)"
        );
        let (key_sent, element_sent) = (i64::from(key), element as i64);
        client.execute(&sql, &[&key_sent, &element_sent]).await?;
        Ok(Step::Append(key, element))
    }

    /// All lists of this round.
    async fn read_all(
        &self,
        client: &Client,
        level: Level,
    ) -> Result<BTreeMap<Key, Vec<Element>>, Error> {
        let first = i64::from(self.first.load(Ordering::Relaxed));
        let sql = format!("SELECT key, elements FROM {} WHERE key >= $1", table(level));
        let mut lists = BTreeMap::new();
        for row in client.query(&sql, &[&first]).await? {
            let key: i64 = row.try_get(0)?;
            lists.insert(key as Key, elements(row.try_get(1)?));
        }
        Ok(lists)
    }

    /// After the restart: every acknowledged append is there, and the history of the round,
    /// with a reader that comes last, shows nothing forbidden. Then begins the next round.
    pub(crate) async fn compare(&self, process: &Process) -> Result<usize> {
        let client = process.connect().await?;
        let mut committed = 0;
        for (at, level) in Level::ALL.into_iter().enumerate() {
            let lists = self.read_all(&client, level).await?;
            let mut history = std::mem::take(&mut *self.histories[at].lock());
            let there: BTreeSet<Element> = lists.values().flatten().copied().collect();
            for txn in history.iter().filter(|t| t.outcome == Outcome::Committed) {
                committed += 1;
                for step in &txn.steps {
                    if let Step::Append(key, element) = step {
                        ensure!(
                            there.contains(element),
                            "{level:?}: append of {element} to {key} was acknowledged and is lost"
                        );
                    }
                }
            }
            history.push(Txn {
                steps: vec![Step::ReadAll(lists)],
                outcome: Outcome::Committed,
            });
            let found = check(&history);
            if let Some(bad) = found.iter().find(|found| level.forbids(found.anomaly)) {
                for (number, txn) in history.iter().enumerate() {
                    println!("T{number}: {:?} {:?}", txn.outcome, txn.steps);
                }
                anyhow::bail!("{level:?}: {bad}");
            }
        }
        let done = self.elements.load(Ordering::Relaxed);
        let next = done.div_ceil(APPENDS_PER_LIST) + u64::from(LISTS);
        self.elements
            .store(next * APPENDS_PER_LIST, Ordering::Relaxed);
        self.first.store(u32::try_from(next)?, Ordering::Relaxed);
        Ok(committed)
    }
}

async fn read(client: &Client, level: Level, key: Key) -> Result<Vec<Element>, Error> {
    let sql = format!("SELECT elements FROM {} WHERE key = $1", table(level));
    let row = client.query_opt(&sql, &[&i64::from(key)]).await?;
    row.map_or(Ok(Vec::new()), |row| Ok(elements(row.try_get(0)?)))
}

fn elements(numbers: Vec<i64>) -> Vec<Element> {
    numbers.into_iter().map(|number| number as u64).collect()
}
