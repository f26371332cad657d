//! The PostgreSQL wire, as a client: log in, simple queries, COPY, cancel.
//!
//! # Map
//! - `message`: what a server says, decoded.
//! - `tls`: encryption by the rules of libpq's `sslmode`.
//!
//! # Invariants
//! 1. One request is under way at a time; after an error the caller reads on until `Ready`.
//! 2. A message longer than `MESSAGE_BYTES_MAX` ends the connection before it is read.

pub mod message;
mod tls;

use std::collections::BTreeMap;

use bytes::{Buf, Bytes, BytesMut};
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::connection::Target;
use message::{Authentication, Reply, ServerError};

/// Longest message that a server may send, as in PostgreSQL.
const MESSAGE_BYTES_MAX: usize = 1 << 30;
const READ_BYTES: usize = 64 << 10;

/// Why a connection could not be made or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody answers, or the connection broke.
    #[error("connection to {address} failed")]
    Connection {
        /// Host and port.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The server refused; it says why.
    #[error("{0}")]
    Refused(Box<ServerError>),
    /// The server asks for a password and none is known.
    #[error("the server asks for a password")]
    PasswordNeeded,
    /// The server speaks something else, or asks for what we do not do.
    #[error("{0}")]
    Protocol(String),
    /// TLS is demanded and cannot be had.
    #[error("no encrypted connection: {0}")]
    Tls(String),
}

/// Whether a transaction is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// No transaction.
    #[default]
    Idle,
    /// In a transaction block.
    Open,
    /// In a transaction block that failed.
    Failed,
}

/// A stream that may be encrypted.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection that is logged in.
pub struct Client {
    stream: Box<dyn Stream>,
    target: Target,
    input: BytesMut,
    output: BytesMut,
    process_id: i32,
    secret: i32,
    encrypted: bool,
    parameters: BTreeMap<String, String>,
}

/// Names one connection's running statement.
#[derive(Clone, Debug)]
pub struct CancelKey {
    target: Target,
    process_id: i32,
    secret: i32,
}

impl Client {
    /// Connects and logs in.
    ///
    /// # Errors
    /// See [`ClientError`]; `PasswordNeeded` when the target has none.
    pub async fn connect(target: &Target, application: &str) -> Result<Client, ClientError> {
        let (stream, encrypted) = open(target).await?;
        let mut client = Client {
            stream,
            target: target.clone(),
            input: BytesMut::with_capacity(READ_BYTES),
            output: BytesMut::new(),
            process_id: 0,
            secret: 0,
            encrypted,
            parameters: BTreeMap::new(),
        };
        let parameters = [
            ("user", target.user.as_str()),
            ("database", target.database.as_str()),
            ("application_name", application),
            ("client_encoding", "UTF8"),
        ];
        frontend::startup_message(parameters, &mut client.output)
            .map_err(|error| ClientError::Protocol(error.to_string()))?;
        client.flush().await?;
        client.log_in().await?;
        Ok(client)
    }

    async fn log_in(&mut self) -> Result<(), ClientError> {
        let mut scram: Option<ScramSha256> = None;
        loop {
            match self.next().await? {
                Reply::Authentication(Authentication::Ok) => scram = None,
                Reply::Authentication(Authentication::Sasl(mechanisms)) => {
                    if !mechanisms.iter().any(|name| name == SCRAM_SHA_256) {
                        return Err(ClientError::Protocol(
                            "the server offers no SCRAM-SHA-256".to_owned(),
                        ));
                    }
                    let password = self.target.password.as_deref();
                    let password = password.ok_or(ClientError::PasswordNeeded)?;
                    let exchange =
                        ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
                    frontend::sasl_initial_response(
                        SCRAM_SHA_256,
                        exchange.message(),
                        &mut self.output,
                    )
                    .map_err(|error| ClientError::Protocol(error.to_string()))?;
                    scram = Some(exchange);
                    self.flush().await?;
                }
                Reply::Authentication(Authentication::SaslContinue(data)) => {
                    let exchange = scram.as_mut().ok_or_else(out_of_turn)?;
                    exchange
                        .update(&data)
                        .map_err(|error| ClientError::Protocol(error.to_string()))?;
                    frontend::sasl_response(exchange.message(), &mut self.output)
                        .map_err(|error| ClientError::Protocol(error.to_string()))?;
                    self.flush().await?;
                }
                Reply::Authentication(Authentication::SaslFinal(data)) => {
                    let exchange = scram.as_mut().ok_or_else(out_of_turn)?;
                    exchange.finish(&data).map_err(|_| {
                        ClientError::Protocol(
                            "the server does not know the password either".to_owned(),
                        )
                    })?;
                }
                Reply::Authentication(Authentication::Other(kind)) => {
                    return Err(ClientError::Protocol(format!(
                        "the server asks for authentication method {kind}, which is not supported"
                    )));
                }
                Reply::Key { process_id, secret } => {
                    self.process_id = process_id;
                    self.secret = secret;
                }
                Reply::Error(error) => return Err(ClientError::Refused(error)),
                Reply::Ready(_) => return Ok(()),
                _ => {}
            }
        }
    }

    /// Sends a simple query; read with [`Client::next`] until `Ready`.
    ///
    /// # Errors
    /// The connection broke, or the text holds a NUL.
    pub async fn send_query(&mut self, sql: &str) -> Result<(), ClientError> {
        frontend::query(sql, &mut self.output)
            .map_err(|error| ClientError::Protocol(error.to_string()))?;
        self.flush().await
    }

    /// Sends a piece of COPY data.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn send_copy_data(&mut self, data: &[u8]) -> Result<(), ClientError> {
        let message = frontend::CopyData::new(Bytes::copy_from_slice(data))
            .map_err(|error| ClientError::Protocol(error.to_string()))?;
        message.write(&mut self.output);
        self.flush().await
    }

    /// Ends COPY data: all of it was sent, or the reason why not.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn end_copy(&mut self, failure: Option<&str>) -> Result<(), ClientError> {
        match failure {
            None => frontend::copy_done(&mut self.output),
            Some(why) => frontend::copy_fail(why, &mut self.output)
                .map_err(|error| ClientError::Protocol(error.to_string()))?,
        }
        self.flush().await
    }

    /// The next message; changes of parameters are noted and not returned.
    ///
    /// # Errors
    /// The connection broke, or the server sent nonsense.
    pub async fn next(&mut self) -> Result<Reply, ClientError> {
        loop {
            while let Some((tag, body)) = self.take_message()? {
                match Reply::decode(tag, body).map_err(ClientError::Protocol)? {
                    Reply::Parameter(name, value) => {
                        self.parameters.insert(name, value);
                    }
                    reply => return Ok(reply),
                }
            }
            self.input.reserve(READ_BYTES);
            let read = self.stream.read_buf(&mut self.input).await;
            match read {
                Ok(0) => return Err(self.broken(std::io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) => return Err(self.broken(error)),
            }
        }
    }

    /// What another connection needs to stop the running statement.
    pub fn cancel_key(&self) -> CancelKey {
        CancelKey {
            target: self.target.clone(),
            process_id: self.process_id,
            secret: self.secret,
        }
    }

    /// A parameter that the server reported, such as `server_version`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// Where it is connected to.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Whether the connection is encrypted.
    pub fn encrypted(&self) -> bool {
        self.encrypted
    }

    /// Runs a query and collects its last result; notices are dropped.
    ///
    /// # Errors
    /// The statement's error as `Refused`.
    pub async fn query(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, ClientError> {
        self.send_query(sql).await?;
        let mut rows = Vec::new();
        let mut failure = None;
        loop {
            match self.next().await? {
                Reply::Columns(_) => rows.clear(),
                Reply::Row(row) => rows.push(row),
                Reply::Error(error) => failure = Some(error),
                Reply::CopyIn => self.end_copy(Some("not expected here")).await?,
                Reply::Ready(_) => break,
                _ => {}
            }
        }
        failure.map_or(Ok(rows), |error| Err(ClientError::Refused(error)))
    }

    /// Says goodbye.
    pub async fn close(mut self) {
        frontend::terminate(&mut self.output);
        // The server may be gone already; there is nothing left to lose.
        let _ = self.flush().await;
        let _ = self.stream.shutdown().await;
    }

    async fn flush(&mut self) -> Result<(), ClientError> {
        let written = async {
            self.stream.write_all(&self.output).await?;
            self.stream.flush().await
        };
        let written = written.await;
        self.output.clear();
        written.map_err(|error| self.broken(error))
    }

    fn take_message(&mut self) -> Result<Option<(u8, Bytes)>, ClientError> {
        let Some((tag, length)) = message::header(&self.input) else {
            return Ok(None);
        };
        if !(4..=MESSAGE_BYTES_MAX).contains(&length) {
            return Err(ClientError::Protocol(
                "this is not a PostgreSQL server".to_owned(),
            ));
        }
        if self.input.len() < length + 1 {
            return Ok(None);
        }
        let mut body = self.input.split_to(length + 1).freeze();
        body.advance(5);
        Ok(Some((tag, body)))
    }

    fn broken(&self, source: std::io::Error) -> ClientError {
        broken(&self.target, source)
    }
}

impl CancelKey {
    /// Asks the server to stop what that connection runs.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn cancel(&self) -> Result<(), ClientError> {
        let (mut stream, _) = open(&self.target).await?;
        let mut output = BytesMut::new();
        frontend::cancel_request(self.process_id, self.secret, &mut output);
        let sent = async {
            stream.write_all(&output).await?;
            stream.flush().await?;
            // The server closes when it has acted.
            stream.read(&mut [0]).await
        };
        sent.await
            .map(|_| ())
            .map_err(|error| broken(&self.target, error))
    }
}

async fn open(target: &Target) -> Result<(Box<dyn Stream>, bool), ClientError> {
    let address = (target.host.as_str(), target.port);
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| broken(target, error))?;
    // Small messages wait for nothing.
    let _ = stream.set_nodelay(true);
    tls::encrypt(stream, target).await
}

fn broken(target: &Target, source: std::io::Error) -> ClientError {
    ClientError::Connection {
        address: format!("{}:{}", target.host, target.port),
        source,
    }
}

fn out_of_turn() -> ClientError {
    ClientError::Protocol("the server's login messages are out of order".to_owned())
}
