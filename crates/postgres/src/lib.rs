//! The PostgreSQL wire protocol over the engine facade.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tessera_engine::Engine;

/// How clients prove who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authentication {
    /// SCRAM-SHA-256.
    #[default]
    Scram,
    /// No proof at all; for loopback addresses only.
    Trust,
}

/// What the PostgreSQL port is opened with.
#[derive(Clone)]
pub struct ServerOptions {
    /// Address to listen on; port 0 for a free one.
    pub address: SocketAddr,
    /// How clients prove who they are.
    pub authentication: Authentication,
    /// Certificate and key, for TLS.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Refuse connections without TLS.
    pub tls_required: bool,
    /// Time from connecting to being logged in.
    pub login_timeout: Duration,
    /// Time a client may take to accept a buffer full of answers.
    pub write_timeout: Duration,
    /// Connections at one time, with those that are still logging in.
    pub connections_max: usize,
    /// Longest message of a logged-in client, bytes.
    pub message_bytes_max: usize,
}

impl ServerOptions {
    /// The defaults on an address.
    pub fn on(address: SocketAddr) -> ServerOptions {
        ServerOptions {
            address,
            authentication: Authentication::Scram,
            tls: None,
            tls_required: false,
            login_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            connections_max: 1_000,
            message_bytes_max: 256 << 20,
        }
    }
}

/// Why the port could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is taken or not allowed.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// `trust` on an address that others can reach.
    #[error("authentication \"trust\" is refused on {address}, which is not a loopback address")]
    TrustNotLocal {
        /// The address.
        address: SocketAddr,
    },
    /// TLS required without certificate.
    #[error("TLS is required, but no certificate is configured")]
    NoCertificate,
}

/// The open PostgreSQL port.
pub struct Server {
    address: SocketAddr,
}

impl Server {
    /// Opens the port and serves it in the background.
    pub async fn start(_engine: Engine, _options: ServerOptions) -> Result<Server, ServeError> {
        todo!()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more clients, ends idle sessions with 57P01, waits for running statements until
    /// the deadline, then ends them too.
    pub async fn stop(self, _deadline: Duration) {}
}
