//! Power cuts at every sync, failures at every call.

use tessera_environment::Operation;
use tessera_types::Version;

use crate::harness::{Expected, Fate, open, run, simulated};

/// Method: count the syncs of a clean run, then cut the power at each one of them, for several
/// seeds of what survives; then cut it again during the recovery.
/// Property: see `Expected::check`.
#[test]
fn power_loss_at_any_sync_loses_nothing_acknowledged() {
    let (environment, simulation) = simulated(0);
    let before = simulation.sync_count();
    run(&environment, &mut Expected::default(), 25).unwrap();
    let syncs = simulation.sync_count() - before;
    assert!(syncs > 40);
    for seed in 0..12 {
        for cut in 0..=syncs {
            let context = format!("seed={seed} cut={cut}");
            let (environment, simulation) = simulated(seed);
            let mut expected = Expected::default();
            simulation.cut_power_at_sync(simulation.sync_count() + cut);
            let _ = run(&environment, &mut expected, 25);
            simulation.power_loss();
            simulation.cut_power_at_sync(simulation.sync_count() + cut % 7);
            let _ = run(&environment, &mut expected, 5);
            simulation.power_loss();
            run(&environment, &mut expected, 5)
                .unwrap_or_else(|error| panic!("{error}, {context}"));
            let (_, replayed) = open(&environment, Version::ZERO).unwrap();
            expected.check(&replayed, &context);
        }
    }
}

/// Method: many records in flight at once, un-synced ones among them, then the power goes.
#[test]
fn power_loss_with_a_full_queue_keeps_a_prefix_of_the_waiting() {
    for seed in 0..200 {
        let (environment, simulation) = simulated(seed);
        let mut expected = Expected::default();
        run(&environment, &mut expected, 3).unwrap();
        let (log, _) = open(&environment, Version::ZERO).unwrap();
        let mut versions = Vec::new();
        for number in 0..30 {
            let content = crate::harness::payload(number + seed);
            let version = log.enqueue(content.clone()).unwrap();
            expected.records.insert(version, (content, Fate::Unknown));
            versions.push(version);
            if number % 11 == 10 {
                simulation.cut_power_at_sync(simulation.sync_count() + seed % 13);
                if log.wait_blocking(version, true).is_ok() {
                    versions
                        .iter()
                        .for_each(|version| expected.set(*version, Fate::Acknowledged));
                } else {
                    break;
                }
            }
        }
        simulation.cut_power();
        drop(log);
        simulation.power_loss();
        let (_, replayed) = open(&environment, Version::ZERO).unwrap();
        assert!(
            replayed
                .iter()
                .map(|(version, _)| version.0)
                .eq(1..=replayed.len() as u64)
        );
        expected.check(&replayed, &format!("seed={seed}"));
        run(&environment, &mut expected, 5).unwrap();
    }
}

/// Method: the N-th call of a kind fails, once or from then on, for N = 0, 1, 2 … until a run is
/// clean; then the process "restarts", with or without a power loss.
#[test]
fn a_failure_at_any_call_loses_nothing_acknowledged() {
    for operation in Operation::ALL {
        for (repeat, power_loss) in [(false, false), (true, false), (false, true), (true, true)] {
            for n in 0.. {
                let context = format!("{operation:?} n={n} {repeat} {power_loss}");
                let (environment, simulation) = simulated(n);
                let mut expected = Expected::default();
                let at = simulation.count(operation) + n;
                if repeat {
                    simulation.fail_from(operation, at);
                } else {
                    simulation.fail_at(operation, at);
                }
                let first = run(&environment, &mut expected, 12);
                let second = run(&environment, &mut expected, 12);
                let clean = simulation.failed_count() == 0;
                assert!(!clean || (first.is_ok() && second.is_ok()), "{context}");
                simulation.heal();
                if power_loss {
                    simulation.power_loss();
                }
                run(&environment, &mut expected, 3)
                    .unwrap_or_else(|error| panic!("{error}, {context}"));
                let (_, replayed) = open(&environment, Version::ZERO).unwrap();
                expected.check(&replayed, &context);
                if clean {
                    assert!(n > 3, "{context}");
                    break;
                }
            }
        }
    }
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_until_the_next_start() {
    let (environment, simulation) = simulated(1);
    let mut expected = Expected::default();
    let (log, _) = open(&environment, Version::ZERO).unwrap();
    expected.append(&log, 1).unwrap();
    simulation.fail_sync_at(simulation.sync_count());
    let error = expected.append(&log, 2).unwrap_err();
    assert_eq!(error.code().0.as_str(), "08007", "{error}");
    let error = expected.append(&log, 3).unwrap_err();
    assert_eq!(error.code().0.as_str(), "58030", "{error}");
    assert!(matches!(log.health(), tessera_log::LogHealth::Poisoned(_)));
    assert!(log.close().is_err());
    let (_, replayed) = open(&environment, Version::ZERO).unwrap();
    expected.check(&replayed, "after the restart");
}
