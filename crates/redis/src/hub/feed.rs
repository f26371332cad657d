//! Follows the commits of all doors, for keyspace notifications and for clients that wait for keys.
//!
//! What a command of this port did is told by the command itself, with its own name: it hands its
//! events in before its commit is visible. What came through another door, or was removed because it
//! expired, is read from the commit. Both are published here, in the order of the commits.
//!
//! # How it costs nothing
//! Commits are read only while somebody is interested: notifications are on, or a client waits for a
//! key. The reader is opened by whoever becomes interested first, before he looks at his keys; so
//! nobody sleeps through a commit.
//!
//! # Not here
//! The command that another door's change would have been: the log has keys and values. A change of a
//! string is told as `set`, of a list as `rpush`, and so on; a removal by the reclaimer as `expired`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ahash::RandomState;
use bytes::Bytes;
use hashbrown::HashSet;
use parking_lot::Mutex;
use tessera_keyvalue::{KeyFacts, ValueType, key_of_change};
use tessera_storage::{ChangeItem, ChangeReader, KeySpace, Origin, Reach, StoreError, Write};
use tessera_types::{RelationId, Version};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Hub;
use super::notifications::{
    EXPIRED, Event, GENERIC, HASH, LIST, SET, SORTED_SET, STREAM, STRING, Told,
};

/// Bytes of commits that are taken from the log at once.
const STEP_BYTES: usize = 64 << 10;
/// What commands have told of commits that were not read yet; beyond it they are not told apart.
const TOLD_MAX: usize = 100_000;

/// Who is interested, and what commands have told.
#[derive(Default)]
pub(crate) struct Feed {
    state: Mutex<State>,
    /// There is a reader for the task.
    opened: Notify,
}

#[derive(Default)]
struct State {
    interested: usize,
    /// The task reads, or is about to.
    is_active: bool,
    reader: Option<Box<dyn ChangeReader>>,
    /// In the order of versions.
    told: VecDeque<Told>,
}

impl Feed {
    /// From now on every commit is read. Called before the caller looks at what he waits for.
    pub(crate) fn enter(&self, hub: &Hub) {
        let mut state = self.state.lock();
        state.interested += 1;
        if state.is_active {
            return;
        }
        match open(hub) {
            Ok(reader) => {
                state.reader = Some(reader);
                state.is_active = true;
                drop(state);
                self.opened.notify_one();
            }
            // A damaged store: there are no commits to wait for.
            Err(error) => tracing::warn!(%error, "cannot follow the commits"),
        }
    }

    /// The caller has lost interest. The task notices at the next commit.
    pub(crate) fn leave(&self) {
        let mut state = self.state.lock();
        state.interested = state.interested.saturating_sub(1);
    }

    /// A command's commit is about to become visible.
    pub(crate) fn tell(&self, told: Told) {
        let mut state = self.state.lock();
        if !state.is_active {
            return;
        }
        if state.told.len() == TOLD_MAX {
            state.told.pop_front();
        }
        state.told.push_back(told);
    }

    /// What commands told of a commit.
    fn told(&self, version: Version) -> Vec<Told> {
        let mut state = self.state.lock();
        let mut found = Vec::new();
        while let Some(told) = state.told.pop_front_if(|told| told.version <= version) {
            if told.version == version {
                found.push(told);
            }
        }
        found
    }

    /// Whether the task may stop reading; then the next who is interested opens a reader.
    fn is_idle(&self) -> bool {
        let mut state = self.state.lock();
        if state.interested > 0 {
            return false;
        }
        state.is_active = false;
        state.told = VecDeque::new();
        true
    }
}

fn open(hub: &Hub) -> Result<Box<dyn ChangeReader>, StoreError> {
    let store = hub.door.transactions().store();
    store.changes(store.newest(), Reach::Visible)
}

/// The task that reads and publishes.
pub(crate) async fn follow(hub: Arc<Hub>, stop: CancellationToken) {
    let feed = &hub.feed;
    loop {
        tokio::select! {
            () = feed.opened.notified() => {}
            () = stop.cancelled() => return,
        }
        let Some(mut reader) = feed.state.lock().reader.take() else {
            continue;
        };
        let mut commit = Commit::default();
        loop {
            let items = match reader.next_items(STEP_BYTES) {
                Ok(items) => items,
                Err(error) => {
                    tracing::warn!(%error, "commits were too fast to follow; some are not told");
                    let Ok(fresh) = open(&hub) else {
                        // Interest that comes later tries again.
                        feed.state.lock().is_active = false;
                        break;
                    };
                    reader = fresh;
                    commit = Commit::default();
                    // Whoever waits looks for himself.
                    hub.waiting.wake_all();
                    continue;
                }
            };
            if items.is_empty() {
                if feed.is_idle() {
                    break;
                }
                tokio::select! {
                    changed = reader.changed() => if changed.is_err() {
                        feed.state.lock().is_active = false;
                        break;
                    },
                    () = stop.cancelled() => return,
                }
                continue;
            }
            for item in items {
                commit.take(&hub, item);
            }
            tokio::task::yield_now().await;
        }
    }
}

/// The commit that is being read.
#[derive(Default)]
struct Commit {
    version: Version,
    is_of_system: bool,
    /// Keys that commands of this port have told of.
    touched: HashSet<(RelationId, Bytes), RandomState>,
    is_silent: bool,
}

impl Commit {
    fn take(&mut self, hub: &Hub, item: ChangeItem) {
        match item {
            ChangeItem::Begin {
                version, origin, ..
            } => self.begin(hub, version, origin),
            ChangeItem::Write {
                space: KeySpace::Rows,
                key,
                write,
            } => {
                if let Some((relation, key)) = key_of_change(&key) {
                    self.key(hub, relation, key, write);
                }
            }
            _ => {}
        }
    }

    fn begin(&mut self, hub: &Hub, version: Version, origin: Origin) {
        *self = Commit {
            version,
            is_of_system: origin == Origin::System,
            ..Commit::default()
        };
        for told in hub.feed.told(version) {
            self.is_silent |= told.is_silent;
            for event in &told.events {
                self.touched.insert((told.relation, event.key.clone()));
            }
            told.publish(hub);
        }
    }

    /// A key's record was written.
    fn key(&self, hub: &Hub, relation: RelationId, key: Bytes, write: Write) {
        let is_put = write.value().is_some();
        if is_put {
            hub.waiting.announce(relation, &key);
        }
        let notified = hub.notified.load(Ordering::Relaxed);
        if notified == 0 || self.is_silent || !hub.channels.has_listeners() {
            return;
        }
        // Rows of a table may look like the record of a key; they are of no database.
        let Some(database) = hub.door.database_of_relation(relation) else {
            return;
        };
        if self.touched.contains(&(relation, key.clone())) {
            return;
        }
        let (class, name) = match write.value().map(KeyFacts::decode) {
            Some(Ok(facts)) => event_of(facts.value_type),
            Some(Err(_)) => return,
            None if self.is_of_system => (EXPIRED, "expired"),
            None => (GENERIC, "del"),
        };
        let told = Told {
            version: self.version,
            relation,
            database: Some(database),
            notified,
            events: vec![Event { class, name, key }],
            is_silent: false,
        };
        told.publish(hub);
    }
}

/// The event that stands for a change of unknown kind.
fn event_of(value_type: ValueType) -> (u32, &'static str) {
    match value_type {
        ValueType::String => (STRING, "set"),
        ValueType::List => (LIST, "rpush"),
        ValueType::Set => (SET, "sadd"),
        ValueType::SortedSet => (SORTED_SET, "zadd"),
        ValueType::Hash => (HASH, "hset"),
        ValueType::Stream => (STREAM, "xadd"),
    }
}
