//! What the Redis port gets from the engine: users, transactions, key spaces.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tessera_engine::models::{BeginOptions, database_name};
use tessera_engine::{ADMIN, Engine, Throttle};
use tessera_environment::{Clock, Environment};
use tessera_keyvalue::Space;
use tessera_redis::{Attempt, DATABASES, Database, Door, Login, ServerFacts};
use tessera_telemetry::metrics;
use tessera_transactions::{Isolation, Transaction, Transactions};
use tessera_types::{RelationId, Report, codes};

/// The name by which clients of Redis log in who give no name.
const DEFAULT_USER: &str = "default";
/// Failed logins of one address within a minute, after which more are refused unheard.
const FAILED_LOGINS_MAX: u32 = 10;

/// The engine as the Redis port sees it.
pub(crate) struct RedisDoor {
    engine: Engine,
    environment: Environment,
    /// Nobody needs a password: `auth = "trust"`.
    is_trusting: bool,
    started: Duration,
    logins: Throttle,
    /// Numbers of the databases that are open.
    numbers: Mutex<HashMap<RelationId, u32>>,
}

impl RedisDoor {
    pub(crate) fn new(engine: Engine, environment: Environment, is_trusting: bool) -> RedisDoor {
        RedisDoor {
            engine,
            is_trusting,
            started: environment.clock.monotonic(),
            environment,
            logins: Throttle::new(FAILED_LOGINS_MAX),
            numbers: Mutex::default(),
        }
    }
}

impl Door for RedisDoor {
    fn anonymous(&self, _: SocketAddr) -> Option<Login> {
        self.is_trusting.then(|| Login {
            user: Arc::from(ADMIN),
            session: None,
        })
    }

    fn authenticate<'a>(&'a self, attempt: Attempt<'a>) -> BoxFuture<'a, Result<Login, Report>> {
        let user = match attempt.user {
            None | Some(DEFAULT_USER) => ADMIN,
            Some(user) => user,
        };
        Box::pin(async move {
            let Ok(password) = std::str::from_utf8(attempt.password) else {
                return Err(Report::fatal(
                    codes::INVALID_PASSWORD,
                    format!("password authentication failed for user \"{user}\""),
                ));
            };
            self.engine.authenticate(user, password).await?;
            Ok(Login {
                user: Arc::from(user),
                session: None,
            })
        })
    }

    fn may_log_in(&self, peer: IpAddr) -> bool {
        self.logins.allows(peer, Instant::now())
    }

    fn note_login(&self, peer: IpAddr, is_success: bool) {
        if is_success {
            self.logins.succeeded(peer);
        } else {
            self.logins.failed(peer, Instant::now());
        }
    }

    fn transactions(&self) -> &Arc<Transactions> {
        self.engine.transaction_manager()
    }

    fn begin(&self, login: &Login, isolation: Option<Isolation>) -> Result<Transaction, Report> {
        let client = self.engine.client(&login.user)?;
        Ok(client.transaction(BeginOptions {
            isolation,
            ..BeginOptions::default()
        }))
    }

    fn join(&self, login: &Login, token: &str) -> Result<Transaction, Report> {
        let joined = self.engine.client(&login.user)?.join(token)?;
        Ok(joined.transaction().clone())
    }

    fn token(&self, login: &Login, txn: &Transaction) -> Result<String, Report> {
        Ok(self.engine.client(&login.user)?.token(txn))
    }

    fn explain(&self, login: &Login, txn: &Transaction, report: Report) -> Report {
        match self.engine.client(&login.user) {
            Ok(client) => client.explain(Some(txn), report),
            Err(_) => report,
        }
    }

    fn space<'a>(
        &'a self,
        login: &'a Login,
        database: Database<'a>,
    ) -> BoxFuture<'a, Result<Arc<Space>, Report>> {
        Box::pin(async move {
            let client = self.engine.client(&login.user)?;
            match database {
                Database::Number(number) => {
                    let space = client.open_space(&database_name(number)).await?;
                    let mut numbers = self.numbers.lock();
                    // A database that was dropped and made again has a new relation.
                    numbers.retain(|_, known| *known != number);
                    numbers.insert(space.relation(), number % DATABASES);
                    Ok(space)
                }
                Database::Named(name) => client.open_space(name).await,
            }
        })
    }

    fn is_there(&self, space: &Space) -> bool {
        self.engine.has_key_space(space)
    }

    fn database_of(&self, space: &Space) -> Option<u32> {
        self.numbers.lock().get(&space.relation()).copied()
    }

    fn database_of_relation(&self, relation: RelationId) -> Option<u32> {
        self.engine.database_number(relation)
    }

    fn clock(&self) -> &dyn Clock {
        &*self.environment.clock
    }

    fn facts(&self) -> ServerFacts {
        let now = self.environment.clock.monotonic();
        ServerFacts {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            memory_bytes: tessera_telemetry::resident_memory_bytes().unwrap_or(0),
            memory_bytes_max: tessera_telemetry::memory_limit_bytes().unwrap_or(0),
            uptime_seconds: now.saturating_sub(self.started).as_secs(),
            sessions_max: metrics().connections_max.value() as u64,
        }
    }
}
