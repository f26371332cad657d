//! `cargo xtask tidy`: rules about the code base that no compiler checks.
//!
//! # Map
//! - `layers`: dependencies run down, and who may name which third-party crate.
//! - `sources`: module headers, module names, forbidden constructs.
//! - `documents`: the architecture map is true, the book is complete, links lead somewhere.
//!
//! # Invariants
//! 1. All faults are collected and shown at once.

mod documents;
mod layers;
mod sources;

use crate::project::Project;
use anyhow::{Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// Runs all rules; the error lists every fault.
pub(crate) fn run(project: &Project) -> Result<()> {
    let root = project.root();
    let mut faults = Vec::new();
    layers::check(root, &mut faults)?;
    sources::check(root, &mut faults)?;
    documents::check(root, &mut faults)?;
    if !faults.is_empty() {
        faults.sort();
        bail!("{} faults\n  {}", faults.len(), faults.join("\n  "));
    }
    println!("tidy: nothing to complain about");
    Ok(())
}

/// All files below a folder with the given ending, in a stable order; build output is left out.
fn files_below(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                if !["target", "node_modules", "book", ".git"].contains(&name.as_ref()) {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The path as messages show it: from the root of the checkout.
fn shown<'a>(root: &Path, path: &'a Path) -> std::path::Display<'a> {
    path.strip_prefix(root).unwrap_or(path).display()
}
