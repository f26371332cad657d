//! `cargo xtask slt`: SQL logic tests over the engine, over the PostgreSQL wire, and over a real
//! PostgreSQL, which says what the right answers are.

use crate::postgres::{Folder, Postgres};
use crate::project::{Profile, Project};
use crate::steps::{Outcome, counted};
use crate::tools::{self, Tool};
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use std::process::Command;

#[derive(Args)]
pub(crate) struct SltArguments {
    /// Only files whose path contains this text.
    filter: Option<String>,
    /// Writes the answers into the files instead of comparing; read the diff.
    #[arg(long)]
    complete: bool,
    /// What carries the statements.
    #[arg(long, value_enum, default_value_t = Over::Engine)]
    over: Over,
    /// Settings for every session, such as `tessera.short_path=off`.
    #[arg(long = "set")]
    settings: Vec<String>,
}

/// What carries the statements to the database.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Over {
    /// The embedded library.
    Engine,
    /// A server and a client on the PostgreSQL wire.
    Pg,
    /// PostgreSQL 15, in a cluster of its own that is gone afterwards.
    Reference,
}

impl Over {
    fn name(self) -> &'static str {
        match self {
            Over::Engine => "engine",
            Over::Pg => "pg",
            Over::Reference => "reference",
        }
    }
}

pub(crate) fn run(project: &Project, arguments: &SltArguments) -> Result<()> {
    let mut command = runner(project, "slt")?;
    command.args(["--over", arguments.over.name()]);
    if arguments.complete {
        command.arg("--complete");
    }
    for setting in &arguments.settings {
        command.args(["--set", setting]);
    }
    command.args(&arguments.filter);
    if !matches!(arguments.over, Over::Reference) {
        return counted(&mut command).map(|_| ());
    }
    let programs = match tools::postgres()? {
        Tool::Ready(programs) => programs,
        Tool::Missing(how) => bail!("the reference needs PostgreSQL 15: {how}"),
    };
    let folder = Folder::new("reference")?;
    let postgres = Postgres::start(&programs, &folder.0)?;
    counted(postgres.point(&mut command)).map(|_| ())
}

/// The whole corpus over PostgreSQL, where its programs are installed.
pub(crate) fn reference(project: &Project) -> Result<Outcome> {
    let programs = match tools::postgres()? {
        Tool::Ready(programs) => programs,
        Tool::Missing(how) => return Ok(Outcome::Skipped(how)),
    };
    let mut command = runner(project, "slt")?;
    command.args(["--over", Over::Reference.name()]);
    let folder = Folder::new("reference")?;
    let postgres = Postgres::start(&programs, &folder.0)?;
    counted(postgres.point(&mut command))
}

/// The whole corpus, each session with these settings.
pub(crate) fn corpus(project: &Project, over: Over, settings: &[&str]) -> Result<Outcome> {
    let mut command = runner(project, "slt")?;
    command.args(["--over", over.name()]);
    for setting in settings {
        command.args(["--set", setting]);
    }
    counted(&mut command)
}

/// The SQL in the book's pages and in the README.
pub(crate) fn examples(project: &Project) -> Result<Outcome> {
    counted(&mut runner(project, "examples")?)
}

fn runner(project: &Project, command: &str) -> Result<Command> {
    let runner = project.build("sqltest", Profile::Dev)?;
    let mut runner = project.command(runner);
    runner.arg(command);
    Ok(runner)
}
