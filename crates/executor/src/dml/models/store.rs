//! One record of a key space or a collection: locked, read, written by the rules of its model.

use std::sync::Arc;

use bytes::Bytes;
use tessera_catalog::{Model, TableDef};
use tessera_documents::{Collection, DocumentError, DocumentId, Expected};
use tessera_keyvalue::{
    Expire, ExpireCondition, Reader, SetCondition, SetExpiry, SetOptions, Space, UnixMillis,
    Writer, key_of_stored, stored_key,
};
use tessera_locks::Mode;
use tessera_storage::{Key, KeySpace};
use tessera_tables::Row;
use tessera_transactions::{RowLock, TxnView};
use tessera_types::{Report, Value, codes};

use crate::context::StatementContext;
use crate::dml::target;
use crate::executor::Executor;
use crate::scan::records::{self, KeyColumns};

/// Positions of the columns of a key space.
const KEY: usize = 0;
const VALUE: usize = 1;
const TYPE: usize = 2;
const TTL: usize = 3;

/// Positions of the columns of a collection.
const ID: usize = 0;
const DOC: usize = 1;

/// The relation of one statement, locked and ready.
pub(super) struct Store<'a> {
    table: &'a Arc<TableDef>,
    context: &'a StatementContext,
    records: Records,
}

enum Records {
    Keys(Arc<Space>),
    Documents(Arc<Collection>),
}

/// What became of a record that was to be inserted.
pub(super) enum Inserted {
    /// It is stored, and this is its row.
    Row(Row),
    /// There is one of this name.
    Exists(Key),
    /// Another document has its value of a unique index.
    Duplicate(Report),
}

impl<'a> Store<'a> {
    /// Locks the relation for writing and makes sure that the plan was made for its present form.
    pub(super) async fn open(
        executor: &Executor,
        context: &'a StatementContext,
        table: &'a Arc<TableDef>,
    ) -> Result<Store<'a>, Report> {
        target::lock_to_write(executor, context, table).await?;
        let records = match table.model {
            Model::Collection => Records::Documents(executor.collection(table)?),
            _ => Records::Keys(executor.space(table).await?),
        };
        Ok(Store {
            table,
            context,
            records,
        })
    }

    fn now(&self) -> UnixMillis {
        let environment = self.context.txn.manager().environment();
        UnixMillis::now(&*environment.clock)
    }

    fn writer<'s>(&'s self, space: &'s Space) -> Writer<'s> {
        Writer::new(space, &self.context.txn, self.now())
    }

    /// Locks a record that a query found. `Changed` and `Unchanged` are about the statement's
    /// snapshot.
    pub(super) async fn lock(&self, key: &Key) -> Result<RowLock, Report> {
        let options = target::lock_options(self.context);
        let txn = &self.context.txn;
        let lock = txn.lock_row(self.table.id, KeySpace::Rows, key, Mode::X, &options);
        target::cancellable(self.context, async {
            lock.await.map_err(|error| error.report())
        })
        .await
    }

    /// The row of a record as a view shows it.
    pub(super) async fn row(&self, view: Arc<TxnView>, key: &Key) -> Result<Option<Row>, Report> {
        match &self.records {
            Records::Documents(collection) => {
                let id = Collection::id_of_stored(key)?;
                match collection.get(&*view, &id).await? {
                    Some(document) => records::document_row(&document, true).map(Some),
                    None => Ok(None),
                }
            }
            Records::Keys(space) => {
                let reader = Reader::new(space, view, self.now());
                let info = reader.info(&key_of_stored(key)).await;
                match info.map_err(|error| error.report())? {
                    Some(info) => {
                        let row = records::key_row(&reader, &info, KeyColumns { value: true });
                        row.await.map(Some)
                    }
                    None => Ok(None),
                }
            }
        }
    }

    /// The newest row of a record whose lock is held.
    pub(super) async fn newest(&self, key: &Key) -> Result<Option<Row>, Report> {
        self.row(self.context.txn.newest_view(), key).await
    }

    /// Inserts a record. `given` says which columns have a value of the statement's.
    pub(super) async fn insert(&self, row: &Row, given: &[bool]) -> Result<Inserted, Report> {
        target::cancellable(self.context, async {
            match &self.records {
                Records::Documents(collection) => {
                    self.insert_document(collection, row, given).await
                }
                Records::Keys(space) => self.insert_key(space, row).await,
            }
        })
        .await
    }

    async fn insert_document(
        &self,
        collection: &Collection,
        row: &Row,
        given: &[bool],
    ) -> Result<Inserted, Report> {
        let id = match &row[ID] {
            Value::Null if given[ID] => return Err(self.null_in(ID)),
            Value::Null => None,
            id => Some(document_id(id)?),
        };
        let body = self.body(&row[DOC])?;
        match collection.insert(&self.context.txn, id, body).await {
            Ok(written) => {
                let row = records::document_row(written.document(), true)?;
                Ok(Inserted::Row(row))
            }
            Err(DocumentError::DuplicateId { id, .. }) => {
                let id = DocumentId::new(id)?;
                Ok(Inserted::Exists(collection.stored_key(&id)))
            }
            Err(error @ DocumentError::Duplicate { .. }) => {
                Ok(Inserted::Duplicate(self.about(error.report())))
            }
            Err(error) => Err(self.about(error.report())),
        }
    }

    async fn insert_key(&self, space: &Space, row: &Row) -> Result<Inserted, Report> {
        let key = self.text(row, KEY)?;
        let value = self.text(row, VALUE)?;
        let expiry = match expire_of(&row[TTL])? {
            Some(expire) => SetExpiry::Expire(expire),
            None => SetExpiry::Clear,
        };
        let options = SetOptions {
            condition: SetCondition::IfAbsent,
            expiry,
            get: false,
        };
        let writer = self.writer(space);
        let set = writer.set(key.as_bytes(), value.as_bytes(), options);
        let outcome = set.await.map_err(|error| error.report())?;
        let stored = stored_key(space.relation(), key.as_bytes());
        if !outcome.is_set {
            return Ok(Inserted::Exists(stored));
        }
        self.written(&stored).await.map(Inserted::Row)
    }

    /// Gives a record, whose lock is held, new values in some columns; its row afterwards.
    pub(super) async fn update(
        &self,
        key: &Key,
        old: &Row,
        new: &Row,
        assigned: &[usize],
    ) -> Result<Row, Report> {
        target::cancellable(self.context, async {
            match &self.records {
                Records::Documents(collection) => {
                    self.update_document(collection, old, new, assigned).await
                }
                Records::Keys(space) => self.update_key(space, key, old, new, assigned).await,
            }
        })
        .await
    }

    async fn update_document(
        &self,
        collection: &Collection,
        old: &Row,
        new: &Row,
        assigned: &[usize],
    ) -> Result<Row, Report> {
        let txn = &self.context.txn;
        let id = document_id(&old[ID])?;
        let new_id = match &new[ID] {
            Value::Null => return Err(self.null_in(ID)),
            new_id => document_id(new_id)?,
        };
        if new_id == id && !assigned.contains(&DOC) {
            return Ok(old.clone());
        }
        let body = self.body(&new[DOC])?;
        let written = if new_id == id {
            collection.replace(txn, &id, body, Expected::Any).await
        } else {
            collection.delete(txn, &id, Expected::Any).await?;
            collection.insert(txn, Some(new_id), body).await
        };
        let written = written.map_err(|error| self.about(error.report()))?;
        records::document_row(written.document(), true)
    }

    async fn update_key(
        &self,
        space: &Space,
        stored: &Key,
        old: &Row,
        new: &Row,
        assigned: &[usize],
    ) -> Result<Row, Report> {
        let writer = self.writer(space);
        let mut key = key_of_stored(stored);
        let report = |error: tessera_keyvalue::KeyValueError| error.report();
        if new[KEY] != old[KEY] {
            let to = Bytes::copy_from_slice(self.text(new, KEY)?.as_bytes());
            if !writer.renamenx(&key, &to).await.map_err(report)? {
                return Err(self.exists(&new[KEY]));
            }
            key = to;
        }
        // What shall be when the key expires; it stays as it is unless it is assigned.
        let expire = if assigned.contains(&TTL) {
            expire_of(&new[TTL])?
        } else {
            None
        };
        if assigned.contains(&VALUE) {
            if old[TYPE].as_str() != Some("string") {
                let found = old[TYPE].as_str().unwrap_or_default();
                return Err(Report::unsupported(format!(
                    "the key holds a {found}, which SQL cannot write"
                ))
                .with_table(self.table.schema.as_str(), self.table.name.as_str())
                .with_hint("Delete the key first, or change it by the Redis protocol."));
            }
            let options = SetOptions {
                condition: SetCondition::Always,
                expiry: match expire {
                    Some(expire) => SetExpiry::Expire(expire),
                    None if assigned.contains(&TTL) => SetExpiry::Clear,
                    None => SetExpiry::Keep,
                },
                get: false,
            };
            let value = self.text(new, VALUE)?;
            let set = writer.set(&key, value.as_bytes(), options);
            set.await.map_err(report)?;
        } else if assigned.contains(&TTL) {
            match expire {
                Some(expire) => {
                    let condition = ExpireCondition::default();
                    writer
                        .expire(&key, expire, condition)
                        .await
                        .map_err(report)?;
                }
                None => {
                    writer.persist(&key).await.map_err(report)?;
                }
            }
        }
        self.written(&stored_key(space.relation(), &key)).await
    }

    /// Deletes a record whose lock is held.
    pub(super) async fn delete(&self, key: &Key) -> Result<(), Report> {
        match &self.records {
            Records::Documents(collection) => {
                let id = Collection::id_of_stored(key)?;
                let txn = &self.context.txn;
                collection.delete(txn, &id, Expected::Any).await?;
            }
            Records::Keys(space) => {
                let deleted = self.writer(space).del(&[key_of_stored(key)]).await;
                deleted.map_err(|error| error.report())?;
            }
        }
        Ok(())
    }

    /// A row that was written just now.
    async fn written(&self, key: &Key) -> Result<Row, Report> {
        let row = self.newest(key).await?;
        row.ok_or_else(|| Report::internal("what was written is not there"))
    }

    fn text<'r>(&self, row: &'r Row, column: usize) -> Result<&'r str, Report> {
        row[column].as_str().ok_or_else(|| self.null_in(column))
    }

    fn body(&self, doc: &Value) -> Result<serde_json::Value, Report> {
        match doc {
            Value::Json(text) => {
                let body = tessera_codec::json::parse(text.as_bytes());
                Ok(body.map_err(|error| error.report())?)
            }
            _ => Err(self.null_in(DOC)),
        }
    }

    fn about(&self, report: Report) -> Report {
        report.with_table(self.table.schema.as_str(), self.table.name.as_str())
    }

    /// 23502.
    fn null_in(&self, column: usize) -> Report {
        let name = &self.table.columns[column].name;
        self.about(Report::error(
            codes::NOT_NULL_VIOLATION,
            format!(
                "null value in column \"{name}\" of relation \"{}\" violates not-null constraint",
                self.table.name
            ),
        ))
    }

    /// 23505 in PostgreSQL's words.
    pub(super) fn exists(&self, name: &Value) -> Report {
        let constraint = self.table.primary_key_index();
        let constraint = constraint.map_or("", |index| index.name.as_str());
        let column = &self.table.columns[0].name;
        let report = Report::error(
            codes::UNIQUE_VIOLATION,
            format!("duplicate key value violates unique constraint \"{constraint}\""),
        )
        .with_detail(format!(
            "Key ({column})=({}) already exists.",
            name.as_str().unwrap_or_default()
        ))
        .with_constraint(constraint);
        self.about(report)
    }
}

fn document_id(value: &Value) -> Result<DocumentId, Report> {
    Ok(DocumentId::new(value.as_str().unwrap_or_default())?)
}

/// A time to live in milliseconds; NULL is for ever.
fn expire_of(value: &Value) -> Result<Option<Expire>, Report> {
    match value.as_i64() {
        None => Ok(None),
        Some(millis) if millis > 0 => Ok(Some(Expire::InMillis(millis))),
        Some(_) => Err(Report::error(
            codes::INVALID_PARAMETER_VALUE,
            "a time to live must be greater than zero",
        )
        .with_hint("It is in milliseconds; NULL is for ever.")),
    }
}
