//! Runs `testdata/session/*.txt`: blocks of a command, `----`, and its answer.
//!
//! A command is `<session>> <SQL>`; sessions open at their first use, as `admin`, or as the user
//! after an `@` (`b@bob> …`). An answer is: notices, rows, the tag or the error, and in brackets
//! the transaction status when it is not idle. `UPDATE=1` writes the answers into the files.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use tessera_engine::{Engine, EngineOptions, Report, Session, TransactionStatus};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_give_the_answers_in_their_files() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/session");
    let update = std::env::var_os("UPDATE").is_some();
    let mut differing = Vec::new();
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for path in files {
        let expected = fs::read_to_string(&path).unwrap();
        let found = run(&expected).await;
        if found != expected {
            if update {
                fs::write(&path, &found).unwrap();
            } else {
                differing.push(format!(
                    "{}:\n{}",
                    path.display(),
                    difference(&expected, &found)
                ));
            }
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n\n"));
}

async fn run(script: &str) -> String {
    let engine = Engine::open(EngineOptions::memory()).await.unwrap();
    let mut sessions: BTreeMap<String, Session> = BTreeMap::new();
    let mut token = String::new();
    let mut out = String::new();
    for (at, block) in script.split("\n\n").enumerate() {
        if at > 0 {
            out.push_str("\n\n");
        }
        let block = block.trim_end_matches('\n');
        let command = block.split("\n----").next().unwrap();
        out.push_str(command);
        let lines: Vec<&str> = command
            .lines()
            .filter(|line| !line.starts_with('#'))
            .collect();
        let Some((who, sql)) = lines
            .join("\n")
            .split_once("> ")
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
        else {
            continue;
        };
        let (name, user) = who.split_once('@').unwrap_or((&who, "admin"));
        if sql == "close" {
            sessions.remove(name);
            out.push_str("\n----\nclosed");
            continue;
        }
        if !sessions.contains_key(name) {
            match engine.session(user).await {
                Ok(session) => drop(sessions.insert(name.to_owned(), session)),
                Err(report) => {
                    write!(out, "\n----\n{}", error(&report)).unwrap();
                    continue;
                }
            }
        }
        let session = sessions.get_mut(name).unwrap();
        let sql = sql.replace("{token}", &token);
        let answer = answer(session, &sql).await;
        if sql.contains("transaction_token") && !answer.contains("ERROR") {
            token = answer.lines().next().unwrap().to_owned();
            out.push_str("\n----\n{token}\nSHOW [in transaction]");
        } else {
            write!(out, "\n----\n{answer}").unwrap();
        }
    }
    drop(sessions);
    engine.close().await.unwrap();
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

async fn answer(session: &mut Session, sql: &str) -> String {
    let result = session.run(sql).await;
    let mut lines = Vec::new();
    for notice in session.take_notices() {
        lines.push(format!(
            "{} {}: {}",
            notice.severity.as_str(),
            notice.code,
            notice.message
        ));
    }
    match result {
        Ok(results) => {
            for result in results {
                for row in 0..result.rows.len() {
                    let values: Vec<String> = (0..result.columns.len())
                        .map(|column| {
                            result
                                .text(row, column)
                                .unwrap_or_else(|| "NULL".to_owned())
                        })
                        .collect();
                    lines.push(values.join(" | "));
                }
                lines.push(result.tag);
            }
        }
        Err(report) => lines.push(error(&report)),
    }
    let status = match session.status() {
        TransactionStatus::Idle => "",
        TransactionStatus::InTransaction => " [in transaction]",
        TransactionStatus::Failed => " [failed]",
    };
    if let Some(last) = lines.last_mut() {
        last.push_str(status);
    }
    lines.join("\n")
}

fn error(report: &Report) -> String {
    let mut text = format!(
        "{} {}: {}",
        report.severity.as_str(),
        report.code,
        report.message
    );
    if let Some(hint) = &report.hint {
        write!(text, "\nHINT: {hint}").unwrap();
    }
    text
}

/// The first lines that differ.
fn difference(expected: &str, found: &str) -> String {
    let at = expected
        .lines()
        .zip(found.lines())
        .position(|(a, b)| a != b);
    let at = at.unwrap_or_else(|| expected.lines().count().min(found.lines().count()));
    let part = |text: &str| {
        let lines: Vec<&str> = text.lines().skip(at.saturating_sub(4)).take(12).collect();
        lines.join("\n")
    };
    format!(
        "line {}\n--- expected\n{}\n--- found\n{}",
        at + 1,
        part(expected),
        part(found)
    )
}
