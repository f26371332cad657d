//! The object that a waiting request is: queue, waits-for graph, views and the waiting task all
//! point to it. Ended ones are kept in a pool for the next wait.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use hashbrown::HashMap;
use smallvec::SmallVec;
use tessera_types::TxnId;
use tokio::time::Instant;

use crate::blame::Account;
use crate::mode::Mode;
use crate::owner::OwnerInfo;
use crate::report::LockError;
use crate::resource::Resource;
use crate::sync::{Mutex, WAIT_STRIPES};

/// Ended wait objects that are kept.
const POOL_MAX: usize = 1_024;
/// Bytes of a key that are kept of a waiting request.
pub(crate) const KEY_BYTES_MAX: usize = 1_024;

/// One request that waits, or has waited.
pub(crate) struct WaitNode {
    pub(crate) owner: Arc<OwnerInfo>,
    pub(crate) resource: Resource,
    /// What the owner will hold when granted: for an upgrade, the join with what it holds.
    pub(crate) mode: Mode,
    /// What the owner holds now, if this is an upgrade.
    pub(crate) before: Option<Mode>,
    /// Names the request; grows within a queue.
    pub(crate) ticket: u64,
    pub(crate) since: Instant,
    pub(crate) key: Option<Key>,
    pub(crate) statement: Option<Arc<str>>,
    /// Who was in the way when the wait began.
    pub(crate) first_blocker: Option<FirstBlocker>,
    /// Where the queue's account of blame stood when the wait began, if waits are profiled.
    pub(crate) base: Option<Account>,
    parked: Mutex<Parked>,
}

/// Bytes of a key; short ones need no allocation.
pub(crate) type Key = SmallVec<[u8; 32]>;

/// Who was in the way, for the record of the wait.
#[derive(Debug, Clone)]
pub(crate) struct FirstBlocker {
    pub(crate) txn: TxnId,
    pub(crate) mode: Mode,
    pub(crate) statement: Option<Arc<str>>,
}

/// What the waiting task and whoever answers it share.
#[derive(Default)]
struct Parked {
    answer: Option<Result<(), LockError>>,
    waker: Option<Waker>,
    ended: Option<Ended>,
}

/// When the wait ended, and whom it is charged to.
pub(crate) struct Ended {
    pub(crate) at: Instant,
    pub(crate) charged: Option<Account>,
}

impl WaitNode {
    /// Tells the waiting task. Called once, after the node has left its queue, under the shard's
    /// mutex.
    pub(crate) fn answer(&self, answer: Result<(), LockError>) {
        let mut parked = self.parked.lock();
        parked.answer = Some(answer);
        let waker = parked.waker.take();
        drop(parked);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits for the answer. Dropping the future loses nothing.
    pub(crate) async fn answered(&self) -> Result<(), LockError> {
        poll_fn(|context| {
            let mut parked = self.parked.lock();
            if let Some(answer) = parked.answer.take() {
                return Poll::Ready(answer);
            }
            match &mut parked.waker {
                Some(waker) => waker.clone_from(context.waker()),
                None => parked.waker = Some(context.waker().clone()),
            }
            Poll::Pending
        })
        .await
    }

    /// The answer, if it came and nobody has taken it.
    pub(crate) fn take_answer(&self) -> Option<Result<(), LockError>> {
        self.parked.lock().answer.take()
    }

    pub(crate) fn end(&self, at: Instant, charged: Option<Account>) {
        self.parked.lock().ended = Some(Ended { at, charged });
    }

    pub(crate) fn take_ended(&self) -> Option<Ended> {
        self.parked.lock().ended.take()
    }

    pub(crate) fn waited(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    pub(crate) fn key_bytes(&self) -> Option<Box<[u8]>> {
        self.key.as_ref().map(|key| key.as_slice().into())
    }
}

impl fmt::Debug for WaitNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} wants {} on {}",
            self.owner.txn, self.mode, self.resource
        )
    }
}

/// What a wait begins with.
pub(crate) struct WaitBegin<'a> {
    pub(crate) owner: &'a Arc<OwnerInfo>,
    pub(crate) resource: Resource,
    pub(crate) mode: Mode,
    pub(crate) before: Option<Mode>,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) ticket: u64,
    pub(crate) since: Instant,
    pub(crate) first_blocker: Option<FirstBlocker>,
    pub(crate) base: Option<Account>,
}

/// Ended wait objects, for reuse.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    free: Mutex<Vec<Arc<WaitNode>>>,
}

impl Pool {
    pub(crate) fn take(&self, begin: WaitBegin<'_>) -> Arc<WaitNode> {
        let node = WaitNode {
            owner: Arc::clone(begin.owner),
            resource: begin.resource,
            mode: begin.mode,
            before: begin.before,
            ticket: begin.ticket,
            since: begin.since,
            key: begin
                .key
                .map(|key| key[..key.len().min(KEY_BYTES_MAX)].into()),
            statement: begin.owner.statement(),
            first_blocker: begin.first_blocker,
            base: begin.base,
            parked: Mutex::new(Parked::default()),
        };
        let Some(mut reused) = self.free.lock().pop() else {
            return Arc::new(node);
        };
        match Arc::get_mut(&mut reused) {
            Some(place) => {
                *place = node;
                reused
            }
            None => Arc::new(node),
        }
    }

    /// Keeps an ended object, unless somebody still looks at it.
    pub(crate) fn give_back(&self, mut node: Arc<WaitNode>, nobody: &Arc<OwnerInfo>) {
        let Some(place) = Arc::get_mut(&mut node) else {
            return;
        };
        // A pooled object must not keep its transaction's memory.
        place.owner = Arc::clone(nobody);
        place.key = None;
        place.statement = None;
        place.first_blocker = None;
        place.base = None;
        let mut free = self.free.lock();
        if free.len() < POOL_MAX {
            free.push(node);
        }
    }
}

/// Waiters by ticket.
type WaitStripe = Mutex<HashMap<u64, Arc<WaitNode>>>;

/// All requests that wait now, for views.
#[derive(Debug)]
pub(crate) struct WaitList {
    stripes: Box<[WaitStripe]>,
}

impl WaitList {
    pub(crate) fn new() -> WaitList {
        WaitList {
            stripes: (0..WAIT_STRIPES).map(|_| Mutex::default()).collect(),
        }
    }

    pub(crate) fn add(&self, node: &Arc<WaitNode>) {
        self.stripe(node.ticket)
            .lock()
            .insert(node.ticket, Arc::clone(node));
    }

    pub(crate) fn remove(&self, ticket: u64) {
        let node = self.stripe(ticket).lock().remove(&ticket);
        drop(node);
    }

    /// Calls `visit` with every waiter, while it keeps some others from ending: be quick.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&WaitNode)) {
        for stripe in &self.stripes {
            stripe.lock().values().for_each(|node| visit(node));
        }
    }

    fn stripe(&self, ticket: u64) -> &WaitStripe {
        &self.stripes[ticket as usize % WAIT_STRIPES]
    }
}
