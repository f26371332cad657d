//! A catalog in memory, and short words for what tests do with it.

use std::sync::Arc;

use tessera_catalog::{
    Catalog, CatalogError, CatalogState, ColumnSpec, ConstraintSpec, TableDef, TableSpec,
};
use tessera_environment::Environment;
use tessera_locks::LockManager;
use tessera_storage::{Store, open_memory};
use tessera_transactions::{Transaction, TransactionOptions, Transactions, TransactionsOptions};
use tessera_types::SqlType;

pub(crate) struct World {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) catalog: Arc<Catalog>,
}

impl World {
    pub(crate) async fn new() -> World {
        World::over(open_memory()).await
    }

    pub(crate) async fn over(store: Arc<dyn Store>) -> World {
        let (environment, _) = Environment::simulated(1);
        let transactions = Transactions::new(
            Arc::clone(&store),
            Arc::new(LockManager::default()),
            environment,
            TransactionsOptions::default(),
        );
        World {
            store,
            catalog: Catalog::open(transactions).await.unwrap(),
        }
    }

    /// The same store, opened again.
    pub(crate) async fn reopened(&self) -> World {
        World::over(Arc::clone(&self.store)).await
    }

    pub(crate) fn begin(&self) -> Transaction {
        self.catalog
            .transactions()
            .begin(TransactionOptions::default())
    }

    /// Runs one verb in a transaction and a statement of its own.
    pub(crate) async fn run<T>(
        &self,
        verb: impl AsyncFnOnce(&Catalog, &Transaction) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        let txn = self.begin();
        let guard = txn.start_statement().await?;
        let result = verb(&self.catalog, &txn).await?;
        guard.finish();
        txn.commit().await?;
        Ok(result)
    }

    /// A verb that must be refused: its SQLSTATE and message.
    pub(crate) async fn refused<T: std::fmt::Debug>(
        &self,
        verb: impl AsyncFnOnce(&Catalog, &Transaction) -> Result<T, CatalogError>,
    ) -> (String, String) {
        let report = self.run(verb).await.unwrap_err().report();
        let detail = report.detail.as_ref().map(|detail| format!(" | {detail}"));
        (
            report.code.to_string(),
            format!("{}{}", report.message, detail.unwrap_or_default()),
        )
    }

    pub(crate) fn state(&self) -> Arc<CatalogState> {
        self.catalog.state()
    }

    pub(crate) async fn table(&self, name: &str) -> Arc<TableDef> {
        let spec = table(name);
        self.run(async |catalog, txn| catalog.create_table(txn, spec).await)
            .await
            .unwrap()
    }
}

/// `name (id integer PRIMARY KEY, a text)` in `public`.
pub(crate) fn table(name: &str) -> TableSpec {
    TableSpec {
        schema: "public".to_owned(),
        name: name.to_owned(),
        columns: vec![
            ColumnSpec::new("id", SqlType::Integer),
            ColumnSpec::new("a", SqlType::Text),
        ],
        constraints: vec![ConstraintSpec::PrimaryKey {
            name: None,
            columns: names(&["id"]),
        }],
        owner: 10,
    }
}

pub(crate) fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}
