//! How fast all cleaners together may read and write (`log.cleaner.io.max.bytes.per.second`; Kafka's `Throttler`).

use std::time::Duration;

use crate::clock::Monotonic;

/// So much may be due before somebody waits for it: waiting often costs more than it evens out. Kafka's `checkIntervalMs`.
const GRACE: Duration = Duration::from_millis(300);

/// Nobody waits longer than this for what was done in one go.
const LONGEST: Duration = Duration::from_hours(1);

/// When what was done so far may have been done. Pure: time is an argument.
#[derive(Debug, Default)]
pub(super) struct IoThrottle {
    due: Monotonic,
    bytes_per_second: f64,
}

impl IoThrottle {
    /// Counts `bytes` at `bytes_per_second`. Returns until when to wait. When that is another rate than before, what was
    /// done at the other one counts no more.
    pub(super) fn note(&mut self, bytes: usize, bytes_per_second: f64, now: Monotonic) -> Option<Monotonic> {
        let seconds = bytes as f64 / bytes_per_second.max(f64::MIN_POSITIVE);
        let takes = Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(LONGEST);
        if bytes_per_second.total_cmp(&self.bytes_per_second).is_ne() {
            (self.due, self.bytes_per_second) = (now, bytes_per_second);
        }
        self.due = self.due.max(now).saturating_add(takes);
        (self.due.saturating_sub(now) > GRACE).then_some(self.due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_and_pauses_are_not_saved_up() {
        let mut throttle = IoThrottle::default();
        let mut now = Duration::from_secs(100);
        let begin = now;
        for _ in 0..100 {
            if let Some(until) = throttle.note(1_000, 10_000.0, now) {
                now = until;
            }
        }
        assert_eq!(now.saturating_sub(begin).as_secs(), 10, "100,000 bytes at 10,000 a second");
        now += Duration::from_secs(1_000);
        assert_eq!(throttle.note(3_000, 10_000.0, now), None);
        assert_eq!(throttle.note(1, 10_000.0, now), Some(now + Duration::from_micros(300_100)));
        assert_eq!(throttle.note(1, 1_000_000.0, now), None, "the rate was raised");
    }

    #[test]
    fn no_rate_waits_for_ever_and_the_default_does_not_wait() {
        let mut throttle = IoThrottle::default();
        assert_eq!(throttle.note(usize::MAX, f64::MAX, Duration::ZERO), None);
        for rate in [0.0, -1.0, f64::NAN, f64::MIN_POSITIVE] {
            let mut throttle = IoThrottle::default();
            assert_eq!(throttle.note(1, rate, Duration::ZERO), Some(LONGEST), "{rate}");
        }
    }
}
