//! Clients that wait for keys, in the order of arrival.
//!
//! Who takes something out of a key (lists, sorted sets) is woken alone, the first in the queue;
//! when it leaves, whether it was served or not, the next one is woken. Whoever only reads streams
//! is woken with all others.
//!
//! # Why nobody sleeps through
//! A key is announced before its commit is visible, while the committer still holds the key's lock.
//! A client enters the queue, then looks, and looks under the key's lock: so either it finds what
//! was committed, or it is in the queue when that is announced.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ahash::RandomState;
use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tessera_types::RelationId;
use tokio::sync::Notify;

use super::Hub;

/// Keys that clients wait for, together; a key counts once per client.
const PLACES_MAX: usize = 1_000_000;

/// What is waited for in a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    List,
    SortedSet,
    Stream,
}

const KINDS: [Kind; 3] = [Kind::List, Kind::SortedSet, Kind::Stream];

/// A key that is waited for.
type Name = (u32, Kind, Bytes);

/// Clients that wait for keys.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    queues: Mutex<HashMap<Name, VecDeque<Arc<Notify>>, RandomState>>,
    places: AtomicUsize,
}

impl Waiting {
    /// Number of keys waited for; a key counts once per client.
    pub(crate) fn len(&self) -> usize {
        self.places.load(Ordering::SeqCst)
    }

    /// Whether others wait for one of the keys.
    pub(crate) fn has_others(&self, relation: RelationId, kind: Kind, keys: &[&[u8]]) -> bool {
        if self.len() == 0 || kind == Kind::Stream {
            return false;
        }
        let queues = self.queues.lock();
        keys.iter().any(|key| {
            let name = (relation.0, kind, Bytes::copy_from_slice(key));
            queues.contains_key(&name)
        })
    }

    /// Everybody looks again: something may have been missed.
    pub(crate) fn wake_all(&self) {
        for queue in self.queues.lock().values() {
            queue.iter().for_each(|waiter| waiter.notify_one());
        }
    }

    /// Something may be there now.
    pub(crate) fn announce(&self, relation: RelationId, key: &Bytes) {
        if self.len() == 0 {
            return;
        }
        let queues = self.queues.lock();
        for kind in KINDS {
            let Some(queue) = queues.get(&(relation.0, kind, key.clone())) else {
                continue;
            };
            match kind {
                Kind::Stream => queue.iter().for_each(|waiter| waiter.notify_one()),
                Kind::List | Kind::SortedSet => wake_first(queue),
            }
        }
    }
}

fn wake_first(queue: &VecDeque<Arc<Notify>>) {
    if let Some(first) = queue.front() {
        first.notify_one();
    }
}

/// A client's place in the queues of its keys. Dropped, it wakes those behind it.
pub(crate) struct Place {
    hub: Arc<Hub>,
    names: Vec<Name>,
    woken: Arc<Notify>,
}

impl Place {
    /// Enters the queues of the keys; none if too many wait.
    pub(crate) fn take(
        hub: &Arc<Hub>,
        relation: RelationId,
        kind: Kind,
        keys: &[Bytes],
    ) -> Option<Place> {
        let waiting = &hub.waiting;
        let mut names: Vec<Name> = Vec::with_capacity(keys.len());
        for key in keys {
            let name = (relation.0, kind, key.clone());
            if !names.contains(&name) || keys.len() > 1_000 {
                names.push(name);
            }
        }
        if waiting.places.fetch_add(names.len(), Ordering::SeqCst) + names.len() > PLACES_MAX {
            waiting.places.fetch_sub(names.len(), Ordering::SeqCst);
            return None;
        }
        let woken = Arc::new(Notify::new());
        // What comes through other doors is announced, too.
        hub.feed.enter(hub);
        let mut queues = waiting.queues.lock();
        for name in &names {
            let queue = queues.entry(name.clone()).or_default();
            queue.push_back(Arc::clone(&woken));
        }
        drop(queues);
        Some(Place {
            hub: Arc::clone(hub),
            names,
            woken,
        })
    }

    /// Whether it is the first in one of its queues, or takes nothing from others.
    pub(crate) fn is_first(&self) -> bool {
        let queues = self.hub.waiting.queues.lock();
        self.names.iter().any(|name| {
            name.1 == Kind::Stream
                || queues
                    .get(name)
                    .and_then(VecDeque::front)
                    .is_some_and(|first| Arc::ptr_eq(first, &self.woken))
        })
    }

    /// Waits until there may be something.
    pub(crate) async fn woken(&self) {
        self.woken.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let waiting = &self.hub.waiting;
        let mut queues = waiting.queues.lock();
        for name in &self.names {
            let Some(queue) = queues.get_mut(name) else {
                continue;
            };
            queue.retain(|waiter| !Arc::ptr_eq(waiter, &self.woken));
            if queue.is_empty() {
                queues.remove(name);
            } else if name.1 != Kind::Stream {
                wake_first(queue);
            }
        }
        drop(queues);
        waiting.places.fetch_sub(self.names.len(), Ordering::SeqCst);
        self.hub.feed.leave();
    }
}
