//! The loop of a client.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use futures::channel::oneshot;
use tessera_types::Version;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::check::check;
use crate::decode::{BadRequest, Decoder, Limits};
use crate::fault::{Fault, Result};
use crate::flight::{Again, Answer, Flight, Member, Members};
use crate::group::Group;
use crate::hub::Hub;
use crate::hub::combining::{Place, Role};
use crate::reply::Reply;
use crate::request::Request;
use crate::session::{Answers, Commit, Flow, Session, key_hash, put_delivery};
use crate::table::{APART, AT_ONCE, Class, Row};
use crate::wire::{Gone, OUT_BYTES_HIGH, Wire};

/// A client's connection.
pub(crate) struct Connection {
    pub(crate) session: Session,
    pub(crate) wire: Wire,
    decoder: Decoder,
    /// Answers that were not sent.
    pub(crate) out: Vec<u8>,
    /// The answer of the command that runs.
    reply: Reply,
    pub(crate) flight: Flight,
    /// Commands of what has arrived that are to be committed together.
    group: Option<Group>,
    pub(crate) signals: Signals,
    login_deadline: Instant,
}

/// What may end a connection from outside. The futures live as long as the connection, so that
/// waiting for the client costs no registration each time.
pub(crate) struct Signals {
    /// It ends now.
    killed: Pin<Box<WaitForCancellationFutureOwned>>,
    /// It ends when it waits.
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    timer: Pin<Box<Sleep>>,
    is_timer_set: bool,
}

/// Why the connection ends.
#[derive(Debug)]
pub(crate) enum End {
    /// The client said so, is gone, or does not read; what is written is sent.
    Closed,
    /// At once, without a word more.
    Dropped,
}

impl From<Gone> for End {
    fn from(gone: Gone) -> End {
        if let Gone::WriteTimeout = gone {
            tracing::info!("a client that did not read its answers was cut off");
        }
        End::Dropped
    }
}

impl Signals {
    pub(crate) fn poll_killed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.killed.as_mut().poll(cx)
    }

    pub(crate) fn poll_stopping(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stopping.as_mut().poll(cx)
    }

    /// Sets the timer to this time, unless it fires before anyway: then it is set again there.
    fn arm(&mut self, at: Instant) {
        if !self.is_timer_set || self.timer.deadline() > at {
            self.timer.as_mut().reset(at);
            self.is_timer_set = true;
        }
    }
}

enum Event {
    Read(std::result::Result<bool, Gone>),
    Message,
    End,
    Timer,
}

impl Connection {
    pub(crate) fn new(session: Session, wire: Wire, stopping: CancellationToken) -> Connection {
        let login_deadline = Instant::now() + session.hub.options.login_timeout;
        let killed = session.client.killed.clone();
        Connection {
            session,
            wire,
            decoder: Decoder::default(),
            out: Vec::new(),
            reply: Reply::default(),
            flight: Flight::default(),
            group: None,
            signals: Signals {
                killed: Box::pin(killed.cancelled_owned()),
                stopping: Box::pin(stopping.cancelled_owned()),
                timer: Box::pin(tokio::time::sleep_until(login_deadline)),
                is_timer_set: false,
            },
            login_deadline,
        }
    }

    /// Serves the client to the end.
    pub(crate) async fn run(mut self) {
        let end = self.serve().await;
        if let End::Closed = end
            && self.settle().await.is_ok()
        {
            self.wire.close(&mut self.out).await;
        }
    }

    async fn serve(&mut self) -> End {
        loop {
            if let Err(end) = self.batch().await {
                return end;
            }
            if let Err(end) = self.wait().await {
                return end;
            }
        }
    }

    /// Handles everything that has arrived, and sends the answers.
    async fn batch(&mut self) -> std::result::Result<(), End> {
        let mut commands = 0;
        let outcome = loop {
            match self.next_request() {
                Ok(Some(request)) => {
                    commands += 1;
                    if let Err(end) = self.handle(request).await {
                        break Err(end);
                    }
                }
                Ok(None) => break Ok(()),
                Err(end) => break Err(end),
            }
            if self.out.len() >= OUT_BYTES_HIGH
                && let Err(end) = self.send().await
            {
                break Err(end);
            }
        };
        let totals = &self.session.hub.totals;
        totals.commands.fetch_add(commands, Ordering::Relaxed);
        outcome?;
        self.send().await
    }

    /// The next command that has arrived whole.
    fn next_request(&mut self) -> std::result::Result<Option<Request>, End> {
        let options = &self.session.hub.options;
        let limits = Limits {
            is_trusted: self.session.is_logged_in(),
            bulk_bytes_max: options.bulk_bytes_max,
            request_bytes_max: options.request_bytes_max,
        };
        self.decoder
            .next(&mut self.wire.input, &limits)
            .map_err(|bad| self.refuse(&bad))
    }

    fn refuse(&mut self, bad: &BadRequest) -> End {
        let peer = self.session.client.peer;
        let text = match bad {
            BadRequest::Http => {
                tracing::warn!(
                    %peer,
                    "HTTP on the Redis port (\"POST\" or \"Host:\"): the connection is closed; \
                     somebody may be attacking through a browser"
                );
                return End::Dropped;
            }
            BadRequest::Protocol(text) => format!("ERR Protocol error: {text}"),
            BadRequest::NoBulk(found) => format!(
                "ERR Protocol error: expected '$', got '{}'",
                char::from(*found).escape_default()
            ),
        };
        tracing::info!(%peer, text, "a client broke the protocol");
        let mut reply = Reply::default();
        reply.error(&text);
        self.out.append(&mut reply.bytes);
        End::Closed
    }

    /// Runs one command, or queues it.
    async fn handle(&mut self, request: Request) -> std::result::Result<(), End> {
        self.reply.bytes.clear();
        let checked = check(&self.session, &request, self.reply.is_resp3);
        let row = match checked {
            Ok(row) => row,
            Err(text) => {
                self.session.break_queue();
                self.reply.error(&text);
                self.note_error();
                self.put_answer();
                return Ok(());
            }
        };
        self.session.note_command(row);
        if self.session.is_queueing() && !row.has(AT_ONCE) {
            if let Err(fault) = self.session.queue(row, &request, &mut self.reply) {
                self.session.break_queue();
                self.put_fault(&fault, row);
            }
            self.put_answer();
            return Ok(());
        }
        if self.must_settle(row, &request) {
            self.settle().await?;
        }
        if self.may_join_group(row, &request) && self.attempt_in_group(row, &request).await? {
            return Ok(());
        }
        if row.class == Class::Block && !self.session.is_in_transaction() {
            return self.block(row, request).await;
        }
        let place = self.session.place_of(row, &request).await;
        match self.attempt(row, &request, false, place.is_none()).await? {
            Ok(flow) => self.finish(flow).await,
            Err(fault) if fault.is_lock_taken() && place.is_some() => {
                self.combine(place, row, &request).await
            }
            Err(fault) => {
                match fault {
                    // Within a transaction nobody waits.
                    Fault::WouldBlock => {
                        self.reply.bytes.clear();
                        self.reply.null_array();
                    }
                    fault => self.put_fault(&fault, row),
                }
                self.put_answer();
                Ok(())
            }
        }
    }

    /// Whether the command may share a transaction with those around it in the pipeline.
    fn may_join_group(&self, row: &Row, request: &Request) -> bool {
        row.class == Class::Write
            && row.has_known_keys()
            && (self.group.is_some() || !self.wire.input.is_empty())
            && !self.session.is_in_transaction()
            && row
                .key_places(request)
                .is_some_and(|places| !places.is_empty())
    }

    /// Runs a command within the group, which is begun if there is none; whether it is done. If
    /// not, its place is after the group, which is on its way then.
    async fn attempt_in_group(
        &mut self,
        row: &'static Row,
        request: &Request,
    ) -> std::result::Result<bool, End> {
        if self.group.is_none() {
            self.group = match self.session.begin_group().await {
                Ok(group) => group,
                // The command tells it to the client.
                Err(_) => None,
            };
        }
        let Connection {
            session,
            wire,
            out,
            reply,
            flight,
            signals,
            group,
            ..
        } = self;
        let Some(open) = group else {
            return Ok(false);
        };
        reply.bytes.clear();
        let work = session.execute_in(open.txn(), row, request, reply);
        // Answers of the group among those that were not sent wait for its commit.
        let may_send = open.is_empty();
        let done = drive(wire, out, flight, signals, may_send, work).await?;
        open.stop_waiting();
        match done {
            Ok(()) => {}
            Err(fault) if fault.is_lock_taken() || fault.is_retryable() => {
                self.reply.bytes.clear();
                self.end_group().await;
                return Ok(false);
            }
            // It may have failed by what an earlier command of the group has written: if that is
            // refused, this one is run again, too.
            Err(fault) => self.put_fault(&fault, row),
        }
        let keys = self.session.keys_of(row, request);
        let answer = self.put_committed_answer();
        if let Some(group) = &mut self.group {
            group.add(keys, answer, row, request.clone());
            if group.is_full() {
                self.end_group().await;
            }
        }
        Ok(true)
    }

    /// Runs a command whose key somebody else has locked, together with others of its kind.
    async fn combine(
        &mut self,
        place: Option<Place>,
        row: &'static Row,
        request: &Request,
    ) -> std::result::Result<(), End> {
        let hub = Arc::clone(&self.session.hub);
        loop {
            let is_resp3 = self.reply.is_resp3;
            let role = place
                .as_ref()
                .and_then(|place| hub.take_part(place, row, request, is_resp3));
            let Connection {
                session,
                wire,
                out,
                reply,
                flight,
                signals,
                group,
                ..
            } = self;
            let may_send = group.is_none();
            reply.bytes.clear();
            match role {
                None => {
                    let work = session.write_alone(row, request, reply, true);
                    return match drive(wire, out, flight, signals, may_send, work).await? {
                        Ok(flow) => self.finish(flow).await,
                        Err(fault) => self.answer_fault(&fault, row),
                    };
                }
                Some(Role::Follower(answer)) => {
                    match drive(wire, out, flight, signals, may_send, answer).await? {
                        Ok(Ok(bytes)) => {
                            self.reply.bytes = bytes;
                            self.put_answer();
                            return Ok(());
                        }
                        Ok(Err(fault)) => return self.answer_fault(&fault, row),
                        // Handed back.
                        Err(oneshot::Canceled) => {}
                    }
                }
                Some(Role::Leader(seat)) => {
                    let work = session.lead(seat, row, request, reply);
                    let done = drive(wire, out, flight, signals, may_send, work).await?;
                    return match done {
                        Ok((Ok(()), commit)) => self.finish(Flow::Commit(commit)).await,
                        Ok((Err(fault), commit)) => {
                            self.launch(commit, Members::new()).await;
                            self.answer_fault(&fault, row)
                        }
                        Err(fault) => self.answer_fault(&fault, row),
                    };
                }
            }
        }
    }

    /// Sends the group on its way.
    async fn end_group(&mut self) {
        let Some(group) = self.group.take() else {
            return;
        };
        let (commit, members) = group.into_commit();
        self.launch(commit, members).await;
    }

    async fn launch(&mut self, mut commit: Commit, members: Members) {
        match first_step(&mut commit).await {
            Some(outcome) => self.flight.note(outcome, members),
            None => self.flight.add(commit, members),
        }
    }

    /// Whether earlier commits must be done before the command.
    fn must_settle(&self, row: &Row, request: &Request) -> bool {
        if (self.flight.is_empty() && self.group.is_none()) || row.has(APART) {
            return false;
        }
        let joins = self.may_join_group(row, request);
        let is_keyed = match row.class {
            // SORT may read keys that its arguments do not name.
            Class::Read => row.has_known_keys(),
            Class::Write => joins || (self.group.is_none() && row.has_known_keys()),
            Class::Block | Class::Local | Class::Refused => false,
        };
        let (true, Some(places), Some(relation)) =
            (is_keyed, row.key_places(request), self.session.relation())
        else {
            return true;
        };
        self.flight.is_full()
            || places.is_empty()
            || places.iter().any(|at| {
                let key = key_hash(relation, request.arg(*at));
                let is_in_group = self.group.as_ref().is_some_and(|group| group.writes(key));
                self.flight.writes(key) || (is_in_group && !joins)
            })
    }

    /// Runs a command; its answer is in `reply`, also that of a failure is still to be put there.
    pub(crate) async fn attempt(
        &mut self,
        row: &'static Row,
        request: &Request,
        is_enlisted: bool,
        waits: bool,
    ) -> std::result::Result<Result<Flow>, End> {
        let Connection {
            session,
            wire,
            out,
            reply,
            flight,
            signals,
            ..
        } = self;
        reply.bytes.clear();
        let work = session.execute(row, request, reply, is_enlisted, waits);
        let may_send = self.group.is_none();
        drive(wire, out, flight, signals, may_send, work).await
    }

    /// What is left to do for a command that has written its answer.
    pub(crate) async fn finish(&mut self, flow: Flow) -> std::result::Result<(), End> {
        match flow {
            Flow::Done => {
                self.put_answer();
                Ok(())
            }
            Flow::Close => {
                self.put_answer();
                Err(End::Closed)
            }
            Flow::Commit(commit) => {
                let answer = self.put_committed_answer();
                let is_alone = commit.is_alone;
                self.launch(commit, Member::alone(answer)).await;
                if is_alone {
                    self.settle().await?;
                }
                Ok(())
            }
        }
    }

    /// Puts an answer that holds only when its commit is done; where, if the client wants it.
    fn put_committed_answer(&mut self) -> Option<Answer> {
        let start = self.out.len();
        let is_shown = self.put_answer();
        is_shown.then_some(Answer {
            start,
            end: self.out.len(),
        })
    }

    pub(crate) fn put_fault(&mut self, fault: &Fault, row: &Row) {
        self.reply.bytes.clear();
        fault.write(row, &mut self.reply);
        self.note_error();
    }

    pub(crate) fn put_null_array(&mut self) {
        self.reply.bytes.clear();
        self.reply.null_array();
    }

    fn note_error(&self) {
        let totals = &self.session.hub.totals;
        totals.errors.fetch_add(1, Ordering::Relaxed);
    }

    /// Moves the answer to those that are to be sent; whether the client wants it.
    pub(crate) fn put_answer(&mut self) -> bool {
        let is_shown = match self.session.answers {
            Answers::On => true,
            Answers::Off => false,
            Answers::SkipNext => {
                self.session.answers = Answers::Skip;
                false
            }
            Answers::Skip => {
                self.session.answers = Answers::On;
                false
            }
        };
        if !is_shown {
            self.reply.bytes.clear();
        } else if self.out.is_empty() {
            std::mem::swap(&mut self.out, &mut self.reply.bytes);
        } else {
            self.out.append(&mut self.reply.bytes);
        }
        is_shown
    }

    /// Waits until all commits under way are done.
    pub(crate) async fn settle(&mut self) -> std::result::Result<(), End> {
        self.end_group().await;
        let Connection {
            flight, signals, ..
        } = self;
        poll_fn(|cx| {
            if flight.poll_landed(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            // Commits go on, also without this connection.
            signals.poll_killed(cx).map(|()| Err(End::Dropped))
        })
        .await?;
        if self.flight.must_repeat() {
            self.repeat().await?;
        }
        self.flight.correct(&mut self.out);
        Ok(())
    }

    /// Runs the commands of refused groups again, one by one.
    async fn repeat(&mut self) -> std::result::Result<(), End> {
        for Again {
            answer,
            row,
            request,
        } in self.flight.take_again()
        {
            let Connection {
                session,
                wire,
                out,
                flight,
                signals,
                ..
            } = self;
            let mut reply = Reply {
                is_resp3: self.reply.is_resp3,
                ..Reply::default()
            };
            let work = async {
                let flow = session.write_alone(row, &request, &mut reply, true).await?;
                if let Flow::Commit(commit) = flow {
                    commit.work.await?;
                }
                Ok(())
            };
            if let Err(fault) = drive(wire, out, flight, signals, false, work).await? {
                reply.bytes.clear();
                Fault::write(&fault, row, &mut reply);
                self.note_error();
            }
            if let Some(answer) = answer {
                self.flight.replace(answer, reply.bytes);
            }
        }
        Ok(())
    }

    /// Sends all answers, when what they say is durable.
    pub(crate) async fn send(&mut self) -> std::result::Result<(), End> {
        self.settle().await?;
        if self.out.is_empty() {
            return Ok(());
        }
        let totals = &self.session.hub.totals;
        totals
            .output_bytes
            .fetch_add(self.out.len() as u64, Ordering::Relaxed);
        self.wire.send(&mut self.out).await?;
        Ok(())
    }

    /// Waits for more from the client, and brings it messages meanwhile.
    async fn wait(&mut self) -> std::result::Result<(), End> {
        let since = Instant::now();
        self.session.note_seen();
        loop {
            let is_subscribed = self.session.is_subscribed();
            let deadline = self.deadline(since);
            if let Some(deadline) = deadline {
                self.signals.arm(deadline);
            }
            let Connection {
                wire,
                signals,
                session,
                ..
            } = self;
            let event = poll_fn(|cx| {
                if let Poll::Ready(read) = wire.poll_read(cx) {
                    return Poll::Ready(Event::Read(read));
                }
                if is_subscribed && session.mailbox.poll_ready(cx).is_ready() {
                    return Poll::Ready(Event::Message);
                }
                if signals.poll_killed(cx).is_ready() || signals.poll_stopping(cx).is_ready() {
                    return Poll::Ready(Event::End);
                }
                if signals.is_timer_set && signals.timer.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Event::Timer);
                }
                Poll::Pending
            })
            .await;
            match event {
                Event::Read(Ok(true)) => {
                    let read = self.wire.input.len() as u64;
                    let totals = &self.session.hub.totals;
                    totals.input_bytes.fetch_add(read, Ordering::Relaxed);
                    return Ok(());
                }
                Event::Read(Ok(false)) | Event::End => return Err(End::Closed),
                Event::Read(Err(gone)) => return Err(gone.into()),
                Event::Message => self.deliver().await?,
                Event::Timer => {
                    self.signals.is_timer_set = false;
                    if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                        return Err(End::Closed);
                    }
                }
            }
        }
    }

    /// When a silent client is sent away.
    fn deadline(&self, since: Instant) -> Option<Instant> {
        if !self.session.is_logged_in() {
            return Some(self.login_deadline);
        }
        let options = &self.session.hub.options;
        let in_transaction = options
            .transaction_idle_timeout
            .filter(|_| self.session.is_in_transaction());
        let idle = options
            .idle_timeout
            .filter(|_| !self.session.is_subscribed());
        let timeout = in_transaction.into_iter().chain(idle).min()?;
        since.checked_add(timeout)
    }

    /// Sends the messages of the mailbox.
    async fn deliver(&mut self) -> std::result::Result<(), End> {
        loop {
            let Ok(delivery) = self.session.mailbox.take() else {
                tracing::info!("a subscriber that did not read its messages was cut off");
                return Err(End::Dropped);
            };
            let Some(delivery) = delivery else {
                break;
            };
            see(&self.session.hub, delivery.message.version).await;
            self.reply.bytes.clear();
            put_delivery(&delivery, &mut self.reply);
            self.out.append(&mut self.reply.bytes);
            if self.out.len() >= OUT_BYTES_HIGH {
                self.send().await?;
            }
        }
        self.send().await
    }
}

/// A message about a commit is published just before the commit is visible; its receiver may read
/// what it is about at once.
async fn see(hub: &Hub, version: Version) {
    let store = hub.door.transactions().store();
    while store.newest() < version {
        tokio::task::yield_now().await;
    }
}

/// Polls a commit once: it is on its way then, or done.
async fn first_step(
    commit: &mut Commit,
) -> Option<std::result::Result<Version, tessera_transactions::TransactionError>> {
    poll_fn(|cx| match commit.work.as_mut().poll(cx) {
        Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Runs a command. Meanwhile earlier commits go on, for others may wait for their locks; when they
/// are done and the command still waits, the earlier answers are sent.
async fn drive<T>(
    wire: &mut Wire,
    out: &mut Vec<u8>,
    flight: &mut Flight,
    signals: &mut Signals,
    mut may_send: bool,
    work: impl Future<Output = T>,
) -> std::result::Result<T, End> {
    enum Step<T> {
        Done(T),
        Landed,
        Killed,
    }
    let mut work = pin!(work);
    loop {
        let step = poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Step::Done(done));
            }
            if flight.poll_landed(cx).is_ready()
                && may_send
                && !flight.must_repeat()
                && !out.is_empty()
            {
                return Poll::Ready(Step::Landed);
            }
            signals.poll_killed(cx).map(|()| Step::Killed)
        })
        .await;
        match step {
            Step::Done(done) => return Ok(done),
            Step::Killed => return Err(End::Dropped),
            Step::Landed => {
                may_send = false;
                flight.correct(out);
                // Nothing of the work is polled meanwhile; its wake-ups are not lost, for it is
                // polled again.
                wire.send(out).await?;
            }
        }
    }
}
