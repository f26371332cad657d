//! Listens, bounds connections, drains.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tessera_engine::Engine;
use tessera_tasks::{Drained, TaskGroup};
use tessera_telemetry::labels::{ConnectionResult, ConnectionState, Protocol};
use tessera_telemetry::metrics;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::api::{Api, ApiOptions};
use crate::head::{self, HEAD_BYTES_MAX, HEADERS_MAX, Refusal, Rewound};
use crate::health::HealthSource;
use crate::router::{Peer, Shared, rewritten, router};

/// After a failed accept (too many open files), this long until the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Requests with an `Idempotency-Key` at work: they go on when their client is gone.
const DETACHED_MAX: usize = 256;

/// What the HTTP port is opened with.
#[derive(Clone)]
pub struct HttpOptions {
    /// Address to listen on; port 0 for a free one.
    pub address: SocketAddr,
    /// Certificate and key, for HTTPS.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Host names, besides `localhost` and bare addresses, that requests may ask for.
    pub host_names: Vec<String>,
    /// Connections at one time; newcomers beyond that are closed.
    pub connections_max: usize,
    /// Time to send a request's head, also the time a connection may stay idle.
    pub head_timeout: Duration,
    /// Longest life of a connection.
    pub connection_timeout: Duration,
}

impl HttpOptions {
    /// The defaults on an address.
    pub fn on(address: SocketAddr) -> HttpOptions {
        HttpOptions {
            address,
            tls: None,
            host_names: Vec::new(),
            connections_max: 256,
            head_timeout: Duration::from_secs(10),
            connection_timeout: Duration::from_secs(600),
        }
    }
}

/// Why the port could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The address is taken or not allowed.
    #[error("cannot listen on {address}")]
    Bind {
        address: SocketAddr,
        source: io::Error,
    },
}

/// The open HTTP port.
pub struct HttpServer {
    address: SocketAddr,
    listener: TaskGroup,
    connections: TaskGroup,
    detached: TaskGroup,
    api: Arc<Api>,
}

impl HttpServer {
    /// Opens the port and serves it in the background.
    pub async fn start(
        options: HttpOptions,
        health: Arc<dyn HealthSource>,
    ) -> Result<HttpServer, HttpError> {
        let bind = |source| HttpError::Bind {
            address: options.address,
            source,
        };
        let listener = TcpListener::bind(options.address).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let listening = TaskGroup::new("http-listener", "http", 1);
        let connections = listening.child("http-connections", "http", options.connections_max);
        let detached = listening.child("http-detached", "http", DETACHED_MAX);
        let api = Arc::new(Api::new(detached.clone()));
        let service = router(Shared {
            health,
            api: api.clone(),
            host_names: options.host_names.clone().into(),
        });
        let acceptor = Acceptor {
            options,
            service,
            connections: connections.clone(),
        };
        let accept = acceptor.run(listener, listening.token());
        // The group is new and has room for one.
        let started = listening.spawn("accept", accept);
        debug_assert!(started.is_ok());
        Ok(HttpServer {
            address,
            listener: listening,
            connections,
            detached,
            api,
        })
    }

    /// Opens the routes to data; until then they answer 503. The first call counts.
    pub fn open(&self, engine: Engine, options: ApiOptions) {
        self.api.open(engine, options);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, lets running requests finish, ends the rest at the deadline.
    /// Counts the listener and all connections.
    pub async fn stop(self, patience: Duration) -> Drained {
        let (listener, connections, detached) = tokio::join!(
            self.listener.drain(patience),
            self.connections.drain(patience),
            self.detached.drain(patience)
        );
        listener + connections + detached
    }
}

#[derive(Clone)]
struct Acceptor {
    options: HttpOptions,
    service: Router,
    connections: TaskGroup,
}

impl Acceptor {
    async fn run(self, listener: TcpListener, stop: CancellationToken) {
        let tls = self.options.tls.clone().map(TlsAcceptor::from);
        let total = &metrics().connections_total;
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an HTTP connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let work = self.clone().serve(stream, Peer(peer), tls.clone());
            let outcome = match self.connections.spawn("connection", work) {
                Ok(_) => ConnectionResult::Accepted,
                Err(_) => ConnectionResult::Limit,
            };
            total.with((Protocol::Http, outcome)).increment();
        }
    }

    async fn serve(self, stream: TcpStream, peer: Peer, tls: Option<TlsAcceptor>) {
        let metrics = metrics();
        let started = Instant::now();
        let gauge = metrics
            .connections
            .with((Protocol::Http, ConnectionState::Active));
        let _open = gauge.enter();
        // Answers are small and whole: waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        let patience = self.options.connection_timeout;
        let work = async {
            match tls {
                None => self.speak(stream, peer).await,
                Some(tls) => {
                    let timer = metrics.tls_handshake_duration.start();
                    let shaken = tls.accept(stream);
                    let shaken = tokio::time::timeout(self.options.head_timeout, shaken).await;
                    drop(timer);
                    if let Ok(Ok(stream)) = shaken {
                        self.speak(stream, peer).await;
                    }
                }
            }
        };
        // A client that takes its answers too slowly is cut off here.
        let _ = tokio::time::timeout(patience, work).await;
        metrics
            .connection_duration
            .with(Protocol::Http)
            .record(started.elapsed());
    }

    async fn speak<S>(&self, mut stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stop = self.connections.token();
        let patience = self.options.head_timeout;
        let first = tokio::select! {
            () = stop.cancelled() => return,
            first = head::read(&mut stream, patience) => first,
        };
        let first = match first {
            Ok(first) => first,
            Err(Refusal::Gone) => return,
            Err(Refusal::Answer(problem)) => {
                return head::answer(&mut stream, problem, patience).await;
            }
        };
        let stream = TokioIo::new(Rewound {
            first,
            taken: 0,
            stream,
        });
        let router = self.service.clone();
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let mut request = rewritten(request.map(Body::new));
            request.extensions_mut().insert(peer);
            router.clone().oneshot(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(patience)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(stream, service);
        let mut connection = std::pin::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(%error, "an HTTP connection ended early");
        }
    }
}
