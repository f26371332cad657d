//! Documents: over HTTP with keep-alive against a running server, and an indexed filter in the
//! engine itself.
//!
//! `documents load ADDRESS PID [DOCUMENTS] [READS]` logs in as `admin` with the password of
//! `PGPASSWORD`, inserts documents in batches of a thousand and reads them by id. Rates per core
//! count the processor time of the server's process alone, from `/proc/PID/stat`, for the load
//! itself runs on the same machine.
//!
//! `documents inside [DOCUMENTS]` fills a collection of an engine in this process and times a filter
//! that an index answers.
//!
//! Each number is a line, `name<tab>value`. Counts are bounded, not time.

#![expect(clippy::print_stdout, reason = "a command-line tool prints")]

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tessera_bench::http::{Connection, Target};
use tessera_engine::documents::{BulkOrder, BulkWrite, Filter, Query};
use tessera_engine::models::Call;
use tessera_engine::{Engine, EngineOptions, Report};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DOCUMENTS: u64 = 200_000;
const READS: u64 = 400_000;
const INSIDE: u64 = 1_000_000;
/// Documents of one insert, as the goal is stated.
const BATCH: u64 = 1_000;
/// Documents of one transaction that fills the engine.
const FILL: u64 = 10_000;
/// Any of them has more.
const DOCUMENT_BYTES_MIN: usize = 150;
const INSERTERS: u64 = 4;
const READERS: u64 = 16;
/// Filters that are timed.
const FILTERS: u64 = 2_000;
/// Documents per value of the indexed field.
const MATCHES: u64 = 10;
/// Of `/proc/PID/stat`: the kernel shows it in hundredths whatever its own tick is.
const TICKS_PER_SECOND: f64 = 100.0;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: u64| -> Result<u64> {
        let text = arguments.get(at);
        Ok(text
            .map(|text| text.parse())
            .transpose()?
            .unwrap_or(default))
    };
    match arguments.first().map(String::as_str) {
        Some("load") => {
            let address = arguments.get(1).context("no address")?.parse()?;
            let pid = number(2, 0)?;
            load(address, pid, number(3, DOCUMENTS)?, number(4, READS)?).await
        }
        Some("inside") => inside(number(1, INSIDE)?).await,
        _ => bail!("usage: documents load ADDRESS PID | documents inside"),
    }
}

fn show(name: &str, value: f64) {
    println!("{name}\t{value:.1}");
}

/// A document of about 200 bytes.
fn document(number: u64) -> Value {
    json!({
        "customer": {"id": number / MATCHES, "name": format!("customer {}", number / MATCHES)},
        "total": number % 10_000,
        "tags": ["alpha", "beta"],
        "lines": [{"sku": format!("a{}", number % 500), "quantity": number % 7}],
        "note": "a text as orders have it, of some length",
    })
}

/// Processor time that a process has used so far, in seconds.
fn processor_seconds(pid: u64) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name before may hold spaces.
    let fields = text.rsplit_once(')').context("no name")?.1;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || -> Result<f64> { Ok(fields.next().context("too short")?.parse()?) };
    Ok((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

/// What a part of the load took.
struct Took {
    seconds: f64,
    server_seconds: f64,
}

/// Runs `workers` connections to their ends.
async fn measure<F>(pid: u64, workers: u64, work: impl Fn(u64) -> F) -> Result<Took>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let before = processor_seconds(pid)?;
    let began = Instant::now();
    let running: Vec<_> = (0..workers).map(|at| tokio::spawn(work(at))).collect();
    for worker in running {
        worker.await??;
    }
    Ok(Took {
        seconds: began.elapsed().as_secs_f64(),
        server_seconds: processor_seconds(pid)? - before,
    })
}

async fn load(address: SocketAddr, pid: u64, documents: u64, reads: u64) -> Result<()> {
    let password = std::env::var("PGPASSWORD").context("PGPASSWORD holds no password")?;
    let target = Target::log_in(address, "admin", &password).await?;
    let mut first = Connection::open(&target).await?;
    // Of an earlier run against the same server.
    first.call("DELETE", "/documents/bench", "", b"").await?;
    let definition = json!({
        "name": "bench",
        "indexes": [{"name": "by_customer", "fields": [{"path": "customer.id"}]}],
    });
    let made = first
        .call(
            "POST",
            "/documents",
            "application/json",
            definition.to_string().as_bytes(),
        )
        .await?;
    if made.status != 201 {
        bail!("the collection: HTTP status {}", made.status);
    }
    let batches = documents.div_ceil(BATCH);
    let took = measure(pid, INSERTERS, |at| insert(target.clone(), at, batches)).await?;
    let inserted = batches * BATCH;
    show("documents inserted/s", inserted as f64 / took.seconds);
    show(
        "documents inserted/s per core of the server",
        inserted as f64 / took.server_seconds,
    );
    let took = measure(pid, READERS, |at| {
        read(target.clone(), at, reads / READERS, inserted)
    })
    .await?;
    let done = reads / READERS * READERS;
    show("documents read by id/s", done as f64 / took.seconds);
    show(
        "documents read by id/s per core of the server",
        done as f64 / took.server_seconds,
    );
    Ok(())
}

/// Every so many-th batch.
async fn insert(target: Target, first: u64, batches: u64) -> Result<()> {
    let mut connection = Connection::open(&target).await?;
    for batch in (first..batches).step_by(INSERTERS as usize) {
        let mut lines = String::new();
        for number in batch * BATCH..(batch + 1) * BATCH {
            let mut body = document(number);
            body["_id"] = json!(format!("d{number}"));
            writeln!(lines, "{body}")?;
        }
        let path = "/documents/bench";
        let answer = connection
            .call("POST", path, "application/x-ndjson", lines.as_bytes())
            .await?;
        let expected = format!("{{\"inserted\":{BATCH},\"failed\":0,");
        if answer.status != 200 || !answer.body.starts_with(expected.as_bytes()) {
            bail!("an insert: HTTP status {}", answer.status);
        }
    }
    Ok(())
}

async fn read(target: Target, seed: u64, count: u64, documents: u64) -> Result<()> {
    let mut connection = Connection::open(&target).await?;
    let mut random = seed + 1;
    for _ in 0..count {
        // xorshift: the same ids in every run.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let path = format!("/documents/bench/d{}", random % documents);
        let answer = connection.call("GET", &path, "", b"").await?;
        if answer.status != 200 || answer.body.len() < DOCUMENT_BYTES_MIN {
            bail!("GET {path}: HTTP status {}", answer.status);
        }
    }
    Ok(())
}

async fn inside(documents: u64) -> Result<()> {
    let folder = tempfile::TempDir::with_prefix_in("tessera-documents-", "/var/tmp")?;
    let engine = Engine::open(EngineOptions::at(folder.path())).await?;
    let client = &engine.client("admin")?;
    let Value::Object(options) =
        json!({"indexes": [{"name": "by_customer", "fields": [{"path": "customer.id"}]}]})
    else {
        bail!("no object");
    };
    let call = Call::write("make a collection", None);
    client.create_collection(&call, "orders", &options).await?;
    let call = Call {
        durable: Some(false),
        ..Call::write("fill a collection", None)
    };
    let began = Instant::now();
    for start in (0..documents).step_by(FILL as usize) {
        let end = documents.min(start + FILL);
        client
            .run(&call, move |txn| async move {
                let orders = client.collection(&txn, "orders").await?;
                let writes = (start..end).map(|number| BulkWrite::Insert {
                    id: None,
                    body: document(number),
                });
                let answers = orders.bulk(&txn, writes.collect(), BulkOrder::Ordered);
                for answer in answers.await? {
                    answer?;
                }
                Ok(())
            })
            .await?;
    }
    let rate = documents as f64 / began.elapsed().as_secs_f64();
    show("documents inserted/s in the engine", rate);
    let values = documents.div_ceil(MATCHES);
    let call = Call::read("an indexed filter", None);
    let mut micros = Vec::new();
    for number in 0..FILTERS {
        let wanted = number * 7_919 % values;
        let filter = json!({"customer.id": wanted, "total": {"$gte": 0}});
        let filter = Filter::parse(&filter).map_err(Report::from)?;
        let query = &Query::new(filter);
        let began = Instant::now();
        let found = client.run(&call, move |txn| async move {
            let orders = client.collection(&txn, "orders").await?;
            Ok(orders.find(txn.view(), query).await?.collect().await?.len() as u64)
        });
        let found = found.await?;
        micros.push(began.elapsed().as_secs_f64() * 1e6);
        if found != MATCHES.min(documents - wanted * MATCHES) {
            bail!("{found} documents of customer {wanted}");
        }
    }
    micros.sort_by(f64::total_cmp);
    show(
        "indexed filter in the engine, median microseconds",
        micros[micros.len() / 2],
    );
    show(
        "indexed filter in the engine, 99 % microseconds",
        micros[micros.len() * 99 / 100],
    );
    engine.close().await?;
    Ok(())
}
