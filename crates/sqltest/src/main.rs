//! SQL logic tests over the engine, over the PostgreSQL wire and over a real PostgreSQL, and the
//! book's examples.
//!
//! # Map
//! - `database`: the ways to a database, as the `sqllogictest` crate wants them.
//! - `corpus`: runs or completes the files in `files/`.
//! - `examples`: runs the SQL in the pages of the book.
//! - `isolation`: scripts of several sessions, in `isolation/`.
//!
//! # Invariants
//! 1. Every file and every page gets a database of its own.
//! 2. The same files with the same answers run over every way.
//!
//! # Not here
//! The tests: they are text in `files/<area>/*.slt`.

#![expect(clippy::print_stdout, reason = "a command-line tool prints")]

mod corpus;
mod database;
mod examples;
mod isolation;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};

/// Runs SQL tests.
#[derive(Parser)]
enum Command {
    /// Runs the files.
    Slt(corpus::SltArguments),
    /// Runs the SQL in the book's pages.
    Examples,
    /// Runs scripts of several sessions at every isolation level.
    Isolation(isolation::IsolationArguments),
}

/// What carries the statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Over {
    /// The embedded library, on the memory store.
    Engine,
    /// A server on the embedded store, and a client on the PostgreSQL wire.
    Pg,
    /// The PostgreSQL that libpq's environment variables name: where expected answers come from.
    Reference,
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Slt(arguments) => corpus::run(&arguments).await,
        Command::Examples => examples::run().await,
        Command::Isolation(arguments) => isolation::run(&arguments).await,
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
