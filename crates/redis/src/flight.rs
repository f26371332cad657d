//! Commits that the answers of a connection wait for.
//!
//! The commands of a pipeline commit each by itself and are synced together: their answers are
//! written at once and leave when all are durable. If one of them fails, its answer is replaced.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use ahash::RandomState;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use hashbrown::HashSet;
use tessera_transactions::TransactionError;
use tessera_types::Version;

use crate::fault::Fault;
use crate::reply::Reply;
use crate::session::Commit;
use crate::table::Row;

/// Commits of one connection under way at one time.
const COMMITS_MAX: usize = 1_024;
/// Keys that they write; then all are waited for.
const KEYS_MAX: usize = 16_384;

/// Where an answer lies among those that were not sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) row: &'static Row,
}

struct Pending {
    work: BoxFuture<'static, Result<Version, TransactionError>>,
    /// None if the client wants no answers.
    answer: Option<Answer>,
}

impl Future for Pending {
    type Output = (Option<Answer>, Result<Version, TransactionError>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.work.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(outcome) => Poll::Ready((self.answer, outcome)),
        }
    }
}

/// Commits under way.
#[derive(Default)]
pub(crate) struct Flight {
    commits: FuturesUnordered<Pending>,
    /// What they write.
    keys: HashSet<u64, RandomState>,
    failed: Vec<(Answer, TransactionError)>,
}

impl Flight {
    pub(crate) fn is_empty(&self) -> bool {
        self.commits.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.commits.len() >= COMMITS_MAX || self.keys.len() >= KEYS_MAX
    }

    /// Whether a commit under way writes the key.
    pub(crate) fn writes(&self, key: u64) -> bool {
        self.keys.contains(&key)
    }

    /// Takes a commit whose first step was done.
    pub(crate) fn add(&mut self, commit: Commit, answer: Option<Answer>) {
        self.keys.extend(commit.keys);
        self.commits.push(Pending {
            work: commit.work,
            answer,
        });
    }

    /// A commit that was there at once.
    pub(crate) fn note(
        &mut self,
        outcome: Result<Version, TransactionError>,
        answer: Option<Answer>,
    ) {
        if let (Err(error), Some(answer)) = (outcome, answer) {
            self.failed.push((answer, error));
        }
    }

    /// Lets the commits go on; ready when none is under way.
    pub(crate) fn poll_landed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.commits.poll_next_unpin(cx) {
                Poll::Ready(Some((answer, outcome))) => self.note(outcome, answer),
                Poll::Ready(None) => {
                    self.keys.clear();
                    return Poll::Ready(());
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Puts errors in the place of the answers whose commits failed; how many.
    pub(crate) fn correct(&mut self, out: &mut Vec<u8>) -> usize {
        if self.failed.is_empty() {
            return 0;
        }
        let mut failed = std::mem::take(&mut self.failed);
        // From the last one on, so that places stay true.
        failed.sort_by_key(|(answer, _)| std::cmp::Reverse(answer.start));
        for (answer, error) in &failed {
            let mut reply = Reply::default();
            let text = Fault::text_of_commit(error);
            reply.error(&text);
            if answer.end <= out.len() {
                out.splice(answer.start..answer.end, reply.bytes);
            }
            tracing::debug!(command = answer.row.name, error = %error, "a commit failed");
        }
        failed.len()
    }
}
