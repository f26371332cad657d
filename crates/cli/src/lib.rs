//! Client commands of the `tessera` binary: the SQL shell and the administration of users.
//!
//! # Map
//! - `connection`: host, port, user, password and TLS, from flags, a URL and the environment.
//! - `client`: the PostgreSQL wire, as a client: log in, simple queries, COPY, cancel.
//! - `scan`: where a statement or a backslash command ends in a text.
//! - `table`: results as aligned tables, expanded records, csv and json.
//! - `shell`: the loop over input, backslash commands, the line editor.
//! - `user`: `tessera user`.
//!
//! # Invariants
//! 1. Nothing here knows the engine: any server that speaks the protocol will do.
//! 2. A password is neither printed, nor kept in the history, nor sent in plain text.
//! 3. Results go to standard output, everything else to standard error.
//!
//! # Not here
//! The server, its configuration, and the offline check of a data directory.

pub mod client;
pub mod connection;
pub mod scan;
pub mod shell;
pub mod table;
pub mod user;
