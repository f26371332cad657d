//! Fills new storage from rows that exist: CREATE INDEX, ADD PRIMARY KEY, changes of a column's
//! type. The caller holds the table's X lock, so nothing else moves.
//!
//! # Invariants
//! 1. Memory is bounded: everything goes through the transaction's write buffer, which spills.
//! 2. A duplicate key is found before the statement ends: two rows of one key leave one entry, so
//!    a count of the entries tells, and only then the rows are searched for the culprit.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use tessera_storage::{Key, KeyRange, KeySpace, ScanOptions, Snapshot};
use tessera_transactions::Transaction;
use tessera_types::Value;

use crate::error::{Result, TableError};
use crate::layout::{index_range, rows_range};
use crate::scan::{RowScan, ScanSpec};
use crate::table::{Index, Table};

/// Writes rows into fresh storage of a table, with all indexes.
pub struct Rebuild<'a> {
    txn: &'a Transaction,
    table: &'a Table,
    rows: u64,
    highest: Option<Key>,
    entries: Vec<u64>,
}

impl<'a> Rebuild<'a> {
    /// Begins; the storages of `table` and of its indexes are empty.
    pub fn new(txn: &'a Transaction, table: &'a Table) -> Rebuild<'a> {
        let entries = vec![0; table.indexes().len()];
        Rebuild {
            txn,
            table,
            rows: 0,
            highest: None,
            entries,
        }
    }

    /// Adds a row.
    pub async fn add(&mut self, row: &[Value]) -> Result<()> {
        let table = self.table;
        table.check_not_null(row)?;
        self.rows += 1;
        let key = if table.has_primary_key() {
            let key = table.row_key(row)?;
            // Rows mostly come in the order of the new key; then none can be there already.
            let ascends = self.highest.as_ref().is_none_or(|highest| key > *highest);
            if ascends {
                self.highest = Some(key.clone());
            } else if self.txn.get_newest(KeySpace::Rows, &key).await?.is_some() {
                let name = table
                    .def()
                    .primary_key_index()
                    .map_or("", |index| &index.name);
                return Err(duplicate(table, name, table.key_positions(), row));
            }
            key
        } else {
            table.key_of_number(self.rows)
        };
        self.txn
            .put(KeySpace::Rows, key.clone(), table.encode(row)?)?;
        for (at, index) in table.indexes().iter().enumerate() {
            let entry = index.entry(row, &key)?;
            self.entries[at] += u64::from(entry.is_unique);
            self.txn.put(KeySpace::Indexes, entry.key, entry.value)?;
        }
        Ok(())
    }

    /// Checks the unique indexes.
    pub async fn finish(self) -> Result<()> {
        for (index, entries) in self.table.indexes().iter().zip(&self.entries) {
            if index.def.unique {
                check_unique(self.txn, self.table, index, *entries, self.rows).await?;
            }
        }
        Ok(())
    }
}

/// Fills the empty index `index` of `table` from its rows.
pub async fn build_index(txn: &Transaction, table: &Table, index: &Index) -> Result<()> {
    let (mut rows, mut unique) = (0, 0);
    let mut scan = RowScan::new(txn.newest_view(), rows_range(table), ScanSpec::default());
    while let Some(batch) = scan.next_batch().await? {
        for stored in batch {
            let row = table.decode(&stored.value)?;
            let entry = index.entry(&row, &stored.key)?;
            rows += 1;
            unique += u64::from(entry.is_unique);
            txn.put(KeySpace::Indexes, entry.key, entry.value)?;
        }
    }
    if index.def.unique {
        check_unique(txn, table, index, unique, rows).await?;
    }
    Ok(())
}

/// `Err` when the index has fewer entries than rows: two rows met in one key.
async fn check_unique(
    txn: &Transaction,
    table: &Table,
    index: &Index,
    unique: u64,
    rows: u64,
) -> Result<()> {
    if unique <= 1 || count_keys(txn, KeySpace::Indexes, index_range(index)).await? == rows {
        return Ok(());
    }
    let mut seen = HashSet::new();
    let hasher = RandomState::new();
    let mut scan = RowScan::new(txn.newest_view(), rows_range(table), ScanSpec::default());
    while let Some(batch) = scan.next_batch().await? {
        for stored in batch {
            let row = table.decode(&stored.value)?;
            let entry = index.entry(&row, &stored.key)?;
            if entry.is_unique && !seen.insert(hasher.hash_one(&entry.key)) {
                return Err(duplicate(table, &index.def.name, &index.positions, &row));
            }
        }
    }
    Err(TableError::IndexMismatch {
        index: index.def.name.clone(),
    })
}

async fn count_keys(txn: &Transaction, space: KeySpace, range: KeyRange) -> Result<u64> {
    let view: Arc<dyn Snapshot> = txn.newest_view();
    let mut scan = view.scan(
        space,
        range,
        ScanOptions {
            keys_only: true,
            ..ScanOptions::default()
        },
    );
    let mut count = 0;
    while let Some(batch) = scan.next_batch().await? {
        count += batch.len() as u64;
    }
    Ok(count)
}

/// `Err` when an existing row has NULL in the column at `position`.
pub async fn check_not_null(txn: &Transaction, table: &Table, position: usize) -> Result<()> {
    let mut scan = RowScan::new(txn.newest_view(), rows_range(table), ScanSpec::default());
    while let Some(batch) = scan.next_batch().await? {
        for stored in &batch {
            if table.read(&stored.value)?.get(position)?.is_null() {
                let def = table.def();
                return Err(TableError::ContainsNull {
                    schema: def.schema.clone(),
                    table: def.name.clone(),
                    column: def.columns[position].name.clone(),
                });
            }
        }
    }
    Ok(())
}

fn duplicate(table: &Table, index: &str, positions: &[usize], row: &[Value]) -> TableError {
    TableError::DuplicateInBuild {
        schema: table.def().schema.clone(),
        table: table.def().name.clone(),
        index: index.to_owned(),
        key: table.describe_key(positions, row),
    }
}
