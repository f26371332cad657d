//! Locking: the parents of a resource are taken along, and a row is checked against the snapshot.

use tessera_locks::{Grant, LockOptions, Mode, Owner, Request, Resource};
use tessera_storage::{Key, KeySpace};
use tessera_telemetry::metrics;
use tessera_types::RelationId;

use crate::error::{ConflictingWrite, TransactionError};
use crate::transaction::Transaction;

/// What became of a request for a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowLock {
    /// Locked; what the statement's view shows is the newest version.
    Unchanged,
    /// Locked, but changed since the view's snapshot (READ COMMITTED only): read it again with
    /// `get_newest` and decide anew.
    Changed,
    /// Not locked, because another transaction has it (SKIP LOCKED only).
    Skipped,
}

impl Transaction {
    /// The transaction in the eyes of the lock manager: to set its priority, to count its work
    /// and its restarts, and to tell when it is idle.
    pub fn lock_owner(&self) -> &Owner {
        &self.inner.owner
    }

    /// Locks a resource, taking intention locks above it as needed.
    pub async fn lock(
        &self,
        resource: Resource,
        mode: Mode,
        options: &LockOptions,
    ) -> Result<Grant, TransactionError> {
        self.lock_described(resource, mode, None, options).await
    }

    /// `lock`, with the key that errors and views name the resource by.
    async fn lock_described(
        &self,
        resource: Resource,
        mode: Mode,
        key: Option<&[u8]>,
        options: &LockOptions,
    ) -> Result<Grant, TransactionError> {
        self.inner.state.lock().check_active()?;
        let request = Request {
            resource,
            mode,
            key,
            options: *options,
        };
        let locks = &self.inner.manager.locks;
        let grant = locks.lock(&self.inner.owner, &request).await?;
        self.give_back_if_ended()?;
        Ok(grant)
    }

    /// Locks the row or index key `key` of a relation, and tells whether it was changed since the
    /// snapshot. In REPEATABLE READ and SERIALIZABLE a changed row is the error 40001.
    pub async fn lock_row(
        &self,
        relation: RelationId,
        space: KeySpace,
        key: &[u8],
        mode: Mode,
        options: &LockOptions,
    ) -> Result<RowLock, TransactionError> {
        let manager = &self.inner.manager;
        let resource = Resource::Row(relation, manager.row_hash(relation, key));
        let grant = self.lock_described(resource, mode, Some(key), options);
        if grant.await? == Grant::Skipped {
            return Ok(RowLock::Skipped);
        }
        let snapshot = {
            let mut state = self.inner.state.lock();
            // Nothing was read yet: a snapshot taken now, under the lock, is new enough.
            let is_fresh = state.snapshot.is_none();
            let snapshot = self.snapshot_of(&mut state);
            if is_fresh {
                return Ok(RowLock::Unchanged);
            }
            snapshot
        };
        let snapshot = snapshot.version();
        let Some(version) = manager.store.changed_since(space, key, snapshot).await? else {
            return Ok(RowLock::Unchanged);
        };
        if !self.isolation().keeps_snapshot() {
            return Ok(RowLock::Changed);
        }
        metrics().txn_conflicts.increment();
        let (writer, statement) = manager.writer_of(version, None);
        Err(TransactionError::ConcurrentUpdate {
            relation,
            write: Box::new(ConflictingWrite {
                space,
                key: Key::copy_from_slice(key),
                snapshot,
                version,
                writer,
                statement,
            }),
        })
    }

    /// A transaction that another session ended while we waited must not keep the new lock.
    fn give_back_if_ended(&self) -> Result<(), TransactionError> {
        let ended = self.inner.state.lock().check_active();
        if ended.is_err() {
            self.inner.manager.locks.release_all(&self.inner.owner);
        }
        ended
    }
}
