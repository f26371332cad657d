//! Opening, closing and watching an engine.

use std::sync::Arc;

use tessera_types::Report;

use crate::options::{EngineOptions, SessionOptions};
use crate::scram::Verifier;
use crate::session::{Session, SessionInfo};
use crate::users::Users;

/// An open database. Cheap to clone; [`Engine::close`] ends it for all clones.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    options: EngineOptions,
}

/// What the health endpoints tell.
#[derive(Clone, Debug)]
pub struct Health {
    /// Statements are answered.
    pub ready: bool,
    /// Why writes are refused, if they are: disk full, damaged store.
    pub read_only_reason: Option<String>,
    /// Sessions open now.
    pub sessions: usize,
    /// Transactions open now.
    pub transactions: usize,
    /// Data in memory that the next checkpoint moves, bytes.
    pub recent_bytes: u64,
}

impl Engine {
    /// Opens the data directory, making it at the first start.
    ///
    /// # Errors
    /// Another server uses the directory, its format is newer, or it cannot be read.
    pub async fn open(options: EngineOptions) -> Result<Engine, Report> {
        let _ = Engine { inner: Arc::new(Inner { options }) };
        todo!()
    }

    /// The password made for `admin` when this open was the first start and none was given.
    /// Answers once, so that it is printed once.
    pub fn take_generated_password(&self) -> Option<String> {
        todo!()
    }

    /// Ends all sessions, stops background work, writes a checkpoint, releases the directory.
    pub async fn close(&self) -> Result<(), Report> {
        todo!()
    }

    /// State for the health endpoints.
    pub fn health(&self) -> Health {
        let _ = &self.inner.options;
        todo!()
    }

    /// A session of the given user with default settings.
    pub async fn session(&self, user: &str) -> Result<Session, Report> {
        let options = SessionOptions {
            user: user.to_owned(),
            protocol: "embedded",
            ..SessionOptions::default()
        };
        self.connect(options).await
    }

    /// A session. The caller has checked the password (see [`Engine::verifier`]).
    ///
    /// # Errors
    /// 28000 for an unknown user, 3D000 for an unknown database, 53300 when all sessions are
    /// taken, 42704 and 22023 for wrong settings.
    pub async fn connect(&self, _options: SessionOptions) -> Result<Session, Report> {
        todo!()
    }

    /// What a password exchange checks against. An unknown user, or one that may not log in, gets
    /// a verifier that no password meets and that is the same every time.
    pub fn verifier(&self, _user: &str) -> Verifier {
        todo!()
    }

    /// Checks a plain password: true when the user exists, may log in, and it is right.
    /// Takes milliseconds of CPU time.
    pub fn check_password(&self, user: &str, password: &str) -> bool {
        self.verifier(user).check_password(password)
    }

    /// Whether the user exists and is an administrator.
    pub fn is_admin(&self, _user: &str) -> bool {
        todo!()
    }

    /// Users, for `tessera user`.
    pub fn users(&self) -> Users {
        Users::new(self.clone())
    }

    /// Asks the running statement of a session to stop. False when the key is wrong.
    pub fn cancel(&self, _process_id: i32, _secret: i32) -> bool {
        todo!()
    }

    /// The open sessions, as `pg_stat_activity` shows them.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        todo!()
    }
}
