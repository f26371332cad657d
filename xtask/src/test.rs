//! `cargo xtask test`: every check of the project, one after the other, on any machine.

use crate::crash::CrashArguments;
use crate::project::{Project, run as run_command};
use crate::slt::Over;
use crate::steps::{Count, Outcome, Steps, counted};
use crate::tpch::TpchArguments;
use crate::{
    clients, crash, demo, generate, isolation, orders, pgbench, redis, schemathesis, slt, tidy,
    tools, tpch,
};
use anyhow::Result;
use clap::Args;

/// Enough to meet a crash in every phase; `cargo xtask crash` does fifty.
const KILLS: u32 = 10;

#[derive(Args)]
pub(crate) struct TestArguments {
    /// Only steps whose name contains one of these texts.
    only: Vec<String>,
}

/// One step: its name, and what it does.
pub(crate) type Step = (&'static str, fn(&Project) -> Result<Outcome>);

/// In the order of what tells most in the least time.
pub(crate) const STEPS: [Step; 30] = [
    ("fmt", format),
    ("tidy", |project| {
        tidy::run(project).map(|()| Outcome::Done(Count::ONE))
    }),
    ("clippy", clippy),
    ("build", build),
    ("unit and integration", unit),
    ("generated pages", |project| {
        generate::run(project, true).map(|()| Outcome::Done(Count::ONE))
    }),
    ("slt over the engine", |project| {
        slt::corpus(project, Over::Engine, &[])
    }),
    ("slt over the wire", |project| {
        slt::corpus(project, Over::Pg, &[])
    }),
    ("slt without the short path", |project| {
        slt::corpus(project, Over::Engine, &["tessera.short_path=off"])
    }),
    ("slt over PostgreSQL itself", slt::reference),
    ("redis scripts over Redis itself", redis::check),
    ("isolation scripts", isolation::check),
    ("documentation examples", slt::examples),
    ("client: psql", clients::psql),
    ("client: psycopg", |project| {
        clients::python(project, "psycopg_session.py")
    }),
    ("client: redis-py", |project| {
        clients::python(project, "redis_session.py")
    }),
    ("client: valkey-py", |project| {
        clients::python(project, "valkey_session.py")
    }),
    ("client: ioredis", |project| {
        clients::node(project, "ioredis.js")
    }),
    ("client: redis-cli", |project| {
        clients::redis_tool(project, "redis_cli_session.py", tools::redis_cli)
    }),
    ("client: redis-benchmark", |project| {
        clients::redis_tool(
            project,
            "redis_benchmark_session.py",
            tools::redis_benchmark,
        )
    }),
    ("client: http", clients::http),
    ("schemathesis", schemathesis::check),
    ("client: orders", orders::check),
    ("client: asyncpg", |project| {
        clients::python(project, "asyncpg_session.py")
    }),
    ("client: node-postgres", |project| {
        clients::node(project, "session.js")
    }),
    ("client: tessera sql", clients::shell),
    ("pgbench", |project| pgbench::check(project, 1)),
    ("crash", |project| {
        crash::check(
            project,
            &CrashArguments {
                kills: KILLS,
                seed: None,
            },
        )
    }),
    ("tpch", |project| {
        tpch::check(
            project,
            &TpchArguments {
                scale: 0.1,
                fast: false,
                save_answers: false,
            },
        )
    }),
    ("demo", demo::check_step),
];

pub(crate) fn run(project: &Project, arguments: &TestArguments) -> Result<()> {
    let mut steps = Steps::default();
    for (name, step) in STEPS {
        let wanted = arguments.only.is_empty()
            || arguments
                .only
                .iter()
                .any(|text| name.contains(text.as_str()));
        if wanted {
            steps.run(name, || step(project));
        }
    }
    steps.finish()
}

pub(crate) fn format(project: &Project) -> Result<Outcome> {
    run_command(project.cargo().args(["fmt", "--all", "--check"]))?;
    Ok(Outcome::Done(Count::ONE))
}

pub(crate) fn clippy(project: &Project) -> Result<Outcome> {
    let mut cargo = project.cargo();
    cargo.args(["clippy", "--quiet", "--all-targets"]);
    cargo.args(Project::WORKSPACE);
    cargo.args(["--", "-W", "clippy::all"]);
    run_command(&mut cargo)?;
    Ok(Outcome::Done(Count::ONE))
}

/// One build that every later step takes its binaries from.
pub(crate) fn build(project: &Project) -> Result<Outcome> {
    project.share_one_build()?;
    Ok(Outcome::Done(Count::ONE))
}

/// Unit, integration and documentation tests of every crate.
pub(crate) fn unit(project: &Project) -> Result<Outcome> {
    let mut cargo = project.cargo();
    cargo
        .args(["test", "--no-fail-fast"])
        .args(Project::WORKSPACE);
    counted(&mut cargo)
}
