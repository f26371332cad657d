//! The engine as a library: scripts of sessions, and what a script cannot say.

#![expect(clippy::unwrap_used, reason = "a test ends where something fails")]

mod cancel;
mod changes;
mod clients;
mod contention;
mod durable;
mod listening;
mod models;
mod retry;
mod script;
mod sql_models;
