//! MULTI, EXEC, DISCARD, WATCH: queued commands as one transaction.
//!
//! EXEC locks the keys of all its commands, in one order for everybody, then takes its snapshot: so
//! it is one step among those on the same keys, and does not lose conflicts. A command that fails
//! undoes all of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tessera_keyvalue::stored_key;
use tessera_locks::Mode;
use tessera_storage::{Key, KeySpace, Snapshot};
use tessera_telemetry::metrics;
use tessera_transactions::{Isolation, Transaction};
use tessera_types::RelationId;

use super::measure::Measured;
use super::{Commit, Flow, Hashes, RETRIES_MAX, Result, Session};
use crate::fault::Fault;
use crate::hub::notifications::Effects;
use crate::locking;
use crate::reply::Reply;
use crate::request::Request;
use crate::table::{Class, Command, Row};

/// Commands of one MULTI.
const COMMANDS_MAX: usize = 100_000;
/// Bytes of the commands of one MULTI.
const QUEUE_BYTES_MAX: usize = 256 << 20;
/// Keys that one client watches.
const WATCHED_MAX: usize = 10_000;
/// The savepoint of an EXEC within an open transaction.
const SAVEPOINT: &str = "redis exec";

/// Queued commands.
#[derive(Default)]
pub(super) struct Multi {
    queue: Vec<(&'static Row, Request)>,
    bytes: usize,
    /// A command could not be queued.
    is_broken: bool,
}

/// A key that must not change before EXEC.
pub(super) struct Watched {
    relation: RelationId,
    key: Key,
    /// What it is compared with; held, for what no snapshot can see is forgotten.
    snapshot: Arc<dyn Snapshot>,
}

impl Session {
    /// What CLIENT LIST shows.
    pub(super) fn show_queue(&self) {
        let queued = self.multi.as_ref().map_or(0, |multi| multi.queue.len() + 1);
        self.client.queued.store(queued, Ordering::Relaxed);
        let watched = self.watched.len();
        self.client.watched.store(watched, Ordering::Relaxed);
    }

    pub(super) fn begin_multi(&mut self, reply: &mut Reply) -> Result<()> {
        if self.multi.is_some() {
            return Err(Fault::Static("ERR MULTI calls can not be nested"));
        }
        self.multi = Some(Multi::default());
        self.show_queue();
        reply.ok();
        Ok(())
    }

    /// Keeps a command for EXEC.
    pub(crate) fn queue(
        &mut self,
        row: &'static Row,
        request: &Request,
        reply: &mut Reply,
    ) -> Result<()> {
        let Some(multi) = &mut self.multi else {
            return Ok(());
        };
        let bytes = multi.bytes.saturating_add(request.bytes_len());
        if multi.queue.len() >= COMMANDS_MAX || bytes > QUEUE_BYTES_MAX {
            return Err(Fault::Text(format!(
                "ERR too many queued commands (at most {COMMANDS_MAX} of {QUEUE_BYTES_MAX} bytes)"
            )));
        }
        multi.bytes = bytes;
        multi.queue.push((row, request.detached()));
        self.show_queue();
        reply.simple("QUEUED");
        Ok(())
    }

    /// A command could not be queued: EXEC will refuse.
    pub(crate) fn break_queue(&mut self) {
        if let Some(multi) = &mut self.multi {
            multi.is_broken = true;
            multi.queue = Vec::new();
        }
    }

    pub(super) fn discard(&mut self, reply: &mut Reply) -> Result<()> {
        if self.multi.take().is_none() {
            return Err(Fault::Static("ERR DISCARD without MULTI"));
        }
        self.watched.clear();
        self.show_queue();
        reply.ok();
        Ok(())
    }

    /// WATCH key ...
    pub(super) fn watch(&mut self, request: &Request, reply: &mut Reply) -> Result<()> {
        if self.multi.is_some() {
            return Err(Fault::Static("ERR WATCH inside MULTI is not allowed"));
        }
        let (_, space) = self.context()?;
        let relation = space.relation();
        if self.watched.len() + request.len() - 1 > WATCHED_MAX {
            return Err(Fault::Text(format!(
                "ERR too many watched keys (at most {WATCHED_MAX})"
            )));
        }
        let snapshot = self.hub.door.transactions().store().snapshot();
        for at in 1..request.len() {
            let key = stored_key(relation, request.arg(at));
            let is_known = |watched: &Watched| watched.relation == relation && watched.key == key;
            // Watched twice, it counts from the first time.
            if !self.watched.iter().any(is_known) {
                self.watched.push(Watched {
                    relation,
                    key,
                    snapshot: Arc::clone(&snapshot),
                });
            }
        }
        self.show_queue();
        reply.ok();
        Ok(())
    }

    pub(super) fn unwatch(&mut self, reply: &mut Reply) {
        self.watched.clear();
        self.show_queue();
        reply.ok();
    }

    pub(super) async fn exec(&mut self, reply: &mut Reply) -> Result<Flow> {
        let Some(multi) = self.multi.take() else {
            return Err(Fault::Static("ERR EXEC without MULTI"));
        };
        let watched = std::mem::take(&mut self.watched);
        self.show_queue();
        if multi.is_broken {
            return Err(Fault::Static(
                "EXECABORT Transaction discarded because of previous errors.",
            ));
        }
        self.open_space().await?;
        if let Some(open) = &self.open {
            let txn = open.usable()?;
            return self.exec_within(&txn, &multi, &watched, reply).await;
        }
        let start = reply.len();
        let (database, space) = (self.database, self.space.clone());
        let named = self.named.clone();
        let mut retries = 0;
        loop {
            let outcome = self.try_exec(&multi, &watched, reply).await;
            let Err(fault) = outcome else {
                return outcome;
            };
            // A SELECT in it did not happen.
            self.database = database;
            self.named.clone_from(&named);
            self.space.clone_from(&space);
            reply.bytes.truncate(start);
            if !fault.is_retryable() || retries >= RETRIES_MAX {
                return Err(fault);
            }
            retries += 1;
            metrics().statement_retries.increment();
        }
    }

    async fn try_exec(
        &mut self,
        multi: &Multi,
        watched: &[Watched],
        reply: &mut Reply,
    ) -> Result<Flow> {
        let (login, space) = self.context()?;
        let relation = space.relation();
        let isolation = Some(Isolation::RepeatableRead);
        let txn = self.hub.door.begin(login, isolation)?;
        txn.set_statement_text(Some(super::statement_text(Command::Exec)));
        self.lock_keys(&txn, relation, multi, watched).await?;
        if self.has_changed(watched).await? {
            txn.rollback();
            reply.null_array();
            return Ok(Flow::Done);
        }
        self.run_queue(&txn, multi, reply).await?;
        Ok(Flow::Commit(Commit {
            work: Box::pin(async move { txn.commit().await }),
            keys: Hashes::new(),
            is_alone: true,
        }))
    }

    /// The commands as a part of an open transaction, which goes on whatever becomes of them.
    async fn exec_within(
        &mut self,
        txn: &Transaction,
        multi: &Multi,
        watched: &[Watched],
        reply: &mut Reply,
    ) -> Result<Flow> {
        if self.has_changed(watched).await? {
            reply.null_array();
            return Ok(Flow::Done);
        }
        txn.savepoint_in_turn(SAVEPOINT).await?;
        let outcome = self.run_queue(txn, multi, reply).await;
        if let Err(fault) = outcome {
            txn.rollback_to_in_turn(SAVEPOINT).await?;
            self.note_failure(txn, &fault);
            return Err(fault);
        }
        txn.release(SAVEPOINT)?;
        Ok(Flow::Done)
    }

    async fn run_queue(
        &mut self,
        txn: &Transaction,
        multi: &Multi,
        reply: &mut Reply,
    ) -> Result<()> {
        reply.array(multi.queue.len());
        for (at, (row, request)) in multi.queue.iter().enumerate() {
            let measured = Measured::start(row);
            let outcome = self.step(txn, row, request, reply).await;
            measured.end(outcome.is_ok());
            match outcome {
                Ok(()) => {}
                Err(Fault::WouldBlock) => reply.null_array(),
                Err(fault) if fault.is_retryable() => return Err(fault),
                Err(fault) => {
                    return Err(Fault::Text(format!(
                        "EXECABORT Transaction rolled back because command {} ('{}') failed: {}",
                        at + 1,
                        row.name,
                        fault.text(row)
                    )));
                }
            }
        }
        Ok(())
    }

    /// One queued command.
    async fn step(
        &mut self,
        txn: &Transaction,
        row: &'static Row,
        request: &Request,
        reply: &mut Reply,
    ) -> Result<()> {
        match row.class {
            Class::Refused => Err(super::refused(row)),
            Class::Read | Class::Write | Class::Block => {
                let start = reply.len();
                let outcome = self.statement(txn, row, request, reply).await;
                if matches!(outcome, Err(Fault::WouldBlock)) {
                    reply.bytes.truncate(start);
                }
                outcome
            }
            Class::Local if row.command == Command::Select => self.select(request, reply).await,
            Class::Local if row.command == Command::Info => {
                self.info(request, reply).await;
                Ok(())
            }
            Class::Local => self.simple(row, request, reply, Some(txn)),
        }
    }

    /// Locks what the commands write (X), and what they read or the client watches (S), as far as
    /// their arguments tell. Only in the space that the client is in when it begins.
    async fn lock_keys(
        &self,
        txn: &Transaction,
        relation: RelationId,
        multi: &Multi,
        watched: &[Watched],
    ) -> Result<()> {
        let mut keys: Vec<(Key, Mode)> = Vec::new();
        for (row, request) in &multi.queue {
            if row.command == Command::Select {
                break;
            }
            let mode = if row.writes() { Mode::X } else { Mode::S };
            let is_of_space = matches!(row.class, Class::Read | Class::Write | Class::Block);
            for at in row.key_places(request).unwrap_or_default() {
                if is_of_space {
                    keys.push((stored_key(relation, request.arg(at)), mode));
                }
            }
        }
        let mut others = Vec::new();
        for key in watched {
            if key.relation == relation {
                keys.push((key.key.clone(), Mode::S));
            } else {
                others.push((key.relation, key.key.clone()));
            }
        }
        locking::lock(txn, relation, keys).await?;
        others.sort_by_key(|(relation, _)| relation.0);
        for (relation, key) in others {
            locking::lock(txn, relation, vec![(key, Mode::S)]).await?;
        }
        Ok(())
    }

    /// Whether a watched key was changed since it is watched.
    async fn has_changed(&self, watched: &[Watched]) -> Result<bool> {
        let store = self.hub.door.transactions().store();
        for key in watched {
            let since = key.snapshot.version();
            let changed = store.changed_since(KeySpace::Rows, &key.key, since).await;
            let changed = changed.map_err(tessera_transactions::TransactionError::from)?;
            if changed.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// PUBLISH: at once, or with the transaction's commit.
    pub(super) fn publish(
        &self,
        kind: crate::hub::channels::Kind,
        channel: Bytes,
        payload: Bytes,
        txn: Option<&Transaction>,
    ) -> u64 {
        let Some(txn) = txn else {
            let message = crate::hub::channels::Message {
                channel,
                payload,
                version: tessera_types::Version(0),
            };
            return self.hub.channels.publish(kind, message);
        };
        let listeners = self.hub.channels.listeners(kind, &channel);
        let relation = self.relation().unwrap_or(RelationId(0));
        let mut effects = Effects::new(&self.hub, relation, self.database);
        effects.publish(kind, channel, payload);
        effects.attach(txn);
        listeners
    }
}
