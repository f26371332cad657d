//! The primitives that order what threads do to locks, and how many of them there are. The crate
//! takes both from here, so that the model check can compile the same sources over primitives
//! whose interleaving it chooses, and few of them.
//! Numbers that are only observed (costs, paces, tickets) are plain atomics.

pub(crate) use parking_lot::Mutex;
pub(crate) use std::sync::atomic::{AtomicU32, Ordering};

/// Independent parts of the list of owners.
pub(crate) const REGISTRY_STRIPES: usize = 64;
/// Independent parts of a relation's locks.
pub(crate) const TABLE_SHARDS: usize = 16;
/// Independent parts of the list of waiters.
pub(crate) const WAIT_STRIPES: usize = 16;
