//! Hidden row numbers: unique within a table's storage, ascending in order of insertion.
//!
//! # Invariants
//! 1. Every insert of this process takes its number here, so two live rows never share one.
//! 2. The first number after a start lies above every committed row. Rows that were never
//!    committed left nothing behind, so their numbers may be given again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tessera_storage::{KeySpace, ScanOptions, Snapshot};
use tessera_transactions::Transaction;
use tessera_types::RelationId;

use crate::error::Result;
use crate::layout::{PREFIX_BYTES, rows_range};
use crate::table::Table;

/// Counters of all tables without a primary key.
#[derive(Debug, Default)]
pub struct RowIds {
    counters: Mutex<HashMap<RelationId, Arc<AtomicU64>>>,
}

impl RowIds {
    /// No counters yet.
    pub fn new() -> RowIds {
        RowIds::default()
    }

    /// The counter of a table: its value is the next number.
    pub(crate) async fn counter(&self, txn: &Transaction, table: &Table) -> Result<Arc<AtomicU64>> {
        let storage = table.def().storage;
        if let Some(counter) = self.counters.lock().get(&storage) {
            return Ok(Arc::clone(counter));
        }
        // With own rows: a rebuild in this transaction numbers them without the counter.
        let highest = highest_number(txn.newest_view_unrecorded(), table).await?;
        let next = highest.map_or(1, |number| number.saturating_add(1));
        let mut counters = self.counters.lock();
        let counter = counters
            .entry(storage)
            .or_insert_with(|| Arc::new(AtomicU64::new(next)));
        // Another session may have made it meanwhile, from an older snapshot.
        counter.fetch_max(next, Ordering::Relaxed);
        Ok(Arc::clone(counter))
    }

    /// Forgets a storage that is gone.
    pub fn forget(&self, storage: RelationId) {
        self.counters.lock().remove(&storage);
    }
}

async fn highest_number(view: Arc<dyn Snapshot>, table: &Table) -> Result<Option<u64>> {
    let options = ScanOptions {
        reverse: true,
        row_limit: Some(1),
        keys_only: true,
        ..ScanOptions::default()
    };
    let mut scan = view.scan(KeySpace::Rows, rows_range(table), options);
    let Some(batch) = scan.next_batch().await? else {
        return Ok(None);
    };
    let number = batch.first().and_then(|(key, _)| {
        let bytes: [u8; 8] = key.get(PREFIX_BYTES..)?.try_into().ok()?;
        Some(u64::from_be_bytes(bytes))
    });
    Ok(number)
}
