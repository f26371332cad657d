//! A `tessera` process in a folder of its own, for the demo, tests and benchmarks.
//!
//! # Invariants
//! 1. A server that was not detached is stopped when its handle is dropped.
//! 2. The administrator's password is never an argument of a process.

use crate::project::{Project, describe, output};
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A debug build on a busy machine replays its log in a few seconds; this is far more.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// A clean stop takes a checkpoint.
const STOPPED_WITHIN: Duration = Duration::from_secs(60);
/// How often a state is asked for that nobody announces.
const POLL_EVERY: Duration = Duration::from_millis(25);

/// What a server is started with.
pub(crate) struct ServerOptions<'a> {
    pub(crate) binary: &'a Path,
    /// Holds the data directory, the log file and the password.
    pub(crate) home: &'a Path,
    /// The first ports to try; 0 takes any free one.
    pub(crate) postgres_port: u16,
    pub(crate) http_port: u16,
    pub(crate) redis_port: u16,
    pub(crate) trust: bool,
}

/// A running server.
pub(crate) struct Server {
    child: Option<Child>,
    pid: u32,
    binary: PathBuf,
    home: PathBuf,
    postgres: SocketAddr,
    http: SocketAddr,
    redis: SocketAddr,
    password: String,
}

impl Server {
    /// Starts the server and waits until it accepts clients.
    pub(crate) fn start(options: &ServerOptions<'_>) -> Result<Self> {
        Self::start_with(options, &[])
    }

    /// The same with settings, by the names of their environment variables.
    pub(crate) fn start_with(
        options: &ServerOptions<'_>,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        fs::create_dir_all(options.home)?;
        let password = password(&options.home.join("admin-password"))?;
        let postgres = address_for(options.postgres_port)?;
        let http = address_for(options.http_port)?;
        let redis = address_for(options.redis_port)?;
        let log = File::create(options.home.join("server.log"))?;
        let mut command = Command::new(options.binary);
        command
            .arg("serve")
            .arg("--data-dir")
            .arg(options.home.join("data"));
        command.arg("--postgres").arg(postgres.to_string());
        command.arg("--http").arg(http.to_string());
        command.arg("--redis").arg(redis.to_string());
        command.args(["--auth", if options.trust { "trust" } else { "scram" }]);
        command.env("TESSERA_ADMIN_PASSWORD", &password);
        command.envs(settings.iter().copied());
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = spawn_in_own_group(&mut command)?;
        let mut server = Self {
            pid: child.id(),
            child: Some(child),
            binary: options.binary.to_path_buf(),
            home: options.home.to_path_buf(),
            postgres,
            http,
            redis,
            password,
        };
        server.wait_until_ready()?;
        Ok(server)
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.http
    }

    /// The line that a user pastes for redis-cli.
    pub(crate) fn redis_cli(&self) -> String {
        format!(
            "redis-cli -h {} -p {} --user admin --pass '{}'",
            self.redis.ip(),
            self.redis.port(),
            self.password
        )
    }

    /// Where the Redis port listens.
    pub(crate) fn redis(&self) -> SocketAddr {
        self.redis
    }

    /// The administrator's.
    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// The line that a user pastes into psql or a driver.
    pub(crate) fn url(&self) -> String {
        let password = &self.password;
        format!("postgresql://admin:{password}@{}/tessera", self.postgres)
    }

    /// Sets what libpq and its kin read: host, port, user, password, database.
    pub(crate) fn point<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("PGHOST", self.postgres.ip().to_string())
            .env("PGPORT", self.postgres.port().to_string())
            .env("PGUSER", "admin")
            .env("PGPASSWORD", &self.password)
            .env("PGDATABASE", "tessera")
            .env("TESSERA_REDIS", self.redis.to_string())
            .env("TESSERA_HTTP", self.http.to_string())
    }

    /// `tessera sql`, connected to this server.
    pub(crate) fn shell(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("sql");
        self.point(&mut command);
        command
    }

    /// Runs one statement and returns the rows as csv without a header.
    pub(crate) fn query(&self, sql: &str) -> Result<Vec<Vec<String>>> {
        let mut shell = self.shell();
        shell.args(["--format", "csv", "--tuples-only", "-c", sql]);
        Ok(crate::flights::parse_csv(&output(&mut shell)?))
    }

    /// Runs a script, each error being the end of it.
    pub(crate) fn run_script(&self, script: &Path) -> Result<()> {
        let mut shell = self.shell();
        shell.args(["--stop-on-error", "--quiet", "-f"]).arg(script);
        output(&mut shell).map(|_| ())
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|text| text.split_whitespace().next());
        Ok(kilobytes.context("no VmRSS in /proc")?.parse::<u64>()? * 1024)
    }

    /// The highest resident memory so far, in bytes.
    pub(crate) fn resident_bytes_peak(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|text| text.split_whitespace().next());
        Ok(kilobytes.context("no VmHWM in /proc")?.parse::<u64>()? * 1024)
    }

    /// Whether it still runs; `Some` carries how it ended.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        match &mut self.child {
            Some(child) => Ok(child.try_wait()?),
            None => Ok(None),
        }
    }

    /// Asks it to stop, waits, and complains where the end was not clean.
    pub(crate) fn stop(mut self) -> Result<()> {
        signal(self.pid, "TERM")?;
        let deadline = Instant::now() + STOPPED_WITHIN;
        loop {
            match self.ended()? {
                Some(status) if status.success() => {
                    self.child = None;
                    return Ok(());
                }
                Some(status) => bail!("the server ended with {status}\n{}", self.log_end()),
                None if Instant::now() > deadline => {
                    bail!(
                        "the server did not stop within {STOPPED_WITHIN:?}\n{}",
                        self.log_end()
                    )
                }
                None => thread::sleep(POLL_EVERY),
            }
        }
    }

    /// `kill -9`: no chance to write anything more.
    pub(crate) fn kill(mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Leaves it running after this process.
    pub(crate) fn detach(mut self) {
        self.child = None;
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if let Some(status) = self.ended()? {
                self.child = None;
                bail!(
                    "the server ended at its start ({status})\n{}",
                    self.log_end()
                );
            }
            if let Some([postgres, http, redis]) = self.announced() {
                (self.postgres, self.http, self.redis) = (postgres, http, redis);
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "the server was not ready within {READY_WITHIN:?}\n{}",
                    self.log_end()
                );
            }
            thread::sleep(POLL_EVERY);
        }
    }

    /// The addresses of its ready line, once that is in the log.
    fn announced(&self) -> Option<[SocketAddr; 3]> {
        let text = fs::read_to_string(self.home.join("server.log")).ok()?;
        let ready = text.lines().find_map(|line| line.strip_prefix("ready: "))?;
        let address = |name| {
            let mut parts = ready.split(' ');
            parts.find_map(|part| part.strip_prefix(name)?.parse().ok())
        };
        Some([address("postgres=")?, address("http=")?, address("redis=")?])
    }

    /// The last lines of its log, for an error message.
    pub(crate) fn log_end(&self) -> String {
        let text = fs::read_to_string(self.home.join("server.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(15);
        format!("server log:\n  {}", lines[from..].join("\n  "))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // A failure here means that it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Ctrl-C in the terminal reaches this tool only, which then stops the server in order.
fn spawn_in_own_group(command: &mut Command) -> Result<Child> {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    command
        .spawn()
        .with_context(|| format!("cannot start {}", describe(command)))
}

/// Sends a signal by name to one process.
pub(crate) fn signal(pid: u32, name: &str) -> Result<()> {
    output(
        Command::new("kill")
            .arg(format!("-{name}"))
            .arg(pid.to_string()),
    )
    .map(|_| ())
}

/// The first free loopback port from `first` on; for 0 the server takes a free one by itself,
/// which leaves no moment in which another program could take it.
fn address_for(first: u16) -> Result<SocketAddr> {
    match first {
        0 => Ok((Ipv4Addr::LOCALHOST, 0).into()),
        first => free_address(first),
    }
}

/// The first free loopback port from `first` on; any for 0.
pub(crate) fn free_address(first: u16) -> Result<SocketAddr> {
    let last = if first == 0 {
        0
    } else {
        first.saturating_add(50)
    };
    for port in first..=last {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(listener.local_addr()?);
        }
    }
    bail!("no free port between {first} and {last}")
}

/// The password of a former run, or a new one, readable by its owner only.
fn password(file: &Path) -> Result<String> {
    if let Ok(password) = fs::read_to_string(file) {
        return Ok(password.trim().to_owned());
    }
    let mut bytes = [0_u8; 12];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let password: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)?.write_all(password.as_bytes())?;
    Ok(password)
}

/// An empty folder below the target directory; what an earlier run left is removed.
pub(crate) fn fresh_home(project: &Project, name: &str) -> Result<PathBuf> {
    let home = project.target().join("run").join(name);
    if home.exists() {
        fs::remove_dir_all(&home)?;
    }
    fs::create_dir_all(&home)?;
    Ok(home)
}
