//! Who is connected: CLIENT LIST, CLIENT KILL, CLIENT UNBLOCK.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use ahash::RandomState;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::table::ROWS;

/// Bytes of a client's name, or its library's.
pub(crate) const NAME_BYTES_MAX: usize = 1_024;

/// What others may know of a connection, and do to it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: u64,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    /// On the monotonic clock.
    pub(crate) since: Duration,
    pub(crate) last_seen_ms: AtomicU64,
    pub(crate) words: Mutex<Words>,
    pub(crate) database: AtomicU32,
    pub(crate) protocol: AtomicU8,
    /// Row of the last command, in the table.
    pub(crate) command: AtomicU16,
    /// Channels, patterns, shard channels.
    pub(crate) subscriptions: [AtomicUsize; 3],
    /// Queued commands and one; 0 outside MULTI.
    pub(crate) queued: AtomicUsize,
    pub(crate) watched: AtomicUsize,
    pub(crate) killed: CancellationToken,
    pub(crate) block: Block,
}

/// Names that a client has given.
#[derive(Debug, Default, Clone)]
pub(crate) struct Words {
    pub(crate) name: String,
    pub(crate) user: String,
    pub(crate) library: String,
    pub(crate) library_version: String,
}

/// Whether a client is blocked, and how to end that.
#[derive(Debug, Default)]
pub(crate) struct Block {
    state: AtomicU8,
    ended: Notify,
}

/// How CLIENT UNBLOCK ends a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unblock {
    Timeout,
    Error,
}

const BLOCK_NONE: u8 = 0;
const BLOCK_WAITING: u8 = 1;
const BLOCK_TIMEOUT: u8 = 2;
const BLOCK_ERROR: u8 = 3;

impl Block {
    pub(crate) fn enter(&self) {
        self.state.store(BLOCK_WAITING, Ordering::SeqCst);
    }

    pub(crate) fn leave(&self) {
        self.state.store(BLOCK_NONE, Ordering::SeqCst);
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.state.load(Ordering::SeqCst) == BLOCK_WAITING
    }

    /// Whether the client was blocked, and is not any more.
    pub(crate) fn end(&self, how: Unblock) -> bool {
        let next = match how {
            Unblock::Timeout => BLOCK_TIMEOUT,
            Unblock::Error => BLOCK_ERROR,
        };
        let was_waiting = self
            .state
            .compare_exchange(BLOCK_WAITING, next, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok();
        if was_waiting {
            self.ended.notify_one();
        }
        was_waiting
    }

    /// Waits until somebody ends the wait.
    pub(crate) async fn ended(&self) -> Unblock {
        loop {
            match self.state.load(Ordering::SeqCst) {
                BLOCK_TIMEOUT => return Unblock::Timeout,
                BLOCK_ERROR => return Unblock::Error,
                _ => self.ended.notified().await,
            }
        }
    }
}

impl Client {
    /// One line of CLIENT LIST.
    pub(crate) fn describe(&self, now: Duration, out: &mut String) {
        let words = self.words.lock().clone();
        let seen = self.last_seen_ms.load(Ordering::Relaxed);
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let subscribed = |kind: usize| self.subscriptions[kind].load(Ordering::Relaxed);
        let queued = self.queued.load(Ordering::Relaxed);
        let multi = queued.checked_sub(1).map_or(-1, |queued| queued as i64);
        let flags = match (self.block.is_waiting(), multi >= 0, subscribed(0) > 0) {
            (true, ..) => "b",
            (_, true, _) => "x",
            (_, _, true) => "P",
            _ => "N",
        };
        let command = usize::from(self.command.load(Ordering::Relaxed))
            .checked_sub(1)
            .and_then(|at| ROWS.get(at))
            .map_or("NULL", |row| row.name);
        // Writing to memory does not fail.
        let _ = writeln!(
            out,
            "id={} addr={} laddr={} fd=-1 name={} age={} idle={} flags={flags} db={} sub={} psub={} \
             ssub={} multi={multi} watch={} qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 \
             obl=0 oll=0 omem=0 tot-mem=0 events=r cmd={command} user={} redir=-1 resp={} \
             lib-name={} lib-ver={}",
            self.id,
            self.peer,
            self.local,
            words.name,
            now.saturating_sub(self.since).as_secs(),
            now_ms.saturating_sub(seen) / 1_000,
            self.database.load(Ordering::Relaxed),
            subscribed(0),
            subscribed(1),
            subscribed(2),
            self.watched.load(Ordering::Relaxed),
            words.user,
            self.protocol.load(Ordering::Relaxed),
            words.library,
            words.library_version,
        );
    }
}

/// All connections of a port.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    by_id: Mutex<HashMap<u64, Arc<Client>, RandomState>>,
    next_id: AtomicU64,
}

impl Clients {
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn add(&self, client: &Arc<Client>) {
        self.by_id.lock().insert(client.id, Arc::clone(client));
    }

    pub(crate) fn remove(&self, id: u64) {
        self.by_id.lock().remove(&id);
    }

    pub(crate) fn get(&self, id: u64) -> Option<Arc<Client>> {
        self.by_id.lock().get(&id).cloned()
    }

    /// All of them, oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Client>> {
        let mut all: Vec<_> = self.by_id.lock().values().cloned().collect();
        all.sort_by_key(|client| client.id);
        all
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.lock().len()
    }
}
