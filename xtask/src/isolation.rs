//! `cargo xtask isolation`: scripts of several sessions at every isolation level.

use crate::postgres::{Folder, Postgres};
use crate::project::{Profile, Project};
use crate::steps::{Outcome, counted};
use crate::tools::{self, Tool};
use anyhow::{Result, bail};
use clap::Args;
use std::process::Command;

#[derive(Args)]
pub(crate) struct IsolationArguments {
    /// Only scenarios whose name contains this text.
    filter: Option<String>,
    /// Writes the answers instead of comparing.
    #[arg(long)]
    complete: bool,
    /// Asks PostgreSQL 15, in a cluster of its own that is gone afterwards.
    #[arg(long)]
    postgres: bool,
}

pub(crate) fn run(project: &Project, arguments: &IsolationArguments) -> Result<()> {
    let mut command = runner(project)?;
    if arguments.complete {
        command.arg("--complete");
    }
    command.args(&arguments.filter);
    if !arguments.postgres {
        return counted(&mut command).map(|_| ());
    }
    let programs = match tools::postgres()? {
        Tool::Ready(programs) => programs,
        Tool::Missing(how) => bail!("PostgreSQL 15 is not here: {how}"),
    };
    let folder = Folder::new("isolation")?;
    let postgres = Postgres::start(&programs, &folder.0)?;
    counted(postgres.point(command.arg("--postgres"))).map(|_| ())
}

/// All scenarios at all levels.
pub(crate) fn check(project: &Project) -> Result<Outcome> {
    counted(&mut runner(project)?)
}

fn runner(project: &Project) -> Result<Command> {
    let runner = project.build("sqltest", Profile::Dev)?;
    let mut command = project.command(runner);
    command.arg("isolation");
    Ok(command)
}
