//! Clock, randomness and files from one seed, in memory.
//!
//! # Map
//! - `control`: `Simulation`, the handle with which a test moves the clock and breaks the disk.
//! - `disk`: the whole disk behind one lock: names, open state, space, injected failures.
//! - `inode`: one file: its content now, and what of it would survive a power loss.
//! - `names`: directories now, and what of them would survive.
//! - `faces`: the `Files`, `File`, `Clock` and `Random` that the rest of the program sees.

mod control;
mod disk;
mod faces;
mod inode;
mod names;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::Environment;
pub use control::Simulation;
pub use disk::Operation;

pub(crate) fn simulated(seed: u64) -> (Environment, Simulation) {
    let disk = Arc::new(disk::SharedDisk::new(seed));
    let clock = Arc::new(faces::SimulatedClock::default());
    let environment = Environment {
        clock: clock.clone(),
        random: Arc::new(faces::SeededRandom::new(seed)),
        files: Arc::new(faces::SimulatedFiles::new(disk.clone())),
    };
    (environment, Simulation::new(seed, disk, clock))
}
