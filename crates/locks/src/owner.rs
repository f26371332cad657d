//! A transaction (or a session, for its advisory locks) in the eyes of the lock manager: who it
//! is, what it runs, what it would cost to lose it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use smallvec::SmallVec;
use tessera_types::TxnId;
use tokio::time::Instant;

use crate::held::Held;
use crate::mode::Mode;
use crate::resource::Resource;
use crate::statement::{Statement, Statements};
use crate::sync::Mutex;
use crate::wait::WaitNode;

/// A holder and asker of locks: a transaction, or a session for what outlives its transactions.
/// Holding one costs nothing until it locks.
///
/// Dropping it does not release anything: [`crate::LockManager::release_all`] does.
/// It belongs to the lock manager it first locks in.
#[derive(Debug)]
pub struct Owner {
    pub(crate) info: Arc<OwnerInfo>,
}

/// Owners of one session: their locks never conflict with each other, and the search for
/// deadlocks takes them for one, because a session that waits cannot release any of them.
#[derive(Debug, Clone, Default)]
pub struct SessionGroup(Arc<Session>);

/// What the owners of one session share.
#[derive(Debug, Default)]
pub(crate) struct Session {
    waiting: Waits,
}

/// Requests that wait now; more than one only if the caller lets one session wait twice.
type Waits = Mutex<SmallVec<[Arc<WaitNode>; 1]>>;

/// The part that holders and waiters of a queue point to.
pub(crate) struct OwnerInfo {
    pub(crate) txn: TxnId,
    pub(crate) session: Option<Arc<Session>>,
    pub(crate) held: Mutex<Held>,
    pub(crate) statements: Statements,
    pub(crate) since: Instant,
    waiting: Waits,
    priority: AtomicI8,
    restarts: AtomicU32,
    work: AtomicU64,
}

/// A point in the order of an owner's grants, to release back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub(crate) u64);

impl Owner {
    /// An owner for the transaction. Every transaction has exactly one.
    pub fn new(txn: TxnId) -> Self {
        Self::build(txn, None)
    }

    /// An owner that belongs to a session, together with others of the same group.
    pub fn in_session(txn: TxnId, group: &SessionGroup) -> Self {
        Self::build(txn, Some(Arc::clone(&group.0)))
    }

    fn build(txn: TxnId, session: Option<Arc<Session>>) -> Self {
        Owner {
            info: Arc::new(OwnerInfo {
                txn,
                session,
                held: Mutex::new(Held::default()),
                statements: Statements::default(),
                since: Instant::now(),
                waiting: Mutex::new(SmallVec::new()),
                priority: AtomicI8::new(0),
                restarts: AtomicU32::new(0),
                work: AtomicU64::new(0),
            }),
        }
    }

    /// The transaction.
    pub fn txn(&self) -> TxnId {
        self.info.txn
    }

    /// Says what runs now; errors, views and the profile of others show it. `None` means that the
    /// transaction is idle; what it ran last stays known.
    pub fn set_statement(&self, statement: Option<Arc<str>>) {
        self.info.statements.set(statement);
    }

    /// Says that the transaction wrote (or undid, which is work too) that many rows: it becomes
    /// dearer to lose.
    pub fn add_work(&self, rows: u64) {
        self.info.work.fetch_add(rows, Ordering::Relaxed);
    }

    /// Whom a deadlock should hit: the lower priority loses. 0 at first.
    pub fn set_priority(&self, priority: i8) {
        self.info.priority.store(priority, Ordering::Relaxed);
    }

    /// How many times this transaction was a victim before, under other ids: the more, the less
    /// it is chosen again.
    pub fn set_restarts(&self, restarts: u32) {
        self.info.restarts.store(restarts, Ordering::Relaxed);
    }

    /// The present point in the order of grants.
    pub fn mark(&self) -> Mark {
        self.info.held.lock().mark()
    }

    /// The mode held on exactly this resource.
    pub fn mode_of(&self, resource: Resource) -> Option<Mode> {
        self.info.held.lock().mode_of(resource)
    }

    /// Number of resources held.
    pub fn held_count(&self) -> usize {
        self.info.held.lock().count()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let member = {
            let mut held = self.info.held.lock();
            if held.count() > 0 {
                // Its locks stay, so views must go on naming it.
                return;
            }
            held.leave()
        };
        drop(member);
    }
}

impl OwnerInfo {
    /// What runs now, or ran last.
    pub(crate) fn statement(&self) -> Option<Arc<str>> {
        self.statements.current().text
    }

    pub(crate) fn current(&self) -> Statement {
        self.statements.current()
    }

    /// How long ago the owner was made.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    pub(crate) fn priority(&self) -> i8 {
        self.priority.load(Ordering::Relaxed)
    }

    pub(crate) fn restarts(&self) -> u32 {
        self.restarts.load(Ordering::Relaxed)
    }

    pub(crate) fn work(&self) -> u64 {
        self.work.load(Ordering::Relaxed)
    }

    /// Whether both are one node of the waits-for graph.
    pub(crate) fn is_one_with(&self, other: &OwnerInfo) -> bool {
        std::ptr::eq(self, other)
            || match (&self.session, &other.session) {
                (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                _ => false,
            }
    }

    fn waits(&self) -> &Waits {
        self.session
            .as_ref()
            .map_or(&self.waiting, |session| &session.waiting)
    }

    /// What the owner, or another one of its session, waits for.
    pub(crate) fn waiting(&self) -> SmallVec<[Arc<WaitNode>; 1]> {
        self.waits().lock().clone()
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.waits().lock().is_empty()
    }

    pub(crate) fn begin_wait(&self, node: &Arc<WaitNode>) {
        self.waits().lock().push(Arc::clone(node));
    }

    pub(crate) fn end_wait(&self, ticket: u64) {
        self.waits().lock().retain(|node| node.ticket != ticket);
    }
}

impl fmt::Debug for OwnerInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnerInfo({})", self.txn)
    }
}
