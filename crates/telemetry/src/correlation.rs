//! The id that ties log lines, errors and clients together.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Identifies one connection or request in the log. Unique within a server process, and very
/// likely between restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CorrelationId(u64);

static NEXT: AtomicU64 = AtomicU64::new(0);

impl CorrelationId {
    /// Seeds the ids of this process; call once at start with a random number.
    pub fn seed(random: u64) {
        NEXT.store(random, Ordering::Relaxed);
    }

    /// A new id. Consecutive ids look unrelated.
    pub fn next() -> CorrelationId {
        // The finalizer of SplitMix64 (Steele, Lea, Flood 2014): a bijection, so ids never repeat.
        let mut id = NEXT.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        id = (id ^ (id >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        id = (id ^ (id >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        CorrelationId(id ^ (id >> 31))
    }
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_do_not_repeat() {
        let ids: std::collections::HashSet<_> =
            (0..10_000).map(|_| CorrelationId::next()).collect();
        assert_eq!(ids.len(), 10_000);
        assert_eq!(CorrelationId(1).to_string(), "0000000000000001");
    }
}
