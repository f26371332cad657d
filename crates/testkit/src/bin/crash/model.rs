//! What must be there, may be there, must not be there; and the comparison with what is there.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio_postgres::Client;

use crate::process::Process;

/// Accounts, and what each holds at the beginning.
pub(crate) const ACCOUNTS: i32 = 50;
pub(crate) const BALANCE: i64 = 1_000;

/// What a client was told about its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It was committed.
    Acknowledged,
    /// It was not, for sure.
    Refused,
    /// The server was gone before it answered.
    None,
}

/// Money that moves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    pub(crate) source: i32,
    pub(crate) target: i32,
    pub(crate) amount: i64,
}

/// Rows that come and go together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    pub(crate) rows: i32,
    /// A delete of it was acknowledged, or may have been.
    pub(crate) deleted: bool,
}

#[derive(Default)]
struct State {
    next: i64,
    transfers: BTreeMap<i64, (Transfer, Answer)>,
    batches: BTreeMap<i64, (Batch, Answer)>,
    deletes: BTreeMap<i64, Answer>,
    tables: BTreeMap<String, Answer>,
}

/// The expected state, shared by all clients.
#[derive(Default)]
pub(crate) struct Model(Mutex<State>);

/// Numbers of one comparison, for the report.
pub(crate) struct Seen {
    pub(crate) acknowledged: usize,
    pub(crate) unanswered: usize,
    pub(crate) unanswered_present: usize,
}

impl Model {
    /// Notes a transfer before it is sent, and gives it its key.
    pub(crate) fn begin_transfer(&self, transfer: Transfer) -> i64 {
        let mut state = self.0.lock();
        let id = state.take_number();
        state.transfers.insert(id, (transfer, Answer::None));
        id
    }

    pub(crate) fn end_transfer(&self, id: i64, answer: Answer) {
        if let Some((_, noted)) = self.0.lock().transfers.get_mut(&id) {
            *noted = answer;
        }
    }

    pub(crate) fn begin_batch(&self, batch: Batch) -> i64 {
        let mut state = self.0.lock();
        let id = state.take_number();
        state.batches.insert(id, (batch, Answer::None));
        id
    }

    pub(crate) fn end_batch(&self, id: i64, answer: Answer) {
        if let Some((_, noted)) = self.0.lock().batches.get_mut(&id) {
            *noted = answer;
        }
    }

    /// Chooses an acknowledged batch that nobody deletes yet.
    pub(crate) fn begin_delete(&self, random: &mut StdRng) -> Option<i64> {
        let mut state = self.0.lock();
        let present: Vec<i64> = state
            .batches
            .iter()
            .filter(|(_, (batch, answer))| !batch.deleted && *answer == Answer::Acknowledged)
            .map(|(id, _)| *id)
            .collect();
        if present.is_empty() {
            return None;
        }
        let id = present[random.random_range(0..present.len())];
        if let Some((batch, _)) = state.batches.get_mut(&id) {
            batch.deleted = true;
        }
        state.deletes.insert(id, Answer::None);
        Some(id)
    }

    pub(crate) fn end_delete(&self, id: i64, answer: Answer) {
        self.0.lock().deletes.insert(id, answer);
    }

    pub(crate) fn begin_table(&self, name: &str) {
        self.0.lock().tables.insert(name.to_owned(), Answer::None);
    }

    pub(crate) fn end_table(&self, name: &str, answer: Answer) {
        self.0.lock().tables.insert(name.to_owned(), answer);
    }

    /// Compares with the server; what was unanswered is settled by what is found.
    pub(crate) async fn compare(&self, process: &Process) -> Result<Seen> {
        let client = process.connect().await?;
        let found = Found::read(&client).await.context("reading what is left")?;
        found.check_indexes(&client).await?;
        let mut state = self.0.lock();
        let mut seen = Seen {
            acknowledged: 0,
            unanswered: 0,
            unanswered_present: 0,
        };
        state.settle_transfers(&found, &mut seen)?;
        state.settle_batches(&found, &mut seen)?;
        state.settle_tables(&found, &mut seen)?;
        Ok(seen)
    }
}

impl Seen {
    fn count(&mut self, answer: Answer, present: bool) {
        match answer {
            Answer::Acknowledged => self.acknowledged += 1,
            Answer::None => {
                self.unanswered += 1;
                self.unanswered_present += usize::from(present);
            }
            Answer::Refused => {}
        }
    }
}

impl State {
    fn take_number(&mut self) -> i64 {
        self.next += 1;
        self.next
    }

    fn settle_transfers(&mut self, found: &Found, seen: &mut Seen) -> Result<()> {
        let mut balances = vec![BALANCE; ACCOUNTS as usize];
        for id in &found.transfers {
            ensure!(
                self.transfers.contains_key(id),
                "transfer {id} was never sent"
            );
        }
        for (id, (transfer, answer)) in &mut self.transfers {
            let present = found.transfers.contains(id);
            ensure!(
                present || *answer != Answer::Acknowledged,
                "transfer {id} was acknowledged and is lost: {transfer:?}"
            );
            ensure!(
                !present || *answer != Answer::Refused,
                "transfer {id} was rolled back and is there: {transfer:?}"
            );
            seen.count(*answer, present);
            *answer = if present {
                Answer::Acknowledged
            } else {
                Answer::Refused
            };
            if present {
                balances[transfer.source as usize] -= transfer.amount;
                balances[transfer.target as usize] += transfer.amount;
            }
        }
        ensure!(
            balances == found.balances,
            "balances do not agree with the transfers: expected {balances:?}, found {:?}",
            found.balances
        );
        Ok(())
    }

    fn settle_batches(&mut self, found: &Found, seen: &mut Seen) -> Result<()> {
        for id in found.entries.keys().chain(found.loose.keys()) {
            ensure!(self.batches.contains_key(id), "batch {id} was never sent");
        }
        for (id, (batch, answer)) in &mut self.batches {
            let entries = found.entries.get(id).copied().unwrap_or(0);
            let loose = found.loose.get(id).copied().unwrap_or(0);
            let present = entries > 0;
            ensure!(
                (entries, loose) == (0, 0) || (entries, loose) == (i64::from(batch.rows), 2),
                "batch {id} is there in part: {entries} of {} rows, {loose} of 2",
                batch.rows
            );
            let delete = self.deletes.get(id).copied();
            match (*answer, delete) {
                (Answer::Acknowledged, None | Some(Answer::Refused)) => {
                    ensure!(present, "batch {id} was acknowledged and is lost");
                }
                (Answer::Acknowledged, Some(Answer::Acknowledged)) => {
                    ensure!(!present, "batch {id} was deleted and is there");
                }
                (Answer::Refused, _) => {
                    ensure!(!present, "batch {id} was rolled back and is there")
                }
                (_, Some(Answer::None)) | (Answer::None, _) => {}
            }
            seen.count(delete.unwrap_or(*answer), present);
            if delete == Some(Answer::None) || delete == Some(Answer::Refused) {
                let settled = if present {
                    None
                } else {
                    Some(Answer::Acknowledged)
                };
                match settled {
                    None => {
                        self.deletes.remove(id);
                        batch.deleted = false;
                    }
                    Some(settled) => {
                        self.deletes.insert(*id, settled);
                    }
                }
            } else if *answer == Answer::None {
                *answer = if present {
                    Answer::Acknowledged
                } else {
                    Answer::Refused
                };
            }
        }
        Ok(())
    }

    fn settle_tables(&mut self, found: &Found, seen: &mut Seen) -> Result<()> {
        for name in found.tables.keys() {
            ensure!(
                self.tables.contains_key(name),
                "table {name} was never made"
            );
        }
        for (name, answer) in &mut self.tables {
            let rows = found.tables.get(name);
            ensure!(
                rows.is_none_or(|rows| *rows == 3),
                "table {name} has {rows:?} of 3 rows"
            );
            let present = rows.is_some();
            ensure!(
                present || *answer != Answer::Acknowledged,
                "table {name} is lost"
            );
            ensure!(
                !present || *answer != Answer::Refused,
                "table {name} was rolled back and is there"
            );
            seen.count(*answer, present);
            *answer = if present {
                Answer::Acknowledged
            } else {
                Answer::Refused
            };
        }
        Ok(())
    }
}

/// What the server holds.
struct Found {
    balances: Vec<i64>,
    transfers: BTreeSet<i64>,
    /// Rows by batch.
    entries: BTreeMap<i64, i64>,
    loose: BTreeMap<i64, i64>,
    /// Rows by note, as a full scan counts them.
    notes: BTreeMap<String, i64>,
    tables: BTreeMap<String, i64>,
}

impl Found {
    async fn read(client: &Client) -> Result<Found> {
        let by_number = "SELECT batch, count(*) FROM entry GROUP BY batch";
        let loose = "SELECT batch, count(*) FROM loose GROUP BY batch";
        let notes = "SELECT note, count(*) FROM entry GROUP BY note";
        let tables =
            "SELECT table_name::text FROM information_schema.tables WHERE table_name LIKE 'own%'";
        let mut found = Found {
            balances: Vec::new(),
            transfers: BTreeSet::new(),
            entries: pairs(client, by_number).await?,
            loose: pairs(client, loose).await?,
            notes: pairs(client, notes).await?,
            tables: BTreeMap::new(),
        };
        for row in client
            .query("SELECT balance FROM account ORDER BY id", &[])
            .await?
        {
            found.balances.push(row.try_get(0)?);
        }
        for row in client.query("SELECT id FROM transfer", &[]).await? {
            ensure!(
                found.transfers.insert(row.try_get(0)?),
                "a transfer is there twice"
            );
        }
        for row in client.query(tables, &[]).await? {
            let name: String = row.try_get(0)?;
            let count = client
                .query_one(&format!("SELECT count(*) FROM {name}"), &[])
                .await?;
            found.tables.insert(name, count.try_get(0)?);
        }
        Ok(found)
    }

    /// The index must find exactly the rows that the scan finds.
    async fn check_indexes(&self, client: &Client) -> Result<()> {
        for note in ["note 1", "note 2", "note 19", "note 500"] {
            let by_index = client
                .query("SELECT batch, place FROM entry WHERE note = $1", &[&note])
                .await?
                .len() as i64;
            let by_scan = self.notes.get(note).copied().unwrap_or(0);
            ensure!(
                by_index == by_scan,
                "{note}: {by_index} by the index, {by_scan} by the scan"
            );
        }
        for (batch, rows) in self.entries.iter().rev().take(20) {
            let by_key = client
                .query("SELECT place FROM entry WHERE batch = $1", &[batch])
                .await?
                .len() as i64;
            ensure!(
                by_key == *rows,
                "batch {batch}: {by_key} by the key, {rows} by the scan"
            );
        }
        Ok(())
    }
}

async fn pairs<K>(client: &Client, sql: &str) -> Result<BTreeMap<K, i64>>
where
    K: Ord + for<'a> tokio_postgres::types::FromSql<'a>,
{
    let rows = client.query(sql, &[]).await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}
