//! What changed since a version, for callers and for the conditions of a batch on single keys:
//! `must_not_exist`, `must_be_unchanged`.

use std::sync::Arc;

use tessera_types::Version;

use crate::batch::WriteBatch;
use crate::embedded::core::Core;
use crate::embedded::sequencer::Pending;
use crate::embedded::snapshot::{EmbeddedSnapshot, exists_in};
use crate::error::{Conflict, StoreError};
use crate::range::{KeyRange, KeySpace};
use crate::store::Key;

/// The newest visible change of a key after `since`, the version of a snapshot still held.
pub(crate) fn changed_since(
    core: &Core,
    space: KeySpace,
    key: &[u8],
    since: Version,
) -> Result<Option<Version>, StoreError> {
    let newest = core.views.newest();
    let mut changed = core.recent.changed_since(space, key, since, newest);
    let (runs, destroyed) = {
        let state = core.views.lock();
        let destroyed = state.destroyed_since(space, since, |range| range.contains(key));
        (state.runs_changed_since(since), destroyed)
    };
    changed = changed.max(destroyed);
    for run in runs {
        if changed.is_none_or(|changed| run.version > changed) && run.get(space, key)?.is_some() {
            changed = Some(run.version);
        }
    }
    if changed.is_none() {
        // Asked last: what was given up before this point may be missing in what was looked at.
        core.views.check_kept(since)?;
    }
    Ok(changed)
}

/// Whether any key of a range was changed after `since`, the version of a snapshot still held.
pub(crate) fn range_changed_since(
    core: &Core,
    space: KeySpace,
    range: &KeyRange,
    since: Version,
) -> Result<bool, StoreError> {
    let newest = core.views.newest();
    if core.recent.range_changed_since(space, range, since, newest) {
        return Ok(true);
    }
    let (runs, destroyed) = {
        let state = core.views.lock();
        let destroyed = state.destroyed_since(space, since, |other| other.overlaps(range));
        (state.runs_changed_since(since), destroyed)
    };
    if destroyed.is_some() {
        return Ok(true);
    }
    for run in runs {
        if run.file.touches(space, range)? {
            return Ok(true);
        }
    }
    core.views.check_kept(since)?;
    Ok(false)
}

/// The conditions of a batch, as they stood at a snapshot.
pub(crate) struct Conditions {
    /// Held until the check under the lock, so that nothing it needs is forgotten.
    snapshot: Option<EmbeddedSnapshot>,
    /// For each key of `must_not_exist`: whether it existed.
    existed: Vec<bool>,
}

impl Conditions {
    pub(crate) fn check(core: &Arc<Core>, batch: &WriteBatch) -> Result<Conditions, StoreError> {
        if batch.must_not_exist.is_empty() {
            return Ok(Conditions {
                snapshot: None,
                existed: Vec::new(),
            });
        }
        let snapshot = EmbeddedSnapshot::open(core);
        let exists = |(space, key): &(KeySpace, Key)| Ok(snapshot.read(*space, key)?.is_some());
        let existed = batch
            .must_not_exist
            .iter()
            .map(exists)
            .collect::<Result<_, StoreError>>()?;
        Ok(Conditions {
            snapshot: Some(snapshot),
            existed,
        })
    }

    /// Under the sequencer's lock: with everything that came after the snapshot.
    pub(crate) fn recheck(&self, core: &Core, batch: &WriteBatch) -> Result<(), StoreError> {
        if self.existed.is_empty() && batch.must_be_unchanged.is_empty() {
            return Ok(());
        }
        let pending = core.sequencer.pending();
        let conflict = |kind, space: &KeySpace, key: &Key| {
            Err(StoreError::Conflict {
                kind,
                space: *space,
                key: key.clone(),
            })
        };
        if let Some(snapshot) = &self.snapshot {
            use crate::store::Snapshot;
            let since = snapshot.version();
            for ((space, key), existed) in batch.must_not_exist.iter().zip(&self.existed) {
                let newer = newest_after(core, &pending, *space, key, since)?;
                if newer.map_or(*existed, |(_, exists)| exists) {
                    return conflict(Conflict::Exists, space, key);
                }
            }
        }
        for (space, key, since) in &batch.must_be_unchanged {
            if newest_after(core, &pending, *space, key, *since)?.is_some() {
                return conflict(Conflict::Changed, space, key);
            }
            // Asked last: what was given up before this point may be missing in what was read.
            core.views.check_kept(*since)?;
        }
        Ok(())
    }
}

/// The newest change of a key after `since`, published or not, and whether the key exists in it.
fn newest_after(
    core: &Core,
    pending: &Pending,
    space: KeySpace,
    key: &[u8],
    since: Version,
) -> Result<Option<(Version, bool)>, StoreError> {
    let mut newest = core
        .recent
        .head(space, key)
        .filter(|(version, _)| *version > since);
    let (published, destroyed) = {
        let state = core.views.lock();
        let destroyed = state.destroyed_since(space, since, |range| range.contains(key));
        (state.runs_changed_since(since), destroyed)
    };
    if destroyed.is_some() && newest.is_none() {
        newest = Some((since.next(), false));
    }
    let published = published.iter().map(|run| (run.version, &run.file));
    // Of one commit's runs the later one counts, so both lists are read newest first.
    let pending = pending
        .runs
        .iter()
        .rev()
        .map(|(version, run)| (*version, run));
    for (version, run) in published.chain(pending) {
        let is_newer = version > since && newest.is_none_or(|(newest, _)| version > newest);
        if is_newer && let Some(write) = run.get(space, key)? {
            newest = Some((version, exists_in(&write)));
        }
    }
    Ok(newest)
}
