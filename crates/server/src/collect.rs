//! Gauges that are read from the engine when somebody asks for the metrics.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tessera_engine::Engine;
use tessera_environment::Environment;
use tessera_telemetry::labels::StoragePart;
use tessera_telemetry::{add_collector, metrics};

/// Registers the collectors of a running server. Call once per process.
pub(crate) fn register(engine: Engine, environment: Environment, data_dir: PathBuf) {
    add_collector(collect_tasks);
    add_collector(move || {
        collect_store(&engine);
        collect_transactions(&engine, &environment);
        engine.collect_lock_metrics();
        if let Ok(bytes) = environment.files.available_bytes(&data_dir) {
            metrics().disk_free.set(whole(bytes));
        }
    });
}

fn collect_tasks() {
    let mut groups: BTreeMap<String, f64> = BTreeMap::new();
    let tasks = tessera_tasks::snapshot();
    metrics().tokio_tasks.set(whole(tasks.len() as u64));
    for task in tasks {
        *groups.entry(task.group.to_owned()).or_default() += 1.0;
    }
    metrics().tasks.replace(groups);
}

fn collect_store(engine: &Engine) {
    let statistics = engine.store_statistics();
    let metrics = metrics();
    metrics
        .versions_recent
        .set(whole(statistics.recent_versions));
    metrics.recent_bytes.set(whole(statistics.recent_bytes));
    metrics.wal_size.set(whole(statistics.log_bytes));
    metrics
        .storage_bytes
        .with(StoragePart::Log)
        .set(whole(statistics.log_bytes));
    metrics
        .storage_bytes
        .with(StoragePart::Base)
        .set(whole(statistics.base_bytes));
    metrics
        .storage_bytes
        .with(StoragePart::Runs)
        .set(whole(statistics.runs_bytes));
}

fn collect_transactions(engine: &Engine, environment: &Environment) {
    let open = engine.transactions();
    let oldest = open.iter().map(|transaction| transaction.started_at).min();
    let now = environment.clock.unix_micros();
    let age = oldest.map_or(0, |started| now.saturating_sub(started).max(0)) as f64 / 1e6;
    metrics().txn_active.set(whole(open.len() as u64));
    metrics().txn_oldest_age.set(age);
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
