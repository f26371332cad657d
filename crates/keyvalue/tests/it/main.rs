//! The key-value model over both engines.

#![expect(clippy::unwrap_used, reason = "a test ends where something fails")]

mod bits;
mod collections;
mod concurrency;
mod expiry;
mod geo;
mod keys;
mod reopen;
mod scans;
mod sorted_sets;
mod streams;
mod world;
