//! Commits that the answers of a connection wait for.
//!
//! The commands of a pipeline commit each by itself and are synced together: their answers are
//! written at once and leave when all are durable. If one of them fails, its answer is replaced.
//! Where several commands share a commit that was refused, each is run again by itself.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use ahash::RandomState;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use hashbrown::HashSet;
use smallvec::SmallVec;
use tessera_transactions::TransactionError;
use tessera_types::Version;

use crate::fault::Fault;
use crate::reply::Reply;
use crate::request::Request;
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
}

/// A command whose answer holds only with its commit.
pub(crate) struct Member {
    /// None if the client wants no answers.
    pub(crate) answer: Option<Answer>,
    /// The command, where others share its commit.
    pub(crate) shared: Option<(&'static Row, Request)>,
}

impl Member {
    /// The only command of its commit.
    pub(crate) fn alone(answer: Option<Answer>) -> Members {
        SmallVec::from_buf([Member {
            answer,
            shared: None,
        }])
    }
}

/// The commands of one commit, in their order.
pub(crate) type Members = SmallVec<[Member; 1]>;

/// A command that is to be run again, by itself.
pub(crate) struct Again {
    pub(crate) answer: Option<Answer>,
    pub(crate) row: &'static Row,
    pub(crate) request: Request,
}

struct Pending {
    work: BoxFuture<'static, Result<Version, TransactionError>>,
    members: Members,
}

impl Future for Pending {
    type Output = (Members, Result<Version, TransactionError>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.work.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(outcome) => Poll::Ready((std::mem::take(&mut self.members), outcome)),
        }
    }
}

/// Commits under way.
#[derive(Default)]
pub(crate) struct Flight {
    commits: FuturesUnordered<Pending>,
    /// What they write.
    keys: HashSet<u64, RandomState>,
    /// Answers to be replaced, and by what.
    replaced: Vec<(Answer, Vec<u8>)>,
    again: Vec<Again>,
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
    pub(crate) fn add(&mut self, commit: Commit, members: Members) {
        self.keys.extend(commit.keys);
        self.commits.push(Pending {
            work: commit.work,
            members,
        });
    }

    /// A commit that was there at once.
    pub(crate) fn note(&mut self, outcome: Result<Version, TransactionError>, members: Members) {
        let Err(error) = outcome else {
            return;
        };
        tracing::debug!(commands = members.len(), %error, "a commit failed");
        // Nobody knows what became of it: then it must not be done twice.
        let is_undone = !matches!(error, TransactionError::OutcomeUnknown { .. });
        let mut reply = Reply::default();
        reply.error(&Fault::text_of_commit(&error));
        for Member { answer, shared } in members {
            match (shared, answer) {
                (Some((row, request)), answer) if is_undone => self.again.push(Again {
                    answer,
                    row,
                    request,
                }),
                (_, Some(answer)) => self.replace(answer, reply.bytes.clone()),
                (_, None) => {}
            }
        }
    }

    /// Puts another answer in the place of one that was not sent.
    pub(crate) fn replace(&mut self, answer: Answer, bytes: Vec<u8>) {
        self.replaced.push((answer, bytes));
    }

    /// Whether commands are to be run again before answers may leave.
    pub(crate) fn must_repeat(&self) -> bool {
        !self.again.is_empty()
    }

    /// Commands to be run again, in their order.
    pub(crate) fn take_again(&mut self) -> Vec<Again> {
        std::mem::take(&mut self.again)
    }

    /// Lets the commits go on; ready when none is under way.
    pub(crate) fn poll_landed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.commits.poll_next_unpin(cx) {
                Poll::Ready(Some((members, outcome))) => self.note(outcome, members),
                Poll::Ready(None) => {
                    self.keys.clear();
                    return Poll::Ready(());
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Puts the right answers in the place of those whose commits failed.
    pub(crate) fn correct(&mut self, out: &mut Vec<u8>) {
        if self.replaced.is_empty() {
            return;
        }
        let mut replaced = std::mem::take(&mut self.replaced);
        // From the last one on, so that places stay true.
        replaced.sort_by_key(|(answer, _)| std::cmp::Reverse(answer.start));
        for (answer, bytes) in replaced {
            if answer.end <= out.len() {
                out.splice(answer.start..answer.end, bytes);
            }
        }
    }
}
