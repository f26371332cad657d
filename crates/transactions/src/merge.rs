//! Merges a scan of a snapshot with the own writes of the same range.
//!
//! Sources from new to old: memory, runs (newest first), snapshot. For each key the newest
//! source decides; a delete hides the key. The memory part is copied when the scan begins (the
//! values are shared), so later writes, rollbacks and spills cannot disturb it.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use tessera_storage::{
    Deferred, Key, KeyRange, KeySpace, Row, RunScan, Scan, ScanOptions, Snapshot, StoreError, Val,
    Write,
};

use crate::buffer::RangeWrites;

type Batch = Result<Option<Vec<Row>>, StoreError>;

/// A scan that sees own writes. Only transactions that have written pay for it.
pub(crate) struct MergeScan {
    base: Box<dyn Scan>,
    base_is_finished: bool,
    /// Own writes in memory, in scan order.
    memory: VecDeque<(Key, Write)>,
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
        // to give `row_limit` visible ones. What runs hide is not known beforehand.
        let base_limit = match options.row_limit {
            Some(limit) if runs.is_empty() => Some(limit.saturating_add(writes.entries.len())),
            _ => None,
        };
        let base_options = ScanOptions {
            row_limit: base_limit,
            ..options.clone()
        };
        let mut memory = VecDeque::from(writes.entries);
        if options.reverse {
            memory.make_contiguous().reverse();
        }
        MergeScan {
            base: Arc::clone(snapshot).scan(space, range, base_options),
            base_is_finished: false,
            memory,
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
        let reverse = self.options.reverse;
        let is_before = |a: &Key, b: &Key| in_scan_order(a, b, reverse) == Ordering::Less;
        let mut next: Option<&Key> = self.memory.front().map(|(key, _)| key);
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
        let sources = std::iter::once(&mut self.memory)
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
        if let Write::Put(value) = write {
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
