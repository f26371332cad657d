//! The end of a transaction that wants to be kept.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tessera_storage::{CommitOutcome, RunId, StoreError, WriteBatch};
use tessera_telemetry::metrics;
use tessera_types::Version;
use tokio::runtime::Handle;

use crate::buffer::Spilled;
use crate::error::{ConflictingWrite, TransactionError};
use crate::transaction::{Inner, Status, Transaction};

impl Transaction {
    /// Commits: durable, hooks, visible, locks released, answered.
    ///
    /// Once begun, a commit goes on to its end even if this future is dropped.
    pub async fn commit(&self) -> Result<Version, TransactionError> {
        let inner = &self.inner;
        let _turn = inner
            .turn
            .acquire()
            .await
            .map_err(|_closed| TransactionError::Ended)?;
        let (hooks, notices, writer, reads, writes, spilled) = {
            let mut state = inner.state.lock();
            state.check_active()?;
            let mut buffer = inner.buffer.write();
            // Without writes, all that was read is the state of one version, and the transaction
            // has its place right after that; unless it also looked at what is newest.
            let reads_are_mixed = inner.reads.as_ref().is_some_and(|reads| reads.has_newest());
            if buffer.is_empty() && !state.has_hooks() && !state.has_notices() && !reads_are_mixed {
                let version = inner.manager.store.newest();
                drop(buffer);
                state.end(Status::Committed(version));
                drop(state);
                inner.release();
                return Ok(version);
            }
            state.status = Status::Committing;
            let (writes, spilled) = buffer.take();
            let reads = match (&inner.reads, &state.snapshot) {
                (Some(reads), Some(snapshot)) => reads.take(Arc::clone(snapshot)),
                // Without a snapshot nothing was read.
                _ => None,
            };
            let hooks = state.take_publish_hooks();
            let notices = state.take_notices();
            (hooks, notices, state.writer(), reads, writes, spilled)
        };
        let batch = WriteBatch {
            txn: inner.id,
            writes,
            reads,
            runs: run_ids(&spilled),
            durability: inner.options.durability,
            origin: inner.options.origin,
            notices,
            ..WriteBatch::default()
        };
        let (manager, id) = (Arc::clone(&inner.manager), inner.id);
        let publish = Box::new(move |version| {
            manager.writers.note(version, id, writer.as_ref());
            for (_, hook) in hooks {
                hook(version);
            }
        });
        let commit = inner.manager.store.commit(batch, Some(publish));
        let in_flight = InFlight {
            inner: Arc::clone(inner),
            commit: Some(commit),
            _spilled: spilled,
        };
        let _took = metrics().commit_duration.start();
        in_flight.await
    }
}

fn run_ids(spilled: &[Spilled]) -> Vec<RunId> {
    spilled.iter().map(|part| part.run.id()).collect()
}

/// A commit on its way. Whoever polls it last finishes the transaction; if that is nobody,
/// because the caller went away, a task of its own does.
struct InFlight {
    inner: Arc<Inner>,
    commit: Option<BoxFuture<'static, CommitOutcome>>,
    /// Runs are kept until the store has answered.
    _spilled: Vec<Spilled>,
}

impl Future for InFlight {
    type Output = Result<Version, TransactionError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(commit) = &mut self.commit else {
            return Poll::Ready(Err(TransactionError::Ended));
        };
        match commit.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(outcome) => {
                self.commit = None;
                Poll::Ready(self.inner.finish_commit(outcome))
            }
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let Some(commit) = self.commit.take() else {
            return;
        };
        let rest = InFlight {
            inner: Arc::clone(&self.inner),
            commit: Some(commit),
            _spilled: std::mem::take(&mut self._spilled),
        };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(rest)),
            // Without a runtime nobody could have begun the commit asynchronously.
            Err(_) => drop(futures::executor::block_on(rest)),
        }
    }
}

impl Inner {
    fn finish_commit(&self, outcome: CommitOutcome) -> Result<Version, TransactionError> {
        match outcome {
            CommitOutcome::Committed(version) => {
                self.state.lock().end(Status::Committed(version));
                self.release();
                Ok(version)
            }
            CommitOutcome::Aborted(error) => {
                let hooks = self.state.lock().end(Status::RolledBack);
                for (_, hook) in hooks.into_iter().rev() {
                    hook();
                }
                let error = self.explain(error);
                self.release();
                Err(error)
            }
            CommitOutcome::Unknown(txn) => {
                tracing::error!(%txn, "it is not known whether the transaction was committed");
                // Neither published nor rolled back: hooks of neither kind may run.
                let hooks = self.state.lock().end(Status::Unknown);
                drop(hooks);
                self.release();
                Err(TransactionError::OutcomeUnknown { txn })
            }
        }
    }

    /// Adds to a lost conflict what is known about the other side.
    fn explain(&self, error: StoreError) -> TransactionError {
        let StoreError::SerializationFailure {
            space,
            key,
            snapshot,
            version,
            writer,
        } = error
        else {
            return error.into();
        };
        metrics().txn_conflicts.increment();
        let (writer, statement) = self.manager.writer_of(version, writer);
        TransactionError::SerializationFailure {
            write: Box::new(ConflictingWrite {
                space,
                key,
                snapshot,
                version,
                writer,
                statement,
            }),
        }
    }
}
