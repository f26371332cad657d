//! DDL of one transaction that is not committed yet.
//!
//! The overlay hangs on the transaction. Each verb adds its changes together with the records it
//! writes; hooks take them away again when the statement or savepoint is undone, and hand them to
//! the committed state at publish.

use std::sync::Arc;

use parking_lot::Mutex;
use tessera_transactions::Transaction;

use crate::state::{CatalogState, Change};

/// Uncommitted changes of one transaction.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    changes: Vec<Change>,
    /// Version of the committed state below, and the merged state.
    merged: Option<(u64, Arc<CatalogState>)>,
}

impl Overlay {
    /// The transaction's overlay, if it did any DDL.
    pub(crate) fn of(txn: &Transaction) -> Option<Arc<Overlay>> {
        txn.attachment()?.downcast().ok()
    }

    /// The transaction's overlay, made now if there is none.
    pub(crate) fn of_or_new(txn: &Transaction) -> Arc<Overlay> {
        Overlay::of(txn).unwrap_or_else(|| {
            let overlay = Arc::<Overlay>::default();
            txn.set_attachment(Some(Arc::clone(&overlay) as _));
            overlay
        })
    }

    /// The committed state with these changes on top.
    pub(crate) fn merge(
        &self,
        committed: &Arc<CatalogState>,
        next_version: impl FnOnce() -> u64,
    ) -> Arc<CatalogState> {
        let mut inner = self.inner.lock();
        if inner.changes.is_empty() {
            return Arc::clone(committed);
        }
        if let Some((base, merged)) = &inner.merged
            && *base == committed.version()
        {
            return Arc::clone(merged);
        }
        let merged = Arc::new(committed.with_changes(next_version(), &inner.changes, None));
        inner.merged = Some((committed.version(), Arc::clone(&merged)));
        merged
    }

    /// Adds changes; answers how many there were before.
    pub(crate) fn add(&self, changes: &[Change]) -> usize {
        let mut inner = self.inner.lock();
        let before = inner.changes.len();
        inner.changes.extend_from_slice(changes);
        inner.merged = None;
        before
    }

    /// Forgets all but the first changes.
    pub(crate) fn truncate(&self, count: usize) {
        let mut inner = self.inner.lock();
        inner.changes.truncate(count);
        inner.merged = None;
    }

    /// Takes the changes out for publishing; later calls find none.
    pub(crate) fn take(&self) -> Vec<Change> {
        let mut inner = self.inner.lock();
        inner.merged = None;
        std::mem::take(&mut inner.changes)
    }
}
