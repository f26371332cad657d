//! Pieces of commits to changes.

use std::collections::VecDeque;
use std::sync::Arc;

use tessera_catalog::{EntryChange, Model};
use tessera_documents::Document;
use tessera_keyvalue::{KeyFacts, key_of_change};
use tessera_storage::{
    ChangeItem, ChangeReader, Key, KeySpace, Reach, Store, StoreError, Val, Write,
};
use tessera_types::{Report, Version, codes};

use super::cursor::{self, Cursor};
use super::relations::{Followed, Relations};
use super::{Change, ChangeKind, ChangesFrom, ChangesRequest, ColumnValue, What};
use crate::models::Client;

/// Bytes of changes that are taken from the log at once.
const STEP_BYTES: usize = 64 << 10;

/// One reader of the changes.
pub struct ChangeStream {
    store: Arc<dyn Store>,
    reader: Box<dyn ChangeReader>,
    relations: Relations,
    identity: u64,
    /// The last commit that was read whole.
    complete: Version,
    /// Pieces of the one after it that were read.
    pieces: u64,
    /// Pieces of the first commit that an earlier reader has seen.
    skip: u64,
    /// Changes of the present commit that were given.
    given: u64,
    version: Version,
    unix_micros: Option<i64>,
    ready: VecDeque<Change>,
    /// Nothing was read yet, and it was asked for whatever is there.
    is_at_oldest: bool,
}

impl Client {
    /// Follows what is committed.
    ///
    /// # Errors
    /// 42P01 and 42501 for relations that are named; 22023 for a cursor that is none; 72000 for
    /// one whose changes are not kept any more.
    pub fn changes(&self, request: &ChangesRequest) -> Result<ChangeStream, Report> {
        let shared = &self.engine().shared;
        let store = Arc::clone(&shared.store);
        let relations = Relations::new(
            &shared.catalog,
            self.user_def(),
            &request.relations,
            &request.models,
        )?;
        let window = store.change_window();
        let at = |version| Cursor {
            identity: window.identity,
            version,
            pieces: 0,
        };
        let start = match &request.from {
            ChangesFrom::Now => at(window.newest),
            ChangesFrom::Oldest => at(window.oldest),
            ChangesFrom::Cursor(text) => Cursor::parse(text)?,
        };
        if start.identity != window.identity {
            return Err(cursor::invalid("it is of another database"));
        }
        if start.version > store.newest() {
            return Err(cursor::invalid("it is ahead of everything committed"));
        }
        let reader = store
            .changes(start.version, Reach::Durable)
            .map_err(|error| error.report())?;
        Ok(ChangeStream {
            store,
            reader,
            relations,
            identity: window.identity,
            complete: start.version,
            pieces: 0,
            skip: start.pieces,
            given: 0,
            version: start.version,
            unix_micros: None,
            ready: VecDeque::new(),
            is_at_oldest: request.from == ChangesFrom::Oldest,
        })
    }
}

impl ChangeStream {
    /// Where the reader stands; nothing while there is a change that was read and not given.
    pub fn cursor(&self) -> Option<String> {
        self.ready.is_empty().then(|| self.position().to_text())
    }

    /// The next change; waits for it. Dropping the future loses nothing.
    ///
    /// # Errors
    /// 72000 if the reader was so slow that what comes next is not kept any more; 57P03 when the
    /// engine closes; 28000 when the user is gone. The stream is over then.
    pub async fn next(&mut self) -> Result<Change, Report> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Ok(change);
            }
            self.relations.refresh_user()?;
            let items = match self.reader.next_items(STEP_BYTES) {
                Err(StoreError::ChangesCut { oldest, .. }) if self.is_at_oldest => {
                    self.begin_at(oldest)?;
                    continue;
                }
                items => items.map_err(|error| error.report())?,
            };
            if items.is_empty() {
                self.reader
                    .changed()
                    .await
                    .map_err(|error| error.report())?;
                continue;
            }
            self.is_at_oldest = false;
            for item in items {
                self.take(item)?;
            }
            // A long history without a change of interest must not keep others from running.
            tokio::task::yield_now().await;
        }
    }

    /// Like [`ChangeStream::next`], but does not wait for what is not committed yet.
    pub fn next_now(&mut self) -> Result<Option<Change>, Report> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Ok(Some(change));
            }
            let items = self
                .reader
                .next_items(STEP_BYTES)
                .map_err(|error| error.report())?;
            if items.is_empty() {
                return Ok(None);
            }
            for item in items {
                self.take(item)?;
            }
        }
    }

    fn begin_at(&mut self, oldest: Version) -> Result<(), Report> {
        let reader = self.store.changes(oldest, Reach::Durable);
        self.reader = reader.map_err(|error| error.report())?;
        self.complete = oldest;
        Ok(())
    }

    fn position(&self) -> Cursor {
        Cursor {
            identity: self.identity,
            version: self.complete,
            pieces: self.pieces.max(self.skip),
        }
    }

    fn take(&mut self, item: ChangeItem) -> Result<(), Report> {
        match item {
            ChangeItem::Begin {
                version,
                unix_micros,
                ..
            } => {
                self.version = version;
                self.unix_micros = unix_micros;
                self.given = 0;
                self.pieces = 0;
            }
            ChangeItem::End { version } => {
                self.complete = version;
                self.pieces = 0;
                self.skip = 0;
                if self.given > 0 {
                    let changes = self.given;
                    self.give(What::Commit { changes });
                }
            }
            ChangeItem::Write { space, key, write } => {
                let what = self.meaning(space, &key, write)?;
                self.pass(what);
            }
            ChangeItem::Destroyed { .. } | ChangeItem::Notice(_) => self.pass(None),
        }
        Ok(())
    }

    /// A piece was read; gives what it means, unless an earlier reader has got it.
    fn pass(&mut self, what: Option<What>) {
        self.pieces += 1;
        if let Some(what) = what {
            self.given += 1;
            if self.pieces > self.skip {
                self.give(what);
            }
        }
    }

    fn give(&mut self, what: What) {
        self.ready.push_back(Change {
            cursor: self.position().to_text(),
            version: self.version,
            unix_micros: self.unix_micros,
            what,
        });
    }

    fn meaning(
        &mut self,
        space: KeySpace,
        key: &Key,
        write: Write,
    ) -> Result<Option<What>, Report> {
        match space {
            KeySpace::Catalog => {
                let value = write.value().map(|value| &value[..]);
                let entry = EntryChange::decode(key, value).map_err(|error| error.report())?;
                let heard = match entry {
                    EntryChange::Table(def) => self.relations.define(*def),
                    EntryChange::Dropped(id) => self.relations.forget(id),
                    EntryChange::Other => None,
                };
                Ok(heard.map(|(relation, action)| What::Schema { relation, action }))
            }
            KeySpace::Rows => {
                let Some(relation) = self.relations.of_key(key).cloned() else {
                    return Ok(None);
                };
                let kind = match &write {
                    Write::Insert(_) => ChangeKind::Insert,
                    Write::Put(_) => ChangeKind::Update,
                    Write::Delete => ChangeKind::Delete,
                };
                let value = write.into_value();
                match relation.model() {
                    Model::Rows => row(relation, kind, key, value.as_ref()).map(Some),
                    Model::Collection => document(relation, kind, key, value).map(Some),
                    Model::KeySpace => key_value(relation, kind, key, value.as_ref()),
                }
            }
            _ => Ok(None),
        }
    }
}

fn row(
    relation: Arc<Followed>,
    kind: ChangeKind,
    key: &Key,
    value: Option<&Val>,
) -> Result<What, Report> {
    let table = relation.table();
    let mut rest = key.get(STORAGE_BYTES..).unwrap_or_default();
    let mut columns = Vec::with_capacity(table.key_positions().len());
    for (position, order) in table.key_positions().iter().zip(table.key_orders()) {
        let column = &table.def().columns[*position];
        let value = tessera_codec::key::decode_value(&column.sql_type, *order, &mut rest)
            .map_err(|error| unreadable(&relation, &error))?;
        columns.push(ColumnValue {
            name: column.name.clone(),
            sql_type: column.sql_type.clone(),
            value,
        });
    }
    let row = value.map(|value| table.decode(value)).transpose();
    let row = row.map_err(|error| unreadable(&relation, &error))?;
    Ok(What::Row {
        relation,
        kind,
        key: columns,
        row,
    })
}

fn document(
    relation: Arc<Followed>,
    kind: ChangeKind,
    key: &Key,
    value: Option<Val>,
) -> Result<What, Report> {
    let id = Document::id_of_key(key).unwrap_or_default().to_owned();
    let document = value.map(|value| Document::decode(key, value)).transpose();
    let document = document.map_err(|error| unreadable(&relation, &error))?;
    Ok(What::Document {
        relation,
        kind,
        id,
        document,
    })
}

fn key_value(
    relation: Arc<Followed>,
    kind: ChangeKind,
    stored: &Key,
    value: Option<&Val>,
) -> Result<Option<What>, Report> {
    let Some((_, key)) = key_of_change(stored) else {
        return Ok(None);
    };
    let facts = value.map(KeyFacts::decode).transpose();
    let facts = facts.map_err(|error| unreadable(&relation, &error))?;
    Ok(Some(What::Key {
        relation,
        kind,
        key,
        facts,
    }))
}

/// Bytes before the key of a row: its storage.
const STORAGE_BYTES: usize = 4;

fn unreadable(relation: &Followed, error: &dyn std::fmt::Display) -> Report {
    Report::error(
        codes::DATA_CORRUPTED,
        format!(
            "a change of {} in the log cannot be read: {error}",
            relation.name()
        ),
    )
}

impl std::fmt::Debug for ChangeStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ChangeStream({})", self.complete)
    }
}
