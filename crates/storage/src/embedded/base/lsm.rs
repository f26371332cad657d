//! The base on `fjall`, an LSM tree.
//!
//! Only ingestion is used: sorted streams become table files directly, synced and registered in
//! one step. So fjall's journal and memtables stay empty for ever, and with them what is known to
//! be troublesome: memtables that are not flushed after a kill (fjall#257), idle key spaces that
//! pin journals (fjall#288), a journal cut at the first entry it cannot read (fjall#311). Reads
//! go through snapshots only, because reads of a key space see versions not yet published.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::compaction::Leveled;
use fjall::config::HashRatioPolicy;
use fjall::{
    AbstractTree, Database, Keyspace, KeyspaceCreateOptions, LsmError, PersistMode, Readable, SeqNo,
};
use parking_lot::Mutex;
use tessera_telemetry::labels::ChecksumPlace;
use tessera_telemetry::metrics;
use tessera_types::Version;

use crate::embedded::base::{Base, BaseRows, BaseView, Change, owned_bounds};
use crate::embedded::options::EmbeddedOptions;
use crate::error::StoreError;
use crate::range::{KeyRange, KeySpace};
use crate::store::{Key, Val};

/// The key space that holds the base's own records.
const SYSTEM: &str = "system";
/// Key of the checkpointed version there.
const CHECKPOINT_KEY: &[u8] = b"checkpoint";
/// Level-0 runs over which the checkpoint compacts before it goes on.
const LEVEL0_RUNS_MAX: usize = 8;
/// Compactions done in a row by one `settle`.
const SETTLE_STEPS_MAX: usize = 64;
/// Deletions of a key space below which it is not worth writing it anew. Few: what was deleted may
/// have been large, and what is left to write is in proportion to the deletions anyway.
const DELETIONS_MIN: u64 = 100;
/// Deletions are many when they are more than one row in so many.
const DELETIONS_SHARE: u64 = 3;
/// Bytes of a table file that is written anew, the size that fjall's levels have.
const TABLE_BYTES: u64 = 64_000_000;
/// Share of a data block given to its hash index, for faster point reads.
const HASH_RATIO: f32 = 0.75;

pub(crate) struct LsmBase {
    db: Database,
    spaces: [Keyspace; KeySpace::COUNT],
    system: Keyspace,
    dir: PathBuf,
    /// What was left in each key space when it was written anew.
    kept: [Mutex<Kept>; KeySpace::COUNT],
    open_views: Arc<OpenViews>,
}

/// Deletions that a view still needed when a key space was written anew.
#[derive(Debug, Default, Clone, Copy)]
struct Kept {
    deletions: u64,
    /// When views from then on are all that is left, nobody needs them any more.
    until: SeqNo,
}

/// The instants of the views that are open, and how many there are of each. `fjall` counts them, too,
/// but looks at its counts at moments of its own.
#[derive(Default)]
struct OpenViews(Mutex<BTreeMap<SeqNo, usize>>);

impl LsmBase {
    pub(crate) fn open(dir: &Path, options: &EmbeddedOptions) -> Result<LsmBase, StoreError> {
        let failed = |error| store_error("open the base in", dir, error);
        restore_lock_file(dir).map_err(|error| {
            StoreError::io(format!("open the base in {}", dir.display()), error)
        })?;
        let db = Database::builder(dir)
            .cache_size(options.base_cache_bytes)
            .worker_threads(options.base_threads.max(1))
            .manual_journal_persist(true)
            .open()
            .map_err(failed)?;
        let space = |name: &str| db.keyspace(name, space_options).map_err(failed);
        let [meta, catalog, rows, indexes] = KeySpace::ALL.map(|s| space(s.name()));
        let spaces = [meta?, catalog?, rows?, indexes?];
        let system = space(SYSTEM)?;
        Ok(LsmBase {
            db,
            spaces,
            system,
            dir: dir.to_owned(),
            kept: std::array::from_fn(|_| Mutex::default()),
            open_views: Arc::default(),
        })
    }

    fn write(
        &self,
        keyspace: &Keyspace,
        changes: &mut dyn Iterator<Item = Change>,
    ) -> Result<(), StoreError> {
        // An ingestion makes its first file at once: begin one only when there is something.
        let Some(first) = changes.next() else {
            return Ok(());
        };
        let failed = |error| store_error("write to the base in", &self.dir, error);
        let mut ingestion = keyspace.start_ingestion().map_err(failed)?;
        for change in std::iter::once(first).chain(changes) {
            match change? {
                (key, Some(value)) => ingestion.write(key, value).map_err(failed)?,
                (key, None) => ingestion.write_tombstone(key).map_err(failed)?,
            }
        }
        fail::fail_point!("storage::base::before_finish");
        ingestion.finish().map_err(failed)
    }

    fn compact(&self, keyspace: &Keyspace) -> Result<(), StoreError> {
        let done = keyspace
            .tree
            .compact(Arc::new(Leveled::default()), self.watermark());
        done.map_err(|error| store_error("compact the base in", &self.dir, error.into()))
    }
}

impl LsmBase {
    fn now(&self) -> SeqNo {
        self.db.supervisor.snapshot_tracker.get()
    }

    /// The instant of the oldest view that is open, or of one to come.
    fn oldest_view(&self) -> SeqNo {
        let open = self.open_views.0.lock();
        let oldest = open.keys().next().copied();
        oldest.unwrap_or_else(|| self.now())
    }

    /// Of what was replaced before this instant, no view needs the old versions.
    fn watermark(&self) -> SeqNo {
        self.oldest_view().saturating_sub(1)
    }

    /// Lets files go that only views which are closed have needed.
    fn drop_old_files(&self, keyspace: &Keyspace) -> Result<(), StoreError> {
        let mut versions = keyspace.tree.get_version_history_lock();
        let done = versions.maintenance(keyspace.path(), self.oldest_view());
        done.map_err(|error| store_error("remove old files of", &self.dir, error.into()))
    }
}

/// `fjall` does not open a directory without its lock file, which a restored copy may lack.
fn restore_lock_file(dir: &Path) -> io::Result<()> {
    let lock = dir.join("lock");
    if dir.join("version").try_exists()? && !lock.try_exists()? {
        std::fs::File::create(lock)?;
    }
    Ok(())
}

fn space_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .manual_journal_persist(true)
        .data_block_hash_ratio_policy(HashRatioPolicy::all(HASH_RATIO))
}

impl Base for LsmBase {
    fn checkpoint(&self) -> Result<Version, StoreError> {
        let snapshot = self.db.snapshot();
        let found = snapshot
            .get(&self.system, CHECKPOINT_KEY)
            .map_err(|error| store_error("read the base in", &self.dir, error))?;
        let Some(bytes) = found else {
            return Ok(Version::ZERO);
        };
        match bytes.as_ref().try_into() {
            Ok(bytes) => Ok(Version(u64::from_be_bytes(bytes))),
            Err(_) => Err(StoreError::corruption(
                self.dir.display(),
                "the checkpoint record has a wrong length",
            )),
        }
    }

    fn ingest(
        &self,
        space: KeySpace,
        changes: &mut dyn Iterator<Item = Change>,
    ) -> Result<(), StoreError> {
        self.write(&self.spaces[space.index()], changes)
    }

    fn record(&self, version: Version) -> Result<(), StoreError> {
        let value = Val::copy_from_slice(&version.0.to_be_bytes());
        let change = Ok((Key::from_static(CHECKPOINT_KEY), Some(value)));
        self.write(&self.system, &mut std::iter::once(change))
    }

    fn view(&self) -> Arc<dyn BaseView> {
        // Counted before the watermark can pass it.
        let mut open = self.open_views.0.lock();
        let snapshot = self.db.snapshot();
        *open.entry(snapshot.seqno()).or_default() += 1;
        drop(open);
        Arc::new(LsmView {
            snapshot,
            spaces: self.spaces.clone(),
            dir: self.dir.clone(),
            open_views: Arc::clone(&self.open_views),
        })
    }

    fn settle(&self, stop: &dyn Fn() -> bool) -> Result<(), StoreError> {
        for keyspace in self.spaces.iter().chain([&self.system]) {
            let mut steps = 0;
            while keyspace.tree.l0_run_count() > LEVEL0_RUNS_MAX
                && steps < SETTLE_STEPS_MAX
                && !stop()
            {
                self.compact(keyspace)?;
                steps += 1;
            }
        }
        Ok(())
    }

    fn give_back(&self) -> Result<bool, StoreError> {
        let watermark = self.watermark();
        let mut is_rewritten = false;
        for (keyspace, kept) in self.spaces.iter().zip(&self.kept) {
            self.drop_old_files(keyspace)?;
            let tree = &keyspace.tree;
            let (deletions, rows) = (tree.tombstone_count(), tree.approximate_len() as u64);
            if deletions < DELETIONS_MIN || deletions.saturating_mul(DELETIONS_SHARE) < rows {
                continue;
            }
            let mut kept = kept.lock();
            if watermark < kept.until && deletions < kept.deletions.saturating_mul(2) {
                continue;
            }
            let until = self.now();
            tree.major_compact(TABLE_BYTES, watermark)
                .map_err(|error| store_error("compact the base in", &self.dir, error.into()))?;
            is_rewritten = true;
            *kept = Kept {
                deletions: tree.tombstone_count(),
                until,
            };
        }
        Ok(is_rewritten)
    }

    fn bytes(&self) -> u64 {
        self.spaces.iter().map(Keyspace::disk_space).sum()
    }

    fn damaged_files(&self, space: KeySpace) -> Vec<StoreError> {
        let version = self.spaces[space.index()].tree.current_version();
        version
            .iter_tables()
            .filter_map(|table| {
                let error = table.iter().find_map(Result::err)?;
                Some(store_error("read", &table.path, error.into()))
            })
            .collect()
    }

    fn health(&self) -> Result<(), StoreError> {
        let alive = self.db.persist(PersistMode::Buffer);
        alive.map_err(|error| store_error("use the base in", &self.dir, error))
    }
}

struct LsmView {
    snapshot: fjall::Snapshot,
    spaces: [Keyspace; KeySpace::COUNT],
    dir: PathBuf,
    open_views: Arc<OpenViews>,
}

impl Drop for LsmView {
    fn drop(&mut self) {
        let mut open = self.open_views.0.lock();
        if let Entry::Occupied(mut count) = open.entry(self.snapshot.seqno()) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl BaseView for LsmView {
    fn get(&self, space: KeySpace, key: &[u8]) -> Result<Option<Val>, StoreError> {
        let found = self.snapshot.get(&self.spaces[space.index()], key);
        let found = found.map_err(|error| store_error("read the base in", &self.dir, error))?;
        Ok(found.map(Val::from))
    }

    fn rows(&self, space: KeySpace, range: &KeyRange, reverse: bool) -> BaseRows {
        let bounds: (Bound<Key>, Bound<Key>) = owned_bounds(range);
        let rows = self.snapshot.range(&self.spaces[space.index()], bounds);
        let dir = self.dir.clone();
        let convert = move |guard: fjall::Guard| match guard.into_inner() {
            Ok((key, value)) => Ok((Key::from(key), Val::from(value))),
            Err(error) => Err(store_error("read the base in", &dir, error)),
        };
        if reverse {
            Box::new(rows.rev().map(convert))
        } else {
            Box::new(rows.map(convert))
        }
    }
}

/// Full disks, failed calls and damage told apart.
fn store_error(action: &str, dir: &Path, error: fjall::Error) -> StoreError {
    let io_failure =
        |error: io::Error| StoreError::io(format!("{action} {}", dir.display()), error);
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(LsmError::Io(error)) => {
            match error.kind() {
                // A file shorter than its index says, or none at all, is damage.
                io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound => {
                    StoreError::corruption(dir.display(), error)
                }
                _ => io_failure(error),
            }
        }
        fjall::Error::Locked => StoreError::InUse {
            path: dir.display().to_string(),
        },
        fjall::Error::Poisoned => StoreError::ReadOnly {
            reason: "writing in the background failed; check the disk and restart the server"
                .into(),
        },
        other => {
            metrics()
                .checksum_failures
                .with(ChecksumPlace::Base)
                .increment();
            StoreError::corruption(dir.display(), other)
        }
    }
}

#[cfg(test)]
mod tests;
