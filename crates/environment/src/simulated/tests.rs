//! The simulation is itself trusted by every crash test, so its promises are tested one by one.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Operation;
use crate::{Environment, File, Open, read_all, write_atomically};

const SEEDS: u64 = 64;

fn durable_dir(environment: &Environment, path: &str) {
    environment.files.create_dir_all(Path::new(path)).unwrap();
    for above in Path::new(path).ancestors().skip(1) {
        environment.files.sync_dir(above).unwrap();
    }
}

fn durable_file(environment: &Environment, path: &str, content: &[u8]) -> Arc<dyn File> {
    let file = environment
        .files
        .open(Path::new(path), Open::create_new())
        .unwrap();
    file.write_all_at(content, 0).unwrap();
    file.sync_data().unwrap();
    environment
        .files
        .sync_dir(Path::new(path).parent().unwrap())
        .unwrap();
    file
}

fn read(environment: &Environment, path: &str) -> Vec<u8> {
    read_all(&*environment.files, Path::new(path)).unwrap()
}

#[test]
fn synced_bytes_under_synced_names_survive_every_power_loss() {
    for seed in 0..SEEDS {
        let (environment, simulation) = Environment::simulated(seed);
        durable_dir(&environment, "/data/log");
        durable_file(&environment, "/data/log/a", &[7; 5000]);
        simulation.power_loss();
        assert_eq!(read(&environment, "/data/log/a"), [7; 5000], "seed={seed}");
    }
}

#[test]
fn unsynced_bytes_are_kept_torn_and_lost() {
    let (mut kept, mut lost, mut torn) = (0, 0, 0);
    for seed in 0..SEEDS {
        let (environment, simulation) = Environment::simulated(seed);
        let file = durable_file(&environment, "/a", &[1; 4096]);
        file.write_all_at(&[2; 4096], 0).unwrap();
        simulation.power_loss();
        let content = read(&environment, "/a");
        let new = content.iter().filter(|byte| **byte == 2).count();
        assert_eq!(new % 512, 0, "a sector is never torn, seed={seed}");
        match new {
            0 => lost += 1,
            4096 => kept += 1,
            _ => torn += 1,
        }
    }
    assert!(
        kept > 0 && lost > 0 && torn > 0,
        "kept {kept}, lost {lost}, torn {torn}"
    );
}

#[test]
fn a_name_is_lost_unless_its_directory_was_synced() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        let (environment, simulation) = Environment::simulated(seed);
        let file = environment
            .files
            .open(Path::new("/a"), Open::create_new())
            .unwrap();
        file.write_all_at(b"x", 0).unwrap();
        file.sync_all().unwrap();
        simulation.power_loss();
        lost += u64::from(!environment.files.exists(Path::new("/a")).unwrap());
    }
    assert!(lost > 0 && lost < SEEDS, "lost {lost} of {SEEDS}");
}

#[test]
fn a_file_below_a_lost_directory_is_lost() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        let (environment, simulation) = Environment::simulated(seed);
        environment
            .files
            .create_dir_all(Path::new("/data/log"))
            .unwrap();
        durable_file(&environment, "/data/log/a", b"x");
        simulation.power_loss();
        let exists = |path| environment.files.exists(Path::new(path)).unwrap();
        assert!(exists("/data/log") || !exists("/data/log/a"), "seed={seed}");
        lost += u64::from(!exists("/data/log/a"));
    }
    assert!(lost > 0);
}

#[test]
fn an_atomic_write_is_whole_after_any_power_cut() {
    for seed in 0..SEEDS {
        for cut in 0..3 {
            let (environment, simulation) = Environment::simulated(seed);
            write_atomically(&*environment.files, Path::new("/v"), b"old").unwrap();
            simulation.cut_power_at_sync(simulation.sync_count() + cut);
            let done = write_atomically(&*environment.files, Path::new("/v"), b"new").is_ok();
            assert_eq!(simulation.is_powered(), done);
            simulation.power_loss();
            let content = read(&environment, "/v");
            let expected: &[&[u8]] = if done { &[b"new"] } else { &[b"old", b"new"] };
            assert!(
                expected.contains(&content.as_slice()),
                "seed={seed} cut={cut} {content:?}"
            );
        }
    }
}

#[test]
fn what_a_failed_sync_covered_is_not_saved_by_the_next_one() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        let (environment, simulation) = Environment::simulated(seed);
        let file = durable_file(&environment, "/a", b"old");
        simulation.fail_sync_at(simulation.sync_count());
        file.write_all_at(b"new", 0).unwrap();
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        assert_eq!(read(&environment, "/a"), b"new");
        simulation.power_loss();
        lost += u64::from(read(&environment, "/a") == b"old");
    }
    assert!(lost > 0);
}

#[test]
fn the_chosen_call_fails_once_or_for_ever() {
    for operation in [
        Operation::Write,
        Operation::Sync,
        Operation::Read,
        Operation::Allocate,
    ] {
        let (environment, simulation) = Environment::simulated(1);
        let file = durable_file(&environment, "/a", b"old");
        let call = || match operation {
            Operation::Write => file.write_all_at(b"x", 0),
            Operation::Sync => file.sync_data(),
            Operation::Read => file.read_at(&mut [0], 0).map(drop),
            Operation::Allocate | Operation::Name => file.allocate(10),
        };
        simulation.fail_at(operation, simulation.count(operation) + 1);
        assert!(
            call().is_ok() && call().is_err() && call().is_ok(),
            "{operation:?}"
        );
        simulation.fail_from(operation, simulation.count(operation) + 1);
        assert!(
            call().is_ok() && call().is_err() && call().is_err(),
            "{operation:?}"
        );
        simulation.heal();
        assert!(call().is_ok());
        assert_eq!(simulation.failed_count(), 3);
    }
}

#[test]
fn a_full_disk_refuses_growth_but_not_reserved_space() {
    let (environment, simulation) = Environment::simulated(1);
    let reserved = durable_file(&environment, "/reserved", b"");
    reserved.allocate(8192).unwrap();
    let growing = durable_file(&environment, "/growing", b"");
    simulation.disk_full(100);
    assert_eq!(
        environment.files.available_bytes(Path::new("/")).unwrap(),
        100
    );
    reserved.write_all_at(&[1; 8192], 0).unwrap();
    let error = growing.write_all_at(&[1; 101], 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(
        growing.len().unwrap(),
        100,
        "a short write, as the system does it"
    );
    assert_eq!(
        reserved.allocate(9000).unwrap_err().kind(),
        ErrorKind::StorageFull
    );
    environment.files.remove(Path::new("/growing")).unwrap();
    environment.files.sync_dir(Path::new("/")).unwrap();
    reserved.allocate(8292).unwrap();
}

#[test]
fn handles_and_locks_die_with_the_power() {
    let (environment, simulation) = Environment::simulated(1);
    let file = durable_file(&environment, "/a", b"x");
    let lock = environment.files.lock(Path::new("/LOCK")).unwrap();
    let held = environment.files.lock(Path::new("/LOCK")).err().unwrap();
    assert_eq!(held.kind(), ErrorKind::WouldBlock);
    simulation.power_loss();
    assert!(file.read_at(&mut [0], 0).is_err());
    let mine = environment.files.lock(Path::new("/LOCK")).unwrap();
    drop(lock);
    assert!(
        environment.files.lock(Path::new("/LOCK")).is_err(),
        "the dead lock freed mine"
    );
    drop(mine);
    environment.files.lock(Path::new("/LOCK")).unwrap();
}

#[test]
fn a_flipped_bit_is_read_back_and_survives() {
    let (environment, simulation) = Environment::simulated(1);
    durable_file(&environment, "/a", &[0; 10]);
    simulation.flip_byte(Path::new("/a"), 9).unwrap();
    assert!(simulation.flip_byte(Path::new("/a"), 10).is_err());
    assert_eq!(read(&environment, "/a")[9], 2);
    simulation.power_loss();
    assert_eq!(read(&environment, "/a")[9], 2);
}

#[test]
fn one_seed_gives_one_history() {
    let run = |seed| {
        let (environment, simulation) = Environment::simulated(seed);
        let file = durable_file(&environment, "/a", &[1; 8192]);
        file.write_all_at(&[2; 8192], 0).unwrap();
        simulation.power_loss();
        simulation.advance(Duration::from_secs(3));
        let now = environment.clock.unix_micros();
        (
            read(&environment, "/a"),
            environment.random.u64(),
            now,
            simulation.files(),
        )
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5).1, run(6).1);
}

#[test]
fn renaming_a_directory_moves_what_is_in_it() {
    let (environment, simulation) = Environment::simulated(3);
    durable_dir(&environment, "/old");
    durable_file(&environment, "/old/a", b"x");
    environment
        .files
        .rename(Path::new("/old"), Path::new("/new"))
        .unwrap();
    environment.files.sync_dir(Path::new("/")).unwrap();
    simulation.power_loss();
    assert_eq!(read(&environment, "/new/a"), b"x");
    environment.files.remove_dir_all(Path::new("/new")).unwrap();
    assert_eq!(
        environment.files.list(Path::new("/")).unwrap(),
        Vec::<String>::new()
    );
}
