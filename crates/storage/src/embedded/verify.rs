//! Reads everything a data directory holds and verifies every checksum.

use std::sync::Arc;

use tessera_environment::Environment;
use tessera_log::LogError;
use tessera_types::Version;

use crate::check::IntegrityReport;
use crate::directory::DataDirectory;
use crate::embedded::base;
use crate::embedded::open::log_error;
use crate::embedded::options::EmbeddedOptions;
use crate::embedded::record::{self, Record};
use crate::embedded::run::RunSet;
use crate::error::StoreError;
use crate::range::{KeyRange, KeySpace};

pub(crate) fn verify(
    env: &Environment,
    directory: &DataDirectory,
    options: &EmbeddedOptions,
    report: &mut IntegrityReport,
) {
    match directory.clean_mark() {
        Ok(mark) => report.was_clean = mark.is_some(),
        Err(error) => report.add(&error, directory.path()),
    }
    let checkpoint = verify_base(env, directory, options, report);
    verify_log(env, directory, report);
    verify_records(env, directory, checkpoint, report);
    if report.was_clean
        && let Ok(Some(mark)) = directory.clean_mark()
        && report.newest < mark.last
    {
        let (found, expected) = (report.newest, mark.last);
        let detail = format!("the log ends at {found}, but it was closed at {expected}");
        let place = directory.log_dir();
        report.add(
            &StoreError::corruption(place.display(), detail),
            directory.path(),
        );
    }
}

/// Reads every row. Returns the checkpoint, if it can be read.
fn verify_base(
    env: &Environment,
    directory: &DataDirectory,
    options: &EmbeddedOptions,
    report: &mut IntegrityReport,
) -> Option<Version> {
    let dir = directory.base_dir();
    let base = match base::open(env, &dir, options) {
        Ok(base) => base,
        Err(error) => {
            report.add(&error, &dir);
            return None;
        }
    };
    let view = base.view();
    for space in KeySpace::ALL {
        for row in view.rows(space, &KeyRange::all(), false) {
            match row {
                Ok(_) => report.rows[space.index()] += 1,
                // Behind damage the order of rows is not known any more.
                Err(error) => {
                    let files = base.damaged_files(space);
                    if files.is_empty() {
                        report.add(&error, &dir);
                    }
                    for error in &files {
                        report.add(error, &dir);
                    }
                    break;
                }
            }
        }
    }
    match base.checkpoint() {
        Ok(checkpoint) => {
            report.checkpoint = checkpoint;
            Some(checkpoint)
        }
        Err(error) => {
            report.add(&error, &dir);
            None
        }
    }
}

fn verify_log(env: &Environment, directory: &DataDirectory, report: &mut IntegrityReport) {
    let dir = directory.log_dir();
    match tessera_log::verify(env, &dir) {
        Ok(scan) => {
            report.log_segments = scan.segments;
            report.log_records = scan.records;
            report.newest = scan.last.unwrap_or_default().max(report.checkpoint);
            let torn = scan
                .torn_at
                .map(|(file, at)| format!("{} byte {at}", file.display()));
            report.log_torn_at = torn;
        }
        Err(error) => report.add(&log_error(error, &dir), &dir),
    }
}

/// Decodes what an opening would replay, and reads the runs it refers to.
fn verify_records(
    env: &Environment,
    directory: &DataDirectory,
    checkpoint: Option<Version>,
    report: &mut IntegrityReport,
) {
    let Some(checkpoint) = checkpoint else { return };
    let (dir, runs_dir) = (directory.log_dir(), directory.runs_dir());
    let runs = match RunSet::open(env, &runs_dir) {
        Ok(runs) => Arc::new(runs),
        Err(error) => return report.add(&error, &runs_dir),
    };
    let mut replay = |version: Version, payload: &[u8]| {
        match record::decode(payload) {
            Ok(Record::Commit {
                runs: references, ..
            }) => {
                for reference in references {
                    report.runs += 1;
                    let run = runs.open_run(&reference);
                    if let Err(error) = run.and_then(|run| run.verify()) {
                        report.add(&error, &runs_dir);
                    }
                }
            }
            Ok(Record::Destroy { .. }) => {}
            Err(error) => {
                let place = format!("log record {version}");
                report.add(&StoreError::corruption(place, error.0), &dir);
            }
        }
        Ok::<(), LogError>(())
    };
    // What cannot be read was reported by the pass over the whole log, but for a gap.
    if let Err(error) = tessera_log::scan(env, &dir, checkpoint, &mut replay) {
        let error = log_error(error, &dir);
        let is_known = report
            .findings
            .iter()
            .any(|finding| error.to_string().contains(&finding.detail));
        if !is_known {
            report.add(&error, &dir);
        }
    }
}
