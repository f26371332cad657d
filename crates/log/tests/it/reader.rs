//! Readers that follow the log while it is written, cut and opened anew.

use tessera_log::{Log, LogError, LogOptions, LogReader};
use tessera_types::Version;

use crate::harness::{Expected, SEGMENT_BYTES, open, open_with, payload, simulated};

fn content(log: &mut LogReader, until: Version) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    while let Some(record) = log.next(until).unwrap() {
        let mut bytes = vec![0; record.payload_bytes() as usize];
        // In pieces, as a long record is read.
        for (at, piece) in bytes.chunks_mut(1_000).enumerate() {
            record.read_exact_at(piece, at as u64 * 1_000).unwrap();
        }
        found.push((record.version().0, bytes));
    }
    found
}

fn append(log: &Log, numbers: std::ops::Range<u64>) {
    let mut expected = Expected::default();
    for number in numbers {
        expected.append(log, number).unwrap();
    }
}

fn expected(versions: std::ops::RangeInclusive<u64>) -> Vec<(u64, Vec<u8>)> {
    versions
        .map(|version| (version, payload(version - 1)))
        .collect()
}

/// Method: read after every append, over many segments; and from every version at the end.
/// Property: each record is given once, whole, in order, by every reader.
#[test]
fn a_reader_gets_each_record_once_while_the_log_grows() {
    let (environment, _) = simulated(1);
    let (log, _) = open(&environment, Version::ZERO).unwrap();
    let mut follower = log.reader(Version::ZERO).unwrap();
    assert_eq!(content(&mut follower, Version::MAX), []);
    for number in 0..120 {
        append(&log, number..number + 1);
        let version = number + 1;
        assert_eq!(
            content(&mut follower, Version::MAX),
            expected(version..=version)
        );
        assert_eq!(content(&mut follower, Version::MAX), []);
    }
    assert!(log.segments().len() > 10, "several segments were passed");
    for after in 0..=120 {
        let mut reader = log.reader(Version(after)).unwrap();
        assert_eq!(
            content(&mut reader, Version::MAX),
            expected(after + 1..=120)
        );
    }
}

#[test]
fn a_reader_goes_no_further_than_it_may() {
    let (environment, _) = simulated(1);
    let (log, _) = open(&environment, Version::ZERO).unwrap();
    append(&log, 0..20);
    let mut reader = log.reader(Version(3)).unwrap();
    assert_eq!(content(&mut reader, Version(3)), []);
    assert_eq!(content(&mut reader, Version(5)), expected(4..=5));
    assert_eq!(content(&mut reader, Version(6)), expected(6..=6));
    assert_eq!(reader.position(), Version(6));
}

/// A reader that is within a segment when it is cut reads it to its end; a new one is told.
#[test]
fn what_was_cut_is_refused_to_new_readers_only() {
    let (environment, _) = simulated(1);
    let (log, _) = open(&environment, Version::ZERO).unwrap();
    append(&log, 0..60);
    let mut early = log.reader(Version(2)).unwrap();
    assert_eq!(content(&mut early, Version(3)), expected(3..=3));
    let oldest = log.segments()[1].previous;
    assert_eq!(log.cut(oldest.next()).unwrap(), 1);
    let error = log.reader(Version(oldest.0 - 1)).err().unwrap();
    assert!(
        matches!(error, LogError::Cut { oldest: found } if found == oldest),
        "{error}"
    );
    assert_eq!(content(&mut early, Version::MAX), expected(4..=60));
    let mut late = log.reader(oldest).unwrap();
    assert_eq!(
        content(&mut late, Version::MAX),
        expected(oldest.0 + 1..=60)
    );
}

/// A reader that has not reached a segment when it goes is told when it gets there.
#[test]
fn a_reader_that_is_too_slow_is_told() {
    let (environment, _) = simulated(1);
    let (log, _) = open(&environment, Version::ZERO).unwrap();
    append(&log, 0..60);
    let mut slow = log.reader(Version::ZERO).unwrap();
    let third = log.segments()[2].previous;
    assert_eq!(log.cut(third.next()).unwrap(), 2);
    let error = loop {
        match slow.next(Version::MAX) {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the gap was passed"),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, LogError::Cut { oldest } if oldest == third),
        "{error}"
    );
}

/// A log that was opened with older segments, which the replay skips, can still be read from them.
#[test]
fn segments_from_before_the_opening_are_read() {
    let (environment, _) = simulated(1);
    let (log, _) = open(&environment, Version::ZERO).unwrap();
    append(&log, 0..60);
    log.close().unwrap();
    let (log, replayed) = open(&environment, Version(50)).unwrap();
    assert_eq!(replayed.len(), 10);
    let mut reader = log.reader(Version::ZERO).unwrap();
    append(&log, 60..70);
    assert_eq!(content(&mut reader, Version::MAX), expected(1..=70));
}

/// Records longer than what is read at once are checked and read where they lie.
#[test]
fn a_long_record_is_read_in_pieces_and_its_damage_is_noticed() {
    let (environment, simulation) = simulated(1);
    let options = LogOptions::deterministic(SEGMENT_BYTES);
    let (log, _) = open_with(&environment, Version::ZERO, options).unwrap();
    let long: Vec<u8> = (0..700_001_u32).map(|at| (at % 251) as u8).collect();
    let version = log.enqueue(long.clone()).unwrap();
    log.wait_blocking(version, true).unwrap();
    append(&log, 7..8);
    let mut reader = log.reader(Version::ZERO).unwrap();
    let found = content(&mut reader, Version::MAX);
    assert_eq!(found, [(1, long), (2, payload(7))]);
    let (path, _) = simulation
        .files()
        .into_iter()
        .find(|(_, len)| *len > 700_000)
        .unwrap();
    simulation.flip_byte(&path, 500_000).unwrap();
    let mut reader = log.reader(Version::ZERO).unwrap();
    let error = reader.next(Version::MAX).err().unwrap();
    assert!(matches!(error, LogError::Corruption { .. }), "{error}");
}

#[test]
fn logs_have_identities_of_their_own() {
    let (environment, _) = simulated(1);
    let (log, _) = open(&environment, Version::ZERO).unwrap();
    let first = log.identity();
    log.close().unwrap();
    let (log, _) = open(&environment, Version::ZERO).unwrap();
    assert_eq!(log.identity(), first, "the same after an opening");
    let (other, _) = simulated(2);
    let (log, _) = open(&other, Version::ZERO).unwrap();
    assert_ne!(log.identity(), first);
}
