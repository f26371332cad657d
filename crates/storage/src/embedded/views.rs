//! What is visible: the newest version, the views of the base, and the snapshots over them.
//!
//! A view is a state of the base (at checkpoint C) with what a snapshot needs beside `recent`:
//! the committed runs and the destroyed ranges that the base does not contain yet. Views change
//! at checkpoints and when runs or destroyed ranges are committed; snapshots share them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tessera_types::Version;

use crate::embedded::base::BaseView;
use crate::embedded::run::CommittedRun;
use crate::error::StoreError;
use crate::live::LiveVersions;
use crate::range::{KeyRange, KeySpace};
use crate::statistics::SnapshotStatistics;

/// A range that was emptied at a version.
#[derive(Debug, Clone)]
pub(crate) struct Destroyed {
    pub(crate) version: Version,
    pub(crate) space: KeySpace,
    pub(crate) range: KeyRange,
}

/// A state of the base and what belongs to it.
pub(crate) struct View {
    id: u64,
    /// The base holds exactly the commits up to here.
    pub(crate) checkpoint: Version,
    pub(crate) base: Arc<dyn BaseView>,
    /// Newest first.
    pub(crate) runs: Arc<[Arc<CommittedRun>]>,
    pub(crate) destroyed: Arc<[Destroyed]>,
}

/// The visible state of an embedded store.
pub(crate) struct Views {
    newest: AtomicU64,
    /// Snapshots before this version were given up.
    kept_from: AtomicU64,
    state: Mutex<ViewsState>,
}

pub(crate) struct ViewsState {
    /// Oldest first; the last one is current and always there.
    entries: VecDeque<ViewEntry>,
    next_id: u64,
    /// In the base, but still needed to answer "changed since?" of older snapshots.
    retired_runs: Vec<Arc<CommittedRun>>,
    retired_destroyed: Vec<Destroyed>,
    expired_total: u64,
}

struct ViewEntry {
    view: Arc<View>,
    live: LiveVersions,
}

/// What a commit makes visible beside its writes in `recent`.
#[derive(Default)]
pub(crate) struct Additions {
    /// Oldest first.
    pub(crate) runs: Vec<Arc<CommittedRun>>,
    pub(crate) destroyed: Option<Destroyed>,
}

impl Additions {
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.destroyed.is_none()
    }
}

impl Views {
    /// The state right after opening; `runs` newest first.
    pub(crate) fn new(
        newest: Version,
        checkpoint: Version,
        base: Arc<dyn BaseView>,
        runs: Vec<Arc<CommittedRun>>,
        destroyed: Vec<Destroyed>,
    ) -> Views {
        let view = View {
            id: 0,
            checkpoint,
            base,
            runs: runs.into(),
            destroyed: destroyed.into(),
        };
        let entry = ViewEntry {
            view: Arc::new(view),
            live: LiveVersions::default(),
        };
        Views {
            newest: AtomicU64::new(newest.0),
            kept_from: AtomicU64::new(0),
            state: Mutex::new(ViewsState {
                entries: VecDeque::from([entry]),
                next_id: 1,
                retired_runs: Vec::new(),
                retired_destroyed: Vec::new(),
                expired_total: 0,
            }),
        }
    }

    /// The newest visible version.
    pub(crate) fn newest(&self) -> Version {
        Version(self.newest.load(Ordering::Acquire))
    }

    /// The oldest version that snapshots may still read.
    pub(crate) fn kept_from(&self) -> Version {
        Version(self.kept_from.load(Ordering::Acquire))
    }

    /// Fails if snapshots of that version were given up, so that answers about what came after it
    /// may be incomplete. To be asked after looking.
    pub(crate) fn check_kept(&self, snapshot: Version) -> Result<(), StoreError> {
        let kept_from = self.kept_from();
        if snapshot < kept_from {
            return Err(StoreError::SnapshotTooOld {
                snapshot,
                kept_from,
            });
        }
        Ok(())
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, ViewsState> {
        self.state.lock()
    }

    /// Registers a snapshot of the newest version. Every call needs a `close`.
    pub(crate) fn open(&self) -> (Version, Arc<View>) {
        let mut state = self.state.lock();
        // Read under the lock: versions that it sees are not pruned before it is registered.
        let version = self.newest();
        let entry = state.current_mut();
        entry.live.open(version);
        (version, entry.view.clone())
    }

    /// Ends a snapshot. Says whether it was the last one over an older base, so that memory may be
    /// swept.
    pub(crate) fn close(&self, version: Version, view: &View) -> bool {
        let mut state = self.state.lock();
        let Some(at) = state
            .entries
            .iter()
            .rposition(|entry| entry.view.id == view.id)
        else {
            return false;
        };
        let before = state.floor();
        state.entries[at].live.close(version);
        let dropped = state.drop_unused(at);
        let is_risen = state.floor() > before;
        drop(state);
        // Files may be deleted here, outside the lock.
        drop(dropped);
        is_risen
    }

    /// Makes everything up to `version` visible.
    pub(crate) fn publish(&self, version: Version, additions: Additions) {
        let dropped = if additions.is_empty() {
            None
        } else {
            let mut state = self.state.lock();
            let current = &state.current().view;
            let mut runs: Vec<_> = additions.runs.into_iter().rev().collect();
            runs.extend(current.runs.iter().cloned());
            let mut destroyed: Vec<_> = current.destroyed.to_vec();
            destroyed.extend(additions.destroyed);
            let (checkpoint, base) = (current.checkpoint, current.base.clone());
            Some(state.install(checkpoint, base, runs, destroyed))
        };
        self.newest.store(version.0, Ordering::Release);
        drop(dropped);
    }

    /// Switches to the base as of `checkpoint`, which contains all runs and destroyed ranges up to
    /// that version. Returns the runs that are no longer needed for reading new snapshots.
    pub(crate) fn advance_base(
        &self,
        checkpoint: Version,
        base: Arc<dyn BaseView>,
    ) -> Vec<Arc<CommittedRun>> {
        let mut state = self.state.lock();
        let current = state.current().view.clone();
        let (newer, older): (Vec<_>, Vec<_>) = current
            .runs
            .iter()
            .cloned()
            .partition(|run| run.version > checkpoint);
        let (pending, done): (Vec<_>, Vec<_>) = current
            .destroyed
            .iter()
            .cloned()
            .partition(|d| d.version > checkpoint);
        state.retired_runs.extend(older.iter().cloned());
        state.retired_destroyed.extend(done);
        let dropped = state.install(checkpoint, base, newer, pending);
        drop(state);
        drop(dropped);
        older
    }

    /// Gives up the oldest snapshots that read from an older base than the current one: they pin
    /// every change since. Others pin little, and become like these at the next checkpoint.
    pub(crate) fn expire_oldest(&self) -> bool {
        let mut state = self.state.lock();
        let current = state.current().view.checkpoint;
        let oldest = (0..state.entries.len())
            .filter(|at| state.entries[*at].view.checkpoint < current)
            .filter_map(|at| state.entries[at].live.oldest().map(|version| (version, at)))
            .min();
        let Some((version, at)) = oldest else {
            return false;
        };
        // Snapshots of the newest version pin nothing that a new one would not.
        if version >= self.newest() {
            return false;
        }
        let before = state.entries[at].live.live();
        state.entries[at].live.expire_oldest();
        state.expired_total += before - state.entries[at].live.live();
        self.kept_from.fetch_max(version.next().0, Ordering::AcqRel);
        let dropped = state.drop_unused(at);
        drop(state);
        drop(dropped);
        true
    }

    pub(crate) fn statistics(&self) -> SnapshotStatistics {
        let state = self.state.lock();
        let oldest = state
            .entries
            .iter()
            .filter_map(|entry| entry.live.oldest())
            .min();
        SnapshotStatistics {
            live: state.entries.iter().map(|entry| entry.live.live()).sum(),
            oldest: oldest.unwrap_or_else(|| self.newest()),
            expired_total: state.expired_total,
        }
    }
}

/// Things whose last handle may go away; dropped by the caller after unlocking.
pub(crate) struct Leftovers {
    _views: Vec<Arc<View>>,
    _runs: Vec<Arc<CommittedRun>>,
}

impl ViewsState {
    fn current_mut(&mut self) -> &mut ViewEntry {
        self.entries
            .back_mut()
            .expect("the current view is always there")
    }

    fn current(&self) -> &ViewEntry {
        self.entries
            .back()
            .expect("the current view is always there")
    }

    /// The view that new snapshots get.
    pub(crate) fn current_view(&self) -> Arc<View> {
        self.current().view.clone()
    }

    /// Whether a live snapshot sees what was written at `from` and not what replaced it at `to`.
    pub(crate) fn any_live_within(&self, from: Version, to: Version) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.live.any_within(from, to))
    }

    /// The oldest checkpoint that a live snapshot, or one to come, reads from.
    pub(crate) fn floor(&self) -> Version {
        // Views are in the order of their checkpoints, and unused ones but the last are gone.
        self.entries
            .front()
            .map_or(Version::ZERO, |entry| entry.view.checkpoint)
    }

    /// Every run that may hold a change newer than a live snapshot.
    pub(crate) fn runs_changed_since(&self, since: Version) -> Vec<Arc<CommittedRun>> {
        let current = &self.current().view.runs;
        let all = current.iter().chain(&self.retired_runs);
        all.filter(|run| run.version > since).cloned().collect()
    }

    /// The newest version after `since` in which a range that meets the given one was destroyed.
    pub(crate) fn destroyed_since(
        &self,
        space: KeySpace,
        since: Version,
        meets: impl Fn(&KeyRange) -> bool,
    ) -> Option<Version> {
        self.all_destroyed(since)
            .filter(|destroyed| destroyed.space == space && meets(&destroyed.range))
            .map(|destroyed| destroyed.version)
            .max()
    }

    /// Every range destroyed after `since`.
    pub(crate) fn destroyed_after(&self, since: Version) -> Vec<Destroyed> {
        self.all_destroyed(since).cloned().collect()
    }

    fn all_destroyed(&self, since: Version) -> impl Iterator<Item = &Destroyed> {
        let current = &self.current().view.destroyed;
        let all = current.iter().chain(&self.retired_destroyed);
        all.filter(move |destroyed| destroyed.version > since)
    }

    fn install(
        &mut self,
        checkpoint: Version,
        base: Arc<dyn BaseView>,
        runs: Vec<Arc<CommittedRun>>,
        destroyed: Vec<Destroyed>,
    ) -> Leftovers {
        let id = self.next_id;
        self.next_id += 1;
        let (runs, destroyed) = (runs.into(), destroyed.into());
        let view = Arc::new(View {
            id,
            checkpoint,
            base,
            runs,
            destroyed,
        });
        self.entries.push_back(ViewEntry {
            view,
            live: LiveVersions::default(),
        });
        let previous = self.entries.len() - 2;
        self.drop_unused(previous)
    }

    /// Drops the entry `at` if no snapshot uses it and it is not current, and what only it needed.
    fn drop_unused(&mut self, at: usize) -> Leftovers {
        let mut views = Vec::new();
        if at + 1 < self.entries.len() && self.entries[at].live.live() == 0 {
            views.extend(self.entries.remove(at).map(|entry| entry.view));
        }
        let floor = self.floor();
        let runs = self
            .retired_runs
            .extract_if(.., |run| run.version <= floor)
            .collect();
        self.retired_destroyed
            .retain(|destroyed| destroyed.version > floor);
        Leftovers {
            _views: views,
            _runs: runs,
        }
    }
}
