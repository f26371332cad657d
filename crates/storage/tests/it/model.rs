//! Random operations against a map, over every engine; the embedded ones are also closed, dropped
//! and opened again.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::executor::block_on;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use tessera_environment::Environment;
use tessera_storage::{
    Durability, EmbeddedOptions, KeyRange, ScanOptions, Snapshot, Store, Write, WriteBatch,
    open_memory,
};
use tessera_types::TxnId;

use crate::harness::{ROWS, commit, key, open, open_real, rows};

/// Keys are few, so that they are rewritten, deleted and met by ranges often.
const KEYS: u8 = 40;

#[derive(Debug, Clone)]
enum Step {
    Commit {
        writes: Vec<(u8, Option<u8>)>,
        durable: bool,
    },
    /// A commit whose first writes go through a run.
    CommitRun {
        run: Vec<(u8, Option<u8>)>,
        writes: Vec<(u8, Option<u8>)>,
    },
    Snapshot,
    DropSnapshot(u8),
    Destroy(u8, u8),
    Checkpoint,
    /// Closes properly, or drops without closing.
    Reopen {
        close: bool,
    },
    Check {
        from: u8,
        to: u8,
        reverse: bool,
        limit: Option<u8>,
    },
}

fn writes() -> impl Strategy<Value = Vec<(u8, Option<u8>)>> {
    proptest::collection::vec((0..KEYS, any::<Option<u8>>()), 0..12)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (writes(), any::<bool>()).prop_map(|(writes, durable)| Step::Commit { writes, durable }),
        2 => (writes(), writes()).prop_map(|(run, writes)| Step::CommitRun { run, writes }),
        2 => Just(Step::Snapshot),
        2 => any::<u8>().prop_map(Step::DropSnapshot),
        1 => (0..KEYS, 0..KEYS).prop_map(|(a, b)| Step::Destroy(a.min(b), a.max(b))),
        2 => Just(Step::Checkpoint),
        1 => any::<bool>().prop_map(|close| Step::Reopen { close }),
        4 => (0..KEYS, 0..KEYS, any::<bool>(), any::<Option<u8>>())
            .prop_map(|(from, to, reverse, limit)| Step::Check { from, to, reverse, limit }),
    ]
}

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

fn name(k: u8) -> Vec<u8> {
    // Different lengths, one a prefix of another.
    vec![b'k'; 1 + usize::from(k % 3)]
        .into_iter()
        .chain([k])
        .collect()
}

/// A snapshot, what it must show, and the keys changed after it.
type Held = (Arc<dyn Snapshot>, Map, Vec<Vec<u8>>);

struct World {
    store: Arc<dyn Store>,
    reopen: Option<Box<dyn Fn() -> Arc<dyn Store>>>,
    map: Map,
    held: Vec<Held>,
}

impl World {
    fn apply(&mut self, writes: &BTreeMap<u8, Option<u8>>) {
        for (k, value) in writes {
            self.note(name(*k));
            match value {
                Some(value) => self.map.insert(name(*k), vec![*value; usize::from(*value)]),
                None => self.map.remove(&name(*k)),
            };
        }
    }

    fn note(&mut self, k: Vec<u8>) {
        for (_, _, changed) in &mut self.held {
            changed.push(k.clone());
        }
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Commit { writes, durable } => {
                let writes: BTreeMap<_, _> = writes.iter().copied().collect();
                let durability = if *durable {
                    Durability::Durable
                } else {
                    Durability::Buffered
                };
                let batch = WriteBatch {
                    durability,
                    ..batch_of(&writes)
                };
                assert!(commit(&self.store, batch).version().is_some());
                self.apply(&writes);
            }
            Step::CommitRun { run, writes } => {
                let run: BTreeMap<_, _> = run.iter().copied().collect();
                let writes: BTreeMap<_, _> = writes.iter().copied().collect();
                let mut writer = self.store.begin_run().unwrap();
                for (space, key, write) in batch_of(&run).writes {
                    writer.add(space, key, write).unwrap();
                }
                let finished = writer.finish().unwrap();
                let mut batch = batch_of(&writes);
                batch.runs = vec![finished.id()];
                assert!(commit(&self.store, batch).version().is_some());
                self.apply(&run);
                self.apply(&writes);
            }
            Step::Snapshot => {
                self.held
                    .push((self.store.snapshot(), self.map.clone(), Vec::new()));
            }
            Step::DropSnapshot(at) => {
                if !self.held.is_empty() {
                    self.held.swap_remove(usize::from(*at) % self.held.len());
                }
            }
            Step::Destroy(from, to) => {
                let (from, to) = (name(*from), name(*to));
                if from < to {
                    let range = KeyRange::half_open(from.clone(), to.clone());
                    self.store.destroy_range(ROWS, range).unwrap();
                    // Published with, or before, the next commit.
                    assert!(
                        commit(&self.store, batch_of(&BTreeMap::from([(0, None)])))
                            .version()
                            .is_some()
                    );
                    self.apply(&BTreeMap::from([(0, None)]));
                    let gone: Vec<_> = self.map.range(from..to).map(|(k, _)| k.clone()).collect();
                    for k in gone {
                        self.map.remove(&k);
                        self.note(k);
                    }
                }
            }
            Step::Checkpoint => block_on(self.store.checkpoint()).unwrap(),
            Step::Reopen { close } => {
                if let Some(reopen) = &self.reopen {
                    self.held.clear();
                    if *close {
                        block_on(self.store.close()).unwrap();
                    } else {
                        // The last moments must be on disk for a map without versions to agree.
                        assert!(
                            commit(&self.store, batch_of(&BTreeMap::from([(0, None)])))
                                .version()
                                .is_some()
                        );
                        self.map.remove(&name(0));
                    }
                    self.store = open_memory();
                    self.store = reopen();
                }
            }
            Step::Check {
                from,
                to,
                reverse,
                limit,
            } => self.check(*from, *to, *reverse, *limit),
        }
    }

    fn check(&self, from: u8, to: u8, reverse: bool, limit: Option<u8>) {
        let current = (self.store.snapshot(), self.map.clone(), Vec::new());
        for (snapshot, map, changed) in self.held.iter().chain([&current]) {
            for k in 0..KEYS {
                let found = block_on(snapshot.get(ROWS, &name(k))).unwrap();
                assert_eq!(
                    found.as_deref(),
                    map.get(&name(k)).map(Vec::as_slice),
                    "key {k}"
                );
                let since = snapshot.version();
                let change = block_on(self.store.changed_since(ROWS, &name(k), since)).unwrap();
                let is_changed = change.is_some();
                // A destroyed range counts as changed also where nothing was.
                if changed.contains(&name(k)) {
                    assert!(is_changed, "key {k} was changed");
                }
            }
            let (from, to) = (name(from), name(to));
            let range = KeyRange::half_open(from.clone(), to.clone());
            let limit = limit.map(usize::from);
            let options = ScanOptions {
                reverse,
                row_limit: limit,
                bytes_max: 300,
                ..ScanOptions::default()
            };
            let found = rows(snapshot, ROWS, range, options);
            let found: Vec<_> = found
                .into_iter()
                .map(|(k, v)| (k.to_vec(), v.to_vec()))
                .collect();
            let inside = |(k, _): &(&Vec<u8>, &Vec<u8>)| **k >= from && **k < to;
            let mut expected: Vec<_> = map
                .iter()
                .filter(inside)
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect();
            if reverse {
                expected.reverse();
            }
            expected.truncate(limit.unwrap_or(usize::MAX));
            assert_eq!(found, expected);
        }
    }
}

fn batch_of(writes: &BTreeMap<u8, Option<u8>>) -> WriteBatch {
    let mut batch = WriteBatch::new(TxnId(1));
    for (k, value) in writes {
        let write = value.map_or(Write::Delete, |v| Write::Put(key(vec![v; usize::from(v)])));
        batch.writes.push((ROWS, key(name(*k)), write));
    }
    batch.writes.sort_by(|a, b| a.1.cmp(&b.1));
    batch
}

fn play(store: Arc<dyn Store>, reopen: Option<Box<dyn Fn() -> Arc<dyn Store>>>, steps: &[Step]) {
    let mut world = World {
        store,
        reopen,
        map: Map::new(),
        held: Vec::new(),
    };
    for step in steps {
        world.run(step);
    }
    world.check(0, KEYS - 1, false, None);
    world.run(&Step::Checkpoint);
    world.check(0, KEYS - 1, true, None);
    world.held.clear();
    world.run(&Step::Checkpoint);
    world.check(0, KEYS - 1, false, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn memory_behaves_like_a_map(steps in proptest::collection::vec(step(), 1..60)) {
        play(open_memory(), None, &steps);
    }

    #[test]
    fn embedded_on_a_simulated_disk_behaves_like_a_map(steps in proptest::collection::vec(step(), 1..60)) {
        let (env, _simulation) = Environment::simulated(7);
        let store = open(&env, EmbeddedOptions::simulated());
        let reopen = Box::new(move || open(&env, EmbeddedOptions::simulated()));
        play(store, Some(reopen), &steps);
    }
}

proptest! {
    // Every case opens a real database several times.
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn embedded_on_the_lsm_behaves_like_a_map(steps in proptest::collection::vec(step(), 1..80)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_owned();
        let store = open_real(&path, EmbeddedOptions::default());
        let reopen = Box::new(move || open_real(&path, EmbeddedOptions::default()));
        play(store, Some(reopen), &steps);
    }
}
