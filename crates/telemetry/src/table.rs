//! Every metric, once: name, type, unit, help, labels.
//!
//! `docs/reference/metrics.md` is generated from this table.

use std::sync::LazyLock;

use crate::family::{Dynamic, Family};
use crate::instrument::{Counter, FloatGauge, Gauge, Histogram};
use crate::labels::*;
use crate::render::Sink;

/// Kinds of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows; its exposed name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often which size occurred.
    Histogram,
}

impl MetricKind {
    /// The word of the exposition format.
    pub fn as_str(self) -> &'static str {
        match self {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        }
    }
}

/// Units; the exposed name ends in the unit where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A plain number.
    Count,
    /// Seconds.
    Seconds,
    /// Seconds since 1970-01-01 UTC.
    Timestamp,
    /// Bytes.
    Bytes,
    /// 0 to 1.
    Ratio,
}

impl Unit {
    /// The word in names and documentation.
    pub fn as_str(self) -> &'static str {
        match self {
            Unit::Count => "",
            Unit::Seconds | Unit::Timestamp => "seconds",
            Unit::Bytes => "bytes",
            Unit::Ratio => "ratio",
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct MetricDescription {
    /// As exposed, with its prefix.
    pub name: &'static str,
    /// Its kind.
    pub kind: MetricKind,
    /// Its unit.
    pub unit: Unit,
    /// What it says, one sentence.
    pub help: &'static str,
    /// Label names.
    pub labels: &'static [&'static str],
    /// Most series it can have.
    pub series_max: usize,
}

/// What can stand in the table.
pub(crate) trait Instrument {
    const SERIES_MAX: usize;
    const LABELS: &'static [&'static str];
    fn new(unit: Unit) -> Self;
    fn render(&self, description: &MetricDescription, sink: &mut Sink);
}

macro_rules! plain {
    ($type:ty, $new:expr, $sample:ident) => {
        impl Instrument for $type {
            const SERIES_MAX: usize = 1;
            const LABELS: &'static [&'static str] = &[];

            fn new(unit: Unit) -> $type {
                let new: fn(Unit) -> $type = $new;
                new(unit)
            }

            fn render(&self, description: &MetricDescription, sink: &mut Sink) {
                sink.$sample(description, &[], self);
            }
        }

        impl<L: LabelSet> Instrument for Family<$type, L> {
            const SERIES_MAX: usize = L::COUNT;
            const LABELS: &'static [&'static str] = L::NAMES;

            fn new(unit: Unit) -> Self {
                Family::new(|| <$type as Instrument>::new(unit))
            }

            fn render(&self, description: &MetricDescription, sink: &mut Sink) {
                for (values, member) in self.iter() {
                    sink.$sample(description, &values, member);
                }
            }
        }
    };
}

plain!(Counter, |_| Counter::default(), counter);
plain!(Gauge, |_| Gauge::default(), gauge);
plain!(FloatGauge, |_| FloatGauge::default(), float_gauge);
plain!(Histogram, Histogram::new, histogram);

macro_rules! dynamic {
    ($($type:ident $label:literal)+) => {$(
        #[doc = concat!("Numbers by `", $label, "`.")]
        #[derive(Debug)]
        pub struct $type(Dynamic);

        impl std::ops::Deref for $type {
            type Target = Dynamic;

            fn deref(&self) -> &Dynamic {
                &self.0
            }
        }

        impl Instrument for $type {
            const SERIES_MAX: usize = crate::family::SERIES_MAX + 1;
            const LABELS: &'static [&'static str] = &[$label];

            fn new(_: Unit) -> $type {
                $type(Dynamic::new())
            }

            fn render(&self, description: &MetricDescription, sink: &mut Sink) {
                for (label, value) in self.0.all() {
                    sink.number(description, &[&label], value);
                }
            }
        }
    )+};
}

dynamic! {
    ByCheck "check"
    ByGroup "group"
    ByRelation "relation"
    BySqlstateClass "sqlstate_class"
    ByVersion "version"
}

macro_rules! metrics {
    ($($field:ident: $type:ty, $kind:ident, $unit:ident, $name:literal, $help:literal;)+) => {
        /// Handles of all metrics. Get them with [`metrics`].
        #[derive(Debug)]
        pub struct Metrics {
            $(#[doc = $help] pub $field: $type,)+
        }

        /// All metrics, in the order of their exposition.
        pub const METRICS: &[MetricDescription] = &[$(
            MetricDescription {
                name: $name,
                kind: MetricKind::$kind,
                unit: Unit::$unit,
                help: $help,
                labels: <$type as Instrument>::LABELS,
                series_max: <$type as Instrument>::SERIES_MAX,
            },
        )+];

        impl Metrics {
            fn new() -> Metrics {
                Metrics { $($field: <$type as Instrument>::new(Unit::$unit),)+ }
            }

            pub(crate) fn render(&self, sink: &mut Sink) {
                let mut descriptions = METRICS.iter();
                $(
                    let description =
                        descriptions.next().expect("the table has one row per field");
                    sink.head(description);
                    Instrument::render(&self.$field, description, sink);
                )+
            }
        }
    };
}

metrics! {
    // Process.
    build_info: ByVersion, Gauge, Count, "tessera_build_info", "Always 1; the label names the running version.";
    start_time: FloatGauge, Gauge, Timestamp, "tessera_start_time_seconds", "When the server started.";
    uptime: FloatGauge, Gauge, Seconds, "tessera_uptime_seconds", "Time since the server started.";
    process_cpu: FloatGauge, Counter, Seconds, "process_cpu_seconds_total", "Processor time used by the server, user and system.";
    process_resident_memory: FloatGauge, Gauge, Bytes, "process_resident_memory_bytes", "Memory of the server that is in RAM.";
    process_open_fds: FloatGauge, Gauge, Count, "process_open_fds", "Open file descriptors.";
    process_max_fds: FloatGauge, Gauge, Count, "process_max_fds", "Most file descriptors the server may open.";
    process_threads: FloatGauge, Gauge, Count, "process_threads", "Threads of the server.";
    memory_limit: FloatGauge, Gauge, Bytes, "tessera_memory_limit_bytes", "Memory the server may use: the limit of its control group, or the machine's memory.";
    tasks: ByGroup, Gauge, Count, "tessera_tasks", "Tasks alive, by task group.";
    tokio_tasks: Gauge, Gauge, Count, "tessera_tokio_tasks", "Tasks alive in all task groups.";

    // Health.
    health_status: ByCheck, Gauge, Ratio, "tessera_health_status_ratio", "1 while the check passes, 0.5 with a warning, 0 while it fails.";

    // Connections.
    connections: Family<Gauge, (Protocol, ConnectionState)>, Gauge, Count, "tessera_connections", "Open connections.";
    connections_max: Gauge, Gauge, Count, "tessera_connections_max", "Most PostgreSQL connections at the same time, reserved ones included.";
    connections_total: Family<Counter, (Protocol, ConnectionResult)>, Counter, Count, "tessera_connections_total", "Connection attempts.";
    connection_duration: Family<Histogram, Protocol>, Histogram, Seconds, "tessera_connection_duration_seconds", "How long connections lasted.";
    auth_attempts: Family<Counter, (Protocol, AuthMethod, Outcome)>, Counter, Count, "tessera_auth_attempts_total", "Attempts to log in.";
    tls_handshake_duration: Histogram, Histogram, Seconds, "tessera_tls_handshake_duration_seconds", "How long TLS handshakes took.";
    network_bytes: Family<Counter, (Protocol, Direction)>, Counter, Bytes, "tessera_network_bytes_total", "Bytes received from and sent to clients.";
    protocol_messages: Family<Counter, (Protocol, Message)>, Counter, Count, "tessera_protocol_messages_total", "Messages received from clients.";

    // HTTP.
    http_requests: Family<Counter, (Route, HttpMethod, HttpCode)>, Counter, Count, "tessera_http_requests_total", "Answered HTTP requests.";
    http_request_duration: Family<Histogram, Route>, Histogram, Seconds, "tessera_http_request_duration_seconds", "Time from the end of the request's head to the answer.";

    // Redis.
    redis_commands: Family<Counter, (CommandClass, Outcome)>, Counter, Count, "tessera_redis_commands_total", "Commands of the Redis protocol that were run, by their group.";
    redis_command_duration: Family<Histogram, CommandClass>, Histogram, Seconds, "tessera_redis_command_duration_seconds", "Time from the begin of a Redis command to its answer, the commit included.";
    redis_commands_received: Counter, Counter, Count, "tessera_redis_commands_received_total", "Commands of the Redis protocol that arrived, queued and refused ones included.";
    redis_error_replies: Counter, Counter, Count, "tessera_redis_error_replies_total", "Errors that Redis clients were answered.";
    redis_blocked_clients: Gauge, Gauge, Count, "tessera_redis_blocked_clients", "Redis clients that wait for keys.";

    // SQL.
    statements: Family<Counter, (StatementKind, Path, Outcome)>, Counter, Count, "tessera_statements_total", "Finished statements.";
    statement_duration: Family<Histogram, (StatementKind, Path)>, Histogram, Seconds, "tessera_statement_duration_seconds", "How long statements ran.";
    statement_errors: BySqlstateClass, Counter, Count, "tessera_statement_errors_total", "Failed statements by class of SQLSTATE.";
    statements_active: Gauge, Gauge, Count, "tessera_statements_active", "Statements running now.";
    statements_cancelled: Family<Counter, CancelReason>, Counter, Count, "tessera_statements_cancelled_total", "Cancelled statements.";
    parse_duration: Histogram, Histogram, Seconds, "tessera_parse_duration_seconds", "Time to parse one SQL text.";
    plan_duration: Histogram, Histogram, Seconds, "tessera_plan_duration_seconds", "Time to plan one statement.";

    // Transactions.
    txn_total: Family<Counter, (TxnOutcome, Isolation)>, Counter, Count, "tessera_txn_total", "Finished transactions.";
    txn_duration: Family<Histogram, TxnOutcome>, Histogram, Seconds, "tessera_txn_duration_seconds", "How long transactions lasted.";
    txn_active: Gauge, Gauge, Count, "tessera_txn_active", "Open transactions.";
    txn_oldest_age: FloatGauge, Gauge, Seconds, "tessera_txn_oldest_age_seconds", "Age of the oldest open transaction.";
    statement_retries: Counter, Counter, Count, "tessera_statement_retries_total", "Statements that lost a conflict and were run again by the server.";
    txn_conflicts: Counter, Counter, Count, "tessera_txn_conflicts_total", "Transactions that lost a row to one that committed first (40001).";
    commit_duration: Histogram, Histogram, Seconds, "tessera_commit_duration_seconds", "Time to commit a transaction that wrote: validation, log, publication.";
    group_commit_batch_size: Histogram, Histogram, Count, "tessera_group_commit_batch_size", "Transactions written to the log together.";
    versions_recent: Gauge, Gauge, Count, "tessera_versions_recent", "Row versions held in memory and not yet in the base.";
    recent_bytes: Gauge, Gauge, Bytes, "tessera_recent_bytes", "Memory of row versions not yet in the base.";

    // Locks.
    lock_acquisitions: Family<Counter, (LockMode, LockPath, LockResult)>, Counter, Count, "tessera_lock_acquisitions_total", "Requests for locks.";
    lock_wait_duration: Family<Histogram, (LockMode, ResourceClass)>, Histogram, Seconds, "tessera_lock_wait_duration_seconds", "How long requests waited for locks.";
    lock_waiters: Gauge, Gauge, Count, "tessera_lock_waiters", "Requests waiting for locks now.";
    lock_escalations: Counter, Counter, Count, "tessera_lock_escalations_total", "Times that many row locks became one relation lock.";
    lock_timeouts: Counter, Counter, Count, "tessera_lock_timeouts_total", "Requests that gave up waiting.";
    lock_relation_wait: ByRelation, Counter, Seconds, "tessera_lock_relation_wait_seconds_total", "Time that requests waited for locks, by number of the relation.";
    lock_held: Family<Gauge, (LockMode, ResourceClass)>, Gauge, Count, "tessera_lock_held", "Locks granted and not released.";
    lock_wait_chain_length: Gauge, Gauge, Count, "tessera_lock_wait_chain_length", "Transactions in the longest chain of which each waits for the next one.";
    lock_wait_oldest: FloatGauge, Gauge, Seconds, "tessera_lock_wait_oldest_seconds", "How long the longest present wait for a lock has lasted.";
    lock_table_entries: Gauge, Gauge, Count, "tessera_lock_table_entries", "Resources in the lock table; intention locks of the fast path are not in it.";
    deadlocks: Family<Counter, ResourceClass>, Counter, Count, "tessera_deadlocks_total", "Deadlocks found.";
    deadlock_victims: Family<Counter, Victim>, Counter, Count, "tessera_deadlock_victims_total", "Victims of deadlocks by what decided the choice.";
    deadlock_detection_duration: Histogram, Histogram, Seconds, "tessera_deadlock_detection_duration_seconds", "How long searches for deadlocks took.";

    // Log and storage.
    wal_bytes: Counter, Counter, Bytes, "tessera_wal_bytes_total", "Bytes written to the log.";
    wal_size: Gauge, Gauge, Bytes, "tessera_wal_size_bytes", "Bytes of log that a restart would replay.";
    wal_fsync_duration: Histogram, Histogram, Seconds, "tessera_wal_fsync_duration_seconds", "How long syncs of the log took.";
    wal_append_duration: Histogram, Histogram, Seconds, "tessera_wal_append_duration_seconds", "How long writes to the log took.";
    checkpoint_duration: Histogram, Histogram, Seconds, "tessera_checkpoint_duration_seconds", "How long checkpoints took.";
    checkpoint_last: FloatGauge, Gauge, Timestamp, "tessera_checkpoint_last_timestamp_seconds", "When the last checkpoint ended.";
    recovery_duration: FloatGauge, Gauge, Seconds, "tessera_recovery_duration_seconds", "How long the start took to replay the log.";
    storage_bytes: Family<Gauge, StoragePart>, Gauge, Bytes, "tessera_storage_bytes", "Disk space used by the parts of the store.";
    disk_free: Gauge, Gauge, Bytes, "tessera_disk_free_bytes", "Free space on the file system of the data directory.";
    write_stall: Family<FloatGauge, StallReason>, Counter, Seconds, "tessera_write_stall_seconds_total", "Time that writers were slowed down.";
    checksum_failures: Family<Counter, ChecksumPlace>, Counter, Count, "tessera_checksum_failures_total", "Stored bytes that are not what was written.";

    // Safety.
    log_records: Family<Counter, Level>, Counter, Count, "tessera_log_records_total", "Records written to the server's log.";
}

/// The handles of all metrics.
pub fn metrics() -> &'static Metrics {
    static ALL: LazyLock<Metrics> = LazyLock::new(Metrics::new);
    &ALL
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// The naming rules of prometheus.io/docs/practices/naming, and ours.
    #[test]
    fn names_follow_the_conventions() {
        let mut names = HashSet::new();
        for metric in METRICS {
            let MetricDescription {
                name,
                kind,
                unit,
                help,
                ..
            } = metric;
            assert!(names.insert(name), "{name} twice");
            assert!(
                name.starts_with("tessera_") || name.starts_with("process_"),
                "{name}"
            );
            assert_eq!(
                *kind == MetricKind::Counter,
                name.ends_with("_total"),
                "{name}"
            );
            let base = name.strip_suffix("_total").unwrap_or(name);
            assert!(base.ends_with(unit.as_str()), "{name} must end in its unit");
            assert!(help.ends_with('.') && help.len() > 10, "{name}");
        }
    }

    #[test]
    fn the_number_of_series_stays_within_the_budget() {
        let series: usize = METRICS
            .iter()
            .filter(|metric| metric.labels.len() > 1 || metric.series_max < 60)
            .map(|metric| metric.series_max)
            .sum();
        assert!(series < 1200, "{series}");
    }
}
