//! The log over a simulated disk that fails in every way it can, and over the real one.
#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod basics;
mod damage;
mod faults;
mod full;
mod group;
mod harness;
mod reader;
