//! Names, creation and headers of segment files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tessera_environment::{Environment, File, Files, Open};
use tessera_types::Version;

use crate::error::LogError;
use crate::format::{FORMAT, HEADER_BYTES, HeaderFault, SegmentHeader};

const EXTENSION: &str = ".log";
/// Space is filled with zeros in steps of this size.
const FILL_BYTES: usize = 1 << 20;

/// Path of the segment whose first version is `first`.
pub(crate) fn path(dir: &Path, first: Version) -> PathBuf {
    dir.join(format!("{:020}{EXTENSION}", first.0))
}

/// First versions of all segments of a directory, oldest first.
pub(crate) fn list(files: &dyn Files, dir: &Path) -> Result<Vec<Version>, LogError> {
    let names = files
        .list(dir)
        .map_err(|error| LogError::io("list", dir, error))?;
    let mut found = Vec::new();
    for name in names {
        let Some(digits) = name.strip_suffix(EXTENSION) else {
            continue;
        };
        let first = digits.parse().ok().filter(|_| digits.len() == 20);
        let first: u64 = first.ok_or_else(|| {
            LogError::corruption(&dir.join(&name), 0, "not the name of a log segment")
        })?;
        found.push(Version(first));
    }
    found.sort_unstable();
    Ok(found)
}

/// Removes what a crash left of segments that never got their final name.
pub(crate) fn remove_unfinished(files: &dyn Files, dir: &Path) -> Result<(), LogError> {
    let names = files
        .list(dir)
        .map_err(|error| LogError::io("list", dir, error))?;
    for name in names.iter().filter(|name| name.ends_with(".tmp")) {
        let path = dir.join(name);
        files
            .remove(&path)
            .map_err(|error| LogError::io("remove", &path, error))?;
    }
    Ok(())
}

/// Reads and checks the header block.
pub(crate) fn read_header(file: &dyn File, path: &Path) -> Result<SegmentHeader, LogError> {
    let mut block = [0; HEADER_BYTES];
    let len = file
        .len()
        .map_err(|error| LogError::io("read", path, error))?;
    if len < HEADER_BYTES as u64 {
        return Err(LogError::corruption(
            path,
            len,
            "the file ends inside its header",
        ));
    }
    file.read_exact_at(&mut block, 0)
        .map_err(|error| LogError::io("read", path, error))?;
    SegmentHeader::decode(&block).map_err(|fault| match fault {
        HeaderFault::NotALog => LogError::corruption(path, 0, "not a log segment"),
        HeaderFault::Checksum => LogError::corruption(path, 0, "header checksum mismatch"),
        HeaderFault::Format(found) => LogError::Format {
            found,
            known: FORMAT,
        },
    })
}

/// A file of reserved space without a header and without its final name.
pub(crate) struct Blank {
    pub(crate) file: Arc<dyn File>,
    pub(crate) path: PathBuf,
    pub(crate) capacity: u64,
}

/// Reserves space under a temporary name.
///
/// The zeros are really written: a sync after the first write to merely reserved blocks must also
/// record that they are in use, which costs another seek on most file systems.
pub(crate) fn create_blank(
    files: &dyn Files,
    dir: &Path,
    name: &str,
    capacity: u64,
) -> Result<Blank, LogError> {
    let path = dir.join(name);
    let create = || {
        let file = files.open(&path, Open::replace())?;
        file.allocate(capacity)?;
        let zeros = vec![0; FILL_BYTES.min(capacity as usize)];
        let mut offset = 0;
        while offset < capacity {
            let count = (capacity - offset).min(zeros.len() as u64);
            file.write_all_at(&zeros[..count as usize], offset)?;
            offset += count;
        }
        file.sync_all()?;
        Ok(file)
    };
    match create() {
        Ok(file) => Ok(Blank {
            file,
            path,
            capacity,
        }),
        Err(error) => {
            // Give back what space it took; if that fails too, the next start removes it.
            let _ = files.remove(&path);
            Err(LogError::io("create", &path, error))
        }
    }
}

/// Gives a blank file its header and its final name. Durable on return.
pub(crate) fn finish(
    environment: &Environment,
    dir: &Path,
    blank: &Blank,
    header: &SegmentHeader,
) -> Result<PathBuf, LogError> {
    let path = path(dir, header.first);
    let io = |action, error| LogError::io(action, &path, error);
    blank
        .file
        .write_all_at(&header.encode(), 0)
        .map_err(|error| io("write", error))?;
    blank.file.sync_data().map_err(|error| io("sync", error))?;
    let files = &environment.files;
    files
        .rename(&blank.path, &path)
        .map_err(|error| io("rename", error))?;
    files
        .sync_dir(dir)
        .map_err(|error| io("sync the directory of", error))?;
    Ok(path)
}
