//! A command that waits for a busy key, and runs those of others that came meanwhile.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::channel::oneshot;
use futures::future::BoxFuture;
use tessera_transactions::{Isolation, Transaction, TransactionError};
use tessera_types::Version;
use tokio::runtime::Handle;

use super::{Commit, Hashes, Result, Session};
use crate::fault::Fault;
use crate::hub::combining::{Follower, Place, Seat};
use crate::reply::Reply;
use crate::request::Request;
use crate::table::{Class, Row};

/// Answers for others, and where they go.
type Answers = Vec<(oneshot::Sender<Result<Vec<u8>>>, Result<Vec<u8>>)>;

impl Session {
    /// Where the command may be combined with those of others: it writes one key.
    pub(crate) async fn place_of(&mut self, row: &Row, request: &Request) -> Option<Place> {
        if row.class != Class::Write || !row.has_known_keys() || self.open.is_some() {
            return None;
        }
        // Why it cannot be opened, the command tells.
        self.open_space().await.ok()?;
        let places = row.key_places(request)?;
        let [at] = places.as_slice() else {
            return None;
        };
        Some(Place {
            user: self.login.as_ref()?.user.clone(),
            relation: self.relation()?,
            database: self.database,
            key: request.bytes(*at),
        })
    }

    /// Runs the leader's command, waiting for its lock, and then its followers'. What the command
    /// itself gave, and the commit that all wait for; without one, nothing was done.
    pub(crate) async fn lead(
        &self,
        seat: Seat,
        row: &'static Row,
        request: &Request,
        reply: &mut Reply,
    ) -> Result<(Result<()>, Commit)> {
        let (login, _) = self.context()?;
        let txn = self.hub.door.begin(login, None)?;
        let own = self.execute_in(&txn, row, request, reply).await;
        let own = match own {
            Err(fault)
                if txn.isolation() != Isolation::ReadCommitted || fault.is_of_transaction() =>
            {
                return Err(fault);
            }
            own => own,
        };
        let mut answers = Answers::new();
        if txn.isolation() == Isolation::ReadCommitted {
            txn.set_never_waits(true);
            for follower in seat.close() {
                self.follow(&txn, follower, &mut answers).await;
            }
        }
        let commit = SharedCommit {
            work: Some(Box::pin(async move { txn.commit().await })),
            answers,
        };
        let commit = Commit {
            work: Box::pin(commit),
            keys: self.keys_of(row, request),
            is_alone: false,
        };
        Ok((own, commit))
    }

    async fn follow(&self, txn: &Transaction, follower: Follower, answers: &mut Answers) {
        let Follower {
            row,
            request,
            is_resp3,
            answer,
        } = follower;
        if answer.is_canceled() {
            // Its client is gone.
            return;
        }
        let mut reply = Reply {
            is_resp3,
            ..Reply::default()
        };
        match self.execute_in(txn, row, &request, &mut reply).await {
            Ok(()) => answers.push((answer, Ok(reply.bytes))),
            // It is handed back: by itself it may succeed.
            Err(fault) if fault.is_of_transaction() => {}
            Err(fault) => answers.push((answer, Err(fault))),
        }
    }
}

/// A commit that several connections wait for. Dropped, it goes on by itself: they must be told.
struct SharedCommit {
    work: Option<BoxFuture<'static, std::result::Result<Version, TransactionError>>>,
    answers: Answers,
}

impl Future for SharedCommit {
    type Output = std::result::Result<Version, TransactionError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = &mut self.work else {
            return Poll::Ready(Err(TransactionError::Ended));
        };
        let outcome = ready!(work.as_mut().poll(cx));
        self.work = None;
        for (sender, answer) in std::mem::take(&mut self.answers) {
            let answer = match &outcome {
                Ok(_) => answer,
                Err(error @ TransactionError::OutcomeUnknown { .. }) => {
                    Err(Fault::Text(Fault::text_of_commit(error)))
                }
                // Refused: it is handed back, and has a fate of its own.
                Err(_) => continue,
            };
            // Its client may be gone.
            let _ = sender.send(answer);
        }
        Poll::Ready(outcome)
    }
}

impl Drop for SharedCommit {
    fn drop(&mut self) {
        if self.work.is_none() || self.answers.is_empty() {
            return;
        }
        let rest = SharedCommit {
            work: self.work.take(),
            answers: std::mem::take(&mut self.answers),
        };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(rest)),
            Err(_) => drop(futures::executor::block_on(rest)),
        }
    }
}

impl Commit {
    /// A transaction with nothing that depends on it but its own answer.
    pub(crate) fn of(txn: Transaction, keys: Hashes) -> Commit {
        Commit {
            work: Box::pin(async move { txn.commit().await }),
            keys,
            is_alone: false,
        }
    }
}
