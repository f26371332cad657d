//! The wire protocol against a server in the same process: raw bytes, and a real driver.

#![expect(clippy::unwrap_used, reason = "a test ends where something fails")]

mod clients;
mod limits;
mod login;
mod notifications;
mod raw;
mod script;
mod support;
