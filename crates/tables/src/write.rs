//! Inserts, updates and deletes one row with all its index entries.
//!
//! # Protocol
//! - The key of a row is its lock: X before its newest version is read, until the end of the
//!   transaction. The key of a unique index entry is a lock of its own, taken before the entry is
//!   made *and* before it is removed: who inserts a value that another transaction is deleting
//!   waits for that transaction to end.
//! - Whether a unique key is taken is asked of the newest commit and own writes, not of the
//!   snapshot: a key that was committed after the snapshot is taken all the same.
//! - Under a lock of the whole table no row locks are needed, and keys that ascend beyond all
//!   existing ones are known to be free without a look (bulk loads).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tessera_locks::{LockOptions, Mode, Resource, Wait};
use tessera_storage::{Key, KeyRange, KeySpace, ScanOptions, Snapshot, Val};
use tessera_transactions::{RowLock, Transaction};
use tessera_types::{RelationId, Value};

use crate::error::{Result, TableError};
use crate::layout::{Entry, EntryRef, index_range, rows_range};
use crate::row_ids::RowIds;
use crate::scan::Stored;
use crate::table::{Index, Table};

/// Which unique keys an ON CONFLICT clause is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arbiter {
    /// All of them (DO NOTHING without a target).
    Any,
    /// The primary key or a unique index.
    Index(RelationId),
}

impl Arbiter {
    fn covers(self, index: RelationId) -> bool {
        match self {
            Arbiter::Any => true,
            Arbiter::Index(wanted) => wanted == index,
        }
    }
}

/// What an insert does about a row with the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// Fails with 23505.
    Error,
    /// Leaves the new row out.
    DoNothing(Arbiter),
    /// Hands the existing row to the caller, locked.
    Report(Arbiter),
}

/// What became of an insert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inserted {
    /// The row is there.
    Stored(Stored),
    /// Left out.
    Skipped,
    /// This row has the key; it is locked and this is its newest version.
    Conflict(Stored),
}

/// What became of a request for a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Locked {
    /// The version that the statement read is the newest.
    Unchanged,
    /// It was changed since: this is the newest version.
    Changed(Stored),
    /// It was deleted (or got another primary key) since.
    Gone,
    /// Another transaction has it (SKIP LOCKED).
    Skipped,
}

/// Writes rows of one table within one statement.
pub struct Writer<'a> {
    txn: &'a Transaction,
    table: &'a Table,
    row_ids: &'a RowIds,
    locks: LockOptions,
    counter: Option<Arc<AtomicU64>>,
    /// The table is locked exclusively.
    is_exclusive: bool,
    /// Highest key known per unique key set: the rows, then each index. Only asked while the
    /// table is locked exclusively, and then no key above exists.
    highest: Vec<Option<Key>>,
}

/// What a [`Writer`] has learnt, kept while nothing borrows the transaction.
#[derive(Debug, Default)]
pub struct WriterState {
    counter: Option<Arc<AtomicU64>>,
    is_exclusive: bool,
    highest: Vec<Option<Key>>,
}

/// Position of the row keys in `Writer::highest`.
const ROWS: usize = 0;

impl<'a> Writer<'a> {
    /// A writer. The caller holds at least an IX lock on the table.
    pub fn new(
        txn: &'a Transaction,
        table: &'a Table,
        row_ids: &'a RowIds,
        locks: LockOptions,
    ) -> Writer<'a> {
        let highest = vec![None; 1 + table.indexes().len()];
        Writer {
            txn,
            table,
            row_ids,
            locks,
            counter: None,
            is_exclusive: false,
            highest,
        }
    }

    /// A writer that goes on where another of the same table and statement was suspended.
    pub fn resume(
        txn: &'a Transaction,
        table: &'a Table,
        row_ids: &'a RowIds,
        locks: LockOptions,
        state: WriterState,
    ) -> Writer<'a> {
        let mut writer = Writer::new(txn, table, row_ids, locks);
        if state.highest.len() == writer.highest.len() {
            writer.counter = state.counter;
            writer.is_exclusive = state.is_exclusive;
            writer.highest = state.highest;
        }
        writer
    }

    /// Ends the borrow of the transaction; `resume` goes on.
    pub fn suspend(self) -> WriterState {
        WriterState {
            counter: self.counter,
            is_exclusive: self.is_exclusive,
            highest: self.highest,
        }
    }

    /// The table.
    pub fn table(&self) -> &'a Table {
        self.table
    }

    /// Whether the table is locked exclusively.
    pub fn is_exclusive(&self) -> bool {
        self.is_exclusive
    }

    /// Tries to lock the whole table, which makes row locks needless. Never waits.
    pub async fn try_exclusive(&mut self) -> Result<bool> {
        if self.is_exclusive {
            return Ok(true);
        }
        let options = LockOptions {
            wait: Wait::SkipLocked,
            deadline: None,
        };
        let resource = Resource::Relation(self.table.id());
        let grant = self.txn.lock(resource, Mode::X, &options).await?;
        if grant == tessera_locks::Grant::Skipped {
            return Ok(false);
        }
        // What was committed before the lock was granted is in this view; nobody adds to it now.
        let view: Arc<dyn Snapshot> = self.txn.newest_view();
        self.raise(
            ROWS,
            highest_key(&view, KeySpace::Rows, rows_range(self.table)).await?,
        );
        for (at, index) in self.table.indexes().iter().enumerate() {
            if index.def.unique {
                let highest = highest_key(&view, KeySpace::Indexes, index_range(index)).await?;
                self.raise(ROWS + 1 + at, highest);
            }
        }
        self.is_exclusive = true;
        Ok(true)
    }

    fn raise(&mut self, which: usize, key: Option<Key>) {
        if key > self.highest[which] {
            self.highest[which] = key;
        }
    }

    /// Locks a row that the statement has read, before it is changed.
    pub async fn lock_row(&self, key: &Key, mode: Mode, wait: Wait) -> Result<Locked> {
        let options = LockOptions { wait, ..self.locks };
        let granted = self
            .txn
            .lock_row(self.table.id(), KeySpace::Rows, key, mode, &options)
            .await?;
        match granted {
            RowLock::Unchanged => Ok(Locked::Unchanged),
            RowLock::Skipped => Ok(Locked::Skipped),
            RowLock::Changed => match self.txn.get_newest(KeySpace::Rows, key).await? {
                Some(value) => Ok(Locked::Changed(Stored {
                    key: key.clone(),
                    value,
                })),
                None => Ok(Locked::Gone),
            },
        }
    }

    /// Inserts a row.
    pub async fn insert(&mut self, row: &[Value], on_conflict: OnConflict) -> Result<Inserted> {
        let table = self.table;
        table.check_not_null(row)?;
        let key = if table.has_primary_key() {
            let key = table.row_key(row)?;
            if let Some(value) = self.occupant(ROWS, KeySpace::Rows, &key).await? {
                let existing = Stored { key, value };
                let index = table.def().primary_key_index();
                let id = index.map_or(table.id(), |index| index.id);
                let name = index.map_or("", |index| index.name.as_str());
                return self
                    .conflict(existing, id, on_conflict, || {
                        self.duplicate(name, table.key_positions(), row)
                    })
                    .await;
            }
            key
        } else {
            self.next_key().await?
        };
        let mut entries = Vec::with_capacity(table.indexes().len());
        for (at, index) in table.indexes().iter().enumerate() {
            let entry = index.entry(row, &key)?;
            if entry.is_unique
                && let Some(value) = self
                    .occupant(ROWS + 1 + at, KeySpace::Indexes, &entry.key)
                    .await?
            {
                let row_key = EntryRef {
                    key: &entry.key,
                    value: &value,
                }
                .row_key(table)?;
                return self.index_conflict(index, row_key, on_conflict, row).await;
            }
            entries.push(entry);
        }
        let value = table.encode(row)?;
        self.txn
            .insert(KeySpace::Rows, key.clone(), value.clone())?;
        for entry in entries {
            self.txn.put(KeySpace::Indexes, entry.key, entry.value)?;
        }
        Ok(Inserted::Stored(Stored { key, value }))
    }

    /// Replaces a locked row by a new version of it, perhaps with another primary key.
    pub async fn update(
        &mut self,
        old: &Stored,
        old_row: &[Value],
        new_row: &[Value],
    ) -> Result<Stored> {
        let table = self.table;
        table.check_not_null(new_row)?;
        let key_changes = table
            .key_positions()
            .iter()
            .any(|at| old_row[*at] != new_row[*at]);
        let key = if key_changes {
            table.row_key(new_row)?
        } else {
            old.key.clone()
        };
        if key != old.key && self.occupant(ROWS, KeySpace::Rows, &key).await?.is_some() {
            let name = table
                .def()
                .primary_key_index()
                .map_or("", |index| index.name.as_str());
            return Err(self.duplicate(name, table.key_positions(), new_row));
        }
        let mut changes: Vec<(Entry, Entry)> = Vec::new();
        for (at, index) in table.indexes().iter().enumerate() {
            let is_same = index
                .positions
                .iter()
                .all(|at| old_row[*at] == new_row[*at]);
            if is_same && key == old.key {
                continue;
            }
            let (before, after) = (index.entry(old_row, &old.key)?, index.entry(new_row, &key)?);
            if before.key != after.key {
                if before.is_unique {
                    self.lock_key(&before.key).await?;
                }
                if after.is_unique
                    && self
                        .occupant(ROWS + 1 + at, KeySpace::Indexes, &after.key)
                        .await?
                        .is_some()
                {
                    return Err(self.duplicate(&index.def.name, &index.positions, new_row));
                }
            }
            changes.push((before, after));
        }
        let value = table.encode(new_row)?;
        if key == old.key {
            self.txn.put(KeySpace::Rows, key.clone(), value.clone())?;
        } else {
            self.txn.delete(KeySpace::Rows, old.key.clone())?;
            self.txn
                .insert(KeySpace::Rows, key.clone(), value.clone())?;
        }
        for (before, after) in changes {
            if before.key != after.key {
                self.txn.delete(KeySpace::Indexes, before.key)?;
            }
            self.txn.put(KeySpace::Indexes, after.key, after.value)?;
        }
        Ok(Stored { key, value })
    }

    /// Deletes a locked row.
    pub async fn delete(&mut self, old: &Stored, old_row: &[Value]) -> Result<()> {
        for index in self.table.indexes() {
            let entry = index.entry(old_row, &old.key)?;
            if entry.is_unique {
                self.lock_key(&entry.key).await?;
            }
            self.txn.delete(KeySpace::Indexes, entry.key)?;
        }
        self.txn.delete(KeySpace::Rows, old.key.clone())?;
        Ok(())
    }

    /// Locks a row or unique key without asking whether it changed.
    async fn lock_key(&self, key: &[u8]) -> Result<()> {
        if self.is_exclusive {
            return Ok(());
        }
        let relation = self.table.id();
        let resource = Resource::Row(relation, self.txn.manager().row_hash(relation, key));
        self.txn.lock(resource, Mode::X, &self.locks).await?;
        Ok(())
    }

    /// Locks a key and gives the newest value there, if any.
    async fn occupant(&mut self, which: usize, space: KeySpace, key: &Key) -> Result<Option<Val>> {
        if self.highest[which]
            .as_ref()
            .is_none_or(|highest| key > highest)
        {
            self.highest[which] = Some(key.clone());
            if self.is_exclusive {
                return Ok(None);
            }
        }
        self.lock_key(key).await?;
        Ok(self.txn.get_newest(space, key).await?)
    }

    async fn next_key(&mut self) -> Result<Key> {
        let counter = match &self.counter {
            Some(counter) => counter,
            None => {
                let counter = self.row_ids.counter(self.txn, self.table).await?;
                self.counter.insert(counter)
            }
        };
        Ok(self
            .table
            .key_of_number(counter.fetch_add(1, Ordering::Relaxed)))
    }

    async fn index_conflict(
        &self,
        index: &Index,
        row_key: Key,
        on_conflict: OnConflict,
        row: &[Value],
    ) -> Result<Inserted> {
        let error = || self.duplicate(&index.def.name, &index.positions, row);
        if let OnConflict::Report(arbiter) = on_conflict
            && arbiter.covers(index.def.id)
        {
            self.lock_key(&row_key).await?;
        }
        let value = self.txn.get_newest(KeySpace::Rows, &row_key).await?;
        let Some(value) = value else {
            return Err(TableError::IndexMismatch {
                index: index.def.name.clone(),
            });
        };
        self.conflict(
            Stored {
                key: row_key,
                value,
            },
            index.def.id,
            on_conflict,
            error,
        )
        .await
    }

    async fn conflict(
        &self,
        existing: Stored,
        index: RelationId,
        on_conflict: OnConflict,
        error: impl FnOnce() -> TableError,
    ) -> Result<Inserted> {
        let (OnConflict::DoNothing(arbiter) | OnConflict::Report(arbiter)) = on_conflict else {
            return Err(error());
        };
        if !arbiter.covers(index) {
            return Err(error());
        }
        if self.txn.isolation().keeps_snapshot() {
            // A row that the snapshot does not show must not decide silently: 40001.
            self.lock_row(&existing.key, Mode::X, Wait::Block).await?;
        }
        match on_conflict {
            OnConflict::Report(_) => Ok(Inserted::Conflict(existing)),
            _ => Ok(Inserted::Skipped),
        }
    }

    fn duplicate(&self, constraint: &str, positions: &[usize], row: &[Value]) -> TableError {
        let def = self.table.def();
        TableError::Duplicate {
            schema: def.schema.clone(),
            table: def.name.clone(),
            constraint: constraint.to_owned(),
            key: self.table.describe_key(positions, row),
        }
    }
}

/// The last key of a range.
async fn highest_key(
    view: &Arc<dyn Snapshot>,
    space: KeySpace,
    range: KeyRange,
) -> Result<Option<Key>> {
    let options = ScanOptions {
        reverse: true,
        row_limit: Some(1),
        keys_only: true,
        ..ScanOptions::default()
    };
    let mut scan = Arc::clone(view).scan(space, range, options);
    let batch = scan.next_batch().await?;
    Ok(batch
        .and_then(|rows| rows.into_iter().next())
        .map(|(key, _)| key))
}
