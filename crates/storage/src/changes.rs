//! What was committed, in order: for those who follow it.
//!
//! A reader gives the commits after a version one after the other, each in pieces: [`ChangeItem`]s.
//! It reads the log, so it holds no more than a piece in memory however slow its caller is, and a
//! commit costs nothing for it but a wake-up.

use std::sync::Arc;

use futures::future::BoxFuture;
use tessera_types::{TxnId, Version};
use tokio::sync::Notify;

use crate::batch::{Origin, Write};
use crate::error::StoreError;
use crate::range::{KeyRange, KeySpace};
use crate::store::Key;

/// A message of a transaction to those who listen to its channel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Notice {
    /// Where it goes.
    pub channel: Arc<str>,
    /// What it says.
    pub payload: Arc<str>,
    /// The session that sent it.
    pub process_id: i32,
}

impl Notice {
    /// Bytes of its texts.
    pub fn bytes(&self) -> usize {
        self.channel.len() + self.payload.len()
    }
}

/// A piece of a commit. Each commit is `Begin`, any number of others, `End`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeItem {
    /// A commit begins.
    Begin {
        /// Its version.
        version: Version,
        /// The transaction.
        txn: TxnId,
        /// Who wrote it.
        origin: Origin,
        /// When it was given to the log, microseconds since 1970; not known of records of
        /// releases that did not write it down.
        unix_micros: Option<i64>,
    },
    /// One key, in the order of spaces and keys; each key once.
    Write {
        /// The space.
        space: KeySpace,
        /// The key.
        key: Key,
        /// What happened to it.
        write: Write,
    },
    /// Every key of a range is gone.
    Destroyed {
        /// The space.
        space: KeySpace,
        /// The range.
        range: KeyRange,
    },
    /// A message, in the order of sending.
    Notice(Notice),
    /// The commit is complete.
    End {
        /// Its version: where a reader may go on.
        version: Version,
    },
}

impl ChangeItem {
    /// Bytes that it takes, about.
    pub fn bytes(&self) -> usize {
        const OVERHEAD_BYTES: usize = 64;
        OVERHEAD_BYTES
            + match self {
                ChangeItem::Write { key, write, .. } => key.len() + write.value_bytes(),
                ChangeItem::Notice(notice) => notice.bytes(),
                ChangeItem::Begin { .. }
                | ChangeItem::Destroyed { .. }
                | ChangeItem::End { .. } => 0,
            }
    }
}

/// How far a reader goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// To what is visible. After a crash, what was only buffered may not have happened.
    Visible,
    /// To what is visible and durable: what was read stays, and so do the versions.
    Durable,
}

/// Which commits can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeWindow {
    /// Names the history: versions of another one mean nothing here.
    pub identity: u64,
    /// Commits after this version are there.
    pub oldest: Version,
    /// The newest one that is visible and durable.
    pub newest: Version,
}

/// Gives commits in their order. Follows what is committed later.
pub trait ChangeReader: Send {
    /// The next pieces, until they have this many bytes; at least one, unless there is nothing new.
    /// May read the disk.
    ///
    /// # Errors
    /// `ChangesCut` if the next commit is not kept any more.
    fn next_items(&mut self, bytes_max: usize) -> Result<Vec<ChangeItem>, StoreError>;

    /// Waits until there is something new; `Unavailable` when the store is closed.
    fn changed(&mut self) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// Is told of each commit right after it became visible: in order, one at a time, on any thread.
///
/// It must be short, must not block, and must not call the store except for `newest`.
pub trait Watcher: Send + Sync {
    /// A commit became visible; its messages.
    fn published(&self, version: Version, notices: &[Notice]);
}

/// Keeps a watcher registered until it is dropped. Not to be dropped by a watcher, or by what runs
/// before a publication.
pub struct Watching {
    end: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Watching {
    pub(crate) fn new(end: impl FnOnce() + Send + Sync + 'static) -> Watching {
        Watching {
            end: Some(Box::new(end)),
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            end();
        }
    }
}

impl std::fmt::Debug for Watching {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watching")
    }
}

/// The registered watchers.
#[derive(Default)]
pub(crate) struct Watchers {
    next: u64,
    list: Vec<(u64, Arc<dyn Watcher>)>,
}

impl Watchers {
    pub(crate) fn add(&mut self, watcher: Arc<dyn Watcher>) -> u64 {
        self.next += 1;
        self.list.push((self.next, watcher));
        self.next
    }

    /// The watcher, to be dropped outside of locks.
    pub(crate) fn remove(&mut self, id: u64) -> Option<Arc<dyn Watcher>> {
        let at = self.list.iter().position(|(known, _)| *known == id)?;
        Some(self.list.swap_remove(at).1)
    }

    pub(crate) fn tell(&self, version: Version, notices: &[Notice]) {
        for (_, watcher) in &self.list {
            watcher.published(version, notices);
        }
    }
}

/// Wakes a reader.
#[derive(Default)]
pub(crate) struct Wake {
    pub(crate) notify: Notify,
}

impl Watcher for Wake {
    fn published(&self, _: Version, _: &[Notice]) {
        // Kept for a reader that is not waiting just now.
        self.notify.notify_one();
    }
}

/// What several writes of one key by one transaction come to, oldest to newest; `None` if the key
/// was made and removed again.
pub(crate) fn folded(oldest: &Write, newest: Write) -> Option<Write> {
    let is_new = matches!(oldest, Write::Insert(_));
    match (is_new, newest) {
        (true, Write::Put(value) | Write::Insert(value)) => Some(Write::Insert(value)),
        (true, Write::Delete) => None,
        (false, Write::Put(value) | Write::Insert(value)) => Some(Write::Put(value)),
        (false, Write::Delete) => Some(Write::Delete),
    }
}
