//! The one thread that writes, syncs and moves on to the next segment.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tessera_environment::{Environment, File};
use tessera_telemetry::metrics;
use tessera_types::Version;

use crate::error::{LogError, is_full};
use crate::format::{
    HEADER_BYTES, LogId, RECORD_HEADER_BYTES, SegmentHeader, encode_commit, encode_mark,
    record_bytes,
};
use crate::options::LogOptions;
use crate::prepare::Preparer;
use crate::segment::{self, create_blank};
use crate::state::{Entry, SegmentInfo, State, Work};

const LARGE_NAME: &str = "large.tmp";
/// A write buffer that grew beyond this is given back after use.
const BUFFER_BYTES_KEPT: usize = 1 << 20;

/// What the handle and the writer share.
pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
    /// Wakes the writer.
    pub(crate) work: Condvar,
    pub(crate) environment: Environment,
    pub(crate) options: LogOptions,
    pub(crate) dir: PathBuf,
    pub(crate) log_id: LogId,
}

impl Shared {
    pub(crate) fn now(&self) -> Duration {
        self.environment.clock.monotonic()
    }

    /// After a failure that nobody foresaw: no acknowledgement is to be trusted any more.
    pub(crate) fn abandon(&self, reason: &str) {
        let mut state = self.state.lock();
        state.set_poison(reason, Version::MAX);
        self.release(state);
    }

    /// Lets go of the lock and wakes all whose outcome is known.
    fn release(&self, mut state: MutexGuard<'_, State>) {
        let ready = state.take_ready();
        drop(state);
        ready.into_iter().for_each(std::task::Waker::wake);
    }
}

/// The segment being written.
pub(crate) struct Current {
    pub(crate) file: Arc<dyn File>,
    pub(crate) path: PathBuf,
    pub(crate) end: u64,
    pub(crate) capacity: u64,
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    log_id: LogId,
    current: Current,
    /// The last version in the file, and the predecessor of the next one.
    last: Version,
    durable: Version,
    buffer: Vec<u8>,
    preparer: Option<Preparer>,
}

/// Why a batch was not written to its end.
enum Stop {
    /// No room for `rest`; what came before is written.
    Full { rest: Vec<Entry> },
    /// Nobody knows what reached the disk, up to and including `touched`.
    Broken { reason: String, touched: Version },
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        log_id: LogId,
        current: Current,
        last: Version,
        preparer: Option<Preparer>,
    ) -> Writer {
        Writer {
            shared,
            log_id,
            current,
            last,
            durable: last,
            buffer: Vec::new(),
            preparer,
        }
    }

    /// Works until the log is closed or poisoned.
    pub(crate) fn run(mut self) {
        let shared = self.shared.clone();
        loop {
            let mut state = shared.state.lock();
            let now = shared.now();
            match state.work(now, &shared.options) {
                Work::Wait(None) => {
                    state.writer_sleeps = true;
                    shared.work.wait(&mut state);
                    state.writer_sleeps = false;
                }
                Work::Wait(Some(at)) => {
                    // A simulated clock may stand still: look again after a moment anyway.
                    let pause = at.saturating_sub(now).max(Duration::from_millis(1));
                    shared.work.wait_for(&mut state, pause);
                }
                Work::Write => {
                    state.queued_bytes = 0;
                    let batch: Vec<Entry> = state.queue.drain(..).collect();
                    drop(state);
                    self.write(batch);
                }
                Work::Sync => {
                    drop(state);
                    self.sync();
                }
                Work::Mark => {
                    let closing = state.closing;
                    drop(state);
                    self.mark(closing);
                }
                Work::End => {
                    state.ended = true;
                    shared.release(state);
                    return;
                }
            }
        }
    }

    fn write(&mut self, batch: Vec<Entry>) {
        let before = self.last;
        let result = self.append(batch);
        let now = self.shared.now();
        let mut state = self.shared.state.lock();
        state.last_activity = now;
        if state.durable == state.written {
            state.unsynced_since = now;
        }
        state.durable = self.durable;
        state.written = self.last.max(before);
        match result {
            Ok(()) => {
                state.full = false;
                let sync = state.sync_wanted > state.durable || state.closing;
                self.shared.release(state);
                if sync {
                    self.sync();
                }
            }
            Err(Stop::Full { rest }) => {
                if !state.full {
                    tracing::error!(dir = %self.shared.dir.display(), "no space for the log");
                }
                state.refuse(rest, now);
                if state.closing && !state.queue.is_empty() {
                    let count = state.queue.len();
                    tracing::error!(count, "commits without waiting are lost: the disk is full");
                    state.refuse_rest();
                }
                let sync = state.sync_wanted > state.durable;
                self.shared.release(state);
                if sync && self.durable < self.last {
                    self.sync();
                }
            }
            Err(Stop::Broken { reason, touched }) => self.poison(state, &reason, touched),
        }
    }

    /// Writes all entries, moving on to further segments as needed.
    fn append(&mut self, batch: Vec<Entry>) -> Result<(), Stop> {
        let mut entries = batch.into_iter().peekable();
        while let Some(first) = entries.peek() {
            let need = record_bytes(first.payload.len()) as u64;
            if need > self.current.capacity - self.current.end {
                let version = first.version;
                if let Err(error) = self.next_segment(version, need) {
                    return Err(self.stop(error, entries.collect()));
                }
            }
            self.buffer.clear();
            let (mut last, mut taken) = (self.last, Vec::new());
            let room = self.current.capacity - self.current.end;
            while let Some(entry) = entries.next_if(|entry| {
                let bytes = self.buffer.len() + record_bytes(entry.payload.len());
                let fits = taken.is_empty() || bytes <= self.shared.options.batch_bytes_max;
                bytes as u64 <= room && fits
            }) {
                let Entry {
                    version, payload, ..
                } = &entry;
                let (id, durable) = (self.log_id, self.durable);
                encode_commit(id, *version, last, durable, payload, &mut self.buffer);
                last = *version;
                taken.push(entry);
            }
            let started = self.shared.now();
            match self
                .current
                .file
                .write_all_at(&self.buffer, self.current.end)
            {
                Ok(()) => {
                    let metrics = metrics();
                    let took = self.shared.now().saturating_sub(started);
                    metrics.wal_append_duration.record(took);
                    metrics.wal_bytes.add(self.buffer.len() as u64);
                    metrics
                        .group_commit_batch_size
                        .record_size(taken.len() as u64);
                }
                Err(error) if is_full(&error) && self.erase_attempt().is_ok() => {
                    taken.extend(entries);
                    return Err(Stop::Full { rest: taken });
                }
                Err(error) => return Err(self.broken("write", &error, last)),
            }
            self.current.end += self.buffer.len() as u64;
            self.last = last;
            let mut state = self.shared.state.lock();
            state.note_bytes(last, self.buffer.len() as u64);
            state.note_place(last, self.current.end);
            drop(state);
            if self.buffer.capacity() > BUFFER_BYTES_KEPT {
                self.buffer = Vec::new();
            }
        }
        if let Some(preparer) = &self.preparer
            && self.current.end > self.current.capacity / 2
        {
            preparer.request();
        }
        Ok(())
    }

    /// After a write that met a full disk half-way: makes sure that no part of it is ever replayed.
    fn erase_attempt(&mut self) -> std::io::Result<()> {
        let zeros = [0; RECORD_HEADER_BYTES];
        self.current.file.write_all_at(&zeros, self.current.end)?;
        self.current.file.sync_data()?;
        self.durable = self.last;
        Ok(())
    }

    /// Makes everything written durable and goes on in a new segment with room for `need` bytes.
    fn next_segment(&mut self, first: Version, need: u64) -> Result<(), LogError> {
        let shared = self.shared.clone();
        if self.durable < self.last {
            let synced = self.current.file.sync_data();
            synced.map_err(|source| LogError::Io {
                action: "sync",
                path: self.current.path.clone(),
                source,
            })?;
            self.durable = self.last;
        }
        let capacity = shared.options.segment_bytes;
        let need = (HEADER_BYTES as u64 + need).next_multiple_of(HEADER_BYTES as u64);
        let prepared = self.preparer.as_ref().filter(|_| need <= capacity);
        let blank = match prepared.and_then(Preparer::take) {
            Some(Ok(blank)) => blank,
            // A failure of some time ago says nothing about now.
            Some(Err(_)) | None => {
                let files = &*shared.environment.files;
                create_blank(files, &shared.dir, LARGE_NAME, capacity.max(need))?
            }
        };
        let header = SegmentHeader {
            log_id: self.log_id,
            first,
            previous: self.last,
            capacity: blank.capacity,
            created_unix_micros: shared.environment.clock.unix_micros(),
        };
        let path = segment::finish(&shared.environment, &shared.dir, &blank, &header)
            .map_err(not_merely_full)?;
        self.current = Current {
            file: blank.file,
            path: path.clone(),
            end: HEADER_BYTES as u64,
            capacity: blank.capacity,
        };
        let mut state = shared.state.lock();
        // A segment without a record, too small for the first one: the new one has taken its name.
        let is_replaced = |previous: &SegmentInfo| previous.path == path;
        if state.segments.last().is_some_and(is_replaced) {
            state.segments.pop();
        }
        if let Some(previous) = state.segments.last_mut() {
            previous.last = self.last;
        }
        state.segments.push(SegmentInfo {
            path,
            previous: header.previous,
            last: self.last,
            capacity: header.capacity,
            created_unix_micros: header.created_unix_micros,
            places: Vec::new(),
        });
        state.note_bytes(self.last, HEADER_BYTES as u64);
        Ok(())
    }

    fn sync(&mut self) {
        let (started, last) = (self.shared.now(), self.last);
        let result = self.current.file.sync_data();
        let now = self.shared.now();
        let mut state = self.shared.state.lock();
        match result {
            Ok(()) => {
                metrics()
                    .wal_fsync_duration
                    .record(now.saturating_sub(started));
                self.durable = last;
                state.durable = last;
                state.last_activity = now;
                state.syncs += 1;
                state.sync_time += now.saturating_sub(started);
                self.shared.release(state);
            }
            Err(error) => {
                let reason = format!("cannot sync {}: {error}", self.current.path.display());
                self.poison(state, &reason, last);
            }
        }
    }

    /// Writes down that everything is durable. At the end of the log's life the mark is synced.
    fn mark(&mut self, closing: bool) {
        self.buffer.clear();
        encode_mark(self.log_id, self.last, self.durable, &mut self.buffer);
        let fits = self.buffer.len() as u64 <= self.current.capacity - self.current.end;
        // Marks only help to explain damage. A full segment ends with its successor's header.
        let result = if fits {
            let written = self
                .current
                .file
                .write_all_at(&self.buffer, self.current.end);
            written.and_then(|()| {
                if closing {
                    self.current.file.sync_data()
                } else {
                    Ok(())
                }
            })
        } else {
            Ok(())
        };
        let mut state = self.shared.state.lock();
        state.marked = self.durable;
        match result {
            Ok(()) if fits => self.current.end += self.buffer.len() as u64,
            Ok(()) => {}
            Err(error) if is_full(&error) => {}
            Err(error) => {
                let reason = format!("cannot write {}: {error}", self.current.path.display());
                self.poison(state, &reason, self.last);
            }
        }
    }

    fn stop(&self, error: LogError, rest: Vec<Entry>) -> Stop {
        match error {
            LogError::DiskFull => Stop::Full { rest },
            error => {
                let source = std::error::Error::source(&error);
                let cause = source
                    .map(|source| format!(": {source}"))
                    .unwrap_or_default();
                Stop::Broken {
                    reason: format!("{error}{cause}"),
                    touched: self.last,
                }
            }
        }
    }

    fn broken(&self, action: &str, error: &std::io::Error, touched: Version) -> Stop {
        let reason = format!("cannot {action} {}: {error}", self.current.path.display());
        Stop::Broken { reason, touched }
    }

    fn poison(&self, mut state: MutexGuard<'_, State>, reason: &str, touched: Version) {
        tracing::error!(reason, "the log stops: nothing more can be made durable");
        state.set_poison(reason, touched.next());
        self.shared.release(state);
    }
}

/// A full disk while the new segment already has its header may have left it under its final
/// name; only a restart sorts that out.
fn not_merely_full(error: LogError) -> LogError {
    match error {
        LogError::DiskFull => LogError::Poisoned {
            reason: "no space for a segment's name".into(),
        },
        error => error,
    }
}
