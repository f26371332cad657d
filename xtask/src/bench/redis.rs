//! The Redis port against Redis itself, driven by redis-benchmark; and the memory of many keys.
//!
//! # Map
//! - `Contest::redis`: the commands of the goals, without a pipeline, with one, and durable.
//! - `memory`: what a number of small keys costs beyond the idle server.
//!
//! # Invariants
//! 1. Both servers promise the same: `everysec` stands against `synchronous_commit = off`, which
//!    syncs more often, and `always` against the default.
//! 2. redis-benchmark runs as it comes, with its one key for each command; a second table spreads
//!    the keys.

use std::fs;
use std::io::{BufReader, BufWriter, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::report::Report;
use super::{IDLE_AFTER, ROUNDS, mebibytes};
use crate::postgres::Folder;
use crate::project::output;
use crate::server::{Server, ServerOptions, free_address};

/// The commands of the goals, as redis-benchmark names them, and as its answers do.
const TESTS: [(&str, &str); 7] = [
    ("get", "GET"),
    ("set", "SET"),
    ("incr", "INCR"),
    ("lpush", "LPUSH"),
    ("hset", "HSET"),
    ("zadd", "ZADD"),
    ("mset", "MSET (10 keys)"),
];
/// Goals with a pipeline: reads and plain writes, and the rest.
const GOAL_PIPELINED: f64 = 1.0;
const GOAL_PIPELINED_REST: f64 = 0.7;
const GOAL_DURABLE: f64 = 2.0;
/// Redis starts in milliseconds.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of each value in the memory test, and its limit beyond the idle server.
const VALUE_BYTES: usize = 100;
const KEYS_LIMIT_MIB: f64 = 250.0;
const MILLION: u32 = 1_000_000;
/// Commands sent before their answers are read.
const WINDOW: u32 = 1_000;

/// Programs and folder of the comparison.
pub(super) struct RedisContest<'a> {
    pub(super) tessera: &'a Path,
    pub(super) redis_server: PathBuf,
    pub(super) redis_benchmark: PathBuf,
    pub(super) folder: &'a Folder,
    /// Shrinks the numbers of requests, in percent.
    pub(super) percent: u32,
    pub(super) keys: u32,
}

/// One shape of load.
struct Load {
    name: &'static str,
    clients: &'static str,
    pipeline: &'static str,
    /// Different keys; `None` for redis-benchmark's single one.
    spread: Option<&'static str>,
    requests: u32,
}

impl RedisContest<'_> {
    pub(super) fn run(&self, report: &mut Report) -> Result<()> {
        let plain = Load {
            name: "",
            clients: "50",
            pipeline: "1",
            spread: None,
            requests: 100_000,
        };
        let loads = [
            Load { ..plain },
            Load {
                name: " -P 16",
                pipeline: "16",
                requests: 400_000,
                ..plain
            },
            Load {
                name: " -r 100000",
                spread: Some("100000"),
                ..plain
            },
            Load {
                name: " -r 100000 -P 16",
                spread: Some("100000"),
                pipeline: "16",
                requests: 400_000,
                ..plain
            },
        ];
        let ours = self.start("redis-everysec", "off")?;
        let theirs = Redis::start(&self.redis_server, &self.folder.0, "everysec")?;
        for load in &loads {
            self.compare(load, &TESTS, &ours, &theirs, report, |test| {
                match (load.pipeline, test) {
                    ("1", _) => 1.0,
                    (_, "get" | "set") => GOAL_PIPELINED,
                    _ => GOAL_PIPELINED_REST,
                }
            })?;
        }
        drop(theirs);
        ours.stop()?;
        let ours = self.start("redis-always", "on")?;
        let theirs = Redis::start(&self.redis_server, &self.folder.0, "always")?;
        let durable = [
            Load {
                name: " durable -c 64",
                clients: "64",
                requests: 40_000,
                ..plain
            },
            Load {
                name: " durable -c 64 -r 100000",
                clients: "64",
                spread: Some("100000"),
                requests: 40_000,
                ..plain
            },
        ];
        for load in &durable {
            self.compare(load, &TESTS[1..], &ours, &theirs, report, |_| GOAL_DURABLE)?;
        }
        drop(theirs);
        ours.stop()
    }

    fn start(&self, name: &str, synchronous_commit: &str) -> Result<Server> {
        let options = ServerOptions {
            binary: self.tessera,
            home: &self.folder.0.join(name),
            postgres_port: 0,
            http_port: 0,
            redis_port: 0,
            trust: true,
        };
        Server::start_with(
            &options,
            &[("TESSERA_SYNCHRONOUS_COMMIT", synchronous_commit)],
        )
    }

    fn compare(
        &self,
        load: &Load,
        tests: &[(&str, &str)],
        ours: &Server,
        theirs: &Redis,
        report: &mut Report,
        goal: impl Fn(&str) -> f64,
    ) -> Result<()> {
        for (test, title) in tests {
            let (mut our_rates, mut their_rates) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                their_rates.push(self.rate(theirs.address, test, title, load)?);
                our_rates.push(self.rate(ours.redis(), test, title, load)?);
            }
            let name = format!("redis-benchmark{} {title}, requests/s", load.name);
            report.compare(&name, &our_rates, "Redis", &their_rates, goal(test));
        }
        Ok(())
    }

    fn rate(&self, address: SocketAddr, test: &str, title: &str, load: &Load) -> Result<f64> {
        let requests = (load.requests / 100 * self.percent).max(1_000);
        let mut command = Command::new(&self.redis_benchmark);
        command
            .args(["-h", "127.0.0.1", "-p", &address.port().to_string()])
            .args(["-t", test, "-n", &requests.to_string()])
            .args(["-c", load.clients, "-P", load.pipeline, "--csv"]);
        if let Some(spread) = load.spread {
            command.args(["-r", spread]);
        }
        let text = output(&mut command)?;
        rate_in(&text, title).with_context(|| format!("no rate of {title} in\n{text}"))
    }

    /// Loads small keys and tells the memory beyond the idle server.
    pub(super) fn memory(&self, report: &mut Report) -> Result<()> {
        let server = self.start("redis-keys", "off")?;
        thread::sleep(IDLE_AFTER);
        let idle = server.resident_bytes()?;
        load_keys(server.redis(), self.keys)?;
        thread::sleep(IDLE_AFTER);
        let grown = mebibytes(server.resident_bytes()?.saturating_sub(idle));
        let name = format!("memory of {} keys of {VALUE_BYTES} bytes, MiB", self.keys);
        if self.keys == MILLION {
            report.limit(&name, grown, KEYS_LIMIT_MIB);
        } else {
            // More than fits must stay within what the server may use for stored data.
            report.limit(&name, grown, memory_budget_mib()?);
        }
        server.stop()
    }
}

/// Sends SET for so many keys over one connection, a window at a time.
fn load_keys(address: SocketAddr, keys: u32) -> Result<()> {
    let stream = TcpStream::connect(address)?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut out = BufWriter::with_capacity(1 << 16, stream);
    let mut sent = 0;
    while sent < keys {
        let until = (sent + WINDOW).min(keys);
        for number in sent..until {
            let key = format!("key:{number:012}");
            let value = format!("{number:0VALUE_BYTES$}");
            write!(
                out,
                "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${VALUE_BYTES}\r\n{value}\r\n",
                key.len()
            )?;
        }
        out.flush()?;
        let mut expected = vec![0; 5 * (until - sent) as usize];
        answers.read_exact(&mut expected)?;
        ensure!(
            expected.chunks(5).all(|answer| answer == b"+OK\r\n"),
            "a SET was refused: {}",
            String::from_utf8_lossy(&expected)
        );
        sent = until;
    }
    Ok(())
}

/// What the server may keep of stored data: an eighth of the memory, and its recent changes.
fn memory_budget_mib() -> Result<f64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    let bytes = kilobytes.context("no MemTotal")?.parse::<u64>()? * 1024;
    // Recent changes may take 256 MiB, and twice that while a checkpoint moves them.
    Ok(mebibytes(bytes / 8) + 512.0)
}

/// The rate of a test in what `redis-benchmark --csv` prints.
fn rate_in(text: &str, title: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| {
        line.strip_prefix('"')?
            .strip_prefix(title)?
            .strip_prefix("\",\"")
    })?;
    line.split('"').next()?.parse().ok()
}

/// A Redis server with an append-only file and nothing else on disk.
struct Redis {
    child: Child,
    address: SocketAddr,
}

impl Redis {
    fn start(binary: &Path, folder: &Path, appendfsync: &str) -> Result<Redis> {
        let address = free_address(0)?;
        let home = folder.join(format!("redis-peer-{appendfsync}"));
        fs::create_dir_all(&home)?;
        let mut command = Command::new(binary);
        command
            .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
            .args(["--appendonly", "yes", "--appendfsync", appendfsync])
            .args(["--save", "", "--dir"])
            .arg(&home)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let redis = Redis {
            child: command.spawn()?,
            address,
        };
        let deadline = Instant::now() + READY_WITHIN;
        while TcpStream::connect(address).is_err() {
            if Instant::now() > deadline {
                bail!("redis-server does not listen");
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(redis)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // A failure means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::rate_in;

    #[test]
    fn the_rate_is_found_by_the_title() {
        let text = "\"test\",\"rps\",\"avg_latency_ms\"\n\
                    \"SET\",\"1000.50\",\"0.1\"\n\
                    \"MSET (10 keys)\",\"250.25\",\"0.4\"\n";
        assert_eq!(rate_in(text, "SET"), Some(1000.5));
        assert_eq!(rate_in(text, "MSET (10 keys)"), Some(250.25));
        assert_eq!(rate_in(text, "GET"), None);
    }
}
