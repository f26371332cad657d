//! Runs of the memory engine: sorted vectors.

use std::sync::{Arc, Weak};

use crate::batch::Write;
use crate::deferred::Deferred;
use crate::error::StoreError;
use crate::limits::check_entry;
use crate::memory::Inner;
use crate::range::{KeyRange, KeySpace};
use crate::store::{Key, Run, RunId, RunScan, RunWriter, ScanOptions};

pub(crate) struct MemoryRunWriter {
    inner: Arc<Inner>,
    id: RunId,
    writes: Vec<(KeySpace, Key, Write)>,
}

impl MemoryRunWriter {
    pub(crate) fn new(inner: Arc<Inner>, id: RunId) -> MemoryRunWriter {
        MemoryRunWriter {
            inner,
            id,
            writes: Vec::new(),
        }
    }
}

impl RunWriter for MemoryRunWriter {
    fn add(&mut self, space: KeySpace, key: Key, write: Write) -> Result<(), StoreError> {
        check_entry(&self.inner.capabilities, &key, &write)?;
        let last = self.writes.last();
        if last.is_some_and(|(last_space, last_key, _)| (*last_space, last_key) >= (space, &key)) {
            return Err(StoreError::Unavailable {
                reason: "the writes of a run are not in order",
            });
        }
        self.writes.push((space, key, write));
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Arc<dyn Run>, StoreError> {
        let run = Arc::new(MemoryRun {
            id: self.id,
            writes: self.writes,
        });
        self.inner.runs.lock().insert(self.id, run.clone());
        Ok(Arc::new(RunHandle {
            run,
            owner: Arc::downgrade(&self.inner),
        }))
    }
}

#[derive(Debug)]
pub(crate) struct MemoryRun {
    id: RunId,
    writes: Vec<(KeySpace, Key, Write)>,
}

impl MemoryRun {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (KeySpace, Key, Write)> {
        self.writes.iter().cloned()
    }
}

/// What the transaction holds; the run is forgotten with it.
struct RunHandle {
    run: Arc<MemoryRun>,
    owner: Weak<Inner>,
}

impl Drop for RunHandle {
    fn drop(&mut self) {
        if let Some(owner) = self.owner.upgrade() {
            owner.runs.lock().remove(&self.run.id);
        }
    }
}

impl Run for RunHandle {
    fn id(&self) -> RunId {
        self.run.id
    }

    fn get(&self, space: KeySpace, key: &[u8]) -> Deferred<'_, Result<Option<Write>, StoreError>> {
        let place = self
            .run
            .writes
            .binary_search_by(|(s, k, _)| (*s, k.as_ref()).cmp(&(space, key)));
        Deferred::Ready(Ok(place.ok().map(|at| self.run.writes[at].2.clone())))
    }

    fn scan(
        self: Arc<Self>,
        space: KeySpace,
        range: KeyRange,
        options: ScanOptions,
    ) -> Box<dyn RunScan> {
        let writes = &self.run.writes;
        let start =
            writes.partition_point(|(s, k, _)| (*s, range.is_after_start(k)) < (space, true));
        let end = start
            + writes[start..].partition_point(|(s, k, _)| *s == space && range.is_before_end(k));
        Box::new(MemoryRunScan {
            handle: self.clone(),
            next: start..end,
            options,
        })
    }

    fn entries(&self) -> u64 {
        self.run.writes.len() as u64
    }

    fn bytes(&self) -> u64 {
        self.run
            .writes
            .iter()
            .map(|(_, key, write)| (key.len() + write.value_bytes()) as u64)
            .sum()
    }
}

struct MemoryRunScan {
    handle: Arc<RunHandle>,
    next: std::ops::Range<usize>,
    options: ScanOptions,
}

impl RunScan for MemoryRunScan {
    fn next_batch(&mut self) -> Deferred<'_, Result<Option<Vec<(Key, Write)>>, StoreError>> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while bytes < self.options.bytes_max || batch.is_empty() {
            let at = if self.options.reverse {
                self.next.next_back()
            } else {
                self.next.next()
            };
            let Some(at) = at else { break };
            let (_, key, write) = &self.handle.run.writes[at];
            bytes += key.len() + write.value_bytes();
            batch.push((key.clone(), write.clone()));
        }
        Deferred::Ready(Ok((!batch.is_empty()).then_some(batch)))
    }
}
