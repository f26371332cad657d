//! The write sets of the newest commits, kept while somebody validates reads.
//!
//! Whoever validates registers, looks through everything sequenced before that at leisure, and
//! then asks here for what was sequenced since. So the look under the sequencer's lock is short,
//! however much was read. While nobody validates, nothing is kept.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tessera_types::{TxnId, Version};

use crate::batch::Write;
use crate::embedded::options::HISTORY_WRITES_MAX;
use crate::embedded::run::RunFile;
use crate::embedded::views::Destroyed;
use crate::range::KeySpace;
use crate::store::Key;

/// What a commit writes beside its runs; shared with its slot until it is published.
pub(crate) type SharedWrites = Arc<Vec<(KeySpace, Key, Write)>>;

/// One sequenced commit, published or not.
pub(crate) struct Sequenced {
    pub(crate) version: Version,
    pub(crate) txn: TxnId,
    pub(crate) writes: SharedWrites,
    /// Oldest first.
    pub(crate) runs: Vec<Arc<RunFile>>,
    pub(crate) destroyed: Option<Destroyed>,
}

/// The newest commits, for those who validate.
#[derive(Default)]
pub(crate) struct History {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Position of the first entry; positions count up for ever.
    first: u64,
    entries: VecDeque<Arc<Sequenced>>,
    /// Writes of all entries.
    writes: usize,
    /// Where the watchers stand, with their number.
    watchers: BTreeMap<u64, usize>,
}

impl History {
    /// Adds a commit, if anybody wants to know. Called under the sequencer's lock.
    pub(crate) fn push(&self, entry: impl FnOnce() -> Sequenced) {
        let mut state = self.state.lock();
        if state.watchers.is_empty() {
            return;
        }
        let entry = entry();
        state.writes += entry.weight();
        state.entries.push_back(Arc::new(entry));
        while state.writes > HISTORY_WRITES_MAX && state.entries.len() > 1 {
            state.drop_front();
        }
    }

    /// Begins to remember. Called under the sequencer's lock, so that every commit is either
    /// sequenced before or remembered.
    pub(crate) fn watch(&self) -> Watcher<'_> {
        let mut state = self.state.lock();
        let position = state.end();
        state.enter(position);
        Watcher {
            history: self,
            position,
        }
    }
}

impl State {
    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    fn enter(&mut self, position: u64) {
        *self.watchers.entry(position).or_insert(0) += 1;
    }

    /// A watcher leaves its place; entries that nobody needs any more go.
    fn leave(&mut self, position: u64) {
        if let Some(count) = self.watchers.get_mut(&position) {
            *count -= 1;
            if *count == 0 {
                self.watchers.remove(&position);
            }
        }
        let needed_from = self.watchers.keys().next().copied().unwrap_or(u64::MAX);
        while self.first < needed_from && !self.entries.is_empty() {
            self.drop_front();
        }
    }

    fn drop_front(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.first += 1;
            self.writes -= entry.weight();
        }
    }
}

impl Sequenced {
    /// What it counts against the limit: an empty commit is not free either.
    fn weight(&self) -> usize {
        self.writes.len() + 1
    }
}

/// One validation under way.
pub(crate) struct Watcher<'a> {
    history: &'a History,
    position: u64,
}

impl Watcher<'_> {
    /// What was sequenced since the last call, oldest first; `None` if that was more than is kept.
    pub(crate) fn take(&mut self) -> Option<Vec<Arc<Sequenced>>> {
        let mut state = self.history.state.lock();
        let skip = self.position.checked_sub(state.first)?;
        let entries: Vec<_> = state.entries.iter().skip(skip as usize).cloned().collect();
        let end = state.end();
        state.enter(end);
        state.leave(self.position);
        self.position = end;
        Some(entries)
    }
}

impl Drop for Watcher<'_> {
    fn drop(&mut self) {
        self.history.state.lock().leave(self.position);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(version: u64, writes: usize) -> Sequenced {
        let key = Key::from_static(b"k");
        Sequenced {
            version: Version(version),
            txn: TxnId(version),
            writes: Arc::new(vec![(KeySpace::Rows, key, Write::Delete); writes]),
            runs: Vec::new(),
            destroyed: None,
        }
    }

    fn taken(watcher: &mut Watcher<'_>) -> Option<Vec<u64>> {
        let entries = watcher.take()?;
        Some(entries.iter().map(|entry| entry.version.0).collect())
    }

    #[test]
    fn a_watcher_gets_each_later_commit_once_and_nothing_is_kept_without_one() {
        let history = History::default();
        history.push(|| panic!("nobody wants to know"));
        let mut first = history.watch();
        history.push(|| entry(1, 1));
        let mut second = history.watch();
        history.push(|| entry(2, 1));
        assert_eq!(taken(&mut first), Some(vec![1, 2]));
        assert_eq!(taken(&mut first), Some(vec![]));
        history.push(|| entry(3, 1));
        assert_eq!(taken(&mut second), Some(vec![2, 3]));
        drop(second);
        assert_eq!(taken(&mut first), Some(vec![3]));
        drop(first);
        let state = history.state.lock();
        assert_eq!((state.entries.len(), state.writes), (0, 0));
        assert!(state.watchers.is_empty());
    }

    #[test]
    fn a_watcher_that_fell_behind_is_told_so() {
        let history = History::default();
        let mut slow = history.watch();
        history.push(|| entry(1, HISTORY_WRITES_MAX / 2));
        history.push(|| entry(2, HISTORY_WRITES_MAX / 2));
        assert_eq!(taken(&mut slow), None);
        let mut later = history.watch();
        history.push(|| entry(3, 1));
        assert_eq!(taken(&mut later), Some(vec![3]));
    }
}
