//! A database without SQL: catalog, transactions, and helpers that run one write each.

use std::path::Path;
use std::sync::Arc;

use tessera_catalog::{
    Catalog, ColumnSpec, ConstraintSpec, IndexColumnSpec, IndexSpec, TableDef, TableSpec,
};
use tessera_environment::Environment;
use tessera_locks::{LockManager, LockOptions, Mode, Resource};
use tessera_storage::{EmbeddedOptions, Snapshot, Store, open_embedded, open_memory};
use tessera_tables::{
    Locked, OnConflict, Row, RowIds, RowScan, ScanSpec, Stored, Table, TableError, Writer,
    check_table, rows_range,
};
use tessera_transactions::{
    Isolation, Transaction, TransactionOptions, Transactions, TransactionsOptions,
};
use tessera_types::SqlType;

pub(crate) struct World {
    pub(crate) transactions: Arc<Transactions>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) row_ids: Arc<RowIds>,
}

pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(work)
}

impl World {
    pub(crate) async fn memory() -> World {
        World::over(open_memory()).await
    }

    pub(crate) async fn embedded(dir: &Path) -> World {
        let store = open_embedded(&Environment::real(), dir, EmbeddedOptions::default());
        World::over(store.expect("the store opens")).await
    }

    async fn over(store: Arc<dyn Store>) -> World {
        let transactions = Transactions::new(
            store,
            Arc::new(LockManager::default()),
            Environment::real(),
            TransactionsOptions::default(),
        );
        let catalog = Catalog::open(Arc::clone(&transactions))
            .await
            .expect("the catalog opens");
        World {
            transactions,
            catalog,
            row_ids: Arc::new(RowIds::new()),
        }
    }

    pub(crate) async fn close(self) {
        self.transactions
            .store()
            .close()
            .await
            .expect("the store closes");
    }

    pub(crate) fn begin(&self) -> Transaction {
        self.transactions.begin(TransactionOptions::default())
    }

    pub(crate) fn begin_repeatable(&self) -> Transaction {
        let isolation = Isolation::RepeatableRead;
        self.transactions.begin(TransactionOptions {
            isolation,
            ..Default::default()
        })
    }

    /// `t(id int primary key or not, u int unique, s text, n int)` with an index on `s, n desc`.
    pub(crate) async fn create(&self, with_key: bool, nulls_not_distinct: bool) -> Arc<Table> {
        let txn = self.begin();
        let guard = txn.start_statement().await.expect("a statement");
        let mut constraints = vec![ConstraintSpec::Unique {
            name: None,
            columns: vec!["u".into()],
            nulls_not_distinct,
        }];
        if with_key {
            constraints.push(ConstraintSpec::PrimaryKey {
                name: None,
                columns: vec!["id".into()],
            });
        }
        let spec = TableSpec {
            schema: "public".into(),
            name: "t".into(),
            columns: vec![
                ColumnSpec::new("id", SqlType::Integer),
                ColumnSpec::new("u", SqlType::Integer),
                ColumnSpec::new("s", SqlType::Text),
                ColumnSpec::new("n", SqlType::Integer),
            ],
            constraints,
            owner: 10,
        };
        let table = self
            .catalog
            .create_table(&txn, spec)
            .await
            .expect("the table");
        let column = |name: &str, descending| IndexColumnSpec {
            column: name.into(),
            descending,
            nulls_first: None,
        };
        let index = IndexSpec {
            table: table.id,
            name: None,
            columns: vec![column("s", false), column("n", true)],
            unique: false,
            nulls_not_distinct: false,
        };
        let (table, _) = self
            .catalog
            .create_index(&txn, index)
            .await
            .expect("the index");
        guard.finish();
        txn.commit().await.expect("the commit");
        Arc::new(Table::new(table))
    }

    pub(crate) fn reopened_table(&self) -> Arc<Table> {
        let state = self.catalog.state();
        let found = state.relation("public", "t").expect("the table is there");
        let def: Arc<TableDef> = Arc::clone(state.table(found.id()).expect("it is a table"));
        Arc::new(Table::new(def))
    }

    pub(crate) async fn lock_table(&self, txn: &Transaction, table: &Table) {
        let resource = Resource::Relation(table.id());
        txn.lock(resource, Mode::IX, &LockOptions::default())
            .await
            .expect("the table's lock");
    }

    pub(crate) async fn insert(
        &self,
        txn: &Transaction,
        table: &Table,
        row: &[tessera_types::Value],
    ) -> Result<(), TableError> {
        let guard = txn.start_statement().await?;
        self.lock_table(txn, table).await;
        let mut writer = Writer::new(txn, table, &self.row_ids, LockOptions::default());
        let outcome = writer.insert(row, OnConflict::Error).await;
        match outcome {
            Ok(_) => guard.finish(),
            Err(_) => guard.undo(),
        }
        outcome.map(|_| ())
    }

    /// Updates the rows that `pick` accepts to what `change` makes of them.
    pub(crate) async fn update(
        &self,
        txn: &Transaction,
        table: &Table,
        pick: &(dyn Fn(&Row) -> bool + Sync),
        change: &(dyn Fn(&Row) -> Option<Row> + Sync),
    ) -> Result<u64, TableError> {
        let guard = txn.start_statement().await?;
        self.lock_table(txn, table).await;
        let outcome = self.update_inner(txn, table, pick, change).await;
        match outcome {
            Ok(_) => guard.finish(),
            Err(_) => guard.undo(),
        }
        outcome
    }

    async fn update_inner(
        &self,
        txn: &Transaction,
        table: &Table,
        pick: &(dyn Fn(&Row) -> bool + Sync),
        change: &(dyn Fn(&Row) -> Option<Row> + Sync),
    ) -> Result<u64, TableError> {
        let view = txn.view();
        let mut writer = Writer::new(txn, table, &self.row_ids, LockOptions::default());
        let mut changed = 0;
        for stored in all_rows(view, table).await? {
            let row = table.decode(&stored.value)?;
            if !pick(&row) {
                continue;
            }
            let (stored, row) = match writer
                .lock_row(&stored.key, Mode::X, Default::default())
                .await?
            {
                Locked::Unchanged => (stored, row),
                Locked::Gone | Locked::Skipped => continue,
                Locked::Changed(newest) => {
                    let row = table.decode(&newest.value)?;
                    if !pick(&row) {
                        continue;
                    }
                    (newest, row)
                }
            };
            match change(&row) {
                Some(new) => {
                    writer.update(&stored, &row, &new).await?;
                }
                None => writer.delete(&stored, &row).await?,
            }
            changed += 1;
        }
        Ok(changed)
    }

    /// All committed rows, after a check of the indexes.
    pub(crate) async fn rows(&self, table: &Table) -> Vec<Row> {
        let view: Arc<dyn Snapshot> = self.transactions.view();
        let count = check_table(&view, table)
            .await
            .expect("indexes match the rows");
        let rows = all_rows(view, table).await.expect("rows");
        assert_eq!(rows.len() as u64, count);
        rows.iter()
            .map(|stored| table.decode(&stored.value).expect("a row"))
            .collect()
    }
}

pub(crate) async fn all_rows(
    view: Arc<dyn Snapshot>,
    table: &Table,
) -> Result<Vec<Stored>, TableError> {
    let mut scan = RowScan::new(view, rows_range(table), ScanSpec::default());
    let mut rows = Vec::new();
    while let Some(mut batch) = scan.next_batch().await? {
        rows.append(&mut batch);
    }
    Ok(rows)
}
