//! Waiting transactions share one sync.

use std::sync::Barrier;

use tessera_types::Version;

use crate::harness::{Expected, Fate, open, payload, simulated};

#[test]
fn waiting_transactions_share_syncs() {
    const THREADS: u64 = 16;
    const EACH: u64 = 50;
    let (environment, _simulation) = simulated(1);
    let (log, _) = open(&environment, Version::ZERO).unwrap();
    let barrier = Barrier::new(THREADS as usize);
    let versions = std::thread::scope(|scope| {
        let threads = (0..THREADS).map(|_| {
            scope.spawn(|| {
                let mut mine = Vec::new();
                barrier.wait();
                for _ in 0..EACH {
                    let content = vec![1; 20];
                    let version = log.enqueue(content.clone()).unwrap();
                    log.wait_blocking(version, true).unwrap();
                    mine.push(version);
                }
                mine
            })
        });
        let threads: Vec<_> = threads.collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect::<Vec<_>>()
    });
    let mut expected = Expected::default();
    for version in versions {
        expected
            .records
            .insert(version, (vec![1; 20], Fate::Acknowledged));
    }
    assert_eq!(expected.records.len() as u64, THREADS * EACH);
    let (syncs, _) = log.syncs();
    assert!(syncs < THREADS * EACH, "{syncs} syncs");
    drop(log);
    let (_, replayed) = open(&environment, Version::ZERO).unwrap();
    expected.check(&replayed, "at the end");
}

#[test]
fn records_that_wait_together_need_one_write_and_one_sync() {
    let (environment, simulation) = simulated(1);
    let (log, _) = open(&environment, Version::ZERO).unwrap();
    for _ in 0..20 {
        log.enqueue(payload(1)).unwrap();
    }
    let count = |operation| simulation.count(operation);
    let before = [
        tessera_environment::Operation::Write,
        tessera_environment::Operation::Sync,
    ]
    .map(|operation| (operation, count(operation)));
    log.wait_blocking(Version(20), true).unwrap();
    for (operation, before) in before {
        assert_eq!(count(operation) - before, 1, "{operation:?}");
    }
    for version in 1..20 {
        log.wait_blocking(Version(version), true).unwrap();
    }
}

#[test]
fn writes_batches_and_syncs_are_measured() {
    let metrics = tessera_telemetry::metrics();
    let (bytes, (batches, records), (syncs, _)) = (
        metrics.wal_bytes.value(),
        metrics.group_commit_batch_size.totals(),
        metrics.wal_fsync_duration.totals(),
    );
    let (environment, _simulation) = simulated(1);
    let (log, _) = open(&environment, Version::ZERO).unwrap();
    for _ in 0..20 {
        log.enqueue(payload(1)).unwrap();
    }
    log.wait_blocking(Version(20), true).unwrap();
    // Other tests of the process may write at the same time.
    assert!(metrics.wal_bytes.value() >= bytes + 20 * 56);
    let (batches_now, records_now) = metrics.group_commit_batch_size.totals();
    assert!(batches_now > batches && records_now >= records + 20.0);
    assert!(metrics.wal_fsync_duration.totals().0 > syncs);
}
