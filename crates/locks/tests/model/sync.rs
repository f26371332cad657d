//! What the crate takes from its own `sync`, over shuttle.

use shuttle::sync::MutexGuard;
pub(crate) use shuttle::sync::atomic::{AtomicU32, Ordering};

pub(crate) const REGISTRY_STRIPES: usize = 2;
pub(crate) const TABLE_SHARDS: usize = 2;
pub(crate) const WAIT_STRIPES: usize = 2;

/// A mutex without poisoning: a panic ends the try.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Mutex(shuttle::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect("a panic ends the try")
    }
}
