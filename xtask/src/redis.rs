//! `cargo xtask redis`: the scripts of commands and answers over a real Redis 7, which says what the
//! right answers are.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

use crate::postgres::Folder;
use crate::project::{Project, output};
use crate::server::free_address;
use crate::steps::{Outcome, counted};
use crate::tools::{self, Tool};

/// It opens its port within milliseconds; this is far more.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How often it is asked.
const POLL_EVERY: Duration = Duration::from_millis(20);

#[derive(Args)]
pub(crate) struct RedisArguments {
    /// Writes the answers into the files instead of comparing; read the diff.
    #[arg(long)]
    complete: bool,
}

/// A redis-server on loopback that keeps nothing on disk.
struct Redis {
    child: Child,
    address: String,
    /// Its working directory, removed when it has ended.
    _folder: Folder,
}

impl Redis {
    fn start(server: &Path, cli: &Path) -> Result<Redis> {
        let folder = Folder::new("redis-reference")?;
        let address = free_address(6500)?;
        let child = Command::new(server)
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--port", &address.port().to_string(), "--dir"])
            .arg(&folder.0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let redis = Redis {
            child,
            address: address.to_string(),
            _folder: folder,
        };
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let mut ping = Command::new(cli);
            ping.args(["-p", &address.port().to_string(), "PING"]);
            if output(&mut ping).is_ok_and(|answer| answer.trim() == "PONG") {
                return Ok(redis);
            }
            if Instant::now() > deadline {
                bail!("redis-server was not ready within {READY_WITHIN:?}");
            }
            std::thread::sleep(POLL_EVERY);
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // A failure here means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn run(project: &Project, arguments: &RedisArguments) -> Result<()> {
    match over_reference(project, arguments.complete)? {
        Outcome::Done(_) => Ok(()),
        Outcome::Skipped(how) => bail!("the reference needs Redis 7: {how}"),
    }
}

/// Whether Redis still gives the answers in the files.
pub(crate) fn check(project: &Project) -> Result<Outcome> {
    over_reference(project, false)
}

fn over_reference(project: &Project, complete: bool) -> Result<Outcome> {
    let (server, cli): (PathBuf, PathBuf) =
        match (tools::redis_server(project)?, tools::redis_cli()?) {
            (Tool::Ready(server), Tool::Ready(cli)) => (server, cli),
            (Tool::Missing(how), _) | (_, Tool::Missing(how)) => return Ok(Outcome::Skipped(how)),
        };
    let redis = Redis::start(&server, &cli)?;
    let mut cargo = project.cargo();
    cargo
        .args(["test", "--quiet", "--test", "reference"])
        .args(Project::WORKSPACE)
        .env("TESSERA_REDIS_REFERENCE", &redis.address);
    if complete {
        cargo.env("UPDATE", "1");
    }
    counted(&mut cargo)
}
