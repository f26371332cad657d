//! Keyspace notifications, and what a command tells others when it is committed.
//! <https://redis.io/docs/latest/develop/use/keyspace-notifications/>

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use smallvec::SmallVec;
use tessera_transactions::Transaction;
use tessera_types::{RelationId, Version};

use super::Hub;
use super::channels::{Kind, Message};

/// Where and which: bits of `notify-keyspace-events`.
pub(crate) const KEYSPACE: u32 = 1;
pub(crate) const KEYEVENT: u32 = 1 << 1;
pub(crate) const GENERIC: u32 = 1 << 2;
pub(crate) const STRING: u32 = 1 << 3;
pub(crate) const LIST: u32 = 1 << 4;
pub(crate) const SET: u32 = 1 << 5;
pub(crate) const HASH: u32 = 1 << 6;
pub(crate) const SORTED_SET: u32 = 1 << 7;
pub(crate) const EXPIRED: u32 = 1 << 8;
const EVICTED: u32 = 1 << 9;
pub(crate) const STREAM: u32 = 1 << 10;
const MODULE: u32 = 1 << 11;
const MISS: u32 = 1 << 12;
const NEW: u32 = 1 << 13;
const ALL: u32 =
    GENERIC | STRING | LIST | SET | HASH | SORTED_SET | EXPIRED | EVICTED | STREAM | MODULE;

const LETTERS: [(char, u32); 15] = [
    ('A', ALL),
    ('g', GENERIC),
    ('$', STRING),
    ('l', LIST),
    ('s', SET),
    ('h', HASH),
    ('z', SORTED_SET),
    ('x', EXPIRED),
    ('e', EVICTED),
    ('t', STREAM),
    ('d', MODULE),
    ('K', KEYSPACE),
    ('E', KEYEVENT),
    ('m', MISS),
    ('n', NEW),
];

/// The bits of some letters; none if there is a letter that means nothing.
pub(crate) fn parse_flags(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0, |flags, letter| {
        let found = LETTERS
            .iter()
            .find(|(known, _)| *known == char::from(*letter))?;
        Some(flags | found.1)
    })
}

/// The letters of some bits, as CONFIG GET answers them.
pub(crate) fn format_flags(flags: u32) -> String {
    let has_all = flags & ALL == ALL;
    LETTERS
        .iter()
        .filter(|(letter, bits)| match letter {
            'A' => has_all,
            _ if has_all && bits & ALL != 0 => false,
            _ => flags & bits != 0,
        })
        .map(|(letter, _)| letter)
        .collect()
}

/// Something that happened to a key.
pub(crate) struct Event {
    pub(crate) class: u32,
    pub(crate) name: &'static str,
    pub(crate) key: Bytes,
}

/// Events of one command, with the commit that they are part of.
pub(crate) struct Told {
    pub(crate) version: Version,
    pub(crate) relation: RelationId,
    pub(crate) database: Option<u32>,
    /// Classes that were on when it ran.
    pub(crate) notified: u32,
    /// Of all classes: what is not published is not to be guessed from the commit either.
    pub(crate) events: Vec<Event>,
    /// The rest of the commit is no event at all.
    pub(crate) is_silent: bool,
}

impl Told {
    /// Publishes what is on.
    pub(crate) fn publish(self, hub: &Hub) {
        let Some(database) = self.database else {
            return;
        };
        if !hub.channels.has_listeners() {
            return;
        }
        let version = self.version;
        for event in self.events {
            if self.notified & event.class == 0 {
                continue;
            }
            let name = Bytes::from_static(event.name.as_bytes());
            let channel = |what: &str, rest: &[u8]| {
                let mut channel = format!("__{what}@{database}__:").into_bytes();
                channel.extend_from_slice(rest);
                Bytes::from(channel)
            };
            let publish = |channel, payload| {
                let message = Message {
                    channel,
                    payload,
                    version,
                };
                hub.channels.publish(Kind::Channel, message);
            };
            if self.notified & KEYSPACE != 0 {
                publish(channel("keyspace", &event.key), name.clone());
            }
            if self.notified & KEYEVENT != 0 {
                publish(channel("keyevent", &name), event.key.clone());
            }
        }
    }
}

/// What a command tells others when its transaction is committed.
pub(crate) struct Effects {
    hub: Arc<Hub>,
    relation: RelationId,
    database: Option<u32>,
    notified: u32,
    ready: SmallVec<[(RelationId, Bytes); 2]>,
    events: Vec<Event>,
    messages: Vec<(Kind, Bytes, Bytes)>,
    is_silent: bool,
}

impl Effects {
    pub(crate) fn new(hub: &Arc<Hub>, relation: RelationId, database: Option<u32>) -> Effects {
        Effects {
            hub: Arc::clone(hub),
            relation,
            database,
            notified: hub.notified.load(Ordering::Relaxed),
            ready: SmallVec::new(),
            events: Vec::new(),
            messages: Vec::new(),
            is_silent: false,
        }
    }

    /// There may be something now that clients wait for.
    pub(crate) fn ready(&mut self, key: &[u8]) {
        self.ready_in(self.relation, key);
    }

    /// The same, in another space.
    pub(crate) fn ready_in(&mut self, relation: RelationId, key: &[u8]) {
        self.ready.push((relation, Bytes::copy_from_slice(key)));
    }

    /// Something happened to a key.
    pub(crate) fn event(&mut self, class: u32, name: &'static str, key: &[u8]) {
        if self.notified != 0 {
            let key = Bytes::copy_from_slice(key);
            self.events.push(Event { class, name, key });
        }
    }

    /// What the command does is no event, as in Redis: FLUSHDB.
    pub(crate) fn silence(&mut self) {
        self.is_silent = self.notified != 0;
    }

    /// A message to publish.
    pub(crate) fn publish(&mut self, kind: Kind, channel: Bytes, payload: Bytes) {
        self.messages.push((kind, channel, payload));
    }

    /// Lets the transaction tell it when it is committed. Within the statement: what is undone is
    /// not told.
    pub(crate) fn attach(self, txn: &Transaction) {
        let is_quiet = self.events.is_empty() && !self.is_silent;
        if self.ready.is_empty() && is_quiet && self.messages.is_empty() {
            return;
        }
        txn.on_publish(Box::new(move |version| self.tell(version)));
    }

    /// Tells it. Messages are not delivered before the version is visible; events are published
    /// when the commit is read, with those of other doors.
    fn tell(self, version: Version) {
        for (relation, key) in &self.ready {
            self.hub.waiting.announce(*relation, key);
        }
        for (kind, channel, payload) in self.messages {
            let message = Message {
                channel,
                payload,
                version,
            };
            self.hub.channels.publish(kind, message);
        }
        if !self.events.is_empty() || self.is_silent {
            self.hub.feed.tell(Told {
                version,
                relation: self.relation,
                database: self.database,
                notified: self.notified,
                events: self.events,
                is_silent: self.is_silent,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_and_written_as_redis_does() {
        let check = |text: &str, expected: Option<&str>| {
            let found = parse_flags(text.as_bytes()).map(format_flags);
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("", Some(""));
        check("KEA", Some("AKE"));
        check("KE$lx", Some("$lxKE"));
        check("g$lshzxetdK", Some("AK"));
        check("Kq", None);
    }
}
