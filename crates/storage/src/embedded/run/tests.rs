use std::path::PathBuf;

use proptest::prelude::{any, proptest};
use tessera_environment::{Environment, Simulation};

use super::*;
use crate::batch::Write;
use crate::embedded::merge::Source;
use crate::embedded::run::writer::RunFileWriter;
use crate::error::StoreError;
use crate::range::{KeyRange, KeySpace};
use crate::store::{Key, RunId, Val};

const ID: RunId = RunId(3);

type Entry = (KeySpace, Vec<u8>, Option<Vec<u8>>);

fn path() -> PathBuf {
    PathBuf::from("/runs/3.run")
}

fn world() -> (Environment, Simulation) {
    let (env, simulation) = Environment::simulated(1);
    env.files
        .create_dir_all(&PathBuf::from("/runs"))
        .expect("made");
    (env, simulation)
}

fn write(env: &Environment, rows: &[Entry]) -> Arc<RunFile> {
    let mut writer = RunFileWriter::create(env, &path(), ID).expect("created");
    for (space, key, value) in rows {
        let write = value
            .clone()
            .map_or(Write::Delete, |value| Write::Put(Val::from(value)));
        writer
            .add(*space, Key::from(key.clone()), &write)
            .expect("added");
    }
    let path = writer.finish().expect("finished");
    Arc::new(RunFile::open(env, path, ID).expect("opened"))
}

fn numbered(count: u32) -> Vec<Entry> {
    let row = |n: u32| (KeySpace::Rows, n.to_be_bytes().to_vec(), Some(vec![1; 50]));
    (0..count).map(row).collect()
}

#[test]
fn every_flipped_byte_is_noticed() {
    let (env, simulation) = world();
    let run = write(&env, &numbered(600));
    let len = run.bytes();
    drop(run);
    let intact =
        |env: &Environment| -> Result<(), StoreError> { RunFile::open(env, path(), ID)?.verify() };
    intact(&env).expect("good before");
    for offset in (0..len).step_by(37).chain([8, 16, len - 1, len - 40]) {
        simulation.flip_byte(&path(), offset).expect("flipped");
        let found = intact(&env);
        assert!(
            matches!(found, Err(StoreError::Corruption { .. })),
            "byte {offset}: {found:?}"
        );
        simulation.flip_byte(&path(), offset).expect("flipped back");
    }
    intact(&env).expect("good after");
}

#[test]
fn a_cut_file_is_noticed() {
    let (env, _simulation) = world();
    let run = write(&env, &numbered(600));
    let len = run.bytes();
    drop(run);
    let file = env
        .files
        .open(&path(), tessera_environment::Open::existing())
        .expect("opened");
    for cut in [len - 1, len / 2, 32, 31, 0] {
        file.set_len(cut).expect("cut");
        let found = RunFile::open(&env, path(), ID);
        assert!(
            matches!(found, Err(StoreError::Corruption { .. })),
            "cut at {cut}"
        );
    }
}

#[test]
fn an_empty_run_is_a_run() {
    let (env, _simulation) = world();
    let run = write(&env, &[]);
    assert_eq!(run.entries(), 0);
    assert_eq!(run.get(KeySpace::Rows, b"k").expect("readable"), None);
    assert!(
        !run.touches(KeySpace::Rows, &KeyRange::all())
            .expect("readable")
    );
    run.verify().expect("good");
}

#[test]
fn a_file_is_deleted_with_its_last_handle_unless_it_is_kept() {
    let (env, _simulation) = world();
    let run = write(&env, &numbered(1));
    run.discard();
    let other = run.clone();
    drop(run);
    assert!(env.files.exists(&path()).expect("asked"));
    drop(other);
    assert!(!env.files.exists(&path()).expect("asked"));
    let run = write(&env, &numbered(1));
    run.discard();
    run.keep();
    drop(run);
    assert!(env.files.exists(&path()).expect("asked"));
}

proptest! {
    #[test]
    fn points_and_ranges_agree_with_a_map(
        entries in proptest::collection::btree_map(
            (0_u8..4, proptest::collection::vec(0_u8..4, 1..5)), any::<Option<[u8; 30]>>(), 0..400),
        from in proptest::collection::vec(0_u8..4, 1..4),
        to in proptest::collection::vec(0_u8..4, 1..4),
        reverse in any::<bool>(),
    ) {
        let (env, _simulation) = world();
        let rows: Vec<_> = entries
            .iter()
            .map(|((space, key), value)| {
                let space = KeySpace::from_index(*space).expect("in range");
                // Long values, so that there are many blocks.
                (space, key.clone(), value.map(|value| value.repeat(20)))
            })
            .collect();
        let run = write(&env, &rows);
        for (space, key, value) in &rows {
            let expected = value.clone().map_or(Write::Delete, |value| Write::Put(Val::from(value)));
            assert_eq!(run.get(*space, key).expect("readable"), Some(expected));
        }
        assert_eq!(run.get(KeySpace::Rows, b"absent").expect("readable"), None);
        let range = KeyRange::half_open(from, to);
        for space in KeySpace::ALL {
            let mut source =
                RunSource::new(run.clone(), Version(1), space, range.clone(), reverse);
            let mut found = Vec::new();
            while let Some(item) = source.next_item().expect("readable") {
                found.push((item.key.to_vec(), item.value.map(|value| value.to_vec())));
            }
            let mut expected: Vec<_> = rows
                .iter()
                .filter(|(s, key, _)| *s == space && range.contains(key))
                .map(|(_, key, value)| (key.clone(), value.clone()))
                .collect();
            if reverse {
                expected.reverse();
            }
            assert_eq!(found, expected);
        }
    }
}
