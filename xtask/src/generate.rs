//! `cargo xtask gen`: pages of the book that are written from the code, and its table of contents.

use crate::project::{Profile, Project, output};
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// The book's parts: heading, folder, and the pages that come first in it.
const PARTS: [(&str, &str, &[&str]); 4] = [
    (
        "Guides",
        "guides",
        &["getting-started", "demo", "sql-shell"],
    ),
    (
        "Reference",
        "reference",
        &["configuration", "errors", "metrics"],
    ),
    ("Internals", "internals", &[]),
    ("Decisions", "adr", &[]),
];

/// The pages: the program's argument, and the file.
const PAGES: [(&str, &str); 4] = [
    ("errors", "errors.md"),
    ("metrics", "metrics.md"),
    ("configuration", "configuration.md"),
    ("openapi", "openapi.json"),
];

pub(crate) fn run(project: &Project, check: bool) -> Result<()> {
    let docs = project.root().join("docs");
    fs::create_dir_all(docs.join("reference"))?;
    let mut old = Vec::new();
    let mut put = |name: String, text: String| -> Result<()> {
        let file = docs.join(&name);
        if fs::read_to_string(&file).is_ok_and(|present| present == text) {
            return Ok(());
        }
        if check {
            old.push(format!("docs/{name}"));
        } else {
            fs::write(&file, text)?;
            println!("wrote docs/{name}");
        }
        Ok(())
    };
    let reference = project.build("reference", Profile::Dev)?;
    for (page, file) in PAGES {
        let text = output(project.command(&reference).arg(page))?;
        put(format!("reference/{file}"), text)?;
    }
    put("SUMMARY.md".to_owned(), contents(&docs)?)?;
    if !old.is_empty() {
        bail!("out of date, run `cargo xtask gen`: {}", old.join(", "));
    }
    Ok(())
}

/// `SUMMARY.md`: every page under its own heading.
fn contents(docs: &Path) -> Result<String> {
    let mut text = String::from("# Summary\n\n[Tessera](introduction.md)\n");
    for (heading, folder, first) in PARTS {
        let _ = write!(text, "\n# {heading}\n\n");
        let mut names = Vec::new();
        for entry in fs::read_dir(docs.join(folder))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                names.push(
                    path.file_stem()
                        .unwrap_or_default()
                        .to_string_lossy()
                        .into_owned(),
                );
            }
        }
        names.sort_by_key(|name| {
            let place = first.iter().position(|first| first == name);
            (place.unwrap_or(first.len()), name.clone())
        });
        for name in names {
            let page = fs::read_to_string(docs.join(folder).join(format!("{name}.md")))?;
            let title = page.lines().find_map(|line| line.strip_prefix("# "));
            let title = title.with_context(|| format!("docs/{folder}/{name}.md has no title"))?;
            let _ = writeln!(text, "- [{title}]({folder}/{name}.md)");
        }
    }
    Ok(text)
}
