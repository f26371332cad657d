//! The server process: start with options that change each time, kill, stop.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rand::RngExt;
use rand::rngs::StdRng;
use tessera_testkit::doors::Addresses;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls};

use crate::Arguments;

const READY_WITHIN: Duration = Duration::from_secs(120);
const STOPPED_WITHIN: Duration = Duration::from_secs(60);
const POLL_EVERY: Duration = Duration::from_millis(20);

/// Places inside the store where a thread may be held until the kill.
const FAIL_POINTS: [&str; 12] = [
    "storage::validate::before_catch_up",
    "storage::validate::before_finish",
    "storage::commit::after_enqueue",
    "storage::commit::after_durable",
    "storage::commit::before_publish",
    "storage::base::before_finish",
    "storage::checkpoint::begin",
    "storage::checkpoint::after_space",
    "storage::checkpoint::after_record",
    "storage::checkpoint::after_switch",
    "storage::run::before_finish",
    "storage::run::after_sync",
];

/// A running server.
pub(crate) struct Process {
    child: Child,
    /// Stays open, so that the server may go on printing.
    output: Lines<BufReader<ChildStdout>>,
    /// Of PostgreSQL, Redis and HTTP.
    ports: [SocketAddr; 3],
    /// What it was started with, for messages.
    options: String,
}

impl Process {
    pub(crate) async fn start(arguments: &Arguments, random: &mut StdRng) -> Result<Process> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(arguments.home.join("server.log"))?;
        let mut command = Command::new(&arguments.server);
        command
            .arg("serve")
            .arg("--data-dir")
            .arg(arguments.home.join("data"));
        command.args(["--postgres", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        command.args(["--redis", "127.0.0.1:0"]);
        command.args(["--auth", "trust"]);
        command.env("TESSERA_ADMIN_PASSWORD", "unused");
        // Little memory for recent versions makes checkpoints come often.
        let recent = [4_u64, 16, 64][random.random_range(0..3)] << 20;
        let buffer = [64_u64 << 10, 64 << 20][random.random_range(0..2)];
        command.env("TESSERA_RECENT_MEMORY", format!("{recent}B"));
        command.env("TESSERA_WRITE_BUFFER", format!("{buffer}B"));
        let mut options = format!("recent {recent}, write buffer {buffer}");
        if arguments.fail_points && random.random_bool(0.5) {
            let point = FAIL_POINTS[random.random_range(0..FAIL_POINTS.len())];
            let percent = random.random_range(1..20);
            // The thread stays there until the kill.
            let points = format!("{point}={percent}%1*sleep(600000)");
            options = format!("{options}, {points}");
            command.env("FAILPOINTS", points);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true);
        let mut child = command.spawn().context("cannot start the server")?;
        let output = child.stdout.take().context("its output is piped")?;
        let mut process = Process {
            child,
            output: BufReader::new(output).lines(),
            ports: [SocketAddr::from(([127, 0, 0, 1], 0)); 3],
            options,
        };
        process.ports = match timeout(READY_WITHIN, process.announced_ports()).await {
            Ok(Ok(Some(ports))) => ports,
            Ok(Ok(None)) => {
                let status = process.child.wait().await?;
                bail!(
                    "the server ended at its start ({status}; {})",
                    process.options
                )
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => bail!(
                "the server was not ready within {READY_WITHIN:?} ({})",
                process.options
            ),
        };
        process.wait_until_ready().await?;
        Ok(process)
    }

    /// The addresses that its ready line names; `None` if it ends before.
    async fn announced_ports(&mut self) -> Result<Option<[SocketAddr; 3]>> {
        while let Some(line) = self.output.next_line().await? {
            let Some(ready) = line.strip_prefix("ready: ") else {
                continue;
            };
            let address = |name| {
                let mut parts = ready.split(' ');
                let address = parts.find_map(|part| part.strip_prefix(name));
                let address = address.context("no address in the ready line")?;
                Ok::<SocketAddr, anyhow::Error>(address.parse()?)
            };
            return Ok(Some([
                address("postgres=")?,
                address("redis=")?,
                address("http=")?,
            ]));
        }
        Ok(None)
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended at its start ({status}; {})", self.options);
            }
            // A held thread may block a login too, hence the limit.
            if let Ok(Ok(client)) = timeout(Duration::from_secs(5), self.connect()).await
                && client.simple_query("SELECT 1").await.is_ok()
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "the server was not ready within {READY_WITHIN:?} ({})",
                    self.options
                );
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    pub(crate) fn config(&self) -> Config {
        let mut config = Config::new();
        config
            .host("127.0.0.1")
            .port(self.ports[0].port())
            .user("admin")
            .dbname("tessera");
        config
    }

    /// Where clients of every protocol find it.
    pub(crate) fn addresses(&self) -> Addresses {
        Addresses {
            postgres: self.config(),
            redis: self.ports[1],
            http: self.ports[2],
        }
    }

    pub(crate) async fn connect(&self) -> Result<Client> {
        let (client, connection) = self.config().connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Lets time pass; an error if the server ends by itself meanwhile.
    pub(crate) async fn alive_for(&mut self, time: Duration) -> Result<()> {
        match timeout(time, self.child.wait()).await {
            Err(_) => Ok(()),
            Ok(status) => bail!("the server ended by itself: {} ({})", status?, self.options),
        }
    }

    /// `kill -9`.
    pub(crate) async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// `tessera check` over what is on disk now; no server may be running.
    pub(crate) async fn check_directory(arguments: &Arguments) -> Result<()> {
        let mut check = Command::new(&arguments.server);
        check.arg("check").arg("--data-dir");
        check.arg(arguments.home.join("data"));
        let output = check.output().await.context("cannot start the check")?;
        if !output.status.success() {
            bail!(
                "the check finds damage ({}): {}{}",
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }

    /// An orderly stop.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let pid = self.child.id().context("the server has ended")?;
        Command::new("kill")
            .args(["-TERM", &pid.to_string()])
            .status()
            .await?;
        let status = timeout(STOPPED_WITHIN, self.child.wait()).await;
        let status = status.context("the server did not stop")??;
        if !status.success() {
            bail!("the server ended with {status}");
        }
        Ok(())
    }
}
