//! What writes a key space: locks a key, reads its newest record, writes record and elements,
//! notes what that does to the counts.
//!
//! # Invariants
//! 1. A key's record is read for writing, and anything of it is written, only under the X lock of
//!    its record's key.
//! 2. Whatever is written below a key, its record is written too: a transaction with an older
//!    snapshot finds by the record that the key has changed.
//! 3. The index of expiries has exactly one entry per stored record that expires.
//! 4. A record is stored under another generation only together with the end of the old one: its
//!    elements are deleted, or it is listed as garbage.

use bytes::Bytes;
use smallvec::SmallVec;
use tessera_locks::{LockOptions, Mode};
use tessera_storage::{Key, KeyRange, KeySpace, Val};
use tessera_transactions::{RowLock, Transaction, TxnView};

use crate::error::{KeyValueError, Result};
use crate::layout::{
    Elements, Generation, check_key, expiry_key, garbage_key, generation_range, key_of_record,
    stored_key,
};
use crate::reader::Reader;
use crate::record::{Body, Record, ValueType};
use crate::rows::{Rows, Walk};
use crate::space::{Space, footprint_of};
use crate::time::UnixMillis;

/// Elements that are deleted together with their key; more are left to the reclaimer.
const DELETE_ENTRIES_MAX: usize = 64;

/// Writes keys of a space within one statement of a transaction, as of one moment.
///
/// What a command reads to decide what to write is the newest there is, under the key's lock, which
/// is kept until the transaction ends.
#[derive(Debug, Clone)]
pub struct Writer<'a> {
    pub(crate) space: &'a Space,
    pub(crate) txn: &'a Transaction,
    pub(crate) now: UnixMillis,
    pub(crate) locks: LockOptions,
}

/// A key whose lock is held.
#[derive(Debug)]
pub(crate) struct Locked {
    pub(crate) key: Bytes,
    record_key: Key,
    /// What the store has, expired or not.
    stored: Option<Record>,
}

impl Locked {
    /// Whether a record is stored that has expired by then.
    pub(crate) fn is_expired(&self, now: UnixMillis) -> bool {
        self.stored
            .as_ref()
            .is_some_and(|record| record.is_expired(now))
    }
}

impl<'a> Writer<'a> {
    /// A writer for one statement. Waits for locks as the transaction's settings say.
    pub fn new(space: &'a Space, txn: &'a Transaction, now: UnixMillis) -> Writer<'a> {
        Writer {
            space,
            txn,
            now,
            locks: txn.lock_options(),
        }
    }

    /// The same transaction and moment, in another key space.
    pub fn in_space<'b>(&'b self, space: &'b Space) -> Writer<'b> {
        Writer {
            space,
            txn: self.txn,
            now: self.now,
            locks: self.locks,
        }
    }

    /// Reads what is newest, own writes included.
    pub(crate) fn reader(&self) -> Reader<'a> {
        Reader::new(self.space, self.txn.newest_view(), self.now)
    }

    /// Reads keys that are not locked, before anything is written: what is newest, or the
    /// transaction's one snapshot where it has one.
    pub(crate) fn source_reader(&self) -> Reader<'a> {
        if self.txn.isolation().keeps_snapshot() {
            Reader::new(self.space, self.txn.view(), self.now)
        } else {
            self.reader()
        }
    }

    /// Locks a key and reads its newest record.
    pub(crate) async fn lock(&self, key: &[u8]) -> Result<Locked> {
        check_key(key)?;
        let record_key = stored_key(self.space.relation(), key);
        self.txn
            .lock_row(
                self.space.relation(),
                KeySpace::Rows,
                &record_key,
                Mode::X,
                &self.locks,
            )
            .await?;
        self.read_locked(record_key).await
    }

    /// As [`Writer::lock`], unless another transaction has the key.
    pub(crate) async fn lock_if_free(&self, key: &[u8]) -> Result<Option<Locked>> {
        let record_key = stored_key(self.space.relation(), key);
        let options = LockOptions {
            wait: tessera_locks::Wait::SkipLocked,
            deadline: None,
        };
        let relation = self.space.relation();
        let lock = self
            .txn
            .lock_row(relation, KeySpace::Rows, &record_key, Mode::X, &options)
            .await?;
        match lock {
            RowLock::Skipped => Ok(None),
            RowLock::Unchanged | RowLock::Changed => Ok(Some(self.read_locked(record_key).await?)),
        }
    }

    async fn read_locked(&self, record_key: Key) -> Result<Locked> {
        let stored = match self.txn.get_newest(KeySpace::Rows, &record_key).await? {
            Some(value) => Some(Record::decode(&value)?),
            None => None,
        };
        Ok(Locked {
            key: key_of_record(&record_key),
            record_key,
            stored,
        })
    }

    /// WATCH: whether a key was written after a view that is still held was taken. Locks the key, so
    /// that it stays so until the transaction ends; for READ COMMITTED.
    pub async fn is_changed_since(&self, key: &[u8], view: &TxnView) -> Result<bool> {
        let locked = self.lock(key).await?;
        let store = self.txn.manager().store();
        let change = store.changed_since(KeySpace::Rows, &locked.record_key, view.version());
        Ok(change.await?.is_some())
    }

    /// Locks several keys, in their order, so that two commands with the same keys do not wait for
    /// each other.
    pub(crate) async fn lock_all<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<()> {
        let mut sorted: SmallVec<[&[u8]; 8]> = keys.iter().map(AsRef::as_ref).collect();
        sorted.sort_unstable();
        sorted.dedup();
        for key in sorted {
            self.lock(key).await?;
        }
        Ok(())
    }

    /// The record of a locked key, unless it has expired.
    pub(crate) fn living(&self, locked: &Locked) -> Option<Record> {
        let record = locked.stored.as_ref()?;
        (!record.is_expired(self.now)).then(|| record.clone())
    }

    /// The living record, which must be of a type.
    pub(crate) fn typed(&self, locked: &Locked, kind: ValueType) -> Result<Option<Record>> {
        match self.living(locked) {
            Some(record) if record.body.value_type() != kind => Err(KeyValueError::WrongType),
            found => Ok(found),
        }
    }

    /// A record for a key that does not exist yet.
    pub(crate) fn fresh(&self, body: Body) -> Record {
        let generation = if body.has_elements() {
            self.space.fresh_generation(self.txn.id())
        } else {
            Record::NO_GENERATION
        };
        Record {
            expires: None,
            generation,
            body,
        }
    }

    pub(crate) fn elements(&self, record: &Record) -> Elements {
        Elements::new(self.space.relation(), record.generation)
    }

    /// Stores the record of a locked key, in the place of whatever was stored before.
    pub(crate) async fn store(&self, locked: &mut Locked, record: Record) -> Result<()> {
        let old_expires = locked.stored.as_ref().and_then(|old| old.expires);
        if old_expires != record.expires {
            self.move_expiry(&locked.key, old_expires, record.expires)?;
        }
        if let Some(old) = locked.stored.as_ref().filter(|old| {
            old.body.has_elements()
                && (old.generation != record.generation || !record.body.has_elements())
        }) {
            self.discard(old).await?;
        }
        let mut delta = footprint_of(&locked.key, &record);
        // Whoever waits for a key sees it anew where it had expired, whatever its size.
        let mut is_new = true;
        if let Some(old) = &locked.stored {
            delta.add(footprint_of(&locked.key, old).negated());
            is_new = old.is_expired(self.now);
        }
        let (key, value) = (locked.record_key.clone(), record.encode());
        match locked.stored {
            Some(_) => self.txn.put(KeySpace::Rows, key, value)?,
            None => self.txn.insert(KeySpace::Rows, key, value)?,
        }
        if is_new || !delta.is_zero() {
            self.space.counters.note(self.txn, &locked.key, delta);
        }
        locked.stored = Some(record);
        Ok(())
    }

    /// Stores the record, or removes the key if its collection is empty.
    pub(crate) async fn store_or_remove(&self, locked: &mut Locked, record: Record) -> Result<()> {
        let is_empty = record.body.count() == Some(0);
        if is_empty && record.body.value_type() != ValueType::Stream {
            // The record's elements may be own writes that nothing else lists.
            self.remove_with(locked, &record).await
        } else {
            self.store(locked, record).await
        }
    }

    /// Removes a locked key, whatever it holds; whether it was there and alive.
    pub(crate) async fn remove(&self, locked: &mut Locked) -> Result<bool> {
        let Some(record) = locked.stored.clone() else {
            return Ok(false);
        };
        let was_alive = !record.is_expired(self.now);
        self.remove_with(locked, &record).await?;
        Ok(was_alive)
    }

    /// Removes a locked key; `record` tells how much may be left below it.
    async fn remove_with(&self, locked: &mut Locked, record: &Record) -> Result<()> {
        let Some(old) = locked.stored.take() else {
            return Ok(());
        };
        if old.body.has_elements() {
            if old.generation == record.generation {
                self.discard(record).await?;
            } else {
                self.discard(&old).await?;
            }
        }
        locked.stored = Some(old);
        self.forget(locked)
    }

    /// Removes the record of a locked key and leaves its elements to the record's next owner.
    pub(crate) fn forget(&self, locked: &mut Locked) -> Result<()> {
        let Some(old) = locked.stored.take() else {
            return Ok(());
        };
        self.move_expiry(&locked.key, old.expires, None)?;
        self.txn.delete(KeySpace::Rows, locked.record_key.clone())?;
        let delta = footprint_of(&locked.key, &old).negated();
        self.space.counters.note(self.txn, &locked.key, delta);
        Ok(())
    }

    /// Ends a generation: deletes its few elements, or lists it for the reclaimer.
    async fn discard(&self, record: &Record) -> Result<()> {
        let relation = self.space.relation();
        let is_small = match &record.body {
            Body::SortedSet { levels: 1.., .. } | Body::Stream(_) => false,
            Body::Large { .. } => true,
            // Nothing is left of an emptied collection, not even fences.
            body if body.count() == Some(0) => return Ok(()),
            body => body.count() <= Some(DELETE_ENTRIES_MAX as u64),
        };
        if is_small {
            let range = generation_range(relation, record.generation);
            let limit = DELETE_ENTRIES_MAX + 1;
            let keys = self.some_keys(KeySpace::Rows, range, limit).await?;
            if keys.len() < limit {
                for key in keys {
                    self.txn.delete(KeySpace::Rows, key)?;
                }
                return Ok(());
            }
        }
        self.discard_later(record.generation)
    }

    pub(crate) fn discard_later(&self, generation: Generation) -> Result<()> {
        let key = garbage_key(self.space.relation(), generation);
        Ok(self.txn.put(KeySpace::Indexes, key, Val::new())?)
    }

    /// The first keys of a range.
    pub(crate) async fn some_keys(
        &self,
        space: KeySpace,
        range: KeyRange,
        limit: usize,
    ) -> Result<Vec<Key>> {
        let walk = Walk {
            limit: Some(limit),
            ..Walk::KEYS
        };
        let view = self.txn.newest_view();
        let mut rows = Rows::new(&view, space, range, walk.options());
        let mut keys = Vec::new();
        while let Some((key, _)) = rows.next().await? {
            keys.push(key);
        }
        Ok(keys)
    }

    fn move_expiry(
        &self,
        key: &[u8],
        old: Option<UnixMillis>,
        new: Option<UnixMillis>,
    ) -> Result<()> {
        if old == new {
            return Ok(());
        }
        let relation = self.space.relation();
        if let Some(old) = old {
            self.txn
                .delete(KeySpace::Indexes, expiry_key(relation, old, key))?;
        }
        if let Some(new) = new {
            let entry = expiry_key(relation, new, key);
            self.txn.put(KeySpace::Indexes, entry, Val::new())?;
        }
        Ok(())
    }

    /// An element below a locked key, as it is now.
    pub(crate) async fn element(&self, key: &[u8]) -> Result<Option<Val>> {
        Ok(self.txn.get_newest(KeySpace::Rows, key).await?)
    }

    pub(crate) fn put(&self, key: Key, value: Val) -> Result<()> {
        Ok(self.txn.put(KeySpace::Rows, key, value)?)
    }

    pub(crate) fn delete(&self, key: Key) -> Result<()> {
        Ok(self.txn.delete(KeySpace::Rows, key)?)
    }
}
