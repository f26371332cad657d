//! Validates what a transaction read: nothing of it may have changed since, published or not.
//!
//! # Method
//! 1. Register with the history, under the sequencer's lock: every commit is now either sequenced
//!    before, or will be remembered.
//! 2. Without the lock, compare what was read with everything sequenced before: memory, runs and
//!    destroyed ranges, published or on their way. Then with what was sequenced meanwhile.
//! 3. Under the lock, with the few commits sequenced since; then the batch gets its version.
//!
//! So of two batches the one that is sequenced later is compared with the earlier one, whether
//! that is published or not. One that later proves not to be durable aborts a reader for nothing;
//! it never lets one through.

use std::sync::Arc;

use tessera_types::{TxnId, Version};

use crate::embedded::core::Core;
use crate::embedded::history::{Sequenced, Watcher};
use crate::embedded::merge::Source;
use crate::embedded::run::{RunFile, RunSource};
use crate::embedded::views::Destroyed;
use crate::error::StoreError;
use crate::range::KeySpace;
use crate::reads::{Change, ReadRange, ReadSet, RefinedRange};
use crate::store::{Key, Val};

/// Looks at newly sequenced commits before the one under the lock. Each is shorter than the one
/// before, for less time passes.
const CATCH_UPS_MAX: usize = 3;

/// The validation of one batch.
pub(crate) struct Validation<'a> {
    core: &'a Core,
    reads: &'a ReadSet,
    watcher: Watcher<'a>,
}

impl<'a> Validation<'a> {
    /// Steps 1 and 2.
    pub(crate) fn begin(core: &'a Core, reads: &'a ReadSet) -> Result<Validation<'a>, StoreError> {
        let watcher = core.sequencer.watch();
        let mut validation = Validation {
            core,
            reads,
            watcher,
        };
        validation.check_sequenced_before()?;
        // Asked last: what was given up before this point may be missing in what was looked at.
        core.views.check_kept(reads.version())?;
        fail::fail_point!("storage::validate::before_catch_up");
        for _ in 0..CATCH_UPS_MAX {
            if validation.catch_up()? == 0 {
                break;
            }
        }
        fail::fail_point!("storage::validate::before_finish");
        Ok(validation)
    }

    /// Step 3, under the sequencer's lock.
    pub(crate) fn finish(&mut self) -> Result<(), StoreError> {
        self.catch_up().map(drop)
    }

    fn check_sequenced_before(&self) -> Result<(), StoreError> {
        let since = self.reads.version();
        // In this order: what is published in between is found in both places, not in none.
        let pending = self.core.sequencer.pending();
        let (runs, destroyed) = {
            let state = self.core.views.lock();
            (
                state.runs_changed_since(since),
                state.destroyed_after(since),
            )
        };
        self.check_memory()?;
        let published = runs.iter().map(|run| (run.version, &run.file));
        let pending_runs = pending.runs.iter().map(|(version, run)| (*version, run));
        for (version, run) in published.chain(pending_runs) {
            self.check_run(version, None, run)?;
        }
        for destroyed in destroyed.iter().chain(&pending.destroyed) {
            self.check_destroyed(destroyed)?;
        }
        Ok(())
    }

    /// Compares with what was sequenced since the last look; says how many commits that were.
    fn catch_up(&mut self) -> Result<usize, StoreError> {
        let Some(entries) = self.watcher.take() else {
            return Err(StoreError::Busy {
                reason: "too much was committed while the reads of a transaction were validated",
            });
        };
        for entry in &entries {
            self.check_entry(entry)?;
        }
        Ok(entries.len())
    }

    fn check_memory(&self) -> Result<(), StoreError> {
        let recent = &self.core.recent;
        for read in &self.reads.keys {
            if let Some((version, _)) = recent.head(read.space, &read.key)
                && version > read.since
            {
                return Err(self.failure(read.space, &read.key, version, None));
            }
        }
        for read in &self.reads.ranges {
            let range = read.to_key_range();
            let any = |key: &[u8], version, _: Option<&Val>| {
                Some(self.failure(read.space, key, version, None))
            };
            if let Some(error) = recent.find_change(read.space, &range, read.since, any) {
                return Err(error);
            }
        }
        for refined in &self.reads.refined {
            let read = &refined.range;
            let matching = |key: &[u8], version, value: Option<&Val>| {
                let change = Change {
                    space: read.space,
                    key,
                    version,
                    value: value.map(Val::as_ref),
                };
                self.check_refined(refined, change, None).err()
            };
            let range = read.to_key_range();
            let found = recent.find_change(read.space, &range, read.since, matching);
            if let Some(error) = found {
                return Err(error);
            }
        }
        Ok(())
    }

    fn check_entry(&self, entry: &Sequenced) -> Result<(), StoreError> {
        if entry.writes.len() <= self.reads.len() {
            self.check_each_write(entry)?;
        } else {
            self.check_each_read(entry)?;
        }
        for run in &entry.runs {
            self.check_run(entry.version, Some(entry.txn), run)?;
        }
        entry
            .destroyed
            .iter()
            .try_for_each(|destroyed| self.check_destroyed(destroyed))
    }

    /// Few writes: each is looked up in the reads.
    fn check_each_write(&self, entry: &Sequenced) -> Result<(), StoreError> {
        for (space, key, write) in entry.writes.iter() {
            let change = Change {
                space: *space,
                key,
                version: entry.version,
                value: write.value().map(Val::as_ref),
            };
            if self.reads.is_broken_by(change)? {
                return Err(self.failure(*space, key, entry.version, Some(entry.txn)));
            }
        }
        Ok(())
    }

    /// Few reads: each is looked up in the writes, which are sorted.
    fn check_each_read(&self, entry: &Sequenced) -> Result<(), StoreError> {
        let (writes, version, txn) = (&entry.writes, entry.version, Some(entry.txn));
        for read in &self.reads.keys {
            let place = (read.space, read.key.as_ref());
            let found =
                writes.binary_search_by(|(space, key, _)| (*space, key.as_ref()).cmp(&place));
            if read.since < version && found.is_ok() {
                return Err(self.failure(read.space, &read.key, version, txn));
            }
        }
        let inside = |read: &ReadRange| {
            let place = (read.space, read.start.clone());
            let start =
                writes.partition_point(|(space, key, _)| (*space, key) < (place.0, &place.1));
            let (space, end) = (read.space, read.end.clone());
            let is_inside = move |key: &Key| end.as_ref().is_none_or(|end| key < end);
            writes[start..]
                .iter()
                .take_while(move |(in_space, key, _)| *in_space == space && is_inside(key))
        };
        for read in self.reads.ranges.iter().filter(|read| read.since < version) {
            if let Some((space, key, _)) = inside(read).next() {
                return Err(self.failure(*space, key, version, txn));
            }
        }
        for refined in &self.reads.refined {
            for (space, key, write) in inside(&refined.range) {
                let change = Change {
                    space: *space,
                    key,
                    version,
                    value: write.value().map(Val::as_ref),
                };
                self.check_refined(refined, change, txn)?;
            }
        }
        Ok(())
    }

    fn check_run(
        &self,
        version: Version,
        txn: Option<TxnId>,
        run: &Arc<RunFile>,
    ) -> Result<(), StoreError> {
        let source = |read: &ReadRange| {
            let (run, range) = (run.clone(), read.to_key_range());
            RunSource::new(run, version, read.space, range, false)
        };
        for read in self.reads.keys.iter().filter(|read| read.since < version) {
            if run.get(read.space, &read.key)?.is_some() {
                return Err(self.failure(read.space, &read.key, version, txn));
            }
        }
        for read in self.reads.ranges.iter().filter(|read| read.since < version) {
            if let Some(item) = source(read).next_item()? {
                return Err(self.failure(read.space, &item.key, version, txn));
            }
        }
        for refined in &self.reads.refined {
            let space = refined.range.space;
            let mut source = source(&refined.range);
            while let Some(item) = source.next_item()? {
                let change = Change {
                    space,
                    key: &item.key,
                    version,
                    value: item.value.as_deref(),
                };
                self.check_refined(refined, change, txn)?;
            }
        }
        Ok(())
    }

    /// What was in the range is gone, whatever it was; filters are not asked.
    fn check_destroyed(&self, destroyed: &Destroyed) -> Result<(), StoreError> {
        let version = destroyed.version;
        let meets = |space: KeySpace, since: Version| space == destroyed.space && since < version;
        for read in &self.reads.keys {
            if meets(read.space, read.since) && destroyed.range.contains(&read.key) {
                return Err(self.failure(read.space, &read.key, version, None));
            }
        }
        let refined = self.reads.refined.iter().map(|refined| &refined.range);
        for read in self.reads.ranges.iter().chain(refined) {
            let range = read.to_key_range();
            if meets(read.space, read.since) && destroyed.range.overlaps(&range) {
                return Err(self.failure(read.space, &read.start, version, None));
            }
        }
        Ok(())
    }

    fn check_refined(
        &self,
        refined: &RefinedRange,
        change: Change<'_>,
        txn: Option<TxnId>,
    ) -> Result<(), StoreError> {
        if self.reads.matters(refined, change)? {
            return Err(self.failure(change.space, change.key, change.version, txn));
        }
        Ok(())
    }

    fn failure(
        &self,
        space: KeySpace,
        key: &[u8],
        version: Version,
        txn: Option<TxnId>,
    ) -> StoreError {
        let writer = txn.or_else(|| self.core.publisher.txn_of(version));
        StoreError::SerializationFailure {
            space,
            key: Key::copy_from_slice(key),
            snapshot: self.reads.version(),
            version,
            // Destroyed ranges have no transaction.
            writer: writer.filter(|writer| *writer != TxnId::default()),
        }
    }
}
