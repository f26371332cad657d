//! A store, its transactions, and short words for what tests do with them.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tessera_environment::Environment;
use tessera_locks::{LockManager, LockOptions, Mode, Wait};
use tessera_storage::{
    EmbeddedOptions, KeyRange, KeySpace, ScanOptions, Store, open_embedded, open_memory,
};
use tessera_transactions::{
    Isolation, RowLock, StatementGuard, Transaction, TransactionError, TransactionOptions,
    Transactions, TransactionsOptions, TxnView,
};
use tessera_types::RelationId;

pub(crate) const RELATION: RelationId = RelationId(20_000);

pub(crate) struct World {
    pub(crate) transactions: Arc<Transactions>,
}

/// The engines that every test runs over.
pub(crate) fn worlds() -> Vec<World> {
    let (environment, _) = Environment::simulated(1);
    let options = EmbeddedOptions::simulated();
    let embedded = open_embedded(&environment, Path::new("/data"), options).unwrap();
    vec![World::over(open_memory()), World::over(embedded)]
}

impl World {
    pub(crate) fn over(store: Arc<dyn Store>) -> World {
        let (environment, _) = Environment::simulated(1);
        let transactions = Transactions::new(
            store,
            Arc::new(LockManager::default()),
            environment,
            TransactionsOptions::default(),
        );
        World { transactions }
    }

    pub(crate) fn begin(&self, isolation: Isolation) -> Transaction {
        self.transactions.begin(TransactionOptions {
            isolation,
            ..Default::default()
        })
    }

    pub(crate) fn begin_with_buffer(&self, isolation: Isolation, bytes_max: usize) -> Transaction {
        self.transactions.begin(TransactionOptions {
            isolation,
            write_buffer_bytes_max: Some(bytes_max),
            ..Default::default()
        })
    }

    /// One committed write.
    pub(crate) async fn set(&self, key: &'static str, value: &'static str) {
        let txn = self.begin(Isolation::ReadCommitted);
        write(&txn, key, value).await.unwrap();
        txn.commit().await.unwrap();
    }

    pub(crate) async fn committed(&self, key: &str) -> Option<String> {
        read(&self.transactions.view(), key).await
    }
}

pub(crate) async fn statement(txn: &Transaction) -> StatementGuard {
    txn.start_statement().await.unwrap()
}

/// Locks and writes one key in a statement of its own.
pub(crate) async fn write(
    txn: &Transaction,
    key: &str,
    value: &str,
) -> Result<RowLock, TransactionError> {
    let guard = txn.start_statement().await?;
    // As a statement does that looks for its rows first.
    drop(txn.view());
    let lock = lock(txn, key, Wait::Block).await?;
    put(txn, key, value)?;
    guard.finish();
    Ok(lock)
}

pub(crate) async fn lock(
    txn: &Transaction,
    key: &str,
    wait: Wait,
) -> Result<RowLock, TransactionError> {
    let options = LockOptions {
        wait,
        deadline: None,
    };
    txn.lock_row(RELATION, KeySpace::Rows, key.as_bytes(), Mode::X, &options)
        .await
}

pub(crate) fn put(txn: &Transaction, key: &str, value: &str) -> Result<(), TransactionError> {
    txn.put(
        KeySpace::Rows,
        Bytes::copy_from_slice(key.as_bytes()),
        value.to_owned().into(),
    )
}

pub(crate) async fn read(view: &Arc<TxnView>, key: &str) -> Option<String> {
    view.get(KeySpace::Rows, key.as_bytes())
        .await
        .unwrap()
        .map(text)
}

pub(crate) async fn newest(txn: &Transaction, key: &str) -> Option<String> {
    txn.get_newest(KeySpace::Rows, key.as_bytes())
        .await
        .unwrap()
        .map(text)
}

pub(crate) async fn scan(view: &Arc<TxnView>, options: ScanOptions) -> Vec<(String, String)> {
    let mut scan = view.scan(KeySpace::Rows, KeyRange::all(), options);
    let mut rows = Vec::new();
    while let Some(batch) = scan.next_batch().await.unwrap() {
        assert!(!batch.is_empty(), "a batch is never empty");
        rows.extend(
            batch
                .into_iter()
                .map(|(key, value)| (text(key), text(value))),
        );
    }
    rows
}

pub(crate) fn text(bytes: Bytes) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
