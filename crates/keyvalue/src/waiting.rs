//! Waiting for keys: what BLPOP, BZPOPMIN and XREAD BLOCK need.
//!
//! # Protocol
//! Who waits registers first, then looks at the keys, then waits, then looks again. A commit that
//! changes the number or the size of what is at a key tells the registered ones its version, just
//! before it becomes visible; who is told looks once that version is visible.
//!
//! Nothing is missed: the commit stores its version before it looks for waiters, and who registers
//! looks at that version afterwards. So either the commit finds the waiter, or the waiter finds the
//! version and waits until it is visible before its first look.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use ahash::RandomState;
use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tessera_types::Version;
use tokio::sync::Notify;

use crate::space::Space;

/// Who waits for keys of one space.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    /// How many are registered, so that commits need not look where nobody waits.
    count: AtomicUsize,
    by_key: Mutex<HashMap<Bytes, Vec<Arc<Signal>>, RandomState>>,
}

#[derive(Debug, Default)]
struct Signal {
    notify: Notify,
    /// The newest commit that was told.
    version: AtomicU64,
}

impl Waiters {
    /// A commit is about to become visible that changes a key. Called after its version is known to
    /// who registers from now on.
    pub(crate) fn tell(&self, key: &Bytes, version: Version) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        for signal in self.by_key.lock().get(key).into_iter().flatten() {
            signal.version.fetch_max(version.0, Ordering::SeqCst);
            signal.notify.notify_one();
        }
    }
}

/// Waits for keys. Dropped, it is registered no more.
#[derive(Debug)]
pub struct KeyWaiter {
    space: Arc<Space>,
    keys: Vec<Bytes>,
    signal: Arc<Signal>,
}

impl KeyWaiter {
    /// Registers for some keys. Look at them when [`KeyWaiter::ready`] has answered.
    pub fn new<K: AsRef<[u8]>>(space: &Arc<Space>, keys: &[K]) -> KeyWaiter {
        let signal = Arc::new(Signal::default());
        let mut keys: Vec<Bytes> = keys
            .iter()
            .map(|key| Bytes::copy_from_slice(key.as_ref()))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        let waiters = &space.counters.waiters;
        {
            let mut by_key = waiters.by_key.lock();
            for key in &keys {
                by_key
                    .entry(key.clone())
                    .or_default()
                    .push(Arc::clone(&signal));
            }
        }
        waiters.count.fetch_add(1, Ordering::SeqCst);
        let version = space.counters.version();
        signal.version.fetch_max(version.0, Ordering::SeqCst);
        KeyWaiter {
            space: Arc::clone(space),
            keys,
            signal,
        }
    }

    /// Waits until every change of the space that was told before is visible.
    pub async fn ready(&self) {
        let version = Version(self.signal.version.load(Ordering::SeqCst));
        // Publishing is under way and short.
        while self.space.transactions().store().newest() < version {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until a commit has changed the number or the size of what is at one of the keys, and is
    /// visible. May answer without such a change, so look again, and wait again. The caller brings
    /// the time-out.
    pub async fn changed(&self) {
        self.signal.notify.notified().await;
        self.ready().await;
    }
}

impl Drop for KeyWaiter {
    fn drop(&mut self) {
        let waiters = &self.space.counters.waiters;
        waiters.count.fetch_sub(1, Ordering::SeqCst);
        let mut by_key = waiters.by_key.lock();
        for key in &self.keys {
            if let Some(signals) = by_key.get_mut(key) {
                signals.retain(|signal| !Arc::ptr_eq(signal, &self.signal));
                if signals.is_empty() {
                    by_key.remove(key);
                }
            }
        }
    }
}
