//! Reads points and ranges of a finished run file; every block is verified when it is read.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tessera_codec::checksum::xxh3;
use tessera_environment::{Environment, File, Open};
use tessera_telemetry::labels::ChecksumPlace;
use tessera_telemetry::metrics;
use tessera_types::Version;

use crate::batch::Write;
use crate::embedded::coding::{Malformed, Reader};
use crate::embedded::merge::{Item, Source};
use crate::embedded::record::{RunReference, read_entry, read_entry_borrowed};
use crate::embedded::run::format::{self, BLOCK_SUM_BYTES, FOOTER_BYTES, HEADER_BYTES, Tail};
use crate::error::StoreError;
use crate::range::{KeyRange, KeySpace};
use crate::store::{Key, RunId, Val};

/// A finished run file. Deleted on drop unless it is kept.
pub(crate) struct RunFile {
    id: RunId,
    env: Environment,
    path: PathBuf,
    file: Arc<dyn File>,
    tail: Tail,
    bytes: u64,
    checksum: u64,
    keep: AtomicBool,
    /// The block read last: points and scans that come next are often in it.
    last_block: Mutex<Option<(usize, Arc<Vec<u8>>)>>,
}

impl RunFile {
    /// Opens and verifies all but the blocks. The file is kept until `discard` is called.
    pub(crate) fn open(env: &Environment, path: PathBuf, id: RunId) -> Result<RunFile, StoreError> {
        let damaged = |detail: &str| StoreError::corruption(path.display(), detail);
        let unreadable = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::UnexpectedEof => {
                StoreError::corruption(path.display(), error)
            }
            _ => StoreError::io(format!("read {}", path.display()), error),
        };
        let file = env
            .files
            .open(&path, Open::read_only())
            .map_err(unreadable)?;
        let bytes = file.len().map_err(unreadable)?;
        if bytes < (HEADER_BYTES + FOOTER_BYTES) as u64 {
            return Err(damaged("the file is too short"));
        }
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0).map_err(unreadable)?;
        if header != format::header(id) {
            return Err(damaged("the header is damaged"));
        }
        let mut footer = [0; FOOTER_BYTES];
        let footer_at = bytes - FOOTER_BYTES as u64;
        file.read_exact_at(&mut footer, footer_at)
            .map_err(unreadable)?;
        let (offset, len, checksum) =
            format::read_footer(&footer).map_err(|error| damaged(error.0))?;
        if offset.checked_add(len) != Some(footer_at) {
            return Err(damaged("the footer does not fit the file"));
        }
        let mut tail = vec![0; usize::try_from(len).map_err(|_| damaged("the tail is too long"))?];
        file.read_exact_at(&mut tail, offset).map_err(unreadable)?;
        if xxh3(&tail) != checksum {
            return Err(damaged("the tail is damaged"));
        }
        let tail = format::decode_tail(&tail).map_err(|error| damaged(error.0))?;
        let is_inside = |block: &format::BlockInfo| {
            block.len >= BLOCK_SUM_BYTES
                && block
                    .offset
                    .checked_add(block.len as u64)
                    .is_some_and(|end| end <= offset)
        };
        if !tail.blocks.iter().all(is_inside) {
            return Err(damaged("the index does not fit the file"));
        }
        Ok(RunFile {
            id,
            env: env.clone(),
            path,
            file,
            tail,
            bytes,
            checksum,
            keep: AtomicBool::new(true),
            last_block: Mutex::new(None),
        })
    }

    pub(crate) fn id(&self) -> RunId {
        self.id
    }

    pub(crate) fn entries(&self) -> u64 {
        self.tail.entries
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How a log record names this file and what is in it.
    pub(crate) fn reference(&self) -> RunReference {
        let (id, entries, bytes) = (self.id, self.tail.entries, self.bytes);
        RunReference {
            id,
            entries,
            bytes,
            checksum: self.checksum,
        }
    }

    /// A commit owns the file now.
    pub(crate) fn keep(&self) {
        self.keep.store(true, Ordering::Release);
    }

    /// The file is deleted with the last handle.
    pub(crate) fn discard(&self) {
        self.keep.store(false, Ordering::Release);
    }

    /// What the run does to a key.
    pub(crate) fn get(&self, space: KeySpace, key: &[u8]) -> Result<Option<Write>, StoreError> {
        if !self.tail.filter.may_contain(format::key_hash(space, key)) {
            return Ok(None);
        }
        let Some(at) = self.block_of(space, key) else {
            return Ok(None);
        };
        let block = self.block(at)?;
        let mut reader = Reader::new(&block);
        let mut found_key = Vec::new();
        while !reader.is_empty() {
            let (found_space, value) = read_entry_borrowed(&mut reader, &mut found_key)
                .map_err(|error| self.damaged(at, error))?;
            match (found_space, found_key.as_slice()).cmp(&(space, key)) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => {
                    let put = |value| Write::Put(Val::copy_from_slice(value));
                    return Ok(Some(value.map_or(Write::Delete, put)));
                }
                std::cmp::Ordering::Greater => break,
            }
        }
        Ok(None)
    }

    /// Whether the run touches any key of a range.
    pub(crate) fn touches(
        self: &Arc<Self>,
        space: KeySpace,
        range: &KeyRange,
    ) -> Result<bool, StoreError> {
        let mut source = RunSource::new(self.clone(), Version::ZERO, space, range.clone(), false);
        Ok(source.next_item()?.is_some())
    }

    /// Reads and verifies every block; the number of entries must be the one promised.
    pub(crate) fn verify(&self) -> Result<(), StoreError> {
        let mut entries = 0;
        for at in 0..self.tail.blocks.len() {
            entries += self.entries_of(at)?.len() as u64;
        }
        if entries != self.tail.entries {
            return Err(StoreError::corruption(
                self.path.display(),
                "entries are missing",
            ));
        }
        Ok(())
    }

    /// The block that may hold a key.
    fn block_of(&self, space: KeySpace, key: &[u8]) -> Option<usize> {
        let blocks = &self.tail.blocks;
        let behind = blocks.partition_point(|b| (b.space, b.first_key.as_ref()) <= (space, key));
        behind
            .checked_sub(1)
            .filter(|at| blocks[*at].space == space)
    }

    fn block(&self, at: usize) -> Result<Arc<Vec<u8>>, StoreError> {
        if let Some((last, block)) = &*self.last_block.lock()
            && *last == at
        {
            return Ok(block.clone());
        }
        let info = &self.tail.blocks[at];
        let mut bytes = vec![0; info.len];
        let unreadable = |error| StoreError::io(format!("read {}", self.path.display()), error);
        self.file
            .read_exact_at(&mut bytes, info.offset)
            .map_err(unreadable)?;
        let sum = bytes.split_off(info.len - BLOCK_SUM_BYTES);
        if sum != format::block_sum(self.id, info.offset, &bytes).to_le_bytes() {
            return Err(self.damaged(at, Malformed("checksum mismatch")));
        }
        let block = Arc::new(bytes);
        *self.last_block.lock() = Some((at, block.clone()));
        Ok(block)
    }

    fn entries_of(&self, at: usize) -> Result<VecDeque<(Key, Write)>, StoreError> {
        let block = self.block(at)?;
        let mut reader = Reader::new(&block);
        let mut key = Vec::new();
        let mut entries = VecDeque::new();
        while !reader.is_empty() {
            let (_, write) =
                read_entry(&mut reader, &mut key).map_err(|error| self.damaged(at, error))?;
            entries.push_back((Key::copy_from_slice(&key), write));
        }
        Ok(entries)
    }

    fn damaged(&self, at: usize, error: Malformed) -> StoreError {
        metrics()
            .checksum_failures
            .with(ChecksumPlace::Run)
            .increment();
        let offset = self.tail.blocks[at].offset;
        StoreError::corruption(format!("{} at byte {offset}", self.path.display()), error.0)
    }
}

impl Drop for RunFile {
    fn drop(&mut self) {
        if !*self.keep.get_mut() {
            // What cannot be removed now is swept at the next opening.
            let _ = self.env.files.remove(&self.path);
        }
    }
}

/// All writes of a run, in order.
pub(crate) struct RunWalk {
    run: Arc<RunFile>,
    next_block: usize,
    buffer: VecDeque<(KeySpace, Key, Write)>,
}

impl RunWalk {
    pub(crate) fn new(run: Arc<RunFile>) -> RunWalk {
        RunWalk {
            run,
            next_block: 0,
            buffer: VecDeque::new(),
        }
    }

    pub(crate) fn next_write(&mut self) -> Result<Option<(KeySpace, Key, Write)>, StoreError> {
        while self.buffer.is_empty() && self.next_block < self.run.tail.blocks.len() {
            let at = self.next_block;
            let space = self.run.tail.blocks[at].space;
            let entries = self.run.entries_of(at)?;
            self.buffer = entries
                .into_iter()
                .map(|(key, write)| (space, key, write))
                .collect();
            self.next_block += 1;
        }
        Ok(self.buffer.pop_front())
    }
}

/// A range of a run as a source of versions.
pub(crate) struct RunSource {
    run: Arc<RunFile>,
    version: Version,
    range: KeyRange,
    reverse: bool,
    /// Blocks not read yet.
    blocks: std::ops::Range<usize>,
    buffer: VecDeque<(Key, Write)>,
}

impl RunSource {
    pub(crate) fn new(
        run: Arc<RunFile>,
        version: Version,
        space: KeySpace,
        range: KeyRange,
        reverse: bool,
    ) -> RunSource {
        let infos = &run.tail.blocks;
        let of_space =
            infos.partition_point(|b| b.space < space)..infos.partition_point(|b| b.space <= space);
        let in_space = &infos[of_space.clone()];
        // The block before the first one inside may end inside.
        let skip = in_space.partition_point(|b| !range.is_after_start(&b.first_key));
        let start = of_space.start + skip.saturating_sub(1);
        let end = of_space.start + in_space.partition_point(|b| range.is_before_end(&b.first_key));
        let blocks = if range.is_empty() {
            0..0
        } else {
            start..end.max(start)
        };
        RunSource {
            run,
            version,
            range,
            reverse,
            blocks,
            buffer: VecDeque::new(),
        }
    }

    /// The next write of the range.
    pub(crate) fn next_write(&mut self) -> Result<Option<(Key, Write)>, StoreError> {
        loop {
            let next = if self.reverse {
                self.buffer.pop_back()
            } else {
                self.buffer.pop_front()
            };
            match next {
                Some((key, write)) if self.range.contains(&key) => return Ok(Some((key, write))),
                Some(_) => {}
                None => {
                    let at = if self.reverse {
                        self.blocks.next_back()
                    } else {
                        self.blocks.next()
                    };
                    let Some(at) = at else { return Ok(None) };
                    self.buffer = self.run.entries_of(at)?;
                }
            }
        }
    }
}

impl Source for RunSource {
    fn next_item(&mut self) -> Result<Option<Item>, StoreError> {
        let version = self.version;
        let next = self.next_write()?;
        Ok(next.map(|(key, write)| Item {
            key,
            version,
            value: write.into_value(),
        }))
    }
}
