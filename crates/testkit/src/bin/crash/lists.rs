//! A list-append workload at every isolation level and over all models, whose history must show no
//! anomaly that the level forbids, the restart included.
//!
//! A third of the lists are Redis lists, a third arrays of documents, a third arrays of rows. Each
//! level has lists of its own: what a level promises holds among its own transactions. The lists of
//! one round are new, so that its history explains everything that is read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tessera_histories::{Element, Key, Level, Outcome, Step, Txn, check};
use tessera_testkit::doors::{Begun, Doors, Refused, is_refusal};
use tokio::task::JoinSet;

use crate::process::Process;
use crate::workload::Clients;

const CLIENTS: u64 = 16;
/// Transactions of one client in one round: the checker's work grows with their square.
const TXNS_PER_CLIENT: usize = 80;
/// Lists in use at the same time, of one level: two of each model.
const LISTS: u32 = 6;
/// Appends after which the next list takes the place of the oldest.
const APPENDS_PER_LIST: u64 = 30;
const STEPS_MAX: usize = 4;
/// Documents that one reader asks for; a round has far fewer lists.
const DOCUMENTS_MAX: usize = 10_000;

/// The workload's state, kept over all kills.
#[derive(Default)]
pub(crate) struct Lists {
    elements: AtomicU64,
    /// The first list of this round.
    first: AtomicU32,
    histories: [Mutex<Vec<Txn>>; Level::ALL.len()],
}

/// The model that holds a list.
enum Home {
    Key,
    Document,
    Row,
}

fn home(key: Key) -> Home {
    match key % 3 {
        0 => Home::Key,
        1 => Home::Document,
        _ => Home::Row,
    }
}

/// Name of the level's table; its collection and its keys have the name with a letter before it.
fn table(level: Level) -> &'static str {
    match level {
        Level::ReadCommitted => "lists_read_committed",
        Level::Snapshot => "lists_repeatable_read",
        Level::Serializable => "lists_serializable",
    }
}

fn isolation(level: Level) -> &'static str {
    match level {
        Level::ReadCommitted => "READ COMMITTED",
        Level::Snapshot => "REPEATABLE READ",
        Level::Serializable => "SERIALIZABLE",
    }
}

/// Makes tables and collections.
pub(crate) async fn create(process: &Process) -> Result<()> {
    let mut doors = Doors::at(process.addresses()).await?;
    for level in Level::ALL {
        let table = table(level);
        let sql = format!("CREATE TABLE {table} (key bigint PRIMARY KEY, elements bigint[])");
        doors.sql.batch_execute(&sql).await?;
        let collection = json!({"name": format!("d_{table}"), "indexes": [
            {"name": "number", "fields": [{"path": "number"}], "unique": true}]});
        doors
            .http("POST /documents", None, Some(&collection))
            .await?;
    }
    Ok(())
}

/// Starts the clients; each takes its decisions from the seed.
pub(crate) fn start(process: &Process, lists: &Arc<Lists>, seed: u64) -> Clients {
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (addresses, lists) = (process.addresses(), Arc::clone(lists));
        clients.spawn(async move {
            let mut random = StdRng::seed_from_u64(seed.wrapping_add(number));
            let Ok(mut doors) = Doors::at(addresses).await else {
                return;
            };
            for _ in 0..TXNS_PER_CLIENT {
                if doors.sql.is_closed() {
                    break;
                }
                let at = random.random_range(0..Level::ALL.len());
                lists.transaction(&mut doors, at, &mut random).await;
            }
        });
    }
    Clients(clients)
}

impl Lists {
    /// Runs one transaction and notes what it saw and how it ended.
    async fn transaction(&self, doors: &mut Doors, at: usize, random: &mut StdRng) {
        let level = Level::ALL[at];
        let begun = Begun::ALL[random.random_range(0..3)];
        let mut steps = Vec::new();
        let Ok(token) = doors.begin(begun, isolation(level)).await else {
            doors.roll_back(begun, "none").await;
            return;
        };
        let mut attempt = Attempt {
            lists: self,
            doors,
            level,
            token: Some(token.clone()),
        };
        let done = attempt.steps(random, &mut steps).await;
        let outcome = if done.is_err() || random.random_bool(0.05) {
            // Nobody asked for it to last, whatever is heard.
            doors.roll_back(begun, &token).await;
            Outcome::Aborted
        } else {
            match doors.commit(begun, &token).await {
                Ok(()) => {
                    // It is committed, whatever becomes of the connections.
                    let _ = doors.leave(begun).await;
                    Outcome::Committed
                }
                Err(error) => {
                    doors.roll_back(begun, &token).await;
                    match is_refusal(&error) {
                        true => Outcome::Aborted,
                        false => Outcome::Unknown,
                    }
                }
            }
        };
        self.histories[at].lock().push(Txn { steps, outcome });
    }

    /// One of the lists in use now, the newer the more appends there were in this round.
    fn some_list(&self, random: &mut StdRng) -> Key {
        let done = self.elements.load(Ordering::Relaxed) / APPENDS_PER_LIST;
        let newest = u32::try_from(done).unwrap_or(u32::MAX);
        let first = self.first.load(Ordering::Relaxed);
        first.max(newest) + random.random_range(0..LISTS)
    }

    /// After the restart: every acknowledged append is there, and the history of the round,
    /// with a reader that comes last, shows nothing forbidden. Then begins the next round.
    pub(crate) async fn compare(&self, process: &Process) -> Result<usize> {
        let mut doors = Doors::at(process.addresses()).await?;
        let mut committed = 0;
        for (at, level) in Level::ALL.into_iter().enumerate() {
            let mut reader = Attempt {
                lists: self,
                doors: &mut doors,
                level,
                token: None,
            };
            let lists = reader.read_all().await?;
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

/// One transaction at work; without a token, a reader outside of transactions.
struct Attempt<'a> {
    lists: &'a Lists,
    doors: &'a mut Doors,
    level: Level,
    token: Option<String>,
}

impl Attempt<'_> {
    async fn steps(&mut self, random: &mut StdRng, steps: &mut Vec<Step>) -> Result<()> {
        for _ in 0..random.random_range(1..=STEPS_MAX) {
            let key = self.lists.some_list(random);
            steps.push(match random.random_range(0..100) {
                0..55 => self.append(key).await?,
                55..95 => Step::Read(key, self.read(key).await?),
                _ => Step::ReadAll(self.read_all().await?),
            });
        }
        Ok(())
    }

    fn name(&self, key: Key) -> String {
        format!("k_{}:{key}", table(self.level))
    }

    fn document(&self, method: &str, key: Key) -> String {
        format!("{method} /documents/d_{}/{key}", table(self.level))
    }

    async fn append(&mut self, key: Key) -> Result<Step> {
        let element = self.lists.elements.fetch_add(1, Ordering::Relaxed);
        match home(key) {
            Home::Key => {
                let command = format!("RPUSH {} {element}", self.name(key));
                self.doors.redis(&command).await?;
            }
            Home::Document => {
                let request = format!("{}?upsert=true", self.document("PATCH", key));
                let update = json!({"$push": {"elements": element}, "$set": {"number": key}});
                let operators = "application/vnd.tessera.update+json";
                let token = self.token.as_deref();
                self.doors
                    .http_as(&request, token, operators, Some(&update))
                    .await?;
            }
            Home::Row => {
                let table = table(self.level);
                let sql = format!(
                    "INSERT INTO {table} VALUES ($1, ARRAY[$2::bigint]) ON CONFLICT (key) \
                     DO UPDATE SET elements = array_append({table}.elements, $2::bigint)"
                );
                let (key, element) = (i64::from(key), element as i64);
                self.doors.sql.execute(&sql, &[&key, &element]).await?;
            }
        }
        Ok(Step::Append(key, element))
    }

    async fn read(&mut self, key: Key) -> Result<Vec<Element>> {
        match home(key) {
            Home::Key => {
                let command = format!("LRANGE {} 0 -1", self.name(key));
                numbers(self.doors.redis(&command).await?.texts()?)
            }
            Home::Document => {
                let request = self.document("GET", key);
                let http = &mut self.doors.http;
                let answer = http.send(&request, self.token.as_deref(), None).await?;
                match answer.status {
                    200 => elements(&answer.body),
                    // There is no such document; other problems have other codes.
                    404 => Ok(Vec::new()),
                    _ => Err(Refused(answer.body.to_string()).into()),
                }
            }
            Home::Row => {
                let sql = format!("SELECT elements FROM {} WHERE key = $1", table(self.level));
                let row = self.doors.sql.query_opt(&sql, &[&i64::from(key)]).await?;
                row.map_or(Ok(Vec::new()), |row| Ok(of_row(row.try_get(0)?)))
            }
        }
    }

    /// All lists of this round. At READ COMMITTED they are of several moments.
    async fn read_all(&mut self) -> Result<BTreeMap<Key, Vec<Element>>> {
        let first = self.lists.first.load(Ordering::Relaxed);
        let table = table(self.level);
        let mut lists = BTreeMap::new();
        let names = self.doors.redis(&format!("KEYS k_{table}:*")).await?;
        for name in names.texts()? {
            let key: Key = name.rsplit(':').next().context("no number")?.parse()?;
            if key >= first {
                let command = format!("LRANGE {name} 0 -1");
                let list = self.doors.redis(&command).await?.texts()?;
                lists.insert(key, numbers(list)?);
            }
        }
        let request = json!({"filter": {"number": {"$gte": first}}, "limit": DOCUMENTS_MAX});
        let path = format!("POST /documents/d_{table}:query");
        let token = self.token.as_deref();
        let answer = self.doors.http(&path, token, Some(&request)).await?;
        for found in answer["documents"].as_array().context("no documents")? {
            let document = &found["document"];
            let key = document["number"].as_u64().context("no number")?;
            lists.insert(u32::try_from(key)?, elements(document)?);
        }
        let sql = format!("SELECT key, elements FROM {table} WHERE key >= $1");
        for row in self.doors.sql.query(&sql, &[&i64::from(first)]).await? {
            let key: i64 = row.try_get(0)?;
            lists.insert(key as Key, of_row(row.try_get(1)?));
        }
        Ok(lists)
    }
}

fn of_row(numbers: Vec<i64>) -> Vec<Element> {
    numbers.into_iter().map(|number| number as u64).collect()
}

fn numbers(texts: Vec<String>) -> Result<Vec<Element>> {
    texts.iter().map(|text| Ok(text.parse()?)).collect()
}

fn elements(document: &Value) -> Result<Vec<Element>> {
    let list = document["elements"].as_array().context("no elements")?;
    list.iter()
        .map(|element| element.as_u64().context("no number"))
        .collect()
}
