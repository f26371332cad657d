//! Isolation between doors: two transactions come in by different protocols and meet on keys,
//! documents and rows of a real server. What each level promises is the same for all of them.
//!
//! The first of two parties speaks Redis to keys and SQL to rows; the second one reaches everything
//! by HTTP. Each scenario runs at every level, with different doors that begin.

#![expect(clippy::unwrap_used, reason = "a test ends where something fails")]

mod anomalies;
mod conflicts;
#[path = "../it/harness.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod harness;
mod parties;
