//! A bound on what hostile or broken clients can make us write into the log. Pure.

use std::time::Duration;

use crate::clock::Monotonic;

/// How many lines a burst may have, and in how much time one more becomes allowed.
const BURST: u32 = 10;
const REFILL_INTERVAL: Duration = Duration::from_secs(1);

/// A token bucket of log lines that counts what it suppresses.
#[derive(Debug)]
pub struct LogLimit {
    tokens: u32,
    refilled_at: Monotonic,
    suppressed: u64,
}

impl LogLimit {
    /// Whether one more line may be written at `now`: then the number of lines suppressed since the last one that was.
    pub fn allow(&mut self, now: Monotonic) -> Option<u64> {
        let intervals = now.saturating_sub(self.refilled_at).as_nanos() / REFILL_INTERVAL.as_nanos();
        if let Ok(intervals @ 1..) = u32::try_from(intervals) {
            self.tokens = self.tokens.saturating_add(intervals).min(BURST);
            self.refilled_at += REFILL_INTERVAL * intervals;
        }
        if self.tokens == 0 {
            self.suppressed += 1;
            return None;
        }
        self.tokens -= 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

impl Default for LogLimit {
    fn default() -> Self {
        Self { tokens: BURST, refilled_at: Monotonic::ZERO, suppressed: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_one_line_per_interval_that_tells_what_was_suppressed() {
        let mut limit = LogLimit::default();
        let start = Duration::from_millis(100);
        assert!((0..BURST).all(|_| limit.allow(start) == Some(0)));
        assert!((0..7).all(|_| limit.allow(start).is_none()));
        assert_eq!(limit.allow(start + REFILL_INTERVAL), Some(7));
        assert_eq!(limit.allow(start + REFILL_INTERVAL), None);
    }
}
