//! Orders over three protocols: stock in a key and in the field of a hash, a document, a row, all
//! in one serializable transaction that one member begins and the others join by its token.
//!
//! The expected state is what each client was told about its order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tessera_testkit::doors::{Begun, Doors, is_refusal};
use tessera_testkit::wire::Reply;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::model::Answer;
use crate::process::Process;
use crate::workload::Clients;

const CLIENTS: u64 = 6;
/// Things that are sold; few enough that clients meet.
const SKUS: u64 = 12;
const STOCK: i64 = 1_000_000;
/// Documents that are asked for at one time.
const PAGE: usize = 10_000;
/// Leases live so long; some of them expire and are reclaimed while orders go on.
const LEASE_MS: u64 = 300;

/// What became of one order.
#[derive(Clone, Copy, Debug)]
struct Order {
    sku: u64,
    answer: Answer,
}

/// The workload's state, kept over all kills.
#[derive(Default)]
pub(crate) struct Orders {
    all: Mutex<BTreeMap<i64, Order>>,
    enough: AtomicBool,
}

/// Makes table and collection and fills the stock.
pub(crate) async fn create(process: &Process) -> Result<()> {
    let mut doors = Doors::at(process.addresses()).await?;
    let sql = "CREATE TABLE sale (id bigint PRIMARY KEY, sku bigint NOT NULL); \
               CREATE INDEX ON sale (sku)";
    doors.sql.batch_execute(sql).await?;
    let orders = json!({"name": "orders", "indexes": [
        {"name": "sku", "fields": [{"path": "sku"}]}]});
    doors.http("POST /documents", None, Some(&orders)).await?;
    for sku in 0..SKUS {
        doors.redis(&format!("SET stock:{sku} {STOCK}")).await?;
        doors.redis(&format!("HSET stocks {sku} {STOCK}")).await?;
    }
    Ok(())
}

/// Starts the clients; each takes its decisions from the seed.
pub(crate) fn start(process: &Process, orders: &Arc<Orders>, seed: u64) -> Clients {
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (addresses, orders) = (process.addresses(), Arc::clone(orders));
        clients.spawn(async move {
            let mut random = StdRng::seed_from_u64(seed.wrapping_add(number));
            let Ok(mut doors) = Doors::at(addresses).await else {
                return;
            };
            while !doors.sql.is_closed() && !orders.enough.load(Ordering::Relaxed) {
                if !orders.order(&mut doors, &mut random).await {
                    return;
                }
            }
        });
    }
    Clients(clients)
}

impl Orders {
    /// Lets the clients end after the orders that they are at.
    pub(crate) fn end(&self) {
        self.enough.store(true, Ordering::Relaxed);
    }

    /// One order; false when a connection is gone.
    async fn order(&self, doors: &mut Doors, random: &mut StdRng) -> bool {
        let sku = random.random_range(0..SKUS);
        let id = {
            let mut all = self.all.lock();
            let id = all.last_key_value().map_or(1, |(last, _)| last + 1);
            let answer = Answer::None;
            all.insert(id, Order { sku, answer });
            id
        };
        let begun = Begun::ALL[random.random_range(0..3)];
        let undo = random.random_bool(0.1);
        let (answer, goes_on) = match attempt(doors, begun, id, sku, undo, random).await {
            // Nobody asked for it to last, whatever was heard.
            Ok(()) if undo => (Answer::Refused, true),
            Ok(()) => (Answer::Acknowledged, true),
            Err((_, Stage::Before)) => (Answer::Refused, !doors.sql.is_closed()),
            Err((error, Stage::Commit)) if is_refusal(&error) => (Answer::Refused, true),
            Err((_, Stage::Commit)) => (Answer::None, false),
        };
        if let Some(order) = self.all.lock().get_mut(&id) {
            order.answer = answer;
        }
        goes_on
    }

    /// Compares with the server; what was unanswered is settled by what is found.
    pub(crate) async fn compare(&self, process: &Process) -> Result<usize> {
        let mut doors = Doors::at(process.addresses()).await?;
        let rows = rows(&doors.sql).await?;
        let documents = documents(&mut doors)
            .await
            .context("reading the documents")?;
        ensure!(
            rows == documents,
            "orders are there in half: {:?}",
            difference(&rows, &documents)
        );
        let mut all = self.all.lock();
        let mut sold = vec![0_i64; SKUS as usize];
        let mut acknowledged = 0;
        for (id, sku) in &rows {
            let order = all.get_mut(id).context("an order that nobody sent")?;
            ensure!(order.sku == *sku, "order {id} is for {sku}: {order:?}");
            ensure!(
                order.answer != Answer::Refused,
                "order {id} was refused and is there"
            );
            acknowledged += usize::from(order.answer == Answer::Acknowledged);
            order.answer = Answer::Acknowledged;
            sold[*sku as usize] += 1;
        }
        for (id, order) in all.iter_mut().filter(|(id, _)| !rows.contains_key(id)) {
            ensure!(
                order.answer != Answer::Acknowledged,
                "order {id} was acknowledged and is lost: {order:?}"
            );
            order.answer = Answer::Refused;
        }
        drop(all);
        for (sku, sold) in sold.iter().enumerate() {
            for command in [format!("GET stock:{sku}"), format!("HGET stocks {sku}")] {
                let left = doors.redis(&command).await?;
                let expected = Reply::Bulk((STOCK - sold).to_string());
                ensure!(left == expected, "{command}: {left:?}, {sold} were sold");
            }
            check_indexes(&mut doors, sku, *sold).await?;
        }
        check_counts(&mut doors).await?;
        Ok(acknowledged)
    }
}

/// How far a transaction got.
enum Stage {
    Before,
    Commit,
}

async fn attempt(
    doors: &mut Doors,
    begun: Begun,
    id: i64,
    sku: u64,
    undo: bool,
    random: &mut StdRng,
) -> Result<(), (anyhow::Error, Stage)> {
    let token = match doors.begin(begun, "SERIALIZABLE").await {
        Ok(token) => token,
        Err(error) => {
            doors.roll_back(begun, "none").await;
            return Err((error, Stage::Before));
        }
    };
    if let Err(error) = work(doors, &token, id, sku, random).await {
        doors.roll_back(begun, &token).await;
        return Err((error, Stage::Before));
    }
    if undo {
        doors.roll_back(begun, &token).await;
        return Ok(());
    }
    if let Err(error) = doors.commit(begun, &token).await {
        doors.roll_back(begun, &token).await;
        return Err((error, Stage::Commit));
    }
    // It is committed, whatever becomes of the connections.
    let _ = doors.leave(begun).await;
    Ok(())
}

/// The parts of an order, in any order.
async fn work(
    doors: &mut Doors,
    token: &str,
    id: i64,
    sku: u64,
    random: &mut StdRng,
) -> Result<()> {
    let first = random.random_range(0..3);
    for part in (first..3).chain(0..first) {
        match part {
            0 => {
                doors.redis(&format!("DECR stock:{sku}")).await?;
                doors.redis(&format!("HINCRBY stocks {sku} -1")).await?;
                let lease = format!("SET lease:{id} held PX {LEASE_MS}");
                doors.redis(&lease).await?;
            }
            1 => {
                // Some are larger than the small write buffer.
                let size = if random.random_bool(0.05) {
                    100_000
                } else {
                    50
                };
                let document = json!({"_id": id.to_string(), "sku": sku, "note": "x".repeat(size)});
                doors
                    .http("POST /documents/orders", Some(token), Some(&document))
                    .await?;
            }
            _ => {
                let sql = "INSERT INTO sale VALUES ($1, $2)";
                doors.sql.execute(sql, &[&id, &(sku as i64)]).await?;
            }
        }
    }
    Ok(())
}

async fn rows(sql: &Client) -> Result<BTreeMap<i64, u64>> {
    let rows = sql.query("SELECT id, sku FROM sale", &[]).await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get::<_, i64>(1)? as u64)))
        .collect()
}

async fn documents(doors: &mut Doors) -> Result<BTreeMap<i64, u64>> {
    let mut documents = BTreeMap::new();
    let mut request = json!({"limit": PAGE, "projection": {"sku": 1}});
    loop {
        let answer = doors
            .http("POST /documents/orders:query", None, Some(&request))
            .await?;
        for document in answer["documents"].as_array().context("no documents")? {
            let id = document["id"].as_str().context("no id")?.parse()?;
            let sku = document["document"]["sku"].as_u64().context("no sku")?;
            documents.insert(id, sku);
        }
        match answer["next"].as_str() {
            Some(next) => request["page"] = json!(next),
            None => return Ok(documents),
        }
    }
}

fn difference(a: &BTreeMap<i64, u64>, b: &BTreeMap<i64, u64>) -> Vec<i64> {
    let only = |x: &BTreeMap<i64, u64>, y: &BTreeMap<i64, u64>| -> Vec<i64> {
        x.keys().filter(|id| !y.contains_key(id)).copied().collect()
    };
    [only(a, b), only(b, a)].concat()
}

/// What the indexes find is what was sold.
async fn check_indexes(doors: &mut Doors, sku: usize, sold: i64) -> Result<()> {
    let sql = "SELECT count(*) FROM sale WHERE sku = $1";
    let by_row: i64 = doors
        .sql
        .query_one(sql, &[&(sku as i64)])
        .await?
        .try_get(0)?;
    let request = json!({"filter": {"sku": sku}});
    let counted = doors
        .http("POST /documents/orders:count", None, Some(&request))
        .await?;
    let by_document = counted["count"].as_i64();
    ensure!(
        by_row == sold && by_document == Some(sold),
        "of {sku} {sold} were sold; the indexes find {by_row} rows and {by_document:?} documents"
    );
    Ok(())
}

/// The number of keys that the server counts all the time is what a scan finds. Leases expire
/// between the two, so it is asked until nothing expired in between.
async fn check_counts(doors: &mut Doors) -> Result<()> {
    loop {
        let before = doors.redis("DBSIZE").await?;
        let scanned = doors.redis("KEYS *").await?.texts()?.len();
        let after = doors.redis("DBSIZE").await?;
        if before != after {
            continue;
        }
        ensure!(
            before == Reply::Integer(i64::try_from(scanned)?),
            "{before:?} keys are counted, and a scan finds {scanned}"
        );
        return Ok(());
    }
}
