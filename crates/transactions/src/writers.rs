//! Who committed what lately, for errors that name the other side.
//!
//! Kept only while transactions are active that can lose a conflict to a commit, and bounded: an
//! error may lack a name, it never has a wrong one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tessera_types::{TxnId, Version};

/// Commits remembered.
const WRITERS_MAX: usize = 4_096;
/// Bytes kept of a statement.
const STATEMENT_BYTES_MAX: usize = 1_024;

/// The newest commits of clients.
#[derive(Default)]
pub(crate) struct Writers {
    /// Active transactions that keep their snapshot.
    interested: AtomicUsize,
    /// Versions ascend.
    recent: Mutex<VecDeque<Writer>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Writer {
    pub(crate) version: Version,
    pub(crate) txn: TxnId,
    pub(crate) statement: Option<Arc<str>>,
}

impl Writers {
    /// A transaction begins that may ask.
    pub(crate) fn enter(&self) {
        self.interested.fetch_add(1, Ordering::Relaxed);
    }

    /// It has ended.
    pub(crate) fn leave(&self) {
        if self.interested.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.recent.lock().clear();
        }
    }

    /// A commit becomes visible; called in the order of versions.
    pub(crate) fn note(&self, version: Version, txn: TxnId, statement: Option<&Arc<str>>) {
        if self.interested.load(Ordering::Relaxed) == 0 {
            return;
        }
        let statement = statement.map(shortened);
        let mut recent = self.recent.lock();
        if recent.len() == WRITERS_MAX {
            recent.pop_front();
        }
        recent.push_back(Writer {
            version,
            txn,
            statement,
        });
    }

    /// Whose commit a version is.
    pub(crate) fn find(&self, version: Version) -> Option<Writer> {
        let recent = self.recent.lock();
        let at = recent.binary_search_by_key(&version, |writer| writer.version);
        at.ok().map(|at| recent[at].clone())
    }
}

/// The text, or its beginning.
pub(crate) fn shortened(text: &Arc<str>) -> Arc<str> {
    if text.len() <= STATEMENT_BYTES_MAX {
        return Arc::clone(text);
    }
    Arc::from(&text[..text.floor_char_boundary(STATEMENT_BYTES_MAX)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_remembered_while_somebody_may_ask_and_bounded() {
        let writers = Writers::default();
        let text: Arc<str> = "ä".repeat(1_000).into();
        writers.note(Version(1), TxnId(1), Some(&text));
        assert_eq!(writers.find(Version(1)), None, "nobody may ask");
        writers.enter();
        for version in 2..10_000 {
            writers.note(Version(version), TxnId(version), Some(&text));
        }
        let found = writers.find(Version(9_999)).expect("remembered");
        assert_eq!(found.txn, TxnId(9_999));
        let kept = found.statement.expect("there was one");
        assert_eq!(kept.len(), STATEMENT_BYTES_MAX);
        assert_eq!(writers.recent.lock().len(), WRITERS_MAX);
        assert_eq!(writers.find(Version(2)), None, "too long ago");
        writers.leave();
        assert_eq!(writers.find(Version(9_999)), None);
    }
}
