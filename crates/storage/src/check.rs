//! Offline integrity check of a data directory.

use std::fmt;
use std::path::Path;

use tessera_environment::Environment;
use tessera_types::Version;

use crate::directory::DataDirectory;
use crate::embedded::{EmbeddedOptions, verify};
use crate::error::StoreError;
use crate::range::KeySpace;

/// Findings listed; more are only counted.
const FINDINGS_MAX: usize = 100;

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// File, with an offset where known.
    pub place: String,
    /// What is wrong.
    pub detail: String,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IntegrityReport {
    /// Version of the last checkpoint.
    pub checkpoint: Version,
    /// Newest version in the log.
    pub newest: Version,
    /// Whether the last shutdown was clean.
    pub was_clean: bool,
    /// Log segments read.
    pub log_segments: u64,
    /// Log records read.
    pub log_records: u64,
    /// Where the log ends in bytes that were never acknowledged, as after a crash. Not damage.
    pub log_torn_at: Option<String>,
    /// Run files read.
    pub runs: u64,
    /// Rows of the base read, per key space.
    pub rows: [u64; KeySpace::COUNT],
    /// What is wrong; empty in a good directory.
    pub findings: Vec<Finding>,
    /// Findings beyond the listed ones.
    pub findings_unlisted: u64,
}

impl IntegrityReport {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }

    pub(crate) fn add(&mut self, error: &StoreError, dir: &Path) {
        if self.findings.len() == FINDINGS_MAX {
            self.findings_unlisted += 1;
            return;
        }
        self.findings.push(match error {
            StoreError::Corruption { place, detail } => Finding {
                place: place.clone(),
                detail: detail.clone(),
            },
            other => Finding {
                place: dir.display().to_string(),
                detail: other.report().message.clone(),
            },
        });
    }
}

impl fmt::Display for IntegrityReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "checkpoint at version {}, newest version {}",
            self.checkpoint, self.newest
        )?;
        let shutdown = if self.was_clean {
            "clean"
        } else {
            "not clean (or still to be opened)"
        };
        writeln!(f, "last shutdown: {shutdown}")?;
        writeln!(
            f,
            "log: {} records in {} segments",
            self.log_records, self.log_segments
        )?;
        if let Some(torn) = &self.log_torn_at {
            writeln!(
                f,
                "log: ends in unacknowledged bytes at {torn} (normal after a crash)"
            )?;
        }
        for space in KeySpace::ALL {
            writeln!(f, "base: {} rows in {space}", self.rows[space.index()])?;
        }
        writeln!(f, "runs: {}", self.runs)?;
        for finding in &self.findings {
            writeln!(f, "DAMAGED {}: {}", finding.place, finding.detail)?;
        }
        if self.findings_unlisted > 0 {
            writeln!(f, "and {} more", self.findings_unlisted)?;
        }
        write!(
            f,
            "{}",
            if self.is_good() {
                "no damage found"
            } else {
                "the directory is damaged"
            }
        )
    }
}

/// Checks the data directory `dir`: reads everything and verifies every checksum.
///
/// No server may have it open. Errors are for what prevents the check; damage is in the report.
pub fn check(dir: &Path) -> Result<IntegrityReport, StoreError> {
    check_with(&Environment::real(), dir, &EmbeddedOptions::default())
}

/// Like [`check`], with an environment and the options the store is opened with.
pub fn check_with(
    env: &Environment,
    dir: &Path,
    options: &EmbeddedOptions,
) -> Result<IntegrityReport, StoreError> {
    // Without this look, checking a wrong path would make a new directory there.
    let version = dir.join("VERSION");
    let failed = |error| StoreError::io(format!("look for {}", version.display()), error);
    if !env.files.exists(&version).map_err(failed)? {
        return Err(StoreError::Foreign {
            path: dir.display().to_string(),
        });
    }
    let directory = DataDirectory::open(env, dir)?;
    let mut report = IntegrityReport::default();
    verify(env, &directory, options, &mut report);
    Ok(report)
}
