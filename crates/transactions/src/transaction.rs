//! The handle of one transaction: statements, savepoints, hooks, joining.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use ahash::RandomState;
use hashbrown::HashSet;
use parking_lot::{Mutex, RwLock};
use tessera_locks::{LockOptions, Mark, Owner, Wait};
use tessera_storage::{Notice, Snapshot};
use tessera_types::{TxnId, Version};
use tokio::sync::Semaphore;

use crate::buffer::{Command, WriteBuffer};
use crate::error::TransactionError;
use crate::manager::{ActiveTransaction, Transactions};
use crate::options::{Isolation, TransactionOptions};
use crate::reads::{ReadTracker, ViewReads};
use crate::view::{OwnWrites, TxnView};

/// Messages that one transaction may send.
pub const NOTICES_MAX: usize = 100_000;
/// Bytes of those messages.
pub const NOTICE_BYTES_MAX: usize = 16 << 20;

/// Where a transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// May be used.
    Active,
    /// Its commit is under way.
    Committing,
    /// Committed; the version of its writes, or the newest one if it had none.
    Committed(Version),
    /// Rolled back, by the caller or by an error at commit.
    RolledBack,
    /// Its commit was sent and nobody knows what became of it.
    Unknown,
}

/// Runs once the commit is durable and before others can see it. Must be short and not fail.
type PublishHook = Box<dyn FnOnce(Version) + Send>;
/// Runs when what registered it is undone.
type RollbackHook = Box<dyn FnOnce() + Send>;

/// A transaction. Clones are handles of the same one; when the last handle is dropped, it is
/// rolled back.
#[derive(Clone)]
pub struct Transaction {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) manager: Arc<Transactions>,
    pub(crate) id: TxnId,
    pub(crate) options: TransactionOptions,
    pub(crate) owner: Owner,
    /// One permit: statements of one transaction run one at a time.
    pub(crate) turn: Semaphore,
    pub(crate) state: Mutex<State>,
    /// Shared with views. Lock order: `state` before `buffer`.
    pub(crate) buffer: Arc<RwLock<WriteBuffer>>,
    /// Only in serializable transactions that may write.
    pub(crate) reads: Option<Arc<ReadTracker>>,
    token: OnceLock<String>,
    statement: Mutex<Option<Arc<str>>>,
    attachment: Mutex<Option<Arc<dyn Any + Send + Sync>>>,
    /// Milliseconds; 0 for none.
    lock_timeout_ms: AtomicU64,
    /// Locks that are not free are not waited for.
    never_waits: AtomicBool,
    started_at: i64,
}

pub(crate) struct State {
    pub(crate) status: Status,
    pub(crate) is_failed: bool,
    pub(crate) snapshot: Option<Arc<dyn Snapshot>>,
    /// Command of the statement that runs now, or ran last.
    pub(crate) command: Command,
    pub(crate) in_statement: bool,
    /// The statement that wrote last, and its command.
    writer: (Command, Option<Arc<str>>),
    savepoints: Vec<Savepoint>,
    on_publish: Vec<(Command, PublishHook)>,
    on_rollback: Vec<(Command, RollbackHook)>,
    /// Messages to be told when it is committed.
    notices: Vec<(Command, Notice)>,
    notice_bytes: usize,
}

struct Savepoint {
    name: String,
    /// Writes of this command and later ones come after the savepoint.
    command: Command,
    locks: Mark,
}

impl Inner {
    pub(crate) fn new(
        manager: Arc<Transactions>,
        owner: Owner,
        options: TransactionOptions,
    ) -> Self {
        let started_at = manager.environment.clock.unix_micros();
        if options.isolation.keeps_snapshot() {
            manager.writers.enter();
        }
        // Whoever only reads sees one state, that of its snapshot, and needs no validation.
        let validates = options.isolation == Isolation::Serializable && !options.read_only;
        let reads = validates.then(|| Arc::new(ReadTracker::new(manager.reads_max())));
        Inner {
            manager,
            id: owner.txn(),
            options,
            owner,
            turn: Semaphore::new(1),
            state: Mutex::new(State {
                status: Status::Active,
                is_failed: false,
                snapshot: None,
                command: 1,
                in_statement: false,
                writer: (0, None),
                savepoints: Vec::new(),
                on_publish: Vec::new(),
                on_rollback: Vec::new(),
                notices: Vec::new(),
                notice_bytes: 0,
            }),
            buffer: Arc::default(),
            reads,
            token: OnceLock::new(),
            statement: Mutex::new(None),
            attachment: Mutex::new(None),
            lock_timeout_ms: AtomicU64::new(0),
            never_waits: AtomicBool::new(false),
            started_at,
        }
    }

    pub(crate) fn describe(&self) -> ActiveTransaction {
        let state = self.state.lock();
        ActiveTransaction {
            id: self.id,
            isolation: self.options.isolation,
            read_only: self.options.read_only,
            started_at: self.started_at,
            snapshot: state.snapshot.as_ref().map(|snapshot| snapshot.version()),
            statement: self.statement.lock().clone(),
            locks: self.owner.held_count(),
            write_bytes: self.buffer.read().bytes(),
            reads: self.reads.as_ref().map_or(0, |reads| reads.len()),
            savepoints: state.savepoints.len(),
            is_failed: state.is_failed,
        }
    }

    /// What runs now.
    pub(crate) fn statement(&self) -> Option<Arc<str>> {
        self.statement.lock().clone()
    }

    /// Ends a transaction that is not committed: hooks, writes, locks.
    pub(crate) fn abandon(&self) {
        let hooks = {
            let mut state = self.state.lock();
            if state.status != Status::Active {
                return;
            }
            state.end(Status::RolledBack)
        };
        self.buffer.write().clear();
        for (_, hook) in hooks.into_iter().rev() {
            hook();
        }
        self.release();
    }

    /// Gives back what an ended transaction holds.
    pub(crate) fn release(&self) {
        *self.attachment.lock() = None;
        if let Some(reads) = &self.reads {
            reads.close();
        }
        if self.options.isolation.keeps_snapshot() {
            self.manager.writers.leave();
        }
        self.manager.locks.release_all(&self.owner);
        self.manager.forget(self.id, self.token.get());
    }

    fn undo(&self, from: Command) {
        let hooks = {
            let mut state = self.state.lock();
            if state.status != Status::Active {
                return;
            }
            while state
                .savepoints
                .pop_if(|savepoint| savepoint.command > from)
                .is_some()
            {}
            while state
                .on_publish
                .pop_if(|(command, _)| *command >= from)
                .is_some()
            {}
            while let Some((_, gone)) = state.notices.pop_if(|(command, _)| *command >= from) {
                state.notice_bytes -= gone.bytes();
            }
            let kept = state
                .on_rollback
                .partition_point(|(command, _)| *command < from);
            state.on_rollback.split_off(kept)
        };
        self.buffer.write().roll_back_to(from);
        for (_, hook) in hooks.into_iter().rev() {
            hook();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.abandon();
    }
}

impl State {
    /// Sets the final status and takes the rollback hooks out.
    pub(crate) fn end(&mut self, status: Status) -> Vec<(Command, RollbackHook)> {
        self.status = status;
        self.snapshot = None;
        self.savepoints.clear();
        self.on_publish.clear();
        self.notices = Vec::new();
        std::mem::take(&mut self.on_rollback)
    }

    pub(crate) fn has_notices(&self) -> bool {
        !self.notices.is_empty()
    }

    /// What is to be told, in the order of sending, each message once.
    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        let notices = std::mem::take(&mut self.notices);
        if notices.is_empty() {
            return Vec::new();
        }
        let mut seen = HashSet::with_capacity_and_hasher(notices.len(), RandomState::new());
        notices
            .into_iter()
            .map(|(_, notice)| notice)
            .filter(|notice| seen.insert(notice.clone()))
            .collect()
    }

    pub(crate) fn take_publish_hooks(&mut self) -> Vec<(Command, PublishHook)> {
        std::mem::take(&mut self.on_publish)
    }

    /// Remembers which statement writes, to be named in the errors of others.
    pub(crate) fn note_writer(&mut self, inner: &Inner) {
        if self.writer.0 != self.command {
            self.writer = (self.command, inner.statement());
        }
    }

    /// The statement that wrote last.
    pub(crate) fn writer(&self) -> Option<Arc<str>> {
        self.writer.1.clone()
    }

    pub(crate) fn has_hooks(&self) -> bool {
        !self.on_publish.is_empty()
    }

    pub(crate) fn check_active(&self) -> Result<(), TransactionError> {
        match self.status {
            Status::Active => Ok(()),
            _ => Err(TransactionError::Ended),
        }
    }

    /// Commands that begin a part which may be rolled back alone, ascending.
    pub(crate) fn boundaries(&self, out: &mut Vec<Command>) {
        out.extend(self.savepoints.iter().map(|savepoint| savepoint.command));
    }

    /// Writes of commands before this one are seen by a view taken now.
    fn view_command(&self) -> Command {
        if self.in_statement {
            self.command
        } else {
            self.command.saturating_add(1)
        }
    }

    fn next_command(&mut self) -> Result<Command, TransactionError> {
        self.command = self
            .command
            .checked_add(1)
            .ok_or(TransactionError::TooMany {
                what: "commands",
                limit: u64::from(Command::MAX),
            })?;
        Ok(self.command)
    }
}

impl Transaction {
    pub(crate) fn from_inner(inner: Arc<Inner>) -> Self {
        Transaction { inner }
    }

    /// Its id, unique in the life of the database.
    pub fn id(&self) -> TxnId {
        self.inner.id
    }

    /// The manager that began it.
    pub fn manager(&self) -> &Arc<Transactions> {
        &self.inner.manager
    }

    /// What it was begun with.
    pub fn options(&self) -> &TransactionOptions {
        &self.inner.options
    }

    /// Its isolation level.
    pub fn isolation(&self) -> Isolation {
        self.inner.options.isolation
    }

    /// Whether it refuses writes.
    pub fn is_read_only(&self) -> bool {
        self.inner.options.read_only
    }

    /// When it began, in microseconds since 1970: `now()` in SQL.
    pub fn started_at(&self) -> i64 {
        self.inner.started_at
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        self.inner.state.lock().status
    }

    /// Whether it has written anything that is not undone.
    pub fn has_written(&self) -> bool {
        !self.inner.buffer.read().is_empty()
    }

    /// Marks the transaction as failed: all its sessions may only roll back.
    pub fn set_failed(&self, is_failed: bool) {
        self.inner.state.lock().is_failed = is_failed;
    }

    /// Whether a statement failed and nothing was rolled back since.
    pub fn is_failed(&self) -> bool {
        self.inner.state.lock().is_failed
    }

    /// A secret that lets another session join; made at the first call.
    pub fn token(&self) -> String {
        self.inner
            .token
            .get_or_init(|| {
                let mut bytes = [0_u8; 16];
                self.inner.manager.environment.random.fill(&mut bytes);
                let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                self.inner.manager.register_token(&token, &self.inner);
                token
            })
            .clone()
    }

    /// What runs now, for errors of others and for views.
    pub fn set_statement_text(&self, text: Option<Arc<str>>) {
        *self.inner.statement.lock() = text.clone();
        self.inner.owner.set_statement(text);
    }

    /// Nothing runs in it now: it waits for its client. What ran last stays known.
    pub fn set_idle(&self) {
        self.inner.owner.set_statement(None);
    }

    /// Whom a deadlock should hit, and how often it hit this work before.
    pub fn set_deadlock_standing(&self, priority: i8, restarts: u32) {
        self.inner.owner.set_priority(priority);
        self.inner.owner.set_restarts(restarts);
    }

    /// How long a lock is waited for (`lock_timeout`); `None` or zero means for ever.
    pub fn set_lock_timeout(&self, timeout: Option<Duration>) {
        let ms = timeout.map_or(0, |timeout| u64::try_from(timeout.as_millis()).unwrap_or(0));
        self.inner.lock_timeout_ms.store(ms, Ordering::Relaxed);
    }

    /// Whether a lock that is not free is an error (55P03) at once: for a transaction of several
    /// commands that must not stand in each other's way.
    pub fn set_never_waits(&self, never_waits: bool) {
        self.inner.never_waits.store(never_waits, Ordering::Relaxed);
    }

    /// Options for a lock asked for now: wait, up to the lock timeout, unless it never waits.
    pub fn lock_options(&self) -> LockOptions {
        let ms = self.inner.lock_timeout_ms.load(Ordering::Relaxed);
        let deadline = (ms > 0).then(|| Instant::now() + Duration::from_millis(ms));
        let never_waits = self.inner.never_waits.load(Ordering::Relaxed);
        LockOptions {
            wait: if never_waits {
                Wait::NoWait
            } else {
                Wait::Block
            },
            deadline,
        }
    }

    /// Begins a statement: waits for its turn, takes a fresh snapshot where the isolation level
    /// asks for one, and marks the point that an undo goes back to.
    pub async fn start_statement(&self) -> Result<StatementGuard, TransactionError> {
        let permit = self
            .inner
            .turn
            .acquire()
            .await
            .map_err(|_closed| TransactionError::Ended)?;
        let start = {
            let mut state = self.inner.state.lock();
            state.check_active()?;
            let start = state.next_command()?;
            state.in_statement = true;
            match self.isolation() {
                // Taken at the first read; a statement that reads nothing needs none.
                Isolation::ReadCommitted => state.snapshot = None,
                Isolation::RepeatableRead | Isolation::Serializable if state.snapshot.is_none() => {
                    state.snapshot = Some(self.inner.manager.store.snapshot());
                }
                Isolation::RepeatableRead | Isolation::Serializable => {}
            }
            start
        };
        // Given back by the guard.
        permit.forget();
        Ok(StatementGuard {
            txn: self.clone(),
            start,
            is_over: false,
        })
    }

    /// What the statement that runs now reads (or, between statements, what the next would).
    ///
    /// All views of one statement are equal.
    pub fn view(&self) -> Arc<TxnView> {
        let (snapshot, command) = {
            let mut state = self.inner.state.lock();
            let command = state.view_command();
            (self.snapshot_of(&mut state), command)
        };
        let since = snapshot.version();
        let reads = self.inner.reads.as_ref();
        Arc::new(TxnView::new(
            snapshot,
            OwnWrites::new(&self.inner.buffer, command),
            reads.map(|tracker| ViewReads::of_snapshot(tracker, since)),
        ))
    }

    /// What is newest: everything committed by now, and all own writes so far, this statement's
    /// too. For work under a lock that keeps others from changing what is read.
    ///
    /// What it reads counts as read by a serializable transaction, as of now.
    pub fn newest_view(&self) -> Arc<TxnView> {
        let tracker = self.newest_reads();
        let own = OwnWrites::new(&self.inner.buffer, Command::MAX);
        let snapshot = self.inner.manager.store.snapshot();
        let reads = tracker.map(|tracker| ViewReads::of_newest(&tracker, snapshot.version()));
        Arc::new(TxnView::new(snapshot, own, reads))
    }

    /// Like `newest_view`, for what is no part of the transaction's outcome, such as the start of
    /// a counter that goes on whatever becomes of the transaction: nothing is recorded.
    pub fn newest_view_unrecorded(&self) -> Arc<TxnView> {
        let own = OwnWrites::new(&self.inner.buffer, Command::MAX);
        let snapshot = self.inner.manager.store.snapshot();
        Arc::new(TxnView::new(snapshot, own, None))
    }

    /// Where to record reads of what is newest. Makes sure that the transaction has its snapshot
    /// before they are made: changes are known only after that.
    pub(crate) fn newest_reads(&self) -> Option<Arc<ReadTracker>> {
        let tracker = self.inner.reads.as_ref()?;
        let mut state = self.inner.state.lock();
        if state.status == Status::Active {
            drop(self.snapshot_of(&mut state));
        }
        Some(Arc::clone(tracker))
    }

    /// The present snapshot, taken now if there is none.
    pub(crate) fn snapshot_of(&self, state: &mut State) -> Arc<dyn Snapshot> {
        let store = &self.inner.manager.store;
        if !state.in_statement && !self.isolation().keeps_snapshot() {
            return store.snapshot();
        }
        Arc::clone(state.snapshot.get_or_insert_with(|| store.snapshot()))
    }

    /// Version of the present snapshot, if one was taken.
    pub fn snapshot_version(&self) -> Option<Version> {
        self.inner
            .state
            .lock()
            .snapshot
            .as_ref()
            .map(|snapshot| snapshot.version())
    }

    /// Sets a savepoint. The same name may be used again; the newest one counts.
    pub fn savepoint(&self, name: &str) -> Result<(), TransactionError> {
        let mut state = self.inner.state.lock();
        state.check_active()?;
        let limit = self.inner.manager.options.savepoints_max;
        if state.savepoints.len() >= limit {
            return Err(TransactionError::TooMany {
                what: "savepoints",
                limit: limit as u64,
            });
        }
        let command = state.next_command()?;
        let locks = self.inner.owner.mark();
        state.savepoints.push(Savepoint {
            name: name.to_owned(),
            command,
            locks,
        });
        Ok(())
    }

    /// Undoes everything after the savepoint, which stays. Locks taken since are released.
    pub fn rollback_to(&self, name: &str) -> Result<(), TransactionError> {
        let (command, locks) = {
            let mut state = self.inner.state.lock();
            state.check_active()?;
            let at = state.find_savepoint(name)?;
            state.savepoints.truncate(at + 1);
            state.is_failed = false;
            // What comes now must not look as if it came before the savepoint's undo.
            state.next_command()?;
            let savepoint = &state.savepoints[at];
            (savepoint.command, savepoint.locks)
        };
        self.inner.undo(command);
        self.inner
            .manager
            .locks
            .release_to(&self.inner.owner, locks);
        Ok(())
    }

    /// As [`Transaction::savepoint`], once no other member of the transaction runs a statement: a
    /// statement lies before a savepoint or after it, never on both sides.
    pub async fn savepoint_in_turn(&self, name: &str) -> Result<(), TransactionError> {
        let _turn = self.turn().await?;
        self.savepoint(name)
    }

    /// As [`Transaction::rollback_to`], once no other member of the transaction runs a statement:
    /// what it would go on to write would be half of it.
    pub async fn rollback_to_in_turn(&self, name: &str) -> Result<(), TransactionError> {
        let _turn = self.turn().await?;
        self.rollback_to(name)
    }

    async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, TransactionError> {
        let turn = self.inner.turn.acquire().await;
        turn.map_err(|_closed| TransactionError::Ended)
    }

    /// Forgets the savepoint and those after it; their work becomes part of what was before.
    pub fn release(&self, name: &str) -> Result<(), TransactionError> {
        let mut state = self.inner.state.lock();
        state.check_active()?;
        let at = state.find_savepoint(name)?;
        state.savepoints.truncate(at);
        Ok(())
    }

    /// Number of savepoints.
    pub fn savepoint_count(&self) -> usize {
        self.inner.state.lock().savepoints.len()
    }

    /// Sends a message when the transaction is committed; forgotten like a write when the
    /// statement, savepoint or transaction is undone. The same message twice is told once.
    ///
    /// # Errors
    /// Over [`NOTICES_MAX`] messages or [`NOTICE_BYTES_MAX`] bytes in one transaction.
    pub fn notify(&self, notice: Notice) -> Result<(), TransactionError> {
        let mut state = self.inner.state.lock();
        state.check_active()?;
        let too_many = |what, limit: usize| TransactionError::TooMany {
            what,
            limit: limit as u64,
        };
        if state.notices.len() >= NOTICES_MAX {
            return Err(too_many("notifications of one transaction", NOTICES_MAX));
        }
        let bytes = state.notice_bytes + notice.bytes();
        if bytes > NOTICE_BYTES_MAX {
            return Err(too_many(
                "bytes of notifications of one transaction",
                NOTICE_BYTES_MAX,
            ));
        }
        let command = state.command;
        // Most often the same is sent again and again, by a trigger or a loop.
        if state
            .notices
            .last()
            .is_some_and(|(_, last)| *last == notice)
        {
            return Ok(());
        }
        state.notice_bytes = bytes;
        state.notices.push((command, notice));
        Ok(())
    }

    /// Runs `hook` with the commit's version: after it is durable, before anybody can see it.
    ///
    /// Forgotten when the statement or savepoint it was registered in is undone. It must be
    /// short and must not block, panic or call the store except for `newest`.
    pub fn on_publish(&self, hook: PublishHook) {
        let mut state = self.inner.state.lock();
        let command = state.command;
        state.on_publish.push((command, hook));
    }

    /// Runs `hook` when the statement, savepoint or transaction it is registered in is undone.
    pub fn on_rollback(&self, hook: RollbackHook) {
        let mut state = self.inner.state.lock();
        let command = state.command;
        state.on_rollback.push((command, hook));
    }

    /// State that a higher layer keeps with the transaction (one slot: the catalog's).
    pub fn attachment(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.inner.attachment.lock().clone()
    }

    /// Sets or clears that state. It is cleared when the transaction ends.
    pub fn set_attachment(&self, attachment: Option<Arc<dyn Any + Send + Sync>>) {
        *self.inner.attachment.lock() = attachment;
    }

    /// Rolls back. Does nothing if the transaction has ended.
    ///
    /// A statement that still runs in another session finds the transaction ended.
    pub fn rollback(&self) {
        self.inner.abandon();
    }
}

impl State {
    fn find_savepoint(&self, name: &str) -> Result<usize, TransactionError> {
        self.savepoints
            .iter()
            .rposition(|savepoint| savepoint.name == name)
            .ok_or_else(|| TransactionError::NoSuchSavepoint {
                name: name.to_owned(),
            })
    }
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transaction({}, {:?})", self.id(), self.status())
    }
}

/// A statement under way. Dropped without `finish`, it undoes what the statement did; locks
/// stay until the transaction ends or goes back to a savepoint.
#[must_use = "dropping the guard undoes the statement"]
#[derive(Debug)]
pub struct StatementGuard {
    txn: Transaction,
    start: Command,
    is_over: bool,
}

impl StatementGuard {
    /// Keeps what the statement did.
    pub fn finish(mut self) {
        self.end();
    }

    /// Takes back what the statement did.
    pub fn undo(self) {
        drop(self);
    }

    fn end(&mut self) {
        self.is_over = true;
        let inner = &self.txn.inner;
        {
            let mut state = inner.state.lock();
            state.in_statement = false;
            if !inner.options.isolation.keeps_snapshot() {
                // Views that are still open hold it themselves.
                state.snapshot = None;
            }
        }
        inner.turn.add_permits(1);
    }
}

impl Drop for StatementGuard {
    fn drop(&mut self) {
        if !self.is_over {
            self.txn.inner.undo(self.start);
            self.end();
        }
    }
}
