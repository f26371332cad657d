//! Compares a table's indexes with its rows, entry by entry.

use std::collections::BTreeMap;
use std::sync::Arc;

use tessera_storage::{Key, KeySpace, ScanOptions, Snapshot, Val};

use crate::error::{Result, TableError};
use crate::layout::{index_range, rows_range};
use crate::scan::{RowScan, ScanSpec};
use crate::table::Table;

/// Number of rows, after every index was found to hold exactly their entries.
///
/// Holds all entries of one index in memory: meant for tests and for offline checks.
pub async fn check_table(view: &Arc<dyn Snapshot>, table: &Table) -> Result<u64> {
    let mut rows = 0;
    let mut expected: Vec<BTreeMap<Key, Val>> = vec![BTreeMap::new(); table.indexes().len()];
    let mut scan = RowScan::new(Arc::clone(view), rows_range(table), ScanSpec::default());
    while let Some(batch) = scan.next_batch().await? {
        for stored in batch {
            rows += 1;
            let row = table.decode(&stored.value)?;
            table.check_not_null(&row)?;
            for (index, entries) in table.indexes().iter().zip(&mut expected) {
                let entry = index.entry(&row, &stored.key)?;
                if entries.insert(entry.key, entry.value).is_some() {
                    return Err(TableError::IndexMismatch {
                        index: index.def.name.clone(),
                    });
                }
            }
        }
    }
    for (index, mut entries) in table.indexes().iter().zip(expected) {
        let mismatch = || TableError::IndexMismatch {
            index: index.def.name.clone(),
        };
        let options = ScanOptions::default();
        let mut scan = Arc::clone(view).scan(KeySpace::Indexes, index_range(index), options);
        while let Some(batch) = scan.next_batch().await? {
            for (key, value) in batch {
                if entries.remove(&key).as_ref() != Some(&value) {
                    return Err(mismatch());
                }
            }
        }
        if !entries.is_empty() {
            return Err(mismatch());
        }
    }
    Ok(rows)
}
