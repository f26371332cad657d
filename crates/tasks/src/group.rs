//! A group of tasks with one owner, one bound and one way to stop.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tessera_types::{Report, Retry, SqlState, codes};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::registry::{Registered, TaskRecord, TaskState, register};

/// After an abort, tasks get this long to reach their next await.
const ABORT_GRACE: Duration = Duration::from_secs(1);

/// Why a task was not started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// As many tasks as allowed are running.
    #[error("task group {group} is full (limit {tasks_max})")]
    Full {
        group: &'static str,
        tasks_max: usize,
    },
    /// The group is being drained.
    #[error("task group {group} is closed")]
    Closed { group: &'static str },
}

impl GroupError {
    /// SQLSTATE and retry class.
    pub fn code(&self) -> (SqlState, Retry) {
        match self {
            GroupError::Full { .. } => (codes::CONFIGURATION_LIMIT_EXCEEDED, Retry::Later),
            GroupError::Closed { .. } => (codes::ADMIN_SHUTDOWN, Retry::Later),
        }
    }

    /// What a client sees.
    pub fn report(&self) -> Report {
        Report::error(self.code().0, self.to_string())
    }
}

/// What became of the tasks of a drained group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Ended by themselves in time.
    pub finished: usize,
    /// Had to be aborted.
    pub cancelled: usize,
    /// Are still there: blocking work that cannot be aborted.
    pub stuck: usize,
}

impl std::ops::Add for Drained {
    type Output = Drained;

    fn add(self, other: Drained) -> Drained {
        Drained {
            finished: self.finished + other.finished,
            cancelled: self.cancelled + other.cancelled,
            stuck: self.stuck + other.stuck,
        }
    }
}

/// Tasks with one owner, one bound and one way to stop. Cheap to clone.
#[derive(Clone)]
pub struct TaskGroup {
    inner: Arc<Inner>,
}

struct Inner {
    name: &'static str,
    owner: &'static str,
    tasks_max: usize,
    runtime: Option<Handle>,
    token: CancellationToken,
    members: Mutex<Members>,
    ended: Notify,
}

#[derive(Default)]
struct Members {
    closed: bool,
    /// Started, or about to be.
    alive: HashMap<u64, (Arc<TaskRecord>, Option<AbortHandle>)>,
}

/// Held by a task for as long as it lives.
pub(crate) struct Membership {
    inner: Arc<Inner>,
    id: u64,
    pub(crate) record: Arc<TaskRecord>,
    registered: Option<Registered>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        // First out of the list: whoever sees the group empty must not find its tasks there.
        self.registered = None;
        self.inner.members.lock().alive.remove(&self.id);
        self.inner.ended.notify_waiters();
    }
}

impl std::fmt::Debug for TaskGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskGroup")
            .field("name", &self.inner.name)
            .finish_non_exhaustive()
    }
}

impl TaskGroup {
    /// A group whose tasks run on the runtime that `spawn` is called in.
    pub fn new(name: &'static str, owner: &'static str, tasks_max: usize) -> TaskGroup {
        TaskGroup::build(name, owner, tasks_max, None, CancellationToken::new())
    }

    /// A group whose tasks run on a given runtime.
    pub fn on(
        runtime: Handle,
        name: &'static str,
        owner: &'static str,
        tasks_max: usize,
    ) -> TaskGroup {
        TaskGroup::build(
            name,
            owner,
            tasks_max,
            Some(runtime),
            CancellationToken::new(),
        )
    }

    /// A group that is cancelled together with this one, on the same runtime.
    pub fn child(&self, name: &'static str, owner: &'static str, tasks_max: usize) -> TaskGroup {
        let token = self.inner.token.child_token();
        TaskGroup::build(name, owner, tasks_max, self.inner.runtime.clone(), token)
    }

    fn build(
        name: &'static str,
        owner: &'static str,
        tasks_max: usize,
        runtime: Option<Handle>,
        token: CancellationToken,
    ) -> TaskGroup {
        let members = Mutex::new(Members::default());
        let ended = Notify::new();
        let inner = Inner {
            name,
            owner,
            tasks_max,
            runtime,
            token,
            members,
            ended,
        };
        TaskGroup {
            inner: Arc::new(inner),
        }
    }

    /// The group's name.
    pub fn name(&self) -> &'static str {
        self.inner.name
    }

    /// Cancelled when the group is drained. Tasks look at it where they wait.
    pub fn token(&self) -> CancellationToken {
        self.inner.token.clone()
    }

    /// Number of tasks alive.
    pub fn len(&self) -> usize {
        self.inner.members.lock().alive.len()
    }

    /// Whether no task is alive.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Starts a task.
    pub fn spawn<F>(
        &self,
        name: &'static str,
        future: F,
    ) -> Result<JoinHandle<F::Output>, GroupError>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let membership = self.join(name)?;
        Ok(self.start(membership, |membership| async move {
            let output = future.await;
            drop(membership);
            output
        }))
    }

    /// Starts blocking work on a thread of its own.
    pub fn spawn_blocking<F, T>(
        &self,
        name: &'static str,
        work: F,
    ) -> Result<JoinHandle<T>, GroupError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let membership = self.join(name)?;
        let id = membership.id;
        let handle = self.runtime().spawn_blocking(move || {
            let output = work();
            drop(membership);
            output
        });
        self.remember(id, handle.abort_handle());
        Ok(handle)
    }

    pub(crate) fn start<F>(
        &self,
        membership: Membership,
        future: impl FnOnce(Membership) -> F,
    ) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let id = membership.id;
        let handle = self.runtime().spawn(future(membership));
        self.remember(id, handle.abort_handle());
        handle
    }

    fn runtime(&self) -> Handle {
        self.inner.runtime.clone().unwrap_or_else(Handle::current)
    }

    /// Takes a place in the group.
    pub(crate) fn join(&self, name: &'static str) -> Result<Membership, GroupError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let inner = &self.inner;
        let group = inner.name;
        let runtime = self.runtime().id();
        let record = Arc::new(TaskRecord::new(group, inner.owner, name, runtime));
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut members = inner.members.lock();
        if members.closed {
            return Err(GroupError::Closed { group });
        }
        if members.alive.len() >= inner.tasks_max {
            return Err(GroupError::Full {
                group,
                tasks_max: inner.tasks_max,
            });
        }
        members.alive.insert(id, (record.clone(), None));
        drop(members);
        let registered = register(record.clone());
        Ok(Membership {
            inner: inner.clone(),
            id,
            record,
            registered: Some(registered),
        })
    }

    fn remember(&self, id: u64, abort: AbortHandle) {
        // It may have ended already.
        if let Some((_, place)) = self.inner.members.lock().alive.get_mut(&id) {
            *place = Some(abort);
        }
    }

    /// Closes the group, asks its tasks to stop, waits up to `patience`, aborts the rest.
    pub async fn drain(&self, patience: Duration) -> Drained {
        let total = {
            let mut members = self.inner.members.lock();
            members.closed = true;
            for (record, _) in members.alive.values() {
                record.set_state(TaskState::Stopping);
            }
            members.alive.len()
        };
        self.inner.token.cancel();
        let late = self.wait_until_empty(patience).await;
        if late == 0 {
            return Drained {
                finished: total,
                cancelled: 0,
                stuck: 0,
            };
        }
        let names: Vec<&str> = {
            let members = self.inner.members.lock();
            members
                .alive
                .values()
                .filter_map(|(_, abort)| abort.as_ref())
                .for_each(AbortHandle::abort);
            members
                .alive
                .values()
                .map(|(record, _)| record.name)
                .collect()
        };
        tracing::warn!(
            group = self.inner.name,
            tasks = names.join(","),
            "tasks did not stop in time"
        );
        let stuck = self.wait_until_empty(ABORT_GRACE).await;
        Drained {
            finished: total - late,
            cancelled: late - stuck,
            stuck,
        }
    }

    /// Waits without asking anybody to stop; the number of tasks that are left.
    pub async fn wait_until_empty(&self, patience: Duration) -> usize {
        let empty = async {
            loop {
                let ended = self.inner.ended.notified();
                tokio::pin!(ended);
                ended.as_mut().enable();
                if self.is_empty() {
                    return;
                }
                ended.await;
            }
        };
        match tokio::time::timeout(patience, empty).await {
            Ok(()) => 0,
            Err(_) => self.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{alive_on, snapshot};

    fn names(group: &str) -> Vec<&'static str> {
        snapshot()
            .iter()
            .filter(|task| task.group == group)
            .map(|task| task.name)
            .collect()
    }

    #[tokio::test]
    async fn a_group_never_exceeds_its_bound_and_places_come_back() {
        let group = TaskGroup::new("bounded", "test", 2);
        let token = group.token();
        let wait = || token.clone().cancelled_owned();
        let first = group.spawn("a", wait()).unwrap();
        group.spawn("b", wait()).unwrap();
        let full = group.spawn("c", wait()).unwrap_err();
        assert_eq!(
            full,
            GroupError::Full {
                group: "bounded",
                tasks_max: 2
            }
        );
        assert_eq!(names("bounded"), ["a", "b"]);
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        group.spawn("d", async {}).unwrap().await.unwrap();
        assert_eq!(names("bounded"), ["b"]);
        group.drain(Duration::from_secs(10)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn drain_asks_then_aborts_and_counts_both() {
        let group = TaskGroup::new("drained", "test", 10);
        group
            .spawn("polite", group.token().cancelled_owned())
            .unwrap();
        group.spawn("deaf", std::future::pending::<()>()).unwrap();
        let drained = group.drain(Duration::from_secs(3)).await;
        assert_eq!(
            drained,
            Drained {
                finished: 1,
                cancelled: 1,
                stuck: 0
            }
        );
        let closed = group.spawn("late", async {}).unwrap_err();
        assert_eq!(closed, GroupError::Closed { group: "drained" });
        assert!(names("drained").is_empty());
    }

    #[tokio::test]
    async fn a_panic_gives_the_place_back() {
        let group = TaskGroup::new("panicking", "test", 1);
        let task = group.spawn("bad", async { panic!("on purpose") }).unwrap();
        assert!(task.await.unwrap_err().is_panic());
        assert!(group.is_empty() && names("panicking").is_empty());
        let blocking = group.spawn_blocking("work", || 7).unwrap();
        assert_eq!(blocking.await.unwrap(), 7);
        assert!(group.is_empty());
    }

    #[tokio::test]
    async fn a_child_group_stops_with_its_parent() {
        let parent = TaskGroup::new("parent", "test", 1);
        let child = parent.child("child", "test", 1);
        child
            .spawn("wait", child.token().cancelled_owned())
            .unwrap();
        parent.drain(Duration::from_secs(1)).await;
        assert_eq!(child.wait_until_empty(Duration::from_secs(10)).await, 0);
    }

    #[tokio::test]
    async fn work_that_ignores_the_abort_is_reported_as_stuck() {
        let group = TaskGroup::new("stuck", "test", 1);
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let started = Arc::new(Notify::new());
        let starting = started.clone();
        let work = move || {
            starting.notify_one();
            wait.recv()
        };
        let task = group.spawn_blocking("blocking", work).unwrap();
        started.notified().await;
        let drained = group.drain(Duration::ZERO).await;
        assert_eq!(
            drained,
            Drained {
                finished: 0,
                cancelled: 0,
                stuck: 1
            }
        );
        release.send(()).unwrap();
        task.await.unwrap().unwrap();
        assert!(names("stuck").is_empty());
    }
    /// Two runtimes, as two tests of one process have them.
    #[test]
    fn the_tasks_of_a_runtime_are_those_started_on_it() {
        let runtime = || {
            tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap()
        };
        let (ours, theirs) = (runtime(), runtime());
        let here = TaskGroup::on(ours.handle().clone(), "here", "test", 1);
        let there = TaskGroup::on(theirs.handle().clone(), "there", "test", 1);
        here.spawn("a", here.token().cancelled_owned()).unwrap();
        there.spawn("b", there.token().cancelled_owned()).unwrap();
        let names = |runtime: &tokio::runtime::Runtime| {
            let alive = alive_on(runtime.handle().id());
            alive.iter().map(|task| task.name).collect::<Vec<_>>()
        };
        assert_eq!((names(&ours), names(&theirs)), (vec!["a"], vec!["b"]));
        ours.block_on(async { here.token().cancel() });
        assert_eq!(
            ours.block_on(here.wait_until_empty(Duration::from_secs(10))),
            0
        );
        assert_eq!((names(&ours), names(&theirs)), (vec![], vec!["b"]));
    }
}
