//! The Redis wire protocol (RESP2 and RESP3) over the key-value model.
//!
//! # Map
//! - `door`: [`Door`]: what the engine gives to the port.
//! - `server`: [`Server`]: the listener, one task per connection, shutdown. `options`: what the port
//!   is opened with.
//! - `table`: every command, once; COMMAND and [`reference_page`] are made from it.
//! - `connection`: the loop of a client. `check`: whether it may run a command. `group`: writes
//!   of a pipeline in one transaction. `flight`: commits that its answers wait for. `blocking`: a client that waits for keys.
//! - `session`: what is known of a client; MULTI, TX, SUBSCRIBE, CLIENT, CONFIG, INFO.
//! - `commands`: what each command does with a key space. `args`: its arguments. `fault`: its errors,
//!   in Redis's words. `locking`: locks ahead of commands.
//! - `hub`: what connections share: clients, channels, queues of waiting clients, notifications.
//! - `wire`: the socket; `decode`: commands read, checked strictly; `request`: one of them; `reply`:
//!   answers written.
//! - `totals`: what is counted, for INFO and for the server's metrics.
//!
//! # Invariants
//! 1. Everything that has arrived is handled before the socket is asked again, and answers leave in
//!    one write: when the input is drained, when a buffer is full, before a wait.
//! 2. An answer leaves when the commits of all commands up to its own are durable. Commands of a
//!    pipeline share log records and syncs, and each has its own fate: what fails is undone alone.
//! 3. Nothing is allocated because a client announced a length.
//! 4. Buffers, queues and mailboxes are bounded; a client that does not read is cut off.
//! 5. Waiting clients are woken by commits, in the order of their arrival; nothing polls.
//! 6. A panic of one connection ends that connection only.
//!
//! # Not here
//! What commands mean (the key-value model); users, spaces' names, durability (behind [`Door`]);
//! replication, scripts, cluster.

mod args;
mod blocking;
mod check;
mod commands;
mod connection;
mod decode;
mod door;
mod fault;
mod flight;
mod group;
mod hub;
mod locking;
mod options;
mod reply;
mod request;
mod server;
mod session;
mod table;
mod totals;
mod wire;

pub use door::{Attempt, DATABASES, Database, Door, Login, ServerFacts};
pub use options::{ServeError, ServerOptions};
pub use server::Server;
pub use table::{reference_page, supported_commands};
