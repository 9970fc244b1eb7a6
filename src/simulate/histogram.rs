//! Latencies counted in buckets of at most 1 % width: percentiles of millions of requests in a few kilobytes.

use std::time::Duration;

use serde::Serialize;

/// Buckets per power of two, as a power of two.
const PRECISION: u32 = 7;
const STEPS: u64 = 1 << PRECISION;

/// Counts of latencies in microseconds.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max_us: u64,
}

/// The usual percentiles, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

impl Histogram {
    pub fn record(&mut self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let at = bucket(us);
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += 1;
        self.total += 1;
        self.max_us = self.max_us.max(us);
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: &Self) {
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.max_us = self.max_us.max(other.max_us);
    }

    pub fn count(&self) -> u64 {
        self.total
    }

    /// The latency that `share` (0 to 1) of all do not exceed, at most 1 % too high.
    pub fn at(&self, share: f64) -> Duration {
        let rank = ((self.total as f64) * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_micros(top(at).min(self.max_us));
            }
        }
        Duration::from_micros(self.max_us)
    }

    pub fn percentiles(&self) -> Percentiles {
        let ms = |share| self.at(share).as_secs_f64() * 1e3;
        Percentiles { p50_ms: ms(0.5), p90_ms: ms(0.9), p99_ms: ms(0.99), p999_ms: ms(0.999), max_ms: ms(1.0) }
    }
}

/// Below 128 µs one bucket per microsecond, above 128 buckets per doubling.
fn bucket(us: u64) -> usize {
    let shift = (u64::BITS - us.leading_zeros()).saturating_sub(PRECISION + 1);
    usize::try_from(u64::from(shift) * STEPS + (us >> shift)).unwrap_or(usize::MAX)
}

/// The largest value of a bucket.
fn top(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    let base = bucket - shift * STEPS;
    (((u128::from(base) + 1) << shift) - 1).try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_buckets_are_narrow() {
        let mut last = 0;
        for us in (0..2000).chain([2047, 2048, 4095, 4096, 65_535, 65_536, 1_000_000, 60_000_000, u64::MAX]) {
            let at = bucket(us);
            assert!(at >= last, "{us}: buckets are in order");
            last = at;
            assert!(top(at) >= us, "{us} is in a bucket that ends at {}", top(at));
            assert!(top(at) - us <= us / 100, "{us}: the bucket ends at {}", top(at));
            assert!(at == 0 || top(at - 1) < us, "{us} would fit into the bucket before");
        }
    }

    #[test]
    fn percentiles_are_those_of_the_values() {
        let mut histogram = Histogram::default();
        for us in 1..=100_000 {
            histogram.record(Duration::from_micros(us));
        }
        for share in [0.5, 0.9, 0.99, 0.999] {
            let (is, should) = (histogram.at(share).as_micros() as f64, share * 100_000.0);
            assert!((should..=should * 1.01).contains(&is), "{share}: {is}");
        }
        assert_eq!(histogram.percentiles().max_ms, 100.0);
        assert_eq!(histogram.count(), 100_000);
    }

    #[test]
    fn the_largest_is_exact_and_nothing_is_zero() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentiles(), Percentiles::default());
        histogram.record(Duration::from_micros(123_457));
        assert_eq!(histogram.at(0.5), Duration::from_micros(123_457));
    }

    #[test]
    fn merged_histograms_count_together() {
        let (mut one, mut other) = (Histogram::default(), Histogram::default());
        one.record(Duration::from_millis(1));
        other.record(Duration::from_millis(9));
        other.record(Duration::from_secs(9));
        one.merge(&other);
        assert_eq!(one.count(), 3);
        assert_eq!(one.at(1.0), Duration::from_secs(9));
        assert_eq!(one.at(0.3), Duration::from_micros(1003));
    }
}
