//! What `cargo xtask bench` runs: the engine by itself (`inside`), the wire by itself (`constant`).
//!
//! # Not here
//! The comparison with PostgreSQL: `xtask` starts both servers and pgbench.
