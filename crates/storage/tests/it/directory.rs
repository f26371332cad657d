//! The data directory: what it takes, and what it refuses with one clear message.

use futures::executor::block_on;
use tessera_environment::{Environment, write_atomically};
use tessera_storage::{EmbeddedOptions, Mode, StoreError, check, check_with, open_embedded};

use crate::harness::{checkpoint, data_dir, now, open, open_real, put, simulated};

fn refused(env: &Environment) -> StoreError {
    match open_embedded(env, &data_dir(), EmbeddedOptions::simulated()) {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    }
}

#[test]
fn a_second_server_is_refused_and_the_first_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_real(dir.path(), EmbeddedOptions::default());
    put(&store, &["a=1"]);
    let second = open_embedded(&Environment::real(), dir.path(), EmbeddedOptions::default());
    let Err(error @ StoreError::InUse { .. }) = second.map(|_| ()) else {
        panic!("not refused")
    };
    assert!(error.report().hint.is_some());
    assert!(matches!(check(dir.path()), Err(StoreError::InUse { .. })));
    put(&store, &["b=1"]);
    block_on(store.close()).unwrap();
    drop(store);
    let store = open_real(dir.path(), EmbeddedOptions::default());
    assert_eq!(now(&store), "a=1 b=1");
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let (env, _simulation, store) = simulated(1);
    put(&store, &["a=1"]);
    block_on(store.close()).unwrap();
    drop(store);
    let version = data_dir().join("VERSION");
    write_atomically(&*env.files, &version, b"999\n").unwrap();
    assert!(matches!(
        refused(&env),
        StoreError::Format {
            found: 999,
            known: 1
        }
    ));
    write_atomically(&*env.files, &version, b"rubbish").unwrap();
    assert!(matches!(refused(&env), StoreError::Corruption { .. }));
    write_atomically(&*env.files, &version, b"1\n").unwrap();
    assert_eq!(now(&open(&env, EmbeddedOptions::simulated())), "a=1");
}

#[test]
fn a_directory_of_something_else_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("thesis.doc"), "precious").unwrap();
    let opened = open_embedded(&Environment::real(), dir.path(), EmbeddedOptions::default());
    assert!(matches!(
        opened.map(|_| ()),
        Err(StoreError::Foreign { .. })
    ));
    assert!(matches!(check(dir.path()), Err(StoreError::Foreign { .. })));
    let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "something was added");
    assert!(matches!(
        check(&dir.path().join("nowhere")),
        Err(StoreError::Foreign { .. })
    ));
    assert!(!dir.path().join("nowhere").exists());
}

#[cfg(unix)]
#[test]
fn no_permission_is_one_clear_message() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let locked = dir.path().join("locked");
    std::fs::create_dir(&locked).unwrap();
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o500)).unwrap();
    if std::fs::write(locked.join("probe"), "").is_ok() {
        // Permissions do not bind this user (root): nothing to test.
        return;
    }
    let opened = open_embedded(&Environment::real(), &locked, EmbeddedOptions::default());
    let error = opened.map(|_| ()).unwrap_err();
    assert!(
        error.report().message.contains("ermission denied"),
        "{error}"
    );
}

#[test]
fn a_missing_log_is_noticed() {
    let (env, simulation, store) = simulated(1);
    put(&store, &["a=1"]);
    checkpoint(&store);
    put(&store, &["b=1"]);
    drop(store);
    for (path, _) in simulation.files() {
        if path.starts_with(data_dir().join("log")) {
            env.files.remove(&path).unwrap();
        }
    }
    let store = open(&env, EmbeddedOptions::simulated());
    let Mode::ReadOnly { reason } = store.mode() else {
        panic!("not in safe mode")
    };
    assert!(reason.contains("log is missing"), "{reason}");
    assert_eq!(now(&store), "a=1");
}

#[test]
fn a_base_that_fell_behind_its_log_is_noticed() {
    let (env, simulation, store) = simulated(1);
    put(&store, &["a=1"]);
    checkpoint(&store);
    let manifest = data_dir().join("store/base/manifest");
    let old = tessera_environment::read_all(&*env.files, &manifest).unwrap();
    // Enough for several segments, so that the checkpoint cuts the log.
    let large = "x".repeat(50_000);
    for n in 0..8 {
        put(&store, &[&format!("k{n}={large}")]);
    }
    checkpoint(&store);
    drop(store);
    write_atomically(&*env.files, &manifest, &old).unwrap();
    let store = open(&env, EmbeddedOptions::simulated());
    let Mode::ReadOnly { reason } = store.mode() else {
        panic!("not in safe mode")
    };
    assert!(reason.contains("missing"), "{reason}");
    assert_eq!(now(&store), "a=1");
    drop(store);
    assert!(
        !check_with(&env, &data_dir(), &EmbeddedOptions::simulated())
            .unwrap()
            .is_good()
    );
    let _ = simulation;
}

#[test]
fn the_end_of_a_log_closed_cleanly_may_not_be_missing() {
    let (env, simulation, store) = simulated(1);
    put(&store, &["a=1"]);
    checkpoint(&store);
    drop(store);
    // What a clean close at version 99 would have left.
    write_atomically(&*env.files, &data_dir().join("CLEAN"), b"99\n").unwrap();
    let store = open(&env, EmbeddedOptions::simulated());
    assert!(matches!(store.mode(), Mode::ReadOnly { .. }));
    let _ = simulation;
}

#[test]
fn a_good_directory_is_reported_as_good_with_its_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_real(dir.path(), EmbeddedOptions::default());
    put(&store, &["a=1", "b=1"]);
    checkpoint(&store);
    put(&store, &["c=1"]);
    block_on(store.close()).unwrap();
    drop(store);
    let report = check(dir.path()).unwrap();
    assert!(report.is_good() && report.was_clean, "{report}");
    assert_eq!(report.rows, [0, 0, 3, 0]);
    assert!(report.to_string().contains("no damage found"));
}

#[test]
fn a_flipped_byte_in_the_base_is_reported_and_never_read_as_data() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_real(dir.path(), EmbeddedOptions::default());
    let rows: Vec<String> = (0..2_000).map(|n| format!("k{n:04}={n:0100}")).collect();
    put(&store, &rows.iter().map(String::as_str).collect::<Vec<_>>());
    block_on(store.close()).unwrap();
    drop(store);
    let table = largest_file(&dir.path().join("store/base"));
    let mut bytes = std::fs::read(&table).unwrap();
    bytes[100] ^= 0x40;
    std::fs::write(&table, &bytes).unwrap();
    let report = check(dir.path()).unwrap();
    let place = table.display().to_string();
    let named = report.findings.iter().any(|finding| finding.place == place);
    assert!(named, "{report}");
    match open_embedded(&Environment::real(), dir.path(), EmbeddedOptions::default()) {
        Err(error) => assert!(matches!(error, StoreError::Corruption { .. }), "{error}"),
        Ok(store) => {
            let found = block_on(store.snapshot().get(crate::harness::ROWS, b"k0000"));
            assert!(
                matches!(found, Err(StoreError::Corruption { .. })),
                "{found:?}"
            );
            assert!(matches!(store.mode(), Mode::ReadOnly { .. }), "safe mode");
        }
    }
}

fn largest_file(dir: &std::path::Path) -> std::path::PathBuf {
    let mut best = (0, dir.to_owned());
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let is_table = entry.path().parent().is_some_and(|p| p.ends_with("tables"));
            if entry.path().is_dir() {
                dirs.push(entry.path());
            } else if is_table && entry.metadata().unwrap().len() > best.0 {
                best = (entry.metadata().unwrap().len(), entry.path());
            }
        }
    }
    best.1
}
