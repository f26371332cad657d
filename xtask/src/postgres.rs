//! PostgreSQL for comparison: a fresh cluster with its defaults, on loopback, gone afterwards.
//!
//! Benchmarks compare speed with it, the SQL files compare answers.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::project::{installed, output};
use crate::server::free_address;

/// A user that may run PostgreSQL where we are root, which it refuses to be.
const ORDINARY_USER: &str = "postgres";

/// A running PostgreSQL.
pub(crate) struct Postgres {
    programs: PathBuf,
    data: PathBuf,
    address: SocketAddr,
}

impl Postgres {
    /// Makes a cluster below `folder` and starts it.
    pub(crate) fn start(programs: &Path, folder: &Path) -> Result<Self> {
        let data = folder.join("postgres");
        fs::create_dir_all(&data)?;
        let address = free_address(5500)?;
        let postgres = Self {
            programs: programs.to_path_buf(),
            data,
            address,
        };
        if is_root()? {
            output(
                Command::new("chown")
                    .arg("-R")
                    .arg(ORDINARY_USER)
                    .arg(&postgres.data),
            )?;
        }
        let cluster = postgres.data.join("cluster");
        let mut initdb = postgres.command("initdb")?;
        initdb
            .args([
                "-U",
                "admin",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "-D",
            ])
            .arg(&cluster);
        output(&mut initdb)?;
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=100",
            address.port()
        );
        let log = postgres.data.join("log");
        let mut start = postgres.command("pg_ctl")?;
        start
            .arg("-D")
            .arg(&cluster)
            .args(["-o", &options, "-w", "-l"])
            .arg(&log)
            .arg("start");
        // Its server inherits the output; a pipe would stay open until the server ends.
        start
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        let status = start.status().context("starting PostgreSQL")?;
        if !status.success() {
            bail!(
                "PostgreSQL did not start: {}",
                fs::read_to_string(&log).unwrap_or_default()
            );
        }
        let mut create = Command::new(postgres.programs.join("createdb"));
        output(
            postgres
                .point(&mut create)
                .env("PGDATABASE", "postgres")
                .arg("tessera"),
        )?;
        Ok(postgres)
    }

    /// Sets what libpq reads.
    pub(crate) fn point<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.address.port().to_string())
            .env("PGUSER", "admin")
            .env("PGDATABASE", "tessera")
    }

    fn command(&self, program: &str) -> Result<Command> {
        let program = self.programs.join(program);
        if !is_root()? {
            return Ok(Command::new(program));
        }
        if installed("runuser").is_none() {
            bail!("runuser is missing: apt-get install util-linux");
        }
        let mut command = Command::new("runuser");
        command.args(["-u", ORDINARY_USER, "--"]).arg(program);
        Ok(command)
    }
}

/// A folder for clusters and other data, removed when it is dropped.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    /// Makes one whose name begins with `tessera-` and `name`.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let base =
            std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
        let path = base.join(format!("tessera-{name}-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left is in a folder for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let Ok(mut stop) = self.command("pg_ctl") else {
            return;
        };
        stop.arg("-D")
            .arg(self.data.join("cluster"))
            .args(["-m", "immediate", "-w", "stop"]);
        // There is nobody to tell; the cluster is thrown away.
        let _ = stop.output();
    }
}

fn is_root() -> Result<bool> {
    Ok(output(Command::new("id").arg("-u"))?.trim() == "0")
}
