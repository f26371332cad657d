//! A server over a store in memory, and clients that speak raw RESP to it.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tessera_environment::{Clock, Environment, Simulation};
use tessera_keyvalue::{Space, SpaceOptions};
use tessera_locks::LockManager;
use tessera_redis::{Attempt, Database, Door, Login, Server, ServerFacts, ServerOptions};
use tessera_storage::{
    EmbeddedOptions, MemoryControl, MemoryOptions, Store, open_embedded, open_memory_with,
};
use tessera_transactions::{
    Isolation, Transaction, TransactionOptions, Transactions, TransactionsOptions,
};
use tessera_types::{RelationId, Report, codes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::wire::{encode, parse, words};

/// Longest wait for something that should happen at once.
pub(crate) const SOON: Duration = Duration::from_secs(30);
pub(crate) const PASSWORD: &str = "only for tests";
const START_MICROS: i64 = 1_800_000_000_000_000;
const FIRST_RELATION: u32 = 20_000;
const NAMED_RELATION: u32 = 20_100;
/// A space that is made again after it was dropped has a relation that is so much higher.
const NEXT_LIFE: u32 = 1_000;
/// Failed logins of an address, after which more are refused.
pub(crate) const FAILED_LOGINS_MAX: u32 = 5;

/// What the engine will be, over a store in memory.
pub(crate) struct TestDoor {
    environment: Environment,
    transactions: Arc<Transactions>,
    spaces: Mutex<HashMap<u32, Arc<Space>>>,
    dropped: parking_lot::Mutex<HashSet<RelationId>>,
    failures: parking_lot::Mutex<HashMap<IpAddr, u32>>,
    needs_login: bool,
}

fn login(user: &str) -> Login {
    Login {
        user: user.into(),
        session: None,
    }
}

impl TestDoor {
    async fn open(&self, relation: u32) -> Arc<Space> {
        let mut spaces = self.spaces.lock().await;
        if let Some(space) = spaces.get(&relation) {
            return Arc::clone(space);
        }
        let mut relation_id = RelationId(relation);
        while self.dropped.lock().contains(&relation_id) {
            relation_id.0 += NEXT_LIFE;
        }
        let space = Space::open(&self.transactions, relation_id, SpaceOptions::default())
            .await
            .unwrap();
        spaces.insert(relation, Arc::clone(&space));
        space
    }

    /// As DROP does it: under a lock that waits for everybody who writes there.
    pub(crate) async fn drop_space(&self, relation: u32) {
        let Some(space) = self.spaces.lock().await.remove(&relation) else {
            return;
        };
        let txn = self.transactions.begin(TransactionOptions::default());
        let options = txn.lock_options();
        let resource = tessera_locks::Resource::Relation(space.relation());
        let mode = tessera_locks::Mode::X;
        txn.lock(resource, mode, &options).await.unwrap();
        self.dropped.lock().insert(space.relation());
        txn.rollback();
    }

    pub(crate) async fn drop_database(&self, number: u32) {
        self.drop_space(FIRST_RELATION + number).await;
    }

    /// The space that is called carts.
    pub(crate) async fn drop_named(&self) {
        self.drop_space(NAMED_RELATION).await;
    }

    /// Database 0.
    pub(crate) async fn first_space(&self) -> Arc<Space> {
        self.open(FIRST_RELATION).await
    }
}

impl Door for TestDoor {
    fn anonymous(&self, _: SocketAddr) -> Option<Login> {
        (!self.needs_login).then(|| login("default"))
    }

    fn authenticate<'a>(&'a self, attempt: Attempt<'a>) -> BoxFuture<'a, Result<Login, Report>> {
        Box::pin(async move {
            let user = attempt.user.unwrap_or("default");
            if attempt.password == PASSWORD.as_bytes() && matches!(user, "default" | "ada") {
                return Ok(login(user));
            }
            Err(Report::error(codes::INVALID_PASSWORD, "no"))
        })
    }

    fn may_log_in(&self, peer: IpAddr) -> bool {
        self.failures.lock().get(&peer).copied().unwrap_or(0) < FAILED_LOGINS_MAX
    }

    fn note_login(&self, peer: IpAddr, is_success: bool) {
        let mut failures = self.failures.lock();
        if is_success {
            failures.remove(&peer);
        } else {
            *failures.entry(peer).or_default() += 1;
        }
    }

    fn transactions(&self) -> &Arc<Transactions> {
        &self.transactions
    }

    fn begin(&self, _: &Login, isolation: Option<Isolation>) -> Result<Transaction, Report> {
        Ok(self.transactions.begin(TransactionOptions {
            isolation: isolation.unwrap_or_default(),
            ..TransactionOptions::default()
        }))
    }

    fn token(&self, _: &Login, txn: &Transaction) -> Result<String, Report> {
        Ok(txn.token())
    }

    fn join(&self, _: &Login, token: &str) -> Result<Transaction, Report> {
        let code = codes::NO_ACTIVE_SQL_TRANSACTION;
        self.transactions
            .join(token)
            .ok_or_else(|| Report::error(code, "no transaction has this token"))
    }

    fn space<'a>(
        &'a self,
        _: &'a Login,
        database: Database<'a>,
    ) -> BoxFuture<'a, Result<Arc<Space>, Report>> {
        Box::pin(async move {
            match database {
                Database::Number(number) => Ok(self.open(FIRST_RELATION + number).await),
                Database::Named("carts") => Ok(self.open(NAMED_RELATION).await),
                Database::Named(name) => Err(Report::error(
                    codes::UNDEFINED_TABLE,
                    format!("key space \"{name}\" does not exist"),
                )),
            }
        })
    }

    fn database_of(&self, space: &Space) -> Option<u32> {
        let number = space.relation().0.checked_sub(FIRST_RELATION)? % NEXT_LIFE;
        (number < 16).then_some(number)
    }

    fn database_of_relation(&self, relation: RelationId) -> Option<u32> {
        let number = relation.0.checked_sub(FIRST_RELATION)?;
        (number < 16).then_some(number)
    }

    fn is_there(&self, space: &Space) -> bool {
        !self.dropped.lock().contains(&space.relation())
    }

    fn clock(&self) -> &dyn Clock {
        &*self.environment.clock
    }

    fn facts(&self) -> ServerFacts {
        ServerFacts {
            version: "0.1.0".to_owned(),
            sessions_max: 100,
            ..ServerFacts::default()
        }
    }
}

pub(crate) struct TestServer {
    pub(crate) door: Arc<TestDoor>,
    pub(crate) simulation: Simulation,
    /// Breaks the store, where it is the model.
    pub(crate) memory: Option<MemoryControl>,
    server: Server,
}

impl TestServer {
    pub(crate) async fn start() -> TestServer {
        TestServer::with(false, |_| {}).await
    }

    /// A server that asks for passwords.
    pub(crate) async fn guarded(change: impl FnOnce(&mut ServerOptions)) -> TestServer {
        TestServer::with(true, change).await
    }

    pub(crate) async fn with(
        needs_login: bool,
        change: impl FnOnce(&mut ServerOptions),
    ) -> TestServer {
        let world = Environment::simulated(1);
        let (store, control) = open_memory_with(MemoryOptions::default());
        TestServer::over(world, store, Some(control), needs_login, change).await
    }

    /// A server over the engine for data that matters, on a disk in memory.
    pub(crate) async fn embedded() -> TestServer {
        let world = Environment::simulated(1);
        let options = EmbeddedOptions::simulated();
        let store = open_embedded(&world.0, Path::new("/data"), options).unwrap();
        TestServer::over(world, store, None, false, |_| {}).await
    }

    async fn over(
        (environment, simulation): (Environment, Simulation),
        store: Arc<dyn Store>,
        memory: Option<MemoryControl>,
        needs_login: bool,
        change: impl FnOnce(&mut ServerOptions),
    ) -> TestServer {
        simulation.set_unix_micros(START_MICROS);
        let transactions = Transactions::new(
            store,
            Arc::new(LockManager::default()),
            environment.clone(),
            TransactionsOptions::default(),
        );
        let door = Arc::new(TestDoor {
            environment,
            transactions,
            spaces: Mutex::default(),
            dropped: parking_lot::Mutex::default(),
            failures: parking_lot::Mutex::default(),
            needs_login,
        });
        let mut options = ServerOptions::on(([127, 0, 0, 1], 0).into());
        options.failed_login_delay = Duration::from_millis(1);
        change(&mut options);
        let server = Server::start(Arc::clone(&door) as Arc<dyn Door>, options);
        TestServer {
            door,
            simulation,
            memory,
            server: server.await.unwrap(),
        }
    }

    pub(crate) async fn client(&self) -> Client {
        let socket = TcpStream::connect(self.server.address()).await.unwrap();
        Client {
            socket,
            input: Vec::new(),
        }
    }

    /// Waits until so many clients are blocked.
    pub(crate) async fn until_blocked(&self, count: usize) {
        self.until(&format!("blocked_clients:{count}\\r\\n")).await;
    }

    /// Waits until INFO says so.
    pub(crate) async fn until(&self, line: &str) {
        let mut observer = self.client().await;
        let waiting = async {
            while !observer.run("info").await.contains(line) {
                tokio::task::yield_now().await;
            }
        };
        let is_over = tokio::time::timeout(SOON, waiting).await;
        is_over.unwrap_or_else(|_| panic!("INFO never says {line}"));
    }

    /// Commits of the store so far.
    pub(crate) fn commits(&self) -> u64 {
        self.door.transactions.store().statistics().commits_total
    }

    pub(crate) async fn stop(self) {
        self.server.stop(SOON).await;
    }
}

/// A connection that speaks raw RESP.
pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    input: Vec<u8>,
}

impl Client {
    /// Sends bytes as they are.
    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    /// Sends a command, in words as on a command line.
    pub(crate) async fn send(&mut self, line: &str) {
        self.raw(&encode(&words(line))).await;
    }

    /// Sends a command and waits for its answer, in the notation of redis-cli.
    pub(crate) async fn run(&mut self, line: &str) -> String {
        self.send(line).await;
        self.answer().await
    }

    pub(crate) async fn check(&mut self, line: &str, expected: &str) {
        let answer = self.run(line).await;
        assert_eq!(answer, expected, "{line}");
    }

    /// The next answer.
    pub(crate) async fn answer(&mut self) -> String {
        self.maybe_answer().await.expect("the connection is open")
    }

    /// The next answer; none if the server has closed the connection.
    pub(crate) async fn maybe_answer(&mut self) -> Option<String> {
        loop {
            if let Some((value, used)) = parse(&self.input) {
                self.input.drain(..used);
                return Some(value.shown());
            }
            let reading = self.socket.read_buf(&mut self.input);
            let read = tokio::time::timeout(SOON, reading);
            if !matches!(read.await.expect("an answer comes soon"), Ok(1..)) {
                return None;
            }
        }
    }

    /// Nothing more comes, and the connection is closed.
    pub(crate) async fn expect_closed(&mut self) {
        assert_eq!(self.maybe_answer().await, None);
    }
}
