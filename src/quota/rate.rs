//! A rate over a window that moves by samples (Kafka's `Rate` over a `WindowedSum`).

use std::time::Duration;

use super::{Window, milliseconds};
use crate::clock::Monotonic;

/// One part of the window.
#[derive(Debug, Clone, PartialEq)]
struct Sample {
    start: Monotonic,
    last_event: Monotonic,
    value: f64,
}

impl Sample {
    fn new(now: Monotonic) -> Self {
        Self { start: now, last_event: now, value: 0.0 }
    }
}

/// What was recorded of late.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rate {
    /// One more than the window has, for the one that overlaps its beginning.
    samples: Vec<Sample>,
    current: usize,
}

impl Rate {
    pub(super) fn new(now: Monotonic) -> Self {
        Self { samples: vec![Sample::new(now)], current: 0 }
    }

    /// Adds `value` at `now`; a negative one takes back what was added before.
    pub(super) fn record(&mut self, window: Window, value: f64, now: Monotonic) {
        let is_complete = |sample: &Sample| now.saturating_sub(sample.start) >= window.size;
        if self.samples.get(self.current).is_none_or(is_complete) {
            self.advance(window, now);
        }
        if let Some(sample) = self.samples.get_mut(self.current) {
            sample.value += value;
            sample.last_event = now;
        }
    }

    fn advance(&mut self, window: Window, now: Monotonic) {
        self.current = (self.current + 1) % (window.samples as usize + 1);
        if let Some(oldest) = self.samples.get_mut(self.current) {
            *oldest = Sample::new(now);
        } else {
            self.samples.push(Sample::new(now));
            self.current = self.samples.len() - 1;
        }
    }

    /// How long the client must wait for its rate to come back to `bound` (per second), as `QuotaUtils.throttleTime`:
    /// the window grows by it. Zero if the rate is within the bound.
    pub(super) fn throttle_time(&mut self, window: Window, bound: f64, now: Monotonic) -> Duration {
        self.forget_obsolete(window, now);
        let size = self.window_size(window, now);
        let rate = self.samples.iter().map(|sample| sample.value).sum::<f64>() / size.as_secs_f64();
        if rate <= bound { Duration::ZERO } else { milliseconds((rate - bound) / bound * size.as_secs_f64() * 1000.0) }
    }

    /// Whether nothing of what was recorded counts any more.
    pub(super) fn is_idle(&self, window: Window, now: Monotonic) -> bool {
        self.samples.iter().all(|sample| is_obsolete(sample, window, now))
    }

    fn forget_obsolete(&mut self, window: Window, now: Monotonic) {
        for sample in &mut self.samples {
            if is_obsolete(sample, window, now) {
                *sample = Sample::new(now);
            }
        }
    }

    /// The time since the oldest sample began; a client that has just come is taken as one that was silent before, so
    /// that its first request is not a high rate.
    fn window_size(&self, window: Window, now: Monotonic) -> Duration {
        let oldest = self.samples.iter().map(|sample| sample.start).min().unwrap_or(now);
        let elapsed = now.saturating_sub(oldest);
        let full = u32::try_from(elapsed.as_nanos() / window.size.as_nanos().max(1)).unwrap_or(u32::MAX);
        let missing = (window.samples - 1).saturating_sub(full);
        (elapsed + window.size * missing).max(Duration::from_millis(1))
    }
}

fn is_obsolete(sample: &Sample, window: Window, now: Monotonic) -> bool {
    now.saturating_sub(sample.last_event) >= window.size * window.samples
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { samples: 11, size: Duration::from_secs(1) };

    fn at(seconds: f64) -> Monotonic {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_rate_within_the_bound_is_not_throttled() {
        let mut rate = Rate::new(at(5.0));
        for second in 5..60 {
            rate.record(WINDOW, 100.0, at(f64::from(second)));
            assert_eq!(rate.throttle_time(WINDOW, 110.0, at(f64::from(second))), Duration::ZERO, "at {second}");
        }
    }

    /// Ten complete windows are taken as silent before the first one.
    #[test]
    fn the_throttle_time_brings_the_rate_back_to_the_bound() {
        let mut rate = Rate::new(at(0.0));
        rate.record(WINDOW, 2_000.0, at(0.0));
        // 2,000 in 10 s are 200 per second: at 100 per second another 10 s must pass.
        assert_eq!(rate.throttle_time(WINDOW, 100.0, at(0.0)), at(10.0));
        assert_eq!(rate.throttle_time(WINDOW, 100.0, at(0.5)), at(9.5));
        assert_eq!(rate.throttle_time(WINDOW, 200.0, at(0.0)), Duration::ZERO);
        assert_eq!(rate.throttle_time(WINDOW, 100.0, at(11.0)), Duration::ZERO, "forgotten after the window");
    }

    #[test]
    fn what_is_taken_back_was_never_there() {
        let mut rate = Rate::new(at(0.0));
        rate.record(WINDOW, 50.0, at(0.0));
        let before = rate.clone();
        rate.record(WINDOW, 9_000.0, at(0.0));
        rate.record(WINDOW, -9_000.0, at(0.0));
        assert_eq!(rate, before);
    }

    #[test]
    fn samples_are_reused_in_a_circle() {
        let mut rate = Rate::new(at(0.0));
        for second in 0..100 {
            rate.record(WINDOW, 1.0, at(f64::from(second)));
        }
        assert_eq!(rate.samples.len(), 12);
        assert!(!rate.is_idle(WINDOW, at(109.9)) && rate.is_idle(WINDOW, at(110.0)));
    }

    /// A client that waits for as long as it is told, and then sends again, comes out at its quota.
    #[test]
    fn a_client_that_waits_as_told_is_slowed_to_its_quota() {
        let (mut rate, mut now, mut sent) = (Rate::new(at(0.0)), at(0.0), 0.0);
        while now < at(30.0) {
            rate.record(WINDOW, 16_384.0, now);
            sent += 16_384.0;
            now += rate.throttle_time(WINDOW, 100_000.0, now).max(Duration::from_millis(1));
        }
        let (burst, per_second) = (100_000.0 * 10.0, sent / now.as_secs_f64());
        assert!(sent <= 100_000.0 * 30.0 + burst + 16_384.0, "{per_second} per second");
        assert!(sent >= 100_000.0 * 30.0 * 0.9, "{per_second} per second");
    }
}
