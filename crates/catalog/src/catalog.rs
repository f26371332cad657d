//! The catalog of one database: opening, the present state, and what all verbs share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tessera_locks::{Mode, Resource};
use tessera_storage::{Durability, KeyRange, KeySpace, Origin, ScanOptions};
use tessera_transactions::{Isolation, Transaction, TransactionOptions, Transactions};
use tessera_types::{RelationId, Version};

use crate::definition::{Model, SchemaDef, SequenceDef, TableDef, UserDef, ViewDef};
use crate::error::CatalogError;
use crate::names::{PG_AUTHID, PG_CLASS, PG_NAMESPACE};
use crate::overlay::Overlay;
use crate::record::{self, Garbage, Kind, OID_KEY, Record};
use crate::refusal;
use crate::sequence::Sequences;
use crate::state::{CatalogState, Change, Relation};
use crate::statistics::Statistics;

/// Oid of the schema `public`, as in PostgreSQL.
pub const PUBLIC_SCHEMA_OID: u32 = 2200;
/// Oid of the schema `kv`.
pub const KEY_SPACES_SCHEMA_OID: u32 = 2201;
/// Oid of the first administrator, as in PostgreSQL.
pub const BOOTSTRAP_USER_OID: u32 = 10;

/// Object ids reserved on disk at a time.
const OIDS_RESERVED: u32 = 256;

/// The catalog of one database.
pub struct Catalog {
    pub(crate) transactions: Arc<Transactions>,
    committed: Arc<RwLock<Arc<CatalogState>>>,
    /// Gives every state, committed or not, a number of its own.
    next_state: Arc<AtomicU64>,
    oids: tokio::sync::Mutex<Oids>,
    pub(crate) sequences: Arc<Sequences>,
    pub(crate) statistics: Arc<Statistics>,
    pub(crate) garbage: Arc<Mutex<Vec<(u32, Garbage)>>>,
}

struct Oids {
    next: u32,
    reserved_end: u32,
}

/// Everything that one verb wants to write: records for the store, changes for the state.
#[derive(Default)]
pub(crate) struct Edit {
    pub(crate) changes: Vec<Change>,
    records: Vec<(Bytes, Option<Bytes>)>,
    garbage: Vec<(u32, Garbage)>,
}

impl Edit {
    pub(crate) fn put_schema(&mut self, schema: SchemaDef) {
        self.put(Kind::Schema, schema.oid, &Record::Schema(schema.clone()));
        self.changes.push(Change::PutSchema(Arc::new(schema)));
    }

    pub(crate) fn drop_schema(&mut self, schema: &SchemaDef) {
        self.remove(Kind::Schema, schema.oid);
        self.changes.push(Change::DropSchema(schema.name.clone()));
    }

    pub(crate) fn put_table(&mut self, table: TableDef) -> Arc<TableDef> {
        self.put(Kind::Table, table.id.0, &Record::Table(table.clone()));
        let table = Arc::new(table);
        self.changes.push(Change::PutTable(Arc::clone(&table)));
        table
    }

    pub(crate) fn put_view(&mut self, view: ViewDef) -> Arc<ViewDef> {
        self.put(Kind::View, view.id.0, &Record::View(view.clone()));
        let view = Arc::new(view);
        self.changes.push(Change::PutView(Arc::clone(&view)));
        view
    }

    pub(crate) fn put_sequence(&mut self, sequence: SequenceDef) -> Arc<SequenceDef> {
        self.put(
            Kind::Sequence,
            sequence.id.0,
            &Record::Sequence(sequence.clone()),
        );
        let sequence = Arc::new(sequence);
        self.changes
            .push(Change::PutSequence(Arc::clone(&sequence)));
        sequence
    }

    pub(crate) fn put_user(&mut self, user: UserDef) -> Arc<UserDef> {
        self.put(Kind::User, user.oid, &Record::User(user.clone()));
        let user = Arc::new(user);
        self.changes.push(Change::PutUser(Arc::clone(&user)));
        user
    }

    pub(crate) fn drop_user(&mut self, user: &UserDef) {
        self.remove(Kind::User, user.oid);
        self.changes.push(Change::DropUser(user.name.clone()));
    }

    /// Drops a relation that is not an index (those go with a new definition of their table).
    pub(crate) fn drop_relation(&mut self, relation: &Relation) {
        let kind = match relation {
            Relation::Table(table) => {
                match table.model {
                    Model::Rows => self.add_garbage(table.storage, false),
                    Model::KeySpace | Model::Collection => self.add_whole_garbage(table.storage),
                }
                for part in &table.parts {
                    self.add_garbage(*part, true);
                }
                for index in &table.indexes {
                    self.add_garbage(index.storage, true);
                }
                self.remove(Kind::Statistics, table.id.0);
                Kind::Table
            }
            Relation::View(_) => Kind::View,
            Relation::Sequence(_) => Kind::Sequence,
            Relation::Index(..) => return,
        };
        self.remove(kind, relation.id().0);
        self.changes.push(Change::DropRelation(relation.id()));
    }

    /// The keys of this storage are unreachable once the transaction is committed.
    pub(crate) fn add_garbage(&mut self, storage: RelationId, is_index: bool) {
        self.list_garbage(Garbage {
            storage,
            is_index,
            is_whole: false,
        });
    }

    /// The same, of rows and index entries under one id.
    fn add_whole_garbage(&mut self, storage: RelationId) {
        self.list_garbage(Garbage {
            storage,
            is_index: false,
            is_whole: true,
        });
    }

    fn list_garbage(&mut self, garbage: Garbage) {
        let id = garbage.storage.0;
        self.put(Kind::Garbage, id, &Record::Garbage(garbage));
        self.garbage.push((id, garbage));
    }

    pub(crate) fn put(&mut self, kind: Kind, id: u32, record: &Record) {
        self.records
            .push((record::key(kind, id), Some(record::encode(record))));
    }

    fn remove(&mut self, kind: Kind, id: u32) {
        self.records.push((record::key(kind, id), None));
    }
}

impl Catalog {
    /// Reads the catalog of a store; writes the first entries into an empty one.
    pub async fn open(transactions: Arc<Transactions>) -> Result<Arc<Catalog>, CatalogError> {
        let view = transactions.view();
        let mut changes = Vec::new();
        let mut garbage = Vec::new();
        let statistics = Statistics::default();
        let mut scan = view.scan(KeySpace::Catalog, KeyRange::all(), ScanOptions::default());
        while let Some(rows) = scan.next_batch().await? {
            for (key, value) in rows {
                let (_, id) = record::parse_key(&key)?;
                match record::decode::<Record>(&key, &value)? {
                    Record::Schema(schema) => changes.push(Change::PutSchema(Arc::new(schema))),
                    Record::Table(table) => changes.push(Change::PutTable(Arc::new(table))),
                    Record::View(view) => changes.push(Change::PutView(Arc::new(view))),
                    Record::Sequence(sequence) => {
                        changes.push(Change::PutSequence(Arc::new(sequence)));
                    }
                    Record::User(user) => changes.push(Change::PutUser(Arc::new(user))),
                    Record::Garbage(entry) => garbage.push((id, entry)),
                    Record::Statistics(entry) => statistics.set(RelationId(id), entry),
                }
            }
        }
        let next_oid = match view.get(KeySpace::Meta, OID_KEY).await? {
            Some(value) => record::decode::<u32>(OID_KEY, &value)?,
            None => RelationId::FIRST_USER.0,
        };
        let state = CatalogState::default().with_changes(1, &changes, None);
        let is_new = changes.is_empty();
        let catalog = Arc::new(Catalog {
            committed: Arc::new(RwLock::new(Arc::new(state))),
            next_state: Arc::new(AtomicU64::new(2)),
            oids: tokio::sync::Mutex::new(Oids {
                next: next_oid,
                reserved_end: next_oid,
            }),
            sequences: Arc::default(),
            statistics: Arc::new(statistics),
            garbage: Arc::new(Mutex::new(garbage)),
            transactions,
        });
        if is_new {
            catalog.write_first_entries().await?;
        }
        catalog.ensure_key_spaces_schema().await?;
        Ok(catalog)
    }

    async fn write_first_entries(&self) -> Result<(), CatalogError> {
        let txn = self.begin_internal(Durability::Durable);
        let mut edit = Edit::default();
        edit.put_schema(SchemaDef {
            oid: PUBLIC_SCHEMA_OID,
            name: "public".to_owned(),
            owner: BOOTSTRAP_USER_OID,
            comment: Some("standard public schema".to_owned()),
        });
        self.apply(&txn, edit)?;
        txn.commit().await?;
        Ok(())
    }

    /// The transactions that the catalog works through.
    pub fn transactions(&self) -> &Arc<Transactions> {
        &self.transactions
    }

    /// The newest committed state.
    pub fn state(&self) -> Arc<CatalogState> {
        Arc::clone(&self.committed.read())
    }

    /// What the transaction sees: the newest committed state with its own DDL on top.
    ///
    /// Like PostgreSQL's, the catalog is read as of now, in every isolation level. Whether the
    /// data of a snapshot fits the definition is answered by [`Catalog::check_snapshot`].
    pub fn state_for(&self, txn: &Transaction) -> Arc<CatalogState> {
        let committed = self.state();
        match Overlay::of(txn) {
            None => committed,
            Some(overlay) => overlay.merge(&committed, || self.next_version()),
        }
    }

    /// Whether a snapshot of that version may be read by this definition. In REPEATABLE READ an
    /// older snapshot is the error 40001; in READ COMMITTED the caller takes a new snapshot.
    pub fn check_snapshot(
        &self,
        txn: &Transaction,
        table: &TableDef,
        snapshot: Version,
    ) -> Result<(), CatalogError> {
        if table.published_at <= snapshot || txn.isolation() == Isolation::ReadCommitted {
            return Ok(());
        }
        Err(refusal::schema_changed(&table.name).into())
    }

    /// Whether `table` is still the definition that the transaction sees. Ask after the lock on
    /// the relation is granted: then the answer stays true until the transaction ends.
    pub fn is_current(&self, txn: &Transaction, table: &TableDef) -> bool {
        self.state_for(txn)
            .table(table.id)
            .is_some_and(|now| now.version == table.version)
    }

    /// A transaction of the catalog's own.
    pub(crate) fn begin_internal(&self, durability: Durability) -> Transaction {
        let origin = Origin::System;
        self.transactions.begin(TransactionOptions {
            durability,
            origin,
            ..Default::default()
        })
    }

    /// A fresh object id, never used before.
    pub(crate) async fn next_oid(&self) -> Result<u32, CatalogError> {
        let mut oids = self.oids.lock().await;
        if oids.next == oids.reserved_end {
            let end = oids.next.checked_add(OIDS_RESERVED).ok_or_else(|| {
                tessera_types::Report::error(
                    tessera_types::codes::PROGRAM_LIMIT_EXCEEDED,
                    "all object ids are used up",
                )
            })?;
            // In the log before every commit that uses one of the ids, so it need not wait for
            // the disk by itself.
            let txn = self.begin_internal(Durability::Buffered);
            txn.put(
                KeySpace::Meta,
                Bytes::from_static(OID_KEY),
                record::encode(&end),
            )?;
            txn.commit().await?;
            oids.reserved_end = end;
        }
        let oid = oids.next;
        oids.next += 1;
        Ok(oid)
    }

    pub(crate) async fn next_id(&self) -> Result<RelationId, CatalogError> {
        self.next_oid().await.map(RelationId)
    }

    /// Writes a verb's records and shows its changes to the transaction.
    pub(crate) fn apply(&self, txn: &Transaction, edit: Edit) -> Result<(), CatalogError> {
        for (key, value) in edit.records {
            match value {
                Some(value) => txn.put(KeySpace::Catalog, key, value)?,
                None => txn.delete(KeySpace::Catalog, key)?,
            }
        }
        let overlay = Overlay::of_or_new(txn);
        let before = overlay.add(&edit.changes);
        let undo = Arc::clone(&overlay);
        txn.on_rollback(Box::new(move || undo.truncate(before)));

        let committed = Arc::clone(&self.committed);
        let next_state = Arc::clone(&self.next_state);
        let all_garbage = Arc::clone(&self.garbage);
        let garbage = edit.garbage;
        txn.on_publish(Box::new(move |version| {
            all_garbage.lock().extend(garbage);
            // The first verb's hook publishes the changes of all that were not undone.
            let changes = overlay.take();
            if changes.is_empty() {
                return;
            }
            let mut committed = committed.write();
            let number = next_state.fetch_add(1, Ordering::Relaxed);
            *committed = Arc::new(committed.with_changes(number, &changes, Some(version)));
        }));
        Ok(())
    }

    fn next_version(&self) -> u64 {
        self.next_state.fetch_add(1, Ordering::Relaxed)
    }

    /// Locks a relation against everything else and answers its newest definition.
    pub(crate) async fn lock_relation(
        &self,
        txn: &Transaction,
        id: RelationId,
    ) -> Result<Relation, CatalogError> {
        txn.lock(Resource::Relation(id), Mode::X, &txn.lock_options())
            .await?;
        self.state_for(txn).relation_by_id(id).ok_or_else(|| {
            // It was there when the statement looked it up.
            refusal::no_such_relation(&format!("with id {id}")).into()
        })
    }

    /// Keeps a relation from being dropped or changed.
    pub(crate) async fn lock_relation_shared(
        &self,
        txn: &Transaction,
        id: RelationId,
    ) -> Result<(), CatalogError> {
        txn.lock(Resource::Relation(id), Mode::IS, &txn.lock_options())
            .await?;
        if self.state_for(txn).relation_by_id(id).is_none() {
            return Err(refusal::no_such_relation(&format!("with id {id}")).into());
        }
        Ok(())
    }

    /// Locks a table of rows against everything else and answers its newest definition.
    pub(crate) async fn lock_table(
        &self,
        txn: &Transaction,
        id: RelationId,
    ) -> Result<Arc<TableDef>, CatalogError> {
        match self.lock_relation(txn, id).await? {
            Relation::Table(table) => {
                refusal::check_is_rows(&table)?;
                Ok(table)
            }
            other => Err(refusal::wrong_kind(other.name(), "a table").into()),
        }
    }

    /// Keeps others from creating or dropping a relation of that name, and the schema in place.
    pub(crate) async fn lock_relation_name(
        &self,
        txn: &Transaction,
        schema: &str,
        name: &str,
    ) -> Result<(), CatalogError> {
        self.lock_schema_name(txn, schema, Mode::S).await?;
        let key = format!("{schema}\0{name}");
        self.lock_name(txn, PG_CLASS, &key, Mode::X).await
    }

    pub(crate) async fn lock_schema_name(
        &self,
        txn: &Transaction,
        schema: &str,
        mode: Mode,
    ) -> Result<(), CatalogError> {
        self.lock_name(txn, PG_NAMESPACE, schema, mode).await
    }

    pub(crate) async fn lock_user_name(
        &self,
        txn: &Transaction,
        name: &str,
    ) -> Result<(), CatalogError> {
        self.lock_name(txn, PG_AUTHID, name, Mode::X).await
    }

    async fn lock_name(
        &self,
        txn: &Transaction,
        catalog: RelationId,
        key: &str,
        mode: Mode,
    ) -> Result<(), CatalogError> {
        let hash = self.transactions.row_hash(catalog, key.as_bytes());
        txn.lock(Resource::Row(catalog, hash), mode, &txn.lock_options())
            .await?;
        Ok(())
    }
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalog")
            .field("version", &self.state().version())
            .finish()
    }
}
