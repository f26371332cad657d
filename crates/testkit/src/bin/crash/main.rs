//! Kills a server process under load, again and again, and compares what is left with what its
//! clients were told.
//!
//! # Map
//! - `process`: the server process: start, kill, stop.
//! - `workload`: random transactions over several tables, by many clients at once.
//! - `lists`: list-append transactions over keys, documents and rows at every isolation level, and
//!   the check of their history.
//! - `orders`: orders in a key, a document and a row, each in one serializable transaction.
//! - `model`: what must be there, may be there, must not be there; the comparison.
//!
//! # Invariants
//! 1. The expected state lives in this process, never in the server's folder.
//! 2. An acknowledged transaction is there as a whole; an unanswered one as a whole or not at all;
//!    a refused one not at all.
//! 3. No history shows an anomaly that its isolation level forbids.

#![expect(clippy::print_stdout, reason = "a command-line tool prints")]

mod lists;
mod model;
mod orders;
mod process;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use lists::Lists;
use model::Model;
use orders::Orders;
use process::Process;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

/// Time under load before a kill.
const LOAD_MS: std::ops::Range<u64> = 50..1_500;
/// Time under load that ends without a kill.
const QUIET_LOAD: Duration = Duration::from_secs(2);

/// Kills a server under load and compares what is left.
#[derive(Clone, Parser)]
struct Arguments {
    /// The tessera binary.
    #[arg(long)]
    server: PathBuf,
    /// An empty folder for its data.
    #[arg(long)]
    home: PathBuf,
    /// How often it is killed.
    #[arg(long, default_value_t = 10)]
    kills: u32,
    /// Replays the decisions of an earlier run.
    #[arg(long)]
    seed: Option<u64>,
    /// The binary has fail points: stop it inside commits, checkpoints and run files too.
    #[arg(long)]
    fail_points: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(|| rand::rng().next_u64());
    println!("seed {seed}");
    let mut passed = 0;
    match run(&arguments, seed, &mut passed).await {
        Ok(()) => {
            println!("{passed} passed, 0 failed, 0 skipped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("FAILED after {passed} kills, seed {seed}: {error:#}");
            println!("the data directory is kept: {}", arguments.home.display());
            println!("{passed} passed, 1 failed, 0 skipped");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments, seed: u64, passed: &mut u32) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let model = Arc::new(Model::default());
    let lists = Arc::new(Lists::default());
    let orders = Arc::new(Orders::default());
    let mut process = Process::start(arguments, &mut random).await?;
    workload::create(&process)
        .await
        .context("creating the tables")?;
    lists::create(&process).await?;
    orders::create(&process).await.context("opening the shop")?;
    for round in 1..=arguments.kills {
        let load = Duration::from_millis(random.random_range(LOAD_MS));
        let clients = workload::start(&process, &model, random.next_u64());
        let list_clients = lists::start(&process, &lists, random.next_u64());
        let buyers = orders::start(&process, &orders, random.next_u64());
        process.alive_for(load).await?;
        process.kill().await?;
        clients.finish().await?;
        list_clients.finish().await?;
        buyers.finish().await?;
        Process::check_directory(arguments).await?;
        let began = Instant::now();
        process = Process::start(arguments, &mut random)
            .await
            .context("starting again")?;
        let opened = began.elapsed();
        let seen = model.compare(&process).await?;
        let in_histories = lists.compare(&process).await.context("lists")?;
        let ordered = orders.compare(&process).await.context("orders")?;
        *passed += 1;
        println!(
            "kill {round:>3} after {:>4} ms: {} transactions, {} unanswered of which {} are there; \
             {in_histories} in histories; {ordered} orders; open in {:.2} s",
            load.as_millis(),
            seen.acknowledged,
            seen.unanswered,
            seen.unanswered_present,
            opened.as_secs_f64()
        );
    }
    process.stop().await?;
    // Once more without a kill: what a server counts while it runs, not after it has counted anew.
    let quiet = Arguments {
        fail_points: false,
        ..arguments.clone()
    };
    let process = Process::start(&quiet, &mut random)
        .await
        .context("starting after a stop")?;
    model.compare(&process).await?;
    let buyers = orders::start(&process, &orders, random.next_u64());
    tokio::time::sleep(QUIET_LOAD).await;
    orders.end();
    buyers.finish().await?;
    orders.compare(&process).await.context("without a kill")?;
    process.stop().await?;
    Process::check_directory(arguments).await
}
