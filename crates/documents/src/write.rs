//! Inserts, changes and deletes documents with their index entries.
//!
//! # Protocol
//! The key of a document is its lock: X before its newest version is read, until the end of the
//! transaction; what is changed is always that newest version (READ COMMITTED), and REPEATABLE
//! READ refuses with 40001 if it is newer than the snapshot. The caller has begun a statement and
//! undoes it on an error. A document that is refused has left no writes, so a bulk write may go on.

use std::sync::Arc;

use serde_json::{Map, Value};
use tessera_locks::{Mode, Resource};
use tessera_storage::{KeySpace, Snapshot};
use tessera_transactions::{RowLock, Transaction};

use crate::collection::Collection;
use crate::definition::IdPolicy;
use crate::document::{Document, DocumentId, ID_FIELD};
use crate::error::{DocumentError, Result};
use crate::filter::Filter;
use crate::index::IndexChanges;
use crate::patch::{JsonPatch, merge_patch};
use crate::update::{Update, UpdateContext};

/// Documents of one bulk write.
pub const BULK_MAX: usize = 100_000;

/// Which version of a document a change is meant for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expected {
    /// Any.
    #[default]
    Any,
    /// This one (`If-Match`); otherwise [`DocumentError::VersionMismatch`].
    Version(u64),
}

/// A change of a document.
#[derive(Clone, Debug)]
pub enum Change {
    /// A new body.
    Replace(Value),
    /// JSON Merge Patch (RFC 7396).
    MergePatch(Value),
    /// JSON Patch (RFC 6902).
    JsonPatch(JsonPatch),
    /// Update operators.
    Update(Update),
}

/// What became of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is new.
    Inserted(Document),
    /// It has a new body and version.
    Changed(Document),
    /// The change makes no difference; body and version are as before.
    Unchanged(Document),
    /// It was this and is gone.
    Deleted(Document),
}

impl Written {
    /// The document.
    pub fn document(&self) -> &Document {
        match self {
            Written::Inserted(document)
            | Written::Changed(document)
            | Written::Unchanged(document)
            | Written::Deleted(document) => document,
        }
    }
}

/// One part of a bulk write.
#[derive(Clone, Debug)]
pub enum BulkWrite {
    /// As [`Collection::insert`].
    Insert {
        /// The id, unless the body has it or the server gives one.
        id: Option<DocumentId>,
        /// The body.
        body: Value,
    },
    /// As [`Collection::modify`].
    Modify {
        /// The id.
        id: DocumentId,
        /// What to do.
        change: Change,
        /// For which version.
        expected: Expected,
    },
    /// As [`Collection::upsert`].
    Upsert {
        /// The id.
        id: DocumentId,
        /// What to do.
        change: Change,
    },
    /// As [`Collection::delete`].
    Delete {
        /// The id.
        id: DocumentId,
        /// For which version.
        expected: Expected,
    },
}

/// What a bulk write does about a document that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BulkOrder {
    /// Ends with it.
    Ordered,
    /// Goes on with the next one.
    Unordered,
}

/// How many documents a change by filter met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpdateCounts {
    /// Matched the filter in their newest version.
    pub matched: u64,
    /// Became different, or are gone.
    pub changed: u64,
}

impl Collection {
    /// Inserts a document. Its id is `id`, or the string in the body's `_id`, or a new UUID of
    /// version 7, as far as the collection's [`IdPolicy`] allows.
    pub async fn insert(
        &self,
        txn: &Transaction,
        id: Option<DocumentId>,
        mut body: Value,
    ) -> Result<Written> {
        let id = self.new_id(txn, id, &mut body)?;
        self.lock_new(txn, &id).await?;
        if txn
            .get_newest(KeySpace::Rows, &self.key(&id))
            .await?
            .is_some()
        {
            return Err(DocumentError::DuplicateId {
                collection: self.name().to_owned(),
                id: id.to_string(),
            });
        }
        self.store_new(txn, id, body).await
    }

    /// Changes the newest version of a document.
    pub async fn modify(
        &self,
        txn: &Transaction,
        id: &DocumentId,
        change: &Change,
        expected: Expected,
    ) -> Result<Written> {
        match self.lock_newest(txn, id).await? {
            Some(old) => {
                check_version(&old, expected)?;
                self.change_locked(txn, old, change).await
            }
            None => Err(self.not_found(id)),
        }
    }

    /// Gives a document a new body.
    pub async fn replace(
        &self,
        txn: &Transaction,
        id: &DocumentId,
        body: Value,
        expected: Expected,
    ) -> Result<Written> {
        self.modify(txn, id, &Change::Replace(body), expected).await
    }

    /// Changes a document, or makes it by applying the change to an empty one.
    pub async fn upsert(
        &self,
        txn: &Transaction,
        id: &DocumentId,
        change: &Change,
    ) -> Result<Written> {
        self.lock_new(txn, id).await?;
        let key = self.key(id);
        if txn.get_newest(KeySpace::Rows, &key).await?.is_some() {
            return self.modify(txn, id, change, Expected::Any).await;
        }
        let mut body = Value::Object(Map::new());
        change.apply(&mut body, context(txn, true))?;
        let id = self.new_id(txn, Some(id.clone()), &mut body)?;
        self.store_new(txn, id, body).await
    }

    /// Deletes a document.
    pub async fn delete(
        &self,
        txn: &Transaction,
        id: &DocumentId,
        expected: Expected,
    ) -> Result<Written> {
        match self.lock_newest(txn, id).await? {
            Some(old) => {
                check_version(&old, expected)?;
                self.delete_locked(txn, old).await
            }
            None => Err(self.not_found(id)),
        }
    }

    /// Many writes in one statement, with an answer for each that was tried. An error that is not
    /// about one document (the store, the transaction) ends all of it.
    pub async fn bulk(
        &self,
        txn: &Transaction,
        writes: Vec<BulkWrite>,
        order: BulkOrder,
    ) -> Result<Vec<Result<Written>>> {
        if writes.len() > BULK_MAX {
            return Err(DocumentError::Limit {
                what: "the number of writes in a bulk write",
                limit: BULK_MAX,
            });
        }
        let mut answers = Vec::with_capacity(writes.len());
        for write in writes {
            let answer = match write {
                BulkWrite::Insert { id, body } => self.insert(txn, id, body).await,
                BulkWrite::Modify {
                    id,
                    change,
                    expected,
                } => self.modify(txn, &id, &change, expected).await,
                BulkWrite::Upsert { id, change } => self.upsert(txn, &id, &change).await,
                BulkWrite::Delete { id, expected } => self.delete(txn, &id, expected).await,
            };
            match answer {
                Err(error) if !error.is_about_one_document() => return Err(error),
                answer => {
                    let is_end = answer.is_err() && order == BulkOrder::Ordered;
                    answers.push(answer);
                    if is_end {
                        break;
                    }
                }
            }
        }
        Ok(answers)
    }

    /// Changes the documents that match, at most `limit` of them. What the statement sees decides
    /// who is looked at; each is locked, and changed if its newest version still matches.
    pub async fn modify_where(
        self: &Arc<Self>,
        txn: &Transaction,
        filter: &Filter,
        change: &Change,
        limit: Option<u64>,
    ) -> Result<UpdateCounts> {
        let mut counts = UpdateCounts::default();
        let mut source = self.candidates(txn, filter).await?;
        while let Some(batch) = source.next_batch().await? {
            for candidate in batch {
                if limit.is_some_and(|limit| counts.matched >= limit) {
                    return Ok(counts);
                }
                let Some(old) = self.lock_matching(txn, filter, &candidate).await? else {
                    continue;
                };
                counts.matched += 1;
                let written = self.change_locked(txn, old, change).await?;
                counts.changed += u64::from(matches!(written, Written::Changed(_)));
            }
        }
        Ok(counts)
    }

    /// Deletes the documents that match, at most `limit` of them, as [`Collection::modify_where`]
    /// chooses them. Their number.
    pub async fn delete_where(
        self: &Arc<Self>,
        txn: &Transaction,
        filter: &Filter,
        limit: Option<u64>,
    ) -> Result<u64> {
        let mut count = 0;
        let mut source = self.candidates(txn, filter).await?;
        while let Some(batch) = source.next_batch().await? {
            for candidate in batch {
                if limit.is_some_and(|limit| count >= limit) {
                    return Ok(count);
                }
                if let Some(old) = self.lock_matching(txn, filter, &candidate).await? {
                    self.delete_locked(txn, old).await?;
                    count += 1;
                }
            }
        }
        Ok(count)
    }

    /// Deletes documents that have expired by `unix_micros`, by the TTL index `index`, at most
    /// `limit` of them, earliest first. Their number; call again while it equals `limit`.
    pub async fn reclaim_expired(
        &self,
        txn: &Transaction,
        index: &str,
        unix_micros: i64,
        limit: usize,
    ) -> Result<usize> {
        let index = self.index(index)?;
        if index.ttl_seconds.is_none() {
            let reason = format!("\"{}\" is not a TTL index", index.name());
            return Err(DocumentError::definition("index", reason));
        }
        let view: Arc<dyn Snapshot> = txn.view();
        let mut count = 0;
        for id in index.expired(view, unix_micros, limit).await? {
            if let Some(old) = self.lock_newest(txn, &id).await?
                && index.is_expired(&old, unix_micros)?
            {
                self.delete_locked(txn, old).await?;
                count += 1;
            }
        }
        Ok(count)
    }

    fn new_id(
        &self,
        txn: &Transaction,
        id: Option<DocumentId>,
        body: &mut Value,
    ) -> Result<DocumentId> {
        let id = match (take_id(body, id.as_ref())?, id) {
            (Some(id), _) | (None, Some(id)) => Some(id),
            (None, None) => None,
        };
        let invalid = |reason: &str| {
            Err(DocumentError::InvalidId {
                reason: reason.to_owned(),
            })
        };
        match (id, self.def().options.id_policy) {
            (Some(_), IdPolicy::Server) => invalid("this collection gives ids itself"),
            (None, IdPolicy::Client) => invalid("this collection wants an id with each document"),
            (Some(id), _) => Ok(id),
            (None, _) => {
                let environment = txn.manager().environment();
                let mut random = [0; 10];
                environment.random.fill(&mut random);
                let now = environment.clock.unix_micros();
                Ok(DocumentId::uuid_v7(now, random))
            }
        }
    }

    /// Locks a key under which there may be no document.
    async fn lock_new(&self, txn: &Transaction, id: &DocumentId) -> Result<()> {
        let relation = self.def().id;
        let hash = txn.manager().row_hash(relation, &self.key(id));
        let resource = Resource::Row(relation, hash);
        txn.lock(resource, Mode::X, &txn.lock_options()).await?;
        Ok(())
    }

    /// Locks a document and gives its newest version, if there is one.
    async fn lock_newest(&self, txn: &Transaction, id: &DocumentId) -> Result<Option<Document>> {
        let key = self.key(id);
        let options = txn.lock_options();
        let lock = txn.lock_row(self.def().id, KeySpace::Rows, &key, Mode::X, &options);
        if lock.await? == RowLock::Skipped {
            return Ok(None);
        }
        match txn.get_newest(KeySpace::Rows, &key).await? {
            Some(stored) => Document::from_stored(&key, stored).map(Some),
            None => Ok(None),
        }
    }

    async fn lock_matching(
        &self,
        txn: &Transaction,
        filter: &Filter,
        candidate: &Document,
    ) -> Result<Option<Document>> {
        match self.lock_newest(txn, candidate.id()).await? {
            Some(newest) if filter.matches(&newest)? => Ok(Some(newest)),
            _ => Ok(None),
        }
    }

    async fn store_new(&self, txn: &Transaction, id: DocumentId, body: Value) -> Result<Written> {
        let body = self.prepare(&id, body)?;
        let new = Document::new(id, txn.id().0, &body);
        self.store(txn, None, &new).await?;
        Ok(Written::Inserted(new))
    }

    async fn change_locked(
        &self,
        txn: &Transaction,
        old: Document,
        change: &Change,
    ) -> Result<Written> {
        let mut body = old.to_value()?;
        change.apply(&mut body, context(txn, false))?;
        let body = self.prepare(old.id(), body)?;
        if old.has_body(&body) {
            return Ok(Written::Unchanged(old));
        }
        let version = txn.id().0.max(old.version().saturating_add(1));
        let new = Document::new(old.id().clone(), version, &body);
        self.store(txn, Some(&old), &new).await?;
        Ok(Written::Changed(new))
    }

    async fn delete_locked(&self, txn: &Transaction, old: Document) -> Result<Written> {
        let changes = IndexChanges::between(self.indexes(), Some(&old), None)?;
        changes.check(txn, self.def().id, self.name(), None).await?;
        changes.write(txn).await?;
        txn.delete(KeySpace::Rows, self.key(old.id()))?;
        Ok(Written::Deleted(old))
    }

    async fn store(&self, txn: &Transaction, old: Option<&Document>, new: &Document) -> Result<()> {
        let changes = IndexChanges::between(self.indexes(), old, Some(new))?;
        changes
            .check(txn, self.def().id, self.name(), Some(new))
            .await?;
        changes.write(txn).await?;
        let (key, value) = (self.key(new.id()), new.stored().clone());
        match old {
            Some(_) => txn.put(KeySpace::Rows, key, value)?,
            None => txn.insert(KeySpace::Rows, key, value)?,
        }
        Ok(())
    }
}

fn context(txn: &Transaction, is_insert: bool) -> UpdateContext {
    UpdateContext {
        // The same in the whole transaction, as `now()` in SQL.
        unix_micros: txn.started_at(),
        is_insert,
    }
}

fn check_version(document: &Document, expected: Expected) -> Result<()> {
    match expected {
        Expected::Version(expected) if expected != document.version() => {
            Err(DocumentError::VersionMismatch {
                id: document.id().to_string(),
                expected,
                found: document.version(),
            })
        }
        Expected::Version(_) | Expected::Any => Ok(()),
    }
}

/// Takes the member `_id` out of a body, which must be an object; refuses one that is not `id`.
pub(crate) fn take_id(body: &mut Value, id: Option<&DocumentId>) -> Result<Option<DocumentId>> {
    let found = match body {
        Value::Object(pairs) => pairs.shift_remove(ID_FIELD),
        Value::Null => return Err(not_an_object("null")),
        Value::Bool(_) => return Err(not_an_object("boolean")),
        Value::Number(_) => return Err(not_an_object("number")),
        Value::String(_) => return Err(not_an_object("string")),
        Value::Array(_) => return Err(not_an_object("array")),
    };
    let found = match found {
        None => return Ok(None),
        Some(Value::String(text)) => DocumentId::new(text)?,
        Some(_) => {
            return Err(DocumentError::InvalidId {
                reason: "the member _id must be a string".to_owned(),
            });
        }
    };
    match id {
        Some(id) if *id != found => Err(DocumentError::InvalidId {
            reason: format!("the member _id is \"{found}\", and the document is \"{id}\""),
        }),
        _ => Ok(Some(found)),
    }
}

fn not_an_object(found: &'static str) -> DocumentError {
    DocumentError::NotAnObject { found }
}

impl Change {
    /// Applies the change to a body. On an error the body is in some state between.
    pub fn apply(&self, body: &mut Value, context: UpdateContext) -> Result<()> {
        match self {
            Change::Replace(new) => {
                body.clone_from(new);
                Ok(())
            }
            Change::MergePatch(patch) => {
                merge_patch(body, patch);
                Ok(())
            }
            Change::JsonPatch(patch) => patch.apply(body),
            Change::Update(update) => update.apply(body, context),
        }
    }
}
