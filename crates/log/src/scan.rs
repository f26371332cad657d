//! Reads segments, and tells a torn end from damage.
//!
//! Only the last segment may end in something other than zeros: writes that no sync covered when
//! the power went. Every record says how far the log was durable when it was written. So if
//! anything behind the first unreadable place claims that more was durable than can be read, the
//! place was damaged later; otherwise it is the unacknowledged end and is cut off.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tessera_environment::{Environment, File, Open};
use tessera_types::Version;

use crate::error::LogError;
use crate::format::{
    ALIGNMENT, HEADER_BYTES, Kind, LogId, RECORD_HEADER_BYTES, RecordHeader, SegmentHeader,
};
use crate::segment;

/// Bytes read at once; a longer record makes the buffer grow for as long as it is needed.
pub(crate) const READ_BYTES: usize = 256 << 10;

/// Receives the version and payload of each record, in order.
pub type Replay<'a> = &'a mut dyn FnMut(Version, &[u8]) -> Result<(), LogError>;

/// What a scan found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogScan {
    /// Segment files.
    pub segments: u64,
    /// Records read; those of skipped segments are not among them.
    pub records: u64,
    /// Bytes of segments in use, headers included.
    pub bytes: u64,
    /// The last version in the log; `None` if it never held one.
    pub last: Option<Version>,
    /// Where the last segment ends in unacknowledged bytes, if it does.
    pub torn_at: Option<(PathBuf, u64)>,
}

/// One segment as found on disk.
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
    pub(crate) header: SegmentHeader,
    /// The last version in it, or the one before it.
    pub(crate) last: Version,
    /// Where the next record goes.
    pub(crate) end: u64,
    /// Something other than zeros follows `end`.
    pub(crate) torn: bool,
    /// No record in the segment proves that what is between here and `end` was ever synced.
    pub(crate) unproven_from: u64,
}

/// Replays every record after `after`, changing nothing on disk.
///
/// On damage the records before it have been replayed when the error is returned; a store in safe
/// mode can show them.
pub fn scan(
    environment: &Environment,
    dir: &Path,
    after: Version,
    replay: Replay<'_>,
) -> Result<LogScan, LogError> {
    let (found, records) = read(environment, dir, Some(after), replay)?;
    Ok(summary(&found, records))
}

/// Reads everything and checks every checksum, changing nothing on disk.
pub fn verify(environment: &Environment, dir: &Path) -> Result<LogScan, LogError> {
    let (found, records) = read(environment, dir, None, &mut |_, _| Ok(()))?;
    Ok(summary(&found, records))
}

fn summary(found: &[Found], records: u64) -> LogScan {
    let last = found.last();
    LogScan {
        segments: found.len() as u64,
        records,
        bytes: found.iter().map(|segment| segment.end).sum(),
        last: last.map(|segment| segment.last),
        torn_at: last
            .filter(|last| last.torn)
            .map(|last| (last.path.clone(), last.end)),
    }
}

/// Reads all segments; with `after`, skips those that hold nothing newer.
pub(crate) fn read(
    environment: &Environment,
    dir: &Path,
    after: Option<Version>,
    replay: Replay<'_>,
) -> Result<(Vec<Found>, u64), LogError> {
    let mut found = open_all(environment, dir)?;
    let Some(first) = found.first() else {
        return Ok((found, 0));
    };
    let after = after.unwrap_or(first.header.previous);
    if first.header.previous > after {
        let what = format!(
            "records {} to {} are missing",
            after.next(),
            first.header.previous
        );
        return Err(LogError::corruption(&first.path, 0, what));
    }
    let mut records = 0;
    for index in 0..found.len() {
        let next = found.get(index + 1).map(|next| next.header.previous);
        if let Some(end) = next.filter(|end| *end <= after) {
            found[index].last = end;
            found[index].end = found[index].header.capacity;
            continue;
        }
        records += read_one(&mut found[index], next, after, replay)?;
    }
    let last = found.last().expect("found is not empty: checked above");
    if last.last < after {
        let what = format!("the log ends at {}, but the store has {after}", last.last);
        return Err(LogError::corruption(&last.path, last.end, what));
    }
    Ok((found, records))
}

fn open_all(environment: &Environment, dir: &Path) -> Result<Vec<Found>, LogError> {
    let mut found: Vec<Found> = Vec::new();
    for first in segment::list(&*environment.files, dir)? {
        let path = segment::path(dir, first);
        let file = environment.files.open(&path, Open::read_only());
        let file = file.map_err(|error| LogError::io("open", &path, error))?;
        let header = segment::read_header(&*file, &path)?;
        if header.first != first {
            return Err(LogError::corruption(
                &path,
                32,
                "the header names another version",
            ));
        }
        let len = file
            .len()
            .map_err(|error| LogError::io("read", &path, error))?;
        if len < header.capacity {
            return Err(LogError::corruption(&path, len, "the file was cut short"));
        }
        if found
            .first()
            .is_some_and(|oldest| oldest.header.log_id != header.log_id)
        {
            return Err(LogError::corruption(
                &path,
                16,
                "the segment belongs to another log",
            ));
        }
        let last = header.previous;
        found.push(Found {
            path,
            file,
            header,
            last,
            end: HEADER_BYTES as u64,
            torn: false,
            unproven_from: HEADER_BYTES as u64,
        });
    }
    Ok(found)
}

/// Reads one segment up to its end, which `next`, the predecessor that the following segment
/// names, tells for all segments but the last.
fn read_one(
    segment: &mut Found,
    next: Option<Version>,
    after: Version,
    replay: Replay<'_>,
) -> Result<u64, LogError> {
    let mut reader = Reader::new(segment);
    let mut count = 0;
    let fault = loop {
        let (header, payload) = match reader.record(segment.last)? {
            ControlFlow::Continue(record) => record,
            ControlFlow::Break(fault) => break fault,
        };
        if header.kind == Kind::Commit {
            if header.version > after {
                replay(header.version, payload)?;
            }
            segment.last = header.version;
            count += 1;
        }
        reader.accept(&header);
    };
    segment.end = reader.offset;
    segment.unproven_from = reader
        .unproven
        .front()
        .map_or(segment.end, |(_, start)| *start);
    match next {
        Some(next) if segment.last == next => {}
        Some(next) => {
            let what = format!("{fault}; records up to {next} should follow");
            return Err(LogError::corruption(&segment.path, segment.end, what));
        }
        None => segment.torn = judge_end(&mut reader, segment.last, fault)?,
    }
    Ok(count)
}

/// Whether the bytes behind the end are a torn write; an error if they show that it is damage.
fn judge_end(reader: &mut Reader, last: Version, fault: &str) -> Result<bool, LogError> {
    let end = reader.offset;
    let mut torn = false;
    while reader.skip_zeros()? {
        torn = true;
        if let Some(header) = reader.whole_record()?
            && header.durable > last
        {
            let what = format!(
                "{fault}; the record at byte {} says that everything up to {} was durable",
                reader.offset, header.durable
            );
            return Err(LogError::corruption(&reader.path, end, what));
        }
        reader.offset += ALIGNMENT as u64;
    }
    reader.offset = end;
    Ok(torn)
}

/// Walks over one segment through a bounded buffer.
pub(crate) struct Reader {
    file: Arc<dyn File>,
    path: PathBuf,
    log_id: LogId,
    capacity: u64,
    buffer: Vec<u8>,
    buffer_at: u64,
    offset: u64,
    /// Records, with their places, that no record so far says are durable.
    unproven: VecDeque<(Version, u64)>,
}

impl Reader {
    fn new(segment: &Found) -> Reader {
        let header = &segment.header;
        Reader::open(
            segment.file.clone(),
            &segment.path,
            header.log_id,
            header.capacity,
        )
    }

    pub(crate) fn open(file: Arc<dyn File>, path: &Path, log_id: LogId, capacity: u64) -> Reader {
        Reader {
            file,
            path: path.to_owned(),
            log_id,
            capacity,
            buffer: Vec::new(),
            buffer_at: 0,
            offset: HEADER_BYTES as u64,
            unproven: VecDeque::new(),
        }
    }

    /// The bytes at `offset`; all of them must lie inside the file.
    fn window(&mut self, offset: u64, len: usize) -> Result<&[u8], LogError> {
        let buffered = offset >= self.buffer_at
            && offset + len as u64 <= self.buffer_at + self.buffer.len() as u64;
        if !buffered {
            let count = (self.capacity - offset).min(READ_BYTES.max(len) as u64) as usize;
            self.buffer.resize(count, 0);
            self.buffer_at = offset;
            let read = self.file.read_exact_at(&mut self.buffer, offset);
            read.map_err(|error| LogError::io("read", &self.path, error))?;
        }
        let start = (offset - self.buffer_at) as usize;
        Ok(&self.buffer[start..start + len])
    }

    fn header(&mut self) -> Result<ControlFlow<&'static str, RecordHeader>, LogError> {
        if self.capacity - self.offset < RECORD_HEADER_BYTES as u64 {
            return Ok(ControlFlow::Break("the segment is full"));
        }
        let (log_id, offset) = (self.log_id, self.offset);
        let bytes = self.window(offset, RECORD_HEADER_BYTES)?;
        let header = bytes
            .first_chunk()
            .and_then(|bytes| RecordHeader::decode(log_id, bytes));
        let Some(header) = header else {
            return Ok(ControlFlow::Break("no valid record header"));
        };
        let room = self.capacity - self.offset - RECORD_HEADER_BYTES as u64;
        if header.body_bytes() as u64 > room {
            return Ok(ControlFlow::Break(
                "a record reaches beyond the end of the file",
            ));
        }
        Ok(ControlFlow::Continue(header))
    }

    /// The record at the current place, or why there is none that follows `last`.
    fn record(
        &mut self,
        last: Version,
    ) -> Result<ControlFlow<&'static str, (RecordHeader, &[u8])>, LogError> {
        let header = match self.header()? {
            ControlFlow::Continue(header) => header,
            ControlFlow::Break(fault) => return Ok(ControlFlow::Break(fault)),
        };
        if !header.follows(last) {
            return Ok(ControlFlow::Break(
                "a record that does not follow its predecessor",
            ));
        }
        let (log_id, at) = (self.log_id, self.offset + RECORD_HEADER_BYTES as u64);
        let body = self.window(at, header.body_bytes())?;
        if !header.body_is_whole(log_id, body) {
            return Ok(ControlFlow::Break("record checksum mismatch"));
        }
        Ok(ControlFlow::Continue((
            header,
            &body[..header.payload_bytes],
        )))
    }

    /// The header at the current place if it follows `last`, or why it does not. The body is not
    /// looked at.
    pub(crate) fn follower(
        &mut self,
        last: Version,
    ) -> Result<ControlFlow<&'static str, RecordHeader>, LogError> {
        let header = match self.header()? {
            ControlFlow::Continue(header) => header,
            ControlFlow::Break(fault) => return Ok(ControlFlow::Break(fault)),
        };
        Ok(match header.follows(last) {
            true => ControlFlow::Continue(header),
            false => ControlFlow::Break("a record that does not follow its predecessor"),
        })
    }

    /// The payload of the record at the current place; none if it is not what was written.
    pub(crate) fn payload(&mut self, header: &RecordHeader) -> Result<Option<Vec<u8>>, LogError> {
        let (log_id, at) = (self.log_id, self.offset + RECORD_HEADER_BYTES as u64);
        let body = self.window(at, header.body_bytes())?;
        let is_whole = header.body_is_whole(log_id, body);
        Ok(is_whole.then(|| body[..header.payload_bytes].to_vec()))
    }

    /// Whether the payload of the record at the current place is what was written; reads it in
    /// pieces.
    pub(crate) fn is_whole_in_pieces(&mut self, header: &RecordHeader) -> Result<bool, LogError> {
        let mut check = header.checker(self.log_id);
        let start = self.offset + RECORD_HEADER_BYTES as u64;
        let mut done = 0;
        while done < header.payload_bytes {
            let count = (header.payload_bytes - done).min(READ_BYTES);
            check.update(self.window(start + done as u64, count)?);
            done += count;
        }
        Ok(header.is_checked(&check))
    }

    /// Goes behind a record.
    pub(crate) fn pass(&mut self, header: &RecordHeader) {
        self.offset += (RECORD_HEADER_BYTES + header.body_bytes()) as u64;
    }

    /// Drops what was read ahead.
    pub(crate) fn forget(&mut self) {
        self.buffer.clear();
    }

    /// Goes to a place where a record begins.
    pub(crate) fn seek(&mut self, offset: u64) {
        self.offset = offset;
    }

    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    pub(crate) fn damaged(&self, fault: &str) -> LogError {
        LogError::corruption(&self.path, self.offset, fault)
    }

    /// The header at the current place if a whole record of this log is there.
    fn whole_record(&mut self) -> Result<Option<RecordHeader>, LogError> {
        let ControlFlow::Continue(header) = self.header()? else {
            return Ok(None);
        };
        let (log_id, at) = (self.log_id, self.offset + RECORD_HEADER_BYTES as u64);
        let body = self.window(at, header.body_bytes())?;
        Ok(header.body_is_whole(log_id, body).then_some(header))
    }

    fn accept(&mut self, header: &RecordHeader) {
        if header.kind == Kind::Commit {
            self.unproven.push_back((header.version, self.offset));
        }
        while self
            .unproven
            .front()
            .is_some_and(|(version, _)| *version <= header.durable)
        {
            self.unproven.pop_front();
        }
        self.offset += (RECORD_HEADER_BYTES + header.body_bytes()) as u64;
    }

    /// Moves on to the next aligned place that is not zero; `false` at the end of the file.
    fn skip_zeros(&mut self) -> Result<bool, LogError> {
        while self.offset < self.capacity {
            let count = (self.capacity - self.offset).min(READ_BYTES as u64 / 2) as usize;
            let offset = self.offset;
            let window = self.window(offset, count)?;
            match window.iter().position(|byte| *byte != 0) {
                Some(position) => {
                    self.offset += (position - position % ALIGNMENT) as u64;
                    return Ok(true);
                }
                None => self.offset += count as u64,
            }
        }
        Ok(false)
    }
}
