//! The only source of time, and of whatever waits for it.
//!
//! Two scales: the wall clock, for what is written into records, and a monotonic one, for every timer, so that a
//! jump of the wall clock neither expires a session nor keeps one alive.

mod alarm;
mod timer;

pub use alarm::Alarm;
pub use timer::{Beat, Sleep, TimedOut};

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// A point on the monotonic scale: the time since the clock was made.
pub type Monotonic = Duration;

/// One reading of both scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Wall clock: milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// Monotonic: time since the clock was made.
    pub monotonic: Monotonic,
}

/// A handle on a clock; clones read the same one.
#[derive(Debug, Clone)]
pub struct Clock(ClockSource);

#[derive(Debug, Clone)]
enum ClockSource {
    System { start: Instant },
    Manual(Arc<ManualTime>),
}

/// The time of a manual clock, and who waits for it.
#[derive(Debug)]
struct ManualTime {
    /// What the wall clock is ahead of `elapsed`, milliseconds.
    start_ms: AtomicI64,
    elapsed: watch::Sender<Monotonic>,
}

impl Clock {
    /// The operating system's clocks.
    pub fn system() -> Self {
        Self(ClockSource::System { start: Instant::now() })
    }

    /// A clock that stands at `timestamp_ms` (milliseconds since the Unix epoch) until [`Clock::advance`] moves it.
    pub fn manual(timestamp_ms: i64) -> Self {
        let elapsed = watch::Sender::new(Duration::ZERO);
        Self(ClockSource::Manual(Arc::new(ManualTime { start_ms: AtomicI64::new(timestamp_ms), elapsed })))
    }

    /// Reads both scales.
    pub fn now(&self) -> Now {
        let monotonic = self.monotonic();
        let timestamp_ms = match &self.0 {
            ClockSource::System { .. } => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
            ClockSource::Manual(time) => time
                .start_ms
                .load(Ordering::Relaxed)
                .saturating_add(i64::try_from(monotonic.as_millis()).unwrap_or(i64::MAX)),
        };
        Now { timestamp_ms, monotonic }
    }

    /// Reads the monotonic scale alone, at half the cost.
    pub fn monotonic(&self) -> Monotonic {
        match &self.0 {
            ClockSource::System { start } => start.elapsed(),
            ClockSource::Manual(time) => *time.elapsed.borrow(),
        }
    }

    /// Moves a manual clock forward on both scales, and wakes those who waited for that; the system's clock moves by
    /// itself and ignores this.
    pub fn advance(&self, by: Duration) {
        if let ClockSource::Manual(time) = &self.0 {
            time.elapsed.send_modify(|elapsed| *elapsed += by);
        }
    }

    /// Lets the wall clock of a manual clock jump by `by_ms` milliseconds, in either direction, as an administrator or NTP does; the
    /// monotonic scale does not move, and nobody is woken. The system's clock ignores this.
    pub fn jump(&self, by_ms: i64) {
        if let ClockSource::Manual(time) = &self.0 {
            time.start_ms.fetch_add(by_ms, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_both_scales_together() {
        let clock = Clock::manual(1_000);
        let same = clock.clone();
        clock.advance(Duration::from_millis(25));
        assert_eq!(same.now(), Now { timestamp_ms: 1_025, monotonic: Duration::from_millis(25) });
    }

    #[test]
    fn a_jump_of_the_wall_clock_leaves_the_monotonic_scale_alone() {
        let clock = Clock::manual(1_000);
        clock.advance(Duration::from_millis(25));
        clock.clone().jump(-500);
        assert_eq!(clock.now(), Now { timestamp_ms: 525, monotonic: Duration::from_millis(25) });
    }
}
