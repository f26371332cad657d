//! LISTEN, UNLISTEN, NOTIFY of one session, and the messages for its client.

use std::sync::Arc;
use std::task::{Context, Poll};

use tessera_executor::notice;
use tessera_storage::Notice;
use tessera_types::{Report, codes};

use super::Session;
use super::execute::Outcome;
use super::transaction::TransactionStatus;
use crate::listening::{CHANNELS_MAX, Listening, Mailbox};

impl Session {
    /// LISTEN: from the commit on.
    pub(super) fn listen(&mut self, channel: &str) -> Result<Outcome, Report> {
        if self.state.listening.lock().len() >= CHANNELS_MAX {
            return Err(Report::error(
                codes::PROGRAM_LIMIT_EXCEEDED,
                format!("a session listens to at most {CHANNELS_MAX} channels"),
            ));
        }
        if self.mailbox.is_none() {
            let channels = Arc::clone(&self.state.listening);
            self.mailbox = Some(Arc::new(Mailbox::new(channels)));
        }
        self.change_listening(Listening::Begin(Arc::from(channel)))?;
        Ok(Outcome::command("LISTEN"))
    }

    /// UNLISTEN: from the commit on. Pools send it on every connection they give back: without
    /// anything to end, it costs nothing.
    pub(super) fn unlisten(&mut self, channel: Option<&str>) -> Result<Outcome, Report> {
        if self
            .mailbox
            .as_ref()
            .is_some_and(|mailbox| !mailbox.is_idle())
        {
            self.change_listening(match channel {
                Some(channel) => Listening::End(Arc::from(channel)),
                None => Listening::EndAll,
            })?;
        }
        Ok(Outcome::command("UNLISTEN"))
    }

    fn change_listening(&mut self, change: Listening) -> Result<(), Report> {
        let now = self.now();
        let txn = self.ensure_transaction(now)?;
        if let Some(mailbox) = &self.mailbox {
            let pending = self.engine.shared.notifier.pending(mailbox);
            txn.on_publish(Box::new(move |_| pending.make(change)));
        }
        Ok(())
    }

    /// At once, outside of transactions: DISCARD ALL.
    pub(super) fn unlisten_now(&mut self) {
        if let Some(mailbox) = &self.mailbox {
            let notifier = &self.engine.shared.notifier;
            notifier.apply(mailbox, Listening::EndAll);
        }
    }

    /// NOTIFY: with the commit.
    pub(super) fn notify(
        &mut self,
        channel: &str,
        payload: Option<&str>,
    ) -> Result<Outcome, Report> {
        let process_id = self.entry.process_id;
        let notice = notice(channel, payload.unwrap_or_default(), process_id)?;
        let now = self.now();
        let txn = self.ensure_transaction(now)?;
        txn.notify(notice)?;
        Ok(Outcome::command("NOTIFY"))
    }

    /// Whether messages may come for the client as it is now: not within a transaction block.
    pub fn hears(&self) -> bool {
        self.mailbox.is_some() && self.status() == TransactionStatus::Idle
    }

    /// Whether messages are there to be taken. Ask only a session that hears.
    pub fn poll_notifications(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.mailbox {
            Some(mailbox) => mailbox.poll_ready(cx),
            None => Poll::Pending,
        }
    }

    /// The messages for the client; none within a transaction block.
    ///
    /// # Errors
    /// 53400, fatal: too many were waiting, and some are lost.
    pub fn take_notifications(&mut self) -> Result<impl Iterator<Item = Notice> + use<>, Report> {
        let taken = match &self.mailbox {
            Some(mailbox) if self.hears() => mailbox.take()?,
            _ => Default::default(),
        };
        Ok(taken.into_iter())
    }

    /// Waits for messages; for programs without a protocol.
    pub async fn notifications(&mut self) -> Result<Vec<Notice>, Report> {
        std::future::poll_fn(|cx| self.poll_notifications(cx)).await;
        Ok(self.take_notifications()?.collect())
    }

    pub(super) fn close_mailbox(&mut self) {
        if let Some(mailbox) = self.mailbox.take() {
            self.engine.shared.notifier.close(&mailbox);
        }
    }
}
