//! The open sessions: what they do, how they are cancelled and counted.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use parking_lot::Mutex;
use tessera_catalog::Catalog;
use tessera_executor::{ServerSessions, SessionRow, SessionState};
use tessera_types::{Report, TxnId, codes};
use tokio_util::sync::CancellationToken;

/// One row of `pg_stat_activity`.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// Number of the session, `pid` in PostgreSQL's views.
    pub process_id: i32,
    /// User name.
    pub user: String,
    /// `application_name`.
    pub application_name: String,
    /// Address of the client.
    pub peer: Option<SocketAddr>,
    /// Which door.
    pub protocol: &'static str,
    /// When the session began, microseconds since 1970.
    pub started_at: i64,
    /// The transaction it is in.
    pub transaction: Option<TxnId>,
    /// The holder of its advisory locks, if it ever took one.
    pub advisory_owner: Option<TxnId>,
    /// When the transaction began.
    pub transaction_started_at: Option<i64>,
    /// When the running or last statement began.
    pub statement_started_at: Option<i64>,
    /// When `state` changed.
    pub state_changed_at: i64,
    /// `active`, `idle`, `idle in transaction`, `idle in transaction (aborted)`.
    pub state: &'static str,
    /// Text of the running or last statement; passwords are never in it.
    pub query: String,
}

/// Why a session is asked to stop what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum StopReason {
    /// Nothing was asked.
    None = 0,
    /// A cancel request: the statement ends.
    Cancel = 1,
    /// The server shuts down, or an administrator ended the session.
    Terminate = 2,
}

/// What other tasks may know of, and do to, a session.
pub(crate) struct Entry {
    pub(crate) process_id: i32,
    pub(crate) secret: i32,
    pub(crate) user: Arc<str>,
    peer: Option<SocketAddr>,
    protocol: &'static str,
    started_at: i64,
    /// For the locks that outlive transactions.
    state: Arc<SessionState>,
    activity: Mutex<Activity>,
    cancel: Mutex<CancelState>,
    reason: AtomicU8,
    /// Set once; woken readers of an idle connection end it.
    terminated: CancellationToken,
}

struct Activity {
    application_name: Arc<str>,
    state: &'static str,
    state_changed_at: i64,
    transaction: Option<TxnId>,
    transaction_started_at: Option<i64>,
    statement_started_at: Option<i64>,
    query: Arc<str>,
}

struct CancelState {
    /// A statement runs; only then a cancel request means something.
    running: bool,
    token: CancellationToken,
}

impl Entry {
    /// A statement begins. Gives the token that ends it.
    pub(crate) fn begin(
        &self,
        text: &Arc<str>,
        now: i64,
        transaction: Option<TxnId>,
        transaction_started_at: i64,
    ) -> CancellationToken {
        {
            let mut activity = self.activity.lock();
            if activity.state != "active" {
                activity.state = "active";
                activity.state_changed_at = now;
            }
            activity.statement_started_at = Some(now);
            activity.transaction = transaction;
            activity.transaction_started_at = Some(transaction_started_at);
            if !Arc::ptr_eq(&activity.query, text) {
                activity.query = text.clone();
            }
        }
        let mut cancel = self.cancel.lock();
        if !cancel.running {
            cancel.running = true;
            if cancel.token.is_cancelled() {
                // A request that came too late for the statement it was meant for.
                cancel.token = CancellationToken::new();
                let _ = self.reason.compare_exchange(
                    StopReason::Cancel as u8,
                    StopReason::None as u8,
                    Ordering::AcqRel,
                    Ordering::Acquire,
                );
            }
        }
        cancel.token.clone()
    }

    /// The session waits for its client.
    pub(crate) fn idle(&self, state: &'static str, now: i64, in_transaction: bool) {
        self.cancel.lock().running = false;
        let mut activity = self.activity.lock();
        activity.state = state;
        activity.state_changed_at = now;
        if !in_transaction {
            activity.transaction = None;
            activity.transaction_started_at = None;
        }
    }

    /// A statement failed and that is answered: a cancelled one is over, the next starts afresh.
    pub(crate) fn cancel_answered(&self) {
        let mut cancel = self.cancel.lock();
        if cancel.token.is_cancelled() && self.reason() != StopReason::Terminate {
            cancel.token = CancellationToken::new();
            self.reason.store(StopReason::None as u8, Ordering::Release);
        }
    }

    /// The token of the present statement.
    pub(crate) fn token(&self) -> CancellationToken {
        self.cancel.lock().token.clone()
    }

    /// Stops work on the statement's other tasks, such as after a timeout.
    pub(crate) fn stop_statement(&self) {
        self.cancel.lock().token.cancel();
    }

    pub(crate) fn reason(&self) -> StopReason {
        match self.reason.load(Ordering::Acquire) {
            1 => StopReason::Cancel,
            2 => StopReason::Terminate,
            _ => StopReason::None,
        }
    }

    pub(crate) fn set_application_name(&self, name: &Arc<str>) {
        self.activity.lock().application_name = name.clone();
    }

    pub(crate) fn terminated(&self) -> &CancellationToken {
        &self.terminated
    }

    /// Asks the running statement to stop with 57014.
    pub(crate) fn cancel(&self) {
        let cancel = self.cancel.lock();
        if cancel.running {
            let _ = self.reason.compare_exchange(
                StopReason::None as u8,
                StopReason::Cancel as u8,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            cancel.token.cancel();
        }
    }

    /// Ends the session with 57P01.
    pub(crate) fn terminate(&self) {
        self.reason
            .store(StopReason::Terminate as u8, Ordering::Release);
        self.cancel.lock().token.cancel();
        self.terminated.cancel();
    }

    fn info(&self) -> SessionInfo {
        let activity = self.activity.lock();
        SessionInfo {
            process_id: self.process_id,
            user: self.user.to_string(),
            application_name: activity.application_name.to_string(),
            peer: self.peer,
            protocol: self.protocol,
            started_at: self.started_at,
            transaction: activity.transaction,
            advisory_owner: self.state.advisory.owner(),
            transaction_started_at: activity.transaction_started_at,
            statement_started_at: activity.statement_started_at,
            state_changed_at: activity.state_changed_at,
            state: activity.state,
            query: activity.query.to_string(),
        }
    }
}

/// Cancels what a session is running; may be kept and used by other tasks.
#[derive(Clone)]
pub struct CancelHandle {
    pub(crate) entry: Arc<Entry>,
}

impl CancelHandle {
    /// Asks the running statement to stop with 57014. Does nothing when none is running.
    pub fn cancel(&self) {
        self.entry.cancel();
    }
}

impl std::fmt::Debug for CancelHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancelHandle")
            .field("process_id", &self.entry.process_id)
            .finish()
    }
}

/// Who opens a session.
pub(crate) struct NewSession {
    pub(crate) user: Arc<str>,
    pub(crate) is_admin: bool,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) protocol: &'static str,
    pub(crate) application_name: Arc<str>,
    pub(crate) now: i64,
    pub(crate) secret: i32,
    pub(crate) state: Arc<SessionState>,
}

/// All open sessions.
pub(crate) struct Sessions {
    max: usize,
    reserved: usize,
    closing: AtomicBool,
    inner: Mutex<Registry>,
}

struct Registry {
    next_id: i32,
    entries: HashMap<i32, Arc<Entry>>,
}

impl Sessions {
    pub(crate) fn new(max: usize, reserved: usize) -> Sessions {
        Sessions {
            max,
            reserved: reserved.min(max),
            closing: AtomicBool::new(false),
            inner: Mutex::new(Registry {
                next_id: 1,
                entries: HashMap::new(),
            }),
        }
    }

    /// Takes a place. The last ones are for administrators, so that they can look after a server
    /// whose sessions are all taken.
    pub(crate) fn add(&self, session: NewSession) -> Result<Arc<Entry>, Report> {
        let mut inner = self.inner.lock();
        let open = inner.entries.len();
        if self.closing.load(Ordering::Acquire) {
            return Err(Report::fatal(
                codes::CANNOT_CONNECT_NOW,
                "the database system is shutting down",
            ));
        }
        if open >= self.max {
            return Err(Report::fatal(
                codes::TOO_MANY_CONNECTIONS,
                "sorry, too many clients already",
            ));
        }
        if open >= self.max - self.reserved && !session.is_admin {
            return Err(Report::fatal(
                codes::TOO_MANY_CONNECTIONS,
                "remaining connection slots are reserved for administrators",
            ));
        }
        let process_id = loop {
            let id = inner.next_id;
            inner.next_id = if id == i32::MAX { 1 } else { id + 1 };
            if !inner.entries.contains_key(&id) {
                break id;
            }
        };
        let entry = Arc::new(Entry {
            process_id,
            secret: session.secret,
            user: session.user,
            peer: session.peer,
            protocol: session.protocol,
            started_at: session.now,
            state: session.state,
            activity: Mutex::new(Activity {
                application_name: session.application_name,
                state: "idle",
                state_changed_at: session.now,
                transaction: None,
                transaction_started_at: None,
                statement_started_at: None,
                query: Arc::from(""),
            }),
            cancel: Mutex::new(CancelState {
                running: false,
                token: CancellationToken::new(),
            }),
            reason: AtomicU8::new(StopReason::None as u8),
            terminated: CancellationToken::new(),
        });
        inner.entries.insert(process_id, entry.clone());
        Ok(entry)
    }

    pub(crate) fn remove(&self, process_id: i32) {
        self.inner.lock().entries.remove(&process_id);
    }

    pub(crate) fn count(&self) -> usize {
        self.inner.lock().entries.len()
    }

    pub(crate) fn list(&self) -> Vec<SessionInfo> {
        let mut list: Vec<_> = self
            .inner
            .lock()
            .entries
            .values()
            .map(|entry| entry.info())
            .collect();
        list.sort_by_key(|info| info.process_id);
        list
    }

    /// Cancels by key, as a cancel request does.
    pub(crate) fn cancel(&self, process_id: i32, secret: i32) -> bool {
        let entry = self.inner.lock().entries.get(&process_id).cloned();
        match entry {
            Some(entry) if entry.secret == secret => {
                entry.cancel();
                true
            }
            _ => false,
        }
    }

    /// Takes no more sessions and ends those there are.
    pub(crate) fn shut_down(&self) {
        self.closing.store(true, Ordering::Release);
        let entries: Vec<_> = self.inner.lock().entries.values().cloned().collect();
        for entry in entries {
            entry.terminate();
        }
    }
}

/// The sessions as the functions and views of SQL reach them.
pub(crate) struct SqlSessions {
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) catalog: Arc<Catalog>,
}

impl ServerSessions for SqlSessions {
    fn list(&self) -> Vec<SessionRow> {
        self.sessions
            .list()
            .into_iter()
            .map(|info| SessionRow {
                process_id: info.process_id,
                user: info.user,
                application_name: info.application_name,
                peer: info.peer,
                started_at: info.started_at,
                transaction: info.transaction,
                advisory_owner: info.advisory_owner,
                transaction_started_at: info.transaction_started_at,
                statement_started_at: info.statement_started_at,
                state_changed_at: info.state_changed_at,
                state: info.state,
                query: info.query,
            })
            .collect()
    }

    /// Of own sessions, or by administrators.
    fn signal(&self, process_id: i32, by: &str, terminate: bool) -> Result<bool, Report> {
        let Some(entry) = self.sessions.inner.lock().entries.get(&process_id).cloned() else {
            return Ok(false);
        };
        let is_admin = self.catalog.state().user(by).is_some_and(|user| user.admin);
        if !is_admin && &*entry.user != by {
            return Err(Report::error(
                codes::INSUFFICIENT_PRIVILEGE,
                "must be a member of the role whose session is to be ended, or an administrator",
            ));
        }
        if terminate {
            entry.terminate();
        } else {
            entry.cancel();
        }
        Ok(true)
    }
}
