//! The handle with which a test moves the clock and breaks the disk.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::disk::{Failure, Operation, SharedDisk};
use super::faces::SimulatedClock;

/// Control over a simulated environment. Cheap to clone; all clones move the same world.
#[derive(Clone)]
pub struct Simulation {
    seed: u64,
    disk: Arc<SharedDisk>,
    clock: Arc<SimulatedClock>,
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulation")
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl Simulation {
    pub(crate) fn new(seed: u64, disk: Arc<SharedDisk>, clock: Arc<SimulatedClock>) -> Simulation {
        Simulation { seed, disk, clock }
    }

    /// The seed that replays this run.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Sets the wall clock, as an administrator or a time server may.
    pub fn set_unix_micros(&self, micros: i64) {
        self.clock.set_unix_micros(micros);
    }

    /// How many calls of a kind were made so far.
    pub fn count(&self, operation: Operation) -> u64 {
        self.disk.lock().count(operation)
    }

    /// How many syncs, of files and directories, were asked for so far.
    pub fn sync_count(&self) -> u64 {
        self.count(Operation::Sync)
    }

    /// How many calls failed because of `fail_at` or `fail_from`.
    pub fn failed_count(&self) -> u64 {
        self.disk.lock().failed
    }

    /// Makes the `n`-th call of this kind (counted from 0 and from the start of the simulation)
    /// fail once.
    pub fn fail_at(&self, operation: Operation, n: u64) {
        self.disk.lock().failures.push(Failure {
            operation,
            from: n,
            repeat: false,
        });
    }

    /// Makes the `n`-th call of this kind and all later ones fail.
    pub fn fail_from(&self, operation: Operation, n: u64) {
        self.disk.lock().failures.push(Failure {
            operation,
            from: n,
            repeat: true,
        });
    }

    /// Makes the `n`-th sync fail once.
    pub fn fail_sync_at(&self, n: u64) {
        self.fail_at(Operation::Sync, n);
    }

    /// Takes back all `fail_at` and `fail_from`.
    pub fn heal(&self) {
        self.disk.lock().failures.clear();
    }

    /// Switches the power off at the `n`-th sync, which then has not happened. Every later call
    /// fails until `power_loss`.
    pub fn cut_power_at_sync(&self, n: u64) {
        self.disk.lock().cut_at_sync = Some(n);
    }

    /// Switches the power off now. Every later call fails until `power_loss`.
    pub fn cut_power(&self) {
        self.disk.lock().powered = false;
    }

    /// Whether the power is still on.
    pub fn is_powered(&self) -> bool {
        self.disk.lock().powered
    }

    /// Loses or tears, by the seed, what no sync made durable, and switches the power on again.
    /// Handles and locks from before are dead.
    pub fn power_loss(&self) {
        self.disk.lock().lose_power();
    }

    /// Limits the disk to this many bytes in all files together; `None` lifts the limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.disk.lock().set_capacity(bytes);
    }

    /// Leaves only this many free bytes.
    pub fn disk_full(&self, free_bytes: u64) {
        let mut disk = self.disk.lock();
        let used = disk.used();
        disk.set_capacity(Some(used + free_bytes));
    }

    /// Bytes taken by all files together.
    pub fn used_bytes(&self) -> u64 {
        self.disk.lock().used()
    }

    /// Inverts one bit of a stored byte.
    pub fn flip_byte(&self, path: &Path, offset: u64) -> io::Result<()> {
        self.damage(path, offset, 1 << (offset % 8))
    }

    /// Inverts the bits of `mask` in a stored byte.
    pub fn damage(&self, path: &Path, offset: u64, mask: u8) -> io::Result<()> {
        let mut disk = self.disk.lock();
        let id = disk.file(path)?;
        let done = disk.inode(id)?.damage(offset as usize, mask);
        if done {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    /// Every file and its length, in order of path.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        let disk = self.disk.lock();
        let len = |id| {
            disk.inodes
                .get(&id)
                .map_or(0, |inode| inode.content().len() as u64)
        };
        disk.names
            .files()
            .map(|(path, id)| (path.to_owned(), len(id)))
            .collect()
    }
}
