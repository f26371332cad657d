//! Reads of the embedded engine: memory first, then runs, then the base.

use std::collections::VecDeque;
use std::sync::Arc;

use tessera_types::Version;

use crate::batch::Write;
use crate::deferred::Deferred;
use crate::embedded::base::{BaseRows, interpolate};
use crate::embedded::core::Core;
use crate::embedded::merge::{Item, Merge, Source};
use crate::embedded::run::RunSource;
use crate::embedded::views::{Destroyed, View};
use crate::error::StoreError;
use crate::range::{KeyRange, KeySpace};
use crate::store::{Key, Row, Scan, ScanOptions, Snapshot, Val};

/// Nodes of `recent` visited at first per hold of its tree's lock, and at most.
const CHUNK_FIRST: usize = 16;
const CHUNK_MAX: usize = 1_024;
/// Rows of one batch, whatever their size.
const BATCH_ROWS_MAX: usize = 8_192;

/// A version of everything.
pub(crate) struct EmbeddedSnapshot {
    core: Arc<Core>,
    version: Version,
    view: Arc<View>,
}

impl EmbeddedSnapshot {
    pub(crate) fn open(core: &Arc<Core>) -> EmbeddedSnapshot {
        let (version, view) = core.views.open();
        EmbeddedSnapshot {
            core: core.clone(),
            version,
            view,
        }
    }

    pub(crate) fn view(&self) -> &Arc<View> {
        &self.view
    }

    pub(crate) fn read(&self, space: KeySpace, key: &[u8]) -> Result<Option<Val>, StoreError> {
        let value = self.core.watch(self.read_unchecked(space, key))?;
        // Asked last: what was given up before this point may be missing in what was read.
        self.check_alive()?;
        Ok(value)
    }

    fn read_unchecked(&self, space: KeySpace, key: &[u8]) -> Result<Option<Val>, StoreError> {
        let checkpoint = self.view.checkpoint;
        let mut found = self.core.recent.get(space, key, checkpoint, self.version);
        if !self.view.runs.is_empty() {
            self.look_into_runs(space, key, &mut found)?;
        }
        if !self.view.destroyed.is_empty() {
            let since = found.as_ref().map_or(checkpoint, |(version, _)| *version);
            if self.is_destroyed(&self.view.destroyed, space, key, since) {
                return Ok(None);
            }
        }
        if let Some((_, value)) = found {
            return Ok(value);
        }
        let cache = &self.core.cache;
        if let Some(value) = cache.get(space, key, checkpoint) {
            return Ok(Some(value));
        }
        let value = self.view.base.get(space, key)?;
        if let Some(value) = &value {
            cache.put(space, key, checkpoint, value);
        }
        Ok(value)
    }

    fn look_into_runs(
        &self,
        space: KeySpace,
        key: &[u8],
        found: &mut Option<(Version, Option<Val>)>,
    ) -> Result<(), StoreError> {
        for run in self
            .view
            .runs
            .iter()
            .filter(|run| run.version <= self.version)
        {
            // Runs are newest first, and a commit's own writes hide its runs.
            if found
                .as_ref()
                .is_some_and(|(version, _)| *version >= run.version)
            {
                return Ok(());
            }
            if let Some(write) = run.get(space, key)? {
                *found = Some((run.version, write.into_value()));
                return Ok(());
            }
        }
        Ok(())
    }

    fn is_destroyed(
        &self,
        destroyed: &[Destroyed],
        space: KeySpace,
        key: &[u8],
        since: Version,
    ) -> bool {
        destroyed.iter().any(|d| {
            d.version > since
                && d.version <= self.version
                && d.space == space
                && d.range.contains(key)
        })
    }

    fn check_alive(&self) -> Result<(), StoreError> {
        self.core.views.check_kept(self.version)
    }

    /// Everything of a range, newest version of each key as of this snapshot, deletes included.
    fn merge(&self, space: KeySpace, range: &KeyRange, reverse: bool) -> Merge {
        let mut sources: Vec<Box<dyn Source>> = Vec::new();
        if range.is_empty() {
            return Merge::new(sources, reverse);
        }
        let window = (self.view.checkpoint, self.version);
        if !self.core.recent.is_space_empty(space) {
            let recent = RecentSource::new(&self.core, space, range.clone(), reverse, window);
            sources.push(Box::new(recent));
        }
        for run in self
            .view
            .runs
            .iter()
            .filter(|run| run.version <= self.version)
        {
            let (file, range) = (run.file.clone(), range.clone());
            sources.push(Box::new(RunSource::new(
                file,
                run.version,
                space,
                range,
                reverse,
            )));
        }
        let rows = self.view.base.rows(space, range, reverse);
        sources.push(Box::new(BaseSource {
            rows,
            version: self.view.checkpoint,
        }));
        Merge::new(sources, reverse)
    }
}

impl Drop for EmbeddedSnapshot {
    fn drop(&mut self) {
        if self.core.views.close(self.version, &self.view) {
            self.core.checkpointer.request_sweep();
        }
    }
}

impl Snapshot for EmbeddedSnapshot {
    fn version(&self) -> Version {
        self.version
    }

    fn get(&self, space: KeySpace, key: &[u8]) -> Deferred<'_, Result<Option<Val>, StoreError>> {
        Deferred::Ready(self.read(space, key))
    }

    fn get_many(
        &self,
        keys: &[(KeySpace, Key)],
    ) -> Deferred<'_, Result<Vec<Option<Val>>, StoreError>> {
        Deferred::Ready(
            keys.iter()
                .map(|(space, key)| self.read(*space, key))
                .collect(),
        )
    }

    fn scan(
        self: Arc<Self>,
        space: KeySpace,
        range: KeyRange,
        options: ScanOptions,
    ) -> Box<dyn Scan> {
        let merge = self.merge(space, &range, options.reverse);
        let meets = |d: &&Destroyed| d.space == space && d.range.overlaps(&range);
        let destroyed = self.view.destroyed.iter().filter(meets).cloned().collect();
        let rows_left = options.row_limit.unwrap_or(usize::MAX);
        Box::new(EmbeddedScan {
            snapshot: self,
            space,
            merge,
            destroyed,
            options,
            rows_left,
        })
    }

    fn partitions(&self, space: KeySpace, range: &KeyRange, count: usize) -> Vec<KeyRange> {
        let edge = |reverse| {
            let first = self.merge(space, range, reverse).next_item();
            first.ok().flatten().map(|item| item.key)
        };
        if range.is_empty() || count < 2 {
            return vec![range.clone()];
        }
        match (edge(false), edge(true)) {
            (Some(first), Some(last)) => range.split_at(interpolate(&first, &last, count)),
            _ => vec![range.clone()],
        }
    }
}

struct EmbeddedScan {
    snapshot: Arc<EmbeddedSnapshot>,
    space: KeySpace,
    merge: Merge,
    destroyed: Vec<Destroyed>,
    options: ScanOptions,
    rows_left: usize,
}

impl EmbeddedScan {
    fn batch(&mut self) -> Result<Option<Vec<Row>>, StoreError> {
        let mut rows: Vec<Row> = Vec::new();
        let mut bytes = 0;
        while self.rows_left > 0 && rows.len() < BATCH_ROWS_MAX && bytes < self.options.bytes_max {
            let Some(item) = self.merge.next_item()? else {
                self.rows_left = 0;
                break;
            };
            let Item {
                key,
                version,
                value: Some(value),
            } = item
            else {
                continue;
            };
            if !self.destroyed.is_empty()
                && self
                    .snapshot
                    .is_destroyed(&self.destroyed, self.space, &key, version)
            {
                continue;
            }
            let value = if self.options.keys_only {
                Val::new()
            } else {
                value
            };
            bytes += key.len() + value.len();
            rows.push((key, value));
            self.rows_left -= 1;
        }
        self.snapshot.check_alive()?;
        Ok((!rows.is_empty()).then_some(rows))
    }
}

impl Scan for EmbeddedScan {
    fn next_batch(&mut self) -> Deferred<'_, Result<Option<Vec<Row>>, StoreError>> {
        let batch = self.batch();
        Deferred::Ready(self.snapshot.core.watch(batch))
    }
}

/// The part of a range that is in memory, as seen at one version.
pub(crate) struct RecentSource {
    core: Arc<Core>,
    space: KeySpace,
    rest: Option<KeyRange>,
    reverse: bool,
    /// Versions after the first and up to the second.
    window: (Version, Version),
    buffer: VecDeque<Item>,
    chunk: usize,
}

impl RecentSource {
    pub(crate) fn new(
        core: &Arc<Core>,
        space: KeySpace,
        range: KeyRange,
        reverse: bool,
        window: (Version, Version),
    ) -> RecentSource {
        let (rest, buffer) = (Some(range), VecDeque::new());
        RecentSource {
            core: core.clone(),
            space,
            rest,
            reverse,
            window,
            buffer,
            chunk: CHUNK_FIRST,
        }
    }
}

impl Source for RecentSource {
    fn next_item(&mut self) -> Result<Option<Item>, StoreError> {
        loop {
            if let Some(item) = self.buffer.pop_front() {
                return Ok(Some(item));
            }
            let Some(range) = self.rest.take() else {
                return Ok(None);
            };
            let mut items = Vec::from(std::mem::take(&mut self.buffer));
            let recent = &self.core.recent;
            self.rest = recent.collect(
                self.space,
                &range,
                self.reverse,
                self.window,
                self.chunk,
                &mut items,
            );
            self.buffer = VecDeque::from(items);
            self.chunk = (self.chunk * 4).min(CHUNK_MAX);
        }
    }
}

/// Rows of the base as items of the checkpoint's version.
struct BaseSource {
    rows: BaseRows,
    version: Version,
}

impl Source for BaseSource {
    fn next_item(&mut self) -> Result<Option<Item>, StoreError> {
        let version = self.version;
        let row = self.rows.next().transpose()?;
        Ok(row.map(|(key, value)| Item {
            key,
            version,
            value: Some(value),
        }))
    }
}

/// What a run does to a key, for conditions of commits.
pub(crate) fn exists_in(write: &Write) -> bool {
    write.value().is_some()
}
