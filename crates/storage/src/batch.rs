//! What is committed, under which conditions, and what became of it.

use tessera_types::{TxnId, Version};

use crate::changes::Notice;
use crate::error::StoreError;
use crate::range::KeySpace;
use crate::reads::ReadSet;
use crate::store::{Key, RunId, Val};

/// What happens to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// The key has this value from now on.
    Put(Val),
    /// The same, of a key that did not exist before the transaction. Whoever says so holds what
    /// keeps others from making it; it is told to those who follow the changes.
    Insert(Val),
    /// The key does not exist from now on.
    Delete,
}

impl Write {
    /// The value, unless it is a delete.
    pub fn value(&self) -> Option<&Val> {
        match self {
            Write::Put(value) | Write::Insert(value) => Some(value),
            Write::Delete => None,
        }
    }

    /// The value, unless it is a delete.
    pub fn into_value(self) -> Option<Val> {
        match self {
            Write::Put(value) | Write::Insert(value) => Some(value),
            Write::Delete => None,
        }
    }

    /// Bytes of the value.
    pub fn value_bytes(&self) -> usize {
        self.value().map_or(0, Val::len)
    }
}

/// What a commit waits for before it is answered and seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Survives a loss of power.
    #[default]
    Durable,
    /// May be lost with the last moments before a crash, whole and in order.
    Buffered,
}

/// Who wrote a batch; kept in the log for change feeds.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Origin {
    /// A client's transaction.
    #[default]
    Client = 0,
    /// The server itself: catalog bootstrap, background work.
    System = 1,
}

/// Runs after the batch is durable and before its version can be seen.
///
/// Called in the order of versions, one at a time, on any thread. It must be short, must not
/// block, must not panic, and must not call the store except for `newest`.
pub type Publish = Box<dyn FnOnce(Version) + Send>;

/// One transaction's writes over all key spaces.
#[derive(Debug, Clone, Default)]
pub struct WriteBatch {
    /// Who commits; the handle for `Store::resolve`.
    pub txn: TxnId,
    /// Sorted by space and key, each key once.
    pub writes: Vec<(KeySpace, Key, Write)>,
    /// The commit is refused if one of these keys exists.
    pub must_not_exist: Vec<(KeySpace, Key)>,
    /// The commit is refused if one of these keys was changed after the version given, which must
    /// be that of a snapshot still held.
    pub must_be_unchanged: Vec<(KeySpace, Key, Version)>,
    /// What the writes are based on. The commit is refused if any of it was changed since it was
    /// read.
    pub reads: Option<ReadSet>,
    /// Finished runs that belong to the batch, oldest first. A later run hides an earlier one,
    /// and `writes` hide them all. Their handles must be held until the commit is answered.
    pub runs: Vec<RunId>,
    /// What to wait for.
    pub durability: Durability,
    /// Who wrote it.
    pub origin: Origin,
    /// Messages that are told when the batch is visible, in the order of sending.
    pub notices: Vec<Notice>,
}

impl WriteBatch {
    /// An empty batch.
    pub fn new(txn: TxnId) -> WriteBatch {
        WriteBatch {
            txn,
            ..WriteBatch::default()
        }
    }

    /// Whether committing it would change nothing.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.runs.is_empty()
    }

    /// Whether there is nothing to write and nothing to check.
    pub fn is_trivial(&self) -> bool {
        self.is_empty()
            && self.notices.is_empty()
            && self.must_not_exist.is_empty()
            && self.must_be_unchanged.is_empty()
            && self.reads.as_ref().is_none_or(ReadSet::is_empty)
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> usize {
        self.writes
            .iter()
            .map(|(_, key, write)| key.len() + write.value_bytes())
            .sum()
    }

    /// Whether `writes` are sorted and each key occurs once.
    pub fn is_sorted(&self) -> bool {
        self.writes.is_sorted_by(|a, b| (a.0, &a.1) < (b.0, &b.1))
    }
}

/// What became of a commit.
#[derive(Debug, Clone)]
pub enum CommitOutcome {
    /// Done, visible under this version.
    Committed(Version),
    /// Not done, and never will be.
    Aborted(StoreError),
    /// Not known; `Store::resolve` may tell later.
    Unknown(TxnId),
}

impl CommitOutcome {
    /// The version, when committed.
    pub fn version(&self) -> Option<Version> {
        match self {
            CommitOutcome::Committed(version) => Some(*version),
            CommitOutcome::Aborted(_) | CommitOutcome::Unknown(_) => None,
        }
    }
}
