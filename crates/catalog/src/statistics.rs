//! Row counts and column statistics: estimates for the planner, never truth.

use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashMap;
use parking_lot::RwLock;
use tessera_transactions::Transaction;
use tessera_types::RelationId;

use crate::catalog::{Catalog, Edit};
use crate::definition::TableStatistics;
use crate::error::CatalogError;
use crate::record::{Kind, Record};

/// Statistics of all tables.
#[derive(Debug, Default)]
pub(crate) struct Statistics {
    tables: RwLock<HashMap<RelationId, Entry, RandomState>>,
}

#[derive(Debug, Default)]
struct Entry {
    stored: Arc<TableStatistics>,
    /// Rows added less rows removed by commits since `stored` was made.
    change: i64,
}

impl Statistics {
    pub(crate) fn set(&self, table: RelationId, statistics: TableStatistics) {
        let entry = Entry {
            stored: Arc::new(statistics),
            change: 0,
        };
        self.tables.write().insert(table, entry);
    }
}

impl Catalog {
    /// What `ANALYZE` found last.
    pub fn statistics(&self, table: RelationId) -> Option<Arc<TableStatistics>> {
        let tables = self.statistics.tables.read();
        tables.get(&table).map(|entry| Arc::clone(&entry.stored))
    }

    /// Estimated number of rows, or `None` if nothing is known about the table.
    pub fn row_estimate(&self, table: RelationId) -> Option<f64> {
        let tables = self.statistics.tables.read();
        let entry = tables.get(&table)?;
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let change = entry.change as f64;
        Some((entry.stored.rows + change).max(0.0))
    }

    /// A commit added (or removed) this many rows. Cheap; call it from a publish hook.
    pub fn note_rows(&self, table: RelationId, change: i64) {
        self.statistics
            .tables
            .write()
            .entry(table)
            .or_default()
            .change += change;
    }

    /// Handle for publish hooks, which must not hold the catalog.
    pub fn row_counter(&self, table: RelationId) -> impl Fn(i64) + Send + Sync + 'static {
        let statistics = Arc::clone(&self.statistics);
        move |change| statistics.tables.write().entry(table).or_default().change += change
    }

    /// Keeps what `ANALYZE` found; seen by others when the transaction commits.
    pub fn set_statistics(
        &self,
        txn: &Transaction,
        table: RelationId,
        found: TableStatistics,
    ) -> Result<(), CatalogError> {
        let mut edit = Edit::default();
        edit.put(
            Kind::Statistics,
            table.0,
            &Record::Statistics(found.clone()),
        );
        self.apply(txn, edit)?;
        let statistics = Arc::clone(&self.statistics);
        txn.on_publish(Box::new(move |_| statistics.set(table, found)));
        Ok(())
    }
}
