//! What the Redis port is opened with.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tessera_types::{Retry, SqlState, codes};

/// What the Redis port is opened with; start from [`ServerOptions::on`].
#[derive(Clone)]
pub struct ServerOptions {
    /// Address to listen on; port 0 for a free one.
    pub address: SocketAddr,
    /// Certificate and key; with it the port speaks TLS only (`rediss`).
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Time from connecting to being logged in, where a login is needed.
    pub login_timeout: Duration,
    /// Time a client may take to accept a buffer full of answers.
    pub write_timeout: Duration,
    /// Time a client may be silent; none for ever. Subscribers and blocked clients may be.
    pub idle_timeout: Option<Duration>,
    /// Time a client may be silent while a transaction of TX.BEGIN is open, which holds locks; then
    /// it is rolled back and the client sent away. None for ever.
    pub transaction_idle_timeout: Option<Duration>,
    /// Connections of the port, logged in or not.
    pub connections_max: usize,
    /// Bytes of one argument (`proto-max-bulk-len`).
    pub bulk_bytes_max: usize,
    /// Bytes of one command (`client-query-buffer-limit`).
    pub request_bytes_max: usize,
    /// Bytes of messages that a subscriber may be behind; then it is cut off
    /// (`client-output-buffer-limit pubsub`).
    pub subscriber_bytes_max: usize,
    /// Pause before a failed login is answered.
    pub failed_login_delay: Duration,
}

impl ServerOptions {
    /// The defaults on an address.
    pub fn on(address: SocketAddr) -> ServerOptions {
        ServerOptions {
            address,
            tls: None,
            login_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            idle_timeout: None,
            transaction_idle_timeout: None,
            connections_max: 10_000,
            bulk_bytes_max: 512 << 20,
            request_bytes_max: 1 << 30,
            subscriber_bytes_max: 32 << 20,
            failed_login_delay: Duration::from_millis(200),
        }
    }
}

impl fmt::Debug for ServerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerOptions")
            .field("address", &self.address)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
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
    /// No passwords on an address that others can reach.
    #[error("a port without passwords is refused on {address}, which is not a loopback address")]
    OpenNotLocal {
        /// The address.
        address: SocketAddr,
    },
}

impl ServeError {
    /// SQLSTATE and retry class. No `_` arm: a new variant must answer here.
    pub fn code(&self) -> (SqlState, Retry) {
        match self {
            ServeError::Bind { .. } => (codes::IO_ERROR, Retry::Later),
            ServeError::OpenNotLocal { .. } => (codes::CONFIG_FILE_ERROR, Retry::Never),
        }
    }
}
