//! From the first byte to a session: TLS, start-up message, authentication.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, BytesMut};
use tessera_engine::scram::Verifier;
use tessera_engine::{Engine, Session, SessionOptions, Throttle};
use tessera_telemetry::labels::{AuthMethod, Outcome, Protocol};
use tessera_telemetry::metrics;
use tessera_types::{Report, codes};

use crate::backend;
use crate::frontend::{Fields, utf8};
use crate::options::{Authentication, ServerOptions};
use crate::scram::{Exchange, MECHANISM};
use crate::wire::{Gone, Socket, Wire};

/// Longest start-up packet, as in PostgreSQL.
const PACKET_BYTES_MAX: usize = 10_000;
/// Longest message of the password exchange.
const PASSWORD_BYTES_MAX: usize = 4_096;

const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;

/// What all connections of a port share.
pub(crate) struct Port {
    pub(crate) engine: Engine,
    pub(crate) options: ServerOptions,
    pub(crate) throttle: Throttle,
}

/// How a start-up ended.
pub(crate) enum Started {
    /// A session, and its first answers in the buffer.
    Session(Box<Session>),
    /// It was a cancel request, or the client is gone: nothing is left to say.
    Over,
    /// The client is told why not.
    Refused(Report),
}

/// What a start-up message says.
struct Request {
    user: String,
    database: String,
    settings: Vec<(String, String)>,
    /// The client wants a newer minor version, or options that are not known.
    negotiate: Option<Vec<String>>,
}

enum First {
    Startup(Request),
    Over,
}

/// Runs the start-up phase. The wire is given back for what follows.
pub(crate) async fn start(port: &Port, mut wire: Wire, peer: SocketAddr) -> (Wire, Started) {
    let first = match first_packets(port, &mut wire).await {
        Ok(first) => first,
        Err(Ended::Gone) => return (wire, Started::Over),
        Err(Ended::Refused(report)) => return (wire, Started::Refused(report)),
        Err(Ended::Tls) => match encrypt(port, wire).await {
            Ok(encrypted) => {
                wire = encrypted;
                match first_packets(port, &mut wire).await {
                    Ok(first) => first,
                    Err(Ended::Refused(report)) => return (wire, Started::Refused(report)),
                    Err(Ended::Gone | Ended::Tls) => return (wire, Started::Over),
                }
            }
            Err(broken) => return (broken, Started::Over),
        },
    };
    let First::Startup(request) = first else {
        return (wire, Started::Over);
    };
    match log_in(port, &mut wire, request, peer).await {
        Ok(session) => (wire, Started::Session(Box::new(session))),
        Err(Ended::Refused(report)) => (wire, Started::Refused(report)),
        Err(Ended::Gone | Ended::Tls) => (wire, Started::Over),
    }
}

/// Why a step did not go on.
enum Ended {
    Gone,
    /// TLS begins now.
    Tls,
    Refused(Report),
}

impl From<Gone> for Ended {
    fn from(_: Gone) -> Ended {
        Ended::Gone
    }
}

impl From<Report> for Ended {
    fn from(report: Report) -> Ended {
        Ended::Refused(report)
    }
}

/// Answers requests for encryption until a start-up message or a cancel request comes.
async fn first_packets(port: &Port, wire: &mut Wire) -> Result<First, Ended> {
    let mut asked_tls = false;
    let mut asked_gss = false;
    loop {
        let packet = read_packet(wire).await?;
        let mut body = &packet[..];
        match body.get_u32() {
            SSL_REQUEST if !asked_tls && !wire.is_tls() => {
                asked_tls = true;
                no_injection(wire)?;
                if port.options.tls.is_some() {
                    wire.out.push(b'S');
                    wire.flush().await?;
                    return Err(Ended::Tls);
                }
                wire.out.push(b'N');
                wire.flush().await?;
            }
            GSS_REQUEST if !asked_gss && !wire.is_tls() => {
                asked_gss = true;
                no_injection(wire)?;
                wire.out.push(b'N');
                wire.flush().await?;
            }
            CANCEL_REQUEST => {
                if body.len() == 8 {
                    let (process_id, secret) = (body.get_i32(), body.get_i32());
                    port.engine.cancel(process_id, secret);
                }
                // No answer, whatever became of it.
                return Ok(First::Over);
            }
            version => {
                if port.options.tls_required && !wire.is_tls() {
                    return Err(Report::fatal(
                        codes::INVALID_AUTHORIZATION_SPECIFICATION,
                        "connections without TLS are refused",
                    )
                    .with_hint("Connect with sslmode=require.")
                    .into());
                }
                return Ok(First::Startup(read_startup(version, body)?));
            }
        }
    }
}

/// Nothing may have come in plain text behind a request for encryption: a man in the middle
/// could put statements there (CVE-2021-23214).
fn no_injection(wire: &mut Wire) -> Result<(), Ended> {
    if wire.input().is_empty() {
        Ok(())
    } else {
        Err(Ended::Gone)
    }
}

/// One packet of the start-up phase: a length, then a code. Nonsense lengths (such as those that
/// another protocol's first bytes give) end the connection without a word.
async fn read_packet(wire: &mut Wire) -> Result<BytesMut, Ended> {
    loop {
        if let Some(head) = wire.input().first_chunk::<4>() {
            let length = u32::from_be_bytes(*head) as usize;
            if !(8..=PACKET_BYTES_MAX).contains(&length) {
                return Err(Ended::Gone);
            }
            if wire.input().len() >= length {
                let mut packet = wire.input().split_to(length);
                packet.advance(4);
                return Ok(packet);
            }
        }
        if !wire.read().await? {
            return Err(Ended::Gone);
        }
    }
}

fn read_startup(version: u32, body: &[u8]) -> Result<Request, Report> {
    let (major, minor) = (version >> 16, version & 0xffff);
    if major != 3 {
        return Err(Report::fatal(
            codes::FEATURE_NOT_SUPPORTED,
            format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.0"),
        ));
    }
    let mut fields = Fields::new(body);
    let mut request = Request {
        user: String::new(),
        database: String::new(),
        settings: Vec::new(),
        negotiate: (minor > 0).then(Vec::new),
    };
    let layout = || {
        Report::fatal(
            codes::PROTOCOL_VIOLATION,
            "invalid startup packet layout: expected terminator as last byte",
        )
    };
    loop {
        let name = fields.text().map_err(|_| layout())?;
        if name.is_empty() {
            fields.end().map_err(|_| layout())?;
            break;
        }
        let value = fields.text().map_err(|_| layout())?;
        match name {
            "user" => request.user = value.to_owned(),
            "database" => request.database = value.to_owned(),
            "options" => request.settings.extend(command_line(value)?),
            "replication" => {
                if !matches!(value, "false" | "off" | "no" | "0") {
                    return Err(Report::fatal(
                        codes::FEATURE_NOT_SUPPORTED,
                        "replication connections are not supported",
                    ));
                }
            }
            name if name.starts_with("_pq_.") => {
                request
                    .negotiate
                    .get_or_insert_default()
                    .push(name.to_owned());
            }
            name => request.settings.push((name.to_owned(), value.to_owned())),
        }
    }
    if request.user.is_empty() {
        return Err(Report::fatal(
            codes::INVALID_AUTHORIZATION_SPECIFICATION,
            "no PostgreSQL user name specified in startup packet",
        ));
    }
    Ok(request)
}

/// Settings in the form `-c name=value` or `--name=value`; a backslash keeps a space.
fn command_line(options: &str) -> Result<Vec<(String, String)>, Report> {
    let mut words = vec![String::new()];
    let mut chars = options.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => words
                .last_mut()
                .into_iter()
                .for_each(|word| word.extend(chars.next())),
            c if c.is_ascii_whitespace() => words.push(String::new()),
            c => words.last_mut().into_iter().for_each(|word| word.push(c)),
        }
    }
    let mut settings = Vec::new();
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        let setting = match word.as_str() {
            "-c" => words.next(),
            word => word
                .strip_prefix("--")
                .or_else(|| word.strip_prefix("-c"))
                .map(str::to_owned),
        };
        let pair = setting
            .as_deref()
            .and_then(|setting| setting.split_once('='));
        let (name, value) = pair.ok_or_else(|| {
            Report::fatal(
                codes::SYNTAX_ERROR,
                format!("invalid command-line argument for server process: {word}"),
            )
        })?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

async fn encrypt(port: &Port, wire: Wire) -> Result<Wire, Wire> {
    let write_timeout = port.options.write_timeout;
    let (socket, input) = wire.into_parts();
    match (socket, &port.options.tls) {
        (Socket::Plain(socket), Some(config)) => {
            let timer = metrics().tls_handshake_duration.start();
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(config));
            let accepted = acceptor.accept(socket).into_fallible().await;
            drop(timer);
            match accepted {
                Ok(socket) => Ok(Wire::new(
                    Socket::Tls(Box::new(socket)),
                    input,
                    write_timeout,
                )),
                Err((error, socket)) => {
                    tracing::debug!(%error, "TLS handshake failed");
                    Err(Wire::new(Socket::Plain(socket), input, write_timeout))
                }
            }
        }
        (socket, _) => Err(Wire::new(socket, input, write_timeout)),
    }
}

async fn log_in(
    port: &Port,
    wire: &mut Wire,
    request: Request,
    peer: SocketAddr,
) -> Result<Session, Ended> {
    if let Some(unknown) = request.negotiate {
        backend::negotiate_protocol(&mut wire.out, unknown);
    }
    if port.options.authentication == Authentication::Scram {
        authenticate(port, wire, &request.user, peer).await?;
    }
    let options = SessionOptions {
        user: request.user,
        database: request.database,
        peer: Some(peer),
        protocol: "postgres",
        settings: request.settings,
    };
    let session = port.engine.connect(options).await?;
    backend::authentication_ok(&mut wire.out);
    for (name, value) in session.reported_settings() {
        backend::parameter_status(&mut wire.out, name, &value);
    }
    let (process_id, secret) = session.cancel_key();
    backend::key_data(&mut wire.out, process_id, secret);
    backend::ready(&mut wire.out, session.status());
    wire.flush().await?;
    tracing::info!(target: "audit", user = session.user(), %peer, session = process_id, tls = wire.is_tls(), "logged in");
    Ok(session)
}

async fn authenticate(
    port: &Port,
    wire: &mut Wire,
    user: &str,
    peer: SocketAddr,
) -> Result<(), Ended> {
    let attempts = |outcome| {
        metrics()
            .auth_attempts
            .with((Protocol::Postgres, AuthMethod::Scram, outcome))
    };
    if !port.throttle.allows(peer.ip(), Instant::now()) {
        attempts(Outcome::Error).increment();
        tracing::info!(target: "audit", %peer, "login refused: too many failures from this address");
        return Err(Report::fatal(
            codes::TOO_MANY_CONNECTIONS,
            "too many failed logins from this address",
        )
        .with_hint("Wait a minute.")
        .into());
    }
    let verifier = port.engine.verifier(user);
    match exchange(wire, &verifier).await {
        Ok(true) => {
            port.throttle.succeeded(peer.ip());
            attempts(Outcome::Ok).increment();
            Ok(())
        }
        Ok(false) => {
            port.throttle.failed(peer.ip(), Instant::now());
            attempts(Outcome::Error).increment();
            tracing::info!(target: "audit", user = user.escape_debug().to_string(), %peer, "login failed");
            // The same for a wrong password and for an unknown user, in text and in time.
            tokio::time::sleep(port.options.failed_login_delay).await;
            Err(Report::fatal(
                codes::INVALID_PASSWORD,
                format!("password authentication failed for user \"{user}\""),
            )
            .into())
        }
        Err(ended) => {
            attempts(Outcome::Error).increment();
            Err(ended)
        }
    }
}

/// The exchange of messages; true when the client knows the password.
async fn exchange(wire: &mut Wire, verifier: &Verifier) -> Result<bool, Ended> {
    backend::sasl_mechanisms(&mut wire.out, &[MECHANISM]);
    wire.flush().await?;
    let first = read_password(wire).await?;
    let mut fields = Fields::new(&first);
    let mechanism = fields.text()?;
    if mechanism != MECHANISM {
        return Err(Report::fatal(
            codes::PROTOCOL_VIOLATION,
            "client selected an invalid SASL authentication mechanism",
        )
        .into());
    }
    let length = usize::try_from(fields.i32()?).unwrap_or(0);
    let client_first = fields.bytes(length)?;
    fields.end()?;
    let exchange = Exchange::begin(utf8(client_first)?, verifier)?;
    backend::sasl_continue(&mut wire.out, exchange.server_first().to_owned());
    wire.flush().await?;
    let last = read_password(wire).await?;
    match exchange.finish(utf8(&last)?, verifier)? {
        Some(server_final) => {
            backend::sasl_final(&mut wire.out, server_final);
            Ok(true)
        }
        None => Ok(false),
    }
}

/// One message of type `p`.
async fn read_password(wire: &mut Wire) -> Result<bytes::Bytes, Ended> {
    loop {
        match wire.next_frame(PASSWORD_BYTES_MAX) {
            Ok(Some(frame)) if frame.kind == b'p' => return Ok(frame.body),
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => {
                return Err(
                    Report::fatal(codes::PROTOCOL_VIOLATION, "expected SASL response").into(),
                );
            }
        }
        if !wire.read().await? {
            return Err(Ended::Gone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_on_the_command_line_are_settings() {
        let read = |text| {
            command_line(text).map(|settings| {
                settings
                    .iter()
                    .map(|(n, v)| format!("{n}={v}"))
                    .collect::<Vec<_>>()
                    .join(";")
            })
        };
        assert_eq!(
            read("-c lock_timeout=5s --search-path=a\\ b").as_deref(),
            Ok("lock_timeout=5s;search_path=a b")
        );
        assert_eq!(read("-clock_timeout=1").as_deref(), Ok("lock_timeout=1"));
        assert_eq!(read("  ").as_deref(), Ok(""));
        assert!(read("-x").is_err() && read("-c").is_err() && read("--a").is_err());
    }

    #[test]
    fn startup_messages_are_checked() {
        let code = |version, body: &[u8]| match read_startup(version, body) {
            Ok(request) => format!("{}@{}", request.user, request.database),
            Err(report) => report.code.to_string(),
        };
        let v3 = 0x0003_0000;
        assert_eq!(code(v3, b"user\0bob\0database\0x\0\0"), "bob@x");
        assert_eq!(code(v3, b"user\0bob\0"), "08P01");
        assert_eq!(code(v3, b"user\0bob\0\0more"), "08P01");
        assert_eq!(code(v3, b"database\0x\0\0"), "28000");
        assert_eq!(code(0x0002_0000, b""), "0A000");
        assert_eq!(code(v3, b"user\0bob\0replication\0true\0\0"), "0A000");
    }
}
