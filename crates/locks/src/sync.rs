//! The primitives that threads meet in. All of the crate takes them from here, so that the model
//! check can compile the same sources over primitives whose interleaving it chooses.

pub(crate) use parking_lot::Mutex;
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
