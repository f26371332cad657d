//! What `cargo xtask bench` runs: the engine by itself (`inside`), the wire by itself (`constant`),
//! documents over HTTP and in the engine (`documents`).
//!
//! # Map
//! - `http`: a client of the HTTP API that costs little.
//!
//! # Not here
//! The comparison with PostgreSQL: `xtask` starts both servers and pgbench.

pub mod http;
