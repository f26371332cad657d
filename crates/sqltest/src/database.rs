//! The ways to a database, as the `sqllogictest` crate wants them.

use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType};
use tessera_cli::client::message::{Column, Reply};
use tessera_cli::client::{Client, ClientError};
use tessera_cli::connection::{SslMode, Target};
use tessera_engine::{Engine, EngineOptions, ResultSet, Session, StoreKind};
use tessera_testkit::{TestOptions, TestServer};

use crate::Over;

/// What the statements of a record for PostgreSQL alone, or not for it, are marked with.
const REFERENCE: &str = "reference";
/// The database of every file; PostgreSQL makes it anew for each.
const DATABASE: &str = "tessera";

/// A database for one file.
pub(crate) enum Database {
    Engine(Engine),
    Server(TestServer),
    /// A real PostgreSQL that somebody else started.
    Reference(Target),
}

/// One session.
pub(crate) enum Connection {
    Engine(Box<Session>),
    Wire(Box<Client>),
    Reference(Box<Client>),
}

/// A statement's error: SQLSTATE, message, detail and hint, so that a test can name any of them.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct SqlError(String);

impl Database {
    pub(crate) async fn open(over: Over) -> anyhow::Result<Arc<Database>> {
        Ok(Arc::new(match over {
            Over::Engine => {
                let options = EngineOptions {
                    admin_password: Some("not used".to_owned()),
                    ..EngineOptions::memory()
                };
                Database::Engine(Engine::open(options).await?)
            }
            Over::Pg => {
                let options = TestOptions {
                    store: StoreKind::Embedded,
                    ..TestOptions::default()
                };
                Database::Server(TestServer::start_with(options).await?)
            }
            Over::Reference => {
                let target = reference()?;
                let maintenance = Target {
                    database: "postgres".to_owned(),
                    ..target.clone()
                };
                let mut client = Client::connect(&maintenance, "sqltest").await?;
                for sql in [
                    "DROP DATABASE IF EXISTS tessera WITH (FORCE)",
                    "CREATE DATABASE tessera",
                ] {
                    run_on_wire(&mut client, sql).await?;
                }
                client.close().await;
                Database::Reference(target)
            }
        }))
    }

    /// A session with these settings, each `name=value`.
    pub(crate) async fn connect(&self, settings: &[String]) -> Result<Connection, SqlError> {
        let mut connection = match self {
            Database::Engine(engine) => {
                let session = engine.session("admin").await;
                Connection::Engine(Box::new(
                    session.map_err(|report| SqlError::of_report(&report))?,
                ))
            }
            Database::Server(server) => Connection::Wire(Box::new(wire(server).await?)),
            Database::Reference(target) => {
                let client = Client::connect(target, "sqltest").await;
                let client = client.map_err(|error| SqlError(error.to_string()))?;
                let mut connection = Connection::Reference(Box::new(client));
                // Its own default is the machine's zone.
                connection.run("SET TimeZone = 'UTC'").await?;
                connection
            }
        };
        for setting in settings {
            let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
            connection.run(&format!("SET {name} = '{value}'")).await?;
        }
        Ok(connection)
    }

    pub(crate) async fn close(self) -> anyhow::Result<()> {
        match self {
            Database::Engine(engine) => Ok(engine.close().await?),
            Database::Server(server) => server.stop().await,
            Database::Reference(_) => Ok(()),
        }
    }
}

/// Where the reference is: who started it says so in libpq's variables.
fn reference() -> anyhow::Result<Target> {
    let port = std::env::var("PGPORT").context("PGPORT names the reference's port")?;
    Ok(Target {
        host: std::env::var("PGHOST").unwrap_or_else(|_| "127.0.0.1".to_owned()),
        port: port.parse().context("PGPORT")?,
        user: "admin".to_owned(),
        database: DATABASE.to_owned(),
        password: None,
        sslmode: SslMode::Disable,
        tls_ca: None,
    })
}

/// A client's connection to a test server.
pub(crate) async fn wire(server: &TestServer) -> Result<Client, SqlError> {
    let target = Target {
        host: server.address().ip().to_string(),
        port: server.address().port(),
        user: "admin".to_owned(),
        database: DATABASE.to_owned(),
        password: Some(server.password().to_owned()),
        sslmode: SslMode::Disable,
        tls_ca: None,
    };
    Client::connect(&target, "sqltest")
        .await
        .map_err(|error| SqlError(error.to_string()))
}

impl SqlError {
    fn of_report(report: &tessera_types::Report) -> SqlError {
        let mut text = format!("{}: {}", report.code.as_str(), report.message);
        for (name, part) in [("DETAIL", &report.detail), ("HINT", &report.hint)] {
            if let Some(part) = part {
                text.push_str(&format!("\n{name}: {part}"));
            }
        }
        SqlError(text)
    }
}

#[async_trait]
impl AsyncDB for Connection {
    type Error = SqlError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, SqlError> {
        match self {
            Connection::Engine(session) => match session.run(sql).await {
                Ok(results) => Ok(results
                    .last()
                    .map_or(DBOutput::StatementComplete(0), output_of)),
                Err(report) => Err(SqlError::of_report(&report)),
            },
            Connection::Wire(client) | Connection::Reference(client) => {
                run_on_wire(client, sql).await
            }
        }
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        match self {
            Connection::Engine(_) => "engine",
            Connection::Wire(_) => "pg",
            Connection::Reference(_) => REFERENCE,
        }
    }
}

fn output_of(result: &ResultSet) -> DBOutput<DefaultColumnType> {
    if result.columns.is_empty() {
        return DBOutput::StatementComplete(rows_in(&result.tag));
    }
    let types = result
        .columns
        .iter()
        .map(|(_, sql_type)| kind_of(sql_type.oid()))
        .collect();
    let width = result.columns.len();
    let text = |row| {
        (0..width)
            .map(|column| field(result.text(row, column)))
            .collect()
    };
    DBOutput::Rows {
        types,
        rows: (0..result.rows.len()).map(text).collect(),
    }
}

async fn run_on_wire(
    client: &mut Client,
    sql: &str,
) -> Result<DBOutput<DefaultColumnType>, SqlError> {
    let fault = |error: ClientError| SqlError(error.to_string());
    client.send_query(sql).await.map_err(fault)?;
    let mut columns: Vec<Column> = Vec::new();
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut output = DBOutput::StatementComplete(0);
    let mut failure = None;
    loop {
        match client.next().await.map_err(fault)? {
            Reply::Columns(new) => columns = new,
            Reply::Row(row) => rows.push(row.into_iter().map(field).collect()),
            Reply::Complete(tag) if columns.is_empty() => {
                output = DBOutput::StatementComplete(rows_in(&tag));
            }
            Reply::Complete(_) => {
                let types = columns
                    .drain(..)
                    .map(|column| kind_of(column.type_oid))
                    .collect();
                output = DBOutput::Rows {
                    types,
                    rows: std::mem::take(&mut rows),
                };
            }
            Reply::CopyIn => client
                .end_copy(Some("no data in this test"))
                .await
                .map_err(fault)?,
            Reply::Error(error) => failure = Some(error),
            Reply::Ready(_) => break,
            _ => {}
        }
    }
    let Some(error) = failure else {
        return Ok(output);
    };
    let mut text = format!("{}: {}", error.code, error.message);
    for (name, part) in [("DETAIL", &error.detail), ("HINT", &error.hint)] {
        if let Some(part) = part {
            text.push_str(&format!("\n{name}: {part}"));
        }
    }
    Err(SqlError(text))
}

/// The letter of a column's type, by the type's object id.
fn kind_of(oid: u32) -> DefaultColumnType {
    match oid {
        20 | 21 | 23 | 26 => DefaultColumnType::Integer,
        700 | 701 | 1700 => DefaultColumnType::FloatingPoint,
        _ => DefaultColumnType::Text,
    }
}

fn field(text: Option<String>) -> String {
    match text {
        None => "NULL".to_owned(),
        Some(text) if text.is_empty() => "(empty)".to_owned(),
        Some(text) => text,
    }
}

/// The number at the end of a command tag.
fn rows_in(tag: &str) -> u64 {
    tag.rsplit(' ')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}
