//! Hierarchical lock manager: decides who may use a resource now, and who waits.
//!
//! # Map
//! - `resource`: what can be locked, and what lies above it.
//! - `mode`: the six modes, their compatibility and their joins; pure data, no state.
//! - `owner`, `held`, `statement`: one transaction, what it holds, what it runs.
//! - `manager`: what upper layers call.
//! - `acquire`: how a request is granted: fast path, queue, escalation.
//! - `waiting`, `wait`: a request that waits, from its place in the queue to its end.
//! - `table`: partitions and shards of queues. `registry`: owners with locks of the fast path.
//! - `queue`: holders and waiters of one resource; all state changes happen here.
//! - `deadlock`, `victim`: finds a cycle among waiters, and whom to lose.
//! - `pace`: durations that follow what is observed.
//! - `view`, `history`, `blame`, `profile`, `measure`: what is, what was, and whose fault.
//! - `report`, `describe`: errors, and what they say about the other side.
//!
//! # Invariants
//! 1. Modes granted on one resource to different sessions are pairwise compatible.
//! 2. A session waits in at most one queue at a time.
//! 3. A child is granted only while its parent is held in the matching intention mode.
//! 4. A dropped future leaves neither a waiter nor a grant behind.
//! 5. Mutexes are taken in the order owner, shard, and then one of those that are innermost; no
//!    two of one kind at once; nothing is awaited under one.
//! 6. While somebody waits on a resource, its queue knows all of its holders.
//!
//! # Not here
//! Where a time-out comes from (the caller brings a deadline), SQL names, durability, counts of
//! locks taken twice.

mod acquire;
mod blame;
mod deadlock;
mod describe;
mod held;
mod history;
mod manager;
mod measure;
mod mode;
mod owner;
mod pace;
mod profile;
mod queue;
mod registry;
mod report;
mod resource;
mod statement;
mod sync;
mod table;
mod victim;
mod view;
mod wait;
mod waiting;

pub use describe::ROW_STRENGTHS;
pub use history::{DeadlockRecord, WaitOutcome, WaitRecord};
pub use manager::{Grant, LockManager, LockManagerOptions, LockOptions, Request, Wait};
pub use mode::Mode;
pub use owner::{Mark, Owner, SessionGroup};
pub use profile::{Frames, ProfileRow};
pub use report::{Blocker, CycleMember, LockError, Refused};
pub use resource::Resource;
pub use victim::VictimPolicy;
pub use view::{LockInfo, WaitInfo};
