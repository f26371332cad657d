//! `cargo xtask gen`: reference pages of the book that are written from the code.

use crate::project::{Project, output};
use anyhow::{Result, bail};
use std::fs;

/// The pages, by the name of the program's argument.
const PAGES: [&str; 3] = ["errors", "metrics", "configuration"];

pub(crate) fn run(project: &Project, check: bool) -> Result<()> {
    let folder = project.root().join("docs/reference");
    fs::create_dir_all(&folder)?;
    let mut old = Vec::new();
    for page in PAGES {
        let mut cargo = project.cargo();
        cargo.args([
            "run",
            "--quiet",
            "--package",
            "tessera-testkit",
            "--bin",
            "reference",
            "--",
        ]);
        let text = output(cargo.arg(page))?;
        let file = folder.join(format!("{page}.md"));
        if fs::read_to_string(&file).is_ok_and(|present| present == text) {
            continue;
        }
        if check {
            old.push(format!("docs/reference/{page}.md"));
        } else {
            fs::write(&file, text)?;
            println!("wrote docs/reference/{page}.md");
        }
    }
    if !old.is_empty() {
        bail!("out of date, run `cargo xtask gen`: {}", old.join(", "));
    }
    Ok(())
}
