//! Real clients against a running server; the scripts are in `tests/clients`. Those of PostgreSQL
//! create, load by COPY, query, use transactions, get a proper error and cancel a query; those of
//! Redis go through types, pipelines, transactions, blocking, messages and scans; that of HTTP
//! through keys, documents, SQL and pages.

use crate::project::{Profile, Project};
use crate::server::{Server, ServerOptions, fresh_home};
use crate::steps::{Count, Outcome, counted};
use crate::tools::{self, Tool};
use anyhow::Result;
use std::path::PathBuf;
use std::process::Command;

pub(crate) fn psql(project: &Project) -> Result<Outcome> {
    let psql = match tools::psql()? {
        Tool::Ready(psql) => psql,
        Tool::Missing(how) => return Ok(Outcome::Skipped(how)),
    };
    let python = match tools::python(project)? {
        Tool::Ready(python) => python,
        Tool::Missing(how) => return Ok(Outcome::Skipped(how)),
    };
    with_server(project, "psql", |server| {
        let mut command = Command::new(python);
        command
            .arg(project.root().join("tests/clients/psql_session.py"))
            .arg(psql);
        counted(server.point(&mut command))
    })
}

pub(crate) fn python(project: &Project, script: &'static str) -> Result<Outcome> {
    let python = match tools::python(project)? {
        Tool::Ready(python) => python,
        Tool::Missing(how) => return Ok(Outcome::Skipped(how)),
    };
    with_server(project, script, |server| {
        let mut command = Command::new(python);
        command.arg(project.root().join("tests/clients").join(script));
        counted(server.point(&mut command))
    })
}

/// A script around one of the programs that come with Redis.
pub(crate) fn redis_tool(
    project: &Project,
    script: &'static str,
    tool: fn() -> Result<Tool<PathBuf>>,
) -> Result<Outcome> {
    let tool = match tool()? {
        Tool::Ready(tool) => tool,
        Tool::Missing(how) => return Ok(Outcome::Skipped(how)),
    };
    let python = match tools::python(project)? {
        Tool::Ready(python) => python,
        Tool::Missing(how) => return Ok(Outcome::Skipped(how)),
    };
    with_server(project, script, |server| {
        let mut command = Command::new(python);
        command
            .arg(project.root().join("tests/clients").join(script))
            .arg(tool);
        counted(server.point(&mut command))
    })
}

pub(crate) fn node(project: &Project, script: &'static str) -> Result<Outcome> {
    let modules = match tools::node(project)? {
        Tool::Ready(modules) => modules,
        Tool::Missing(how) => return Ok(Outcome::Skipped(how)),
    };
    with_server(project, script, |server| {
        let mut command = Command::new("node");
        command.arg(project.root().join("tests/clients/node").join(script));
        command.env("NODE_PATH", modules.join("node_modules"));
        counted(server.point(&mut command))
    })
}

/// HTTP with Python's own client, and Arrow's own reader.
pub(crate) fn http(project: &Project) -> Result<Outcome> {
    let python = match tools::python_with_arrow(project)? {
        Tool::Ready(python) => python,
        Tool::Missing(how) => return Ok(Outcome::Skipped(how)),
    };
    with_server(project, "http", |server| {
        let mut command = Command::new(python);
        command.arg(project.root().join("tests/clients/http_session.py"));
        counted(server.point(&mut command))
    })
}

/// The server's own shell and user commands, over the wire.
pub(crate) fn shell(project: &Project) -> Result<Outcome> {
    let python = match tools::python(project)? {
        Tool::Ready(python) => python,
        Tool::Missing(how) => return Ok(Outcome::Skipped(how)),
    };
    let binary = project.build("tessera", Profile::Dev)?;
    with_server(project, "shell", |server| {
        let mut command = Command::new(python);
        command
            .arg(project.root().join("tests/clients/shell_session.py"))
            .arg(binary);
        counted(server.point(&mut command))
    })
}

/// Starts a server, runs the client against it, stops it in order: an error at the stop counts.
pub(crate) fn with_server(
    project: &Project,
    name: &str,
    client: impl FnOnce(&Server) -> Result<Outcome>,
) -> Result<Outcome> {
    let binary = project.build("tessera", Profile::Dev)?;
    let home = fresh_home(project, &format!("client-{name}"))?;
    let server = Server::start(&ServerOptions {
        binary: &binary,
        home: &home,
        postgres_port: 0,
        http_port: 0,
        redis_port: 0,
        trust: false,
    })?;
    let outcome = match client(&server) {
        Ok(outcome) => outcome,
        Err(error) => {
            println!("{}", server.log_end());
            return Err(error);
        }
    };
    server.stop()?;
    Ok(match outcome {
        Outcome::Done(mut count) => {
            // The orderly stop is a check of its own.
            count.add(Count::ONE);
            Outcome::Done(count)
        }
        skipped @ Outcome::Skipped(_) => skipped,
    })
}
