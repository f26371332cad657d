//! Exact counts of one key space, without conflicts between its writers.
//!
//! # How
//! A write notes what it changes with its transaction: an `on_publish` hook holds the [`Change`].
//! When the commit is durable and just before it is visible, the hook adds the change to the
//! [`PrefixTree`]. Nothing about counts is stored, so two writers of different keys share nothing
//! but a mutex for some nanoseconds; when a key space is opened, its records are counted.
//!
//! A hook that is dropped without having run (the statement, savepoint or transaction was undone,
//! or the commit failed) changes nothing; `Change` notices by being dropped. Until its end, the sum
//! of a transaction's changes is kept in `pending`, for its own counts.
//! A commit whose fate is unknown does not count; the store takes no writes then until it is opened
//! anew, and so is the space.
//!
//! # Expired keys
//! The tree counts what is stored. Keys that have expired and are still stored are found by a scan
//! of the index of expiries and subtracted by whoever asks. For that, tree and scan must be of the
//! same moment: `version` is that of the newest commit that changed the tree, and the count is
//! taken again if it moved, or if the scan's snapshot is older.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tessera_transactions::Transaction;
use tessera_types::{TxnId, Version};

use crate::prefixes::{Delta, Known, PrefixFootprint, PrefixTree};
use crate::waiting::Waiters;

/// Independent parts of the pending changes.
const SHARDS: usize = 16;

/// Changes of one transaction that is not committed.
#[derive(Debug, Default)]
struct Pending {
    /// Changes that still live.
    changes: usize,
    total: Delta,
    by_key: HashMap<Bytes, Delta, RandomState>,
}

type PendingShard = Mutex<HashMap<TxnId, Pending, RandomState>>;

#[derive(Debug)]
pub(crate) struct Counters {
    tree: Mutex<PrefixTree>,
    /// The newest commit that changed the tree.
    version: AtomicU64,
    pending: Box<[PendingShard]>,
    pub(crate) waiters: Waiters,
}

impl Counters {
    pub(crate) fn new(tree: PrefixTree) -> Counters {
        Counters {
            tree: Mutex::new(tree),
            version: AtomicU64::new(0),
            pending: (0..SHARDS).map(|_| Mutex::default()).collect(),
            waiters: Waiters::default(),
        }
    }

    /// Notes a change that becomes true with the transaction's commit, and that waiters are told of.
    pub(crate) fn note(self: &Arc<Self>, txn: &Transaction, key: &Bytes, delta: Delta) {
        self.add_pending(txn.id(), key, delta, true);
        let change = Change {
            counters: Arc::clone(self),
            txn: txn.id(),
            key: key.clone(),
            delta,
        };
        txn.on_publish(Box::new(move |version| change.publish(version)));
    }

    /// Version of the newest commit that changed the counts.
    pub(crate) fn version(&self) -> Version {
        Version(self.version.load(Ordering::SeqCst))
    }

    pub(crate) fn known(&self, prefix: &[u8]) -> Known {
        self.tree.lock().known(prefix)
    }

    pub(crate) fn children(&self, parent: &[u8]) -> (Vec<PrefixFootprint>, bool) {
        self.tree.lock().children(parent)
    }

    /// What the transaction itself has changed below a prefix.
    pub(crate) fn pending(&self, txn: TxnId, prefix: &[u8]) -> Delta {
        let shard = self.shard(txn).lock();
        let Some(pending) = shard.get(&txn) else {
            return Delta::default();
        };
        if prefix.is_empty() {
            return pending.total;
        }
        let mut sum = Delta::default();
        for (key, delta) in &pending.by_key {
            if key.starts_with(prefix) {
                sum.add(*delta);
            }
        }
        sum
    }

    fn add_pending(&self, txn: TxnId, key: &Bytes, delta: Delta, is_new: bool) {
        let mut shard = self.shard(txn).lock();
        let pending = shard.entry(txn).or_default();
        pending.total.add(delta);
        let of_key = pending.by_key.entry(key.clone()).or_default();
        of_key.add(delta);
        if of_key.is_zero() {
            pending.by_key.remove(key);
        }
        if is_new {
            pending.changes += 1;
        } else {
            pending.changes -= 1;
            if pending.changes == 0 {
                shard.remove(&txn);
            }
        }
    }

    fn shard(&self, txn: TxnId) -> &PendingShard {
        &self.pending[txn.0 as usize % SHARDS]
    }
}

/// One change of one key's share. Dropped, published or not, it is pending no more.
struct Change {
    counters: Arc<Counters>,
    txn: TxnId,
    key: Bytes,
    delta: Delta,
}

impl Change {
    fn publish(self, version: Version) {
        self.counters.tree.lock().apply(&self.key, self.delta);
        self.counters.version.store(version.0, Ordering::SeqCst);
        self.counters.waiters.tell(&self.key, version);
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        let delta = self.delta.negated();
        self.counters.add_pending(self.txn, &self.key, delta, false);
    }
}
