//! LISTEN and NOTIFY: messages of committed transactions for the sessions that listen.
//!
//! A message is a part of its transaction's record in the log. Whoever publishes a commit hands its
//! messages over, right after it became visible: so they come in the order of the commits, and the
//! sender's own session has them when it is told of its commit.
//! LISTEN and UNLISTEN take effect when their transaction is published, just before its messages.
//!
//! A session keeps what its client has not read yet, up to a bound; beyond it the session ends,
//! because a message that is left out in silence would be worse.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::{Mutex, RwLock};
use tessera_executor::ListeningChannels;
use tessera_storage::{Notice, Watcher};
use tessera_types::{Report, Version, codes};

/// Bytes of messages that wait for one client.
const MAILBOX_BYTES_MAX: usize = 8 << 20;
/// Bytes that a message takes beside its texts.
const MESSAGE_OVERHEAD_BYTES: usize = 64;
/// Channels of one session.
pub(crate) const CHANNELS_MAX: usize = 10_000;

/// Who listens to what.
#[derive(Default)]
pub(crate) struct Notifier {
    channels: RwLock<HashMap<Arc<str>, Vec<Arc<Mailbox>>>>,
}

/// What one session listens to, and what waits for its client.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    channels: ListeningChannels,
    letters: Mutex<Letters>,
    /// LISTEN and UNLISTEN in transactions that have not ended.
    pending: AtomicUsize,
}

#[derive(Debug, Default)]
struct Letters {
    queue: VecDeque<Notice>,
    bytes: usize,
    /// There were too many.
    is_over: bool,
    /// The session is gone.
    is_closed: bool,
    waker: Option<Waker>,
}

/// What becomes of a session's channels when its transaction is published.
pub(crate) enum Listening {
    Begin(Arc<str>),
    End(Arc<str>),
    EndAll,
}

/// A change of a session's channels that waits for its commit.
pub(crate) struct PendingChange {
    notifier: Arc<Notifier>,
    mailbox: Arc<Mailbox>,
}

impl Mailbox {
    pub(crate) fn new(channels: ListeningChannels) -> Mailbox {
        Mailbox {
            channels,
            ..Mailbox::default()
        }
    }

    /// Whether UNLISTEN would change anything.
    pub(crate) fn is_idle(&self) -> bool {
        self.pending.load(Ordering::Acquire) == 0 && self.channels.lock().is_empty()
    }

    fn put(&self, notice: &Notice) {
        let mut letters = self.letters.lock();
        if letters.is_over || letters.is_closed {
            return;
        }
        letters.bytes += notice.bytes() + MESSAGE_OVERHEAD_BYTES;
        if letters.bytes > MAILBOX_BYTES_MAX {
            letters.is_over = true;
            letters.queue = VecDeque::new();
        } else {
            letters.queue.push_back(notice.clone());
        }
        let waker = letters.waker.take();
        drop(letters);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether a message is there.
    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut letters = self.letters.lock();
        if letters.is_over || !letters.queue.is_empty() {
            return Poll::Ready(());
        }
        letters.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The messages that are there.
    pub(crate) fn take(&self) -> Result<VecDeque<Notice>, Report> {
        let mut letters = self.letters.lock();
        if letters.is_over {
            return Err(Report::fatal(
                codes::CONFIGURATION_LIMIT_EXCEEDED,
                "terminating connection because it does not read its notifications",
            )
            .with_detail(format!(
                "More than {MAILBOX_BYTES_MAX} bytes of them were waiting."
            )));
        }
        letters.bytes = 0;
        Ok(std::mem::take(&mut letters.queue))
    }
}

impl Notifier {
    /// Notes a change that is made when the caller's transaction is published.
    pub(crate) fn pending(self: &Arc<Self>, mailbox: &Arc<Mailbox>) -> PendingChange {
        mailbox.pending.fetch_add(1, Ordering::AcqRel);
        PendingChange {
            notifier: Arc::clone(self),
            mailbox: Arc::clone(mailbox),
        }
    }

    pub(crate) fn apply(&self, mailbox: &Arc<Mailbox>, change: Listening) {
        let mut channels = self.channels.write();
        match change {
            Listening::Begin(channel) => {
                if mailbox.letters.lock().is_closed
                    || !mailbox.channels.lock().insert(channel.clone())
                {
                    return;
                }
                channels
                    .entry(channel)
                    .or_default()
                    .push(Arc::clone(mailbox));
            }
            Listening::End(channel) => {
                if mailbox.channels.lock().remove(&channel) {
                    leave(&mut channels, &channel, mailbox);
                }
            }
            Listening::EndAll => {
                let mine: BTreeSet<Arc<str>> = std::mem::take(&mut *mailbox.channels.lock());
                for channel in mine {
                    leave(&mut channels, &channel, mailbox);
                }
            }
        }
    }

    /// The session is gone.
    pub(crate) fn close(&self, mailbox: &Arc<Mailbox>) {
        {
            let mut letters = mailbox.letters.lock();
            letters.is_closed = true;
            letters.queue = VecDeque::new();
        }
        self.apply(mailbox, Listening::EndAll);
    }
}

fn leave(
    channels: &mut HashMap<Arc<str>, Vec<Arc<Mailbox>>>,
    channel: &Arc<str>,
    mailbox: &Arc<Mailbox>,
) {
    if let Some(listeners) = channels.get_mut(channel) {
        listeners.retain(|listener| !Arc::ptr_eq(listener, mailbox));
        if listeners.is_empty() {
            channels.remove(channel);
        }
    }
}

impl Watcher for Notifier {
    fn published(&self, _: Version, notices: &[Notice]) {
        if notices.is_empty() {
            return;
        }
        let channels = self.channels.read();
        for notice in notices {
            for listener in channels.get(&notice.channel).into_iter().flatten() {
                listener.put(notice);
            }
        }
    }
}

impl PendingChange {
    /// The transaction is published.
    pub(crate) fn make(self, change: Listening) {
        self.notifier.apply(&self.mailbox, change);
    }
}

impl Drop for PendingChange {
    fn drop(&mut self) {
        self.mailbox.pending.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(channel: &str, payload: &str) -> Notice {
        Notice {
            channel: channel.into(),
            payload: payload.into(),
            process_id: 1,
        }
    }

    fn payloads(mailbox: &Mailbox) -> Vec<String> {
        let taken = mailbox.take().expect("there is room");
        taken
            .iter()
            .map(|notice| notice.payload.to_string())
            .collect()
    }

    #[test]
    fn a_message_reaches_those_who_listen_when_it_is_published() {
        let notifier = Arc::new(Notifier::default());
        let mailbox = Arc::new(Mailbox::default());
        notifier.published(Version(1), &[notice("a", "early")]);
        notifier.apply(&mailbox, Listening::Begin("a".into()));
        notifier.apply(&mailbox, Listening::Begin("a".into()));
        notifier.published(
            Version(2),
            &[notice("a", "1"), notice("b", "2"), notice("a", "3")],
        );
        assert_eq!(payloads(&mailbox), ["1", "3"]);
        notifier.apply(&mailbox, Listening::End("a".into()));
        notifier.published(Version(3), &[notice("a", "late")]);
        assert_eq!(payloads(&mailbox), [""; 0]);
        assert!(notifier.channels.read().is_empty());
    }

    #[test]
    fn a_full_mailbox_ends_its_session_and_keeps_nothing() {
        let notifier = Arc::new(Notifier::default());
        let mailbox = Arc::new(Mailbox::default());
        notifier.apply(&mailbox, Listening::Begin("a".into()));
        let large = notice("a", &"x".repeat(7_999));
        for _ in 0..=MAILBOX_BYTES_MAX / 7_999 {
            notifier.published(Version(1), std::slice::from_ref(&large));
        }
        let report = mailbox.take().expect_err("it is over");
        assert_eq!(report.code, codes::CONFIGURATION_LIMIT_EXCEEDED);
        assert_eq!(mailbox.letters.lock().queue.len(), 0);
    }

    #[test]
    fn a_change_that_is_undone_is_pending_no_more() {
        let notifier = Arc::new(Notifier::default());
        let mailbox = Arc::new(Mailbox::default());
        let change = notifier.pending(&mailbox);
        assert!(!mailbox.is_idle());
        drop(change);
        assert!(mailbox.is_idle());
        notifier
            .pending(&mailbox)
            .make(Listening::Begin("a".into()));
        assert!(!mailbox.is_idle());
        notifier.close(&mailbox);
        notifier
            .pending(&mailbox)
            .make(Listening::Begin("a".into()));
        assert!(mailbox.is_idle(), "a session that is gone does not listen");
    }
}
