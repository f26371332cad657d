//! `cargo xtask crash`: a server is killed under load, again and again; what is left is compared
//! with what its clients were told.

use crate::project::{Profile, Project};
use crate::server::fresh_home;
use crate::steps::{Outcome, counted};
use anyhow::Result;
use clap::Args;

#[derive(Args)]
pub(crate) struct CrashArguments {
    /// How often the server is killed.
    #[arg(long, default_value_t = 50)]
    pub(crate) kills: u32,
    /// Replays the workload of an earlier run.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}

pub(crate) fn run(project: &Project, arguments: &CrashArguments) -> Result<()> {
    check(project, arguments).map(|_| ())
}

pub(crate) fn check(project: &Project, arguments: &CrashArguments) -> Result<Outcome> {
    let home = fresh_home(project, "crash")?;
    let server = project.build_with_fail_points(&home)?;
    let mut driver = project.command(project.build("crash", Profile::Dev)?);
    driver
        .arg("--server")
        .arg(server)
        .arg("--home")
        .arg(home)
        .arg("--fail-points");
    driver.args(["--kills", &arguments.kills.to_string()]);
    if let Some(seed) = arguments.seed {
        driver.args(["--seed", &seed.to_string()]);
    }
    counted(&mut driver)
}
