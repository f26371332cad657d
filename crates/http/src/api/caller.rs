//! Who asks, and in which transaction.

use std::time::Instant;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tessera_engine::models::{Call, Client, Joined};
use tessera_engine::{ADMIN, Report};
use tessera_types::codes;

use super::Api;
use crate::body::Place;
use crate::problem::Problem;
use crate::router::{Peer, Shared, single};

/// Names the transaction that a request is part of.
const TRANSACTION: HeaderName = HeaderName::from_static("tessera-transaction");
/// `on` or `off`: whether a request's own commit waits for the disk.
const DURABILITY: HeaderName = HeaderName::from_static("tessera-durability");

/// The user behind a request.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(super) client: Client,
    pub(super) peer: Option<Peer>,
    /// The token that the request was sent with.
    pub(super) bearer: Option<String>,
    /// Token of the transaction that the request is part of.
    pub(super) transaction: Option<String>,
    joined: Option<Joined>,
    durable: Option<bool>,
    /// For problems inside of streams.
    pub(super) correlation_id: String,
    /// The body's part of the memory of all bodies; given back with the last copy of this.
    place: Option<Place>,
}

impl Caller {
    pub(crate) fn with_place(mut self, place: Option<Place>) -> Caller {
        self.place = place;
        self
    }

    /// A call that only reads.
    pub(super) fn read(&self, what: &str) -> Call {
        Call::read(what, self.joined.clone())
    }

    /// A call that writes.
    pub(super) fn write(&self, what: &str) -> Call {
        Call {
            durable: self.durable,
            ..Call::write(what, self.joined.clone())
        }
    }
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Caller, Problem> {
        parts
            .extensions
            .get::<Caller>()
            .cloned()
            .ok_or_else(|| Problem::new(StatusCode::UNAUTHORIZED, "log in first").with_challenges())
    }
}

/// What `Authorization` says.
enum Credentials {
    None,
    Basic { user: String, password: String },
    Bearer(String),
}

impl Credentials {
    fn of(headers: &HeaderMap) -> Result<Credentials, Problem> {
        let Some(text) = single(headers, &header::AUTHORIZATION)? else {
            return Ok(Credentials::None);
        };
        let parsed = text.split_once(' ').and_then(|(scheme, rest)| {
            let rest = rest.trim();
            if scheme.eq_ignore_ascii_case("bearer") {
                return Some(Credentials::Bearer(rest.to_owned()));
            }
            if !scheme.eq_ignore_ascii_case("basic") {
                return None;
            }
            let text = String::from_utf8(BASE64.decode(rest).ok()?).ok()?;
            let (user, password) = text.split_once(':')?;
            Some(Credentials::Basic {
                user: user.to_owned(),
                password: password.to_owned(),
            })
        });
        // The same answer as for wrong ones.
        parsed.ok_or_else(refused)
    }
}

/// One answer for everything that is wrong with a login.
fn refused() -> Problem {
    let report = Report::error(codes::INVALID_PASSWORD, "the login is not valid");
    Problem::from(report)
}

impl Api {
    /// Finds out who asks, before the body is read.
    pub(crate) async fn caller(&self, parts: &Parts, id: &str) -> Result<Caller, Problem> {
        let (engine, options) = self.engine()?;
        let peer = parts.extensions.get::<Peer>().copied();
        let credentials = Credentials::of(&parts.headers);
        let (user, bearer) = match credentials {
            Ok(Credentials::None) if options.trust => (ADMIN.to_owned(), None),
            Ok(Credentials::None) => return Err(refused()),
            Ok(Credentials::Basic { user, .. }) if options.trust => (user, None),
            tried => {
                let now = Instant::now();
                if peer.is_some_and(|peer| !self.throttle.allows(peer.0.ip(), now)) {
                    return Err(Report::error(
                        codes::CONFIGURATION_LIMIT_EXCEEDED,
                        "too many failed logins from this address; try again later",
                    )
                    .into());
                }
                match self.check(engine, tried).await {
                    Ok(found) => {
                        if let Some(peer) = peer {
                            self.throttle.succeeded(peer.0.ip());
                        }
                        found
                    }
                    Err(problem) => {
                        if let Some(peer) = peer
                            && problem.status == StatusCode::UNAUTHORIZED
                        {
                            self.throttle.failed(peer.0.ip(), now);
                            tracing::info!(peer = %peer.0, "a login over HTTP failed");
                        }
                        return Err(problem);
                    }
                }
            }
        };
        let client = engine.client(&user).map_err(|report| match report.code {
            codes::INVALID_AUTHORIZATION_SPECIFICATION => refused(),
            _ => report.into(),
        })?;
        let transaction = single(&parts.headers, &TRANSACTION)?.map(str::to_owned);
        let joined = transaction
            .as_deref()
            .map(|token| client.join(token))
            .transpose()?;
        let durable = match single(&parts.headers, &DURABILITY)? {
            None => None,
            Some("on") => Some(true),
            Some("off") => Some(false),
            Some(_) => return Err(Problem::bad_request("Tessera-Durability is on or off")),
        };
        Ok(Caller {
            client,
            peer,
            bearer,
            transaction,
            joined,
            durable,
            correlation_id: id.to_owned(),
            place: None,
        })
    }

    async fn check(
        &self,
        engine: &tessera_engine::Engine,
        credentials: Result<Credentials, Problem>,
    ) -> Result<(String, Option<String>), Problem> {
        match credentials? {
            Credentials::None => Err(refused()),
            Credentials::Basic { user, password } => {
                let checked = engine.authenticate(&user, &password).await;
                checked.map_err(|report| match report.code {
                    codes::INVALID_PASSWORD => refused(),
                    _ => report.into(),
                })?;
                Ok((user, None))
            }
            Credentials::Bearer(token) => {
                let user = self.tokens.user(&token, Instant::now());
                let user = user.ok_or_else(refused)?;
                Ok((user, Some(token)))
            }
        }
    }
}
