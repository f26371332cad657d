//! Reads rows: by key, of the whole table, or of an index range. Batches stay encoded, so the
//! reader decodes only the columns it wants.

use std::sync::Arc;

use tessera_storage::{Key, KeyRange, KeySpace, Scan, ScanOptions, Snapshot, Val};
use tessera_types::Value;

use crate::error::{Result, TableError};
use crate::layout::EntryRef;
use crate::table::{Index, Table};

/// A row as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its key in [`KeySpace::Rows`].
    pub key: Key,
    /// Its encoded columns.
    pub value: Val,
}

/// Direction and size of a scan.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScanSpec {
    /// From the end to the start.
    pub reverse: bool,
    /// At most so many rows.
    pub row_limit: Option<usize>,
    /// Bytes of one batch, when fewer than usual are wanted.
    pub bytes_max: Option<usize>,
}

impl ScanSpec {
    fn options(self) -> ScanOptions {
        ScanOptions {
            reverse: self.reverse,
            row_limit: self.row_limit,
            bytes_max: self.bytes_max.unwrap_or(ScanOptions::BYTES_MAX_DEFAULT),
            keys_only: false,
        }
    }
}

/// The row of that key.
pub async fn get(view: &dyn Snapshot, key: &Key) -> Result<Option<Stored>> {
    let value = view.get(KeySpace::Rows, key).await?;
    Ok(value.map(|value| Stored {
        key: key.clone(),
        value,
    }))
}

/// The row that a unique index finds by all its columns; none of `values` is NULL.
pub async fn get_by_index(
    view: &dyn Snapshot,
    table: &Table,
    index: &Index,
    values: &[Value],
) -> Result<Option<Stored>> {
    let entry_key = index.unique_key(values);
    let Some(value) = view.get(KeySpace::Indexes, &entry_key).await? else {
        return Ok(None);
    };
    let row_key = EntryRef {
        key: &entry_key,
        value: &value,
    }
    .row_key(table)?;
    match view.get(KeySpace::Rows, &row_key).await? {
        Some(value) => Ok(Some(Stored {
            key: row_key,
            value,
        })),
        None => Err(TableError::IndexMismatch {
            index: index.def.name.clone(),
        }),
    }
}

/// Rows in key order.
pub struct RowScan {
    scan: Box<dyn Scan>,
}

impl RowScan {
    /// Rows of `range`, which lies within the table's.
    pub fn new(view: Arc<dyn Snapshot>, range: KeyRange, spec: ScanSpec) -> RowScan {
        RowScan {
            scan: view.scan(KeySpace::Rows, range, spec.options()),
        }
    }

    /// The next rows, never none; `None` at the end.
    pub async fn next_batch(&mut self) -> Result<Option<Vec<Stored>>> {
        let Some(batch) = self.scan.next_batch().await? else {
            return Ok(None);
        };
        Ok(Some(
            batch
                .into_iter()
                .map(|(key, value)| Stored { key, value })
                .collect(),
        ))
    }
}

/// Rows in the order of an index.
pub struct IndexScan {
    view: Arc<dyn Snapshot>,
    scan: Box<dyn Scan>,
    table: Arc<Table>,
    index: String,
}

impl IndexScan {
    /// Rows of the entries in `range`, which lies within the index's.
    pub fn new(
        view: Arc<dyn Snapshot>,
        table: &Arc<Table>,
        index: &Index,
        range: KeyRange,
        spec: ScanSpec,
    ) -> IndexScan {
        let scan = Arc::clone(&view).scan(KeySpace::Indexes, range, spec.options());
        IndexScan {
            view,
            scan,
            table: Arc::clone(table),
            index: index.def.name.clone(),
        }
    }

    /// The next rows, never none; `None` at the end.
    pub async fn next_batch(&mut self) -> Result<Option<Vec<Stored>>> {
        let Some(batch) = self.scan.next_batch().await? else {
            return Ok(None);
        };
        let mut keys = Vec::with_capacity(batch.len());
        for (key, value) in &batch {
            keys.push((
                KeySpace::Rows,
                EntryRef { key, value }.row_key(&self.table)?,
            ));
        }
        let values = self.view.get_many(&keys).await?;
        let mut rows = Vec::with_capacity(keys.len());
        for ((_, key), value) in keys.into_iter().zip(values) {
            let value = value.ok_or_else(|| TableError::IndexMismatch {
                index: self.index.clone(),
            })?;
            rows.push(Stored { key, value });
        }
        Ok(Some(rows))
    }
}
