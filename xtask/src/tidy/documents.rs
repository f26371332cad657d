//! The architecture map is true, the book lists every page, links lead somewhere.

use super::layers::crate_folders;
use super::{files_below, shown};
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A map that nobody can read in one sitting is no map.
const ARCHITECTURE_LINES_MAX: usize = 400;

pub(super) fn check(root: &Path, faults: &mut Vec<String>) -> Result<()> {
    check_architecture(root, faults)?;
    check_book(root, faults)?;
    check_links(root, faults)
}

fn check_architecture(root: &Path, faults: &mut Vec<String>) -> Result<()> {
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).context("ARCHITECTURE.md")?;
    let lines = text.lines().count();
    if lines > ARCHITECTURE_LINES_MAX {
        faults.push(format!(
            "ARCHITECTURE.md: {lines} lines, at most {ARCHITECTURE_LINES_MAX}"
        ));
    }
    let mut present = BTreeSet::new();
    for folder in crate_folders(root)? {
        present.insert(shown(root, &folder).to_string());
    }
    let named = folders_named(&text);
    for missing in present.difference(&named) {
        faults.push(format!("ARCHITECTURE.md: says nothing about `{missing}`"));
    }
    for gone in named.difference(&present) {
        faults.push(format!("ARCHITECTURE.md: `{gone}` does not exist"));
    }
    Ok(())
}

/// Every "`crates/name`" (and "`xtask`") of the text.
fn folders_named(text: &str) -> BTreeSet<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|code| {
            *code == "xtask"
                || code
                    .strip_prefix("crates/")
                    .is_some_and(|name| !name.contains(['/', '*']))
        })
        .map(str::to_owned)
        .collect()
}

fn check_book(root: &Path, faults: &mut Vec<String>) -> Result<()> {
    let book = root.join("docs");
    let summary = fs::read_to_string(book.join("SUMMARY.md")).context("docs/SUMMARY.md")?;
    let listed: BTreeSet<String> = links(&summary).map(str::to_owned).collect();
    for page in files_below(&book, "md")? {
        let name = page
            .strip_prefix(&book)
            .unwrap_or(&page)
            .to_string_lossy()
            .into_owned();
        if name != "SUMMARY.md" && !listed.contains(&name) {
            faults.push(format!("docs/SUMMARY.md: does not list {name}"));
        }
    }
    Ok(())
}

fn check_links(root: &Path, faults: &mut Vec<String>) -> Result<()> {
    let mut pages = files_below(&root.join("docs"), "md")?;
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    for page in pages {
        let text = fs::read_to_string(&page)?;
        let folder = page.parent().unwrap_or(root);
        for link in links(&text) {
            let target = link.split('#').next().unwrap_or_default();
            let elsewhere = target.contains("://") || target.starts_with("mailto:");
            if !elsewhere && !target.is_empty() && !folder.join(target).exists() {
                faults.push(format!("{}: {link} leads nowhere", shown(root, &page)));
            }
        }
    }
    Ok(())
}

/// The targets of all `[text](target)` outside code.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines()
        .filter(move |line| {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            !fenced && !fence
        })
        .flat_map(|line| line.split("](").skip(1))
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
}

#[cfg(test)]
mod tests {
    use super::{folders_named, links};

    #[test]
    fn links_in_text_count_and_those_in_code_do_not() {
        let text = "see [a](a.md) and [b](b/c.md#d)\n```\n[x](y.md)\n```\n[e](https://f)";
        assert_eq!(
            links(text).collect::<Vec<_>>(),
            ["a.md", "b/c.md#d", "https://f"]
        );
    }

    #[test]
    fn crates_are_found_where_the_map_names_them() {
        let named = folders_named("`crates/log` then `crates/log/src` and `xtask`, crates/none");
        assert_eq!(
            named.into_iter().collect::<Vec<_>>(),
            ["crates/log", "xtask"]
        );
    }
}
