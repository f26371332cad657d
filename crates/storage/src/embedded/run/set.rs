//! Which run files there are, and who owns them.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tessera_environment::Environment;
use tessera_types::Version;

use crate::batch::Write;
use crate::capabilities::Capabilities;
use crate::deferred::Deferred;
use crate::embedded::record::RunReference;
use crate::embedded::run::reader::{RunFile, RunSource};
use crate::embedded::run::writer::RunFileWriter;
use crate::error::StoreError;
use crate::limits::check_entry;
use crate::range::{KeyRange, KeySpace};
use crate::store::{Key, Run, RunId, RunScan, RunWriter, ScanOptions};

/// End of the names of run files.
const SUFFIX: &str = ".run";

/// The run files of a data directory.
pub(crate) struct RunSet {
    env: Environment,
    dir: PathBuf,
    next: AtomicU64,
    /// Finished runs that a batch may name.
    finished: Mutex<HashMap<RunId, Weak<RunFile>>>,
}

impl RunSet {
    /// The runs of `dir`, which is made when missing.
    pub(crate) fn open(env: &Environment, dir: &Path) -> Result<RunSet, StoreError> {
        let failed = |error| StoreError::io(format!("open {}", dir.display()), error);
        env.files.create_dir_all(dir).map_err(failed)?;
        if let Some(parent) = dir.parent() {
            env.files.sync_dir(parent).map_err(failed)?;
        }
        let ids = list(env, dir)?;
        let next = ids.iter().map(|id| id.0 + 1).max().unwrap_or(1);
        Ok(RunSet {
            env: env.clone(),
            dir: dir.to_owned(),
            next: AtomicU64::new(next),
            finished: Mutex::default(),
        })
    }

    /// Opens a run that the log names, and makes sure that it is the one meant.
    pub(crate) fn open_run(&self, reference: &RunReference) -> Result<Arc<RunFile>, StoreError> {
        self.next.fetch_max(reference.id.0 + 1, Ordering::Relaxed);
        let path = path(&self.dir, reference.id);
        let run = RunFile::open(&self.env, path.clone(), reference.id)?;
        if run.reference() != *reference {
            return Err(StoreError::corruption(
                path.display(),
                "not the file the log refers to",
            ));
        }
        Ok(Arc::new(run))
    }

    /// Removes the files that no commit owns.
    pub(crate) fn sweep(&self, owned: &HashSet<RunId>) -> Result<(), StoreError> {
        for id in list(&self.env, &self.dir)? {
            if !owned.contains(&id) {
                let path = path(&self.dir, id);
                tracing::info!(path = %path.display(), "removing a run file that no commit owns");
                self.env
                    .files
                    .remove(&path)
                    .map_err(|error| StoreError::io(format!("remove {}", path.display()), error))?;
            }
        }
        Ok(())
    }

    /// The files that no commit after the checkpoint owns.
    pub(crate) fn strays(&self, owned: &HashSet<RunId>) -> Result<HashSet<RunId>, StoreError> {
        let ids = list(&self.env, &self.dir)?.into_iter();
        Ok(ids.filter(|id| !owned.contains(id)).collect())
    }

    /// Whether there is a file of that name.
    pub(crate) fn is_there(&self, id: RunId) -> Result<bool, StoreError> {
        Ok(list(&self.env, &self.dir)?.contains(&id))
    }

    /// Removes the file of a run that nobody needs any more. Whoever has it open reads on.
    pub(crate) fn remove(&self, id: RunId) -> Result<(), StoreError> {
        let path = path(&self.dir, id);
        self.env
            .files
            .remove(&path)
            .map_err(|error| StoreError::io(format!("remove {}", path.display()), error))
    }

    /// A new run.
    pub(crate) fn begin(
        self: &Arc<Self>,
        limits: &Capabilities,
    ) -> Result<Box<dyn RunWriter>, StoreError> {
        let id = RunId(self.next.fetch_add(1, Ordering::Relaxed));
        let writer = RunFileWriter::create(&self.env, &path(&self.dir, id), id)?;
        let (set, limits) = (self.clone(), limits.clone());
        Ok(Box::new(PendingRun {
            set,
            limits,
            id,
            writer,
        }))
    }

    /// The finished run of this name.
    pub(crate) fn find(&self, id: RunId) -> Option<Arc<RunFile>> {
        self.finished.lock().get(&id)?.upgrade()
    }
}

/// Ids of the run files in a directory.
fn list(env: &Environment, dir: &Path) -> Result<Vec<RunId>, StoreError> {
    let names = env
        .files
        .list(dir)
        .map_err(|error| StoreError::io(format!("list {}", dir.display()), error))?;
    let id = |name: &String| {
        u64::from_str_radix(name.strip_suffix(SUFFIX)?, 16)
            .ok()
            .map(RunId)
    };
    Ok(names.iter().filter_map(id).collect())
}

fn path(dir: &Path, id: RunId) -> PathBuf {
    dir.join(format!("{:016x}{SUFFIX}", id.0))
}

struct PendingRun {
    set: Arc<RunSet>,
    limits: Capabilities,
    id: RunId,
    writer: RunFileWriter,
}

impl RunWriter for PendingRun {
    fn add(&mut self, space: KeySpace, key: Key, write: Write) -> Result<(), StoreError> {
        check_entry(&self.limits, &key, &write)?;
        self.writer.add(space, key, &write)
    }

    fn finish(self: Box<Self>) -> Result<Arc<dyn Run>, StoreError> {
        let path = self.writer.finish()?;
        let file = RunFile::open(&self.set.env, path, self.id)?;
        file.discard();
        let file = Arc::new(file);
        self.set
            .finished
            .lock()
            .insert(self.id, Arc::downgrade(&file));
        Ok(Arc::new(RunHandle {
            set: self.set,
            file,
        }))
    }
}

/// What a transaction holds.
struct RunHandle {
    set: Arc<RunSet>,
    file: Arc<RunFile>,
}

impl Drop for RunHandle {
    fn drop(&mut self) {
        self.set.finished.lock().remove(&self.file.id());
    }
}

impl Run for RunHandle {
    fn id(&self) -> RunId {
        self.file.id()
    }

    fn get(&self, space: KeySpace, key: &[u8]) -> Deferred<'_, Result<Option<Write>, StoreError>> {
        Deferred::Ready(self.file.get(space, key))
    }

    fn scan(
        self: Arc<Self>,
        space: KeySpace,
        range: KeyRange,
        options: ScanOptions,
    ) -> Box<dyn RunScan> {
        let file = self.file.clone();
        let source = RunSource::new(file, Version::ZERO, space, range, options.reverse);
        Box::new(HandleScan {
            _handle: self,
            source,
            options,
        })
    }

    fn entries(&self) -> u64 {
        self.file.entries()
    }

    fn bytes(&self) -> u64 {
        self.file.bytes()
    }
}

struct HandleScan {
    _handle: Arc<RunHandle>,
    source: RunSource,
    options: ScanOptions,
}

impl HandleScan {
    fn batch(&mut self) -> Result<Option<Vec<(Key, Write)>>, StoreError> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while bytes < self.options.bytes_max || batch.is_empty() {
            let Some((key, write)) = self.source.next_write()? else {
                break;
            };
            bytes += key.len() + write.value_bytes();
            batch.push((key, write));
        }
        Ok((!batch.is_empty()).then_some(batch))
    }
}

impl RunScan for HandleScan {
    fn next_batch(&mut self) -> Deferred<'_, Result<Option<Vec<(Key, Write)>>, StoreError>> {
        Deferred::Ready(self.batch())
    }
}
