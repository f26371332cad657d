//! Run files: the overflow of large transactions, sorted, checksummed and immutable.
//!
//! # Map
//! - `format`: header, index, filter and footer; pure, no files.
//! - `writer`: makes a file. `reader`: points and ranges of a finished one.
//! - `set`: which files of the directory belong to whom; sweeps orphans.
//!
//! # Invariants
//! 1. A file is synced, with its name, before a log record refers to it.
//! 2. A file without a committed owner is deleted: on drop, or at the next opening.
//! 3. A committed file is deleted only after a base that contains it was recorded.

mod format;
mod reader;
mod set;
mod writer;

use std::ops::Deref;
use std::sync::Arc;

use tessera_types::Version;

pub(crate) use reader::{RunFile, RunSource, RunWalk};
pub(crate) use set::RunSet;

/// A run that belongs to a commit.
pub(crate) struct CommittedRun {
    pub(crate) version: Version,
    pub(crate) file: Arc<RunFile>,
}

impl Deref for CommittedRun {
    type Target = RunFile;

    fn deref(&self) -> &RunFile {
        &self.file
    }
}

#[cfg(test)]
mod tests;
