//! What a clean machine lacks: Python packages, npm packages, PostgreSQL's programs.
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
const PYTHON_PACKAGES: [&str; 4] = [
    "psycopg[binary]>=3.2",
    "asyncpg>=0.29",
    "duckdb>=1.0",
    "redis>=5",
];

/// Where Debian puts PostgreSQL's server programs.
const POSTGRES_FOLDERS: &str = "/usr/lib/postgresql";

/// A Python interpreter that can import psycopg, asyncpg, duckdb and redis.
pub(crate) fn python(project: &Project) -> Result<Tool<PathBuf>> {
    let folder = project.target().join("tools/python");
    let python = folder.join("bin/python");
    let stamp = folder.join("installed");
    let wanted = PYTHON_PACKAGES.join("\n");
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
    install.args(PYTHON_PACKAGES);
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

/// `redis-server`, for comparisons.
pub(crate) fn redis_server() -> Result<Tool<PathBuf>> {
    find_or_install("redis-server", "redis-server")
}

/// `redis-benchmark`, which comes with Debian's client package.
pub(crate) fn redis_benchmark() -> Result<Tool<PathBuf>> {
    find_or_install("redis-benchmark", "redis-tools")
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
