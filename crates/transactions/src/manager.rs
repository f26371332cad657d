//! Begins transactions, knows the active ones, lets another session join one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use ahash::RandomState;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tessera_environment::Environment;
use tessera_locks::{LockManager, Owner, SessionGroup};
use tessera_storage::{REFINED_RANGES_MAX, Store};
use tessera_types::{RelationId, TxnId, Version};

use crate::options::{Isolation, TransactionOptions, TransactionsOptions};
use crate::transaction::{Inner, Transaction};
use crate::view::TxnView;
use crate::writers::{Writers, shortened};

/// Independent parts of the list of active transactions.
const SHARDS: usize = 32;

/// Active transactions by id, or by token.
type Index<K> = Mutex<HashMap<K, Weak<Inner>, RandomState>>;

/// All transactions of one store.
pub struct Transactions {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) locks: Arc<LockManager>,
    pub(crate) environment: Environment,
    pub(crate) options: TransactionsOptions,
    pub(crate) writers: Writers,
    next_id: AtomicU64,
    active: Box<[Index<TxnId>]>,
    tokens: Index<String>,
    row_hasher: RandomState,
}

/// One active transaction, for views.
#[derive(Debug, Clone)]
pub struct ActiveTransaction {
    /// Its id.
    pub id: TxnId,
    /// Its isolation level.
    pub isolation: Isolation,
    /// Whether it may write.
    pub read_only: bool,
    /// When it began, in microseconds since 1970.
    pub started_at: i64,
    /// Version it reads now, if it holds a snapshot.
    pub snapshot: Option<Version>,
    /// What it runs or ran last.
    pub statement: Option<Arc<str>>,
    /// Resources it has locked.
    pub locks: usize,
    /// Bytes of own writes in memory.
    pub write_bytes: usize,
    /// Keys and ranges it has read, if they will be validated.
    pub reads: usize,
    /// Number of savepoints.
    pub savepoints: usize,
    /// An error made it unusable until it is rolled back.
    pub is_failed: bool,
}

impl Transactions {
    /// Transactions over a store. `locks` must not be shared with another store.
    pub fn new(
        store: Arc<dyn Store>,
        locks: Arc<LockManager>,
        environment: Environment,
        options: TransactionsOptions,
    ) -> Arc<Self> {
        // Ids must differ from those of earlier runs, for the store remembers them in its log.
        // They count up by one per transaction, slower than microseconds pass.
        let clock = u64::try_from(environment.clock.unix_micros()).unwrap_or(0);
        let first_id = clock.max(store.newest().0) + 1;
        Arc::new(Transactions {
            store,
            locks,
            environment,
            options,
            writers: Writers::default(),
            next_id: AtomicU64::new(first_id),
            active: (0..SHARDS).map(|_| Mutex::default()).collect(),
            tokens: Mutex::default(),
            row_hasher: RandomState::new(),
        })
    }

    /// Begins a transaction. Nothing is read and no snapshot is taken yet.
    pub fn begin(self: &Arc<Self>, options: TransactionOptions) -> Transaction {
        self.begin_as(Owner::new(self.fresh_id()), options)
    }

    /// Begins a transaction of a session that also has locks of its own.
    pub fn begin_in_session(
        self: &Arc<Self>,
        options: TransactionOptions,
        session: &SessionGroup,
    ) -> Transaction {
        self.begin_as(Owner::in_session(self.fresh_id(), session), options)
    }

    /// An owner for the locks of a session that outlive its transactions.
    pub fn session_owner(&self, session: &SessionGroup) -> Owner {
        Owner::in_session(self.fresh_id(), session)
    }

    fn fresh_id(&self) -> TxnId {
        TxnId(self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    fn begin_as(self: &Arc<Self>, owner: Owner, options: TransactionOptions) -> Transaction {
        let id = owner.txn();
        let inner = Arc::new(Inner::new(Arc::clone(self), owner, options));
        self.shard(id).lock().insert(id, Arc::downgrade(&inner));
        Transaction::from_inner(inner)
    }

    /// What is committed now, without a transaction: for statements that only read and are alone.
    pub fn view(&self) -> Arc<TxnView> {
        Arc::new(TxnView::new(self.store.snapshot(), None, None))
    }

    /// The active transaction of that token.
    pub fn join(&self, token: &str) -> Option<Transaction> {
        let inner = self.tokens.lock().get(token)?.upgrade()?;
        Some(Transaction::from_inner(inner))
    }

    /// All active transactions, oldest first.
    pub fn active(&self) -> Vec<ActiveTransaction> {
        let mut all: Vec<Arc<Inner>> = Vec::new();
        for shard in &self.active {
            all.extend(shard.lock().values().filter_map(Weak::upgrade));
        }
        let mut infos: Vec<_> = all.iter().map(|inner| inner.describe()).collect();
        infos.sort_by_key(|info| info.id);
        infos
    }

    /// Number of active transactions.
    pub fn active_count(&self) -> usize {
        self.active.iter().map(|shard| shard.lock().len()).sum()
    }

    /// The store below.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The lock table.
    pub fn locks(&self) -> &Arc<LockManager> {
        &self.locks
    }

    /// Clock, randomness and files.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Version of the oldest snapshot that anybody holds.
    pub fn oldest_snapshot(&self) -> Version {
        self.store.statistics().snapshots.oldest
    }

    /// The number that names a row or index key in the lock table.
    pub fn row_hash(&self, relation: RelationId, key: &[u8]) -> u64 {
        self.row_hasher.hash_one((relation.0, key))
    }

    /// Who made the change of that version, as far as it is remembered, and by which statement.
    /// `writer` is what the store knows.
    pub(crate) fn writer_of(
        &self,
        version: Version,
        writer: Option<TxnId>,
    ) -> (Option<TxnId>, Option<Arc<str>>) {
        if let Some(found) = self.writers.find(version) {
            return (Some(found.txn), found.statement);
        }
        // On its way, so it is still active.
        let statement = writer.and_then(|id| {
            let inner = self.shard(id).lock().get(&id)?.upgrade()?;
            let statement = inner.state.lock().writer();
            statement.as_ref().map(shortened)
        });
        (writer, statement)
    }

    /// Keys and ranges that one transaction may record.
    pub(crate) fn reads_max(&self) -> usize {
        let batch_max = self.store.capabilities().batch_reads_max;
        self.options
            .reads_max
            .min(batch_max.saturating_sub(REFINED_RANGES_MAX))
    }

    pub(crate) fn register_token(&self, token: &str, inner: &Arc<Inner>) {
        self.tokens
            .lock()
            .insert(token.to_owned(), Arc::downgrade(inner));
    }

    /// A transaction has ended.
    pub(crate) fn forget(&self, id: TxnId, token: Option<&String>) {
        self.shard(id).lock().remove(&id);
        if let Some(token) = token {
            self.tokens.lock().remove(token);
        }
    }

    fn shard(&self, id: TxnId) -> &Index<TxnId> {
        &self.active[id.0 as usize % SHARDS]
    }
}

impl std::fmt::Debug for Transactions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transactions")
            .field("active", &self.active_count())
            .finish()
    }
}
