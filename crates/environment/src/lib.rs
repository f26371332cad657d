//! The world as arguments: clock, randomness and files, real or simulated.
//!
//! # Map
//! - `clock`, `random`, `files`: the three traits.
//! - `real`: the operating system's clock, generator and file system.
//! - `simulated`: the same three from one seed, in memory, with power loss, full disks and
//!   failures at chosen calls.
//!
//! # Invariants
//! 1. Nothing above this crate reads the time, the random generator or a durable file directly.
//! 2. In the simulation a byte is durable only after `sync_data` or `sync_all` of its file *and*
//!    `sync_dir` of every directory on its path; everything else may be lost at a power loss.
//! 3. A simulated run is a function of its seed and of the order of calls.
//!
//! # Not here
//! What files contain; sockets; tasks and timers (`tessera-tasks`).

mod clock;
mod files;
mod random;
mod real;
mod simulated;

use std::sync::Arc;

pub use clock::Clock;
pub use files::{File, FileLock, Files, Open, read_all, write_atomically};
pub use random::Random;
pub use simulated::{Operation, Simulation};

/// Everything a component needs from outside itself. Cheap to clone.
#[derive(Clone)]
pub struct Environment {
    /// Wall clock and monotonic clock.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable in the real environment, seeded in the simulated one.
    pub random: Arc<dyn Random>,
    /// The file system that holds the data directory.
    pub files: Arc<dyn Files>,
}

impl Environment {
    /// The operating system's clock, random generator and file system.
    pub fn real() -> Environment {
        Environment {
            clock: Arc::new(real::RealClock::new()),
            random: Arc::new(real::RealRandom),
            files: Arc::new(real::RealFiles),
        }
    }

    /// A clock that stands still, a seeded generator and an empty disk in memory, together with
    /// the handle that moves the clock and breaks the disk.
    pub fn simulated(seed: u64) -> (Environment, Simulation) {
        simulated::simulated(seed)
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").finish_non_exhaustive()
    }
}
