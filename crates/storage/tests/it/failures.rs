//! Calls of the operating system that fail, full disks, flipped bytes.

use std::path::Path;
use std::sync::Arc;

use futures::executor::block_on;
use tessera_environment::{Environment, Operation, Simulation};
use tessera_storage::{
    CommitOutcome, EmbeddedOptions, Mode, Store, StoreError, check_with, open_embedded,
};
use tessera_types::codes;

use crate::harness::{
    ROWS, batch, checkpoint, commit, data_dir, error, get, key, now, open, put, simulated,
};

const STEPS: u32 = 12;

/// Commits one row after another with checkpoints and runs; returns how far it was acknowledged.
fn work(env: &Environment) -> u32 {
    let mut acknowledged = 0;
    let Ok(store) = open_embedded(env, &data_dir(), EmbeddedOptions::simulated()) else {
        return 0;
    };
    for n in 1..=STEPS {
        let mut step = batch(&[&format!("row{n:02}={n}"), &format!("last={n}")]);
        if n % 4 == 0 {
            let Some(run) = run_of(&store, n) else {
                continue;
            };
            step.runs = vec![run.id()];
            if commit(&store, step).version().is_some() {
                acknowledged = n;
            }
        } else if commit(&store, step).version().is_some() {
            acknowledged = n;
        }
        if n % 5 == 0 {
            // Fails when a call below it does; the log has everything.
            let _ = block_on(store.checkpoint());
        }
        // Reads go on whatever happens to writes.
        let found = get(&store.snapshot(), "last");
        assert!(
            acknowledged == 0 || found.is_some(),
            "a read failed after {n}"
        );
    }
    let _ = block_on(store.close());
    acknowledged
}

fn run_of(store: &Arc<dyn Store>, n: u32) -> Option<Arc<dyn tessera_storage::Run>> {
    let mut writer = store.begin_run().ok()?;
    let write = tessera_storage::Write::Put(key("run"));
    writer.add(ROWS, key(format!("run{n:02}")), write).ok()?;
    writer.finish().ok()
}

/// After any failure and a restart: everything acknowledged is there, and the directory is sound.
fn verify(env: &Environment, acknowledged: u32, context: &str) {
    let store = open_embedded(env, &data_dir(), EmbeddedOptions::simulated())
        .unwrap_or_else(|error| panic!("{context}: {}", error.report().message));
    assert_eq!(store.mode(), Mode::ReadWrite, "{context}");
    let snapshot = store.snapshot();
    let last: u32 = get(&snapshot, "last").map_or(0, |text| text.parse().unwrap());
    assert!(
        last >= acknowledged,
        "{context}: lost {acknowledged}, found {last}"
    );
    for n in 1..=acknowledged {
        // A step that was refused may be missing, but then whole: both rows come together.
        let row = get(&snapshot, &format!("row{n:02}"));
        let run = get(&snapshot, &format!("run{n:02}"));
        assert!(
            n % 4 != 0 || row.is_some() == run.is_some(),
            "{context}: half of step {n}"
        );
    }
    assert_eq!(
        get(&snapshot, &format!("row{last:02}")).is_some(),
        last > 0,
        "{context}"
    );
    put(&store, &["after=1"]);
    drop(snapshot);
    block_on(store.close()).unwrap();
    drop(store);
    let report = check_with(env, &data_dir(), &EmbeddedOptions::simulated()).unwrap();
    assert!(report.is_good(), "{context}: {report}");
}

/// Method: the n-th call of each kind fails, once and for ever, for n = 0, 1, 2 … until the
/// workload runs without meeting the failure.
#[test]
fn any_failing_call_loses_nothing() {
    for operation in Operation::ALL {
        for forever in [false, true] {
            for n in 0.. {
                let (env, simulation) = Environment::simulated(n);
                if forever {
                    simulation.fail_from(operation, n);
                } else {
                    simulation.fail_at(operation, n);
                }
                let acknowledged = work(&env);
                let is_done = simulation.failed_count() == 0;
                simulation.heal();
                let context = format!("{operation:?} n={n} forever={forever}");
                verify(&env, acknowledged, &context);
                if is_done {
                    assert!(n > 0, "{context}: the workload never makes this call");
                    break;
                }
            }
        }
    }
}

#[test]
fn a_full_disk_refuses_writes_and_reads_go_on_until_there_is_space() {
    let (env, simulation, store) = simulated(1);
    put(&store, &["a=1"]);
    simulation.disk_full(0);
    let large = "x".repeat(200_000);
    let refused = error(commit(&store, batch(&[&format!("big={large}")])));
    assert_eq!(refused.code().0, codes::DISK_FULL, "{refused}");
    assert_eq!(now(&store), "a=1");
    assert!(
        store
            .begin_run()
            .and_then(|mut run| {
                run.add(ROWS, key("r"), tessera_storage::Write::Put(key(&large)))?;
                run.finish().map(|_| ())
            })
            .is_err()
    );
    assert_eq!(store.mode(), Mode::ReadWrite);
    simulation.set_capacity(None);
    put(&store, &["b=1"]);
    checkpoint(&store);
    assert_eq!(now(&store), "a=1 b=1");
    drop(store);
    assert_eq!(now(&open(&env, EmbeddedOptions::simulated())), "a=1 b=1");
}

#[test]
fn a_full_disk_at_a_checkpoint_is_tried_again() {
    let (env, simulation, store) = simulated(1);
    put(&store, &[&format!("a={}", "x".repeat(30_000))]);
    simulation.disk_full(100);
    let failed = block_on(store.checkpoint()).unwrap_err();
    assert_eq!(failed.code().0, codes::DISK_FULL, "{failed}");
    assert!(get(&store.snapshot(), "a").is_some());
    simulation.set_capacity(None);
    checkpoint(&store);
    assert_eq!(store.statistics().checkpoint_failures_total, 1);
    drop(store);
    let store = open(&env, EmbeddedOptions::simulated());
    assert!(get(&store.snapshot(), "a").is_some());
}

#[test]
fn space_below_the_reserve_refuses_before_anything_is_full() {
    let (env, simulation) = Environment::simulated(1);
    simulation.set_capacity(Some(64 << 20));
    let options = EmbeddedOptions {
        disk_reserve_bytes: 32 << 20,
        ..EmbeddedOptions::simulated()
    };
    let store = open(&env, options);
    let large = "x".repeat(4 << 20);
    let mut refused = 0;
    for n in 0..12 {
        match commit(&store, batch(&[&format!("k{n:02}={large}")])) {
            CommitOutcome::Committed(_) => {
                assert_eq!(refused, 0, "a write passed behind a refusal")
            }
            other => {
                assert_eq!(error(other).code().0, codes::DISK_FULL);
                refused += 1;
            }
        }
    }
    assert!((1..12).contains(&refused), "{refused}");
    simulation.set_capacity(None);
    put(&store, &["after=1"]);
}

/// A failed sync leaves the outcome open; nothing is acknowledged after it, reads go on.
#[test]
fn a_failed_sync_makes_the_store_read_only_until_a_restart() {
    let (env, simulation, store) = simulated(1);
    put(&store, &["a=1"]);
    simulation.fail_sync_at(simulation.sync_count());
    let outcome = commit(&store, batch(&["a=2"]));
    let CommitOutcome::Unknown(txn) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(matches!(store.mode(), Mode::ReadOnly { .. }));
    let refused = error(commit(&store, batch(&["b=1"])));
    assert!(matches!(refused, StoreError::ReadOnly { .. }), "{refused}");
    assert_eq!(now(&store), "a=1");
    assert!(matches!(
        block_on(store.resolve(txn)),
        CommitOutcome::Unknown(_)
    ));
    drop(store);
    simulation.heal();
    let store = open(&env, EmbeddedOptions::simulated());
    let found = now(&store);
    // After the restart the question has an answer, and it fits what is there.
    let is_committed = block_on(store.resolve(txn)).version().is_some();
    assert!(found == "a=1" || found == "a=2" && is_committed, "{found}");
    put(&store, &["c=1"]);
}

fn damaged(simulation: &Simulation, dir: &str, suffix: &str, offset: u64) {
    let files = simulation.files();
    let is_it = |path: &Path| {
        let text = path.to_string_lossy();
        text.contains(dir) && text.ends_with(suffix)
    };
    let (path, _) = files
        .iter()
        .find(|(path, _)| is_it(path))
        .expect("there is such a file");
    simulation.flip_byte(path, offset).unwrap();
}

/// The offset of a text in a file of the simulated disk.
fn find(env: &Environment, simulation: &Simulation, dir: &str, text: &[u8]) -> (String, u64) {
    for (path, _) in simulation.files() {
        if path.to_string_lossy().contains(dir) {
            let bytes = tessera_environment::read_all(&*env.files, &path).unwrap();
            if let Some(at) = bytes.windows(text.len()).position(|window| window == text) {
                return (path.to_string_lossy().into_owned(), at as u64);
            }
        }
    }
    panic!("{text:?} is in no file of {dir}");
}

#[test]
fn a_flipped_byte_in_the_log_opens_in_safe_mode_and_is_reported() {
    let (env, simulation, store) = simulated(1);
    put(&store, &["a=before"]);
    put(&store, &["b=the damaged one"]);
    put(&store, &["c=after"]);
    drop(store);
    let (path, at) = find(&env, &simulation, "/log/", b"the damaged one");
    simulation.flip_byte(Path::new(&path), at).unwrap();
    let report = check_with(&env, &data_dir(), &EmbeddedOptions::simulated()).unwrap();
    assert!(
        !report.is_good() && report.findings[0].place.contains("/log/"),
        "{report}"
    );
    let store = open(&env, EmbeddedOptions::simulated());
    let Mode::ReadOnly { reason } = store.mode() else {
        panic!("not in safe mode")
    };
    assert!(
        reason.contains("safe mode") && reason.contains("tessera check"),
        "{reason}"
    );
    assert_eq!(now(&store), "a=before");
    let refused = error(commit(&store, batch(&["d=1"])));
    assert_eq!(refused.code().0, codes::READ_ONLY_SQL_TRANSACTION);
    assert!(block_on(store.checkpoint()).is_err());
    block_on(store.close()).unwrap();
    drop(store);
    // Nothing was cut or repaired behind the user's back.
    let again = open(&env, EmbeddedOptions::simulated());
    assert!(matches!(again.mode(), Mode::ReadOnly { .. }));
}

#[test]
fn a_missing_or_damaged_run_opens_in_safe_mode() {
    for is_missing in [false, true] {
        let (env, simulation, store) = simulated(1);
        put(&store, &["a=1"]);
        let run = run_of(&store, 1).unwrap();
        let mut with_run = batch(&["b=1"]);
        with_run.runs = vec![run.id()];
        assert!(commit(&store, with_run).version().is_some());
        drop((run, store));
        let runs = || {
            let mut files = simulation.files().into_iter();
            files.find(|(path, _)| path.to_string_lossy().ends_with(".run"))
        };
        let (path, len) = runs().expect("the run was kept");
        if is_missing {
            env.files.remove(&path).unwrap();
        } else {
            damaged(&simulation, "/runs/", ".run", len - 50);
        }
        let report = check_with(&env, &data_dir(), &EmbeddedOptions::simulated()).unwrap();
        assert!(!report.is_good(), "missing={is_missing}: {report}");
        let store = open(&env, EmbeddedOptions::simulated());
        assert!(
            matches!(store.mode(), Mode::ReadOnly { .. }),
            "missing={is_missing}"
        );
        assert_eq!(now(&store), "a=1");
    }
}

#[test]
fn a_block_of_a_run_is_verified_when_it_is_read() {
    let (env, simulation, store) = simulated(1);
    let run = run_of(&store, 1).unwrap();
    let mut with_run = batch(&["b=1"]);
    with_run.runs = vec![run.id()];
    assert!(commit(&store, with_run).version().is_some());
    drop((run, store));
    // Behind the 32 bytes of the header.
    damaged(&simulation, "/runs/", ".run", 36);
    let store = open(&env, EmbeddedOptions::simulated());
    let found = block_on(store.snapshot().get(ROWS, b"run01"));
    assert!(
        matches!(found, Err(StoreError::Corruption { .. })),
        "{found:?}"
    );
    assert!(matches!(
        block_on(store.checkpoint()),
        Err(StoreError::Corruption { .. })
    ));
    drop(store);
    let report = check_with(&env, &data_dir(), &EmbeddedOptions::simulated()).unwrap();
    assert!(!report.is_good());
}

#[test]
fn runs_nobody_committed_are_swept() {
    let (env, simulation, store) = simulated(1);
    put(&store, &["a=1"]);
    let count = || {
        let files = simulation.files();
        files
            .iter()
            .filter(|(path, _)| path.to_string_lossy().ends_with(".run"))
            .count()
    };
    let run = run_of(&store, 1).unwrap();
    assert_eq!(count(), 1);
    drop(run);
    assert_eq!(count(), 0, "dropped without a commit");
    let kept = run_of(&store, 2).unwrap();
    let mut unfinished = store.begin_run().unwrap();
    unfinished
        .add(ROWS, key("x"), tessera_storage::Write::Delete)
        .unwrap();
    assert_eq!(count(), 2);
    // The process dies: nobody drops anything.
    std::mem::forget((kept, unfinished));
    simulation.cut_power();
    std::mem::forget(store);
    simulation.power_loss();
    let store = open(&env, EmbeddedOptions::simulated());
    assert_eq!(count(), 0, "swept at the opening");
    assert_eq!(now(&store), "a=1");
}
