//! What the PostgreSQL port is opened with.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tessera_types::{Retry, SqlState, codes};

/// How clients prove who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authentication {
    /// SCRAM-SHA-256.
    #[default]
    Scram,
    /// No proof at all; for loopback addresses only.
    Trust,
}

/// What the PostgreSQL port is opened with; start from [`ServerOptions::on`].
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
    /// Connections that are logging in at one time. Those logged in are counted by the engine's
    /// `sessions_max`, so that strangers cannot use up the users' places.
    pub logins_max: usize,
    /// Longest message of a logged-in client, bytes.
    pub message_bytes_max: usize,
    /// Failed logins of one address within a minute, after which more are refused unheard.
    pub failed_logins_max: u32,
    /// Pause before a failed login is answered.
    pub failed_login_delay: Duration,
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
            logins_max: 1_000,
            message_bytes_max: 256 << 20,
            failed_logins_max: 10,
            failed_login_delay: Duration::from_millis(200),
        }
    }
}

impl fmt::Debug for ServerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerOptions")
            .field("address", &self.address)
            .field("authentication", &self.authentication)
            .field("tls", &self.tls.is_some())
            .field("tls_required", &self.tls_required)
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

impl ServeError {
    /// SQLSTATE and retry class. No `_` arm: a new variant must answer here.
    pub fn code(&self) -> (SqlState, Retry) {
        match self {
            ServeError::Bind { .. } => (codes::IO_ERROR, Retry::Later),
            ServeError::TrustNotLocal { .. } | ServeError::NoCertificate => {
                (codes::CONFIG_FILE_ERROR, Retry::Never)
            }
        }
    }
}
