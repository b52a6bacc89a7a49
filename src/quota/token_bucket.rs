//! Permits that refill at a rate, up to a burst (Kafka's `TokenBucket`).

use std::time::Duration;

use super::{Window, milliseconds};
use crate::clock::Monotonic;

/// Permits that are left; below 0 when more were taken.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TokenBucket {
    tokens: f64,
    refilled_at: Monotonic,
}

impl TokenBucket {
    /// A full one.
    pub(super) fn new(window: Window, bound: f64, now: Monotonic) -> Self {
        Self { tokens: burst(window, bound), refilled_at: now }
    }

    /// The permits that are left at `now`, where `bound` of them come each second.
    pub(super) fn tokens(&mut self, window: Window, bound: f64, now: Monotonic) -> f64 {
        let elapsed = now.saturating_sub(self.refilled_at).as_secs_f64();
        self.tokens = (self.tokens + bound * elapsed).min(burst(window, bound));
        self.refilled_at = now;
        self.tokens
    }

    /// Takes permits, whether they are there or not.
    pub(super) fn take(&mut self, window: Window, bound: f64, permits: f64, now: Monotonic) {
        self.tokens = (self.tokens(window, bound, now) - permits).min(burst(window, bound));
    }

    /// How long it takes until there are permits again; zero if there are.
    pub(super) fn throttle_time(&mut self, window: Window, bound: f64, now: Monotonic) -> Duration {
        milliseconds(-self.tokens(window, bound, now) / bound * 1000.0)
    }

    /// Whether it is as a new one would be.
    pub(super) fn is_full(&mut self, window: Window, bound: f64, now: Monotonic) -> bool {
        self.tokens(window, bound, now) >= burst(window, bound)
    }
}

fn burst(window: Window, bound: f64) -> f64 {
    f64::from(window.samples) * window.size.as_secs_f64() * bound
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { samples: 11, size: Duration::from_secs(1) };
    const BOUND: f64 = 2.0;

    fn at(seconds: u64) -> Monotonic {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_burst_is_what_a_window_brings_and_a_debt_is_waited_for() {
        let mut bucket = TokenBucket::new(WINDOW, BOUND, at(100));
        assert!((bucket.tokens(WINDOW, BOUND, at(100)) - 22.0).abs() < 1e-9);
        bucket.take(WINDOW, BOUND, 30.0, at(100));
        assert_eq!(bucket.throttle_time(WINDOW, BOUND, at(100)), at(4));
        assert_eq!(bucket.throttle_time(WINDOW, BOUND, at(103)), at(1));
        assert_eq!(bucket.throttle_time(WINDOW, BOUND, at(105)), Duration::ZERO);
        assert!(!bucket.is_full(WINDOW, BOUND, at(114)) && bucket.is_full(WINDOW, BOUND, at(115)));
    }
}
