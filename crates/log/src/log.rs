//! The handle of an open log.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};
use tessera_environment::{Environment, File, Files, Open};
use tessera_types::Version;

use crate::error::LogError;
use crate::format::{HEADER_BYTES, LogId, SegmentHeader};
use crate::options::LogOptions;
use crate::prepare::Preparer;
use crate::reader::LogReader;
use crate::scan::{self, Found, Replay};
use crate::segment::{self, create_blank};
use crate::state::{Level, SegmentInfo, State};
use crate::writer::{Current, Shared, Writer};

/// An open log. Cheap to clone; closed when the last clone is dropped.
#[derive(Clone)]
pub struct Log {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Only one cut at a time.
    cutting: Mutex<()>,
}

/// Whether the log accepts commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogHealth {
    /// It does.
    Good,
    /// The last attempt found the disk full; the next one may succeed.
    DiskFull,
    /// A write or sync failed; only a restart helps.
    Poisoned(Arc<str>),
}

/// One segment file of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The last version before it.
    pub previous: Version,
    /// Its last version; of the segment being written, the one before it.
    pub last: Version,
    /// Length of the file.
    pub bytes: u64,
    /// When it was made, microseconds since 1970.
    pub created_unix_micros: i64,
}

impl Log {
    /// Opens the log of a directory, making it if there is none, and replays every record after
    /// `after`, in order. An unacknowledged torn end is cut off; damage is an error.
    ///
    /// Blocks for as long as reading takes.
    pub fn open(
        environment: &Environment,
        dir: &Path,
        options: LogOptions,
        after: Version,
        replay: Replay<'_>,
    ) -> Result<Log, LogError> {
        let options = options.checked();
        let files = &*environment.files;
        create_dir(files, dir)?;
        segment::remove_unfinished(files, dir)?;
        files
            .sync_dir(dir)
            .map_err(|error| LogError::io("sync", dir, error))?;
        let (mut found, _) = scan::read(environment, dir, Some(after), replay)?;
        if found.is_empty() {
            found.push(first_segment(environment, dir, &options, after)?);
        }
        let last = found.last().expect("there is at least the one just made");
        let current = continue_in(files, last)?;
        let (log_id, version) = (last.header.log_id, last.last);
        let segments = found.iter().map(|found| SegmentInfo {
            path: found.path.clone(),
            previous: found.header.previous,
            last: found.last,
            capacity: found.header.capacity,
            created_unix_micros: found.header.created_unix_micros,
            places: Vec::new(),
        });
        let mut state = State::new(version, segments.collect());
        for found in &found {
            state.note_bytes(found.last, found.end);
        }
        let prepare = |options: &LogOptions| {
            Preparer::start(environment.clone(), dir.to_owned(), options.segment_bytes)
        };
        let thread = |error| LogError::io("start a thread for", dir, error);
        let preparer = options.prepare_ahead.then(|| prepare(&options)).transpose();
        let preparer = preparer.map_err(thread)?;
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            work: Condvar::new(),
            environment: environment.clone(),
            options,
            dir: dir.to_owned(),
            log_id,
        });
        let writer = Writer::new(shared.clone(), log_id, current, version, preparer);
        let theirs = shared.clone();
        let body = move || {
            let run = std::panic::AssertUnwindSafe(|| writer.run());
            if std::panic::catch_unwind(run).is_err() {
                theirs.abandon("the log's writer panicked");
            }
        };
        let spawned = std::thread::Builder::new()
            .name("log-writer".into())
            .spawn(body);
        let thread = Mutex::new(Some(spawned.map_err(thread)?));
        Ok(Log {
            handle: Arc::new(Handle {
                shared,
                thread,
                cutting: Mutex::new(()),
            }),
        })
    }

    /// Puts a record in line and gives it the next version. Call `wait` or `wait_blocking` for it
    /// right after: that is what makes the writer start.
    ///
    /// The order of versions is the order of the calls, and of the records in the log.
    pub fn enqueue(&self, payload: Vec<u8>) -> Result<Version, LogError> {
        let shared = &self.handle.shared;
        let now = shared.now();
        shared.state.lock().enqueue(payload, now, &shared.options)
    }

    /// Waits until the record is durable; or, with `durable` false, until the log has accepted
    /// it, to be durable a little later (`LogOptions::write_delay` plus `sync_delay`).
    ///
    /// The request counts from this call on, also if the future is dropped.
    pub fn wait(&self, version: Version, durable: bool) -> Wait {
        let shared = self.handle.shared.clone();
        let level = if durable {
            Level::Durable
        } else {
            Level::Buffered
        };
        let mut state = shared.state.lock();
        let accepted = level == Level::Buffered
            && state.outcome(version, level).is_none()
            && state.acknowledge(version, &shared.options);
        if state.want(version, level) {
            shared.work.notify_one();
        }
        drop(state);
        Wait {
            shared,
            version,
            level,
            accepted,
        }
    }

    /// What is known about a record by now, without asking for anything: like `wait`, but not
    /// waiting. A record that was accepted without the disk counts only once it is written.
    pub fn outcome(&self, version: Version, durable: bool) -> Option<Result<(), LogError>> {
        let level = if durable {
            Level::Durable
        } else {
            Level::Buffered
        };
        self.handle.shared.state.lock().outcome(version, level)
    }

    /// Like `wait`, for threads outside an asynchronous runtime.
    pub fn wait_blocking(&self, version: Version, durable: bool) -> Result<(), LogError> {
        struct Unpark(std::thread::Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        let mut wait = self.wait(version, durable);
        loop {
            match Pin::new(&mut wait).poll(&mut context) {
                Poll::Ready(outcome) => return outcome,
                Poll::Pending => std::thread::park(),
            }
        }
    }

    /// The newest version given out, or the one the log was opened with.
    pub fn last_version(&self) -> Version {
        Version(self.handle.shared.state.lock().next.0 - 1)
    }

    /// The newest version known to be durable, with all before it that were not refused.
    pub fn durable_version(&self) -> Version {
        self.handle.shared.state.lock().durable
    }

    /// The newest version that is in the file, durable or not.
    pub fn written_version(&self) -> Version {
        self.handle.shared.state.lock().written
    }

    /// Bytes of log written after `version`, to within 512 KiB.
    pub fn bytes_after(&self, version: Version) -> u64 {
        self.handle.shared.state.lock().bytes_after(version)
    }

    /// Syncs made so far, and the time they took together.
    pub fn syncs(&self) -> (u64, std::time::Duration) {
        let state = self.handle.shared.state.lock();
        (state.syncs, state.sync_time)
    }

    /// Reads the records after `after`, in order, while more are written.
    ///
    /// # Errors
    /// `Cut` if some of them were cut off.
    pub fn reader(&self, after: Version) -> Result<LogReader, LogError> {
        LogReader::new(self.handle.shared.clone(), after)
    }

    /// A number that no other log has: versions mean something within one log only.
    pub fn identity(&self) -> u64 {
        self.handle.shared.log_id.seed()
    }

    /// The segments, oldest first; the last one is being written.
    pub fn segments(&self) -> Vec<Segment> {
        let state = self.handle.shared.state.lock();
        let segments = state.segments.iter();
        segments
            .map(|segment| Segment {
                previous: segment.previous,
                last: segment.last,
                bytes: segment.capacity,
                created_unix_micros: segment.created_unix_micros,
            })
            .collect()
    }

    /// Waits until the record is written, or durable, without asking for that: others do, or the
    /// time.
    pub fn observe(&self, version: Version, durable: bool) -> Wait {
        let level = if durable {
            Level::Durable
        } else {
            Level::Buffered
        };
        Wait {
            shared: self.handle.shared.clone(),
            version,
            level,
            accepted: false,
        }
    }

    /// Whether commits are accepted.
    pub fn health(&self) -> LogHealth {
        let state = self.handle.shared.state.lock();
        match &state.poison {
            Some(poison) => LogHealth::Poisoned(poison.reason.clone()),
            None if state.full => LogHealth::DiskFull,
            None => LogHealth::Good,
        }
    }

    /// Removes, or moves to the archive, the whole segments that hold only versions before
    /// `before`. Blocks. Returns how many it removed.
    pub fn cut(&self, before: Version) -> Result<u64, LogError> {
        let _one_at_a_time = self.handle.cutting.lock();
        let shared = &self.handle.shared;
        let files = &*shared.environment.files;
        let mut count = 0;
        loop {
            let oldest = {
                let state = shared.state.lock();
                let [oldest, _, ..] = state.segments.as_slice() else {
                    break;
                };
                if oldest.last >= before {
                    break;
                }
                oldest.path.clone()
            };
            remove_or_archive(files, &oldest, shared.options.archive.as_deref())?;
            shared.state.lock().segments.remove(0);
            count += 1;
        }
        if count > 0 {
            let dir = &shared.dir;
            files
                .sync_dir(dir)
                .map_err(|error| LogError::io("sync", dir, error))?;
        }
        shared.state.lock().forget_bytes_before(before);
        Ok(count)
    }

    /// Writes and syncs what is queued, notes the clean end and stops the writer. Blocks.
    /// Later calls of `enqueue` answer `Closed`.
    pub fn close(&self) -> Result<(), LogError> {
        self.handle.close();
        let state = self.handle.shared.state.lock();
        match &state.poison {
            Some(poison) => Err(LogError::Poisoned {
                reason: poison.reason.clone(),
            }),
            None => Ok(()),
        }
    }
}

impl Handle {
    fn close(&self) {
        self.shared.state.lock().closing = true;
        self.shared.work.notify_one();
        if let Some(thread) = self.thread.lock().take() {
            // A panic was caught and noted inside.
            let _ = thread.join();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

fn create_dir(files: &dyn Files, dir: &Path) -> Result<(), LogError> {
    files
        .create_dir_all(dir)
        .map_err(|error| LogError::io("create", dir, error))?;
    let Some(parent) = dir.parent() else {
        return Ok(());
    };
    files
        .sync_dir(parent)
        .map_err(|error| LogError::io("sync", parent, error))
}

fn first_segment(
    environment: &Environment,
    dir: &Path,
    options: &LogOptions,
    after: Version,
) -> Result<Found, LogError> {
    let mut id = [0; 16];
    environment.random.fill(&mut id);
    let files = &*environment.files;
    let blank = create_blank(files, dir, "first.tmp", options.segment_bytes)?;
    let header = SegmentHeader {
        log_id: LogId(id),
        first: after.next(),
        previous: after,
        capacity: blank.capacity,
        created_unix_micros: environment.clock.unix_micros(),
    };
    let path = segment::finish(environment, dir, &blank, &header)?;
    let (file, end) = (blank.file, HEADER_BYTES as u64);
    Ok(Found {
        path,
        file,
        header,
        last: after,
        end,
        torn: false,
        unproven_from: end,
    })
}

/// Opens the last segment for writing, without its torn end, and with all that was read durable.
fn continue_in(files: &dyn Files, last: &Found) -> Result<Current, LogError> {
    let path = &last.path;
    let capacity = last.header.capacity;
    let repair = || {
        let file = files.open(path, Open::existing())?;
        if last.torn {
            tracing::warn!(file = %path.display(), at = last.end, "cut off an unfinished write");
            erase(&*file, last.end, capacity)?;
        }
        // A killed process leaves bytes that no sync covered yet; a failed sync leaves bytes that
        // the system shows but no longer intends to write. Writing them again helps in both cases.
        rewrite(&*file, last.unproven_from, last.end)?;
        file.sync_data()?;
        Ok(file)
    };
    let file = repair().map_err(|error| LogError::io("continue", path, error))?;
    Ok(Current {
        file,
        path: path.clone(),
        end: last.end,
        capacity,
    })
}

/// Writes a range with the bytes it has.
fn rewrite(file: &dyn File, start: u64, end: u64) -> std::io::Result<()> {
    let mut bytes = vec![0; 64 << 10];
    let mut offset = start;
    while offset < end {
        let count = (end - offset).min(bytes.len() as u64) as usize;
        file.read_exact_at(&mut bytes[..count], offset)?;
        file.write_all_at(&bytes[..count], offset)?;
        offset += count as u64;
    }
    Ok(())
}

/// Overwrites everything from `start` on with zeros, where it is not zero already.
fn erase(file: &dyn File, start: u64, end: u64) -> std::io::Result<()> {
    let mut bytes = vec![0; 64 << 10];
    let mut offset = start;
    while offset < end {
        let count = (end - offset).min(bytes.len() as u64) as usize;
        let chunk = &mut bytes[..count];
        file.read_exact_at(chunk, offset)?;
        if chunk.iter().any(|byte| *byte != 0) {
            chunk.fill(0);
            file.write_all_at(chunk, offset)?;
        }
        offset += count as u64;
    }
    Ok(())
}

fn remove_or_archive(
    files: &dyn Files,
    path: &Path,
    archive: Option<&Path>,
) -> Result<(), LogError> {
    let Some(archive) = archive else {
        return files
            .remove(path)
            .map_err(|error| LogError::io("remove", path, error));
    };
    let target = archive.join(path.file_name().expect("a segment's path ends in its name"));
    let moved = files.create_dir_all(archive).and_then(|()| {
        files.rename(path, &target)?;
        files.sync_dir(archive)
    });
    moved.map_err(|error| LogError::io("archive", path, error))
}

/// Resolves when the outcome of a record is known. See [`Log::wait`].
#[must_use]
pub struct Wait {
    shared: Arc<Shared>,
    version: Version,
    level: Level,
    accepted: bool,
}

impl Future for Wait {
    type Output = Result<(), LogError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.accepted {
            return Poll::Ready(Ok(()));
        }
        let mut state = self.shared.state.lock();
        match state.outcome(self.version, self.level) {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                state.register(self.version, self.level, context.waker());
                Poll::Pending
            }
        }
    }
}
