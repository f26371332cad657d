//! All tasks of the process, for the gauges and the leak check.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime;

/// What a task does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// It runs, or waits for something of its own.
    Running,
    /// A background loop that failed and waits for its next start.
    Pausing,
    /// It was asked to stop and has not ended yet.
    Stopping,
}

/// One task as the outside sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskInfo {
    /// Name of its group.
    pub group: &'static str,
    /// The component that answers for the group.
    pub owner: &'static str,
    /// What it is there for.
    pub name: &'static str,
    /// What it does now.
    pub state: TaskState,
    /// Time since its start.
    pub age: Duration,
    /// How often a background loop was started again.
    pub restarts: u32,
}

/// Shared between a task and the list of tasks.
#[derive(Debug)]
pub(crate) struct TaskRecord {
    pub(crate) group: &'static str,
    pub(crate) owner: &'static str,
    pub(crate) name: &'static str,
    runtime: runtime::Id,
    pub(crate) started: Instant,
    pub(crate) restarts: AtomicU32,
    state: AtomicU8,
}

impl TaskRecord {
    pub(crate) fn new(
        group: &'static str,
        owner: &'static str,
        name: &'static str,
        runtime: runtime::Id,
    ) -> TaskRecord {
        TaskRecord {
            group,
            owner,
            name,
            runtime,
            started: Instant::now(),
            restarts: AtomicU32::new(0),
            state: AtomicU8::new(0),
        }
    }

    pub(crate) fn set_state(&self, state: TaskState) {
        let number = match state {
            TaskState::Running => 0,
            TaskState::Pausing => 1,
            TaskState::Stopping => 2,
        };
        self.state.store(number, Ordering::Relaxed);
    }

    fn info(&self) -> TaskInfo {
        TaskInfo {
            group: self.group,
            owner: self.owner,
            name: self.name,
            state: match self.state.load(Ordering::Relaxed) {
                1 => TaskState::Pausing,
                2 => TaskState::Stopping,
                _ => TaskState::Running,
            },
            age: self.started.elapsed(),
            restarts: self.restarts.load(Ordering::Relaxed),
        }
    }
}

static NEXT: AtomicU64 = AtomicU64::new(0);
static TASKS: Mutex<BTreeMap<u64, Arc<TaskRecord>>> = Mutex::new(BTreeMap::new());

/// Keeps a task in the list until dropped.
#[derive(Debug)]
pub(crate) struct Registered(u64);

pub(crate) fn register(record: Arc<TaskRecord>) -> Registered {
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    TASKS.lock().insert(id, record);
    Registered(id)
}

impl Drop for Registered {
    fn drop(&mut self) {
        TASKS.lock().remove(&self.0);
    }
}

/// All tasks alive in this process, oldest first.
pub fn snapshot() -> Vec<TaskInfo> {
    TASKS.lock().values().map(|record| record.info()).collect()
}

/// The tasks alive on one runtime, oldest first. Tests of one process have a runtime each, so
/// what is left here once everything has stopped is a leak of the test that asks.
pub fn alive_on(runtime: runtime::Id) -> Vec<TaskInfo> {
    TASKS
        .lock()
        .values()
        .filter(|record| record.runtime == runtime)
        .map(|record| record.info())
        .collect()
}
