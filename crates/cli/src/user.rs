//! `tessera user`: the administration of users, over the wire, by an administrator.
//!
//! # Invariants
//! 1. A password leaves this process only as a SCRAM verifier, as with psql's `\password`.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use postgres_protocol::password::scram_sha_256;

use crate::client::message::Column;
use crate::client::{Client, ClientError};
use crate::connection::{ConnectionArguments, read_password};
use crate::shell;
use crate::table::{Layout, Table};

const TEXT: u32 = 25;

/// Flags of `tessera user`.
#[derive(Args, Debug)]
pub struct UserArguments {
    /// Where to connect, as which administrator.
    #[command(flatten)]
    pub connection: ConnectionArguments,
    /// What to do.
    #[command(subcommand)]
    pub command: UserCommand,
}

/// What to do with users.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Adds a user; the password is asked for.
    Add {
        /// Name of the new user.
        name: String,
        /// With the rights of an administrator.
        #[arg(long)]
        admin: bool,
        /// File with the new user's password.
        #[arg(long)]
        new_password_file: Option<PathBuf>,
    },
    /// Lists all users.
    List,
    /// Removes a user.
    Drop {
        /// Name of the user.
        name: String,
    },
    /// Changes a user's password.
    Password {
        /// Name of the user.
        name: String,
        /// File with the new password.
        #[arg(long)]
        new_password_file: Option<PathBuf>,
    },
}

/// Runs the command to its end; messages are printed already.
pub async fn run(arguments: UserArguments) -> ExitCode {
    match carry_out(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(UserError::Client(error)) => {
            let cause = std::error::Error::source(&error);
            let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
            eprintln!("{error}{cause}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("tessera user: {error}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum UserError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{0}")]
    Input(String),
    #[error("cannot write the result")]
    Output(#[from] io::Error),
}

async fn carry_out(arguments: UserArguments) -> Result<(), UserError> {
    let target = arguments
        .connection
        .target()
        .map_err(|error| UserError::Input(error.to_string()))?;
    let mut client = shell::connect(target).await?;
    let outcome = match arguments.command {
        UserCommand::Add {
            name,
            admin,
            new_password_file,
        } => {
            let verifier = scram_sha_256(new_password(new_password_file)?.as_bytes());
            let rights = if admin { "SUPERUSER" } else { "NOSUPERUSER" };
            let name = quoted(&name);
            run_sql(
                &mut client,
                &format!("CREATE USER {name} {rights} PASSWORD '{verifier}'"),
            )
            .await
        }
        UserCommand::Drop { name } => {
            run_sql(&mut client, &format!("DROP USER {}", quoted(&name))).await
        }
        UserCommand::Password {
            name,
            new_password_file,
        } => {
            let verifier = scram_sha_256(new_password(new_password_file)?.as_bytes());
            run_sql(
                &mut client,
                &format!("ALTER USER {} PASSWORD '{verifier}'", quoted(&name)),
            )
            .await
        }
        UserCommand::List => list(&mut client).await,
    };
    client.close().await;
    outcome
}

async fn run_sql(client: &mut Client, sql: &str) -> Result<(), UserError> {
    client.query(sql).await?;
    Ok(())
}

async fn list(client: &mut Client) -> Result<(), UserError> {
    let sql = "SELECT rolname, CASE WHEN rolsuper THEN 'administrator' ELSE 'user' END \
               FROM pg_catalog.pg_roles WHERE rolcanlogin ORDER BY rolname";
    let rows = client.query(sql).await?;
    let columns = ["User", "Rights"].map(|name| Column {
        name: name.to_owned(),
        type_oid: TEXT,
    });
    let mut out = io::stdout();
    Table {
        columns: &columns,
        rows: &rows,
        title: None,
    }
    .write(&Layout::default(), &mut out)?;
    Ok(out.flush()?)
}

/// From the file, or asked for twice without echo, or the first line of standard input.
fn new_password(file: Option<PathBuf>) -> Result<String, UserError> {
    let fault = |error: io::Error| UserError::Input(format!("cannot read the password: {error}"));
    let password = match file {
        Some(path) => read_password(&path).map_err(|error| UserError::Input(error.to_string()))?,
        None if io::stdin().is_terminal() => {
            let first = rpassword::prompt_password("New password: ").map_err(fault)?;
            let second = rpassword::prompt_password("Once more: ").map_err(fault)?;
            if first != second {
                return Err(UserError::Input("the two passwords differ".to_owned()));
            }
            first
        }
        None => {
            let mut line = String::new();
            io::stdin().read_line(&mut line).map_err(fault)?;
            line.trim_end_matches(['\r', '\n']).to_owned()
        }
    };
    if password.is_empty() {
        return Err(UserError::Input("the password is empty".to_owned()));
    }
    Ok(password)
}

/// A name as an SQL identifier.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
