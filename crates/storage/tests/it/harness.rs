//! Stores to test, and short forms of the calls.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::executor::block_on;
use tessera_environment::{Environment, Simulation};
use tessera_storage::{
    CommitOutcome, Durability, EmbeddedOptions, Key, KeyRange, KeySpace, Row, ScanOptions,
    Snapshot, Store, StoreError, Val, Write, WriteBatch, open_embedded, open_memory,
};
use tessera_types::{TxnId, Version};

pub(crate) const ROWS: KeySpace = KeySpace::Rows;

/// A store, and what must outlive it.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) store: Arc<dyn Store>,
    _dir: Option<tempfile::TempDir>,
}

/// Every engine, fresh and empty.
pub(crate) fn subjects() -> Vec<Subject> {
    let memory = Subject {
        name: "memory",
        store: open_memory(),
        _dir: None,
    };
    let (env, _) = Environment::simulated(1);
    let store = open(&env, EmbeddedOptions::simulated());
    let simulated = Subject {
        name: "embedded, simulated",
        store,
        _dir: None,
    };
    let dir = tempfile::tempdir().unwrap();
    let store = open_real(dir.path(), EmbeddedOptions::default());
    let embedded = Subject {
        name: "embedded",
        store,
        _dir: Some(dir),
    };
    vec![memory, simulated, embedded]
}

pub(crate) fn data_dir() -> PathBuf {
    PathBuf::from("/data")
}

pub(crate) fn open(env: &Environment, options: EmbeddedOptions) -> Arc<dyn Store> {
    open_embedded(env, &data_dir(), options).unwrap()
}

pub(crate) fn open_real(dir: &Path, options: EmbeddedOptions) -> Arc<dyn Store> {
    open_embedded(&Environment::real(), dir, options).unwrap()
}

/// A store on a simulated disk.
pub(crate) fn simulated(seed: u64) -> (Environment, Simulation, Arc<dyn Store>) {
    let (env, simulation) = Environment::simulated(seed);
    let store = open(&env, EmbeddedOptions::simulated());
    (env, simulation, store)
}

pub(crate) fn key(text: impl AsRef<[u8]>) -> Key {
    Key::copy_from_slice(text.as_ref())
}

/// `a=1` puts, `a-` deletes; sorted.
pub(crate) fn batch(writes: &[&str]) -> WriteBatch {
    let mut batch = WriteBatch::new(TxnId(1));
    for write in writes {
        let write = match write.split_once('=') {
            Some((k, v)) => (ROWS, key(k), Write::Put(key(v))),
            None => (ROWS, key(write.trim_end_matches('-')), Write::Delete),
        };
        batch.writes.push(write);
    }
    batch.writes.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    batch
}

pub(crate) fn commit(store: &Arc<dyn Store>, batch: WriteBatch) -> CommitOutcome {
    block_on(store.commit(batch, None))
}

/// Commits and expects success.
pub(crate) fn put(store: &Arc<dyn Store>, writes: &[&str]) -> Version {
    match commit(store, batch(writes)) {
        CommitOutcome::Committed(version) => version,
        other => panic!("{writes:?}: {other:?}"),
    }
}

/// The same without waiting for the disk.
pub(crate) fn put_buffered(store: &Arc<dyn Store>, writes: &[&str]) -> CommitOutcome {
    let mut batch = batch(writes);
    batch.durability = Durability::Buffered;
    commit(store, batch)
}

pub(crate) fn error(outcome: CommitOutcome) -> StoreError {
    match outcome {
        CommitOutcome::Aborted(error) => error,
        other => panic!("expected an abort, got {other:?}"),
    }
}

pub(crate) fn get(snapshot: &Arc<dyn Snapshot>, k: &str) -> Option<String> {
    let value = block_on(snapshot.get(ROWS, k.as_bytes())).unwrap();
    value.map(|value| String::from_utf8(value.to_vec()).unwrap())
}

pub(crate) fn rows(
    snapshot: &Arc<dyn Snapshot>,
    space: KeySpace,
    range: KeyRange,
    options: ScanOptions,
) -> Vec<Row> {
    let mut scan = snapshot.clone().scan(space, range, options);
    let mut rows = Vec::new();
    while let Some(batch) = block_on(scan.next_batch()).unwrap() {
        assert!(!batch.is_empty());
        rows.extend(batch);
    }
    rows
}

pub(crate) fn text(rows: Vec<(Key, Val)>) -> String {
    let row = |(k, v): (Key, Val)| {
        format!(
            "{}={}",
            String::from_utf8_lossy(&k),
            String::from_utf8_lossy(&v)
        )
    };
    rows.into_iter().map(row).collect::<Vec<_>>().join(" ")
}

/// Everything in the rows' space.
pub(crate) fn all(snapshot: &Arc<dyn Snapshot>) -> String {
    text(rows(
        snapshot,
        ROWS,
        KeyRange::all(),
        ScanOptions::default(),
    ))
}

pub(crate) fn now(store: &Arc<dyn Store>) -> String {
    all(&store.snapshot())
}

pub(crate) fn checkpoint(store: &Arc<dyn Store>) {
    block_on(store.checkpoint()).unwrap();
}
