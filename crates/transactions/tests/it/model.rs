//! Random interleavings of several transactions against a model of plain maps.
//!
//! The model keeps every committed state as a whole map, and per transaction its own writes as a
//! list with command numbers. Locks are asked for with NOWAIT, so one thread plays all sessions.
//! Each run is done twice: with a write buffer that never spills and with one that always does.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use tessera_locks::Wait;
use tessera_storage::{KeySpace, ScanOptions};
use tessera_transactions::{Isolation, RowLock, Transaction, TransactionError, TxnView};

use crate::world::{World, lock, newest, put, read, scan, worlds};

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];
const SESSIONS: usize = 3;

type State = BTreeMap<&'static str, String>;

#[derive(Debug, Clone)]
enum Action {
    Begin {
        repeatable: bool,
    },
    /// A statement that writes the keys (None deletes), and is kept or undone.
    Write {
        keys: Vec<(usize, bool)>,
        keep: bool,
    },
    Read,
    OpenCursor,
    ReadCursor,
    Savepoint,
    RollbackTo,
    Release,
    Commit,
    Rollback,
}

fn actions() -> impl Strategy<Value = Vec<(usize, Action)>> {
    let write = prop::collection::vec((0..KEYS.len(), any::<bool>()), 1..4);
    let action = prop_oneof![
        3 => any::<bool>().prop_map(|repeatable| Action::Begin { repeatable }),
        8 => (write, prop::bool::weighted(0.8)).prop_map(|(keys, keep)| Action::Write { keys, keep }),
        4 => Just(Action::Read),
        2 => Just(Action::OpenCursor),
        2 => Just(Action::ReadCursor),
        2 => Just(Action::Savepoint),
        2 => Just(Action::RollbackTo),
        1 => Just(Action::Release),
        3 => Just(Action::Commit),
        1 => Just(Action::Rollback),
    ];
    prop::collection::vec((0..SESSIONS, action), 1..60)
}

/// One session's transaction in the model.
struct Session {
    txn: Transaction,
    repeatable: bool,
    /// Index into the committed states; for RC renewed by every statement.
    snapshot: Option<usize>,
    own: Vec<(&'static str, Option<String>)>,
    /// Lengths of `own`, and the locks held then.
    savepoints: Vec<(usize, Vec<usize>)>,
    locked: Vec<usize>,
    cursor: Option<(Arc<TxnView>, State)>,
}

struct Model {
    committed: Vec<State>,
    /// The keys that each commit wrote; also those whose value stayed the same.
    written: Vec<Vec<&'static str>>,
    sessions: [Option<Session>; SESSIONS],
    writes: u64,
}

impl Session {
    fn visible(&self, committed: &[State]) -> State {
        let base = self.snapshot.unwrap_or(committed.len() - 1);
        let mut state = committed[base].clone();
        for (key, value) in &self.own {
            match value {
                Some(value) => state.insert(key, value.clone()),
                None => state.remove(key),
            };
        }
        state
    }
}

async fn run(world: &World, buffer_bytes: usize, actions: &[(usize, Action)]) {
    let mut model = Model {
        committed: vec![State::new()],
        written: vec![Vec::new()],
        sessions: Default::default(),
        writes: 0,
    };
    for (at, action) in actions {
        model.step(world, buffer_bytes, *at, action).await;
        let view = world.transactions.view();
        compare(&view, model.committed.last().unwrap()).await;
    }
    drop(model.sessions);
    assert_eq!(world.transactions.active_count(), 0);
    assert_eq!(world.transactions.locks().resource_count(), 0);
}

impl Model {
    async fn step(&mut self, world: &World, buffer_bytes: usize, at: usize, action: &Action) {
        let newest_committed = self.committed.len() - 1;
        let Some(session) = &mut self.sessions[at] else {
            if let Action::Begin { repeatable } = action {
                let isolation = match repeatable {
                    true => Isolation::RepeatableRead,
                    false => Isolation::ReadCommitted,
                };
                self.sessions[at] = Some(Session {
                    txn: world.begin_with_buffer(isolation, buffer_bytes),
                    repeatable: *repeatable,
                    snapshot: None,
                    own: Vec::new(),
                    savepoints: Vec::new(),
                    locked: Vec::new(),
                    cursor: None,
                });
            }
            return;
        };
        match action {
            Action::Begin { .. } => {}
            Action::Read | Action::OpenCursor => {
                session.snapshot = session.snapshot.filter(|_| session.repeatable);
                let guard = session.txn.start_statement().await.unwrap();
                session.snapshot.get_or_insert(newest_committed);
                let view = session.txn.view();
                let expected = session.visible(&self.committed);
                compare(&view, &expected).await;
                guard.finish();
                if matches!(action, Action::OpenCursor) {
                    session.cursor = Some((view, expected));
                }
            }
            Action::ReadCursor => {
                if let Some((view, expected)) = &session.cursor {
                    compare(view, expected).await;
                }
            }
            Action::Write { keys, keep } => self.write(at, keys, *keep).await,
            Action::Savepoint => {
                session.txn.savepoint("s").unwrap();
                session
                    .savepoints
                    .push((session.own.len(), session.locked.clone()));
            }
            Action::RollbackTo => match session.savepoints.last() {
                None => drop(session.txn.rollback_to("s").unwrap_err()),
                Some((length, locked)) => {
                    session.txn.rollback_to("s").unwrap();
                    session.own.truncate(*length);
                    session.locked.clone_from(locked);
                    // A cursor opened after the savepoint would be closed by the session.
                    session.cursor = None;
                }
            },
            Action::Release => match session.savepoints.pop() {
                None => drop(session.txn.release("s").unwrap_err()),
                Some(_) => session.txn.release("s").unwrap(),
            },
            Action::Commit => {
                let Some(session) = self.sessions[at].take() else {
                    return;
                };
                session.txn.commit().await.unwrap();
                if !session.own.is_empty() {
                    // Own writes go on top of the newest state: other keys are untouched.
                    let mut next = self.committed[newest_committed].clone();
                    self.written
                        .push(session.own.iter().map(|(key, _)| *key).collect());
                    for (key, value) in session.own {
                        match value {
                            Some(value) => next.insert(key, value),
                            None => next.remove(key),
                        };
                    }
                    self.committed.push(next);
                }
            }
            Action::Rollback => {
                let Some(session) = self.sessions[at].take() else {
                    return;
                };
                session.txn.rollback();
            }
        }
    }

    async fn write(&mut self, at: usize, keys: &[(usize, bool)], keep: bool) {
        let newest_committed = self.committed.len() - 1;
        let locked_by_others: Vec<usize> = self
            .sessions
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != at)
            .flat_map(|(_, session)| session.iter().flat_map(|s| s.locked.clone()))
            .collect();
        let Some(session) = &mut self.sessions[at] else {
            return;
        };
        session.snapshot = session.snapshot.filter(|_| session.repeatable);
        let guard = session.txn.start_statement().await.unwrap();
        let snapshot = *session.snapshot.get_or_insert(newest_committed);
        let view = session.txn.view();
        let before = session.visible(&self.committed);
        let own_before = session.own.len();
        for (key, is_put) in keys {
            let name = KEYS[*key];
            let locked = lock(&session.txn, name, Wait::NoWait).await;
            if locked_by_others.contains(key) {
                assert!(
                    matches!(locked, Err(TransactionError::Lock(_))),
                    "{locked:?}"
                );
                continue;
            }
            let was_written = self.written[snapshot + 1..]
                .iter()
                .any(|keys| keys.contains(&name));
            match locked {
                Err(TransactionError::ConcurrentUpdate { .. }) => {
                    assert!(session.repeatable && was_written);
                    // The lock itself was granted.
                    session.locked.push(*key);
                    continue;
                }
                Ok(RowLock::Changed) => assert!(!session.repeatable && was_written),
                Ok(RowLock::Unchanged) => assert!(!was_written),
                other => panic!("{other:?}"),
            }
            session.locked.push(*key);
            self.writes += 1;
            let value = is_put.then(|| format!("v{}", self.writes));
            match &value {
                Some(value) => put(&session.txn, name, value).unwrap(),
                None => session.txn.delete(KeySpace::Rows, name.into()).unwrap(),
            }
            session.own.push((name, value.clone()));
            assert_eq!(newest(&session.txn, name).await, value);
            // The statement does not see itself.
            compare(&view, &before).await;
        }
        if keep {
            guard.finish();
        } else {
            guard.undo();
            session.own.truncate(own_before);
        }
        compare(&session.txn.view(), &{
            let mut after = session.visible(&self.committed);
            if !session.repeatable {
                session.snapshot = None;
                after = session.visible(&self.committed);
            }
            after
        })
        .await;
    }
}

/// Points, and scans both ways, whole, limited and in small batches.
async fn compare(view: &Arc<TxnView>, expected: &State) {
    for key in KEYS {
        assert_eq!(read(view, key).await.as_ref(), expected.get(key), "{key}");
    }
    let all: Vec<(String, String)> = expected
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()))
        .collect();
    for bytes_max in [1, 1 << 20] {
        for row_limit in [None, Some(0), Some(1), Some(2)] {
            for reverse in [false, true] {
                let options = ScanOptions {
                    reverse,
                    row_limit,
                    bytes_max,
                    keys_only: false,
                };
                let mut rows = all.clone();
                if reverse {
                    rows.reverse();
                }
                rows.truncate(row_limit.unwrap_or(usize::MAX));
                assert_eq!(scan(view, options.clone()).await, rows, "{options:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn interleavings_agree_with_the_model(actions in actions()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for buffer_bytes in [1 << 20, 0] {
            for world in worlds() {
                runtime.block_on(run(&world, buffer_bytes, &actions));
            }
        }
    }
}
