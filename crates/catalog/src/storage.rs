//! Fresh storage for a table, and what becomes of storage that nobody needs any more.

use std::sync::Arc;

use tessera_storage::{Durability, KeyRange, KeySpace};
use tessera_transactions::Transaction;
use tessera_types::RelationId;

use crate::catalog::{Catalog, Edit};
use crate::definition::TableDef;
use crate::error::CatalogError;
use crate::record::{self, Kind};

impl Catalog {
    /// Gives a table and all its indexes fresh, empty storage, for TRUNCATE and for rewrites.
    ///
    /// Snapshots taken before the commit still read the old storage; it is destroyed afterwards.
    pub async fn truncate_storage(
        &self,
        txn: &Transaction,
        id: RelationId,
    ) -> Result<Arc<TableDef>, CatalogError> {
        let table = self.lock_table(txn, id).await?;
        let mut table = TableDef::clone(&table);
        let mut edit = Edit::default();
        edit.add_garbage(table.storage, false);
        table.storage = self.next_id().await?;
        for index in &mut table.indexes {
            edit.add_garbage(index.storage, true);
            Arc::make_mut(index).storage = self.next_id().await?;
        }
        table.version.0 += 1;
        let table = edit.put_table(table);
        self.apply(txn, edit)?;
        Ok(table)
    }

    /// Destroys storage that commits made unreachable. For a background task; answers how many
    /// pieces it destroyed.
    pub async fn collect_garbage(&self) -> Result<usize, CatalogError> {
        let garbage = std::mem::take(&mut *self.garbage.lock());
        if garbage.is_empty() {
            return Ok(0);
        }
        let destroyed = self.destroy(&garbage).await;
        if destroyed.is_err() {
            self.garbage.lock().extend(garbage.iter().copied());
        }
        destroyed.map(|()| garbage.len())
    }

    async fn destroy(&self, garbage: &[(u32, record::Garbage)]) -> Result<(), CatalogError> {
        let store = self.transactions.store();
        let txn = self.begin_internal(Durability::Durable);
        for (id, entry) in garbage {
            let range = KeyRange::prefix(&entry.storage.0.to_be_bytes());
            for space in entry.spaces() {
                store.destroy_range(*space, range.clone())?;
            }
            txn.delete(KeySpace::Catalog, record::key(Kind::Garbage, *id))?;
        }
        // The entries go last: after a crash in between, the ranges are destroyed again.
        txn.commit().await?;
        Ok(())
    }
}
