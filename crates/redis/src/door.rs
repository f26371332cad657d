//! What the port needs from below: users, transactions, key spaces.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures::future::BoxFuture;
use tessera_environment::Clock;
use tessera_keyvalue::Space;
use tessera_transactions::{Isolation, Transaction, Transactions};
use tessera_types::{RelationId, Report};

/// Databases that have numbers, as Redis has by default.
pub const DATABASES: u32 = 16;

/// A key space as a client names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database<'a> {
    /// `SELECT 0` to `SELECT 15`.
    Number(u32),
    /// `SELECT carts`: a named space.
    Named(&'a str),
}

/// Who is logged in.
#[derive(Clone)]
pub struct Login {
    /// The user's name.
    pub user: Arc<str>,
    /// Whatever belongs to the session and ends with it, such as its place among the sessions.
    pub session: Option<Arc<dyn std::any::Any + Send + Sync>>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Login({})", self.user)
    }
}

/// A try to log in.
pub struct Attempt<'a> {
    /// The user; none for `AUTH password`, which means the default user.
    pub user: Option<&'a str>,
    /// The password, any bytes. Not to be logged.
    pub password: &'a [u8],
    /// Who tries.
    pub peer: SocketAddr,
}

/// Facts for INFO.
#[derive(Debug, Clone, Default)]
pub struct ServerFacts {
    /// Version of the server.
    pub version: String,
    /// Bytes of memory in use.
    pub memory_bytes: u64,
    /// Bytes of memory that may be used; 0 if not known.
    pub memory_bytes_max: u64,
    /// Time since the start, in seconds.
    pub uptime_seconds: u64,
    /// Most sessions at one time.
    pub sessions_max: u64,
}

/// What the engine gives to the port.
pub trait Door: Send + Sync + 'static {
    /// The user of a client that has not logged in; none if it has to. Also asked for the address
    /// that the port listens on: with such a user it must be a loopback address.
    fn anonymous(&self, peer: SocketAddr) -> Option<Login>;

    /// Checks a password. Takes as long for unknown users as for wrong passwords; those are the
    /// errors of SQLSTATE class 28, which the client sees as WRONGPASS. Other errors are shown.
    fn authenticate<'a>(&'a self, attempt: Attempt<'a>) -> BoxFuture<'a, Result<Login, Report>>;

    /// Whether a login from the address may be tried; false after too many failures, until some time
    /// has gone by.
    fn may_log_in(&self, peer: IpAddr) -> bool;

    /// A login from the address succeeded or failed.
    fn note_login(&self, peer: IpAddr, is_success: bool);

    /// The transactions that all spaces are written in.
    fn transactions(&self) -> &Arc<Transactions>;

    /// Begins a transaction of a user. `isolation` is the user's default if not given; durability,
    /// lock time-out and origin are the user's settings. Called once per command that writes.
    fn begin(&self, login: &Login, isolation: Option<Isolation>) -> Result<Transaction, Report>;

    /// The active transaction of a token, if the user may join it.
    fn join(&self, login: &Login, token: &str) -> Result<Transaction, Report>;

    /// The token by which sessions of every protocol join a transaction of the user.
    fn token(&self, login: &Login, txn: &Transaction) -> Result<String, Report>;

    /// Puts the names of relations and keys into the report of a conflict.
    fn explain(&self, _login: &Login, _txn: &Transaction, report: Report) -> Report {
        report
    }

    /// Opens a key space for a user, or says why not.
    fn space<'a>(
        &'a self,
        login: &'a Login,
        database: Database<'a>,
    ) -> BoxFuture<'a, Result<Arc<Space>, Report>>;

    /// Whether the key space is there still: it may have been dropped since it was opened. While a
    /// transaction holds a lock in it, the answer does not change. Asked once or twice per command.
    fn is_there(&self, space: &Space) -> bool;

    /// The number of a space that is open already: the database of a notification.
    fn database_of(&self, space: &Space) -> Option<u32>;

    /// The number of the database that is stored under a relation, opened or not: of changes that
    /// came through other doors. None for named spaces, and for what is no key space.
    fn database_of_relation(&self, relation: RelationId) -> Option<u32>;

    /// The wall clock that decides what has expired.
    fn clock(&self) -> &dyn Clock;

    /// Facts for INFO.
    fn facts(&self) -> ServerFacts;
}
