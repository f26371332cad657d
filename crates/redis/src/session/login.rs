//! Who the client is, and which protocol and database it wants.

use tessera_keyvalue::parse_integer;
use tessera_telemetry::labels::{AuthMethod, Outcome, Protocol};
use tessera_telemetry::metrics;

use super::{Result, Session};
use crate::args::Cursor;
use crate::door::{Attempt, DATABASES, Database, Login};
use crate::fault::Fault;
use crate::reply::Reply;
use crate::request::Request;
use std::sync::atomic::Ordering;

pub(super) const NO_AUTH: Fault = Fault::Static("NOAUTH Authentication required.");
const WRONG_PASS: Fault =
    Fault::Static("WRONGPASS invalid username-password pair or user is disabled.");
/// The version of Redis whose behaviour clients may count on.
pub(super) const REDIS_VERSION: &str = "7.2.0";
/// SQLSTATEs of this class mean that a login failed.
const CLASS_AUTHORIZATION: &str = "28";

fn note_attempt(outcome: Outcome) {
    let attempts = &metrics().auth_attempts;
    attempts
        .with((Protocol::Redis, AuthMethod::Password, outcome))
        .increment();
}

impl Session {
    pub(super) fn set_login(&mut self, login: Option<Login>) {
        let user = login.as_ref().map_or("", |login| &login.user).to_owned();
        self.client.words.lock().user = user;
        self.login = login;
        self.space = None;
    }

    /// AUTH [user] password
    pub(super) async fn auth(&mut self, request: &Request, reply: &mut Reply) -> Result<()> {
        match request.len() {
            2 => self.log_in(None, request.arg(1)).await?,
            3 => self.log_in(Some(request.arg(1)), request.arg(2)).await?,
            _ => return Err(crate::fault::SYNTAX),
        }
        reply.ok();
        Ok(())
    }

    async fn log_in(&mut self, user: Option<&[u8]>, password: &[u8]) -> Result<()> {
        let hub = std::sync::Arc::clone(&self.hub);
        let peer = self.client.peer;
        if user.is_none() && hub.door.anonymous(peer).is_some() {
            return Err(Fault::Static(
                "ERR AUTH <password> called without any password configured for the default user. \
                 Are you sure your configuration is correct?",
            ));
        }
        let user = match user.map(std::str::from_utf8) {
            None => None,
            Some(Ok(user)) => Some(user),
            Some(Err(_)) => return Err(WRONG_PASS),
        };
        if !hub.door.may_log_in(peer.ip()) {
            return Err(Fault::Static(
                "ERR too many failed logins from your address, try again later",
            ));
        }
        let attempt = Attempt {
            user,
            password,
            peer,
        };
        match hub.door.authenticate(attempt).await {
            Ok(login) => {
                hub.door.note_login(peer.ip(), true);
                note_attempt(Outcome::Ok);
                tracing::info!(target: "audit", user = &*login.user, %peer, "logged in");
                self.set_login(Some(login));
                Ok(())
            }
            Err(report) if report.code.as_str().starts_with(CLASS_AUTHORIZATION) => {
                hub.door.note_login(peer.ip(), false);
                note_attempt(Outcome::Error);
                let user = user.unwrap_or("default");
                tracing::info!(target: "audit", user, %peer, "login failed");
                tokio::time::sleep(hub.options.failed_login_delay).await;
                Err(WRONG_PASS)
            }
            Err(report) => Err(report.into()),
        }
    }

    /// HELLO [version [AUTH user password] [SETNAME name]]
    pub(super) async fn hello(&mut self, request: &Request, reply: &mut Reply) -> Result<()> {
        let mut is_resp3 = reply.is_resp3;
        let mut options = Cursor::new(request, 1);
        if let Some(version) = options.next() {
            is_resp3 = match parse_integer(version) {
                Some(2) => false,
                Some(3) => true,
                Some(_) => {
                    return Err(Fault::Static("NOPROTO unsupported protocol version"));
                }
                None => {
                    return Err(Fault::Static(
                        "ERR Protocol version is not an integer or out of range",
                    ));
                }
            };
        }
        let (mut credentials, mut name) = (None, None);
        while options.left() > 0 {
            if options.left() >= 3 && options.take("AUTH") {
                credentials = options.next().zip(options.next());
            } else if options.left() >= 2 && options.take("SETNAME") {
                name = options.next();
            } else {
                let option = String::from_utf8_lossy(request.arg(options.at())).into_owned();
                return Err(Fault::Text(format!(
                    "ERR Syntax error in HELLO option '{option}'"
                )));
            }
        }
        if let Some((user, password)) = credentials {
            self.log_in(Some(user), password).await?;
        }
        if !self.is_logged_in() {
            return Err(Fault::Static(
                "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
                 HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client \
                 and select the RESP protocol version at the same time",
            ));
        }
        if let Some(name) = name {
            self.set_name(name)?;
        }
        reply.is_resp3 = is_resp3;
        let protocol = if is_resp3 { 3 } else { 2 };
        self.client.protocol.store(protocol, Ordering::Relaxed);
        reply.map(7);
        for (name, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
            reply.bulk(name);
            reply.bulk(value);
        }
        reply.bulk("proto");
        reply.int(protocol.into());
        reply.bulk("id");
        reply.count(self.client.id);
        for (name, value) in [("mode", "standalone"), ("role", "master")] {
            reply.bulk(name);
            reply.bulk(value);
        }
        reply.bulk("modules");
        reply.array(0);
        Ok(())
    }

    /// SELECT number | name
    pub(super) async fn select(&mut self, request: &Request, reply: &mut Reply) -> Result<()> {
        let text = request.arg(1);
        let name = std::str::from_utf8(text).unwrap_or_default();
        let is_named = name.starts_with(|first: char| first.is_alphabetic() || first == '_');
        let database = if is_named {
            Database::Named(name)
        } else {
            let number = parse_integer(text).ok_or(crate::fault::NOT_AN_INTEGER)?;
            let number = u32::try_from(number)
                .ok()
                .filter(|number| *number < DATABASES)
                .ok_or(Fault::Static("ERR DB index is out of range"))?;
            Database::Number(number)
        };
        let login = self.login.as_ref().ok_or(NO_AUTH)?;
        let space = self.hub.door.space(login, database).await?;
        self.database = match database {
            Database::Number(number) => Some(number),
            Database::Named(_) => self.hub.door.database_of(&space),
        };
        self.named = match database {
            Database::Named(name) => Some(name.into()),
            Database::Number(_) => None,
        };
        let shown = self.database.unwrap_or(u32::MAX);
        self.client.database.store(shown, Ordering::Relaxed);
        self.space = Some(space);
        reply.ok();
        Ok(())
    }

    /// RESET: as if the client had just connected.
    pub(super) fn reset(&mut self, reply: &mut Reply) {
        self.end();
        self.multi = None;
        self.show_queue();
        self.database = Some(0);
        self.named = None;
        self.client.database.store(0, Ordering::Relaxed);
        self.client.protocol.store(2, Ordering::Relaxed);
        self.client.words.lock().name.clear();
        self.answers = super::Answers::On;
        reply.is_resp3 = false;
        let anonymous = self.hub.door.anonymous(self.client.peer);
        self.set_login(anonymous);
        reply.simple("RESET");
    }
}
