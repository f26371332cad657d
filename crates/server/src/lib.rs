//! The one binary: command line, configuration, wiring, signals.
//!
//! # Map
//! - `command`: the command line, and what each command does.
//! - `config`: every setting once; file, environment and flags laid over the defaults.
//! - `serve`: opens the engine and the ports, waits, drains.
//! - `signals`: what asks the server to stop.
//! - `health`: what the HTTP port tells about the server; `collect`: gauges read from the engine.
//! - `redis`: what the Redis port gets from the engine.
//! - `tls`, `password`: secrets from files and the environment.
//! - `exit`: messages and exit codes.
//!
//! # Invariants
//! 1. Nobody is let in without a password except on a loopback address.
//! 2. Nothing leaves the machine in plain text unless that was switched on explicitly.
//! 3. A password is printed at most once, and never in the log.
//!
//! # Not here
//! Anything that another program could want: it is in the crates below.

mod collect;
mod command;
pub mod config;
mod exit;
mod health;
mod password;
mod redis;
mod serve;
mod signals;
mod tls;

pub use command::run;
