//! SUBSCRIBE and its kin.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::{Result, Session};
use crate::fault::Fault;
use crate::hub::channels::{Delivery, Kind, SUBSCRIPTIONS_MAX};
use crate::reply::Reply;
use crate::request::Request;
use crate::table::Command;

const KINDS: [Kind; 3] = [Kind::Channel, Kind::Pattern, Kind::Shard];

/// What a client listens to.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    names: [BTreeSet<Bytes>; 3],
}

impl Subscriptions {
    pub(super) fn count(&self) -> usize {
        self.names.iter().map(BTreeSet::len).sum()
    }

    /// What SUBSCRIBE answers: channels and patterns together, shard channels apart.
    fn shown(&self, kind: Kind) -> usize {
        match kind {
            Kind::Shard => self.names[2].len(),
            Kind::Channel | Kind::Pattern => self.names[0].len() + self.names[1].len(),
        }
    }
}

impl Session {
    /// SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE
    pub(super) fn subscribe(
        &mut self,
        command: Command,
        request: &Request,
        reply: &mut Reply,
    ) -> Result<()> {
        let (kind, word) = match command {
            Command::Psubscribe => (Kind::Pattern, "psubscribe"),
            Command::Ssubscribe => (Kind::Shard, "ssubscribe"),
            _ => (Kind::Channel, "subscribe"),
        };
        let names = &mut self.subscriptions.names[kind as usize];
        if names.len() + request.len() - 1 > SUBSCRIPTIONS_MAX {
            return Err(Fault::Text(format!(
                "ERR too many subscriptions (at most {SUBSCRIPTIONS_MAX})"
            )));
        }
        for at in 1..request.len() {
            // Without the buffer that it came in.
            let name = Bytes::copy_from_slice(request.arg(at));
            let names = &mut self.subscriptions.names[kind as usize];
            if names.insert(name.clone()) {
                let mailbox = Arc::clone(&self.mailbox);
                self.hub
                    .channels
                    .subscribe(kind, name, self.client.id, &mailbox);
            }
            reply.push(3);
            reply.bulk(word);
            reply.bulk(request.arg(at));
            reply.count(self.subscriptions.shown(kind) as u64);
        }
        self.show_subscriptions();
        Ok(())
    }

    /// UNSUBSCRIBE, PUNSUBSCRIBE, SUNSUBSCRIBE; without names, from all.
    pub(super) fn unsubscribe(&mut self, command: Command, request: &Request, reply: &mut Reply) {
        let (kind, word) = match command {
            Command::Punsubscribe => (Kind::Pattern, "punsubscribe"),
            Command::Sunsubscribe => (Kind::Shard, "sunsubscribe"),
            _ => (Kind::Channel, "unsubscribe"),
        };
        let names: Vec<Bytes> = if request.len() > 1 {
            (1..request.len()).map(|at| request.bytes(at)).collect()
        } else {
            let names = &self.subscriptions.names[kind as usize];
            names.iter().cloned().collect()
        };
        if names.is_empty() {
            reply.push(3);
            reply.bulk(word);
            reply.null();
            reply.count(self.subscriptions.shown(kind) as u64);
        }
        for name in names {
            self.forget(kind, &name);
            reply.push(3);
            reply.bulk(word);
            reply.bulk(&name);
            reply.count(self.subscriptions.shown(kind) as u64);
        }
        self.show_subscriptions();
    }

    fn forget(&mut self, kind: Kind, name: &Bytes) {
        if self.subscriptions.names[kind as usize].remove(name) {
            self.hub.channels.unsubscribe(kind, name, self.client.id);
        }
    }

    pub(super) fn unsubscribe_all(&mut self) {
        for kind in KINDS {
            let names = std::mem::take(&mut self.subscriptions.names[kind as usize]);
            for name in names {
                self.hub.channels.unsubscribe(kind, &name, self.client.id);
            }
        }
        self.show_subscriptions();
    }

    fn show_subscriptions(&self) {
        for kind in KINDS {
            let count = self.subscriptions.names[kind as usize].len();
            self.client.subscriptions[kind as usize].store(count, Ordering::Relaxed);
        }
    }

    /// PUBSUB CHANNELS and its kin.
    pub(super) fn pubsub(&self, command: Command, request: &Request, reply: &mut Reply) {
        let channels = &self.hub.channels;
        match command {
            Command::PubsubChannels | Command::PubsubShardchannels => {
                let kind = match command {
                    Command::PubsubChannels => Kind::Channel,
                    _ => Kind::Shard,
                };
                let pattern = (request.len() > 2).then(|| request.arg(2));
                reply.bulks(&channels.matching(kind, pattern));
            }
            Command::PubsubNumsub | Command::PubsubShardnumsub => {
                let kind = match command {
                    Command::PubsubNumsub => Kind::Channel,
                    _ => Kind::Shard,
                };
                reply.array((request.len() - 2) * 2);
                for at in 2..request.len() {
                    reply.bulk(request.arg(at));
                    reply.count(channels.listeners(kind, request.arg(at)));
                }
            }
            _ => reply.count(channels.count(Kind::Pattern)),
        }
    }
}

/// A message as its listener gets it.
pub(crate) fn put_delivery(delivery: &Delivery, reply: &mut Reply) {
    let message = &delivery.message;
    match (&delivery.pattern, delivery.kind) {
        (Some(pattern), _) => {
            reply.push(4);
            reply.bulk("pmessage");
            reply.bulk(pattern);
        }
        (None, Kind::Shard) => {
            reply.push(3);
            reply.bulk("smessage");
        }
        (None, _) => {
            reply.push(3);
            reply.bulk("message");
        }
    }
    reply.bulk(&message.channel);
    reply.bulk(&message.payload);
}
