//! Append, replay, cut, archive, close.

use std::path::Path;

use tessera_environment::Environment;
use tessera_log::{LogError, LogOptions, scan, verify};
use tessera_types::Version;

use crate::harness::{
    Expected, SEGMENT_BYTES, dir, durable_parent, open, open_with, payload, run, simulated,
};

#[test]
fn what_was_appended_is_replayed_over_many_segments() {
    let (environment, _) = simulated(1);
    let mut expected = Expected::default();
    run(&environment, &mut expected, 60).unwrap();
    run(&environment, &mut expected, 60).unwrap();
    let (log, replayed) = open(&environment, Version::ZERO).unwrap();
    expected.check(&replayed, "at the end");
    assert_eq!(replayed.len(), 120);
    assert_eq!(
        (log.last_version(), log.durable_version()),
        (Version(120), Version(120))
    );
    let found = verify(&environment, dir()).unwrap();
    assert_eq!(
        (found.records, found.last, found.torn_at),
        (120, Some(Version(120)), None)
    );
    assert!(found.segments > 10);
}

#[test]
fn replay_starts_after_the_given_version() {
    let (environment, _) = simulated(1);
    run(&environment, &mut Expected::default(), 50).unwrap();
    for after in 0..=50 {
        let (_, replayed) = open(&environment, Version(after)).unwrap();
        let versions: Vec<u64> = replayed.iter().map(|(version, _)| version.0).collect();
        assert_eq!(versions, (after + 1..=50).collect::<Vec<_>>());
    }
    let error = open(&environment, Version(51)).err().unwrap();
    assert!(matches!(error, LogError::Corruption { .. }), "{error}");
}

/// A segment without a record is replaced, under the same name, when its first record is too large
/// for it. Cutting the log must not take the new one for the old.
#[test]
fn a_first_record_larger_than_a_segment_survives_cuts() {
    let (environment, _) = simulated(1);
    let large = vec![7; 100_000];
    let (log, _) = open_with(
        &environment,
        Version::ZERO,
        LogOptions::deterministic(64 << 10),
    )
    .unwrap();
    let mut expected = Vec::new();
    for content in [large.clone(), vec![1], large] {
        let version = log.enqueue(content.clone()).unwrap();
        log.wait_blocking(version, true).unwrap();
        expected.push((version, content));
        log.cut(Version(1)).unwrap();
    }
    log.close().unwrap();
    let (_, replayed) = open(&environment, Version::ZERO).unwrap();
    assert!(replayed == expected, "{} records", replayed.len());
}

#[test]
fn a_new_log_goes_on_after_the_given_version() {
    let (environment, _) = simulated(1);
    let (log, _) = open(&environment, Version(700)).unwrap();
    assert_eq!(log.enqueue(vec![1]).unwrap(), Version(701));
    log.close().unwrap();
    let error = open(&environment, Version(10)).err().unwrap();
    assert!(
        error.to_string().contains("records 11 to 700 are missing"),
        "{error}"
    );
}

#[test]
fn a_record_larger_than_a_segment_gets_its_own() {
    let (environment, _) = simulated(1);
    let (log, _) = open(&environment, Version::ZERO).unwrap();
    let large = vec![7; 10 * SEGMENT_BYTES as usize];
    for content in [vec![1], large.clone(), vec![2]] {
        let version = log.enqueue(content).unwrap();
        log.wait_blocking(version, true).unwrap();
    }
    drop(log);
    let (_, replayed) = open(&environment, Version::ZERO).unwrap();
    let contents: Vec<Vec<u8>> = replayed.into_iter().map(|(_, content)| content).collect();
    assert_eq!(contents, [vec![1], large, vec![2]]);
}

#[test]
fn cut_removes_whole_segments_and_keeps_the_rest_readable() {
    let (environment, _) = simulated(1);
    let mut expected = Expected::default();
    let (log, _) = open(&environment, Version::ZERO).unwrap();
    for number in 0..80 {
        expected.append(&log, number).unwrap();
    }
    let segments = verify(&environment, dir()).unwrap().segments;
    let removed = log.cut(Version(40)).unwrap();
    assert!(removed > 2 && removed < segments);
    assert_eq!(log.cut(Version(40)).unwrap(), 0);
    assert!(log.bytes_after(Version(40)) > 0);
    assert_eq!(log.bytes_after(Version(80)), 0);
    expected.append(&log, 80).unwrap();
    drop(log);
    assert!(
        open(&environment, Version::ZERO).is_err(),
        "the beginning is gone"
    );
    let (_, replayed) = open(&environment, Version(39)).unwrap();
    assert_eq!(replayed.first().unwrap().0, Version(40));
    assert_eq!(replayed.len(), 42);
}

#[test]
fn cut_may_move_segments_to_an_archive() {
    let (environment, _) = simulated(1);
    let archive = Path::new("/data/archive");
    let options = LogOptions {
        archive: Some(archive.to_owned()),
        ..LogOptions::deterministic(SEGMENT_BYTES)
    };
    let (log, _) = open_with(&environment, Version::ZERO, options).unwrap();
    let mut expected = Expected::default();
    for number in 0..80 {
        expected.append(&log, number).unwrap();
    }
    let removed = log.cut(Version(80)).unwrap();
    let archived = environment.files.list(archive).unwrap();
    assert_eq!(archived.len() as u64, removed);
    assert_eq!(
        scan(&environment, archive, Version::ZERO, &mut |_, _| Ok(()))
            .unwrap()
            .segments,
        removed
    );
}

#[test]
fn after_close_nothing_is_accepted() {
    let (environment, _) = simulated(1);
    let (log, _) = open(&environment, Version::ZERO).unwrap();
    let version = log.enqueue(payload(3)).unwrap();
    log.close().unwrap();
    log.wait_blocking(version, true).unwrap();
    assert!(matches!(log.enqueue(payload(3)), Err(LogError::Closed)));
    log.close().unwrap();
}

#[test]
fn an_error_of_the_receiver_ends_the_replay() {
    let (environment, _) = simulated(1);
    run(&environment, &mut Expected::default(), 5).unwrap();
    let mut seen = 0;
    let error = scan(&environment, dir(), Version::ZERO, &mut |version, _| {
        seen += 1;
        if version == Version(3) {
            Err(LogError::Replay("no".into()))
        } else {
            Ok(())
        }
    });
    assert!(matches!(error, Err(LogError::Replay(_))));
    assert_eq!(seen, 3);
}

#[test]
fn a_buffered_record_reaches_the_disk_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let environment = Environment::real();
    let options = LogOptions {
        segment_bytes: 1 << 20,
        ..LogOptions::default()
    };
    let dir = directory.path().join("log");
    let log = tessera_log::Log::open(&environment, &dir, options, Version::ZERO, &mut |_, _| {
        Ok(())
    })
    .unwrap();
    for number in 0..3 {
        let version = log.enqueue(payload(number)).unwrap();
        log.wait_blocking(version, false).unwrap();
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while log.durable_version() < Version(3) {
        assert!(std::time::Instant::now() < deadline, "not synced in time");
        std::thread::yield_now();
    }
    assert_eq!(log.syncs().0, 1, "one sync for all three");
}

#[test]
fn the_real_file_system_works_like_the_simulated_one() {
    let directory = tempfile::tempdir().unwrap();
    let environment = Environment::real();
    let dir = directory.path().join("log");
    let options = || LogOptions {
        segment_bytes: 64 << 10,
        ..LogOptions::default()
    };
    let mut total = 0;
    for round in 0..3 {
        let mut count = 0;
        let log = tessera_log::Log::open(
            &environment,
            &dir,
            options(),
            Version::ZERO,
            &mut |version, content| {
                assert_eq!(content, payload(version.0));
                count += 1;
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(count, total, "round {round}");
        for _ in 0..100 {
            let version = log.enqueue(payload(log.last_version().0 + 1)).unwrap();
            log.wait_blocking(version, false).unwrap();
            total += 1;
        }
        drop(log);
    }
    assert_eq!(verify(&environment, &dir).unwrap().records, 300);
}

#[test]
fn a_directory_that_a_crash_left_half_made_opens() {
    let (environment, simulation) = Environment::simulated(4);
    durable_parent(&environment);
    drop(open(&environment, Version::ZERO).unwrap());
    let syncs = simulation.sync_count();
    for seed in 0..20 {
        for cut in 0..syncs {
            let (environment, simulation) = simulated(seed);
            simulation.cut_power_at_sync(simulation.sync_count() + cut);
            let _ = open(&environment, Version(5));
            simulation.power_loss();
            let (log, replayed) = open(&environment, Version(5)).unwrap();
            assert!(replayed.is_empty());
            assert_eq!(
                log.enqueue(vec![]).unwrap(),
                Version(6),
                "seed={seed} cut={cut}"
            );
        }
    }
}
