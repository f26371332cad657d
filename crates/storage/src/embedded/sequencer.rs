//! Gives out versions, one batch at a time, and knows what is on its way.
//!
//! Conditions are checked, and writes enter memory, under its lock: so a later batch sees every
//! earlier one, published or not.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tessera_types::Version;

use crate::embedded::history::{History, Watcher};
use crate::embedded::run::RunFile;
use crate::embedded::views::Destroyed;

/// The order of commits.
#[derive(Default)]
pub(crate) struct Sequencer {
    lock: Mutex<()>,
    pending: Mutex<Pending>,
    history: History,
}

/// What commits that are not published yet will add beside their writes in memory.
#[derive(Default, Clone)]
pub(crate) struct Pending {
    /// Oldest first.
    pub(crate) runs: VecDeque<(Version, Arc<RunFile>)>,
    pub(crate) destroyed: Vec<Destroyed>,
}

impl Sequencer {
    /// Whoever holds it is the next in order.
    pub(crate) fn lock(&self) -> MutexGuard<'_, ()> {
        self.lock.lock()
    }

    /// Notes runs of a commit, oldest first. Under the lock.
    pub(crate) fn add_runs(&self, version: Version, runs: &[Arc<RunFile>]) {
        if runs.is_empty() {
            return;
        }
        let runs = runs.iter().map(|run| (version, run.clone()));
        self.pending.lock().runs.extend(runs);
    }

    /// Notes a destroyed range. Under the lock.
    pub(crate) fn add_destroyed(&self, destroyed: &Destroyed) {
        self.pending.lock().destroyed.push(destroyed.clone());
    }

    /// What this commit added is published, or never will be.
    pub(crate) fn forget(&self, version: Version) {
        let mut pending = self.pending.lock();
        pending.runs.retain(|(added, _)| *added != version);
        pending.destroyed.retain(|added| added.version != version);
    }

    /// What is on its way. Ask before looking at what is published, or something could be on its
    /// way from here to there.
    pub(crate) fn pending(&self) -> Pending {
        self.pending.lock().clone()
    }

    /// Commits sequenced while somebody validates.
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// Begins a validation: every commit is either already sequenced, or remembered.
    pub(crate) fn watch(&self) -> Watcher<'_> {
        let _in_order = self.lock();
        self.history.watch()
    }
}
