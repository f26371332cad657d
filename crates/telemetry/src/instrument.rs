//! Counter, gauge, histogram: atomics that writers on different cores rarely share.

use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::table::Unit;

/// Writers spread over this many cache lines.
const SHARDS: usize = 8;
/// Histograms are large, so they have fewer.
const HISTOGRAM_SHARDS: usize = 2;
/// Buckets per power of two; quantiles are exact to about 10 %.
const STEPS: usize = 4;

fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    MINE.with(|mine| *mine)
}

#[repr(align(64))]
#[derive(Debug, Default)]
struct Padded(AtomicU64);

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter {
    shards: [Padded; SHARDS],
}

impl Counter {
    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds `amount`.
    pub fn add(&self, amount: u64) {
        self.shards[shard() % SHARDS]
            .0
            .fetch_add(amount, Ordering::Relaxed);
    }

    /// The sum so far.
    pub fn value(&self) -> u64 {
        self.shards
            .iter()
            .map(|shard| shard.0.load(Ordering::Relaxed))
            .sum()
    }
}

/// A whole number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Replaces the value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds a positive or negative amount.
    pub fn add(&self, amount: i64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// Adds one now and takes it back when the guard is dropped.
    pub fn enter(&'static self) -> Entered {
        self.add(1);
        Entered(self)
    }

    /// The current value.
    pub fn value(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Keeps a gauge one higher until dropped.
#[derive(Debug)]
pub struct Entered(&'static Gauge);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

/// A number with a fraction that goes up and down.
#[derive(Debug, Default)]
pub struct FloatGauge(AtomicU64);

impl FloatGauge {
    /// Replaces the value.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// The current value.
    pub fn value(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// How often which size occurred, in log-linear buckets.
#[derive(Debug)]
pub struct Histogram {
    range: Range,
    shards: Box<[HistogramShard]>,
}

#[derive(Debug)]
struct HistogramShard {
    sum: AtomicU64,
    buckets: Box<[AtomicU64]>,
}

/// Which sizes a histogram tells apart: powers of two from `2^first` to `2^(first + octaves)`.
#[derive(Debug, Clone, Copy)]
struct Range {
    first: u32,
    octaves: u32,
    /// What one stored unit is in the exposed unit.
    scale: f64,
}

impl Range {
    fn of(unit: Unit) -> Range {
        match unit {
            // Stored in nanoseconds: 1 µs to 137 s.
            Unit::Seconds => Range {
                first: 10,
                octaves: 27,
                scale: 1e-9,
            },
            Unit::Bytes => Range {
                first: 6,
                octaves: 30,
                scale: 1.0,
            },
            Unit::Count | Unit::Ratio | Unit::Timestamp => Range {
                first: 0,
                octaves: 24,
                scale: 1.0,
            },
        }
    }

    fn buckets(self) -> usize {
        self.octaves as usize * STEPS + 2
    }

    /// Bucket `i` holds sizes over `bound(i - 1)` up to and including `bound(i)`.
    fn bucket(self, size: u64) -> usize {
        let below = size.saturating_sub(1);
        let Some(exponent) = below
            .checked_ilog2()
            .filter(|exponent| *exponent >= self.first)
        else {
            return 0;
        };
        if exponent >= self.first + self.octaves {
            return self.buckets() - 1;
        }
        // Steps over 2^exponent, rounded up: `size` is at most twice that power.
        let over = size - (1 << exponent);
        let step = (over * STEPS as u64).div_ceil(1 << exponent) - 1;
        1 + (exponent - self.first) as usize * STEPS + step as usize
    }

    fn bound(self, bucket: usize) -> f64 {
        let (octave, step) = (bucket / STEPS, bucket % STEPS);
        let base = (self.first as usize + octave) as f64;
        base.exp2() * (1.0 + step as f64 / STEPS as f64) * self.scale
    }
}

impl Histogram {
    pub(crate) fn new(unit: Unit) -> Histogram {
        let range = Range::of(unit);
        let shard = || HistogramShard {
            sum: AtomicU64::new(0),
            buckets: (0..range.buckets()).map(|_| AtomicU64::new(0)).collect(),
        };
        Histogram {
            range,
            shards: (0..HISTOGRAM_SHARDS).map(|_| shard()).collect(),
        }
    }

    /// Records a time.
    pub fn record(&self, time: Duration) {
        self.record_size(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Records a size, in the metric's unit.
    pub fn record_size(&self, size: u64) {
        let shard = &self.shards[shard() % HISTOGRAM_SHARDS];
        shard.sum.fetch_add(size, Ordering::Relaxed);
        shard.buckets[self.range.bucket(size)].fetch_add(1, Ordering::Relaxed);
    }

    /// Records the time until the returned timer is dropped.
    pub fn start(&self) -> Timer<'_> {
        Timer {
            histogram: self,
            start: Instant::now(),
        }
    }

    /// Number of records and their sum in the exposed unit.
    pub fn totals(&self) -> (u64, f64) {
        let counts = self.counts();
        let sum: u64 = self
            .shards
            .iter()
            .map(|shard| shard.sum.load(Ordering::Relaxed))
            .sum();
        (counts.iter().sum(), sum as f64 * self.range.scale)
    }

    /// The size that `share` (0 to 1) of all records do not exceed, in the exposed unit.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let counts = self.counts();
        let total: u64 = counts.iter().sum();
        let wanted = (total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        let bucket = counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        Some(self.range.bound(bucket))
    }

    fn counts(&self) -> Vec<u64> {
        let mut counts = vec![0; self.range.buckets()];
        for shard in &self.shards {
            for (count, bucket) in counts.iter_mut().zip(&shard.buckets) {
                *count += bucket.load(Ordering::Relaxed);
            }
        }
        counts
    }

    /// Cumulative counts at each power of two, then in total.
    pub(crate) fn octaves(&self) -> Vec<(f64, u64)> {
        let counts = self.counts();
        let mut seen = 0;
        let mut octaves = Vec::new();
        for (bucket, count) in counts.iter().enumerate() {
            seen += count;
            if bucket % STEPS == 0 && bucket + 1 < counts.len() {
                octaves.push((self.range.bound(bucket), seen));
            }
        }
        octaves.push((f64::INFINITY, seen));
        octaves
    }
}

/// Records the time since its creation when dropped.
#[derive(Debug)]
pub struct Timer<'a> {
    histogram: &'a Histogram,
    start: Instant,
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        self.histogram.record(self.start.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_add_up_over_threads() {
        let counter = Counter::default();
        std::thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| (0..1000).for_each(|_| counter.increment()));
            }
        });
        assert_eq!(counter.value(), 10_000);
    }

    #[test]
    fn a_size_is_in_the_bucket_whose_bounds_enclose_it() {
        for unit in [Unit::Seconds, Unit::Bytes, Unit::Count] {
            let range = Range::of(unit);
            for exponent in 0..63 {
                for size in [
                    1u64 << exponent,
                    (1 << exponent) + 1,
                    (1 << exponent) * 3 / 2,
                ] {
                    let bucket = range.bucket(size);
                    let exposed = size as f64 * range.scale;
                    let within = range.bound(bucket) * 1.000_000_1;
                    assert!(bucket == range.buckets() - 1 || exposed <= within, "{size}");
                    assert!(
                        bucket == 0 || exposed > range.bound(bucket - 1) * 0.999_999,
                        "{size}"
                    );
                }
            }
        }
    }

    #[test]
    fn quantiles_are_near_the_truth() {
        let histogram = Histogram::new(Unit::Seconds);
        (1..=1000).for_each(|micros| histogram.record(Duration::from_micros(micros)));
        for (share, truth) in [(0.5, 500e-6), (0.99, 990e-6), (1.0, 1000e-6)] {
            let quantile = histogram.quantile(share).unwrap();
            assert!(
                quantile >= truth && quantile < truth * 1.26,
                "{share}: {quantile}"
            );
        }
        let (count, sum) = histogram.totals();
        assert_eq!(count, 1000);
        assert!((sum - 0.5005).abs() < 1e-9);
        assert_eq!(Histogram::new(Unit::Seconds).quantile(0.5), None);
        assert_eq!(histogram.octaves().last().unwrap().1, 1000);
    }
}
