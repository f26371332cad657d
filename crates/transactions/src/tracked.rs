//! A scan that records how far it was read.

use tessera_storage::{Deferred, Key, Row, Scan, ScanOptions, StoreError, successor};
use tessera_storage::{KeyRange, KeySpace, ReadRange};

use crate::reads::ViewReads;

type Batch = Result<Option<Vec<Row>>, StoreError>;

/// Hands on a scan's batches, and records first the part of the range that each one decides:
/// up to its last row, or to the end of the range when there are no more. A scan that stops early
/// has read no further than that.
pub(crate) struct TrackedScan {
    inner: Box<dyn Scan>,
    progress: Progress,
}

struct Progress {
    reads: ViewReads,
    /// What is not read yet.
    rest: Option<ReadRange>,
    reverse: bool,
    rows_left: Option<usize>,
}

impl TrackedScan {
    pub(crate) fn new(
        inner: Box<dyn Scan>,
        reads: ViewReads,
        space: KeySpace,
        range: &KeyRange,
        options: &ScanOptions,
    ) -> TrackedScan {
        let rest = ReadRange::new(space, range, reads.since());
        TrackedScan {
            inner,
            progress: Progress {
                reads,
                rest,
                reverse: options.reverse,
                rows_left: options.row_limit,
            },
        }
    }
}

impl Progress {
    fn note(&mut self, batch: &Batch) {
        match batch {
            Ok(Some(rows)) => {
                if let Some(left) = &mut self.rows_left {
                    *left = left.saturating_sub(rows.len());
                }
                if let Some((last, _)) = rows.last() {
                    self.note_up_to(last);
                }
            }
            // At its limit a scan ends without having looked at the rest.
            Ok(None) if self.rows_left == Some(0) => {}
            Ok(None) => {
                if let Some(rest) = self.rest.take() {
                    self.reads.range(rest);
                }
            }
            // The reader gets nothing.
            Err(_) => {}
        }
    }

    fn note_up_to(&mut self, last: &Key) {
        let Some(rest) = &mut self.rest else { return };
        let mut read = rest.clone();
        if self.reverse {
            read.start = last.clone();
            rest.end = Some(last.clone());
        } else {
            let end = successor(last);
            read.end = Some(end.clone());
            rest.start = end;
        }
        if rest.end.as_ref().is_some_and(|end| *end <= rest.start) {
            self.rest = None;
        }
        self.reads.range(read);
    }
}

impl Scan for TrackedScan {
    fn next_batch(&mut self) -> Deferred<'_, Batch> {
        let progress = &mut self.progress;
        match self.inner.next_batch() {
            Deferred::Ready(batch) => {
                progress.note(&batch);
                Deferred::Ready(batch)
            }
            pending => Deferred::Pending(Box::pin(async move {
                let batch = pending.await;
                progress.note(&batch);
                batch
            })),
        }
    }
}
