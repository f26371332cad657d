//! A key space over a store, a clock that stands still, and short words for what tests do with them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tessera_environment::{Environment, Simulation};
use tessera_keyvalue::{
    Footprint, KeyValueError, Reader, Result, Space, SpaceOptions, UnixMillis, Writer,
};
use tessera_locks::LockManager;
use tessera_storage::{
    EmbeddedOptions, MemoryControl, MemoryOptions, Store, open_embedded, open_memory_with,
};
use tessera_transactions::{
    Isolation, Transaction, TransactionOptions, Transactions, TransactionsOptions,
};
use tessera_types::RelationId;

pub(crate) const RELATION: RelationId = RelationId(20_000);
const START_MICROS: i64 = 1_800_000_000_000_000;

pub(crate) struct World {
    pub(crate) environment: Environment,
    pub(crate) simulation: Simulation,
    pub(crate) transactions: Arc<Transactions>,
    pub(crate) space: Arc<Space>,
    memory: Option<MemoryControl>,
}

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(work)
}

/// The engines that every test runs over.
pub(crate) async fn worlds() -> Vec<World> {
    vec![World::memory().await, World::embedded().await]
}

impl World {
    pub(crate) async fn memory() -> World {
        let (environment, simulation) = Environment::simulated(1);
        simulation.set_unix_micros(START_MICROS);
        let (store, control) = open_memory_with(MemoryOptions::default());
        World::over(environment, simulation, store, Some(control)).await
    }

    pub(crate) async fn embedded() -> World {
        let (environment, simulation) = Environment::simulated(1);
        simulation.set_unix_micros(START_MICROS);
        World::open_embedded(environment, simulation).await
    }

    async fn open_embedded(environment: Environment, simulation: Simulation) -> World {
        let options = EmbeddedOptions::simulated();
        let store = open_embedded(&environment, Path::new("/data"), options).unwrap();
        World::over(environment, simulation, store, None).await
    }

    pub(crate) async fn over(
        environment: Environment,
        simulation: Simulation,
        store: Arc<dyn Store>,
        memory: Option<MemoryControl>,
    ) -> World {
        let transactions = Transactions::new(
            store,
            Arc::new(LockManager::default()),
            environment.clone(),
            TransactionsOptions::default(),
        );
        let space = Space::open(&transactions, RELATION, SpaceOptions::default())
            .await
            .unwrap();
        World {
            environment,
            simulation,
            transactions,
            space,
            memory,
        }
    }

    /// What is there after the power was lost.
    pub(crate) async fn after_crash(self) -> World {
        let World {
            environment,
            simulation,
            transactions,
            space,
            memory,
        } = self;
        match memory {
            Some(control) => {
                let (store, control) = control.crash();
                World::over(environment, simulation, store, Some(control)).await
            }
            None => {
                simulation.cut_power();
                drop((space, transactions));
                simulation.power_loss();
                World::open_embedded(environment, simulation).await
            }
        }
    }

    pub(crate) fn now(&self) -> UnixMillis {
        UnixMillis::now(&*self.environment.clock)
    }

    pub(crate) fn advance(&self, millis: u64) {
        self.simulation.advance(Duration::from_millis(millis));
    }

    /// What is committed.
    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader::new(&self.space, self.transactions.view(), self.now())
    }

    pub(crate) fn begin(&self) -> Transaction {
        self.transactions.begin(TransactionOptions::default())
    }

    pub(crate) fn begin_at(&self, isolation: Isolation) -> Transaction {
        self.transactions.begin(TransactionOptions {
            isolation,
            ..TransactionOptions::default()
        })
    }

    /// One command in a transaction of its own.
    pub(crate) async fn write<T>(
        &self,
        command: impl AsyncFnOnce(Writer<'_>) -> Result<T>,
    ) -> Result<T> {
        let txn = self.begin();
        let answer = self.statement(&txn, command).await;
        match &answer {
            Ok(_) => {
                txn.commit().await.unwrap();
            }
            Err(_) => txn.rollback(),
        }
        answer
    }

    /// One command of a transaction.
    pub(crate) async fn statement<T>(
        &self,
        txn: &Transaction,
        command: impl AsyncFnOnce(Writer<'_>) -> Result<T>,
    ) -> Result<T> {
        let guard = txn.start_statement().await?;
        let answer = command(Writer::new(&self.space, txn, self.now())).await;
        match &answer {
            Ok(_) => guard.finish(),
            Err(_) => guard.undo(),
        }
        answer
    }

    pub(crate) async fn footprint(&self) -> Footprint {
        self.space.footprint(None, self.now()).await.unwrap()
    }

    pub(crate) async fn prefix_footprint(&self, prefix: &str) -> Footprint {
        self.space
            .prefix_footprint(prefix.as_bytes(), None, self.now())
            .await
            .unwrap()
    }

    /// Every committed key below `prefix`, as text.
    pub(crate) async fn keys(&self, pattern: &str) -> Vec<String> {
        let keys = self.reader().keys(pattern.as_bytes()).await.unwrap();
        keys.iter().map(|key| text(key)).collect()
    }

    /// Removes all that is to be removed, however often it takes.
    pub(crate) async fn reclaim_all(&self) {
        let limits = tessera_keyvalue::ReclaimLimits {
            keys_max: 3,
            elements_max: 50,
        };
        loop {
            let done = self.write(async |w| w.reclaim(limits).await).await.unwrap();
            let is_stuck = done.keys + done.elements == 0;
            if !done.has_more || is_stuck {
                return;
            }
        }
    }

    /// Rows that the space takes in the store, in both of the store's spaces.
    pub(crate) async fn stored_rows(&self) -> (usize, usize) {
        use tessera_storage::{KeySpace, ScanOptions};
        let view = self.transactions.view();
        let mut counts = [0, 0];
        for (count, space) in counts.iter_mut().zip([KeySpace::Rows, KeySpace::Indexes]) {
            let range = tessera_keyvalue::whole_range(RELATION);
            let mut scan = view.scan(space, range, ScanOptions::default());
            while let Some(batch) = scan.next_batch().await.unwrap() {
                *count += batch.len();
            }
        }
        (counts[0], counts[1])
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn is_wrong_type<T>(answer: &Result<T>) -> bool {
    matches!(answer, Err(KeyValueError::WrongType))
}
