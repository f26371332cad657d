//! Files and directories, as little of them as a database needs.

use std::io;
use std::path::Path;
use std::sync::Arc;

/// How `Files::open` treats a file that exists or does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Open {
    /// Only read; writing fails. The other three must be false.
    pub read: bool,
    /// Make the file if it does not exist.
    pub create: bool,
    /// Make the file; `AlreadyExists` if there is one.
    pub create_new: bool,
    /// Cut an existing file to length 0.
    pub truncate: bool,
}

impl Open {
    /// An existing file, for reading only.
    pub fn read_only() -> Open {
        Open {
            read: true,
            ..Open::default()
        }
    }

    /// An existing file, for reading and writing.
    pub fn existing() -> Open {
        Open::default()
    }

    /// A file for reading and writing, made when missing.
    pub fn create() -> Open {
        Open {
            create: true,
            ..Open::default()
        }
    }

    /// A file for reading and writing that must not exist yet.
    pub fn create_new() -> Open {
        Open {
            create_new: true,
            ..Open::default()
        }
    }

    /// A file for reading and writing, made when missing and emptied when not.
    pub fn replace() -> Open {
        Open {
            create: true,
            truncate: true,
            ..Open::default()
        }
    }
}

/// A file system. All calls block; call them from a thread that may.
///
/// A full disk is `ErrorKind::StorageFull` (or `QuotaExceeded`).
pub trait Files: Send + Sync {
    /// Opens a file.
    fn open(&self, path: &Path, open: Open) -> io::Result<Arc<dyn File>>;

    /// Makes a directory and the missing ones above it. Durable after `sync_dir` of each parent.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Names (not paths) of the entries of a directory, sorted.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;

    /// Renames a file or directory, replacing a file of the new name, in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory with all it contains. Fine when there is none.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Makes creations, renames and removals directly in this directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Whether a file or directory of this name exists. An unreadable one is an error, not "no".
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Takes the exclusive lock of a lock file, making the file when missing;
    /// `WouldBlock` if another holder, of this process or another, has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>>;

    /// Bytes that an ordinary user may still write to the file system of this path.
    fn available_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// An open file. Reads and writes name their offset, so one handle serves many threads.
pub trait File: Send + Sync {
    /// Reads at most `bytes.len()` bytes; 0 at the end of the file.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Fills all of `bytes`, or `UnexpectedEof`.
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            match self.read_at(&mut bytes[done..], offset + done as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes all of `bytes`, growing the file when needed. After an error any part of them may
    /// have been written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the length is 0.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts the file, or extends it with zeros (which may take no disk space).
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Reserves disk space for the first `len` bytes, so that writing there cannot meet a full
    /// disk. The length grows to `len` if it was less; new bytes read as zeros. Durable after a
    /// sync, like a write.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Makes the content, and the length needed to read it back, durable.
    ///
    /// After an error nobody knows what reached the disk, and a later success says nothing about
    /// what was written before the error.
    fn sync_data(&self) -> io::Result<()>;

    /// Like `sync_data`, with all metadata.
    fn sync_all(&self) -> io::Result<()>;
}

/// Holds a lock file's lock until dropped.
pub trait FileLock: Send + Sync {}

/// Reads a whole file.
pub fn read_all(files: &dyn Files, path: &Path) -> io::Result<Vec<u8>> {
    let file = files.open(path, Open::read_only())?;
    let len = usize::try_from(file.len()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Puts `bytes` under `path` so that after any crash the old or the new content is there, whole.
/// Durable on return. Uses `<path>.new` as its temporary name.
pub fn write_atomically(files: &dyn Files, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = Path::new(&temporary);
    let file = files.open(temporary, Open::replace())?;
    file.write_all_at(bytes, 0)?;
    file.sync_all()?;
    drop(file);
    files.rename(temporary, path)?;
    files.sync_dir(path.parent().ok_or(io::ErrorKind::InvalidInput)?)
}
