//! Hierarchical lock manager: decides who may use a resource now, and who waits.
//!
//! # Map
//! - `resource`: what can be locked, and what lies above it.
//! - `mode`: the six modes, their compatibility and their joins; pure data, no state.
//! - `queue`: holders and waiters of one resource; all state changes happen here.
//! - `owner`: what one transaction holds, in the order it got it.
//! - `manager`: the sharded table of queues, waiting, escalation.
//! - `deadlock`: finds a cycle among waiters and names its victim.
//! - `report`: errors, and what they say about the other side.
//!
//! # Invariants
//! 1. Modes granted on one resource are pairwise compatible.
//! 2. A transaction waits in at most one queue at a time.
//! 3. A child is granted only while its parent is held in the matching intention mode.
//! 4. A dropped `acquire` future leaves neither a waiter nor a grant behind.
//! 5. No two shards are locked at once; nothing is awaited under a lock.
//!
//! # Not here
//! Where a time-out comes from (the caller brings a deadline), SQL names, durability.

mod deadlock;
mod manager;
mod measure;
mod mode;
mod owner;
mod queue;
mod report;
mod resource;

pub use manager::{Grant, LockInfo, LockManager, LockManagerOptions, LockOptions, Wait};
pub use mode::Mode;
pub use owner::{Mark, Owner};
pub use report::{Blocker, CycleMember, LockError, Refused};
pub use resource::Resource;
