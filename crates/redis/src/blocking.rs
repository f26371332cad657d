//! A client that waits for keys: BLPOP, XREAD BLOCK and their kin.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use tessera_keyvalue::{KeyValueError, KeyWaiter};
use tessera_telemetry::metrics;
use tokio::time::Instant;

use crate::commands::{Wait, wait_of};
use crate::connection::{Connection, End};
use crate::fault::Fault;
use crate::hub::clients::Unblock;
use crate::hub::waiting::Place;
use crate::request::Request;
use crate::table::Row;

/// Bytes that a blocked client may send ahead.
const INPUT_BYTES_MAX: usize = 1 << 20;

/// How one try ended.
enum Tried {
    /// There was something, or an error to answer.
    Answered,
    Nothing,
}

enum Event {
    Woken,
    Timeout,
    Unblocked(Unblock),
    End(End),
}

impl Connection {
    /// Runs a command that may wait. All earlier commits are done.
    pub(crate) async fn block(&mut self, row: &'static Row, request: Request) -> Result<(), End> {
        let request = match self.session.prepare_wait(row, request).await {
            Ok(request) => request,
            Err(fault) => return self.answer_fault(&fault, row),
        };
        let wait = match wait_of(row, &request) {
            Ok(Some(wait)) => wait,
            Ok(None) => return self.try_once(row, &request).await,
            Err(fault) => return self.answer_fault(&fault, row),
        };
        let Some(relation) = self.session.relation() else {
            return self.answer_fault(&Fault::Static("ERR no database is selected"), row);
        };
        let hub = std::sync::Arc::clone(&self.session.hub);
        let keys: Vec<&[u8]> = wait.keys.iter().map(AsRef::as_ref).collect();
        // Those who came before are served before.
        if !hub.waiting.has_others(relation, wait.kind, &keys)
            && let Tried::Answered = self.try_now(row, &request, None, false).await?
        {
            return Ok(());
        }
        self.send().await?;
        let Some(place) = Place::take(&hub, relation, wait.kind, &wait.keys) else {
            return self.answer_fault(&Fault::Static("ERR too many clients wait for keys"), row);
        };
        self.session.client.block.enter();
        let blocked = metrics().redis_blocked_clients.enter();
        let outcome = self.wait_in(&place, row, &request, &wait).await;
        self.session.client.block.leave();
        drop(blocked);
        outcome?;
        // The next one looks when this one has what it takes.
        self.settle().await
    }

    async fn wait_in(
        &mut self,
        place: &Place,
        row: &'static Row,
        request: &Request,
        wait: &Wait,
    ) -> Result<(), End> {
        // What is too far away never comes.
        let deadline = wait
            .timeout
            .and_then(|timeout| Instant::now().checked_add(timeout));
        // Tells of changes that come through other doors.
        let changes = self.session.waiter(&wait.keys);
        loop {
            if place.is_first()
                && let Tried::Answered = self.try_now(row, request, deadline, true).await?
            {
                return Ok(());
            }
            match self.next_event(place, changes.as_ref(), deadline).await {
                Event::Woken => {}
                Event::Timeout | Event::Unblocked(Unblock::Timeout) => {
                    self.put_null_array();
                    self.put_answer();
                    return Ok(());
                }
                Event::Unblocked(Unblock::Error) => {
                    let fault = Fault::Static("UNBLOCKED client unblocked via CLIENT UNBLOCK");
                    return self.answer_fault(&fault, row);
                }
                Event::End(end) => return Err(end),
            }
        }
    }

    /// A command that does not wait.
    async fn try_once(&mut self, row: &'static Row, request: &Request) -> Result<(), End> {
        if let Tried::Nothing = self.try_now(row, request, None, false).await? {
            self.put_null_array();
            self.put_answer();
        }
        Ok(())
    }

    /// Looks whether there is something to take. A lock is not waited for beyond the deadline.
    async fn try_now(
        &mut self,
        row: &'static Row,
        request: &Request,
        deadline: Option<Instant>,
        is_enlisted: bool,
    ) -> Result<Tried, End> {
        let attempt = self.attempt(row, request, is_enlisted, true);
        let outcome = match deadline {
            None => attempt.await?,
            Some(deadline) => match tokio::time::timeout_at(deadline, attempt).await {
                Ok(outcome) => outcome?,
                Err(_) => return Ok(Tried::Nothing),
            },
        };
        match outcome {
            Ok(flow) => {
                self.finish(flow).await?;
                Ok(Tried::Answered)
            }
            Err(Fault::WouldBlock) => Ok(Tried::Nothing),
            // The key has become something else; it may become a list again.
            Err(Fault::KeyValue(KeyValueError::WrongType)) if is_enlisted => Ok(Tried::Nothing),
            Err(fault) => {
                self.answer_fault(&fault, row)?;
                Ok(Tried::Answered)
            }
        }
    }

    pub(crate) fn answer_fault(&mut self, fault: &Fault, row: &Row) -> Result<(), End> {
        self.put_fault(fault, row);
        self.put_answer();
        Ok(())
    }

    /// Waits for the keys, the time-out, the client's end.
    async fn next_event(
        &mut self,
        place: &Place,
        changes: Option<&KeyWaiter>,
        deadline: Option<Instant>,
    ) -> Event {
        let client = std::sync::Arc::clone(&self.session.client);
        let mut woken = pin!(place.woken());
        let mut changed = pin!(async {
            match changes {
                Some(changes) => changes.changed().await,
                None => std::future::pending().await,
            }
        });
        let mut unblocked = pin!(client.block.ended());
        let mut timeout = pin!(async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        });
        let Connection { wire, signals, .. } = self;
        poll_fn(|cx| {
            if let Poll::Ready(how) = unblocked.as_mut().poll(cx) {
                return Poll::Ready(Event::Unblocked(how));
            }
            if woken.as_mut().poll(cx).is_ready() || changed.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Event::Woken);
            }
            if timeout.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Event::Timeout);
            }
            // What is sent ahead is kept; and a client that is gone is noticed.
            while wire.input.len() < INPUT_BYTES_MAX {
                match wire.poll_read(cx) {
                    Poll::Ready(Ok(true)) => {}
                    Poll::Ready(Ok(false)) => return Poll::Ready(Event::End(End::Dropped)),
                    Poll::Ready(Err(gone)) => return Poll::Ready(Event::End(gone.into())),
                    Poll::Pending => break,
                }
            }
            if signals.poll_killed(cx).is_ready() || signals.poll_stopping(cx).is_ready() {
                return Poll::Ready(Event::End(End::Dropped));
            }
            Poll::Pending
        })
        .await
    }
}
