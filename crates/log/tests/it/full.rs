//! A full disk refuses commits cleanly, and they go on when there is room again.

use tessera_log::{LogError, LogHealth};
use tessera_types::Version;

use crate::harness::{Expected, Fate, open, payload, run, simulated};

#[test]
fn a_full_disk_refuses_with_53100_and_recovers() {
    let (environment, simulation) = simulated(1);
    let mut expected = Expected::default();
    let (log, _) = open(&environment, Version::ZERO).unwrap();
    for number in 0..4 {
        expected.append(&log, number).unwrap();
    }
    for episode in 0..3 {
        simulation.disk_full(2000);
        let mut refused = 0;
        for number in 0..20 {
            match expected.append(&log, number) {
                Ok(_) => {}
                Err(LogError::DiskFull) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(refused > 0, "episode {episode}");
        assert_eq!(log.health(), LogHealth::DiskFull);
        assert_eq!(LogError::DiskFull.code().0.as_str(), "53100");
        simulation.set_capacity(None);
        for number in 0..20 {
            expected.append(&log, number).unwrap();
        }
        assert_eq!(log.health(), LogHealth::Good);
    }
    drop(log);
    let (_, replayed) = open(&environment, Version::ZERO).unwrap();
    expected.check(&replayed, "after three episodes");
}

#[test]
fn what_was_acknowledged_without_waiting_survives_a_full_disk() {
    let (environment, simulation) = simulated(1);
    let mut expected = Expected::default();
    let (log, _) = open(&environment, Version::ZERO).unwrap();
    expected.append(&log, 4).unwrap();
    simulation.disk_full(0);
    // Accepted: nobody knows yet that the disk is full.
    let content = payload(4);
    let buffered = log.enqueue(content.clone()).unwrap();
    log.wait_blocking(buffered, false).unwrap();
    expected
        .records
        .insert(buffered, (content, Fate::Acknowledged));
    assert!(matches!(expected.append(&log, 4), Err(LogError::DiskFull)));
    // From now on not even a promise is given.
    let content = payload(4);
    let refused = log.enqueue(content.clone()).unwrap();
    expected.records.insert(refused, (content, Fate::Refused));
    simulation.advance(std::time::Duration::from_secs(1));
    assert!(matches!(
        log.wait_blocking(refused, false),
        Err(LogError::DiskFull)
    ));
    simulation.set_capacity(None);
    expected.append(&log, 4).unwrap();
    log.wait_blocking(buffered, true).unwrap();
    drop(log);
    let (_, replayed) = open(&environment, Version::ZERO).unwrap();
    expected.check(&replayed, "at the end");
}

/// Method: the disk gets full after every possible number of bytes, then the power goes.
#[test]
fn a_disk_full_at_any_byte_and_a_power_loss_lose_nothing_acknowledged() {
    for free in (0..40_000).step_by(997) {
        let (environment, simulation) = simulated(free);
        let mut expected = Expected::default();
        run(&environment, &mut expected, 3).unwrap();
        simulation.disk_full(free);
        let (log, _) = open(&environment, Version::ZERO).unwrap();
        for number in 0..30 {
            let _ = expected.append(&log, number);
        }
        simulation.cut_power();
        drop(log);
        simulation.power_loss();
        simulation.set_capacity(None);
        run(&environment, &mut expected, 10).unwrap();
        let (_, replayed) = open(&environment, Version::ZERO).unwrap();
        expected.check(&replayed, &format!("free={free}"));
    }
}

#[test]
fn a_log_cannot_be_made_on_a_full_disk_but_later() {
    let (environment, simulation) = simulated(1);
    simulation.disk_full(100);
    let error = open(&environment, Version::ZERO).err().unwrap();
    assert_eq!(error.code().0.as_str(), "53100", "{error}");
    simulation.set_capacity(None);
    open(&environment, Version::ZERO).unwrap();
}
