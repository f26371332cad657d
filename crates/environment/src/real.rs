//! The operating system's clock, random generator and file system.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::clock::Clock;
use crate::files::{File, FileLock, Files, Open};
use crate::random::Random;

pub(crate) struct RealClock {
    start: Instant,
}

impl RealClock {
    pub(crate) fn new() -> RealClock {
        RealClock {
            start: Instant::now(),
        }
    }
}

impl Clock for RealClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that others ask"
    )]
    fn unix_micros(&self) -> i64 {
        match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            Err(before) => {
                i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros)
            }
        }
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

pub(crate) struct RealRandom;

impl Random for RealRandom {
    fn fill(&self, bytes: &mut [u8]) {
        // The kernel's generator fails only before it is seeded at boot or without the system
        // call; to go on with predictable keys and salts would be worse than to stop.
        getrandom::fill(bytes).expect("the operating system's random generator works");
    }
}

pub(crate) struct RealFiles;

impl Files for RealFiles {
    fn open(&self, path: &Path, open: Open) -> io::Result<Arc<dyn File>> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(!open.read)
            .create(open.create)
            .create_new(open.create_new)
            .truncate(open.truncate)
            .open(path)?;
        Ok(Arc::new(RealFile { file }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            let name = entry?.file_name().into_string();
            names.push(name.map_err(|_| io::ErrorKind::InvalidFilename)?);
        }
        names.sort_unstable();
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(RealLock { _file: file })),
            Err(fs::TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn available_bytes(&self, path: &Path) -> io::Result<u64> {
        let status = rustix::fs::statvfs(path)?;
        Ok(status.f_bavail.saturating_mul(status.f_frsize))
    }
}

/// The lock belongs to the open file description: closing it, also by dying, releases it.
struct RealLock {
    _file: fs::File,
}

impl FileLock for RealLock {}

struct RealFile {
    file: fs::File,
}

impl File for RealFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(bytes, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        reserve(&self.file, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn reserve(file: &fs::File, len: u64) -> io::Result<()> {
    use rustix::fs::FallocateFlags;
    use rustix::io::Errno;
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => extend_with_zeros(file, len),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn reserve(file: &fs::File, len: u64) -> io::Result<()> {
    extend_with_zeros(file, len)
}

/// Writes zeros from the end of the file up to `len`: slower than `fallocate`, works everywhere.
fn extend_with_zeros(file: &fs::File, len: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    let mut end = file.metadata()?.len();
    while end < len {
        let count = (len - end).min(ZEROS.len() as u64) as usize;
        file.write_all_at(&ZEROS[..count], end)?;
        end += count as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocation_extends_with_zeros_and_keeps_content() {
        let dir = tempfile::tempdir().unwrap();
        let file = RealFiles
            .open(&dir.path().join("a"), Open::create_new())
            .unwrap();
        file.write_all_at(b"abc", 0).unwrap();
        file.allocate(10_000).unwrap();
        assert_eq!(file.len().unwrap(), 10_000);
        let mut bytes = vec![1; 10_000];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes[..3], b"abc");
        assert!(bytes[3..].iter().all(|byte| *byte == 0));
        file.allocate(5).unwrap();
        assert_eq!(file.len().unwrap(), 10_000);
    }

    #[test]
    fn zeros_take_the_place_of_fallocate_where_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = fs::File::create_new(dir.path().join("a")).unwrap();
        file.write_all_at(b"abc", 0).unwrap();
        extend_with_zeros(&file, 100_001).unwrap();
        let bytes = fs::read(dir.path().join("a")).unwrap();
        assert_eq!(bytes.len(), 100_001);
        assert_eq!(&bytes[..4], b"abc\0");
    }

    #[test]
    fn a_second_lock_would_block_until_the_first_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        let first = RealFiles.lock(&path).unwrap();
        let second = RealFiles.lock(&path).err().unwrap();
        assert_eq!(second.kind(), io::ErrorKind::WouldBlock);
        drop(first);
        RealFiles.lock(&path).unwrap();
    }

    #[test]
    fn a_read_only_handle_refuses_to_write() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        crate::write_atomically(&RealFiles, &path, b"one").unwrap();
        crate::write_atomically(&RealFiles, &path, b"two").unwrap();
        assert_eq!(crate::read_all(&RealFiles, &path).unwrap(), b"two");
        assert_eq!(RealFiles.list(dir.path()).unwrap(), ["a"]);
        let file = RealFiles.open(&path, Open::read_only()).unwrap();
        assert!(file.write_all_at(b"x", 0).is_err());
    }

    #[test]
    fn clock_and_generator_move() {
        let clock = RealClock::new();
        let first = clock.monotonic();
        assert!(clock.monotonic() >= first);
        assert!(clock.unix_micros() > 1_600_000_000_000_000);
        assert_ne!(RealRandom.u64(), RealRandom.u64());
    }
}
