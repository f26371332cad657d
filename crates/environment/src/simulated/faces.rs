//! The `Files`, `File`, `Clock` and `Random` that the rest of the program sees.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::disk::{Disk, Operation, SharedDisk};
use super::names::{Entry, InodeId};
use crate::clock::Clock;
use crate::files::{File, FileLock, Files, Open};
use crate::random::Random;

/// 2026-01-01 00:00:00 UTC, where every simulated clock starts.
const START_UNIX_MICROS: i64 = 1_767_225_600_000_000;

pub(crate) struct SimulatedClock {
    unix_micros: AtomicI64,
    monotonic_micros: AtomicU64,
}

impl Default for SimulatedClock {
    fn default() -> SimulatedClock {
        SimulatedClock {
            unix_micros: AtomicI64::new(START_UNIX_MICROS),
            monotonic_micros: AtomicU64::new(0),
        }
    }
}

impl SimulatedClock {
    pub(crate) fn advance(&self, by: Duration) {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX / 4);
        self.monotonic_micros.fetch_add(micros, Ordering::SeqCst);
        self.unix_micros.fetch_add(
            i64::try_from(micros).unwrap_or(i64::MAX / 4),
            Ordering::SeqCst,
        );
    }

    pub(crate) fn set_unix_micros(&self, micros: i64) {
        self.unix_micros.store(micros, Ordering::SeqCst);
    }
}

impl Clock for SimulatedClock {
    fn unix_micros(&self) -> i64 {
        self.unix_micros.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.monotonic_micros.load(Ordering::SeqCst))
    }
}

pub(crate) struct SeededRandom {
    rng: Mutex<StdRng>,
}

impl SeededRandom {
    pub(crate) fn new(seed: u64) -> SeededRandom {
        SeededRandom {
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
        }
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        self.rng.lock().fill_bytes(bytes);
    }
}

pub(crate) struct SimulatedFiles {
    disk: Arc<SharedDisk>,
}

impl SimulatedFiles {
    pub(crate) fn new(disk: Arc<SharedDisk>) -> SimulatedFiles {
        SimulatedFiles { disk }
    }
}

/// One spelling per file: absolute, without `.` and `..`.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for part in path.components() {
        match part {
            std::path::Component::Normal(name) => clean.push(name),
            std::path::Component::ParentDir => {
                clean.pop();
            }
            _ => {}
        }
    }
    clean
}

impl Files for SimulatedFiles {
    fn open(&self, path: &Path, open: Open) -> io::Result<Arc<dyn File>> {
        let mut disk = self.disk.lock();
        let inode = disk.open(&clean(path), open)?;
        let boot = disk.boot;
        Ok(Arc::new(SimulatedFile {
            disk: self.disk.clone(),
            inode,
            boot,
            read_only: open.read,
        }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let path = clean(path);
        let mut disk = self.disk.lock();
        disk.begin(Operation::Name)?;
        let mut missing = Vec::new();
        for above in path.ancestors() {
            match disk.names.get(above) {
                Some(Entry::Directory) => break,
                Some(Entry::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => missing.push(above),
            }
        }
        for directory in missing.into_iter().rev() {
            disk.names.add(directory, Entry::Directory);
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let path = clean(path);
        let mut disk = self.disk.lock();
        disk.begin(Operation::Name)?;
        disk.require_directory(Some(&path))?;
        Ok(disk.names.children(&path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (clean(from), clean(to));
        let mut disk = self.disk.lock();
        disk.begin(Operation::Name)?;
        let entry = disk.names.get(&from).ok_or(io::ErrorKind::NotFound)?;
        disk.require_directory(to.parent())?;
        match (entry, disk.names.get(&to)) {
            (Entry::File(_), Some(Entry::Directory)) => Err(io::ErrorKind::IsADirectory.into()),
            (Entry::Directory, Some(_)) => Err(io::ErrorKind::AlreadyExists.into()),
            _ => {
                disk.names.rename(&from, &to);
                Ok(())
            }
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let path = clean(path);
        let mut disk = self.disk.lock();
        disk.begin(Operation::Name)?;
        let inode = disk.file(&path)?;
        disk.names.remove(&path);
        // An open handle may go on using it, but its space counts as free at once: tests watch
        // that space returns, and no test depends on a removed file keeping it.
        if !disk.names.mentions(inode) {
            disk.inodes.remove(&inode);
        }
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let path = clean(path);
        let mut disk = self.disk.lock();
        disk.begin(Operation::Name)?;
        for path in disk.names.tree(&path).into_iter().rev() {
            disk.names.remove(&path);
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let path = clean(path);
        let mut disk = self.disk.lock();
        disk.begin(Operation::Sync)?;
        disk.require_directory(Some(&path))?;
        disk.names.sync(&path);
        disk.forget_unnamed();
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let disk = self.disk.lock();
        disk.check_power()?;
        Ok(disk.names.get(&clean(path)).is_some())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        let path = clean(path);
        let mut disk = self.disk.lock();
        disk.open(&path, Open::create())?;
        if !disk.locked.insert(path.clone()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let boot = disk.boot;
        Ok(Box::new(SimulatedLock {
            disk: self.disk.clone(),
            path,
            boot,
        }))
    }

    fn available_bytes(&self, _path: &Path) -> io::Result<u64> {
        let disk = self.disk.lock();
        disk.check_power()?;
        Ok(disk.available())
    }
}

struct SimulatedLock {
    disk: Arc<SharedDisk>,
    path: PathBuf,
    boot: u64,
}

impl FileLock for SimulatedLock {}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        let mut disk = self.disk.lock();
        // After a power loss the lock may already be somebody else's.
        if disk.boot == self.boot {
            disk.locked.remove(&self.path);
        }
    }
}

struct SimulatedFile {
    disk: Arc<SharedDisk>,
    inode: InodeId,
    boot: u64,
    read_only: bool,
}

impl SimulatedFile {
    fn disk(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = self.disk.lock();
        disk.check_power()?;
        if disk.boot != self.boot {
            return Err(io::Error::other(
                "handle from before the simulated power loss",
            ));
        }
        Ok(disk)
    }

    fn writable(&self) -> io::Result<MutexGuard<'_, Disk>> {
        if self.read_only {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "opened for reading",
            ));
        }
        self.disk()
    }
}

impl File for SimulatedFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.disk()?;
        disk.begin(Operation::Read)?;
        let content = disk.inode(self.inode)?.content();
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(content.len());
        let count = bytes.len().min(content.len() - start);
        bytes[..count].copy_from_slice(&content[start..start + count]);
        Ok(count)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.writable()?.write(self.inode, bytes, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk()?.inode(self.inode)?.content().len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut disk = self.writable()?;
        let now = disk.inode(self.inode)?.content().len() as u64;
        if len > now {
            return disk.allocate(self.inode, len);
        }
        disk.begin(Operation::Allocate)?;
        disk.inode(self.inode)?.set_len(len);
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.writable()?.allocate(self.inode, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk()?.sync(self.inode)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.disk()?.sync(self.inode)
    }
}
