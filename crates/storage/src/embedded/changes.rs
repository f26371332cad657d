//! Reads commits from the log, in pieces, while more are written.
//!
//! A commit's writes lie in its record and in its runs, each sorted; they are merged as they are
//! read. A long record is parsed through a window, so memory is bounded by the window, one value,
//! and a block of each run.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::FutureExt;
use futures::future::BoxFuture;
use tessera_log::{LogError, LogReader, LogRecord};
use tessera_types::Version;

use crate::batch::Write;
use crate::changes::{ChangeItem, ChangeReader, ChangeWindow, Reach, Wake, Watching, folded};
use crate::embedded::coding::{CUT_SHORT, Malformed, Reader};
use crate::embedded::core::Core;
use crate::embedded::record::{self, Head, RunReference};
use crate::embedded::run::RunWalk;
use crate::error::StoreError;
use crate::range::KeySpace;
use crate::store::Key;

/// Bytes of a record that are read at once.
const WINDOW_BYTES: u64 = 64 << 10;

/// Which commits can be read.
pub(crate) fn window(core: &Core) -> ChangeWindow {
    let newest = core.views.newest();
    let Some(log) = &core.log else {
        return ChangeWindow {
            identity: 0,
            oldest: newest,
            newest,
        };
    };
    let first = log.segments().first().map(|segment| segment.previous);
    ChangeWindow {
        identity: log.identity(),
        oldest: first.unwrap_or(newest).max(core.retention.horizon()),
        newest: newest.min(log.durable_version()),
    }
}

/// Reads what was committed after a version.
pub(crate) fn open(
    core: &Arc<Core>,
    after: Version,
    reach: Reach,
) -> Result<Box<dyn ChangeReader>, StoreError> {
    let log = core.log.as_ref().ok_or(StoreError::Unavailable {
        reason: "the log is damaged",
    })?;
    let cut = |oldest| StoreError::ChangesCut { after, oldest };
    if after < core.retention.horizon() {
        return Err(cut(core.retention.horizon()));
    }
    let reader = match log.reader(after) {
        Ok(reader) => reader,
        Err(LogError::Cut { oldest }) => return Err(cut(oldest)),
        Err(error) => return Err(core.log_failure(&error)),
    };
    let wake = Arc::new(Wake::default());
    let watching = core.watch_commits(wake.clone());
    Ok(Box::new(LogChanges {
        core: core.clone(),
        log: reader,
        reach,
        wake,
        _watching: watching,
        open: None,
    }))
}

struct LogChanges {
    core: Arc<Core>,
    log: LogReader,
    reach: Reach,
    wake: Arc<Wake>,
    _watching: Watching,
    /// The commit under way.
    open: Option<OpenCommit>,
}

impl LogChanges {
    /// Up to where commits may be given now.
    fn limit(&self) -> Version {
        let newest = self.core.views.newest();
        match (self.reach, &self.core.log) {
            (Reach::Durable, Some(log)) => newest.min(log.durable_version()),
            // A commit that did not wait for the disk is visible before it is in the file.
            (Reach::Visible, Some(log)) => newest.min(log.written_version()),
            (_, None) => newest,
        }
    }

    fn error(&self, error: &LogError) -> StoreError {
        match error {
            LogError::Cut { oldest } => StoreError::ChangesCut {
                after: self.log.position(),
                oldest: *oldest,
            },
            error => self.core.log_failure(error),
        }
    }
}

impl ChangeReader for LogChanges {
    fn next_items(&mut self, bytes_max: usize) -> Result<Vec<ChangeItem>, StoreError> {
        let mut items = Vec::new();
        let mut bytes = 0;
        while bytes < bytes_max || items.is_empty() {
            let item = match &mut self.open {
                Some(open) => {
                    let item = open.next_item()?;
                    if let ChangeItem::End { .. } = item {
                        self.open = None;
                    }
                    item
                }
                None => {
                    let next = self.log.next(self.limit());
                    let Some(record) = next.map_err(|error| self.error(&error))? else {
                        break;
                    };
                    let (open, begin) = OpenCommit::new(&self.core, record)?;
                    self.open = Some(open);
                    begin
                }
            };
            bytes += item.bytes();
            items.push(item);
        }
        Ok(items)
    }

    fn changed(&mut self) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            loop {
                if self.open.is_some() || self.log.position() < self.limit() {
                    return Ok(());
                }
                if self.core.is_closed.load(Ordering::Acquire) {
                    return Err(self.core.unavailable());
                }
                let newest = self.core.views.newest();
                match &self.core.log {
                    Some(log) if self.log.position() < newest => {
                        // Visible already, and soon on the disk.
                        let settled = log.observe(newest, self.reach == Reach::Durable).await;
                        settled.map_err(|error| self.core.log_failure(&error))?;
                        return Ok(());
                    }
                    _ => self.wake.notify.notified().await,
                }
            }
        }
        .boxed()
    }
}

/// A commit that is being read.
struct OpenCommit {
    version: Version,
    payload: Payload,
    /// A destroyed range, to be given.
    destroyed: Option<ChangeItem>,
    /// Writes of the record that are not read yet.
    writes: u64,
    has_notices: bool,
    notices: u64,
    /// The key before the next one, of which that one tells only what differs.
    key: Key,
    /// The record's next write.
    own: Option<(KeySpace, Key, Write)>,
    /// Newest first.
    runs: Vec<(RunWalk, Option<(KeySpace, Key, Write)>)>,
    stage: Stage,
}

#[derive(PartialEq, Eq)]
enum Stage {
    Writes,
    Notices,
}

impl OpenCommit {
    fn new(core: &Arc<Core>, record: LogRecord) -> Result<(OpenCommit, ChangeItem), StoreError> {
        let version = record.version();
        let mut payload = Payload {
            record,
            window: Vec::new(),
            start: 0,
            read: 0,
        };
        let head = payload.parse(|reader| record::read_head(reader))?;
        let mut commit = OpenCommit {
            version,
            payload,
            destroyed: None,
            writes: 0,
            has_notices: false,
            notices: 0,
            key: Key::new(),
            own: None,
            runs: Vec::new(),
            stage: Stage::Writes,
        };
        let begin = match head {
            Head::Commit {
                txn,
                origin,
                unix_micros,
                has_notices,
                runs,
                writes,
            } => {
                for reference in runs.iter().rev() {
                    let mut walk = open_run(core, version, reference)?;
                    let first = walk.next_write()?;
                    commit.runs.push((walk, first));
                }
                commit.writes = writes;
                commit.has_notices = has_notices;
                ChangeItem::Begin {
                    version,
                    txn,
                    origin,
                    unix_micros,
                }
            }
            Head::Destroy { space, range } => {
                commit.destroyed = Some(ChangeItem::Destroyed { space, range });
                ChangeItem::Begin {
                    version,
                    txn: Default::default(),
                    origin: crate::batch::Origin::System,
                    unix_micros: None,
                }
            }
        };
        commit.advance_own()?;
        Ok((commit, begin))
    }

    fn next_item(&mut self) -> Result<ChangeItem, StoreError> {
        if let Some(destroyed) = self.destroyed.take() {
            return Ok(destroyed);
        }
        if self.stage == Stage::Writes {
            while let Some((space, key, write)) = self.next_write()? {
                if let Some(write) = write {
                    return Ok(ChangeItem::Write { space, key, write });
                }
            }
            self.stage = Stage::Notices;
            if self.has_notices {
                self.notices = self.payload.parse(|reader| reader.varint())?;
            }
        }
        if self.notices > 0 {
            self.notices -= 1;
            let notice = self.payload.parse(|reader| record::read_notice(reader))?;
            return Ok(ChangeItem::Notice(notice));
        }
        Ok(ChangeItem::End {
            version: self.version,
        })
    }

    /// The next key with what becomes of it, if anything.
    fn next_write(&mut self) -> Result<Option<(KeySpace, Key, Option<Write>)>, StoreError> {
        if self.runs.is_empty() {
            let next = self.own.take();
            self.advance_own()?;
            return Ok(next.map(|(space, key, write)| (space, key, Some(write))));
        }
        let heads = self.runs.iter().map(|(_, head)| head.as_ref());
        let first = std::iter::once(self.own.as_ref())
            .chain(heads)
            .flatten()
            .map(|(space, key, _)| (*space, key))
            .min();
        let Some((space, key)) = first else {
            return Ok(None);
        };
        let key = key.clone();
        let is_next = |head: &Option<(KeySpace, Key, Write)>| {
            head.as_ref()
                .is_some_and(|head| head.0 == space && head.1 == key)
        };
        let mut newest = None;
        let mut oldest = None;
        if is_next(&self.own) {
            newest = self.own.take().map(|(_, _, write)| write);
            self.advance_own()?;
        }
        for (walk, head) in &mut self.runs {
            if is_next(head) {
                let write = head.take().map(|(_, _, write)| write);
                if newest.is_none() {
                    newest = write;
                } else {
                    oldest = write;
                }
                *head = walk.next_write()?;
            }
        }
        let write = match (oldest, newest) {
            (Some(oldest), Some(newest)) => folded(&oldest, newest),
            (_, newest) => newest,
        };
        Ok(Some((space, key, write)))
    }

    fn advance_own(&mut self) -> Result<(), StoreError> {
        if self.writes == 0 {
            self.own = None;
            return Ok(());
        }
        self.writes -= 1;
        let before = self.key.clone();
        let entry = self
            .payload
            .parse(|reader| record::read_entry_after(reader, &before))?;
        self.key = entry.1.clone();
        self.own = Some(entry);
        Ok(())
    }
}

/// A run that is gone although its commit is in the log was given up after its checkpoint.
fn open_run(
    core: &Arc<Core>,
    version: Version,
    reference: &RunReference,
) -> Result<RunWalk, StoreError> {
    match core.runs.open_run(reference) {
        Ok(file) => Ok(RunWalk::new(file)),
        Err(StoreError::Corruption { .. })
            if version <= core.views.lock().current_view().checkpoint
                && !core.runs.is_there(reference.id)? =>
        {
            Err(StoreError::ChangesCut {
                after: version,
                oldest: version,
            })
        }
        Err(error) => Err(error),
    }
}

/// The payload of a record, read through a window.
struct Payload {
    record: LogRecord,
    window: Vec<u8>,
    /// Where in the window the next part begins.
    start: usize,
    /// Bytes read so far.
    read: u64,
}

impl Payload {
    /// Parses the next part, with as much of the record as it takes.
    fn parse<T>(
        &mut self,
        parse: impl Fn(&mut Reader<'_>) -> Result<T, Malformed>,
    ) -> Result<T, StoreError> {
        loop {
            let mut reader = Reader::new(&self.window[self.start..]);
            match parse(&mut reader) {
                Ok(part) => {
                    self.start = self.window.len() - reader.len();
                    return Ok(part);
                }
                Err(Malformed(CUT_SHORT)) if self.read < self.record.payload_bytes() => {
                    self.grow()?;
                }
                Err(Malformed(detail)) => {
                    let place = format!("log record {}", self.record.version());
                    return Err(StoreError::corruption(place, detail));
                }
            }
        }
    }

    /// Drops what was parsed, and doubles the rest.
    fn grow(&mut self) -> Result<(), StoreError> {
        self.window.drain(..self.start);
        self.start = 0;
        let rest = self.record.payload_bytes() - self.read;
        let count = WINDOW_BYTES.max(self.window.len() as u64).min(rest);
        let old = self.window.len();
        self.window.resize(old + count as usize, 0);
        let read = self
            .record
            .read_exact_at(&mut self.window[old..], self.read);
        read.map_err(|error| StoreError::io("read the log", std::io::Error::other(error)))?;
        self.read += count;
        Ok(())
    }
}

/// The runs that a record of the log names.
pub(crate) fn runs_of(record: LogRecord) -> Result<Vec<RunReference>, StoreError> {
    let mut payload = Payload {
        record,
        window: Vec::new(),
        start: 0,
        read: 0,
    };
    match payload.parse(|reader| record::read_head(reader))? {
        Head::Commit { runs, .. } => Ok(runs),
        Head::Destroy { .. } => Ok(Vec::new()),
    }
}
