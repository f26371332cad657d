//! A log with a memory of what it promised.

use std::collections::BTreeMap;
use std::path::Path;

use tessera_environment::{Environment, Simulation};
use tessera_log::{Log, LogError, LogOptions};
use tessera_types::Version;

pub(crate) const DIR: &str = "/data/log";
pub(crate) const SEGMENT_BYTES: u64 = 8192;

pub(crate) fn dir() -> &'static Path {
    Path::new(DIR)
}

/// Records in the order of their replay.
pub(crate) type Replayed = Vec<(Version, Vec<u8>)>;

/// What became of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Acknowledged,
    Refused,
    Unknown,
}

/// Every record ever enqueued, and what the log said about it.
#[derive(Default)]
pub(crate) struct Expected {
    pub(crate) records: BTreeMap<Version, (Vec<u8>, Fate)>,
}

pub(crate) fn payload(number: u64) -> Vec<u8> {
    let len = [0, 7, 100, 700, 3000][(number % 5) as usize];
    (0..len)
        .map(|index| (number.wrapping_mul(31).wrapping_add(index) % 251) as u8 + 1)
        .collect()
}

pub(crate) fn durable_parent(environment: &Environment) {
    environment
        .files
        .create_dir_all(Path::new("/data"))
        .unwrap();
    environment.files.sync_dir(Path::new("/")).unwrap();
}

pub(crate) fn open(environment: &Environment, after: Version) -> Result<(Log, Replayed), LogError> {
    open_with(environment, after, LogOptions::deterministic(SEGMENT_BYTES))
}

pub(crate) fn open_with(
    environment: &Environment,
    after: Version,
    options: LogOptions,
) -> Result<(Log, Replayed), LogError> {
    let mut replayed = Vec::new();
    let log = Log::open(
        environment,
        dir(),
        options,
        after,
        &mut |version, payload| {
            replayed.push((version, payload.to_vec()));
            Ok(())
        },
    )?;
    Ok((log, replayed))
}

impl Expected {
    /// Appends one record and waits until it is durable.
    pub(crate) fn append(&mut self, log: &Log, number: u64) -> Result<Version, LogError> {
        let payload = payload(number);
        let version = log.enqueue(payload.clone())?;
        self.records.insert(version, (payload, Fate::Unknown));
        let outcome = log.wait_blocking(version, true);
        let fate = match &outcome {
            Ok(()) => Fate::Acknowledged,
            Err(LogError::Unresolved { .. }) => Fate::Unknown,
            Err(_) => Fate::Refused,
        };
        self.set(version, fate);
        outcome.map(|()| version)
    }

    pub(crate) fn set(&mut self, version: Version, fate: Fate) {
        self.records.get_mut(&version).unwrap().1 = fate;
    }

    /// Property: every acknowledged record is there, whole and in order; no refused one is; and
    /// what is there besides was at least asked for.
    pub(crate) fn check(&mut self, replayed: &[(Version, Vec<u8>)], context: &str) {
        assert!(replayed.is_sorted_by(|a, b| a.0 < b.0), "order, {context}");
        let found: BTreeMap<_, _> = replayed.iter().cloned().collect();
        for (version, content) in &found {
            let (expected, fate) = self.records.get(version).expect("a record nobody wrote");
            assert!(content == expected, "content of {version}, {context}");
            assert_ne!(
                *fate,
                Fate::Refused,
                "refused {version} came back, {context}"
            );
        }
        for (version, (_, fate)) in &mut self.records {
            let there = found.contains_key(version);
            assert!(
                there || *fate != Fate::Acknowledged,
                "{version} was lost, {context}"
            );
            // Once replayed, a record may never vanish; once gone, it may never come back.
            *fate = if there {
                Fate::Acknowledged
            } else {
                Fate::Refused
            };
        }
    }
}

/// Opens the log, makes `work` run on it until something fails, and forgets the log.
pub(crate) fn run(
    environment: &Environment,
    expected: &mut Expected,
    count: u64,
) -> Result<(), LogError> {
    let (log, replayed) = open(environment, Version::ZERO)?;
    expected.check(&replayed, "while running");
    let start = log.last_version().0;
    for number in start..start + count {
        expected.append(&log, number)?;
    }
    log.close()
}

pub(crate) fn simulated(seed: u64) -> (Environment, Simulation) {
    let (environment, simulation) = Environment::simulated(seed);
    durable_parent(&environment);
    (environment, simulation)
}
