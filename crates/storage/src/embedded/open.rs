//! Opens an embedded store: the base at its checkpoint, then the log after it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use parking_lot::{Mutex, RwLock};
use tessera_environment::Environment;
use tessera_log::{Log, LogError};
use tessera_telemetry::labels::ChecksumPlace;
use tessera_telemetry::metrics;
use tessera_types::Version;

use crate::batch::CommitOutcome;
use crate::capabilities::Capabilities;
use crate::directory::{CleanMark, DataDirectory};
use crate::embedded::base;
use crate::embedded::cache::RowCache;
use crate::embedded::checkpoint::Checkpointer;
use crate::embedded::core::{Core, Counters, Outcomes, SpaceWatch};
use crate::embedded::finisher::Finisher;
use crate::embedded::options::{
    BATCH_BYTES_MAX, BATCH_READS_MAX, BATCH_RUNS_MAX, BATCH_WRITES_MAX, EmbeddedOptions,
    KEY_BYTES_MAX, VALUE_BYTES_MAX,
};
use crate::embedded::pressure::Pressure;
use crate::embedded::publish::Publisher;
use crate::embedded::recent::Recent;
use crate::embedded::record::{self, Record};
use crate::embedded::retention::{self, Retention};
use crate::embedded::run::{CommittedRun, RunSet};
use crate::embedded::sequencer::Sequencer;
use crate::embedded::views::{Additions, Destroyed, Views};
use crate::error::StoreError;

/// Opens or makes the store in `dir`.
pub(crate) fn open(
    env: &Environment,
    dir: &Path,
    options: EmbeddedOptions,
) -> Result<Arc<Core>, StoreError> {
    let directory = DataDirectory::open(env, dir)?;
    let base = base::open(env, &directory.base_dir(), &options)?;
    let checkpoint = base.checkpoint()?;
    let runs = Arc::new(RunSet::open(env, &directory.runs_dir())?);
    let recent = Recent::new();
    let views = Views::new(checkpoint, checkpoint, base.view(), Vec::new(), Vec::new());
    let mut replay = Replay {
        recent: &recent,
        views: &views,
        runs: &runs,
        run_bytes: 0,
        owned: HashSet::new(),
        outcomes: Outcomes::default(),
    };
    let started = env.clock.monotonic();
    let opened = open_log(&directory, &options, checkpoint, &mut replay, env);
    let (run_bytes, mut owned, outcomes) = (replay.run_bytes, replay.owned, replay.outcomes);
    let mut kept = Vec::new();
    let (log, read_only) = match opened {
        Ok(log) => {
            let strays = match options.changes_bytes_max {
                0 => HashSet::new(),
                _ => runs.strays(&owned)?,
            };
            kept = retention::kept_runs(&log, checkpoint, &strays)?;
            owned.extend(kept.iter().map(|run| run.id));
            runs.sweep(&owned)?;
            directory.remove_clean_mark()?;
            (Some(log), None)
        }
        Err(error @ StoreError::Corruption { .. }) => {
            let reason = safe_mode(&error, views.newest());
            tracing::error!(%reason, "opened in safe mode");
            (None, Some(reason))
        }
        Err(error) => return Err(error),
    };
    let newest = views.newest();
    let took = env.clock.monotonic().saturating_sub(started);
    metrics().recovery_duration.set(took.as_secs_f64());
    tracing::info!(%checkpoint, %newest, took_ms = took.as_millis() as u64, "the store is open");
    Ok(Arc::new(Core {
        env: env.clone(),
        capabilities: capabilities(&options),
        cache: RowCache::new(options.row_cache_bytes, checkpoint),
        options,
        directory,
        log,
        recent,
        recent_pinned: AtomicU64::new(0),
        views,
        base,
        runs,
        run_bytes: AtomicU64::new(run_bytes),
        sequencer: Sequencer::default(),
        publisher: Publisher::default(),
        pressure: Pressure::new(),
        checkpointer: Checkpointer::default(),
        finisher: Finisher::default(),
        retention: Retention::new(kept),
        counters: Counters::default(),
        is_closed: AtomicBool::new(false),
        read_only: RwLock::new(read_only),
        space: SpaceWatch::default(),
        outcomes: Mutex::new(outcomes),
    }))
}

fn capabilities(options: &EmbeddedOptions) -> Capabilities {
    // A record has a few bytes around every write; the limit leaves room for them.
    let batch_bytes_max = BATCH_BYTES_MAX.min(options.log.record_bytes_max / 4 * 3);
    Capabilities {
        engine: "embedded",
        is_durable: true,
        key_bytes_max: KEY_BYTES_MAX,
        value_bytes_max: VALUE_BYTES_MAX.min(batch_bytes_max),
        batch_bytes_max,
        batch_writes_max: BATCH_WRITES_MAX,
        batch_runs_max: BATCH_RUNS_MAX,
        batch_reads_max: BATCH_READS_MAX,
        snapshot_age_max: None,
    }
}

fn safe_mode(error: &StoreError, newest: Version) -> Arc<str> {
    format!(
        "safe mode: {error}; everything up to version {newest} can be read. Keep a copy of the \
         data directory, run `tessera check` on it, and restore the last backup or copy the data \
         into a new directory"
    )
    .into()
}

fn open_log(
    directory: &DataDirectory,
    options: &EmbeddedOptions,
    checkpoint: Version,
    replay: &mut Replay<'_>,
    env: &Environment,
) -> Result<Log, StoreError> {
    let mark = directory.clean_mark()?;
    let log_dir = directory.log_dir();
    if checkpoint > Version::ZERO && !directory.has_log()? {
        let detail = format!("the log is missing, the base is at version {checkpoint}");
        return Err(StoreError::corruption(log_dir.display(), detail));
    }
    let mut apply = |version, payload: &[u8]| {
        replay
            .apply(version, payload)
            .map_err(|error| LogError::Replay(Box::new(error)))
    };
    let log = Log::open(env, &log_dir, options.log.clone(), checkpoint, &mut apply)
        .map_err(|error| log_error(error, &log_dir))?;
    check_mark(mark, log.last_version(), &log_dir)?;
    Ok(log)
}

/// After a clean shutdown nothing may be missing at the end.
fn check_mark(mark: Option<CleanMark>, last: Version, log_dir: &Path) -> Result<(), StoreError> {
    match mark {
        Some(mark) if last < mark.last => {
            let expected = mark.last;
            let detail = format!("the log ends at version {last}, but it was closed at {expected}");
            Err(StoreError::corruption(log_dir.display(), detail))
        }
        _ => Ok(()),
    }
}

pub(crate) fn log_error(error: LogError, log_dir: &Path) -> StoreError {
    match error {
        LogError::Corruption { file, offset, what } => {
            metrics()
                .checksum_failures
                .with(ChecksumPlace::Log)
                .increment();
            StoreError::corruption(format!("{} at byte {offset}", file.display()), what)
        }
        LogError::Replay(source) => match source.downcast::<StoreError>() {
            Ok(error) => *error,
            Err(source) => StoreError::corruption(log_dir.display(), source),
        },
        LogError::Format { found, known } => StoreError::Format { found, known },
        LogError::DiskFull => StoreError::DiskFull,
        LogError::Io {
            action,
            path,
            source,
        } => StoreError::io(format!("{action} {}", path.display()), source),
        other => StoreError::io(
            format!("open {}", log_dir.display()),
            std::io::Error::other(other),
        ),
    }
}

/// Applies records of the log to an empty memory.
struct Replay<'a> {
    recent: &'a Recent,
    views: &'a Views,
    runs: &'a RunSet,
    run_bytes: u64,
    owned: HashSet<crate::store::RunId>,
    outcomes: Outcomes,
}

impl Replay<'_> {
    fn apply(&mut self, version: Version, payload: &[u8]) -> Result<(), StoreError> {
        let damaged = |detail| StoreError::corruption(format!("log record {version}"), detail);
        let additions = match record::decode(payload).map_err(|error| damaged(error.0))? {
            Record::Commit {
                txn,
                origin: _,
                runs,
                writes,
            } => {
                let mut committed = Vec::new();
                for reference in &runs {
                    let file = self.runs.open_run(reference)?;
                    self.run_bytes += file.bytes();
                    self.owned.insert(file.id());
                    committed.push(Arc::new(CommittedRun { version, file }));
                }
                for (space, key, write) in writes {
                    self.recent
                        .insert(space, &key, version, write.into_value(), self.views);
                }
                self.outcomes.put(txn, CommitOutcome::Committed(version));
                Additions {
                    runs: committed,
                    destroyed: None,
                }
            }
            Record::Destroy { space, range } => {
                let destroyed = Some(Destroyed {
                    version,
                    space,
                    range,
                });
                Additions {
                    runs: Vec::new(),
                    destroyed,
                }
            }
        };
        self.views.publish(version, additions);
        Ok(())
    }
}
