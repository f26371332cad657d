//! Reads of the memory engine.

use std::sync::Arc;

use tessera_types::Version;

use crate::deferred::Deferred;
use crate::error::StoreError;
use crate::memory::Inner;
use crate::range::{KeyRange, KeySpace};
use crate::store::{Key, Row, Scan, ScanOptions, Snapshot, Val};

pub(crate) struct MemorySnapshot {
    pub(crate) inner: Arc<Inner>,
    pub(crate) version: Version,
}

impl Drop for MemorySnapshot {
    fn drop(&mut self) {
        self.inner.live.lock().close(self.version);
    }
}

impl Snapshot for MemorySnapshot {
    fn version(&self) -> Version {
        self.version
    }

    fn get(&self, space: KeySpace, key: &[u8]) -> Deferred<'_, Result<Option<Val>, StoreError>> {
        Deferred::Ready(Ok(
            self.inner.spaces.read()[space.index()].get(key, self.version)
        ))
    }

    fn get_many(
        &self,
        keys: &[(KeySpace, Key)],
    ) -> Deferred<'_, Result<Vec<Option<Val>>, StoreError>> {
        let spaces = self.inner.spaces.read();
        let values = keys
            .iter()
            .map(|(space, key)| spaces[space.index()].get(key, self.version));
        Deferred::Ready(Ok(values.collect()))
    }

    fn scan(
        self: Arc<Self>,
        space: KeySpace,
        range: KeyRange,
        options: ScanOptions,
    ) -> Box<dyn Scan> {
        let rows_left = options.row_limit.unwrap_or(usize::MAX);
        Box::new(MemoryScan {
            snapshot: self,
            space,
            range,
            options,
            rows_left,
        })
    }

    fn partitions(&self, space: KeySpace, range: &KeyRange, count: usize) -> Vec<KeyRange> {
        let keys = self.inner.spaces.read()[space.index()].keys(range, self.version);
        let count = count.clamp(1, keys.len().max(1));
        let splits = (1..count).map(|part| keys[part * keys.len() / count].clone());
        range.split_at(splits)
    }
}

struct MemoryScan {
    snapshot: Arc<MemorySnapshot>,
    space: KeySpace,
    range: KeyRange,
    options: ScanOptions,
    rows_left: usize,
}

impl MemoryScan {
    fn batch(&mut self) -> Option<Vec<Row>> {
        if self.rows_left == 0 {
            return None;
        }
        let mut rows: Vec<Row> = Vec::new();
        let mut bytes = 0;
        let spaces = self.snapshot.inner.spaces.read();
        let space = &spaces[self.space.index()];
        space.scan(
            &self.range,
            self.snapshot.version,
            self.options.reverse,
            |key, value| {
                let value = if self.options.keys_only {
                    Val::new()
                } else {
                    value.clone()
                };
                bytes += key.len() + value.len();
                rows.push((key.clone(), value));
                rows.len() < self.rows_left && bytes < self.options.bytes_max
            },
        );
        drop(spaces);
        let last = rows.last()?.0.clone();
        self.rows_left -= rows.len();
        self.range = if self.options.reverse {
            self.range.before(last)
        } else {
            self.range.after(last)
        };
        Some(rows)
    }
}

impl Scan for MemoryScan {
    fn next_batch(&mut self) -> Deferred<'_, Result<Option<Vec<Row>>, StoreError>> {
        Deferred::Ready(Ok(self.batch()))
    }
}
