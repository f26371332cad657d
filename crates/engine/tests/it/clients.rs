//! Replays what real clients sent to a PostgreSQL server (`../shared/clients/*.log`).
//!
//! Method: each log runs against a fresh database, statement by statement, with the parameters
//! that were logged; oids of the recorded tables become ours.
//! Property: every statement answers, but for what this release does not have; and that is
//! refused with 0A000, not with anything accidental.
//!
//! Skipped, visibly, where the logs are not there: they are no part of the repository.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tessera_engine::{Engine, EngineOptions, Report, ResultSet, Session, Value};
use tessera_types::{SqlType, text};

/// Statements that contain one of these are about what we do not have.
const NOT_HERE: &[&str] = &["create type mood", "'a'::mood"];

/// A statement as a client sent it.
struct Sent {
    client: String,
    sql: String,
    params: Vec<Option<String>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recorded_statement_answers() {
    let Some(folder) = logs() else {
        println!("SKIPPED: the recorded client logs are not on this machine");
        return;
    };
    let mut faults = Vec::new();
    let mut answered = 0;
    for name in ["psycopg3", "psql", "asyncpg", "sqlalchemy", "node"] {
        let log = std::fs::read_to_string(folder.join(name).with_extension("log")).unwrap();
        let sent = parse(&log);
        assert!(!sent.is_empty(), "{name}");
        answered += replay(name, sent, &mut faults).await;
    }
    println!("{answered} statements answered");
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n\n")
    );
}

/// The folder of logs beside the repository, wherever the tests run from.
fn logs() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .map(|above| above.join("../shared/clients"))
        .find(|folder| folder.is_dir())
}

async fn replay(name: &str, sent: Vec<Sent>, faults: &mut Vec<String>) -> usize {
    let engine = Engine::open(EngineOptions::memory()).await.unwrap();
    let mut session = engine.session("admin").await.unwrap();
    for sql in [
        "create table parent(id serial primary key, name varchar(40) not null unique, j jsonb, \
         tags text[], at timestamptz default now(), amt numeric(12,2))",
        "create table child(id bigint generated always as identity primary key, pid int, \
         q int check(q>0))",
        "create index child_pid on child(pid)",
        "create view v as select * from parent",
    ] {
        if let Err(report) = session.run(sql).await {
            faults.push(format!("{name}: {sql}\n  {report:?}"));
        }
    }
    let mut oids: HashMap<String, String> = HashMap::new();
    for (recorded, table) in [
        ("17092", "parent"),
        ("17104", "child"),
        ("16877", "parent"),
        ("16889", "child"),
        ("16901", "v"),
    ] {
        let sql = format!("select '{table}'::regclass::oid::text");
        match session.query(&sql, &[]).await {
            Ok(result) => {
                let oid = result.text(0, 0).unwrap();
                oids.insert(recorded.to_owned(), oid);
            }
            Err(report) => faults.push(format!("{name}: {sql}\n  {report:?}")),
        }
    }
    let mut answered = 0;
    for Sent {
        client,
        sql,
        params,
    } in sent
    {
        let is_setup = sql.starts_with("create table parent")
            || sql.starts_with("create table child")
            || sql.starts_with("create index child_pid")
            || sql.starts_with("create view v");
        // COPY needs a protocol; the wire's tests do it.
        if is_setup || sql.trim_start().to_lowercase().starts_with("copy") {
            continue;
        }
        let mut ours = sql.clone();
        for (recorded, oid) in &oids {
            ours = ours.replace(recorded.as_str(), oid);
        }
        let params = params
            .into_iter()
            .map(|value| value.map(|value| oids.get(&value).cloned().unwrap_or(value)))
            .collect();
        let result = one(&mut session, &ours, params).await;
        let is_here = !NOT_HERE.iter().any(|what| sql.contains(what));
        match result {
            Ok(_) if is_here => answered += 1,
            Err(report) if !is_here && matches!(report.code.as_str(), "0A000" | "42704") => {}
            Ok(_) => faults.push(format!("{name}/{client}: must be refused: {sql}")),
            Err(report) => faults.push(format!("{name}/{client}: {ours}\n  {report:?}")),
        }
        // One failure must not hide the rest of a block.
        if session.status() == tessera_engine::TransactionStatus::Failed {
            session.run("ROLLBACK").await.unwrap();
        }
    }
    engine.close().await.unwrap();
    answered
}

async fn one(
    session: &mut Session,
    sql: &str,
    params: Vec<Option<String>>,
) -> Result<Vec<ResultSet>, Report> {
    if params.is_empty() {
        return session.run(sql).await;
    }
    let statement = session.parse(sql, &[])?;
    let mut values = Vec::new();
    for (param, ty) in params.into_iter().zip(statement.params().to_vec()) {
        values.push(match param {
            None => Value::Null,
            Some(param) if ty.is_oid_like() && ty != SqlType::Oid => {
                Value::Oid(session.oid_of_name(&ty, &param)?)
            }
            Some(param) => {
                text::parse(&ty, &param, session.format()).map_err(|error| error.report())?
            }
        });
    }
    Ok(vec![session.query(sql, &values).await?])
}

/// Entries of a log: a head line, and following lines that begin with a tab.
fn parse(log: &str) -> Vec<Sent> {
    let mut entries: Vec<String> = Vec::new();
    for line in log.lines() {
        match line.strip_prefix('\t') {
            Some(more) => {
                if let Some(last) = entries.last_mut() {
                    last.push('\n');
                    last.push_str(more);
                }
            }
            None => entries.push(line.to_owned()),
        }
    }
    let mut sent: Vec<Sent> = Vec::new();
    for entry in entries {
        let Some((head, body)) = entry.split_once("] ") else {
            continue;
        };
        let client = head
            .trim_start_matches('[')
            .split('|')
            .next()
            .unwrap_or("")
            .to_owned();
        // Logs of PostgreSQL's own test suite stand between some clients' lines.
        if client.starts_with("pg_regress") {
            continue;
        }
        if let Some(sql) = body.strip_prefix("LOG:  statement: ") {
            sent.push(Sent {
                client,
                sql: sql.to_owned(),
                params: Vec::new(),
            });
        } else if let Some(execute) = body.strip_prefix("LOG:  execute ") {
            if let Some((_, sql)) = execute.split_once(": ") {
                sent.push(Sent {
                    client,
                    sql: sql.to_owned(),
                    params: Vec::new(),
                });
            }
        } else if let Some(params) = body.strip_prefix("DETAIL:  parameters: ")
            && let Some(last) = sent.last_mut()
        {
            last.params = parameters(params);
        }
    }
    sent
}

/// `$1 = 'a', $2 = NULL, $3 = 'it''s'`.
fn parameters(list: &str) -> Vec<Option<String>> {
    let mut values = Vec::new();
    let mut rest = list;
    while let Some((_, after)) = rest.split_once(" = ") {
        if let Some(after) = after.strip_prefix("NULL") {
            values.push(None);
            rest = after;
            continue;
        }
        let mut value = String::new();
        let mut characters = after[1..].char_indices().peekable();
        let mut end = after.len();
        while let Some((at, c)) = characters.next() {
            if c != '\'' {
                value.push(c);
            } else if characters.next_if(|(_, next)| *next == '\'').is_some() {
                value.push('\'');
            } else {
                end = at + 2;
                break;
            }
        }
        values.push(Some(value));
        rest = &after[end..];
    }
    values
}

#[test]
fn logged_parameters_are_read_with_their_quotes() {
    let expected = vec![Some("a".to_owned()), None, Some("it's = 1, $2".to_owned())];
    assert_eq!(
        parameters("$1 = 'a', $2 = NULL, $3 = 'it''s = 1, $2'"),
        expected
    );
}
