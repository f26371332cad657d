//! The whole simulated disk behind one lock: names, files, space, injected failures.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::{Mutex, MutexGuard};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use super::inode::{Inode, Survival};
use super::names::{Entry, InodeId, Names};
use crate::files::Open;

/// The kinds of calls that can be counted and made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// `File::write_all_at`.
    Write,
    /// `File::sync_data`, `File::sync_all`, `Files::sync_dir`.
    Sync,
    /// `File::read_at`.
    Read,
    /// `File::allocate`, `File::set_len`.
    Allocate,
    /// `Files::open`, `create_dir_all`, `rename`, `remove`, `remove_dir_all`, `list`.
    Name,
}

impl Operation {
    /// Every kind, for loops over all possible failures.
    pub const ALL: [Operation; 5] = [
        Operation::Write,
        Operation::Sync,
        Operation::Read,
        Operation::Allocate,
        Operation::Name,
    ];
}

/// Fails the calls of one kind from the `from`-th on, once or for ever.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure {
    pub(crate) operation: Operation,
    pub(crate) from: u64,
    pub(crate) repeat: bool,
}

#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) names: Names,
    pub(crate) inodes: BTreeMap<InodeId, Inode>,
    pub(crate) locked: BTreeSet<PathBuf>,
    /// Grows at every power loss; handles from before are dead.
    pub(crate) boot: u64,
    pub(crate) powered: bool,
    pub(crate) cut_at_sync: Option<u64>,
    pub(crate) failures: Vec<Failure>,
    pub(crate) failed: u64,
    counts: BTreeMap<Operation, u64>,
    capacity: Option<u64>,
    next_inode: InodeId,
    rng: SmallRng,
}

#[derive(Debug)]
pub(crate) struct SharedDisk {
    disk: Mutex<Disk>,
}

impl SharedDisk {
    pub(crate) fn new(seed: u64) -> SharedDisk {
        SharedDisk {
            disk: Mutex::new(Disk {
                names: Names::new(),
                inodes: BTreeMap::new(),
                locked: BTreeSet::new(),
                boot: 0,
                powered: true,
                cut_at_sync: None,
                failures: Vec::new(),
                failed: 0,
                counts: BTreeMap::new(),
                capacity: None,
                next_inode: 1,
                rng: SmallRng::seed_from_u64(seed ^ 0x5eed_d15c),
            }),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock()
    }
}

fn power_is_off() -> io::Error {
    io::Error::other("simulated power loss")
}

impl Disk {
    pub(crate) fn count(&self, operation: Operation) -> u64 {
        self.counts.get(&operation).copied().unwrap_or(0)
    }

    /// Counts a call and says whether it must fail.
    pub(crate) fn begin(&mut self, operation: Operation) -> io::Result<()> {
        if !self.powered {
            return Err(power_is_off());
        }
        let count = self.counts.entry(operation).or_insert(0);
        let index = *count;
        *count += 1;
        if operation == Operation::Sync && self.cut_at_sync == Some(index) {
            self.powered = false;
            return Err(power_is_off());
        }
        let hit = self.failures.iter().any(|failure| {
            failure.operation == operation
                && (failure.from == index || (failure.repeat && failure.from < index))
        });
        if hit {
            self.failed += 1;
            return Err(io::Error::other(format!(
                "simulated failure of {operation:?} {index}"
            )));
        }
        Ok(())
    }

    pub(crate) fn check_power(&self) -> io::Result<()> {
        if self.powered {
            Ok(())
        } else {
            Err(power_is_off())
        }
    }

    pub(crate) fn set_capacity(&mut self, bytes: Option<u64>) {
        self.capacity = bytes;
    }

    pub(crate) fn used(&self) -> u64 {
        self.inodes.values().map(Inode::space).sum()
    }

    pub(crate) fn available(&self) -> u64 {
        self.capacity.map_or(u64::MAX / 4, |capacity| {
            capacity.saturating_sub(self.used())
        })
    }

    pub(crate) fn inode(&mut self, id: InodeId) -> io::Result<&mut Inode> {
        self.inodes
            .get_mut(&id)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(crate) fn file(&self, path: &Path) -> io::Result<InodeId> {
        match self.names.get(path) {
            Some(Entry::File(inode)) => Ok(inode),
            Some(Entry::Directory) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::Error::new(
                io::ErrorKind::NotFound,
                path.display().to_string(),
            )),
        }
    }

    pub(crate) fn open(&mut self, path: &Path, open: Open) -> io::Result<InodeId> {
        self.begin(Operation::Name)?;
        match self.names.get(path) {
            Some(Entry::Directory) => Err(io::ErrorKind::IsADirectory.into()),
            Some(Entry::File(_)) if open.create_new => Err(io::ErrorKind::AlreadyExists.into()),
            Some(Entry::File(id)) => {
                if open.truncate {
                    self.inode(id)?.set_len(0);
                }
                Ok(id)
            }
            None if open.create || open.create_new => {
                self.require_directory(path.parent())?;
                if self.available() == 0 {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                let id = self.next_inode;
                self.next_inode += 1;
                self.inodes.insert(id, Inode::default());
                self.names.add(path, Entry::File(id));
                Ok(id)
            }
            None => Err(io::Error::new(
                io::ErrorKind::NotFound,
                path.display().to_string(),
            )),
        }
    }

    pub(crate) fn require_directory(&self, path: Option<&Path>) -> io::Result<()> {
        match path.and_then(|path| self.names.get(path)) {
            Some(Entry::Directory) => Ok(()),
            Some(Entry::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Writes as much as there is room for; less than all is a full disk.
    pub(crate) fn write(&mut self, id: InodeId, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.begin(Operation::Write)?;
        let available = self.available();
        let inode = self.inode(id)?;
        let free_end = inode.space().saturating_add(available);
        let room = usize::try_from(free_end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let fits = bytes.len().min(room);
        inode.write(&bytes[..fits], offset);
        if fits < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    pub(crate) fn allocate(&mut self, id: InodeId, len: u64) -> io::Result<()> {
        self.begin(Operation::Allocate)?;
        let available = self.available();
        let inode = self.inode(id)?;
        if len.saturating_sub(inode.space()) > available {
            return Err(io::ErrorKind::StorageFull.into());
        }
        inode.reserve(len);
        Ok(())
    }

    pub(crate) fn sync(&mut self, id: InodeId) -> io::Result<()> {
        let result = self.begin(Operation::Sync);
        let powered = self.powered;
        let inode = self.inode(id)?;
        match &result {
            Ok(()) => inode.sync(),
            Err(_) if powered => inode.sync_failed(),
            Err(_) => {}
        }
        result
    }

    pub(crate) fn lose_power(&mut self) {
        let rng = &mut self.rng;
        let keep_names = matches!(Survival::random(rng), Survival::Everything);
        self.names.lose_power(keep_names, rng);
        for inode in self.inodes.values_mut() {
            let survival = Survival::random(rng);
            inode.lose_power(survival, rng);
        }
        self.boot += 1;
        self.powered = true;
        self.cut_at_sync = None;
        self.failures.clear();
        self.locked.clear();
        self.forget_unnamed();
    }

    /// Frees the space of files that no name leads to and no handle may use any more.
    pub(crate) fn forget_unnamed(&mut self) {
        let names = &self.names;
        self.inodes.retain(|id, _| names.mentions(*id));
    }
}
