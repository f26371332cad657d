//! Publish and subscribe: who listens to what, and the messages that wait for each listener.
//!
//! A message is delivered to those who listen when it is published, at most once. Each listener has
//! a mailbox of bounded size; one that is full cuts its client off.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;
use tessera_keyvalue::glob_matches;
use tessera_types::Version;

/// Subscriptions of one client, of each kind.
pub(crate) const SUBSCRIPTIONS_MAX: usize = 100_000;
/// Bytes that a message in a mailbox takes beside its text.
const MESSAGE_OVERHEAD_BYTES: usize = 64;

/// What is subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Channel,
    Pattern,
    Shard,
}

/// A published message, shared by all who get it.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) channel: Bytes,
    pub(crate) payload: Bytes,
    /// Not to be delivered before this version is visible; 0 for at once.
    pub(crate) version: Version,
}

/// A message for one listener.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) kind: Kind,
    /// What it matched, of a pattern.
    pub(crate) pattern: Option<Bytes>,
    pub(crate) message: Arc<Message>,
}

/// Messages that wait for one listener.
#[derive(Debug)]
pub(crate) struct Mailbox {
    bytes_max: usize,
    state: Mutex<Letters>,
}

#[derive(Debug, Default)]
struct Letters {
    queue: VecDeque<Delivery>,
    bytes: usize,
    is_over: bool,
    waker: Option<Waker>,
}

/// The mailbox was full.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

impl Mailbox {
    pub(crate) fn new(bytes_max: usize) -> Mailbox {
        Mailbox {
            bytes_max,
            state: Mutex::default(),
        }
    }

    fn put(&self, delivery: Delivery) {
        let bytes = size(&delivery);
        let mut letters = self.state.lock();
        if letters.is_over {
            return;
        }
        letters.bytes += bytes;
        if letters.bytes > self.bytes_max {
            letters.is_over = true;
            letters.queue = VecDeque::new();
        } else {
            letters.queue.push_back(delivery);
        }
        let waker = letters.waker.take();
        drop(letters);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether something is there.
    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut letters = self.state.lock();
        if letters.is_over || !letters.queue.is_empty() {
            return Poll::Ready(());
        }
        letters.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The next message.
    pub(crate) fn take(&self) -> Result<Option<Delivery>, Overflow> {
        let mut letters = self.state.lock();
        if letters.is_over {
            return Err(Overflow);
        }
        let delivery = letters.queue.pop_front();
        if let Some(delivery) = &delivery {
            letters.bytes = letters.bytes.saturating_sub(size(delivery));
        }
        Ok(delivery)
    }
}

fn size(delivery: &Delivery) -> usize {
    let Message {
        channel, payload, ..
    } = &*delivery.message;
    channel.len() + payload.len() + MESSAGE_OVERHEAD_BYTES
}

/// Listeners of one name.
type Listeners = Vec<(u64, Arc<Mailbox>)>;
/// In the order of their bytes, so that a client hears of several patterns in one order.
type Names = Mutex<BTreeMap<Bytes, Listeners>>;

/// Who listens to what.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    names: [Names; 3],
    /// Names of channels and patterns: without any, nothing is published.
    listened: AtomicUsize,
}

impl Channels {
    fn names(&self, kind: Kind) -> &Names {
        &self.names[kind as usize]
    }

    pub(crate) fn subscribe(&self, kind: Kind, name: Bytes, client: u64, mailbox: &Arc<Mailbox>) {
        let mut names = self.names(kind).lock();
        let listeners = names.entry(name).or_default();
        listeners.push((client, Arc::clone(mailbox)));
        drop(names);
        self.listened.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn unsubscribe(&self, kind: Kind, name: &Bytes, client: u64) {
        let mut names = self.names(kind).lock();
        let Some(listeners) = names.get_mut(name) else {
            return;
        };
        listeners.retain(|(listener, _)| *listener != client);
        if listeners.is_empty() {
            names.remove(name);
        }
        drop(names);
        self.listened.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether anybody listens to anything.
    pub(crate) fn has_listeners(&self) -> bool {
        self.listened.load(Ordering::Relaxed) > 0
    }

    /// Delivers a message; how many clients get it.
    pub(crate) fn publish(&self, kind: Kind, message: Message) -> u64 {
        if !self.has_listeners() {
            return 0;
        }
        let message = Arc::new(message);
        let mut receivers = 0;
        let mut deliver = |mailbox: &Mailbox, kind, pattern| {
            receivers += 1;
            mailbox.put(Delivery {
                kind,
                pattern,
                message: Arc::clone(&message),
            });
        };
        if let Some(listeners) = self.names(kind).lock().get(&message.channel) {
            for (_, mailbox) in listeners {
                deliver(mailbox, kind, None);
            }
        }
        if kind == Kind::Channel {
            let patterns = self.names(Kind::Pattern).lock();
            for (pattern, listeners) in patterns.iter() {
                if glob_matches(pattern, &message.channel) {
                    for (_, mailbox) in listeners {
                        deliver(mailbox, Kind::Pattern, Some(pattern.clone()));
                    }
                }
            }
        }
        receivers
    }

    /// Names that are listened to, those that match.
    pub(crate) fn matching(&self, kind: Kind, pattern: Option<&[u8]>) -> Vec<Bytes> {
        let names = self.names(kind).lock();
        names
            .keys()
            .filter(|name| pattern.is_none_or(|pattern| glob_matches(pattern, name)))
            .cloned()
            .collect()
    }

    /// Number of listeners of a name.
    pub(crate) fn listeners(&self, kind: Kind, name: &[u8]) -> u64 {
        let names = self.names(kind).lock();
        names
            .get(name)
            .map_or(0, |listeners| listeners.len() as u64)
    }

    /// Number of names that are listened to.
    pub(crate) fn count(&self, kind: Kind) -> u64 {
        self.names(kind).lock().len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(channel: &str, payload: &str) -> Message {
        Message {
            channel: Bytes::copy_from_slice(channel.as_bytes()),
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            version: Version(0),
        }
    }

    #[test]
    fn a_message_reaches_channels_and_patterns_once_each() {
        let channels = Channels::default();
        let mailbox = Arc::new(Mailbox::new(1_000));
        let name = |name: &'static str| Bytes::from_static(name.as_bytes());
        assert_eq!(channels.publish(Kind::Channel, message("news", "x")), 0);
        channels.subscribe(Kind::Channel, name("news"), 1, &mailbox);
        channels.subscribe(Kind::Pattern, name("n*"), 1, &mailbox);
        channels.subscribe(Kind::Shard, name("news"), 1, &mailbox);
        assert_eq!(channels.publish(Kind::Channel, message("news", "x")), 2);
        assert_eq!(channels.publish(Kind::Shard, message("news", "x")), 1);
        channels.unsubscribe(Kind::Channel, &name("news"), 1);
        channels.unsubscribe(Kind::Pattern, &name("n*"), 1);
        assert_eq!(channels.publish(Kind::Channel, message("news", "x")), 0);
        let kinds: Vec<Kind> = std::iter::from_fn(|| mailbox.take().expect("not full"))
            .map(|delivery| delivery.kind)
            .collect();
        assert_eq!(kinds, [Kind::Channel, Kind::Pattern, Kind::Shard]);
    }

    #[test]
    fn a_full_mailbox_says_so_and_keeps_nothing() {
        let channels = Channels::default();
        let mailbox = Arc::new(Mailbox::new(200));
        channels.subscribe(Kind::Channel, Bytes::from_static(b"c"), 1, &mailbox);
        for _ in 0..4 {
            channels.publish(Kind::Channel, message("c", "payload"));
        }
        assert_eq!(mailbox.take().err(), Some(Overflow));
        assert!(mailbox.state.lock().queue.is_empty());
    }
}
