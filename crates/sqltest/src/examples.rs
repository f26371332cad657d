//! Runs the SQL in the pages of the book, as a reader would: in order, one database per page.
//!
//! A fenced block marked `sql` runs. If a block marked `text` follows with nothing but blank lines
//! between, the answers must be that text, in the shape of `tessera sql`; else every statement
//! must succeed. A block marked `sql,ignore` does not run and counts as skipped. What a page needs
//! and readers do not stands in a comment: a line `<!-- setup`, statements, a line `-->`.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tessera_cli::client::Client;
use tessera_cli::client::message::Reply;
use tessera_cli::scan::{Open, Piece, next_piece};
use tessera_cli::table::{Layout, Table};
use tessera_testkit::TestServer;

use crate::database::wire;

/// Statements and what they should answer.
#[derive(Debug, PartialEq, Eq)]
struct Example {
    line: usize,
    sql: String,
    expected: Option<String>,
    ignored: bool,
}

/// Runs all pages; false if an example failed.
pub(crate) async fn run() -> Result<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()?;
    let mut pages = vec![root.join("README.md")];
    collect(&root.join("docs"), &mut pages)?;
    pages.sort();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for page in pages {
        let text = std::fs::read_to_string(&page).with_context(|| page.display().to_string())?;
        let examples = examples_of(&text);
        if examples.is_empty() {
            continue;
        }
        let name = page.strip_prefix(&root).unwrap_or(&page).display();
        let server = TestServer::start().await?;
        let mut client = wire(&server).await?;
        for example in examples {
            if example.ignored {
                skipped += 1;
                continue;
            }
            match run_example(&mut client, &example).await {
                Ok(()) => passed += 1,
                Err(error) => {
                    failed += 1;
                    println!("FAILED  {name}:{}\n{error:#}", example.line);
                }
            }
        }
        client.close().await;
        server.stop().await?;
        println!("page    {name}");
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    Ok(failed == 0)
}

async fn run_example(client: &mut Client, example: &Example) -> Result<()> {
    let mut found = String::new();
    let mut rest = example.sql.as_str();
    while !rest.trim().is_empty() {
        let (sql, next) = match next_piece(rest) {
            Piece::Statement { end, next } => (&rest[..end], &rest[next..]),
            Piece::Incomplete(Open::Nothing) => break,
            Piece::Incomplete(_) => (rest, ""),
            Piece::Command { .. } => anyhow::bail!("a backslash command is not SQL"),
        };
        let fine = run_statement(client, sql, &mut found).await?;
        if !fine && example.expected.is_none() {
            anyhow::bail!("{}\n{found}", sql.trim());
        }
        rest = next;
    }
    let Some(expected) = &example.expected else {
        return Ok(());
    };
    let clean = |text: &str| -> Vec<String> {
        let lines = text.lines().map(|line| line.trim_end().to_owned());
        lines.filter(|line| !line.is_empty()).collect()
    };
    if clean(&found) != clean(expected) {
        anyhow::bail!("expected\n{expected}\nfound\n{found}");
    }
    Ok(())
}

/// Runs one statement and writes what the shell would show; false for an error.
async fn run_statement(client: &mut Client, sql: &str, out: &mut String) -> Result<bool> {
    client.send_query(sql).await?;
    let (mut columns, mut rows) = (Vec::new(), Vec::new());
    let mut fine = true;
    loop {
        match client.next().await? {
            Reply::Columns(new) => columns = new,
            Reply::Row(row) => rows.push(row),
            Reply::Complete(tag) if columns.is_empty() => writeln!(out, "{tag}")?,
            Reply::Complete(_) => {
                let mut text = Vec::new();
                let table = Table {
                    columns: &columns,
                    rows: &rows,
                    title: None,
                };
                table.write(&Layout::default(), &mut text)?;
                out.push_str(&String::from_utf8_lossy(&text));
                columns.clear();
                rows.clear();
            }
            Reply::CopyIn => client.end_copy(Some("no data in an example")).await?,
            Reply::Error(error) => {
                fine = false;
                writeln!(out, "{error}")?;
            }
            Reply::Ready(_) => return Ok(fine),
            _ => {}
        }
    }
}

/// The SQL blocks of a page, each with the answer that follows it.
fn examples_of(page: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut block: Option<(String, String)> = None;
    let mut answer_may_follow = false;
    let mut setup = false;
    for (number, line) in page.lines().enumerate() {
        match (line, examples.last_mut()) {
            ("<!-- setup", _) => {
                setup = true;
                examples.push(Example {
                    line: number + 1,
                    sql: String::new(),
                    expected: None,
                    ignored: false,
                });
                continue;
            }
            ("-->", _) if setup => {
                setup = false;
                answer_may_follow = false;
                continue;
            }
            (text, Some(example)) if setup => {
                example.sql.push_str(text);
                example.sql.push('\n');
                continue;
            }
            _ => {}
        }
        let fence = line.trim_start().strip_prefix("```");
        match (&mut block, fence) {
            (None, Some(kind)) => {
                let kind = kind.trim().to_owned();
                if kind == "sql" || kind == "sql,ignore" {
                    examples.push(Example {
                        line: number + 1,
                        sql: String::new(),
                        expected: None,
                        ignored: kind != "sql",
                    });
                }
                block = Some((kind, String::new()));
            }
            (Some((kind, text)), Some(_)) => {
                let text = std::mem::take(text);
                let kind = std::mem::take(kind);
                block = None;
                match (kind.as_str(), examples.last_mut()) {
                    ("sql" | "sql,ignore", Some(example)) => example.sql = text,
                    ("text", Some(example)) if answer_may_follow => example.expected = Some(text),
                    _ => {}
                }
                answer_may_follow = kind == "sql";
            }
            (Some((_, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => answer_may_follow &= line.trim().is_empty(),
        }
    }
    examples
}

fn collect(folder: &Path, pages: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, pages)?;
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::examples_of;

    #[test]
    fn an_answer_belongs_to_the_block_right_before_it() {
        let page = "# T\n<!-- setup\nSELECT 0;\n-->\n```sql\nSELECT 1;\n```\n\n```text\none\n```\n```sh\nls\n```\n```sql\nSELECT 2;\n```\nwords\n```text\nother\n```\n```sql,ignore\nBOOM\n```\n";
        let found = examples_of(page);
        let shown: Vec<_> = found
            .iter()
            .map(|example| {
                (
                    example.sql.as_str(),
                    example.expected.as_deref(),
                    example.ignored,
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("SELECT 0;\n", None, false),
                ("SELECT 1;\n", Some("one\n"), false),
                ("SELECT 2;\n", None, false),
                ("BOOM\n", None, true),
            ]
        );
    }
}
