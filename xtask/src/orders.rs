//! One order by three clients in three languages, in one transaction: `tests/clients/orders`.

use std::process::Command;

use anyhow::Result;

use crate::clients::with_server;
use crate::project::{Project, installed};
use crate::steps::{Outcome, counted};
use crate::tools::{self, Tool};

pub(crate) fn check(project: &Project) -> Result<Outcome> {
    let python = match tools::python(project)? {
        Tool::Ready(python) => python,
        Tool::Missing(how) => return Ok(Outcome::Skipped(how)),
    };
    let modules = match tools::node(project)? {
        Tool::Ready(modules) => modules,
        Tool::Missing(how) => return Ok(Outcome::Skipped(how)),
    };
    if installed("curl").is_none() {
        return Ok(Outcome::Skipped("curl: apt-get install curl".to_owned()));
    }
    with_server(project, "orders", |server| {
        let mut command = Command::new(python);
        command.arg(project.root().join("tests/clients/orders_session.py"));
        command.env("NODE_PATH", modules.join("node_modules"));
        counted(server.point(&mut command))
    })
}
