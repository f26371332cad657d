//! Writing, and reading what is newest.

use std::sync::Arc;

use tessera_storage::{Deferred, Key, KeySpace, StoreError, Val, Write};

use crate::buffer::{Command, Found};
use crate::error::TransactionError;
use crate::reads::ViewReads;
use crate::transaction::Transaction;

impl Transaction {
    /// Gives a key a value. The caller holds the X lock of what it belongs to.
    ///
    /// May block on the disk when the write buffer is full.
    pub fn put(&self, space: KeySpace, key: Key, value: Val) -> Result<(), TransactionError> {
        self.write(space, key, Write::Put(value))
    }

    /// Gives a key its first value: the caller holds its X lock and has found it absent by
    /// `get_newest`. The same as `put`, but for those who follow the changes.
    pub fn insert(&self, space: KeySpace, key: Key, value: Val) -> Result<(), TransactionError> {
        self.write(space, key, Write::Insert(value))
    }

    /// Removes a key. The caller holds the X lock of what it belongs to.
    pub fn delete(&self, space: KeySpace, key: Key) -> Result<(), TransactionError> {
        self.write(space, key, Write::Delete)
    }

    fn write(&self, space: KeySpace, key: Key, write: Write) -> Result<(), TransactionError> {
        let inner = &self.inner;
        if inner.options.read_only {
            return Err(TransactionError::ReadOnly);
        }
        let capabilities = inner.manager.store.capabilities();
        check_size("a key", key.len(), capabilities.key_bytes_max)?;
        check_size("a value", write.value_bytes(), capabilities.value_bytes_max)?;
        let mut state = inner.state.lock();
        state.check_active()?;
        state.note_writer(inner);
        inner.owner.add_work(1);
        let mut boundaries: Vec<Command> = Vec::new();
        state.boundaries(&mut boundaries);
        let command = state.command;
        let mut buffer = inner.buffer.write();
        drop(state);
        buffer.put(command, &boundaries, space, key, write);
        let bytes_max = inner
            .options
            .write_buffer_bytes_max
            .unwrap_or(inner.manager.options.write_buffer_bytes_max);
        if buffer.bytes() > bytes_max {
            boundaries.push(command);
            blocking(|| buffer.spill(&*inner.manager.store, &boundaries))?;
        }
        Ok(())
    }

    /// The newest value of a key: an own write, also of this statement, or else what is committed
    /// now. For uniqueness checks and re-reads, after the lock is granted.
    ///
    /// Counts as a read of a serializable transaction, as of now.
    pub fn get_newest(
        &self,
        space: KeySpace,
        key: &[u8],
    ) -> Deferred<'_, Result<Option<Val>, StoreError>> {
        let store = &self.inner.manager.store;
        let tracker = self.newest_reads();
        let runs = match self.inner.buffer.read().find(space, key, Command::MAX) {
            Found::Write(write) => return Deferred::Ready(Ok(write.into_value())),
            Found::MaybeIn(runs) => runs,
            Found::Nothing => {
                let snapshot = store.snapshot();
                if let Some(tracker) = &tracker {
                    ViewReads::of_newest(tracker, snapshot.version()).key(space, key);
                }
                if let Deferred::Ready(value) = snapshot.get(space, key) {
                    return Deferred::Ready(value);
                }
                Default::default()
            }
        };
        let (store, key) = (Arc::clone(store), Key::copy_from_slice(key));
        Deferred::Pending(Box::pin(async move {
            for run in runs {
                if let Some(write) = run.get(space, &key).await? {
                    return Ok(write.into_value());
                }
            }
            let snapshot = store.snapshot();
            if let Some(tracker) = &tracker {
                ViewReads::of_newest(tracker, snapshot.version()).key(space, &key);
            }
            snapshot.get(space, &key).await
        }))
    }
}

fn check_size(what: &'static str, bytes: usize, bytes_max: usize) -> Result<(), StoreError> {
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(StoreError::TooLarge {
        what,
        limit: bytes_max as u64,
    })
}

/// Runs what blocks on the disk, without holding up other tasks where the runtime allows it.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}
