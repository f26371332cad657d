//! Transactions over a store, and helpers that run one statement each.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tessera_documents::{
    Collection, CollectionDef, Document, DocumentError, DocumentId, Filter, IndexDef, Query,
};
use tessera_environment::{Environment, Simulation};
use tessera_locks::LockManager;
use tessera_storage::{EmbeddedOptions, Snapshot, Store, open_embedded, open_memory};
use tessera_transactions::{
    Isolation, Transaction, TransactionOptions, Transactions, TransactionsOptions,
};
use tessera_types::RelationId;

/// Wait for a lock no longer than this: only tests of waiting need it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) struct World {
    pub(crate) transactions: Arc<Transactions>,
    pub(crate) simulation: Simulation,
    environment: Environment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Memory,
    Embedded,
}

pub(crate) const ENGINES: [Engine; 2] = [Engine::Memory, Engine::Embedded];

pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

fn store(engine: Engine, environment: &Environment) -> Arc<dyn Store> {
    match engine {
        Engine::Memory => open_memory(),
        Engine::Embedded => {
            let options = EmbeddedOptions::simulated();
            open_embedded(environment, Path::new("/data"), options).unwrap()
        }
    }
}

impl World {
    pub(crate) fn new(engine: Engine) -> World {
        let (environment, simulation) = Environment::simulated(7);
        simulation.set_unix_micros(1_700_000_000_000_000);
        World::over(engine, environment, simulation)
    }

    fn over(engine: Engine, environment: Environment, simulation: Simulation) -> World {
        let transactions = Transactions::new(
            store(engine, &environment),
            Arc::new(LockManager::default()),
            environment.clone(),
            TransactionsOptions::default(),
        );
        World {
            transactions,
            simulation,
            environment,
        }
    }

    /// Closes the store and opens it again.
    pub(crate) async fn reopen(self) -> World {
        self.transactions.store().close().await.unwrap();
        let (environment, simulation) = (self.environment, self.simulation);
        drop(self.transactions);
        World::over(Engine::Embedded, environment, simulation)
    }

    pub(crate) fn begin(&self) -> Transaction {
        let txn = self.transactions.begin(TransactionOptions::default());
        txn.set_lock_timeout(Some(LOCK_TIMEOUT));
        txn
    }

    pub(crate) fn begin_repeatable(&self) -> Transaction {
        let isolation = Isolation::RepeatableRead;
        self.transactions.begin(TransactionOptions {
            isolation,
            ..Default::default()
        })
    }

    pub(crate) fn view(&self) -> Arc<dyn Snapshot> {
        self.transactions.view()
    }

    /// Runs one statement in a transaction of its own.
    pub(crate) async fn write<T, F>(
        &self,
        work: impl FnOnce(Transaction) -> F,
    ) -> Result<T, DocumentError>
    where
        F: Future<Output = Result<T, DocumentError>>,
    {
        let txn = self.begin();
        let result = statement(&txn, work).await;
        match &result {
            Ok(_) => {
                txn.commit().await.unwrap();
            }
            Err(_) => txn.rollback(),
        }
        result
    }

    pub(crate) async fn insert(
        &self,
        collection: &Arc<Collection>,
        name: &str,
        body: Value,
    ) -> Result<Document, DocumentError> {
        let (collection, id) = (Arc::clone(collection), id(name));
        let written =
            self.write(|txn| async move { collection.insert(&txn, Some(id), body).await });
        Ok(written.await?.document().clone())
    }

    /// Ids of the documents that match, sorted, with and without indexes.
    pub(crate) async fn find(&self, collection: &Arc<Collection>, filter: Value) -> Vec<String> {
        let query = Query::new(Filter::parse(&filter).unwrap());
        let found = collection.find(self.view(), &query).await.unwrap();
        let mut with = names(&found.collect().await.unwrap());
        let found = collection
            .find_by_full_scan(self.view(), &query)
            .await
            .unwrap();
        let mut without = names(&found.collect().await.unwrap());
        with.sort();
        without.sort();
        assert_eq!(with, without, "{filter}");
        with
    }

    pub(crate) async fn explain(&self, collection: &Arc<Collection>, filter: Value) -> String {
        let query = Query::new(Filter::parse(&filter).unwrap());
        let explain = collection.explain(&*self.view(), &query).await.unwrap();
        let text = explain.to_string();
        text.split(';').next().unwrap_or_default().to_owned()
    }
}

/// Runs one statement of an open transaction.
pub(crate) async fn statement<T, F>(
    txn: &Transaction,
    work: impl FnOnce(Transaction) -> F,
) -> Result<T, DocumentError>
where
    F: Future<Output = Result<T, DocumentError>>,
{
    let guard = txn.start_statement().await.unwrap();
    let result = work(txn.clone()).await;
    match &result {
        Ok(_) => guard.finish(),
        Err(_) => guard.undo(),
    }
    result
}

pub(crate) fn id(name: &str) -> DocumentId {
    DocumentId::new(name).unwrap()
}

pub(crate) fn names(documents: &[Document]) -> Vec<String> {
    documents
        .iter()
        .map(|document| document.id().to_string())
        .collect()
}

pub(crate) fn collection(indexes: Vec<IndexDef>) -> Arc<Collection> {
    let mut def = CollectionDef::new(RelationId(20_000), "things");
    def.indexes = indexes;
    Collection::new(def).unwrap()
}

pub(crate) fn index_id(number: u32) -> RelationId {
    RelationId(20_001 + number)
}

/// xorshift64*: good enough to choose operations, and the same everywhere.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % n
    }

    pub(crate) fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        let at = self.below(list.len() as u64);
        &list[usize::try_from(at).unwrap()]
    }
}
