//! Directories now, and what of them would survive a power loss.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rand::RngExt as _;
use rand::rngs::SmallRng;

pub(crate) type InodeId = u64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    Directory,
    File(InodeId),
}

#[derive(Debug, Clone)]
enum Change {
    Add(PathBuf, Entry),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl Change {
    fn is_in(&self, directory: &Path) -> bool {
        match self {
            Change::Add(path, _) | Change::Remove(path) => path.parent() == Some(directory),
            Change::Rename(from, to) => {
                from.parent() == Some(directory) || to.parent() == Some(directory)
            }
        }
    }
}

type Map = BTreeMap<PathBuf, Entry>;

#[derive(Debug)]
pub(crate) struct Names {
    now: Map,
    durable: Map,
    pending: Vec<Change>,
}

impl Names {
    pub(crate) fn new() -> Names {
        let root = Map::from([(PathBuf::from("/"), Entry::Directory)]);
        Names {
            now: root.clone(),
            durable: root,
            pending: Vec::new(),
        }
    }

    pub(crate) fn get(&self, path: &Path) -> Option<Entry> {
        self.now.get(path).copied()
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = (&Path, InodeId)> {
        self.now.iter().filter_map(|(path, entry)| match entry {
            Entry::File(inode) => Some((path.as_path(), *inode)),
            Entry::Directory => None,
        })
    }

    /// Whether the name, now or after a power loss, may still lead to this file.
    pub(crate) fn mentions(&self, inode: InodeId) -> bool {
        let entry = Entry::File(inode);
        self.now.values().any(|known| *known == entry)
            || self.durable.values().any(|known| *known == entry)
            || self
                .pending
                .iter()
                .any(|change| matches!(change, Change::Add(_, e) if *e == entry))
    }

    pub(crate) fn children(&self, directory: &Path) -> Vec<String> {
        let children = self
            .now
            .keys()
            .filter(|path| path.parent() == Some(directory));
        let names = children.filter_map(|path| path.file_name()?.to_str());
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort_unstable();
        names
    }

    /// The directory itself and everything below it, deepest last.
    pub(crate) fn tree(&self, directory: &Path) -> Vec<PathBuf> {
        self.now
            .keys()
            .filter(|path| path.starts_with(directory))
            .cloned()
            .collect()
    }

    pub(crate) fn add(&mut self, path: &Path, entry: Entry) {
        self.record(Change::Add(path.to_owned(), entry));
    }

    pub(crate) fn remove(&mut self, path: &Path) {
        self.record(Change::Remove(path.to_owned()));
    }

    pub(crate) fn rename(&mut self, from: &Path, to: &Path) {
        self.record(Change::Rename(from.to_owned(), to.to_owned()));
    }

    fn record(&mut self, change: Change) {
        apply(&mut self.now, &change);
        self.pending.push(change);
    }

    pub(crate) fn sync(&mut self, directory: &Path) {
        for change in self
            .pending
            .extract_if(.., |change| change.is_in(directory))
        {
            apply(&mut self.durable, &change);
        }
    }

    /// Keeps what was synced and, like a journaling file system, perhaps the oldest of the rest.
    pub(crate) fn lose_power(&mut self, keep_all: bool, rng: &mut SmallRng) {
        let pending = std::mem::take(&mut self.pending);
        let kept = if keep_all {
            pending.len()
        } else if rng.random() {
            0
        } else {
            rng.random_range(0..=pending.len())
        };
        for change in &pending[..kept] {
            apply(&mut self.durable, change);
        }
        // What hangs below a directory that is gone is gone with it.
        let known = self.durable.clone();
        self.durable.retain(|path, _| {
            path.ancestors()
                .skip(1)
                .all(|above| known.get(above) == Some(&Entry::Directory))
        });
        self.now = self.durable.clone();
    }
}

fn apply(map: &mut Map, change: &Change) {
    match change {
        Change::Add(path, entry) => {
            map.insert(path.clone(), *entry);
        }
        Change::Remove(path) => {
            map.remove(path);
        }
        Change::Rename(from, to) => {
            let moved: Vec<PathBuf> = map
                .keys()
                .filter(|path| path.starts_with(from))
                .cloned()
                .collect();
            for path in moved {
                let rest = path
                    .strip_prefix(from)
                    .expect("filtered by this prefix")
                    .to_owned();
                let target = if rest.as_os_str().is_empty() {
                    to.clone()
                } else {
                    to.join(&rest)
                };
                if let Some(entry) = map.remove(&path) {
                    map.insert(target, entry);
                }
            }
        }
    }
}
