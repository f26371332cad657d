//! The catalog over a store in memory.

#![expect(clippy::unwrap_used, reason = "a test ends where something fails")]

mod ddl;
mod models;
mod names;
mod sequences;
mod world;
