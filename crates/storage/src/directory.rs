//! The data directory: format version, lock, clean-shutdown mark, and where things lie.
//!
//! `VERSION`, `LOCK`, `CLEAN`, `log/`, `store/base/`, `store/runs/`, `tmp/`. Described in
//! `docs/internals/data-directory.md`.

use std::io;
use std::path::{Path, PathBuf};

use tessera_environment::{Environment, FileLock, read_all, write_atomically};
use tessera_types::Version;

use crate::error::StoreError;

/// The format this release writes, and the newest it reads.
pub const FORMAT: u32 = 1;

const VERSION: &str = "VERSION";
const LOCK: &str = "LOCK";
const CLEAN: &str = "CLEAN";
const LOG: &str = "log";
const STORE: &str = "store";
const TMP: &str = "tmp";
/// Names that a directory may contain whose making was interrupted.
const OWN_NAMES: [&str; 7] = [VERSION, "VERSION.new", LOCK, CLEAN, LOG, STORE, TMP];

/// What a clean shutdown left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CleanMark {
    /// The last version in the log.
    pub(crate) last: Version,
}

/// An open data directory, locked against other servers.
pub(crate) struct DataDirectory {
    env: Environment,
    path: PathBuf,
    _lock: Box<dyn FileLock>,
}

impl DataDirectory {
    /// Locks the directory, making it if there is none.
    pub(crate) fn open(env: &Environment, path: &Path) -> Result<DataDirectory, StoreError> {
        let files = &*env.files;
        let failed =
            |error| StoreError::io(format!("open the data directory {}", path.display()), error);
        files.create_dir_all(path).map_err(failed)?;
        let names = files.list(path).map_err(failed)?;
        let has_version = names.iter().any(|name| name == VERSION);
        if !has_version && names.iter().any(|name| !OWN_NAMES.contains(&name.as_str())) {
            return Err(StoreError::Foreign {
                path: path.display().to_string(),
            });
        }
        let lock = files
            .lock(&path.join(LOCK))
            .map_err(|error| match error.kind() {
                io::ErrorKind::WouldBlock => StoreError::InUse {
                    path: path.display().to_string(),
                },
                _ => failed(error),
            })?;
        let directory = DataDirectory {
            env: env.clone(),
            path: path.to_owned(),
            _lock: lock,
        };
        if has_version {
            directory.check_version()?;
        } else {
            if directory.has_log()? {
                let place = path.join(VERSION);
                return Err(StoreError::corruption(
                    place.display(),
                    "the file is missing",
                ));
            }
            directory.create().map_err(failed)?;
        }
        // Left-overs of spilled queries and the like are of no use to anybody.
        let tmp = directory.tmp_dir();
        files
            .remove_dir_all(&tmp)
            .and_then(|()| files.create_dir_all(&tmp))
            .map_err(failed)?;
        Ok(directory)
    }

    /// Makes the parts, and `VERSION` last: a directory with it is whole.
    fn create(&self) -> io::Result<()> {
        let files = &*self.env.files;
        for name in [LOG, STORE, TMP] {
            files.create_dir_all(&self.path.join(name))?;
        }
        files.sync_dir(&self.path)?;
        if let Some(parent) = self
            .path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            files.sync_dir(parent)?;
        }
        write_atomically(
            files,
            &self.path.join(VERSION),
            format!("{FORMAT}\n").as_bytes(),
        )
    }

    fn check_version(&self) -> Result<(), StoreError> {
        let place = self.path.join(VERSION);
        let bytes = read_all(&*self.env.files, &place)
            .map_err(|error| StoreError::io(format!("read {}", place.display()), error))?;
        let text = String::from_utf8_lossy(&bytes);
        match text.trim().parse() {
            Ok(FORMAT) => Ok(()),
            Ok(found) => Err(StoreError::Format {
                found,
                known: FORMAT,
            }),
            Err(_) => Err(StoreError::corruption(
                place.display(),
                "not a format number",
            )),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn log_dir(&self) -> PathBuf {
        self.path.join(LOG)
    }

    pub(crate) fn base_dir(&self) -> PathBuf {
        self.path.join(STORE).join("base")
    }

    pub(crate) fn runs_dir(&self) -> PathBuf {
        self.path.join(STORE).join("runs")
    }

    pub(crate) fn tmp_dir(&self) -> PathBuf {
        self.path.join(TMP)
    }

    /// Whether anything is in the log's directory.
    pub(crate) fn has_log(&self) -> Result<bool, StoreError> {
        let dir = self.log_dir();
        let files = &*self.env.files;
        let failed = |error| StoreError::io(format!("list {}", dir.display()), error);
        if !files.exists(&dir).map_err(failed)? {
            return Ok(false);
        }
        Ok(!files.list(&dir).map_err(failed)?.is_empty())
    }

    /// The mark of the last shutdown, if it was clean.
    pub(crate) fn clean_mark(&self) -> Result<Option<CleanMark>, StoreError> {
        let place = self.path.join(CLEAN);
        let failed = |error| StoreError::io(format!("read {}", place.display()), error);
        if !self.env.files.exists(&place).map_err(failed)? {
            return Ok(None);
        }
        let bytes = read_all(&*self.env.files, &place).map_err(failed)?;
        let text = String::from_utf8_lossy(&bytes);
        match text.trim().parse() {
            Ok(last) => Ok(Some(CleanMark {
                last: Version(last),
            })),
            Err(_) => Err(StoreError::corruption(place.display(), "not a version")),
        }
    }

    pub(crate) fn write_clean_mark(&self, last: Version) -> Result<(), StoreError> {
        let place = self.path.join(CLEAN);
        write_atomically(&*self.env.files, &place, format!("{last}\n").as_bytes())
            .map_err(|error| StoreError::io(format!("write {}", place.display()), error))
    }

    pub(crate) fn remove_clean_mark(&self) -> Result<(), StoreError> {
        let place = self.path.join(CLEAN);
        let files = &*self.env.files;
        let failed = |error| StoreError::io(format!("remove {}", place.display()), error);
        if files.exists(&place).map_err(failed)? {
            files.remove(&place).map_err(failed)?;
            files.sync_dir(&self.path).map_err(failed)?;
        }
        Ok(())
    }
}
