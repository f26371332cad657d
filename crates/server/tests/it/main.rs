//! The real binary: starts, answers, stops, refuses.

mod config;
mod failures;
mod harness;
mod lifecycle;
mod sql;
