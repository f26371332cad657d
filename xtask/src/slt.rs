//! `cargo xtask slt`: SQL logic tests over the engine and over the PostgreSQL wire.

use crate::project::{Profile, Project};
use crate::steps::{Outcome, counted};
use anyhow::Result;
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
}

impl Over {
    fn name(self) -> &'static str {
        match self {
            Over::Engine => "engine",
            Over::Pg => "pg",
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
    counted(&mut command).map(|_| ())
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
    let runner = project.build("tessera-sqltest", "sqltest", Profile::Dev)?;
    let mut runner = project.command(runner);
    runner.arg(command);
    Ok(runner)
}
