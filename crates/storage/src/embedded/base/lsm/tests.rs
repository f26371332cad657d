//! What is known to be troublesome in `fjall`, ruled out for the way it is used here.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::*;

fn open(dir: &Path) -> LsmBase {
    LsmBase::open(dir, &EmbeddedOptions::default()).expect("the base opens")
}

fn key(n: u32) -> Key {
    Key::copy_from_slice(&n.to_be_bytes())
}

fn ingest(base: &LsmBase, space: KeySpace, rows: impl IntoIterator<Item = (u32, Option<u32>)>) {
    let mut changes = rows
        .into_iter()
        .map(|(k, v)| Ok((key(k), v.map(|v| Val::copy_from_slice(&v.to_be_bytes())))));
    base.ingest(space, &mut changes)
        .expect("the base takes changes");
}

fn rows(view: &dyn BaseView, space: KeySpace) -> Vec<(u32, u32)> {
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().expect("four bytes"));
    view.rows(space, &KeyRange::all(), false)
        .map(|row| {
            row.map(|(k, v)| (number(&k), number(&v)))
                .expect("rows are readable")
        })
        .collect()
}

/// Copies a base as a killed process would leave it, with what is half done in the background.
/// Manifests are held meanwhile, because a copy, unlike a kill, takes time.
fn image(base: &LsmBase, from: &Path, to: &Path) {
    let trees = base.spaces.iter().chain([&base.system]);
    let _held: Vec<_> = trees
        .map(|keyspace| keyspace.tree.get_version_history_lock())
        .collect();
    copy_dir(from, to);
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("listed") {
        let entry = entry.expect("listed");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            // Files may vanish while a compaction is under way.
            let _ = std::fs::copy(entry.path(), target);
        }
    }
}

/// fjall#257: after a kill, writing stops for ever behind sealed memtables. Ruled out: memtables
/// are never filled.
#[test]
fn writing_goes_on_after_every_kill() {
    let home = tempfile::tempdir().expect("a directory");
    let mut current = home.path().join("0");
    let mut model = BTreeMap::new();
    for round in 0..6_u32 {
        let base = open(&current);
        for step in 0..8 {
            let changed = (0..500).map(|n| (n * 7 + step, Some(round * 100 + step)));
            let changed: BTreeMap<u32, Option<u32>> = changed.collect();
            model.extend(changed.clone());
            let started = Instant::now();
            ingest(&base, KeySpace::Rows, changed);
            base.record(Version(u64::from(round * 100 + step)))
                .expect("recorded");
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "round {round} is stuck"
            );
        }
        for keyspace in base.spaces.iter().chain([&base.system]) {
            assert_eq!(keyspace.sealed_memtable_count(), 0);
        }
        // The kill: the files as they are, beside a live process with work in the background.
        let next = home.path().join(format!("{}", round + 1));
        image(&base, &current, &next);
        current = next;
    }
    let base = open(&current);
    let expected: Vec<_> = model
        .into_iter()
        .map(|(k, v)| (k, v.expect("all are puts")))
        .collect();
    assert_eq!(rows(&*base.view(), KeySpace::Rows), expected);
    assert_eq!(base.checkpoint().expect("readable"), Version(507));
}

/// fjall#288: idle key spaces pin journals, which then grow for ever. Ruled out: there is one
/// journal, and nothing is ever written to it.
#[test]
fn the_journal_stays_empty() {
    let home = tempfile::tempdir().expect("a directory");
    let base = open(home.path());
    for n in 0..50 {
        // Only one space is busy; the others are idle.
        ingest(&base, KeySpace::Rows, (0..100).map(|k| (k, Some(n))));
        base.record(Version(u64::from(n))).expect("recorded");
    }
    assert_eq!(base.db.journal_count(), 1);
    let journal = std::fs::read(home.path().join("0.jnl")).expect("there is a journal");
    assert!(
        journal.iter().all(|byte| *byte == 0),
        "something was written to the journal"
    );
}

/// fjall#311: recovery cuts the journal at the first entry it cannot read, silently. Ruled out:
/// what the base holds does not depend on the journal.
#[test]
fn a_damaged_journal_loses_nothing() {
    let home = tempfile::tempdir().expect("a directory");
    let base = open(home.path());
    ingest(&base, KeySpace::Rows, (0..1_000).map(|k| (k, Some(k))));
    base.record(Version(9)).expect("recorded");
    drop(base);
    let mut journal = std::fs::read(home.path().join("0.jnl")).expect("there is a journal");
    journal[..64].fill(0xa5);
    std::fs::write(home.path().join("0.jnl"), journal).expect("written");
    let base = open(home.path());
    assert_eq!(base.checkpoint().expect("readable"), Version(9));
    assert_eq!(rows(&*base.view(), KeySpace::Rows).len(), 1_000);
}

/// Power loss: what `ingest` and `record` returned from is in synced files; what was not synced
/// is really lost here, by cutting the files that a copy of the directory has beyond it.
#[test]
fn what_was_recorded_survives_without_the_rest() {
    let home = tempfile::tempdir().expect("a directory");
    let base = open(&home.path().join("live"));
    ingest(&base, KeySpace::Rows, (0..100).map(|k| (k, Some(1))));
    base.record(Version(1)).expect("recorded");
    image(
        &base,
        &home.path().join("live"),
        &home.path().join("synced"),
    );
    // An ingestion that is cut off in its middle, with its files on disk.
    let mut count = 0;
    let mut failing = (0..100_000_u32).map(|n| {
        count += 1;
        if n == 50_000 {
            Err(StoreError::Unavailable {
                reason: "the power is gone",
            })
        } else {
            Ok((key(n), Some(Val::from_static(b"lost"))))
        }
    });
    assert!(base.ingest(KeySpace::Rows, &mut failing).is_err());
    image(&base, &home.path().join("live"), &home.path().join("torn"));
    // The half-written file never reached the disk in full.
    let tables = home.path().join("torn/keyspaces");
    for space in std::fs::read_dir(tables).expect("listed") {
        let tables = space.expect("listed").path().join("tables");
        let Ok(entries) = std::fs::read_dir(&tables) else {
            continue;
        };
        let newest = entries
            .filter_map(Result::ok)
            .max_by_key(|e| e.file_name().to_string_lossy().parse::<u64>().unwrap_or(0));
        if let Some(newest) = newest.filter(|_| tables.to_string_lossy().contains("/3/")) {
            let file = std::fs::OpenOptions::new()
                .write(true)
                .open(newest.path())
                .expect("opened");
            let len = file.metadata().expect("read").len();
            if std::fs::read_dir(&tables).expect("listed").count() > 1 {
                file.set_len(len / 2).expect("cut");
            }
        }
    }
    for copy in ["synced", "torn"] {
        let base = open(&home.path().join(copy));
        assert_eq!(base.checkpoint().expect("readable"), Version(1), "{copy}");
        let found = rows(&*base.view(), KeySpace::Rows);
        assert_eq!(
            found,
            (0..100).map(|k| (k, 1)).collect::<Vec<_>>(),
            "{copy}"
        );
        ingest(&base, KeySpace::Rows, [(5, None), (200, Some(2))]);
        assert_eq!(rows(&*base.view(), KeySpace::Rows).len(), 100, "{copy}");
    }
    assert!(count > 0);
}

#[test]
fn a_view_does_not_change_under_ingestion_and_compaction() {
    let home = tempfile::tempdir().expect("a directory");
    let base = open(home.path());
    let mut views = Vec::new();
    for n in 0..30_u32 {
        let changes = (0..200).map(|k| (k, (k % 30 != n).then_some(n)));
        ingest(&base, KeySpace::Rows, changes);
        views.push(base.view());
        base.settle(&|| false).expect("settled");
    }
    base.spaces[KeySpace::Rows.index()]
        .major_compact()
        .expect("compacted");
    for (n, view) in views.iter().enumerate() {
        let n = n as u32;
        let expected: Vec<_> = (0..200).filter(|k| k % 30 != n).map(|k| (k, n)).collect();
        assert_eq!(rows(&**view, KeySpace::Rows), expected, "view {n}");
        let absent = view.get(KeySpace::Rows, &key(n)).expect("readable");
        assert_eq!(absent, None, "view {n}");
    }
}

#[test]
fn level_zero_does_not_grow_without_bound() {
    let home = tempfile::tempdir().expect("a directory");
    let base = open(home.path());
    for n in 0..60 {
        base.settle(&|| false).expect("settled");
        ingest(&base, KeySpace::Rows, (0..50).map(|k| (k, Some(n))));
        let runs = base.spaces[KeySpace::Rows.index()].tree.l0_run_count();
        assert!(runs <= LEVEL0_RUNS_MAX + 1, "{runs} runs after {n}");
    }
}

#[test]
fn disk_space_of_deleted_rows_is_given_back() {
    let home = tempfile::tempdir().expect("a directory");
    let base = open(home.path());
    let rows_max = 30_000;
    ingest(&base, KeySpace::Rows, (0..rows_max).map(|k| (k, Some(k))));
    let before = base.bytes();
    assert!(!base.give_back().expect("nothing to do"));
    assert_eq!(base.bytes(), before);
    // A view keeps what it shows, and is not worth a second try. How much the first one drops depends
    // on what fjall has compacted by itself.
    let view = base.view();
    ingest(&base, KeySpace::Rows, (1..rows_max).map(|k| (k, None)));
    base.give_back().expect("compacted");
    assert!(!base.give_back().expect("nothing new"));
    assert_eq!(rows(&*view, KeySpace::Rows).len(), rows_max as usize);
    drop(view);
    base.give_back().expect("compacted");
    assert_eq!(rows(&*base.view(), KeySpace::Rows), [(0, 0)]);
    assert!(base.bytes() < before / 20, "{} of {before}", base.bytes());
    // The files of the old versions are gone, too.
    assert!(!base.give_back().expect("old files removed"));
    let on_disk = file_bytes(home.path());
    assert!(on_disk < before / 10, "{on_disk} of {before}");
}

/// What few rows took may be much.
#[test]
fn disk_space_of_few_large_rows_is_given_back() {
    let home = tempfile::tempdir().expect("a directory");
    let base = open(home.path());
    let value = Val::from(vec![7; 10_000]);
    let count = 2 * DELETIONS_MIN as u32;
    let mut rows = (0..count).map(|n| Ok((key(n), Some(value.clone()))));
    base.ingest(KeySpace::Rows, &mut rows).expect("written");
    let before = base.bytes();
    ingest(&base, KeySpace::Rows, (0..count).map(|k| (k, None)));
    base.give_back().expect("compacted");
    assert!(base.bytes() < before / 20, "{} of {before}", base.bytes());
}

fn file_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("readable");
    let sizes = entries.map(|entry| {
        let entry = entry.expect("readable");
        let metadata = entry.metadata().expect("readable");
        match metadata.is_dir() {
            true => file_bytes(&entry.path()),
            // The journal is made in its full size, and stays empty.
            false if entry.path().extension().is_some_and(|kind| kind == "jnl") => 0,
            false => metadata.len(),
        }
    });
    sizes.sum()
}

#[test]
fn a_second_opening_of_the_base_is_refused() {
    let home = tempfile::tempdir().expect("a directory");
    let base = open(home.path());
    let second = LsmBase::open(home.path(), &EmbeddedOptions::default());
    assert!(matches!(second.map(|_| ()), Err(StoreError::InUse { .. })));
    drop(base);
}
