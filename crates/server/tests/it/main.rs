//! The real binary: starts, answers, stops, refuses.
#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod changes;
mod config;
mod disk;
mod failures;
mod harness;
mod lifecycle;
mod redis;
mod sql;
