//! The engine by itself, without a wire: points read and written, durable commits, rewritten rows.
//!
//! Every number is printed with its goal; times are medians of many calls by the wall clock.

#![expect(clippy::print_stdout, reason = "a command-line tool prints")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use tessera_engine::{Engine, EngineOptions, Outcome, PreparedStatement, Session, Value};
use tessera_environment::{Environment, Open};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: i32 = 1_000_000;
const CALLS: usize = 100_000;
const HOT_ROWS: i32 = 200;
const REWRITES: i32 = 2_000_000;
const COMMITTERS: usize = 32;
const COMMIT_TIME: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::TempDir::with_prefix_in("tessera-inside-", "/var/tmp")?;
    println!("{:<46} {:>12}  goal", "inside the engine", "found");
    points(&folder.path().join("points")).await?;
    rewrites(&folder.path().join("rewrites")).await?;
    commits(&folder.path().join("commits")).await
}

async fn points(folder: &Path) -> Result<()> {
    let options = || EngineOptions::at(folder);
    let engine = Engine::open(options()).await?;
    let mut session = engine.session("admin").await?;
    session
        .run("CREATE TABLE point (id int PRIMARY KEY, n bigint NOT NULL, filler text)")
        .await?;
    let fill =
        "INSERT INTO point SELECT n, n, repeat('x', 84) FROM generate_series(1, $1::int) AS g(n)";
    session.query(fill, &[ROWS.into()]).await?;
    drop(session);
    engine.close().await?;
    // The directory is free when the last handle is gone.
    drop(engine);

    // Everything lies in the base now, and nothing in any cache of ours.
    let engine = Engine::open(options()).await?;
    let mut session = engine.session("admin").await?;
    session.run("SET synchronous_commit = off").await?;
    let read = Prepared::new(&mut session, "SELECT n FROM point WHERE id = $1")?;
    let write = Prepared::new(&mut session, "UPDATE point SET n = n + 1 WHERE id = $1")?;
    let mut random = Random(7);
    let cold = read
        .time(&mut session, CALLS / 2, || random.below(ROWS) + 1)
        .await?;
    show("point read, cold", cold, 15.0);
    let keys: Vec<i32> = (0..1_000).map(|_| random.below(ROWS) + 1).collect();
    let mut at = 0;
    let mut next = || {
        at = (at + 1) % keys.len();
        keys[at]
    };
    let written = write.time(&mut session, CALLS, &mut next).await?;
    let hot = read.time(&mut session, CALLS, &mut next).await?;
    show("point read, recently used", hot, 3.0);
    show("point write, synchronous_commit off", written, 10.0);
    drop(session);
    Ok(engine.close().await?)
}

async fn rewrites(folder: &Path) -> Result<()> {
    let engine = Engine::open(EngineOptions::at(folder)).await?;
    let mut session = engine.session("admin").await?;
    session.run("SET synchronous_commit = off").await?;
    session
        .run("CREATE TABLE counter (id int PRIMARY KEY, n bigint NOT NULL)")
        .await?;
    let fill = "INSERT INTO counter SELECT n, 0 FROM generate_series(1, $1::int) AS g(n)";
    session.query(fill, &[HOT_ROWS.into()]).await?;
    let rewrite = Prepared::new(&mut session, "UPDATE counter SET n = n + 1 WHERE id >= $1")?;
    for _ in 0..REWRITES / HOT_ROWS {
        rewrite.call(&mut session, 0).await?;
    }
    // The short path, and the query engine for the same rows.
    let scan = Prepared::new(
        &mut session,
        "SELECT id, n FROM counter WHERE id >= $1 AND id <= 200 ORDER BY id",
    )?;
    let alone = scan.time(&mut session, 2_000, || 0).await?;
    show("scan of 200 rows, rewritten 2 million times", alone, 300.0);
    let query = Prepared::new(
        &mut session,
        "SELECT id, n FROM counter WHERE id >= $1 ORDER BY id",
    )?;
    let planned = query.time(&mut session, 500, || 0).await?;
    println!("{:<46} {planned:>9.1} µs", "the same by the query engine");

    let stop = Arc::new(AtomicBool::new(false));
    let mut writer = engine.session("admin").await?;
    let writing = tokio::spawn({
        let stop = Arc::clone(&stop);
        async move {
            writer.run("SET synchronous_commit = off").await?;
            let rewrite = Prepared::new(&mut writer, "UPDATE counter SET n = n + 1 WHERE id = $1")?;
            let mut id = 0;
            while !stop.load(Ordering::Relaxed) {
                id = id % HOT_ROWS + 1;
                rewrite.call(&mut writer, id).await?;
            }
            anyhow::Ok(())
        }
    });
    let beside = scan.time(&mut session, 2_000, || 0).await?;
    stop.store(true, Ordering::Relaxed);
    writing.await??;
    show("the same beside a writer", beside, 300.0);
    drop(session);
    Ok(engine.close().await?)
}

async fn commits(folder: &Path) -> Result<()> {
    let syncs = syncs_per_second(folder)?;
    println!(
        "{:<46} {syncs:>10.0}/s",
        "bare disk: write and sync of 512 bytes"
    );
    let engine = Engine::open(EngineOptions::at(folder)).await?;
    let mut session = engine.session("admin").await?;
    session
        .run("CREATE TABLE event (id bigint PRIMARY KEY, note text)")
        .await?;
    let began = Instant::now();
    let mut committers = Vec::new();
    for number in 0..COMMITTERS {
        let mut session = engine.session("admin").await?;
        committers.push(tokio::spawn(async move {
            let insert = Prepared::new(
                &mut session,
                "INSERT INTO event VALUES ($1, 'twenty bytes of text')",
            )?;
            let mut commits = 0_i64;
            while began.elapsed() < COMMIT_TIME {
                let id = commits * COMMITTERS as i64 + number as i64;
                insert.call_with(&mut session, Value::BigInt(id)).await?;
                commits += 1;
            }
            anyhow::Ok(commits)
        }));
    }
    let mut total = 0;
    for committer in committers {
        total += committer.await??;
    }
    let rate = total as f64 / began.elapsed().as_secs_f64();
    let verdict = match (rate >= 15_000.0, syncs >= 5_000.0) {
        (true, _) => "reached",
        (false, true) => "MISSED",
        (false, false) => "(the disk is slower than the goal assumes)",
    };
    println!(
        "{:<46} {rate:>10.0}/s  {verdict} 15000/s",
        "durable commits, 32 sessions"
    );
    drop(session);
    Ok(engine.close().await?)
}

/// What the disk gives without us, through the same door and into preallocated space.
fn syncs_per_second(folder: &Path) -> Result<f64> {
    let files = Environment::real().files;
    files.create_dir_all(folder)?;
    let path = folder.join("syncs");
    let file = files.open(&path, Open::create())?;
    file.allocate(16 << 20)?;
    let began = Instant::now();
    let mut syncs = 0_u64;
    while began.elapsed() < Duration::from_secs(2) {
        file.write_all_at(&[7; 512], (syncs * 512) % (16 << 20))?;
        file.sync_data()?;
        syncs += 1;
    }
    let rate = syncs as f64 / began.elapsed().as_secs_f64();
    files.remove(&path)?;
    Ok(rate)
}

/// A statement with one parameter.
struct Prepared(Arc<PreparedStatement>);

impl Prepared {
    fn new(session: &mut Session, sql: &str) -> Result<Prepared> {
        Ok(Prepared(session.parse(sql, &[])?))
    }

    async fn call(&self, session: &mut Session, key: i32) -> Result<()> {
        self.call_with(session, Value::Integer(key)).await
    }

    async fn call_with(&self, session: &mut Session, key: Value) -> Result<()> {
        let params: Arc<[Value]> = Arc::from([key]);
        if let Outcome::Rows(mut rows) = session.execute(&self.0, &params).await? {
            while session.next_rows(&mut rows).await?.is_some() {}
        }
        Ok(session.end_of_batch().await?)
    }

    /// The median time of one call, in microseconds.
    async fn time(
        &self,
        session: &mut Session,
        calls: usize,
        mut key: impl FnMut() -> i32,
    ) -> Result<f64> {
        let mut times = Vec::with_capacity(calls);
        for _ in 0..calls {
            let key = key();
            let began = Instant::now();
            self.call(session, key).await?;
            times.push(began.elapsed());
        }
        times.sort();
        Ok(times[times.len() / 2].as_secs_f64() * 1e6)
    }
}

fn show(name: &str, microseconds: f64, goal: f64) {
    let verdict = if microseconds <= goal {
        "reached"
    } else {
        "MISSED"
    };
    println!("{name:<46} {microseconds:>9.1} µs  {verdict} {goal} µs");
}

/// xorshift: the same keys in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: i32) -> i32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as i32
    }
}
