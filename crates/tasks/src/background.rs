//! Loops that start again after a failure.

use std::fmt::Display;
use std::future::Future;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::group::{GroupError, Membership, TaskGroup};
use crate::registry::TaskState;

/// When a background loop that failed is started again: after a pause that doubles each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restart {
    /// Pause after the first failure.
    pub pause_first: Duration,
    /// The pause grows up to this.
    pub pause_max: Duration,
    /// A run of at least this long makes the next pause the first again.
    pub healthy_after: Duration,
}

impl Default for Restart {
    fn default() -> Restart {
        Restart {
            pause_first: Duration::from_millis(100),
            pause_max: Duration::from_secs(30),
            healthy_after: Duration::from_secs(60),
        }
    }
}

impl TaskGroup {
    /// Starts a loop that is to run until the group is drained. `body` is called again whenever
    /// it returns an error or panics; when it returns `Ok`, the loop is over.
    pub fn spawn_loop<B, F, E>(
        &self,
        name: &'static str,
        restart: Restart,
        body: B,
    ) -> Result<(), GroupError>
    where
        B: FnMut(CancellationToken) -> F + Send + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let membership = self.join(name)?;
        let token = self.token();
        self.start(membership, move |membership| {
            run(membership, token, restart, body)
        });
        Ok(())
    }
}

async fn run<B, F, E>(
    membership: Membership,
    token: CancellationToken,
    restart: Restart,
    mut body: B,
) where
    B: FnMut(CancellationToken) -> F + Send + 'static,
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Display + Send + 'static,
{
    let record = &membership.record;
    let mut pause = restart.pause_first;
    loop {
        let started = tokio::time::Instant::now();
        // Not a task of its own: when this one is aborted, the body is dropped with it.
        let result = CatchPanic(Box::pin(body(token.clone()))).await;
        let reason = match result {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(()) => "panic".to_owned(),
        };
        if token.is_cancelled() {
            return;
        }
        if started.elapsed() >= restart.healthy_after {
            pause = restart.pause_first;
        }
        let (group, name) = (record.group, record.name);
        tracing::error!(
            group,
            name,
            reason,
            "background task failed; it starts again"
        );
        record.set_state(TaskState::Pausing);
        tokio::select! {
            () = token.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(restart.pause_max);
        record.restarts.fetch_add(1, Ordering::Relaxed);
        record.set_state(TaskState::Running);
    }
}

/// Turns a panic inside a future into `Err`.
struct CatchPanic<F>(std::pin::Pin<Box<F>>);

impl<F: Future> Future for CatchPanic<F> {
    type Output = Result<F::Output, ()>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        let inner = self.0.as_mut();
        let poll = std::panic::AssertUnwindSafe(|| inner.poll(context));
        match std::panic::catch_unwind(poll) {
            Ok(poll) => poll.map(Ok),
            Err(_) => std::task::Poll::Ready(Err(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    use super::*;
    use crate::registry::snapshot;

    #[tokio::test(start_paused = true)]
    async fn a_failing_loop_starts_again_ever_more_slowly_until_it_succeeds() {
        let group = TaskGroup::new("loops", "test", 1);
        let runs = Arc::new(AtomicU32::new(0));
        let counter = runs.clone();
        let started = tokio::time::Instant::now();
        let body = move |_| {
            let run = counter.fetch_add(1, Ordering::Relaxed);
            async move {
                match run {
                    0 => panic!("on purpose"),
                    1 | 2 => Err("broken"),
                    _ => Ok(()),
                }
            }
        };
        group.spawn_loop("flaky", Restart::default(), body).unwrap();
        assert_eq!(group.wait_until_empty(Duration::from_secs(60)).await, 0);
        assert_eq!(runs.load(Ordering::Relaxed), 4);
        assert_eq!(started.elapsed().as_millis(), 100 + 200 + 400);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pausing_loop_shows_it_and_stops_when_drained() {
        let group = TaskGroup::new("pausing", "test", 1);
        group
            .spawn_loop("down", Restart::default(), |_| async { Err::<(), _>("no") })
            .unwrap();
        tokio::time::sleep(Duration::from_millis(150)).await;
        let tasks = snapshot();
        let task = tasks.iter().find(|task| task.group == "pausing").unwrap();
        assert_eq!((task.state, task.restarts), (TaskState::Pausing, 1));
        let drained = group.drain(Duration::from_secs(1)).await;
        assert_eq!((drained.finished, drained.cancelled), (1, 0));
    }
}
