//! What time it is.

use std::time::Duration;

/// Wall clock and monotonic clock.
///
/// Nothing that must be ordered is ordered by the wall clock: it may jump.
pub trait Clock: Send + Sync {
    /// Microseconds since 1970-01-01 00:00:00 UTC; negative before.
    fn unix_micros(&self) -> i64;

    /// Time since an arbitrary fixed moment; never goes back.
    fn monotonic(&self) -> Duration;
}
