//! What a clean machine lacks: Python packages, npm packages, programs of PostgreSQL and Redis.
//!
//! # Invariants
//! 1. Everything goes below the target directory, except Debian packages, which only root installs.
//! 2. `Missing` carries the exact command that would help; the step is then skipped visibly.

use crate::project::{Project, installed, output, run};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A tool that is there, or what the user could do about it.
pub(crate) enum Tool<T> {
    Ready(T),
    Missing(String),
}

/// Versions are open within a major: the clients' newest must work.
const PYTHON_PACKAGES: [&str; 5] = [
    "psycopg[binary]>=3.2",
    "asyncpg>=0.29",
    "duckdb>=1.0",
    "redis>=5",
    "valkey>=6",
];

/// Where Debian puts PostgreSQL's server programs.
const POSTGRES_FOLDERS: &str = "/usr/lib/postgresql";

/// For the HTTP client: Arrow's own reader.
const HTTP_PACKAGES: [&str; 1] = ["pyarrow>=15"];

/// Its options change between majors.
const SCHEMATHESIS_PACKAGES: [&str; 1] = ["schemathesis>=4,<5"];

/// A Python interpreter that can import psycopg, asyncpg, duckdb, redis and valkey.
pub(crate) fn python(project: &Project) -> Result<Tool<PathBuf>> {
    environment(project, "python", &PYTHON_PACKAGES)
}

/// A Python interpreter that can import pyarrow.
pub(crate) fn python_with_arrow(project: &Project) -> Result<Tool<PathBuf>> {
    environment(project, "python-http", &HTTP_PACKAGES)
}

/// The program `schemathesis`.
pub(crate) fn schemathesis(project: &Project) -> Result<Tool<PathBuf>> {
    Ok(
        match environment(project, "schemathesis", &SCHEMATHESIS_PACKAGES)? {
            Tool::Ready(python) => Tool::Ready(python.with_file_name("schemathesis")),
            missing @ Tool::Missing(_) => missing,
        },
    )
}

/// The interpreter of an environment with some packages, made at first use.
fn environment(project: &Project, name: &str, packages: &[&str]) -> Result<Tool<PathBuf>> {
    let folder = project.target().join("tools").join(name);
    let python = folder.join("bin/python");
    let stamp = folder.join("installed");
    let wanted = packages.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(Tool::Ready(python));
    }
    let Some(system) = installed("python3") else {
        return Ok(Tool::Missing(
            "Python 3 with venv: apt-get install python3-venv".to_owned(),
        ));
    };
    let mut create = Command::new(system);
    create.args(["-m", "venv", "--clear"]).arg(&folder);
    if let Err(error) = output(&mut create) {
        return Ok(Tool::Missing(format!(
            "a Python environment: apt-get install python3-venv ({error:#})"
        )));
    }
    let mut install = Command::new(&python);
    install.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]);
    install.args(packages);
    if let Err(error) = output(&mut install) {
        return Ok(Tool::Missing(format!("packages from PyPI: {error:#}")));
    }
    fs::write(&stamp, wanted)?;
    Ok(Tool::Ready(python))
}

/// The folder with `node_modules` of the JavaScript clients, installed from the lock file.
pub(crate) fn node(project: &Project) -> Result<Tool<PathBuf>> {
    let source = project.root().join("tests/clients/node");
    let folder = project.target().join("tools/node");
    if installed("node").is_none() || installed("npm").is_none() {
        return Ok(Tool::Missing(
            "Node 20 with npm: apt-get install nodejs npm".to_owned(),
        ));
    }
    fs::create_dir_all(&folder)?;
    let lock = fs::read_to_string(source.join("package-lock.json"))?;
    let stamp = folder.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(Tool::Ready(folder));
    }
    for file in ["package.json", "package-lock.json"] {
        fs::copy(source.join(file), folder.join(file)).with_context(|| file.to_owned())?;
    }
    let mut install = Command::new("npm");
    install
        .current_dir(&folder)
        .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
    if let Err(error) = output(&mut install) {
        return Ok(Tool::Missing(format!("packages from npm: {error:#}")));
    }
    fs::write(&stamp, lock)?;
    Ok(Tool::Ready(folder))
}

/// `psql`, which comes with Debian's client package.
pub(crate) fn psql() -> Result<Tool<PathBuf>> {
    find_or_install("psql", "postgresql-client-15")
}

/// `pgbench`, which Debian ships with the server.
pub(crate) fn pgbench() -> Result<Tool<PathBuf>> {
    find_or_install("pgbench", "postgresql-15")
}

/// `redis-cli`.
pub(crate) fn redis_cli() -> Result<Tool<PathBuf>> {
    find_or_install("redis-cli", "redis-tools")
}

/// `redis-benchmark`.
pub(crate) fn redis_benchmark() -> Result<Tool<PathBuf>> {
    find_or_install("redis-benchmark", "redis-tools")
}

/// A `redis-server` to compare answers with; none of another major version.
///
/// Debian's package of that name starts a server. The program itself comes with the tools, as
/// `redis-check-rdb`: what it does is decided by the name it is called by.
pub(crate) fn redis_server(project: &Project) -> Result<Tool<PathBuf>> {
    let server = match installed("redis-server") {
        Some(server) => server,
        None => match find_or_install("redis-check-rdb", "redis-tools")? {
            Tool::Ready(program) => {
                let folder = project.target().join("tools/redis");
                fs::create_dir_all(&folder)?;
                let server = folder.join("redis-server");
                // What an earlier run has left may point to what is gone.
                let _ = fs::remove_file(&server);
                std::os::unix::fs::symlink(program, &server)?;
                server
            }
            missing @ Tool::Missing(_) => return Ok(missing),
        },
    };
    let version = output(Command::new(&server).arg("--version"))?;
    if version.contains("v=7.") {
        return Ok(Tool::Ready(server));
    }
    Ok(Tool::Missing(format!(
        "redis-server 7 as the reference; this is {}",
        version.trim()
    )))
}

/// The folder with `initdb`, `postgres` and `pg_ctl`.
pub(crate) fn postgres() -> Result<Tool<PathBuf>> {
    Ok(match find_or_install("initdb", "postgresql-15")? {
        Tool::Ready(initdb) => {
            let initdb = fs::canonicalize(initdb)?;
            Tool::Ready(
                initdb
                    .parent()
                    .context("initdb lies in a folder")?
                    .to_path_buf(),
            )
        }
        Tool::Missing(how) => Tool::Missing(how),
    })
}

fn find_or_install(program: &str, package: &str) -> Result<Tool<PathBuf>> {
    if let Some(found) = find(program) {
        return Ok(Tool::Ready(found));
    }
    let how = format!("{program}: apt-get install --no-install-recommends {package}");
    let root = output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    if !root || installed("apt-get").is_none() {
        return Ok(Tool::Missing(how));
    }
    println!("installing {package}");
    // No cluster of the distribution: it would start a server that nobody asked for.
    let settings = Path::new("/etc/postgresql-common/createcluster.conf");
    if !settings.exists() && package.starts_with("postgresql-1") {
        fs::create_dir_all("/etc/postgresql-common")?;
        fs::write(settings, "create_main_cluster = false\n")?;
    }
    let attempt = run(apt().arg("update").arg("--quiet=2")).and_then(|()| {
        run(apt().args([
            "install",
            "--yes",
            "--quiet=2",
            "--no-install-recommends",
            package,
        ]))
    });
    match (attempt, find(program)) {
        (Ok(()), Some(found)) => Ok(Tool::Ready(found)),
        (Ok(()), None) => Ok(Tool::Missing(format!("{how} (installed, but not found)"))),
        (Err(error), _) => Ok(Tool::Missing(format!("{how} ({error:#})"))),
    }
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    // Packages of servers start them, unless the machine is in single-user mode.
    command.env("RUNLEVEL", "1");
    command
}

/// On the search path, or in the newest version's folder of Debian.
fn find(program: &str) -> Option<PathBuf> {
    installed(program).or_else(|| {
        let mut versions: Vec<_> = fs::read_dir(POSTGRES_FOLDERS)
            .ok()?
            .filter_map(|entry| Some(entry.ok()?.path().join("bin").join(program)))
            .filter(|file| file.is_file())
            .collect();
        versions.sort();
        versions.pop()
    })
}
