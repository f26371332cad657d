//! The project's build tool: everything a contributor or the CI machine runs.
//!
//! # Map
//! - `project`: where things are, and how child processes are started.
//! - `steps`: named steps, their times, their outcome, and the closing line.
//! - `tools`: what a clean machine lacks: Python packages, npm packages, programs of PostgreSQL and
//!   of Redis.
//! - `server`: a `tessera` process in a folder of its own, for the demo, tests and benchmarks.
//! - `demo`, `flights`, `movies`, `tpch`: real or generated data in a running server.
//! - `http`: a client of the server's HTTP API.
//! - `tidy`: rules about the code base that no compiler checks.
//! - `test`, `ci`, `clients`, `schemathesis`, `pgbench`, `slt`, `isolation`, `crash`, `generate`: the checks.
//! - `bench`: what is measured against PostgreSQL and against the wire's own ceiling.
//! - `postgres`: a PostgreSQL to compare with, for `bench` and `slt`.
//! - `redis`: a Redis to compare with.
//!
//! # Invariants
//! 1. Every child `cargo` gets the same target directory, so nothing is compiled twice.
//! 2. A step that cannot run on this machine is counted as skipped, with the reason; never as passed.
//! 3. A process started here is stopped here, also when a step fails.
//!
//! # Not here
//! Tests themselves: they live beside what they test.

mod bench;
mod ci;
mod clients;
mod crash;
mod demo;
mod flights;
mod generate;
mod http;
mod isolation;
mod movies;
mod orders;
mod pgbench;
mod postgres;
mod project;
mod redis;
mod schemathesis;
mod server;
mod slt;
mod steps;
mod test;
mod tidy;
mod tools;
mod tpch;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The project's build tool.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts a server with real data and prints how to connect.
    Demo(demo::DemoArguments),
    /// Runs every check of the project, as CI does.
    Test(test::TestArguments),
    /// Runs all CI jobs, or one of them.
    Ci {
        /// One of the jobs; all of them without it.
        job: Option<ci::Job>,
    },
    /// Checks layers, names, headers and the architecture map.
    Tidy,
    /// Runs SQL logic tests.
    Slt(slt::SltArguments),
    /// Asks a real Redis for the answers of the Redis scripts.
    Redis(redis::RedisArguments),
    /// Runs scripts of several sessions at every isolation level.
    Isolation(isolation::IsolationArguments),
    /// Kills a server under load, again and again, and compares what is left.
    Crash(crash::CrashArguments),
    /// Measures the server against PostgreSQL.
    Bench(bench::BenchArguments),
    /// Writes the reference pages that come from the code.
    Gen {
        /// Only compares; fails where a page is out of date.
        #[arg(long)]
        check: bool,
    },
    /// Answers the 22 TPC-H queries and compares the results.
    Tpch(tpch::TpchArguments),
}

fn main() -> ExitCode {
    let outcome = project::Project::open().and_then(|project| match Arguments::parse().command {
        Command::Demo(arguments) => demo::run(&project, &arguments),
        Command::Test(arguments) => test::run(&project, &arguments),
        Command::Ci { job } => ci::run(&project, job),
        Command::Tidy => tidy::run(&project),
        Command::Slt(arguments) => slt::run(&project, &arguments),
        Command::Redis(arguments) => redis::run(&project, &arguments),
        Command::Isolation(arguments) => isolation::run(&project, &arguments),
        Command::Crash(arguments) => crash::run(&project, &arguments),
        Command::Bench(arguments) => bench::run(&project, &arguments),
        Command::Gen { check } => generate::run(&project, check),
        Command::Tpch(arguments) => tpch::run(&project, &arguments),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
