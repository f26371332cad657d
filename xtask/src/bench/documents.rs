//! Documents: inserts and reads over HTTP, an indexed filter in the engine.
//!
//! The goals count the processor time of the server alone: the load runs on the same machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::report::Report;
use crate::project::{Profile, Project, output};
use crate::server::{Server, ServerOptions};

/// By name of the number, what it must reach or stay below.
const GOALS: [(&str, Goal); 3] = [
    (
        "documents read by id/s per core of the server",
        Goal::AtLeast(20_000.0),
    ),
    ("documents inserted/s", Goal::AtLeast(50_000.0)),
    (
        "indexed filter in the engine, median microseconds",
        Goal::AtMost(1_000.0),
    ),
];

#[derive(Clone, Copy)]
enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

/// Runs both parts and adds their numbers to the report.
pub(super) fn run(project: &Project, folder: &Path, report: &mut Report) -> Result<()> {
    let tessera = project.build("tessera", Profile::BenchFast)?;
    let program = project.build("documents", Profile::BenchFast)?;
    let inside = output(Command::new(&program).arg("inside"))?;
    let home = folder.join("documents");
    fs::create_dir_all(&home)?;
    let server = Server::start(&ServerOptions {
        binary: &tessera,
        home: &home,
        postgres_port: 0,
        http_port: 0,
        redis_port: 0,
        trust: false,
    })?;
    let mut load = Command::new(&program);
    load.arg("load").arg(server.http().to_string());
    load.arg(server.pid().to_string());
    let loaded = output(server.point(&mut load)).with_context(|| server.log_end())?;
    server.stop()?;
    let mut missing: Vec<&str> = GOALS.iter().map(|(name, _)| *name).collect();
    for (name, value) in numbers(&inside).chain(numbers(&loaded)) {
        missing.retain(|wanted| *wanted != name);
        let goal = GOALS.iter().find(|(wanted, _)| *wanted == name);
        match goal.map(|(_, goal)| *goal) {
            Some(Goal::AtLeast(goal)) => report.at_least(name, value, goal),
            Some(Goal::AtMost(limit)) => report.limit(name, value, limit),
            None => report.number(name, value),
        }
    }
    if !missing.is_empty() {
        bail!("not measured: {}", missing.join(", "));
    }
    Ok(())
}

/// Lines of a name, a tab and a number.
fn numbers(text: &str) -> impl Iterator<Item = (&str, f64)> {
    text.lines().filter_map(|line| {
        let (name, number) = line.split_once('\t')?;
        Some((name, number.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn lines_without_a_number_are_passed_over() {
        let found: Vec<_> = numbers("a b\t1.5\nnothing\nc\tx\nd\t2\n").collect();
        assert_eq!(found, [("a b", 1.5), ("d", 2.0)]);
    }
}
