//! `cargo xtask ci`: the jobs of the CI service; each runs the same on a laptop.

use crate::project::Project;
use crate::steps::Steps;
use crate::test::{STEPS, Step};
use anyhow::Result;
use clap::ValueEnum;

/// One job of CI: a group of steps that one machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Job {
    /// Formatting, the project's own rules, clippy.
    Lint,
    /// Unit, integration and documentation tests, and the generated pages.
    Unit,
    /// SQL logic tests, over engine and wire, with and without the short path; the book's examples.
    Sql,
    /// Clients of PostgreSQL and of Redis, our own shell, pgbench.
    Clients,
    /// The server is killed under load.
    Crash,
    /// TPC-H, and the demo's numbers.
    Data,
}

impl Job {
    fn covers(self, step: &str) -> bool {
        let own = match step {
            "fmt" | "tidy" | "clippy" => Job::Lint,
            "unit and integration" | "generated pages" => Job::Unit,
            "crash" => Job::Crash,
            "tpch" | "demo" => Job::Data,
            name if ["slt", "isolation", "documentation", "redis"]
                .iter()
                .any(|part| name.starts_with(part)) =>
            {
                Job::Sql
            }
            _ => Job::Clients,
        };
        own == self
    }
}

pub(crate) fn run(project: &Project, job: Option<Job>) -> Result<()> {
    let mut steps = Steps::default();
    for (name, step) in steps_of(job) {
        steps.run(name, || step(project));
    }
    steps.finish()
}

fn steps_of(job: Option<Job>) -> impl Iterator<Item = Step> {
    STEPS
        .into_iter()
        .filter(move |(name, _)| job.is_none_or(|job| job.covers(name)))
}

#[cfg(test)]
mod tests {
    use super::{Job, steps_of};
    use crate::test::STEPS;
    use clap::ValueEnum;

    #[test]
    fn every_step_belongs_to_exactly_one_job_and_no_job_is_empty() {
        let mut total = 0;
        for job in Job::value_variants() {
            let steps = steps_of(Some(*job)).count();
            assert!(steps > 0, "{job:?}");
            total += steps;
        }
        assert_eq!(total, STEPS.len());
    }
}
