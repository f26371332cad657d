//! How long the log, and the runs it names, stay for readers of changes after a checkpoint has made
//! them unnecessary for anything else.
//!
//! Kept are the newest bytes, and nothing older than the age, whichever is less. The segment being
//! written always stays. When the disk is nearly full, nothing else does.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tessera_log::{Log, Segment};
use tessera_types::Version;

use crate::embedded::changes::runs_of;
use crate::embedded::core::Core;
use crate::embedded::run::RunFile;
use crate::error::StoreError;
use crate::store::RunId;

/// What is kept for readers alone.
#[derive(Default)]
pub(crate) struct Retention {
    /// Commits up to here cannot be read any more.
    horizon: AtomicU64,
    /// Oldest first.
    runs: Mutex<VecDeque<KeptRun>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeptRun {
    pub(crate) version: Version,
    pub(crate) id: RunId,
    pub(crate) bytes: u64,
}

impl Retention {
    pub(crate) fn new(runs: Vec<KeptRun>) -> Retention {
        Retention {
            horizon: AtomicU64::new(0),
            runs: Mutex::new(runs.into()),
        }
    }

    pub(crate) fn horizon(&self) -> Version {
        Version(self.horizon.load(Ordering::Acquire))
    }
}

/// The base has the content of a run: it stays only for readers of changes.
pub(crate) fn retire(core: &Core, version: Version, run: &RunFile) {
    if core.options.changes_bytes_max == 0 {
        run.discard();
        return;
    }
    let kept = KeptRun {
        version,
        id: run.id(),
        bytes: run.bytes(),
    };
    let mut runs = core.retention.runs.lock();
    let at = runs.partition_point(|known| known.version <= version);
    runs.insert(at, kept);
}

/// Removes what is neither needed after `checkpoint` nor to be kept.
pub(crate) fn trim(core: &Core, checkpoint: Version, bytes_max: u64) -> Result<(), StoreError> {
    let Some(log) = &core.log else { return Ok(()) };
    let segments = log.segments();
    let mut runs = core.retention.runs.lock();
    let now = core.env.clock.unix_micros();
    let oldest_micros = core
        .options
        .changes_age_max
        .map(|age| now.saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX)));
    let plan = plan(&segments, &runs, checkpoint, bytes_max, oldest_micros);
    core.retention
        .horizon
        .fetch_max(plan.horizon.0, Ordering::AcqRel);
    for run in runs.drain(..plan.runs) {
        core.runs.remove(run.id)?;
    }
    drop(runs);
    log.cut(plan.cut_before)
        .map_err(|error| core.log_failure(&error))?;
    Ok(())
}

/// What goes.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// So many of the kept runs, oldest first.
    runs: usize,
    /// Segments that end before this version.
    cut_before: Version,
    horizon: Version,
}

fn plan(
    segments: &[Segment],
    runs: &VecDeque<KeptRun>,
    checkpoint: Version,
    bytes_max: u64,
    oldest_micros: Option<i64>,
) -> Plan {
    let mut plan = Plan {
        runs: 0,
        cut_before: Version::ZERO,
        horizon: Version::ZERO,
    };
    // The last one is being written.
    let closed = segments.len().saturating_sub(1);
    let unneeded = segments[..closed].partition_point(|segment| segment.last <= checkpoint);
    let mut bytes: u64 = segments[..unneeded].iter().map(|s| s.bytes).sum::<u64>()
        + runs.iter().map(|run| run.bytes).sum::<u64>();
    let mut at = 0;
    loop {
        let segment = segments[..unneeded].get(at);
        let run = runs.get(plan.runs);
        // Nothing in a segment is newer than the segment after it.
        let is_old = segment.is_some()
            && oldest_micros.is_some_and(|oldest| segments[at + 1].created_unix_micros < oldest);
        if bytes <= bytes_max && !is_old {
            return plan;
        }
        match (run, segment) {
            (Some(run), segment) if segment.is_none_or(|segment| run.version <= segment.last) => {
                plan.horizon = run.version;
                plan.runs += 1;
                bytes -= run.bytes;
            }
            (_, Some(segment)) => {
                plan.horizon = segment.last;
                plan.cut_before = segment.last.next();
                at += 1;
                bytes -= segment.bytes;
            }
            (_, None) => return plan,
        }
    }
}

/// Which of the run files that an opening does not need belong to commits that are kept for
/// readers: found by a look through those commits.
pub(crate) fn kept_runs(
    log: &Log,
    checkpoint: Version,
    strays: &HashSet<RunId>,
) -> Result<Vec<KeptRun>, StoreError> {
    let mut kept = Vec::new();
    let first = log.segments().first().map(|segment| segment.previous);
    let Some(first) = first.filter(|first| *first < checkpoint && !strays.is_empty()) else {
        return Ok(kept);
    };
    let failed = |error| StoreError::io("read the log", std::io::Error::other(error));
    let mut reader = log.reader(first).map_err(failed)?;
    while let Some(record) = reader.next(checkpoint).map_err(failed)? {
        let version = record.version();
        if version > checkpoint {
            break;
        }
        for reference in runs_of(record)? {
            if strays.contains(&reference.id) {
                kept.push(KeptRun {
                    version,
                    id: reference.id,
                    bytes: reference.bytes,
                });
            }
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(previous: u64, last: u64) -> Segment {
        Segment {
            previous: Version(previous),
            last: Version(last),
            bytes: 10,
            created_unix_micros: previous as i64,
        }
    }

    fn run(version: u64, bytes: u64) -> KeptRun {
        KeptRun {
            version: Version(version),
            id: RunId(version),
            bytes,
        }
    }

    fn check(runs: &[KeptRun], checkpoint: u64, bytes_max: u64, age: Option<i64>, want: [u64; 3]) {
        let segments = [
            segment(0, 5),
            segment(5, 9),
            segment(9, 14),
            segment(14, 14),
        ];
        let runs: VecDeque<_> = runs.iter().copied().collect();
        let found = plan(&segments, &runs, Version(checkpoint), bytes_max, age);
        let found = [found.runs as u64, found.cut_before.0, found.horizon.0];
        assert_eq!(found, want, "{checkpoint} {bytes_max} {age:?}");
    }

    #[test]
    fn the_oldest_go_until_the_rest_fits() {
        check(&[], 14, 30, None, [0, 0, 0]);
        check(&[], 14, 20, None, [0, 6, 5]);
        check(&[], 14, 0, None, [0, 15, 14]);
        // What the checkpoint still needs neither goes nor counts.
        check(&[], 8, 0, None, [0, 6, 5]);
        check(&[], 8, 10, None, [0, 0, 0]);
    }

    #[test]
    fn runs_go_in_the_order_of_their_commits_and_make_a_horizon() {
        check(&[run(7, 100)], 14, 130, None, [0, 0, 0]);
        check(&[run(7, 100)], 14, 120, None, [0, 6, 5]);
        check(&[run(7, 100)], 14, 30, None, [1, 6, 7]);
        // A run of a commit in the segment being written goes alone.
        check(&[run(16, 100)], 16, 0, None, [1, 15, 16]);
    }

    #[test]
    fn what_is_too_old_goes_though_there_is_room() {
        check(&[], 14, 1_000, Some(9), [0, 6, 5]);
        check(&[], 14, 1_000, Some(5), [0, 0, 0]);
        check(&[], 14, 1_000, Some(100), [0, 15, 14]);
    }
}
