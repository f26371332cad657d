//! Merges a scan of a snapshot with the own writes of the same range.
//!
//! Sources from new to old: memory, runs (newest first), snapshot. For each key the newest
//! source decides; a delete hides the key. The memory part comes in pieces that later writes,
//! rollbacks and spills cannot disturb (`own_scan`). Of the snapshot, too, no more is read than a
//! row limit asks for: a piece, and another one where own writes hid too much of it.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use tessera_storage::{
    Deferred, Key, KeyRange, KeySpace, Row, RunScan, Scan, ScanOptions, Snapshot, StoreError, Val,
    Write,
};

use crate::buffer::RangeWrites;
use crate::own_scan::OwnScan;

type Batch = Result<Option<Vec<Row>>, StoreError>;

/// A scan that sees own writes. Only transactions that have written pay for it.
pub(crate) struct MergeScan {
    base: BaseScan,
    base_is_finished: bool,
    /// Own writes in memory.
    memory: OwnScan,
    /// Own writes in runs, newest run first.
    runs: Vec<RunSource>,
    rows_left: Option<usize>,
    options: ScanOptions,
}

struct RunSource {
    scan: Box<dyn RunScan>,
    pending: VecDeque<(Key, Write)>,
    is_finished: bool,
}

/// The snapshot's rows, in pieces where the merged scan has a row limit.
struct BaseScan {
    snapshot: Arc<dyn Snapshot>,
    space: KeySpace,
    /// What the present piece and later ones are about.
    range: KeyRange,
    /// Those of the present piece.
    options: ScanOptions,
    scan: Box<dyn Scan>,
    /// Rows of the present piece so far, and its last key.
    rows: usize,
    last: Option<Key>,
}

impl BaseScan {
    fn new(
        snapshot: &Arc<dyn Snapshot>,
        space: KeySpace,
        range: KeyRange,
        options: ScanOptions,
    ) -> Self {
        BaseScan {
            snapshot: Arc::clone(snapshot),
            space,
            scan: Arc::clone(snapshot).scan(space, range.clone(), options.clone()),
            range,
            options,
            rows: 0,
            last: None,
        }
    }

    async fn next_batch(&mut self) -> Batch {
        loop {
            if let Some(rows) = self.scan.next_batch().await? {
                self.rows += rows.len();
                if let Some((key, _)) = rows.last() {
                    self.last = Some(key.clone());
                }
                return Ok(Some(rows));
            }
            let limit = self.options.row_limit.filter(|limit| self.rows >= *limit);
            let (Some(limit), Some(last)) = (limit, self.last.take()) else {
                return Ok(None);
            };
            self.range = if self.options.reverse {
                self.range.before(last)
            } else {
                self.range.after(last)
            };
            if self.range.is_empty() {
                return Ok(None);
            }
            self.options.row_limit = Some(limit.saturating_mul(2));
            self.rows = 0;
            let (range, options) = (self.range.clone(), self.options.clone());
            self.scan = Arc::clone(&self.snapshot).scan(self.space, range, options);
        }
    }
}

/// Rows of one answer.
#[derive(Default)]
struct Output {
    rows: Vec<Row>,
    bytes: usize,
}

impl MergeScan {
    pub(crate) fn new(
        snapshot: &Arc<dyn Snapshot>,
        writes: RangeWrites,
        space: KeySpace,
        range: KeyRange,
        options: ScanOptions,
    ) -> Self {
        let run_source = |run: Arc<dyn tessera_storage::Run>| RunSource {
            scan: run.scan(space, range.clone(), options.clone()),
            pending: VecDeque::new(),
            is_finished: false,
        };
        let runs: Vec<RunSource> = writes.runs.into_iter().map(run_source).collect();
        // Each own write hides at most one row of the snapshot, so this many rows of it are sure
        // to give `row_limit` visible ones, if these are all own writes.
        let known = writes.memory.ready.len();
        let row_limit = options.row_limit.map(|limit| limit.saturating_add(known));
        let base_options = ScanOptions {
            row_limit,
            ..options.clone()
        };
        MergeScan {
            base: BaseScan::new(snapshot, space, range, base_options),
            base_is_finished: false,
            memory: writes.memory,
            runs,
            rows_left: options.row_limit,
            options,
        }
    }

    async fn next(&mut self) -> Batch {
        let mut output = Output::default();
        while output.rows.is_empty() {
            if self.rows_left == Some(0) {
                return Ok(None);
            }
            if !self.base_is_finished {
                match self.base.next_batch().await? {
                    Some(rows) => self.merge_up_to_last_of(rows, &mut output).await?,
                    None => self.base_is_finished = true,
                }
                continue;
            }
            while let Some((key, write)) = self.next_own(None).await? {
                self.emit_own(key, write, &mut output);
                if output.bytes >= self.options.bytes_max || self.rows_left == Some(0) {
                    break;
                }
            }
            if output.rows.is_empty() {
                return Ok(None);
            }
        }
        Ok(Some(output.rows))
    }

    /// Merges a batch of the snapshot with the own writes up to its last key.
    async fn merge_up_to_last_of(
        &mut self,
        rows: Vec<Row>,
        output: &mut Output,
    ) -> Result<(), StoreError> {
        for (key, value) in rows {
            let mut is_replaced = false;
            while let Some((own_key, write)) = self.next_own(Some(&key)).await? {
                is_replaced = own_key == key;
                self.emit_own(own_key, write, output);
            }
            if !is_replaced {
                self.emit(key, value, output);
            }
            if self.rows_left == Some(0) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The next own write, if it is not after `bound` in scan order.
    async fn next_own(&mut self, bound: Option<&Key>) -> Result<Option<(Key, Write)>, StoreError> {
        for run in &mut self.runs {
            while run.pending.is_empty() && !run.is_finished {
                match run.scan.next_batch().await? {
                    Some(batch) => run.pending = batch.into(),
                    None => run.is_finished = true,
                }
            }
        }
        self.memory.fill();
        let reverse = self.options.reverse;
        let is_before = |a: &Key, b: &Key| in_scan_order(a, b, reverse) == Ordering::Less;
        let mut next: Option<&Key> = self.memory.ready.front().map(|(key, _)| key);
        for run in &self.runs {
            if let Some((key, _)) = run.pending.front()
                && next.is_none_or(|next| is_before(key, next))
            {
                next = Some(key);
            }
        }
        let Some(key) = next.filter(|next| bound.is_none_or(|bound| !is_before(bound, next)))
        else {
            return Ok(None);
        };
        let key = key.clone();
        // The newest source that has the key decides; all give it up.
        let mut decided = None;
        let sources = std::iter::once(&mut self.memory.ready)
            .chain(self.runs.iter_mut().map(|run| &mut run.pending));
        for source in sources {
            if source.front().is_some_and(|(front, _)| *front == key)
                && let Some((_, write)) = source.pop_front()
            {
                decided.get_or_insert(write);
            }
        }
        Ok(decided.map(|write| (key, write)))
    }

    fn emit_own(&mut self, key: Key, write: Write, output: &mut Output) {
        if let Some(value) = write.into_value() {
            self.emit(key, value, output);
        }
    }

    fn emit(&mut self, key: Key, value: Val, output: &mut Output) {
        match &mut self.rows_left {
            Some(0) => return,
            Some(left) => *left -= 1,
            None => {}
        }
        let value = if self.options.keys_only {
            Val::new()
        } else {
            value
        };
        output.bytes += key.len() + value.len();
        output.rows.push((key, value));
    }
}

impl Scan for MergeScan {
    fn next_batch(&mut self) -> Deferred<'_, Batch> {
        Deferred::Pending(Box::pin(self.next()))
    }
}

fn in_scan_order(a: &Key, b: &Key, reverse: bool) -> Ordering {
    if reverse { b.cmp(a) } else { a.cmp(b) }
}
