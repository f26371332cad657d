//! What every engine must do, over each of them; and what the embedded one does when the world
//! around it fails.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod changes;
mod conformance;
mod crash;
mod directory;
mod failures;
mod harness;
mod memory;
mod model;
mod points;
mod power_loss;
mod pressure;
mod reads;
mod skew;
