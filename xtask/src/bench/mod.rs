//! `cargo xtask bench`: the server against PostgreSQL 15 and against the wire's own ceiling, in
//! the same run on the same machine; and the engine by itself.
//!
//! # Map
//! - `contention`: many clients on few rows.
//! - `redis`: the Redis port against Redis, and the memory of keys.
//! - `documents`: documents over HTTP and in the engine.
//! - `report`: medians and the table of ratios.
//!
//! # Invariants
//! 1. Contestants take turns, round by round, so that a slow minute hits all of them.
//! 2. Every run is bounded in time; data lies on one file system.

mod contention;
mod documents;
mod redis;
mod report;

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::pgbench::tps;
use crate::postgres::{Folder, Postgres};
use crate::project::{Profile, Project, output, run as run_command};
use crate::server::{Server, ServerOptions, free_address};
use crate::tools::{self, Tool};
use report::Report;

/// pgbench's scale, as the project's goals are stated.
const SCALE: &str = "10";
const READ_CLIENTS: &str = "8";
const WRITE_CLIENTS: &str = "16";
const ROUNDS: usize = 3;
/// A server that just started does work in the background for a moment.
const IDLE_AFTER: Duration = Duration::from_secs(3);

#[derive(Args)]
pub(crate) struct BenchArguments {
    /// What to measure.
    #[arg(value_enum, default_value_t = Name::All)]
    name: Name,
    /// Seconds of each pgbench run.
    #[arg(long, default_value_t = 8)]
    seconds: u32,
    /// Rows of the COPY.
    #[arg(long, default_value_t = 5_000_000)]
    rows: u32,
    /// Keys of the memory test.
    #[arg(long, default_value_t = 1_000_000)]
    keys: u32,
    /// Percent of the usual numbers of requests of redis-benchmark.
    #[arg(long, default_value_t = 100)]
    percent: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Everything.
    All,
    /// The engine without a wire: reads, writes, durable commits, rewritten rows.
    Storage,
    /// pgbench -S against PostgreSQL and a server that answers a constant.
    Wire,
    /// TPC-B-like with durable commits against PostgreSQL.
    Pgbench,
    /// COPY of millions of rows against PostgreSQL, and memory.
    Copy,
    /// The lock manager without a wire: uncontended locks, deadlocks.
    Locks,
    /// Documents over HTTP: inserts, reads by id; an indexed filter in the engine.
    Documents,
    /// Many clients on few rows against PostgreSQL: throughput and the slowest percent.
    Contention,
    /// The Redis port against Redis 7.
    Redis,
    /// Memory of many keys.
    Keys,
}

impl Name {
    fn covers(self, other: Name) -> bool {
        self == Name::All || self == other
    }
}

pub(crate) fn run(project: &Project, arguments: &BenchArguments) -> Result<()> {
    if arguments.name.covers(Name::Storage) {
        let inside = project.build("inside", Profile::BenchFast)?;
        run_command(&mut Command::new(inside))?;
    }
    if arguments.name.covers(Name::Locks) {
        let locks = project.build("examples/lock_bench", Profile::BenchFast)?;
        run_command(&mut Command::new(locks))?;
    }
    let mut report = Report::default();
    if arguments.name.covers(Name::Documents) {
        let folder = Folder::new("bench-documents")?;
        documents::run(project, &folder.0, &mut report)?;
    }
    if arguments.name.covers(Name::Redis) || arguments.name.covers(Name::Keys) {
        keys(project, arguments, &mut report)?;
    }
    if matches!(
        arguments.name,
        Name::Storage | Name::Locks | Name::Documents | Name::Redis | Name::Keys
    ) {
        report.print();
        return Ok(());
    }
    let programs = needed(tools::postgres()?)?;
    let contest = Contest {
        tessera: project.build("tessera", Profile::BenchFast)?,
        constant: project.build("constant", Profile::BenchFast)?,
        pgbench: needed(tools::pgbench()?)?,
        psql: needed(tools::psql()?)?,
        seconds: arguments.seconds.to_string(),
        folder: Folder::new("bench")?,
    };
    let postgres = Postgres::start(&programs, &contest.folder.0)?;
    if arguments.name.covers(Name::Copy) {
        contest.copy(&postgres, arguments.rows, &mut report)?;
    }
    if arguments.name.covers(Name::Contention) {
        let server = contest.start("contention")?;
        contest.hot_rows(&postgres, &server, &mut report)?;
        server.stop()?;
    }
    if arguments.name.covers(Name::Wire) || arguments.name.covers(Name::Pgbench) {
        let server = contest.start("bench")?;
        contest.initialize(&postgres, &server)?;
        if arguments.name.covers(Name::Wire) {
            contest.reads(&postgres, &server, &mut report)?;
        }
        if arguments.name.covers(Name::Pgbench) {
            contest.writes(&postgres, &server, &mut report)?;
        }
        server.stop()?;
    }
    report.print();
    Ok(())
}

/// The Redis port and the memory of its keys.
fn keys(project: &Project, arguments: &BenchArguments, report: &mut Report) -> Result<()> {
    let folder = Folder::new("bench-redis")?;
    let contest = redis::RedisContest {
        tessera: &project.build("tessera", Profile::BenchFast)?,
        redis_server: needed(tools::redis_server(project)?)?,
        redis_benchmark: needed(tools::redis_benchmark()?)?,
        folder: &folder,
        percent: arguments.percent,
        keys: arguments.keys,
    };
    if arguments.name.covers(Name::Redis) {
        contest.run(report)?;
    }
    if arguments.name.covers(Name::Keys) {
        contest.memory(report)?;
    }
    Ok(())
}

fn needed(tool: Tool<PathBuf>) -> Result<PathBuf> {
    match tool {
        Tool::Ready(path) => Ok(path),
        Tool::Missing(how) => bail!("the comparison needs {how}"),
    }
}

/// The contestants and what they share.
struct Contest {
    tessera: PathBuf,
    constant: PathBuf,
    pgbench: PathBuf,
    psql: PathBuf,
    seconds: String,
    folder: Folder,
}

impl Contest {
    fn start(&self, name: &str) -> Result<Server> {
        Server::start(&ServerOptions {
            binary: &self.tessera,
            home: &self.folder.0.join(name),
            postgres_port: 0,
            http_port: 0,
            redis_port: 0,
            trust: false,
        })
    }

    fn initialize(&self, postgres: &Postgres, server: &Server) -> Result<()> {
        let arguments = ["-q", "-i", "-s", SCALE];
        output(postgres.point(Command::new(&self.pgbench).args(arguments)))?;
        output(server.point(Command::new(&self.pgbench).args(arguments)))?;
        Ok(())
    }

    fn reads(&self, postgres: &Postgres, server: &Server, report: &mut Report) -> Result<()> {
        let constant = Constant::start(&self.constant)?;
        self.warm_up(postgres, server)?;
        for (mode, goal) in [("prepared", 1.7), ("simple", 2.5)] {
            let arguments = ["-S", "-c", READ_CLIENTS, "-j", "2", "-M", mode];
            let (mut theirs, mut ours, mut ceiling) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                theirs.push(self.rate(&arguments, |command| {
                    postgres.point(command);
                })?);
                ours.push(self.rate(&arguments, |command| {
                    server.point(command);
                })?);
                ceiling.push(self.rate(&arguments, |command| constant.point(command))?);
            }
            let name = format!("pgbench -S -c {READ_CLIENTS} -M {mode}, transactions/s");
            report.compare(&name, &ours, "PostgreSQL", &theirs, goal);
            report.compare(&name, &ours, "constant answer", &ceiling, 0.75);
        }
        Ok(())
    }

    /// Lets both servers read the whole table, and then single rows for a while: what is measured
    /// is the state that a server is in most of its life.
    fn warm_up(&self, postgres: &Postgres, server: &Server) -> Result<()> {
        let sum = [
            "-X",
            "-q",
            "-c",
            "SELECT sum(abalance) FROM pgbench_accounts",
        ];
        let reads = ["-S", "-c", READ_CLIENTS, "-j", "2", "-M", "prepared"];
        output(postgres.point(Command::new(&self.psql).args(sum)))?;
        output(server.point(Command::new(&self.psql).args(sum)))?;
        for _ in 0..ROUNDS {
            self.rate(&reads, |command| {
                postgres.point(command);
            })?;
            self.rate(&reads, |command| {
                server.point(command);
            })?;
        }
        Ok(())
    }

    fn writes(&self, postgres: &Postgres, server: &Server, report: &mut Report) -> Result<()> {
        for mode in ["prepared", "simple"] {
            let arguments = ["-c", WRITE_CLIENTS, "-j", "2", "-M", mode];
            let (mut theirs, mut ours) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                theirs.push(self.rate(&arguments, |command| {
                    postgres.point(command);
                })?);
                ours.push(self.rate(&arguments, |command| {
                    server.point(command);
                })?);
            }
            let name = format!("pgbench TPC-B -c {WRITE_CLIENTS} -M {mode}, transactions/s");
            report.compare(&name, &ours, "PostgreSQL", &theirs, 1.0);
        }
        Ok(())
    }

    fn rate(&self, arguments: &[&str], point: impl FnOnce(&mut Command)) -> Result<f64> {
        let mut command = Command::new(&self.pgbench);
        command
            .args(["-n", "-T", &self.seconds, "-s", SCALE])
            .args(arguments);
        point(&mut command);
        let text = output(&mut command)?;
        tps(&text).with_context(|| format!("no rate in\n{text}"))
    }

    fn copy(&self, postgres: &Postgres, rows: u32, report: &mut Report) -> Result<()> {
        let file = self.folder.0.join("accounts.tsv");
        write_accounts(&file, rows)?;
        let server = self.start("copy")?;
        thread::sleep(IDLE_AFTER);
        report.limit(
            "memory of the idle server, MiB",
            mebibytes(server.resident_bytes()?),
            100.0,
        );
        let create = "CREATE TABLE accounts_copied (aid integer NOT NULL PRIMARY KEY, bid integer, \
                      abalance integer, filler char(84))";
        let copy = format!("\\copy accounts_copied FROM '{}'", file.display());
        let mut seconds = Vec::new();
        for point in [true, false] {
            let psql = |sql: &str| -> Result<()> {
                let mut command = Command::new(&self.psql);
                command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql]);
                let command = if point {
                    postgres.point(&mut command)
                } else {
                    server.point(&mut command)
                };
                output(command).map(|_| ())
            };
            psql(create)?;
            let began = Instant::now();
            psql(&copy)?;
            seconds.push(began.elapsed().as_secs_f64());
            psql("SELECT count(*) FROM accounts_copied")?;
        }
        let rate = |seconds: f64| f64::from(rows) / seconds;
        let name = format!("COPY of {rows} rows, rows/s");
        report.compare(
            &name,
            &[rate(seconds[1])],
            "PostgreSQL",
            &[rate(seconds[0])],
            1.0,
        );
        report.limit(
            "highest memory during COPY, MiB",
            mebibytes(server.resident_bytes_peak()?),
            1024.0,
        );
        fs::remove_file(&file)?;
        server.stop()
    }
}

/// `pgbench_accounts` as pgbench writes it, one line per row.
fn write_accounts(file: &Path, rows: u32) -> Result<()> {
    let mut out = BufWriter::new(fs::File::create(file)?);
    for row in 0..rows {
        writeln!(out, "{}\t{}\t0\t", row + 1, row / 100_000 + 1)?;
    }
    Ok(out.flush()?)
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

/// A server that answers everything with the same row: what the wire alone costs.
struct Constant {
    child: Child,
    port: u16,
}

impl Constant {
    fn start(binary: &Path) -> Result<Self> {
        let address = free_address(0)?;
        let mut command = Command::new(binary);
        command.arg(address.to_string()).stdin(Stdio::null());
        let constant = Self {
            child: command.spawn()?,
            port: address.port(),
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(address).is_err() {
            if Instant::now() > deadline {
                bail!("the constant-answer server does not listen");
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(constant)
    }

    fn point(&self, command: &mut Command) {
        command
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", "admin")
            .env("PGDATABASE", "tessera");
    }
}

impl Drop for Constant {
    fn drop(&mut self) {
        // A failure means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
