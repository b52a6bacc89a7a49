//! How much of a thread a request takes, and how long its client waits for that (KIP-124).

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::throttle_time::ThrottleTime;
use crate::broker::quotas::Meter;
use crate::clock::Clock;
use crate::network::Then;

/// The percentage of a thread that one nanosecond in a second is.
const PERCENT_PER_NANOSECOND: f64 = 100.0 / 1e9;

/// Measures the time that one request's handler works; what it waits for is not counted.
///
/// Unlike Kafka, which adds what its network threads take to send an answer, the handler's time alone counts.
#[derive(Debug)]
pub(super) struct Work {
    meter: Meter,
    clock: Clock,
    /// Nanoseconds of the polls that are over.
    done: AtomicU64,
    /// When the poll that is under way has begun, in nanoseconds on the clock.
    began: AtomicU64,
    due: OnceLock<Arc<Due>>,
}

impl Work {
    pub(super) fn new(meter: Meter, clock: Clock) -> Self {
        Self { meter, clock, done: AtomicU64::new(0), began: AtomicU64::new(0), due: OnceLock::new() }
    }

    /// Carries `future` out and counts the time of its polls.
    pub(super) async fn carry_out<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| {
            self.began.store(self.now(), Ordering::Relaxed);
            let polled = future.as_mut().poll(context);
            self.done.fetch_add(self.since_began(), Ordering::Relaxed);
            polled
        })
        .await
    }

    /// What has been worked when this is asked first, from within a poll; it is due when the answer is complete.
    pub(super) fn due(&self) -> Arc<Due> {
        let due = || {
            let nanoseconds = self.done.load(Ordering::Relaxed) + self.since_began();
            let percent = nanoseconds as f64 * PERCENT_PER_NANOSECOND;
            Arc::new(Due { meter: self.meter.clone(), percent, throttle_time: OnceLock::new() })
        };
        Arc::clone(self.due.get_or_init(due))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_nanos()).unwrap_or(u64::MAX)
    }

    fn since_began(&self) -> u64 {
        self.now().saturating_sub(self.began.load(Ordering::Relaxed))
    }
}

/// What a request has taken, to be recorded when its answer is complete.
#[derive(Debug)]
pub(super) struct Due {
    meter: Meter,
    percent: f64,
    throttle_time: OnceLock<Duration>,
}

impl Due {
    /// Records it, the first time that this is asked; how long the client must wait.
    pub(super) fn throttle_time(&self) -> Duration {
        *self.throttle_time.get_or_init(|| self.meter.record(self.percent))
    }
}

/// Has a complete response tell the longer of its own throttle time and that of `due`, and says what follows it.
///
/// A client that is told to wait is not read from for as long, so that one that does not listen gains nothing.
pub(super) fn throttle(response: &mut impl ThrottleTime, due: Option<&Due>) -> Then {
    let own = response.throttle_time();
    let time = request_throttle_time(due).max(own);
    if time > own {
        response.set_throttle_time(time);
    }
    mute(time)
}

/// What follows a request that has no answer.
pub(super) fn throttle_unanswered(own: Duration, due: Option<&Due>) -> Then {
    mute(request_throttle_time(due).max(own))
}

fn request_throttle_time(due: Option<&Due>) -> Duration {
    due.map_or(Duration::ZERO, Due::throttle_time)
}

fn mute(throttle_time: Duration) -> Then {
    if throttle_time.is_zero() { Then::Next } else { Then::Mute(throttle_time) }
}
