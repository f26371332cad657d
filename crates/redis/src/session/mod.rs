//! What the server knows of one client, and how a command of it is run.
//!
//! - `lead`: commands on busy keys, run together.
//! - `login`: AUTH, HELLO, RESET, SELECT. `multi`: MULTI, EXEC, WATCH. `tx`: TX.BEGIN and its kin.
//! - `subscriptions`: SUBSCRIBE and its kin. `clients`: CLIENT. `server`: INFO, CONFIG, the rest.
//! - `measure`: what the server's metrics say of commands.

mod clients;
mod info;
mod lead;
mod login;
mod measure;
mod multi;
mod server;
mod subscriptions;
mod tx;

use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};

use futures::future::BoxFuture;
use smallvec::SmallVec;
use tessera_keyvalue::{KeyWaiter, Reader, Space, UnixMillis, Writer};
use tessera_telemetry::metrics;
use tessera_transactions::{Isolation, Transaction, TransactionError};
use tessera_types::{RelationId, Report, Version, codes};

use crate::commands::{self, Call, Reading, Writing};
use crate::door::{Database, Login};
use crate::fault::{Fault, Result};
use crate::group::Group;
use crate::hub::Hub;
use crate::hub::channels::Mailbox;
use crate::hub::clients::Client;
use crate::hub::notifications::Effects;
use crate::reply::Reply;
use crate::request::Request;
use crate::table::{Class, Command, ROWS, Row, Support};
use measure::Measured;
use multi::{Multi, Watched};
use subscriptions::Subscriptions;
pub(crate) use subscriptions::put_delivery;
use tx::Open;

/// How often a command that lost a conflict is run again by the server.
const RETRIES_MAX: usize = 5;

/// One client.
pub(crate) struct Session {
    pub(crate) hub: Arc<Hub>,
    pub(crate) client: Arc<Client>,
    login: Option<Login>,
    space: Option<Arc<Space>>,
    /// Its number; none for a space with a name.
    database: Option<u32>,
    /// Its name, if the client selected it by that.
    named: Option<Box<str>>,
    multi: Option<Multi>,
    watched: Vec<Watched>,
    open: Option<Open>,
    pub(crate) mailbox: Arc<Mailbox>,
    subscriptions: Subscriptions,
    pub(crate) answers: Answers,
}

/// CLIENT REPLY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    On,
    Off,
    /// The next command is not answered.
    SkipNext,
    /// This one is not.
    Skip,
}

/// What is left to do when a command has written its answer.
pub(crate) enum Flow {
    Done,
    /// The answer holds only when this is committed.
    Commit(Commit),
    /// The connection is to be closed.
    Close,
}

/// A commit under way.
pub(crate) struct Commit {
    pub(crate) work: BoxFuture<'static, std::result::Result<Version, TransactionError>>,
    /// What it writes, as [`key_hash`]; commands on other keys need not wait for it.
    pub(crate) keys: Hashes,
    /// Nothing may come before it is done.
    pub(crate) is_alone: bool,
}

pub(crate) type Hashes = SmallVec<[u64; 4]>;

/// Names a key within a connection.
pub(crate) fn key_hash(relation: RelationId, key: &[u8]) -> u64 {
    static HASHER: LazyLock<ahash::RandomState> = LazyLock::new(ahash::RandomState::new);
    HASHER.hash_one((relation.0, key))
}

/// What a statement is called in errors of others and in views.
fn statement_text(command: Command) -> Arc<str> {
    static TEXTS: LazyLock<Vec<Arc<str>>> = LazyLock::new(|| {
        ROWS.iter()
            .map(|row| row.name.to_uppercase().into())
            .collect()
    });
    Arc::clone(&TEXTS[command as usize])
}

impl Session {
    pub(crate) fn new(hub: Arc<Hub>, client: Arc<Client>) -> Session {
        let login = hub.door.anonymous(client.peer);
        let mailbox = Arc::new(Mailbox::new(hub.options.subscriber_bytes_max));
        let mut session = Session {
            hub,
            client,
            login: None,
            space: None,
            database: Some(0),
            named: None,
            multi: None,
            watched: Vec::new(),
            open: None,
            mailbox,
            subscriptions: Subscriptions::default(),
            answers: Answers::On,
        };
        session.set_login(login);
        session
    }

    pub(crate) fn is_logged_in(&self) -> bool {
        self.login.is_some()
    }

    /// Whether commands are queued now.
    pub(crate) fn is_queueing(&self) -> bool {
        self.multi.is_some()
    }

    /// Whether a transaction is open that commands belong to.
    pub(crate) fn is_in_transaction(&self) -> bool {
        self.open.is_some()
    }

    /// Whether the client listens to anything.
    pub(crate) fn is_subscribed(&self) -> bool {
        self.subscriptions.count() > 0
    }

    pub(crate) fn now(&self) -> UnixMillis {
        UnixMillis::now(self.hub.door.clock())
    }

    /// The key space that the client works in. It is open.
    pub(crate) fn relation(&self) -> Option<RelationId> {
        self.space.as_ref().map(|space| space.relation())
    }

    /// Opens the client's key space, if it is not open yet, or was dropped: databases with numbers
    /// are always there, so the client gets an empty one. A space with a name has to be selected
    /// again, which makes it anew.
    pub(crate) async fn open_space(&mut self) -> Result<()> {
        if let Some(space) = &self.space {
            if self.hub.door.is_there(space) {
                return Ok(());
            }
            if let Some(name) = &self.named {
                return Err(dropped(name));
            }
        }
        let login = self.login.as_ref().ok_or(login::NO_AUTH)?;
        let database = match &self.named {
            Some(name) => Database::Named(name),
            None => Database::Number(self.database.unwrap_or(0)),
        };
        self.space = Some(self.hub.door.space(login, database).await?);
        Ok(())
    }

    /// Runs a command whose arguments are right in number, and measures it.
    /// `is_enlisted` says that a blocking command is in the queues of its keys; `waits` is that of
    /// [`Session::write_alone`].
    pub(crate) async fn execute(
        &mut self,
        row: &'static Row,
        request: &Request,
        reply: &mut Reply,
        is_enlisted: bool,
        waits: bool,
    ) -> Result<Flow> {
        let measured = Measured::start(row);
        let outcome = self.run(row, request, reply, is_enlisted, waits).await;
        measured.note(row, outcome)
    }

    async fn run(
        &mut self,
        row: &'static Row,
        request: &Request,
        reply: &mut Reply,
        is_enlisted: bool,
        waits: bool,
    ) -> Result<Flow> {
        if self.is_logged_in() && row.class != Class::Local {
            self.open_space().await?;
        }
        match row.class {
            Class::Refused => Err(refused(row)),
            Class::Local => self.local(row, request, reply).await,
            Class::Read | Class::Write | Class::Block => {
                if let Some(open) = &self.open {
                    let txn = open.usable()?;
                    let outcome = self.statement(&txn, row, request, reply).await;
                    if let Err(fault) = &outcome {
                        self.note_failure(&txn, fault);
                    }
                    let outcome = outcome.map_err(|fault| self.explained(&txn, fault));
                    return outcome.map(|()| Flow::Done);
                }
                let only_reads =
                    row.class == Class::Read || (row.command == Command::Xread && !is_enlisted);
                if only_reads {
                    self.read_alone(row, request, reply).await?;
                    return Ok(Flow::Done);
                }
                self.write_alone(row, request, reply, waits).await
            }
        }
    }

    /// A blocking command as it is to be tried again and again: `$` of XREAD means what it means now.
    pub(crate) async fn prepare_wait(
        &mut self,
        row: &'static Row,
        request: Request,
    ) -> Result<Request> {
        self.open_space().await?;
        if row.command != Command::Xread || !commands::names_newest(&request) {
            return Ok(request);
        }
        let (_, space) = self.context()?;
        let view = self.hub.door.transactions().view();
        let reader = Reader::new(space, view, self.now());
        commands::with_newest(&request, &reader).await
    }

    /// Is told when one of the keys changes, by whomever.
    pub(crate) fn waiter(&self, keys: &[bytes::Bytes]) -> Option<KeyWaiter> {
        let space = self.space.as_ref()?;
        Some(KeyWaiter::new(space, keys))
    }

    /// What CLIENT LIST shows.
    pub(crate) fn note_command(&self, row: &Row) {
        let place = u16::try_from(row.command as usize + 1).unwrap_or(0);
        self.client.command.store(place, Ordering::Relaxed);
    }

    /// The client has been heard now.
    pub(crate) fn note_seen(&self) {
        let now = self.hub.door.clock().monotonic();
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.client.last_seen_ms.store(millis, Ordering::Relaxed);
    }

    fn context(&self) -> Result<(&Login, &Space)> {
        match (&self.login, &self.space) {
            (Some(login), Some(space)) => Ok((login, space)),
            _ => Err(login::NO_AUTH),
        }
    }

    /// Begins what commands of a pipeline may share; none where they must not.
    pub(crate) async fn begin_group(&mut self) -> Result<Option<Group>> {
        self.open_space().await?;
        let (login, _) = self.context()?;
        Ok(Group::new(self.hub.door.begin(login, None)?))
    }

    /// A command that writes, as a statement of a group's transaction.
    pub(crate) async fn execute_in(
        &self,
        txn: &Transaction,
        row: &'static Row,
        request: &Request,
        reply: &mut Reply,
    ) -> Result<()> {
        let measured = Measured::start(row);
        let outcome = self.statement(txn, row, request, reply).await;
        if !outcome.as_ref().is_err_and(Fault::is_lock_taken) {
            measured.end(outcome.is_ok());
        }
        outcome
    }

    /// The keys that a command names, as [`key_hash`].
    pub(crate) fn keys_of(&self, row: &Row, request: &Request) -> Hashes {
        let Some(relation) = self.relation() else {
            return Hashes::new();
        };
        let places = row.key_places(request).unwrap_or_default();
        places
            .iter()
            .map(|at| key_hash(relation, request.arg(*at)))
            .collect()
    }

    /// A command that reads, without a transaction.
    async fn read_alone(
        &self,
        row: &'static Row,
        request: &Request,
        reply: &mut Reply,
    ) -> Result<()> {
        let (_, space) = self.context()?;
        let now = self.now();
        let view = self.hub.door.transactions().view();
        let from = Reading {
            reader: Reader::new(space, view, now),
            space,
            txn: None,
            now,
        };
        let mut call = Call {
            request,
            row,
            reply,
        };
        commands::read(&mut call, &from).await
    }

    /// A command that writes, as a transaction of its own. Whether it waits for locks that are not
    /// free, or fails by [`Fault::is_lock_taken`].
    pub(crate) async fn write_alone(
        &self,
        row: &'static Row,
        request: &Request,
        reply: &mut Reply,
        waits: bool,
    ) -> Result<Flow> {
        let measured = Measured::start(row);
        let (login, _) = self.context()?;
        let start = reply.len();
        let mut retries = 0;
        loop {
            let txn = self.hub.door.begin(login, None)?;
            if !waits && txn.isolation() == Isolation::ReadCommitted {
                txn.set_never_waits(true);
            }
            match self.statement(&txn, row, request, reply).await {
                Ok(()) => {
                    let keys = self.keys_of(row, request);
                    let is_alone = keys.is_empty() || !row.has_known_keys();
                    return Ok(Flow::Commit(Commit {
                        work: Box::pin(async move {
                            let done = txn.commit().await;
                            measured.end(done.is_ok());
                            done
                        }),
                        keys,
                        is_alone,
                    }));
                }
                Err(fault) if fault.is_retryable() && retries < RETRIES_MAX => {
                    retries += 1;
                    metrics().statement_retries.increment();
                    reply.bytes.truncate(start);
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// One command as a statement of a transaction; undone if it fails.
    async fn statement(
        &self,
        txn: &Transaction,
        row: &'static Row,
        request: &Request,
        reply: &mut Reply,
    ) -> Result<()> {
        let (login, space) = self.context()?;
        if row.class == Class::Block {
            // A wrong time-out is an error also where nobody waits.
            commands::wait_of(row, request)?;
        }
        txn.set_statement_text(Some(statement_text(row.command)));
        let guard = txn.start_statement().await?;
        let now = self.now();
        let mut call = Call {
            request,
            row,
            reply,
        };
        if row.class == Class::Read {
            let from = Reading {
                reader: Reader::new(space, txn.view(), now),
                space,
                txn: Some(txn),
                now,
            };
            commands::read(&mut call, &from).await?;
        } else {
            let mut effects = Effects::new(&self.hub, space.relation(), self.database);
            let mut to = Writing {
                writer: Writer::new(space, txn, now),
                txn,
                space,
                now,
                effects: &mut effects,
                door: &*self.hub.door,
                login,
            };
            commands::write(&mut call, &mut to).await?;
            // What is written holds locks, and nobody drops the space while they are held. If it was
            // dropped before, the statement is undone.
            if !self.hub.door.is_there(space) {
                return Err(match (&self.named, self.database) {
                    (None, Some(number)) => dropped(&format!("db{number}")),
                    (name, _) => dropped(name.as_deref().unwrap_or_default()),
                });
            }
            effects.attach(txn);
        }
        guard.finish();
        txn.set_idle();
        Ok(())
    }

    /// Commands that concern the session or the server.
    async fn local(
        &mut self,
        row: &'static Row,
        request: &Request,
        reply: &mut Reply,
    ) -> Result<Flow> {
        match row.command {
            Command::Quit => {
                reply.ok();
                return Ok(Flow::Close);
            }
            Command::Auth => self.auth(request, reply).await?,
            Command::Hello => self.hello(request, reply).await?,
            Command::Select => self.select(request, reply).await?,
            Command::Reset => self.reset(reply),
            Command::Multi => self.begin_multi(reply)?,
            Command::Discard => self.discard(reply)?,
            Command::Exec => return self.exec(reply).await,
            Command::Watch => {
                self.open_space().await?;
                self.watch(request, reply)?;
            }
            Command::TxBegin => self.tx_begin(request, reply)?,
            Command::TxJoin => self.tx_join(request, reply)?,
            Command::TxToken => self.tx_token(reply)?,
            Command::TxCommit => return self.tx_commit(reply),
            Command::TxRollback => self.tx_rollback(reply)?,
            Command::Info => self.info(request, reply).await,
            _ => self.simple(row, request, reply, None)?,
        }
        Ok(Flow::Done)
    }

    /// The connection ends: what the client left open is given up.
    pub(crate) fn end(&mut self) {
        self.unsubscribe_all();
        self.watched.clear();
        if let Some(open) = self.open.take() {
            open.abandon();
        }
    }
}

impl Drop for Session {
    /// Also after a panic: nobody may listen or lock for a client that is gone.
    fn drop(&mut self) {
        self.end();
    }
}

/// The client's key space is no more.
fn dropped(name: &str) -> Fault {
    let report = Report::error(
        codes::UNDEFINED_TABLE,
        format!("key space \"{name}\" was dropped"),
    );
    Fault::Report(report)
}

/// Why a command is not done.
fn refused(row: &Row) -> Fault {
    let why = match row.support {
        Support::No(why) | Support::Partly(why) => why,
        Support::Yes => "not here",
    };
    let name = row.name.replace('|', " ").to_uppercase();
    match row.command {
        Command::Cluster | Command::Asking | Command::Readonly | Command::Readwrite => {
            Fault::Static("ERR This instance has cluster support disabled")
        }
        _ => Fault::Text(format!("ERR {name} is not supported: {why}")),
    }
}
