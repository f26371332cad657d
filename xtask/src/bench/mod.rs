//! `cargo xtask bench`: placeholder replaced below.
use crate::project::Project;
use anyhow::Result;
use clap::Args;
#[derive(Args)]
pub(crate) struct BenchArguments {}
pub(crate) fn run(_: &Project, _: &BenchArguments) -> Result<()> {
    Ok(())
}
