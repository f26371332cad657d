//! Damage to durable bytes is told from a torn end.

use std::path::PathBuf;
use std::time::Duration;

use tessera_environment::Environment;
use tessera_log::{LogError, LogOptions, scan, verify};
use tessera_types::Version;

use crate::harness::{DIR, Expected, SEGMENT_BYTES, dir, open, open_with, run, simulated};

fn segments(simulation: &tessera_environment::Simulation) -> Vec<(PathBuf, u64)> {
    let files = simulation.files().into_iter();
    files.filter(|(path, _)| path.starts_with(DIR)).collect()
}

/// Method: flip one bit of every byte of a closed log in turn.
/// Property: it is refused with the file's name, or nothing at all is missing.
#[test]
fn a_flipped_byte_anywhere_is_detected_or_harmless() {
    let (environment, simulation) = simulated(1);
    let mut expected = Expected::default();
    run(&environment, &mut expected, 12).unwrap();
    let files = segments(&simulation);
    assert!(files.len() > 1);
    let (mut detected, mut harmless) = (0, 0);
    for (path, len) in &files {
        for offset in 0..*len {
            simulation.flip_byte(path, offset).unwrap();
            let mut replayed = Vec::new();
            let result = scan(
                &environment,
                dir(),
                Version::ZERO,
                &mut |version, content| {
                    replayed.push((version, content.to_vec()));
                    Ok(())
                },
            );
            match result {
                Err(LogError::Corruption { file, .. }) => {
                    assert_eq!(&file, path, "offset {offset}");
                    detected += 1;
                }
                Err(error) => panic!("{}:{offset}: {error}", path.display()),
                Ok(_) => {
                    expected.check(&replayed, &format!("{}:{offset}", path.display()));
                    harmless += 1;
                }
            }
            simulation.flip_byte(path, offset).unwrap();
        }
    }
    // Harmless are only the unused end of each segment and the closing mark.
    let unused: u64 =
        files.iter().map(|(_, len)| len).sum::<u64>() - verify(&environment, dir()).unwrap().bytes;
    assert!(
        harmless <= unused + 48 * 2 + SEGMENT_BYTES,
        "{harmless} of {unused}"
    );
    assert!(detected > 4096 * files.len() as u64);
}

#[test]
fn damage_under_a_later_record_is_an_error_that_names_the_place() {
    let (environment, simulation) = simulated(1);
    run(&environment, &mut Expected::default(), 3).unwrap();
    let (path, _) = segments(&simulation)[0].clone();
    // The first record has no payload, so the second one starts 48 bytes after the header.
    simulation.flip_byte(&path, 4096 + 48 + 48 + 3).unwrap();
    let error = open(&environment, Version::ZERO).err().unwrap();
    let text = error.to_string();
    assert!(
        text.contains("00000000000000000001.log is damaged at byte 4144"),
        "{text}"
    );
    assert_eq!(error.code().0.as_str(), "XX001");
}

#[test]
fn an_idle_log_marks_its_end_so_that_damage_to_the_last_record_shows() {
    for marked in [true, false] {
        let (environment, simulation) = simulated(1);
        let options = LogOptions {
            mark_delay: marked.then_some(Duration::from_secs(1)),
            ..LogOptions::deterministic(SEGMENT_BYTES)
        };
        let (log, _) = open_with(&environment, Version::ZERO, options).unwrap();
        let mut expected = Expected::default();
        expected.append(&log, 2).unwrap();
        let writes = || simulation.count(tessera_environment::Operation::Write);
        let before = writes();
        simulation.advance(Duration::from_secs(2));
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while marked && writes() == before {
            assert!(std::time::Instant::now() < deadline, "no mark was written");
            std::thread::yield_now();
        }
        // Killed: neither close nor another record.
        simulation.cut_power();
        drop(log);
        simulation.power_loss();
        let (path, _) = segments(&simulation)[0].clone();
        let marked = read_mark(&environment, &path);
        simulation.flip_byte(&path, 4096 + 50).unwrap();
        let result = open(&environment, Version::ZERO);
        assert_eq!(result.is_err(), marked);
    }
}

/// Whether the mark survived the power loss.
fn read_mark(environment: &Environment, path: &std::path::Path) -> bool {
    let bytes = tessera_environment::read_all(&*environment.files, path).unwrap();
    let at = 4096 + 48 + 104;
    bytes[at..at + 48].iter().any(|byte| *byte != 0)
}

#[test]
fn a_missing_or_foreign_segment_is_noticed() {
    let (environment, simulation) = simulated(1);
    run(&environment, &mut Expected::default(), 40).unwrap();
    let files = segments(&simulation);
    let (middle, _) = files[files.len() / 2].clone();
    let bytes = tessera_environment::read_all(&*environment.files, &middle).unwrap();
    environment.files.remove(&middle).unwrap();
    let error = verify(&environment, dir()).unwrap_err();
    assert!(matches!(error, LogError::Corruption { .. }), "{error}");

    let (foreign, _) = simulated(2);
    run(&foreign, &mut Expected::default(), 40).unwrap();
    let bytes_of_other = tessera_environment::read_all(&*foreign.files, &middle).unwrap();
    assert_eq!(bytes.len(), bytes_of_other.len());
    tessera_environment::write_atomically(&*environment.files, &middle, &bytes_of_other).unwrap();
    let error = verify(&environment, dir()).unwrap_err();
    assert!(error.to_string().contains("another log"), "{error}");

    tessera_environment::write_atomically(&*environment.files, &middle, &bytes[..5000]).unwrap();
    let error = verify(&environment, dir()).unwrap_err();
    assert!(error.to_string().contains("cut short"), "{error}");

    tessera_environment::write_atomically(&*environment.files, &middle, &bytes).unwrap();
    verify(&environment, dir()).unwrap();
}
