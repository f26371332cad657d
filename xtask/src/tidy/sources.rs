//! Module headers, module names, and constructs that tests must not use.

use super::layers::crate_folders;
use super::{files_below, shown};
use anyhow::Result;
use std::fs;
use std::path::Path;

/// Names that say nothing about a module's duty.
const MODULE_NAMES_BANNED: [&str; 6] = ["utils", "util", "common", "helpers", "misc", "types2"];

pub(super) fn check(root: &Path, faults: &mut Vec<String>) -> Result<()> {
    for folder in crate_folders(root)? {
        for file in files_below(&folder, "rs")? {
            let text = fs::read_to_string(&file)?;
            for fault in faults_of(&file, &text) {
                faults.push(format!("{}: {fault}", shown(root, &file)));
            }
        }
    }
    Ok(())
}

/// What is wrong with one source file.
fn faults_of(file: &Path, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let first = text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    // A module's tests beside it need no introduction.
    let tests = file.ends_with("tests.rs");
    if !tests && !first.starts_with("//!") && !first.starts_with("#![doc") {
        faults.push("no module header: the first line must be `//!` and say the duty".to_owned());
    }
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let parent = file
        .parent()
        .and_then(Path::file_name)
        .unwrap_or_default()
        .to_string_lossy();
    for name in [stem.as_ref(), parent.as_ref()] {
        if MODULE_NAMES_BANNED.contains(&name) {
            faults.push(format!("`{name}` says nothing about the duty of a module"));
        }
    }
    // This file names what it looks for.
    if file.ends_with("tidy/sources.rs") {
        return faults;
    }
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        let trimmed = line.trim_start();
        if trimmed.starts_with("#[ignore") || trimmed.starts_with("#[should_panic") {
            faults.push(format!(
                "line {number}: {trimmed}: a test runs and says what it expects"
            ));
        }
        if line.contains("TODO") && !line.contains("TODO(#") {
            faults.push(format!("line {number}: a TODO needs an issue: TODO(#12)"));
        }
        if trimmed.starts_with("#[allow(") || trimmed.starts_with("#![allow(") {
            faults.push(format!("line {number}: use #[expect(.., reason = \"..\")]"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::faults_of;
    use std::path::Path;

    fn check(file: &str, text: &str, expected: usize) {
        let faults = faults_of(Path::new(file), text);
        assert_eq!(faults.len(), expected, "{faults:?}");
    }

    #[test]
    fn a_file_needs_a_header_and_a_telling_name() {
        check("a/src/queue.rs", "//! Waits.\n", 0);
        check("a/src/queue.rs", "\n\n//! Waits.\n", 0);
        check("a/src/queue.rs", "use std::fs;\n", 1);
        check("a/src/queue/tests.rs", "use std::fs;\n", 0);
        check("a/src/queue/tests.rs", "use std::fs;\n", 0);
        check("a/src/utils.rs", "//! Things.\n", 1);
        check("a/src/helpers/mod.rs", "//! Things.\n", 1);
    }

    #[test]
    fn tests_run_and_todos_have_an_issue() {
        check("a/src/x.rs", "//! X.\n#[ignore]\n", 1);
        check("a/src/x.rs", "//! X.\n// TODO: later\n", 1);
        check("a/src/x.rs", "//! X.\n// TODO(#12): later\n", 0);
        check("a/src/x.rs", "//! X.\n#[allow(dead_code)]\n", 1);
    }
}
