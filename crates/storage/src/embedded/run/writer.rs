//! Writes a run file, block by block.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tessera_environment::{Environment, File, Open};

use crate::batch::Write;
use crate::embedded::record::put_entry;
use crate::embedded::run::format::{self, BlockInfo, Filter, Tail};
use crate::error::StoreError;
use crate::range::KeySpace;
use crate::store::{Key, RunId};

/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 1 << 20;

/// A run file being written; removed on drop unless finished.
pub(crate) struct RunFileWriter {
    env: Environment,
    path: PathBuf,
    file: Arc<dyn File>,
    id: RunId,
    /// Bytes not yet written, which begin at `written`.
    pending: Vec<u8>,
    written: u64,
    /// Entries of the block under way.
    block: Vec<u8>,
    block_first: Option<(KeySpace, Key)>,
    last: Option<(KeySpace, Key)>,
    entries: u64,
    hashes: Vec<u64>,
    blocks: Vec<BlockInfo>,
    is_finished: bool,
}

impl RunFileWriter {
    pub(crate) fn create(
        env: &Environment,
        path: &Path,
        id: RunId,
    ) -> Result<RunFileWriter, StoreError> {
        let file = env
            .files
            .open(path, Open::create_new())
            .map_err(|error| StoreError::io(format!("create {}", path.display()), error))?;
        Ok(RunFileWriter {
            env: env.clone(),
            path: path.to_owned(),
            file,
            id,
            pending: format::header(id).to_vec(),
            written: 0,
            block: Vec::new(),
            block_first: None,
            last: None,
            entries: 0,
            hashes: Vec::new(),
            blocks: Vec::new(),
            is_finished: false,
        })
    }

    pub(crate) fn add(
        &mut self,
        space: KeySpace,
        key: Key,
        write: &Write,
    ) -> Result<(), StoreError> {
        if self
            .last
            .as_ref()
            .is_some_and(|last| (last.0, &last.1) >= (space, &key))
        {
            return Err(StoreError::Unavailable {
                reason: "the writes of a run are not in order",
            });
        }
        let is_other_space = self
            .block_first
            .as_ref()
            .is_some_and(|first| first.0 != space);
        if self.block.len() >= format::BLOCK_BYTES || is_other_space {
            self.end_block()?;
        }
        let previous: &[u8] = match (&self.block_first, &self.last) {
            (Some(_), Some((_, last))) => last,
            _ => &[],
        };
        put_entry(&mut self.block, space, previous, &key, write);
        self.hashes.push(format::key_hash(space, &key));
        self.entries += 1;
        if self.block_first.is_none() {
            self.block_first = Some((space, key.clone()));
        }
        self.last = Some((space, key));
        Ok(())
    }

    fn end_block(&mut self) -> Result<(), StoreError> {
        let Some((space, first_key)) = self.block_first.take() else {
            return Ok(());
        };
        let offset = self.written + self.pending.len() as u64;
        let sum = format::block_sum(self.id, offset, &self.block);
        let len = self.block.len() + format::BLOCK_SUM_BYTES;
        self.pending.append(&mut self.block);
        self.pending.extend(sum.to_le_bytes());
        self.blocks.push(BlockInfo {
            space,
            first_key,
            offset,
            len,
        });
        if self.pending.len() >= WRITE_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        let failed = |error| StoreError::io(format!("write {}", self.path.display()), error);
        self.file
            .write_all_at(&self.pending, self.written)
            .map_err(failed)?;
        self.written += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// Completes and syncs the file. Returns its path and the checksum of its tail.
    pub(crate) fn finish(mut self) -> Result<PathBuf, StoreError> {
        fail::fail_point!("storage::run::before_finish");
        self.end_block()?;
        let tail = Tail {
            entries: self.entries,
            blocks: std::mem::take(&mut self.blocks),
            filter: Filter::new(&self.hashes),
        };
        let tail = format::encode_tail(&tail);
        let offset = self.written + self.pending.len() as u64;
        self.pending.extend_from_slice(&tail);
        self.pending.extend(format::footer(offset, &tail));
        self.flush()?;
        let failed = |error| StoreError::io(format!("sync {}", self.path.display()), error);
        self.file.sync_all().map_err(failed)?;
        if let Some(dir) = self.path.parent() {
            self.env.files.sync_dir(dir).map_err(failed)?;
        }
        fail::fail_point!("storage::run::after_sync");
        self.is_finished = true;
        Ok(self.path.clone())
    }
}

impl Drop for RunFileWriter {
    fn drop(&mut self) {
        if !self.is_finished {
            // The opening sweeps what cannot be removed now.
            let _ = self.env.files.remove(&self.path);
        }
    }
}
