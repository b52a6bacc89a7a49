//! Numbers that many connections count up at once, without a lock.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts `more`.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// What was counted.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The first bucket's bound is so many microseconds, as a power of two: 64 us, which few requests stay below.
const FIRST_BOUND_LOG2: u32 = 6;

/// How many buckets have a bound; the last one is 2^24 us, which is 17 s and above every wait of Kafka's defaults but that
/// of a rebalance.
const BOUNDS: usize = 19;

/// Times by their length: buckets whose bounds double, and the sum.
#[derive(Debug)]
pub struct Histogram {
    /// What is not above each bound and above the one before; the last bucket has no bound.
    buckets: [Counter; BOUNDS + 1],
    nanoseconds: Counter,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: array::from_fn(|_| Counter::default()), nanoseconds: Counter::default() }
    }
}

impl Histogram {
    /// Counts one time.
    pub fn observe(&self, time: Duration) {
        self.observe_nanoseconds(nanoseconds(time));
    }

    /// Counts the time from `begin` to `end`, both of one clock; it is in the path of every request, and cheaper so than by
    /// the difference of two durations.
    pub fn observe_between(&self, begin: Duration, end: Duration) {
        self.observe_nanoseconds(nanoseconds(end).saturating_sub(nanoseconds(begin)));
    }

    fn observe_nanoseconds(&self, nanoseconds: u64) {
        // A time that is a bound belongs below it, so that what is above by a nanosecond goes on.
        let above = (nanoseconds.saturating_sub(1) / 1_000) >> FIRST_BOUND_LOG2;
        let bucket = (u64::BITS - above.leading_zeros()) as usize;
        if let Some(bucket) = self.buckets.get(bucket.min(BOUNDS)) {
            bucket.add(1);
        }
        self.nanoseconds.add(nanoseconds);
    }

    /// The bounds, in seconds, each with how many times were not above it.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        self.buckets.iter().take(BOUNDS).zip(FIRST_BOUND_LOG2..).scan(0, |sum, (bucket, log2)| {
            *sum += bucket.value();
            Some((Duration::from_micros(1 << log2).as_secs_f64(), *sum))
        })
    }

    /// How many times were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(Counter::value).sum()
    }

    /// All times together.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.value())
    }
}

/// In 64 bits, which are cheaper than the 128 of `as_nanos` and enough for 584 years, with no regard to longer ones.
fn nanoseconds(time: Duration) -> u64 {
    time.as_secs().wrapping_mul(1_000_000_000).wrapping_add(time.subsec_nanos().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least bound, in microseconds, that a time is not above; `None` above all of them.
    fn bound_of(time: Duration) -> Option<f64> {
        let histogram = Histogram::default();
        histogram.observe(time);
        assert_eq!((histogram.count(), histogram.sum()), (1, time));
        histogram.cumulative().find(|(_, count)| *count == 1).map(|(bound, _)| (bound * 1e6).round())
    }

    #[test]
    fn a_time_counts_below_the_least_bound_that_it_is_not_above() {
        let us = Duration::from_micros;
        for (time, bound) in [
            (Duration::ZERO, 64.0),
            (us(1), 64.0),
            (us(64), 64.0),
            (us(64) + Duration::from_nanos(1), 128.0),
            (us(128), 128.0),
            (us(129), 256.0),
            (us(1 << 24), 16_777_216.0),
        ] {
            assert_eq!(bound_of(time), Some(bound), "{time:?}");
        }
        assert_eq!(bound_of(us((1 << 24) + 1)), None);
        assert_eq!(bound_of(Duration::from_hours(24 * 365)), None);
    }

    #[test]
    fn a_time_between_two_is_their_difference_and_never_less_than_nothing() {
        let histogram = Histogram::default();
        let at = |seconds, nanoseconds| Duration::new(seconds, nanoseconds);
        histogram.observe_between(at(1, 999_999_999), at(2, 1));
        histogram.observe_between(at(2, 1), at(2, 0));
        assert_eq!((histogram.count(), histogram.sum()), (2, Duration::from_nanos(2)));
    }

    #[test]
    fn buckets_are_told_with_those_below_them() {
        let histogram = Histogram::default();
        for us in [10, 100, 100, 20_000_000] {
            histogram.observe(Duration::from_micros(us));
        }
        let cumulative: Vec<u64> = histogram.cumulative().map(|(_, count)| count).collect();
        assert_eq!((cumulative[0], cumulative[1], cumulative[BOUNDS - 1]), (1, 3, 3));
        assert_eq!((histogram.count(), histogram.sum()), (4, Duration::from_micros(20_000_210)));
    }
}
