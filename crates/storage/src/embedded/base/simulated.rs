//! The base on the files of the environment, so that power can be lost at every sync.
//!
//! State lives in memory; each ingestion adds a synced file, and a manifest, replaced atomically,
//! lists the files and the recorded version. Simple, slow, and honest about what is durable.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tessera_codec::checksum::xxh3;
use tessera_environment::{Environment, Open, read_all, write_atomically};
use tessera_types::Version;

use crate::batch::Write;
use crate::embedded::base::{Base, BaseRows, BaseView, Change, owned_bounds};
use crate::embedded::coding::Reader;
use crate::embedded::record::{put_entry, read_entry};
use crate::error::StoreError;
use crate::range::{KeyRange, KeySpace};
use crate::store::{Key, Val};

/// Name of the list of files.
const MANIFEST: &str = "manifest";

type Maps = [Arc<BTreeMap<Key, Val>>; KeySpace::COUNT];

pub(crate) struct SimulatedBase {
    env: Environment,
    dir: PathBuf,
    state: Mutex<State>,
}

struct State {
    maps: Maps,
    checkpoint: Version,
    files: u64,
    bytes: u64,
}

impl SimulatedBase {
    pub(crate) fn open(env: &Environment, dir: &Path) -> Result<SimulatedBase, StoreError> {
        let files = &*env.files;
        let failed = |error| StoreError::io(format!("open the base in {}", dir.display()), error);
        files.create_dir_all(dir).map_err(failed)?;
        if let Some(parent) = dir.parent() {
            files.sync_dir(parent).map_err(failed)?;
        }
        let maps = std::array::from_fn(|_| Arc::new(BTreeMap::new()));
        let mut state = State {
            maps,
            checkpoint: Version::ZERO,
            files: 0,
            bytes: 0,
        };
        let manifest = dir.join(MANIFEST);
        if files.exists(&manifest).map_err(failed)? {
            let bytes = checked(&read_all(files, &manifest).map_err(failed)?, &manifest)?;
            let damaged = |_| StoreError::corruption(manifest.display(), "wrong length");
            let mut reader = Reader::new(&bytes);
            state.checkpoint = Version(reader.u64().map_err(damaged)?);
            let count = reader.u64().map_err(damaged)?;
            for number in 0..count {
                let path = dir.join(file_name(number));
                let stored = read_all(files, &path)
                    .map_err(|error| StoreError::corruption(path.display(), error))?;
                state.bytes += stored.len() as u64;
                state.apply(&checked(&stored, &path)?, &path)?;
            }
            state.files = count;
        }
        Ok(SimulatedBase {
            env: env.clone(),
            dir: dir.to_owned(),
            state: Mutex::new(state),
        })
    }

    fn write_manifest(&self, state: &State) -> Result<(), StoreError> {
        let mut bytes = state.checkpoint.0.to_le_bytes().to_vec();
        bytes.extend(state.files.to_le_bytes());
        write_atomically(&*self.env.files, &self.dir.join(MANIFEST), &sealed(bytes))
            .map_err(|error| StoreError::io("write the base's manifest", error))
    }
}

impl State {
    fn apply(&mut self, bytes: &[u8], path: &Path) -> Result<(), StoreError> {
        let mut reader = Reader::new(bytes);
        let mut key = Vec::new();
        while !reader.is_empty() {
            let (space, write) = read_entry(&mut reader, &mut key)
                .map_err(|error| StoreError::corruption(path.display(), error.0))?;
            let map = Arc::make_mut(&mut self.maps[space.index()]);
            match write {
                Write::Put(value) | Write::Insert(value) => {
                    map.insert(Key::copy_from_slice(&key), value)
                }
                Write::Delete => map.remove(key.as_slice()),
            };
        }
        Ok(())
    }
}

impl Base for SimulatedBase {
    fn checkpoint(&self) -> Result<Version, StoreError> {
        Ok(self.state.lock().checkpoint)
    }

    fn ingest(
        &self,
        space: KeySpace,
        changes: &mut dyn Iterator<Item = Change>,
    ) -> Result<(), StoreError> {
        let mut bytes = Vec::new();
        let mut previous = Key::new();
        for change in changes {
            let (key, value) = change?;
            let write = value.map_or(Write::Delete, Write::Put);
            put_entry(&mut bytes, space, &previous, &key, &write);
            previous = key;
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let mut state = self.state.lock();
        let path = self.dir.join(file_name(state.files));
        let failed = |error| StoreError::io(format!("write {}", path.display()), error);
        let files = &*self.env.files;
        let file = files.open(&path, Open::replace()).map_err(failed)?;
        let content = sealed(bytes.clone());
        file.write_all_at(&content, 0).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        files.sync_dir(&self.dir).map_err(failed)?;
        state.files += 1;
        if let Err(error) = self.write_manifest(&state) {
            state.files -= 1;
            return Err(error);
        }
        state.bytes += content.len() as u64;
        state.apply(&bytes, &path)
    }

    fn record(&self, version: Version) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        let before = std::mem::replace(&mut state.checkpoint, version);
        self.write_manifest(&state)
            .inspect_err(|_| state.checkpoint = before)
    }

    fn view(&self) -> Arc<dyn BaseView> {
        Arc::new(SimulatedView {
            maps: self.state.lock().maps.clone(),
        })
    }

    fn settle(&self, _stop: &dyn Fn() -> bool) -> Result<(), StoreError> {
        Ok(())
    }

    fn give_back(&self) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn bytes(&self) -> u64 {
        self.state.lock().bytes
    }

    /// None: every file was read and verified by the opening.
    fn damaged_files(&self, _space: KeySpace) -> Vec<StoreError> {
        Vec::new()
    }

    fn health(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

struct SimulatedView {
    maps: Maps,
}

impl BaseView for SimulatedView {
    fn get(&self, space: KeySpace, key: &[u8]) -> Result<Option<Val>, StoreError> {
        Ok(self.maps[space.index()].get(key).cloned())
    }

    fn rows(&self, space: KeySpace, range: &KeyRange, reverse: bool) -> BaseRows {
        let map = self.maps[space.index()].clone();
        let mut rest = range.clone();
        Box::new(std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let mut rows = map.range::<Key, (Bound<Key>, Bound<Key>)>(owned_bounds(&rest));
            let (key, value) = if reverse {
                rows.next_back()
            } else {
                rows.next()
            }?;
            let row = (key.clone(), value.clone());
            rest = if reverse {
                rest.before(row.0.clone())
            } else {
                rest.after(row.0.clone())
            };
            Some(Ok(row))
        }))
    }
}

fn file_name(number: u64) -> String {
    format!("{number:08}.rows")
}

fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = xxh3(&bytes);
    bytes.extend(checksum.to_le_bytes());
    bytes
}

fn checked(bytes: &[u8], path: &Path) -> Result<Vec<u8>, StoreError> {
    let content = bytes.split_last_chunk::<8>();
    let content = content.filter(|(content, sum)| xxh3(content) == u64::from_le_bytes(**sum));
    let content =
        content.ok_or_else(|| StoreError::corruption(path.display(), "wrong checksum"))?;
    Ok(content.0.to_vec())
}
