//! Collections over both engines, and the suites of the standards.

#![expect(clippy::unwrap_used, reason = "a test ends where something fails")]

mod aggregate;
mod collections;
mod indexes;
mod model;
mod pages;
mod suites;
mod world;
