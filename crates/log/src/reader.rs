//! Reads the log while it is written: for those who follow what is committed.
//!
//! A reader goes from record to record and, at the end of a segment, on to the next one. It is told
//! how far the log may be read, and never looks behind what the writer has written. A window of the
//! file that was read too early is read again; only what is still wrong then is damage.
//!
//! A long record is not taken into memory: it is checked in pieces, and then read where it lies.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tessera_environment::{File, Open};
use tessera_types::Version;

use crate::error::LogError;
use crate::format::{HEADER_BYTES, Kind, RECORD_HEADER_BYTES, RecordHeader};
use crate::scan::{READ_BYTES, Reader};
use crate::segment;
use crate::writer::Shared;

/// One record of the log, checked.
#[derive(Debug)]
pub struct LogRecord {
    version: Version,
    len: u64,
    place: Place,
}

enum Place {
    Memory(Vec<u8>),
    File {
        file: Arc<dyn File>,
        path: PathBuf,
        start: u64,
    },
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Memory(_) => f.write_str("Memory"),
            Place::File { path, start, .. } => write!(f, "{} byte {start}", path.display()),
        }
    }
}

impl LogRecord {
    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Bytes of the payload.
    pub fn payload_bytes(&self) -> u64 {
        self.len
    }

    /// Fills `out` with the payload's bytes from `offset` on; all of them must lie within.
    pub fn read_exact_at(&self, out: &mut [u8], offset: u64) -> Result<(), LogError> {
        match &self.place {
            Place::Memory(payload) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let bytes = start
                    .checked_add(out.len())
                    .and_then(|end| payload.get(start..end));
                let bytes = bytes.ok_or_else(|| {
                    let what = "a read beyond the end of a record";
                    LogError::corruption(Path::new("log"), offset, what)
                })?;
                out.copy_from_slice(bytes);
                Ok(())
            }
            Place::File { file, path, start } => file
                .read_exact_at(out, start + offset)
                .map_err(|error| LogError::io("read", path, error)),
        }
    }
}

/// Follows the log. See [`Log::reader`](crate::Log::reader).
pub struct LogReader {
    shared: Arc<Shared>,
    /// The last version given.
    position: Version,
    /// The last version passed in the present segment.
    last: Version,
    reader: Option<Reader>,
}

impl LogReader {
    pub(crate) fn new(shared: Arc<Shared>, after: Version) -> Result<LogReader, LogError> {
        let mut reader = LogReader {
            shared,
            position: after,
            last: after,
            reader: None,
        };
        // Says at once if what is asked for is not there any more.
        reader.enter()?;
        Ok(reader)
    }

    /// The last version given, or the one it began after.
    pub fn position(&self) -> Version {
        self.position
    }

    /// The next record up to and including `until`; none if the log has none yet.
    ///
    /// # Errors
    /// `Cut` if it was cut off.
    pub fn next(&mut self, until: Version) -> Result<Option<LogRecord>, LogError> {
        let next = self.advance(until);
        if let (Err(LogError::Io { .. }), Some(reader)) = (&next, &self.reader) {
            // Some file systems take a removed file away from those who have it open.
            let state = self.shared.state.lock();
            let is_there = |path: &Path| state.segments.iter().any(|segment| segment.path == path);
            if !is_there(reader.path()) {
                let oldest = state.segments.first();
                let oldest = oldest.map_or(self.position, |oldest| oldest.previous);
                return Err(LogError::Cut { oldest });
            }
        }
        next
    }

    fn advance(&mut self, until: Version) -> Result<Option<LogRecord>, LogError> {
        let mut is_fresh = false;
        loop {
            let until = until.min(self.shared.state.lock().written);
            if self.position >= until {
                return Ok(None);
            }
            let Some(reader) = &mut self.reader else {
                self.enter()?;
                continue;
            };
            match reader.follower(self.last)? {
                ControlFlow::Continue(header) => {
                    let is_new = header.kind == Kind::Commit && header.version > self.position;
                    let record = match is_new {
                        true => take(reader, &header)?,
                        false => None,
                    };
                    if is_new && record.is_none() {
                        if is_fresh {
                            return Err(reader.damaged("record checksum mismatch"));
                        }
                        reader.forget();
                        is_fresh = true;
                        continue;
                    }
                    is_fresh = false;
                    reader.pass(&header);
                    self.last = header.version;
                    if let Some(record) = record {
                        self.position = header.version;
                        return Ok(Some(record));
                    }
                }
                ControlFlow::Break(_) if !is_fresh => {
                    // Perhaps the window is older than the record.
                    reader.forget();
                    is_fresh = true;
                }
                ControlFlow::Break(fault) => {
                    is_fresh = false;
                    if !self.next_segment()? {
                        let reader = self.reader.as_ref().expect("it has just been used");
                        return Err(reader.damaged(fault));
                    }
                }
            }
        }
    }

    /// Opens the segment that holds what follows `position`, as near to it as is known.
    fn enter(&mut self) -> Result<(), LogError> {
        loop {
            let (path, last, start) = {
                let state = self.shared.state.lock();
                let index = state
                    .segments
                    .partition_point(|segment| segment.previous <= self.position);
                let Some(found) = index.checked_sub(1).map(|at| &state.segments[at]) else {
                    let oldest = state.segments.first();
                    let oldest = oldest.map_or(self.position, |oldest| oldest.previous);
                    return Err(LogError::Cut { oldest });
                };
                let places = &found.places;
                let at = places.partition_point(|(version, _)| *version <= self.position);
                let place = at.checked_sub(1).map(|at| places[at]);
                let (last, start) = place.unwrap_or((found.previous, HEADER_BYTES as u64));
                (found.path.clone(), last, start)
            };
            if self.open(&path, last, start)? {
                return Ok(());
            }
        }
    }

    /// Goes on to the segment after the present one, if there is one.
    fn next_segment(&mut self) -> Result<bool, LogError> {
        let Some(reader) = &self.reader else {
            return Ok(false);
        };
        let (path, previous) = {
            let state = self.shared.state.lock();
            let next = state
                .segments
                .iter()
                .find(|segment| segment.previous >= self.last && segment.path != reader.path());
            match next {
                Some(next) => (next.path.clone(), next.previous),
                None => return Ok(false),
            }
        };
        if previous > self.last {
            return Err(LogError::Cut { oldest: previous });
        }
        if !self.open(&path, previous, HEADER_BYTES as u64)? {
            self.reader = None;
            self.enter()?;
        }
        Ok(true)
    }

    /// False if the segment has been cut meanwhile.
    fn open(&mut self, path: &Path, last: Version, start: u64) -> Result<bool, LogError> {
        let files = &*self.shared.environment.files;
        let file = match files.open(path, Open::read_only()) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let is_listed = {
                    let state = self.shared.state.lock();
                    state.segments.iter().any(|segment| segment.path == path)
                };
                // It is taken off the list right after it was removed: ask again.
                if is_listed {
                    std::thread::yield_now();
                }
                return Ok(false);
            }
            Err(error) => return Err(LogError::io("open", path, error)),
        };
        let header = segment::read_header(&*file, path)?;
        let mut reader = Reader::open(file, path, self.shared.log_id, header.capacity);
        reader.seek(start);
        self.reader = Some(reader);
        self.last = last;
        Ok(true)
    }
}

/// The record at the reader's place; none if its checksum is wrong.
fn take(reader: &mut Reader, header: &RecordHeader) -> Result<Option<LogRecord>, LogError> {
    let len = header.payload_bytes as u64;
    let place = if header.body_bytes() <= READ_BYTES {
        let Some(payload) = reader.payload(header)? else {
            return Ok(None);
        };
        Place::Memory(payload)
    } else {
        if !reader.is_whole_in_pieces(header)? {
            return Ok(None);
        }
        Place::File {
            file: reader.file().clone(),
            path: reader.path().to_owned(),
            start: reader.offset() + RECORD_HEADER_BYTES as u64,
        }
    };
    Ok(Some(LogRecord {
        version: header.version,
        len,
        place,
    }))
}
