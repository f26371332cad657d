//! Test support: a server in this process, with a folder and ports of its own.
//!
//! # Map
//! - `server`: [`TestServer`]: start, connect, restart, stop.
//! - `doors`: one client's connections to all protocols, and the transactions that they share.
//! - `wire`: small clients of the Redis and the HTTP port.
//! - `log_lines`: a WARN or ERROR line that no test announced fails the test.
//! - `bin/crash`: kills a server process under load and compares what is left.
//! - `bin/reference`: the book's reference pages, written from the code.
//!
//! # Invariants
//! 1. After the last server of a test has stopped, no task of its runtime is alive.
//! 2. Nothing outside the server's own folder is touched.
//!
//! # Not here
//! Tests; what they assert.

pub mod doors;
mod log_lines;
mod server;
pub mod wire;

pub use log_lines::{allow_log_line, unexpected_log_lines, watch_log};
pub use server::{TestOptions, TestServer};
