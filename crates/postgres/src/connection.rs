//! The loop of a logged-in client.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use tessera_engine::{Report, Session};
use tessera_telemetry::labels::{Message, Protocol};
use tessera_telemetry::metrics;
use tessera_types::{Severity, codes};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::backend;
use crate::wire::{BadFrame, Frame, Gone, Wire};

/// A logged-in client.
pub(crate) struct Connection {
    pub(crate) session: Session,
    pub(crate) wire: Wire,
    pub(crate) signals: Signals,
    message_bytes_max: usize,
    /// After an error in the extended protocol: everything up to Sync is skipped.
    pub(crate) skipping: bool,
    /// Result formats that most clients use, shared by all their portals.
    pub(crate) all_text: Arc<[i16]>,
    pub(crate) all_binary: Arc<[i16]>,
}

/// What may end a connection from outside. The futures live as long as the connection, so that
/// waiting for the client costs no registration each time.
pub(crate) struct Signals {
    terminated: Pin<Box<WaitForCancellationFutureOwned>>,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Running statements end now.
    ending: CancellationToken,
    idle: Pin<Box<Sleep>>,
    idle_armed: bool,
}

/// The two steps of a port's shutdown.
#[derive(Clone)]
pub(crate) struct Shutdown {
    /// Clients that are waited for are sent away.
    pub(crate) stopping: CancellationToken,
    /// All are.
    pub(crate) ending: CancellationToken,
}

/// Why the connection ends.
pub(crate) enum End {
    /// The client said so, is gone, or does not read.
    Closed,
    /// The client is told.
    Fatal(Report),
}

impl From<Gone> for End {
    fn from(gone: Gone) -> End {
        if let Gone::WriteTimeout = gone {
            tracing::info!("a client that did not read its answers was cut off");
        }
        End::Closed
    }
}

/// An error to answer, or the end.
pub(crate) enum Fault {
    Report(Report),
    End(End),
}

impl From<Report> for Fault {
    fn from(report: Report) -> Fault {
        match report.severity {
            Severity::Fatal | Severity::Panic => Fault::End(End::Fatal(report)),
            _ => Fault::Report(report),
        }
    }
}

impl From<End> for Fault {
    fn from(end: End) -> Fault {
        Fault::End(end)
    }
}

impl From<Gone> for Fault {
    fn from(gone: Gone) -> Fault {
        Fault::End(gone.into())
    }
}

/// Whether idle time counts while the client is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    Idle,
    /// For data of a COPY.
    Copy,
}

enum Event {
    Read(Result<bool, Gone>),
    Terminated,
    Stopping,
    Timer,
    Notified,
}

impl Connection {
    pub(crate) fn new(
        session: Session,
        wire: Wire,
        message_bytes_max: usize,
        shutdown: Shutdown,
    ) -> Connection {
        let signals = Signals {
            terminated: Box::pin(session.terminated().clone().cancelled_owned()),
            stopping: Box::pin(shutdown.stopping.cancelled_owned()),
            ending: shutdown.ending,
            idle: Box::pin(tokio::time::sleep_until(Instant::now())),
            idle_armed: false,
        };
        Connection {
            session,
            wire,
            signals,
            message_bytes_max,
            skipping: false,
            all_text: Arc::from([]),
            all_binary: Arc::from([1]),
        }
    }

    /// Serves the client to the end.
    pub(crate) async fn run(mut self) {
        if let End::Fatal(report) = self.serve().await {
            backend::error(&mut self.wire.out, &report.with_severity(Severity::Fatal));
        }
        self.wire.close().await;
    }

    async fn serve(&mut self) -> End {
        loop {
            loop {
                match self.next_frame() {
                    Ok(Some(frame)) => {
                        if let Err(end) = self.handle(frame).await {
                            return end;
                        }
                    }
                    Ok(None) => break,
                    Err(end) => return end,
                }
                if self.wire.is_full()
                    && let Err(gone) = self.wire.flush().await
                {
                    return gone.into();
                }
            }
            if let Err(gone) = self.wire.flush().await {
                return gone.into();
            }
            if let Err(end) = self.wait(Waiting::Idle).await {
                return end;
            }
        }
    }

    /// The next message that has arrived whole.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, End> {
        self.wire.next_frame(self.message_bytes_max).map_err(|bad| {
            let report = match bad {
                BadFrame::UnknownType(kind) => Report::fatal(
                    codes::PROTOCOL_VIOLATION,
                    format!("invalid frontend message type {kind}"),
                ),
                BadFrame::Length(kind, length) => {
                    Report::fatal(codes::PROTOCOL_VIOLATION, "invalid message length")
                        .with_detail(format!("Message type {kind}, length {length}."))
                }
            };
            End::Fatal(report)
        })
    }

    async fn handle(&mut self, frame: Frame) -> Result<(), End> {
        count(frame.kind);
        if self.skipping && !matches!(frame.kind, b'S' | b'X' | b'Q') {
            return Ok(());
        }
        let body = &frame.body[..];
        let result = match frame.kind {
            b'Q' => {
                self.skipping = false;
                return self.simple_query(body).await;
            }
            b'P' => self.parse(body),
            b'B' => self.bind(body),
            b'D' => self.describe(body),
            b'E' => self.execute(body).await,
            b'C' => self.close(body),
            b'H' => return self.wire.flush().await.map_err(End::from),
            b'S' => return self.sync().await,
            b'X' => return Err(End::Closed),
            b'F' => return self.function_call().await,
            // Left over from a COPY that failed: ignored, as PostgreSQL does.
            b'd' | b'c' | b'f' => return Ok(()),
            kind => {
                return Err(End::Fatal(Report::fatal(
                    codes::PROTOCOL_VIOLATION,
                    format!("unexpected frontend message type {kind}"),
                )));
            }
        };
        match result {
            Ok(()) => Ok(()),
            Err(Fault::End(end)) => Err(end),
            Err(Fault::Report(report)) => {
                self.answer_error(&report);
                self.skipping = true;
                Ok(())
            }
        }
    }

    /// An error: the transaction is told, then the client.
    pub(crate) fn answer_error(&mut self, report: &Report) {
        self.session.fail();
        self.put_notices();
        metrics().statement_errors.add(report.code.class(), 1.0);
        backend::error(&mut self.wire.out, report);
    }

    pub(crate) fn put_notices(&mut self) {
        for notice in self.session.take_notices() {
            backend::notice(&mut self.wire.out, &notice);
        }
    }

    /// Messages that the client listens for, between transactions. A session that has lost some is
    /// ended when its client is waited for.
    fn put_notifications(&mut self) -> Result<(), End> {
        let taken = self.session.take_notifications().map_err(End::Fatal)?;
        for notice in taken {
            backend::notification(&mut self.wire.out, &notice);
        }
        Ok(())
    }

    /// The end of a batch: notices, messages, changed settings, ReadyForQuery.
    pub(crate) fn put_ready(&mut self) {
        self.put_notices();
        let _ = self.put_notifications();
        for (name, value) in self.session.take_setting_changes() {
            backend::parameter_status(&mut self.wire.out, name, &value);
        }
        backend::ready(&mut self.wire.out, self.session.status());
    }

    async fn sync(&mut self) -> Result<(), End> {
        self.skipping = false;
        match drive(&mut self.wire, &self.signals, self.session.end_of_batch()).await? {
            Ok(()) => {}
            Err(report) => match Fault::from(report) {
                Fault::Report(report) => self.answer_error(&report),
                Fault::End(end) => return Err(end),
            },
        }
        self.put_ready();
        Ok(())
    }

    /// The function-call protocol is old and used by no driver.
    async fn function_call(&mut self) -> Result<(), End> {
        self.answer_error(
            &Report::unsupported("the function call protocol is not supported")
                .with_hint("Call the function by SELECT."),
        );
        self.sync().await
    }

    /// Waits for more from the client.
    pub(crate) async fn wait(&mut self, waiting: Waiting) -> Result<(), End> {
        let idle_since = Instant::now();
        if waiting == Waiting::Idle
            && let Some(limit) = self.session.idle_limit()
        {
            self.signals.arm(idle_since + limit);
        }
        let hears = waiting == Waiting::Idle && self.session.hears();
        loop {
            let wire = &mut self.wire;
            let signals = &mut self.signals;
            // Exclusive, because a session may be sent to another thread and not shared between two.
            let session = &mut self.session;
            let event = poll_fn(move |cx| {
                if let Poll::Ready(read) = wire.poll_read(cx) {
                    return Poll::Ready(Event::Read(read));
                }
                if signals.terminated.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Event::Terminated);
                }
                if signals.stopping.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Event::Stopping);
                }
                if hears && session.poll_notifications(cx).is_ready() {
                    return Poll::Ready(Event::Notified);
                }
                if signals.idle_armed && signals.idle.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Event::Timer);
                }
                Poll::Pending
            })
            .await;
            match event {
                Event::Read(Ok(true)) => return Ok(()),
                Event::Read(Ok(false)) => return Err(End::Closed),
                Event::Read(Err(gone)) => return Err(gone.into()),
                Event::Terminated | Event::Stopping => {
                    return Err(End::Fatal(Session::termination_report()));
                }
                Event::Notified => {
                    self.put_notifications()?;
                    self.wire.flush().await?;
                }
                Event::Timer => {
                    self.signals.idle_armed = false;
                    match self.session.idle_limit() {
                        Some(limit) if waiting == Waiting::Idle => {
                            if idle_since.elapsed() >= limit {
                                return Err(End::Fatal(self.session.idle_report()));
                            }
                            // The timer was set for an earlier wait.
                            self.signals.arm(idle_since + limit);
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}

impl Signals {
    /// Sets the timer to this time, unless it fires before anyway: then it is set again there.
    fn arm(&mut self, at: Instant) {
        if !self.idle_armed || self.idle.deadline() > at {
            self.idle.as_mut().reset(at);
            self.idle_armed = true;
        }
    }
}

/// Runs work of the session. When it has to wait, earlier answers are sent first.
pub(crate) async fn drive<T>(
    wire: &mut Wire,
    signals: &Signals,
    work: impl Future<Output = T>,
) -> Result<T, End> {
    let mut work = pin!(work);
    if let Poll::Ready(done) = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
        return Ok(done);
    }
    // The flush polls nothing of the work; its wake-ups are not lost, for it is polled again.
    wire.flush().await?;
    tokio::select! {
        biased;
        done = work => Ok(done),
        () = signals.ending.cancelled() => Err(End::Fatal(Session::termination_report())),
    }
}

fn count(kind: u8) {
    let message = match kind {
        b'Q' => Message::Query,
        b'P' => Message::Parse,
        b'B' => Message::Bind,
        b'D' => Message::Describe,
        b'E' => Message::Execute,
        b'S' => Message::Sync,
        b'H' => Message::Flush,
        b'C' => Message::Close,
        b'd' | b'c' | b'f' => Message::Copy,
        b'p' => Message::Password,
        b'X' => Message::Terminate,
        _ => Message::Other,
    };
    metrics()
        .protocol_messages
        .with((Protocol::Postgres, message))
        .increment();
}
