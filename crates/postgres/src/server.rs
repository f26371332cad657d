//! The listener, one task per connection, shutdown.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures::FutureExt;
use socket2::{SockRef, TcpKeepalive};
use tessera_engine::{Engine, Throttle};
use tessera_tasks::TaskGroup;
use tessera_telemetry::labels::{ConnectionResult, ConnectionState, Protocol};
use tessera_telemetry::{CorrelationId, metrics};
use tessera_types::{Report, codes};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::backend;
use crate::connection::{Connection, Shutdown};
use crate::options::{Authentication, ServeError, ServerOptions};
use crate::startup::{self, Port, Started};
use crate::wire::{Socket, Wire};

/// Connections of one port, logged in or not; above every configured limit.
const CONNECTIONS_MAX: usize = 65_536;
/// Pause after a failed accept, such as when file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Time for the last message to clients whose statements did not end in time.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The open PostgreSQL port.
pub struct Server {
    address: SocketAddr,
    tasks: TaskGroup,
    shutdown: Shutdown,
}

impl Server {
    /// Opens the port and serves it in the background.
    pub async fn start(engine: Engine, options: ServerOptions) -> Result<Server, ServeError> {
        let address = options.address;
        if options.authentication == Authentication::Trust && !address.ip().is_loopback() {
            return Err(ServeError::TrustNotLocal { address });
        }
        if options.tls_required && options.tls.is_none() {
            return Err(ServeError::NoCertificate);
        }
        let bind = |source| ServeError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let tasks = TaskGroup::new("postgres", "tessera-postgres", CONNECTIONS_MAX);
        let shutdown = Shutdown {
            stopping: CancellationToken::new(),
            ending: CancellationToken::new(),
        };
        let logins = Arc::new(Semaphore::new(options.logins_max));
        let throttle = Throttle::new(options.failed_logins_max);
        let port = Arc::new(Port {
            engine,
            options,
            throttle,
        });
        let accepting = accept(listener, port, logins, tasks.clone(), shutdown.clone());
        if let Err(error) = tasks.spawn("accept", accepting) {
            // A new group has room.
            tracing::error!(%error, "cannot serve the PostgreSQL port");
        }
        Ok(Server {
            address,
            tasks,
            shutdown,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more clients, ends idle sessions with 57P01, waits for running statements until
    /// the deadline, then ends them too.
    pub async fn stop(self, deadline: Duration) {
        self.shutdown.stopping.cancel();
        if self.tasks.wait_until_empty(deadline).await > 0 {
            self.shutdown.ending.cancel();
        }
        self.tasks.drain(LAST_WORDS).await;
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

async fn accept(
    listener: TcpListener,
    port: Arc<Port>,
    logins: Arc<Semaphore>,
    tasks: TaskGroup,
    shutdown: Shutdown,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.stopping.cancelled() => return,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::info!(%error, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        prepare(&socket);
        let Ok(permit) = logins.clone().try_acquire_owned() else {
            count(ConnectionResult::Limit);
            refuse_at_once(&socket);
            continue;
        };
        let id = CorrelationId::next();
        let span = tracing::info_span!("connection", %id);
        let shutdown = shutdown.clone();
        let port = port.clone();
        let serving = async move {
            let serving = AssertUnwindSafe(serve(&port, socket, peer, permit, shutdown));
            if serving.catch_unwind().await.is_err() {
                tracing::error!("a connection ended by a panic; the others go on");
            }
        };
        if tasks.spawn("connection", serving.instrument(span)).is_err() {
            count(ConnectionResult::Limit);
        }
    }
}

/// Small messages go out at once; a vanished client is noticed within minutes.
fn prepare(socket: &TcpStream) {
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15));
    // Both are only advice: a socket without them works.
    let _ = socket.set_nodelay(true);
    let _ = SockRef::from(socket).set_tcp_keepalive(&keepalive);
}

/// 53300 to a client that is not even heard; what does not fit into the socket at once is lost.
fn refuse_at_once(socket: &TcpStream) {
    let mut out = Vec::new();
    backend::error(
        &mut out,
        &Report::fatal(
            codes::TOO_MANY_CONNECTIONS,
            "sorry, too many clients already",
        ),
    );
    let _ = socket.try_write(&out);
}

fn count(result: ConnectionResult) {
    metrics()
        .connections_total
        .with((Protocol::Postgres, result))
        .increment();
}

async fn serve(
    port: &Port,
    socket: TcpStream,
    peer: SocketAddr,
    permit: tokio::sync::OwnedSemaphorePermit,
    shutdown: Shutdown,
) {
    let wire = Wire::new(
        Socket::Plain(socket),
        BytesMut::new(),
        port.options.write_timeout,
    );
    let starting = metrics()
        .connections
        .with((Protocol::Postgres, ConnectionState::Starting))
        .enter();
    let started = tokio::select! {
        started = tokio::time::timeout(port.options.login_timeout, startup::start(port, wire, peer)) => started,
        () = shutdown.stopping.cancelled() => return,
    };
    drop(starting);
    drop(permit);
    let Ok((mut wire, started)) = started else {
        count(ConnectionResult::Timeout);
        return;
    };
    match started {
        Started::Session(session) => {
            count(ConnectionResult::Accepted);
            let timer = metrics()
                .connection_duration
                .with(Protocol::Postgres)
                .start();
            let open = metrics()
                .connections
                .with((Protocol::Postgres, ConnectionState::Active))
                .enter();
            Connection::new(*session, wire, port.options.message_bytes_max, shutdown)
                .run()
                .await;
            drop(open);
            drop(timer);
        }
        Started::Over => count(ConnectionResult::Broken),
        Started::Refused(report) => {
            let result = match report.code {
                codes::TOO_MANY_CONNECTIONS => ConnectionResult::Limit,
                _ => ConnectionResult::Rejected,
            };
            count(result);
            let report = report.with_severity(tessera_types::Severity::Fatal);
            backend::error(&mut wire.out, &report);
            wire.close().await;
        }
    }
}
