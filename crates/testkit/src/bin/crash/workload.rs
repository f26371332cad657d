//! Random transactions over several tables, by many clients at once, until the server is gone.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use futures::SinkExt;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio_postgres::{Client, Error, NoTls};

use crate::model::{ACCOUNTS, Answer, BALANCE, Batch, Model, Transfer};
use crate::process::Process;

const CLIENTS: u64 = 8;
/// A client whose server was killed hears of it at once; this only guards against a hang.
const FINISH_WITHIN: Duration = Duration::from_secs(30);

/// Makes the tables and their first rows.
pub(crate) async fn create(process: &Process) -> Result<()> {
    let client = process.connect().await?;
    let sql = format!(
        "CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL);
         CREATE TABLE transfer (id bigint PRIMARY KEY, source int NOT NULL, target int NOT NULL,
             amount bigint NOT NULL);
         CREATE TABLE entry (batch bigint, place int, note text NOT NULL, PRIMARY KEY (batch, place));
         CREATE INDEX entry_note ON entry (note);
         CREATE TABLE loose (batch bigint NOT NULL, note text);
         INSERT INTO account SELECT n, {BALANCE} FROM generate_series(0, {}) AS g(n)",
        ACCOUNTS - 1
    );
    Ok(client.batch_execute(&sql).await?)
}

/// Clients at work.
pub(crate) struct Clients(pub(crate) JoinSet<()>);

/// Starts the clients; each takes its decisions from the seed.
pub(crate) fn start(process: &Process, model: &Arc<Model>, seed: u64) -> Clients {
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (config, model) = (process.config(), Arc::clone(model));
        clients.spawn(async move {
            let mut random = StdRng::seed_from_u64(seed.wrapping_add(number));
            let Ok((mut client, connection)) = config.connect(NoTls).await else {
                return;
            };
            let connection = tokio::spawn(connection);
            while !client.is_closed() {
                step(&mut client, &model, &mut random).await;
            }
            // The connection's error is the kill.
            let _ = connection.await;
        });
    }
    Clients(clients)
}

impl Clients {
    /// Waits until all have noticed that the server is gone.
    pub(crate) async fn finish(mut self) -> Result<()> {
        let all = async {
            while let Some(ended) = self.0.join_next().await {
                ended?;
            }
            Ok(())
        };
        tokio::time::timeout(FINISH_WITHIN, all).await?
    }
}

async fn step(client: &mut Client, model: &Model, random: &mut StdRng) {
    match random.random_range(0..100) {
        0..60 => {
            let transfer = Transfer {
                source: random.random_range(0..ACCOUNTS),
                target: random.random_range(0..ACCOUNTS),
                amount: random.random_range(1..100),
            };
            let id = model.begin_transfer(transfer);
            let answer = run_transfer(client, id, transfer, random.random_bool(0.05)).await;
            model.end_transfer(id, answer);
        }
        60..85 => insert(client, model, random.random_range(1..20)).await,
        85..92 => delete(client, model, random).await,
        92..97 => copy(client, model, random.random_range(100..3_000)).await,
        _ => table_of_its_own(client, model, random.next_u64() >> 1).await,
    }
}

/// Moves money and notes it; sometimes changes its mind before the end.
async fn run_transfer(client: &mut Client, id: i64, transfer: Transfer, undo: bool) -> Answer {
    let Transfer {
        source,
        target,
        amount,
    } = transfer;
    let work = async {
        let transaction = client.transaction().await?;
        let subtract = "UPDATE account SET balance = balance - $1 WHERE id = $2";
        let add = "UPDATE account SET balance = balance + $1 WHERE id = $2";
        // Everybody locks in the same order, so nobody is a deadlock's victim.
        if source <= target {
            transaction.execute(subtract, &[&amount, &source]).await?;
            transaction.execute(add, &[&amount, &target]).await?;
        } else {
            transaction.execute(add, &[&amount, &target]).await?;
            transaction.execute(subtract, &[&amount, &source]).await?;
        }
        let note = "INSERT INTO transfer VALUES ($1, $2, $3, $4)";
        transaction
            .execute(note, &[&id, &source, &target, &amount])
            .await?;
        if undo {
            transaction.rollback().await
        } else {
            transaction.commit().await
        }
    };
    match answer_to(work.await) {
        // Nobody asked for it to last, whatever was heard.
        _ if undo => Answer::Refused,
        answer => answer,
    }
}

/// One statement with many rows, in a table with an index and in one without a key.
async fn insert(client: &mut Client, model: &Model, rows: i32) {
    let batch = model.begin_batch(Batch {
        rows,
        deleted: false,
    });
    let work = async {
        let transaction = client.transaction().await?;
        let sql = "INSERT INTO entry SELECT $1::bigint, n, 'note ' || n FROM generate_series(1, $2::int) AS g(n)";
        transaction.execute(sql, &[&batch, &rows]).await?;
        transaction
            .execute("INSERT INTO loose VALUES ($1, 'x'), ($1, NULL)", &[&batch])
            .await?;
        transaction.commit().await
    };
    model.end_batch(batch, answer_to(work.await));
}

async fn delete(client: &mut Client, model: &Model, random: &mut StdRng) {
    let Some(batch) = model.begin_delete(random) else {
        return;
    };
    let work = async {
        let transaction = client.transaction().await?;
        transaction
            .execute("DELETE FROM entry WHERE batch = $1", &[&batch])
            .await?;
        transaction
            .execute("DELETE FROM loose WHERE batch = $1", &[&batch])
            .await?;
        transaction.commit().await
    };
    model.end_delete(batch, answer_to(work.await));
}

/// COPY, large enough to spill when the write buffer is small.
async fn copy(client: &mut Client, model: &Model, rows: i32) {
    let batch = model.begin_batch(Batch {
        rows,
        deleted: false,
    });
    let work = async {
        let transaction = client.transaction().await?;
        let sink = transaction.copy_in("COPY entry FROM STDIN").await?;
        let mut sink = std::pin::pin!(sink);
        let mut text = String::new();
        for place in 1..=rows {
            text.push_str(&format!("{batch}\t{place}\tnote {place}\n"));
        }
        sink.send(Bytes::from(text)).await?;
        sink.finish().await?;
        transaction
            .execute("INSERT INTO loose VALUES ($1, 'x'), ($1, NULL)", &[&batch])
            .await?;
        transaction.commit().await
    };
    model.end_batch(batch, answer_to(work.await));
}

/// A table that is made and filled in one transaction.
async fn table_of_its_own(client: &mut Client, model: &Model, number: u64) {
    let name = format!("own_{number:016x}");
    model.begin_table(&name);
    let sql = format!(
        "BEGIN; CREATE TABLE {name} (id int PRIMARY KEY); INSERT INTO {name} VALUES (1), (2), (3); COMMIT"
    );
    let answer = answer_to(client.batch_execute(&sql).await);
    if answer == Answer::Refused {
        // The block is still open after an error inside it.
        let _ = client.batch_execute("ROLLBACK").await;
    }
    model.end_table(&name, answer);
}

/// What a client knows about its transaction.
pub(crate) fn answer_to(outcome: Result<(), Error>) -> Answer {
    match outcome {
        Ok(()) => Answer::Acknowledged,
        Err(error) => match error.code() {
            // 40003, 08007: the server itself does not know. 57P: it is going down.
            Some(code) if code.code() == "40003" || code.code().starts_with("08") => Answer::None,
            Some(code) if code.code().starts_with("57P") => Answer::None,
            Some(_) => Answer::Refused,
            None => Answer::None,
        },
    }
}
