//! The listener, one task per connection, shutdown.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt;
use parking_lot::Mutex;
use socket2::{SockRef, TcpKeepalive};
use tessera_tasks::TaskGroup;
use tessera_telemetry::labels::{ConnectionState, Protocol};
use tessera_telemetry::{CorrelationId, metrics};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::connection::Connection;
use crate::door::Door;
use crate::hub::Hub;
use crate::hub::clients::{Block, Client, Words};
use crate::hub::feed;
use crate::options::{ServeError, ServerOptions};
use crate::session::Session;
use crate::wire::{Socket, Wire};

/// Connections of one port; above every configured limit.
const CONNECTIONS_MAX: usize = 65_536;
/// Pause after a failed accept, such as when file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Time for the last answers to clients whose commands did not end in time.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The open Redis port.
pub struct Server {
    address: SocketAddr,
    tasks: TaskGroup,
    shutdown: Shutdown,
}

/// The two steps of a port's shutdown.
#[derive(Clone)]
struct Shutdown {
    /// Clients that are waited for are sent away.
    stopping: CancellationToken,
    /// All are.
    ending: CancellationToken,
}

impl Server {
    /// Opens the port and serves it in the background.
    pub async fn start(door: Arc<dyn Door>, options: ServerOptions) -> Result<Server, ServeError> {
        let address = options.address;
        if !address.ip().is_loopback() && door.anonymous(address).is_some() {
            return Err(ServeError::OpenNotLocal { address });
        }
        let bind = |source| ServeError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let tasks = TaskGroup::new("redis", "tessera-redis", CONNECTIONS_MAX);
        let shutdown = Shutdown {
            stopping: CancellationToken::new(),
            ending: CancellationToken::new(),
        };
        let hub = Arc::new(Hub::new(door, options, address.port()));
        let following = feed::follow(hub.clone(), shutdown.stopping.clone());
        let accepting = accept(listener, hub, tasks.clone(), shutdown.clone());
        let spawned = tasks
            .spawn("follow commits", following)
            .and_then(|_| tasks.spawn("accept", accepting));
        if let Err(error) = spawned {
            // A new group has room.
            tracing::error!(%error, "cannot serve the Redis port");
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

    /// Takes no more clients, ends idle and blocked ones, waits for running commands until the
    /// deadline, then ends them too.
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

async fn accept(listener: TcpListener, hub: Arc<Hub>, tasks: TaskGroup, shutdown: Shutdown) {
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
        if hub.clients.len() >= hub.options.connections_max {
            hub.totals.rejected.fetch_add(1, Ordering::Relaxed);
            // What does not fit into the socket at once is lost.
            let _ = socket.try_write(b"-ERR max number of clients reached\r\n");
            continue;
        }
        hub.totals.connections.fetch_add(1, Ordering::Relaxed);
        let span = tracing::info_span!("connection", id = %CorrelationId::next());
        let (hub, shutdown) = (Arc::clone(&hub), shutdown.clone());
        let client = client(&hub, &socket, peer, &shutdown);
        hub.clients.add(&client);
        let serving = async move {
            let (hub, id) = (hub, client.id);
            let serving = AssertUnwindSafe(serve(&hub, client, socket, shutdown));
            if serving.catch_unwind().await.is_err() {
                tracing::error!("a connection ended by a panic; the others go on");
            }
            hub.clients.remove(id);
        };
        if tasks.spawn("connection", serving.instrument(span)).is_err() {
            tracing::info!("a connection was refused: too many");
        }
    }
}

/// Small answers go out at once; a vanished client is noticed within minutes.
fn prepare(socket: &TcpStream) {
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15));
    // Both are only advice: a socket without them works.
    let _ = socket.set_nodelay(true);
    let _ = SockRef::from(socket).set_tcp_keepalive(&keepalive);
}

fn client(hub: &Hub, socket: &TcpStream, peer: SocketAddr, shutdown: &Shutdown) -> Arc<Client> {
    let now = hub.door.clock().monotonic();
    Arc::new(Client {
        id: hub.clients.next_id(),
        peer,
        local: socket.local_addr().unwrap_or(hub.options.address),
        since: now,
        last_seen_ms: AtomicU64::new(u64::try_from(now.as_millis()).unwrap_or(0)),
        words: Mutex::new(Words::default()),
        database: AtomicU32::new(0),
        protocol: AtomicU8::new(2),
        command: AtomicU16::new(0),
        subscriptions: [const { AtomicUsize::new(0) }; 3],
        queued: AtomicUsize::new(0),
        watched: AtomicUsize::new(0),
        killed: shutdown.ending.child_token(),
        block: Block::default(),
    })
}

async fn serve(hub: &Arc<Hub>, client: Arc<Client>, socket: TcpStream, shutdown: Shutdown) {
    let socket = match &hub.options.tls {
        None => Socket::Plain(socket),
        Some(config) => {
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(config));
            let accepting =
                tokio::time::timeout(hub.options.login_timeout, acceptor.accept(socket));
            match accepting.await {
                Ok(Ok(socket)) => Socket::Tls(Box::new(socket)),
                Ok(Err(error)) => {
                    tracing::info!(%error, "a TLS handshake failed");
                    return;
                }
                Err(_) => return,
            }
        }
    };
    let metrics = metrics();
    let _open = metrics
        .connections
        .with((Protocol::Redis, ConnectionState::Active))
        .enter();
    let _timer = metrics.connection_duration.with(Protocol::Redis).start();
    let wire = Wire::new(socket, hub.options.write_timeout);
    let session = Session::new(Arc::clone(hub), client);
    Connection::new(session, wire, shutdown.stopping)
        .run()
        .await;
}
