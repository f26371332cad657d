//! The PostgreSQL wire protocol (version 3.0) over the engine facade.
//!
//! # Map
//! - `server`: [`Server`]: the listener, one task per connection, shutdown.
//! - `options`: what the port is opened with.
//! - `startup`: from the first byte to a session: TLS, start-up message, authentication.
//! - `scram`: the SCRAM-SHA-256 exchange.
//! - `connection`: the loop of a logged-in client; `simple`, `extended`, `copy`: its messages.
//! - `wire`: the socket with its two buffers; `frontend`: messages read, checked strictly;
//!   `backend`: messages written; `values`: parameters and rows.
//!
//! # Invariants
//! 1. Everything that has arrived is handled before the socket is asked again, and answers leave
//!    in one write: at the end of what has arrived, when a buffer is full, before a wait.
//! 2. Nothing is allocated because a client announced a length.
//! 3. Both buffers are bounded; a client that does not read is cut off.
//! 4. A panic of one connection ends that connection only.
//!
//! # Not here
//! SQL, transactions, settings, prepared statements, portals: all `engine`.

mod backend;
mod connection;
mod copy;
mod extended;
mod frontend;
mod options;
mod scram;
mod server;
mod simple;
mod startup;
mod values;
mod wire;

pub use options::{Authentication, ServeError, ServerOptions};
pub use server::Server;
