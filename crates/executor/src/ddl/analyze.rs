//! ANALYZE: counts the rows of a table and looks at a sample of them.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use tessera_catalog::{ColumnStatistics, TableDef, TableStatistics};
use tessera_storage::{KeySpace, ScanOptions, Snapshot};
use tessera_tables::{RowScan, ScanSpec, rows_range};
use tessera_types::{Report, Value};

use super::Run;

/// Rows looked at.
const SAMPLE_ROWS: usize = 30_000;
/// Parts of the table that the sample is taken from.
const SAMPLE_PARTS: usize = 32;

#[derive(Default)]
struct Column {
    nulls: usize,
    bytes: usize,
    hashes: HashSet<u64>,
    repeated: HashSet<u64>,
}

impl Run<'_> {
    pub(super) async fn analyze(&self, table: &Arc<TableDef>) -> Result<(), Report> {
        if self.context.txn.is_read_only() || !table.model.is_rows() {
            return Ok(());
        }
        let prepared = self.executor.writes().table(table);
        let range = rows_range(&prepared);
        let view: Arc<dyn Snapshot> = self.context.view()?.clone();
        let (mut rows, mut bytes) = (0_u64, 0_u64);
        let mut columns: Vec<Column> = table.columns.iter().map(|_| Column::default()).collect();
        let hasher = RandomState::new();
        let mut sampled = 0_usize;
        let parts = view.partitions(KeySpace::Rows, &range, SAMPLE_PARTS);
        let per_part = SAMPLE_ROWS / parts.len().max(1);
        for part in &parts {
            let spec = ScanSpec {
                row_limit: Some(per_part),
                ..ScanSpec::default()
            };
            let mut scan = RowScan::new(Arc::clone(&view), part.clone(), spec);
            while let Some(batch) = scan.next_batch().await? {
                self.context.check_cancelled()?;
                for stored in batch {
                    sampled += 1;
                    bytes += stored.value.len() as u64;
                    let row = prepared.decode(&stored.value)?;
                    for (column, value) in columns.iter_mut().zip(&row) {
                        column.note(value, &hasher);
                    }
                }
            }
        }
        let options = ScanOptions {
            keys_only: true,
            ..ScanOptions::default()
        };
        let mut scan = Arc::clone(&view).scan(KeySpace::Rows, range, options);
        while let Some(batch) = scan.next_batch().await.map_err(|error| error.report())? {
            self.context.check_cancelled()?;
            rows += batch.len() as u64;
        }
        let found = columns.iter().map(|column| column.finish(sampled, rows));
        let numbers = table.columns.iter().map(|column| column.id);
        let columns: BTreeMap<u16, ColumnStatistics> = numbers.zip(found).collect();
        let statistics = TableStatistics {
            rows: rows as f64,
            bytes: if sampled == 0 {
                0
            } else {
                bytes / sampled as u64 * rows
            },
            analyzed_at: self.context.statement_micros,
            columns,
        };
        self.catalog()
            .set_statistics(&self.context.txn, table.id, statistics)?;
        Ok(())
    }
}

impl Column {
    fn note(&mut self, value: &Value, hasher: &RandomState) {
        if value.is_null() {
            self.nulls += 1;
            return;
        }
        self.bytes += value.memory_bytes() - size_of::<Value>() + 4;
        let hash = hasher.hash_one(value);
        if !self.hashes.insert(hash) {
            self.repeated.insert(hash);
        }
    }

    /// Distinct values by the Duj1 estimator (Haas, Stokes: "Estimating the Number of Classes in
    /// a Finite Population", 1998), which PostgreSQL uses, too.
    fn finish(&self, sampled: usize, rows: u64) -> ColumnStatistics {
        let present = sampled - self.nulls;
        if present == 0 {
            let null_fraction = if sampled == 0 { 0.0 } else { 1.0 };
            return ColumnStatistics {
                null_fraction,
                distinct: 0.0,
                width: 0.0,
            };
        }
        let null_fraction = self.nulls as f64 / sampled as f64;
        let total = rows as f64 * (1.0 - null_fraction);
        let distinct = self.hashes.len() as f64;
        let once = distinct - self.repeated.len() as f64;
        let n = present as f64;
        let estimate = n * distinct / (n - once + once * n / total.max(n));
        ColumnStatistics {
            null_fraction,
            distinct: estimate.clamp(distinct, total.max(distinct)),
            width: self.bytes as f64 / n,
        }
    }
}
