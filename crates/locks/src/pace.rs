//! Durations that follow what is observed: when to look for a deadlock, when to give up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A wait is worth a search for deadlocks after this many times the usual wait.
const DELAY_FACTOR: u64 = 2;
/// Weight of the past in the usual wait: 15 of 16.
const USUAL_WEIGHT: u64 = 16;
/// A hold may last this many times the 99th percentile before waiters give up.
const TIMEOUT_FACTOR: u64 = 64;
/// Least and most of the adaptive time-out.
const TIMEOUT_MIN: Duration = Duration::from_secs(5);
const TIMEOUT_MAX: Duration = Duration::from_secs(120);
/// Observed holds after which the older ones count half.
const HOLDS_MAX: u64 = 4_096;
/// Sizes of holds told apart: powers of two of microseconds.
const BUCKETS: usize = 40;

/// What was observed of waits and holds. Touched only by requests that wait.
#[derive(Debug)]
pub(crate) struct Pace {
    delay_min: Duration,
    delay_max: Duration,
    usual_wait_us: AtomicU64,
    holds: [AtomicU64; BUCKETS],
    holds_len: AtomicU64,
}

impl Pace {
    pub(crate) fn new(delay_min: Duration, delay_max: Duration) -> Pace {
        Pace {
            delay_min,
            delay_max: delay_max.max(delay_min),
            usual_wait_us: AtomicU64::new(0),
            holds: std::array::from_fn(|_| AtomicU64::new(0)),
            holds_len: AtomicU64::new(0),
        }
    }

    /// How long a request waits before it looks for a deadlock.
    pub(crate) fn detection_delay(&self) -> Duration {
        let usual = self.usual_wait_us.load(Ordering::Relaxed);
        Duration::from_micros(usual * DELAY_FACTOR).clamp(self.delay_min, self.delay_max)
    }

    /// A wait ended by being granted.
    pub(crate) fn waited(&self, waited: Duration) {
        // One very long wait must not hide the next deadlocks.
        let us = micros(waited.min(self.delay_max));
        let usual = self.usual_wait_us.load(Ordering::Relaxed);
        let next = usual - usual / USUAL_WEIGHT + us / USUAL_WEIGHT;
        self.usual_wait_us.store(next, Ordering::Relaxed);
    }

    /// A search found a deadlock: waiting with the next one costs more than looking.
    pub(crate) fn deadlock_found(&self) {
        let usual = self.usual_wait_us.load(Ordering::Relaxed);
        self.usual_wait_us.store(usual / 2, Ordering::Relaxed);
    }

    /// A lock that others waited for was held for so long.
    pub(crate) fn held(&self, held: Duration) {
        let bucket = (64 - micros(held).leading_zeros() as usize).min(BUCKETS - 1);
        self.holds[bucket].fetch_add(1, Ordering::Relaxed);
        if self.holds_len.fetch_add(1, Ordering::Relaxed) == HOLDS_MAX {
            self.holds_len.store(0, Ordering::Relaxed);
            for bucket in &self.holds {
                let count = bucket.load(Ordering::Relaxed);
                bucket.fetch_sub(count / 2, Ordering::Relaxed);
            }
        }
    }

    /// How long to wait for a lock by default: far longer than holds usually last.
    pub(crate) fn timeout(&self) -> Duration {
        let counts: Vec<u64> = self
            .holds
            .iter()
            .map(|b| b.load(Ordering::Relaxed))
            .collect();
        let total: u64 = counts.iter().sum();
        if total == 0 {
            return TIMEOUT_MAX;
        }
        let mut above = total / 100;
        for (bucket, count) in counts.iter().enumerate().rev() {
            if *count > above {
                let p99 = Duration::from_micros(1 << bucket);
                return (p99 * TIMEOUT_FACTOR as u32).clamp(TIMEOUT_MIN, TIMEOUT_MAX);
            }
            above -= count;
        }
        TIMEOUT_MAX
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> Pace {
        Pace::new(Duration::from_millis(1), Duration::from_millis(20))
    }

    #[test]
    fn the_delay_follows_waits_between_its_bounds() {
        let pace = pace();
        assert_eq!(pace.detection_delay(), Duration::from_millis(1));
        for _ in 0..200 {
            pace.waited(Duration::from_millis(4));
        }
        let usual = pace.detection_delay();
        assert!(
            usual > Duration::from_millis(6) && usual <= Duration::from_millis(8),
            "{usual:?}"
        );
        pace.waited(Duration::from_secs(3_600));
        for _ in 0..200 {
            pace.waited(Duration::from_secs(1));
        }
        assert_eq!(pace.detection_delay(), Duration::from_millis(20));
        for _ in 0..10 {
            pace.deadlock_found();
        }
        assert_eq!(pace.detection_delay(), Duration::from_millis(1));
    }

    #[test]
    fn the_timeout_follows_the_slowest_hundredth_of_holds() {
        let pace = pace();
        assert_eq!(pace.timeout(), Duration::from_secs(120));
        for _ in 0..1_000 {
            pace.held(Duration::from_millis(1));
        }
        assert_eq!(pace.timeout(), Duration::from_secs(5), "the least");
        for _ in 0..50 {
            pace.held(Duration::from_millis(500));
        }
        let timeout = pace.timeout();
        assert!(
            timeout > Duration::from_secs(30) && timeout < Duration::from_secs(40),
            "{timeout:?}"
        );
        for _ in 0..50_000 {
            pace.held(Duration::from_millis(1));
        }
        assert_eq!(pace.timeout(), Duration::from_secs(5), "the past fades");
    }
}
