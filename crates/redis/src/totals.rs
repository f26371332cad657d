//! What the port counts: for INFO, which CONFIG RESETSTAT sets to zero, and for the server's metrics,
//! which only grow.

use std::sync::atomic::{AtomicU64, Ordering};

use tessera_telemetry::Counter;
use tessera_telemetry::labels::{ConnectionResult, Direction, Protocol};
use tessera_telemetry::metrics;

/// A counter of INFO, and the metric that grows with it.
#[derive(Debug)]
pub(crate) struct Total {
    since_reset: AtomicU64,
    metric: &'static Counter,
}

impl Total {
    fn new(metric: &'static Counter) -> Total {
        Total {
            since_reset: AtomicU64::new(0),
            metric,
        }
    }

    /// Adds; in the form of an atomic's method, since that is what it is for its callers.
    pub(crate) fn fetch_add(&self, count: u64, ordering: Ordering) {
        self.since_reset.fetch_add(count, ordering);
        self.metric.add(count);
    }

    /// What INFO shows.
    pub(crate) fn load(&self, ordering: Ordering) -> u64 {
        self.since_reset.load(ordering)
    }
}

/// Counters of INFO.
#[derive(Debug)]
pub(crate) struct Totals {
    pub(crate) connections: Total,
    pub(crate) rejected: Total,
    pub(crate) commands: Total,
    pub(crate) errors: Total,
    pub(crate) input_bytes: Total,
    pub(crate) output_bytes: Total,
}

impl Default for Totals {
    fn default() -> Totals {
        let metrics = metrics();
        let connections = |result| {
            let attempts = &metrics.connections_total;
            Total::new(attempts.with((Protocol::Redis, result)))
        };
        let bytes = |direction| {
            let bytes = &metrics.network_bytes;
            Total::new(bytes.with((Protocol::Redis, direction)))
        };
        Totals {
            connections: connections(ConnectionResult::Accepted),
            rejected: connections(ConnectionResult::Limit),
            commands: Total::new(&metrics.redis_commands_received),
            errors: Total::new(&metrics.redis_error_replies),
            input_bytes: bytes(Direction::In),
            output_bytes: bytes(Direction::Out),
        }
    }
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
            total.since_reset.store(0, Ordering::Relaxed);
        }
    }
}
