//! What the connections of a port share.
//!
//! - `clients`: who is connected. `channels`: who listens to what.
//! - `waiting`: who waits for keys, in the order of arrival. `combining`: commands on busy keys.
//! - `notifications`: keyspace notifications, and what a command tells others when it is committed.

pub(crate) mod channels;
pub(crate) mod clients;
pub(crate) mod combining;
pub(crate) mod notifications;
pub(crate) mod waiting;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::door::Door;
use crate::options::ServerOptions;
use crate::throttle::Throttle;
use channels::Channels;
use clients::Clients;
use combining::Combining;
use waiting::Waiting;

/// What the connections of a port share.
pub(crate) struct Hub {
    pub(crate) door: Arc<dyn Door>,
    pub(crate) options: ServerOptions,
    pub(crate) port: u16,
    pub(crate) throttle: Throttle,
    pub(crate) clients: Clients,
    pub(crate) channels: Channels,
    pub(crate) waiting: Waiting,
    pub(crate) combining: Combining,
    /// Classes of keyspace notifications that are sent.
    pub(crate) notified: AtomicU32,
    pub(crate) totals: Totals,
}

/// Counters of INFO.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) connections: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) commands: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) input_bytes: AtomicU64,
    pub(crate) output_bytes: AtomicU64,
}

impl Totals {
    /// CONFIG RESETSTAT.
    pub(crate) fn reset(&self) {
        for total in [
            &self.connections,
            &self.rejected,
            &self.commands,
            &self.errors,
            &self.input_bytes,
            &self.output_bytes,
        ] {
            total.store(0, Ordering::Relaxed);
        }
    }
}

impl Hub {
    pub(crate) fn new(door: Arc<dyn Door>, options: ServerOptions, port: u16) -> Hub {
        Hub {
            door,
            port,
            throttle: Throttle::new(options.failed_logins_max),
            clients: Clients::default(),
            channels: Channels::default(),
            waiting: Waiting::default(),
            combining: Combining::default(),
            notified: AtomicU32::new(0),
            totals: Totals::default(),
            options,
        }
    }
}
