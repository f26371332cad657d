//! What the connections of a port share.
//!
//! - `clients`: who is connected. `channels`: who listens to what.
//! - `waiting`: who waits for keys, in the order of arrival. `combining`: commands on busy keys.
//! - `feed`: follows the commits of all doors for those who wait.
//! - `notifications`: keyspace notifications, and what a command tells others when it is committed.

pub(crate) mod channels;
pub(crate) mod clients;
pub(crate) mod combining;
pub(crate) mod feed;
pub(crate) mod notifications;
pub(crate) mod waiting;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::door::Door;
use crate::options::ServerOptions;
use crate::totals::Totals;
use channels::Channels;
use clients::Clients;
use combining::Combining;
use feed::Feed;
use waiting::Waiting;

/// What the connections of a port share.
pub(crate) struct Hub {
    pub(crate) door: Arc<dyn Door>,
    pub(crate) options: ServerOptions,
    pub(crate) port: u16,
    pub(crate) clients: Clients,
    pub(crate) channels: Channels,
    pub(crate) waiting: Waiting,
    pub(crate) combining: Combining,
    pub(crate) feed: Feed,
    /// Classes of keyspace notifications that are sent.
    pub(crate) notified: AtomicU32,
    pub(crate) totals: Totals,
}

impl Hub {
    /// Switches classes of keyspace notifications on and off.
    pub(crate) fn set_notified(&self, flags: u32) {
        // First the reader, so that every commit from now on is read.
        if flags != 0 {
            self.feed.enter(self);
        }
        if self.notified.swap(flags, Ordering::Relaxed) != 0 {
            self.feed.leave();
        }
    }

    pub(crate) fn new(door: Arc<dyn Door>, options: ServerOptions, port: u16) -> Hub {
        Hub {
            door,
            port,
            clients: Clients::default(),
            channels: Channels::default(),
            waiting: Waiting::default(),
            combining: Combining::default(),
            feed: Feed::default(),
            notified: AtomicU32::new(0),
            totals: Totals::default(),
            options,
        }
    }
}
