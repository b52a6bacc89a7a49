//! What waits for a point of time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{Clock, ClockSource, ManualTime, Monotonic};

/// Ends when a point of time has come.
pub struct Sleep(SleepKind);

enum SleepKind {
    System(Pin<Box<tokio::time::Sleep>>),
    Manual(Pin<Box<dyn Future<Output = ()> + Send>>),
}

/// That the time was up first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedOut;

/// Comes again and again: a period after the start, and a period after whoever heard it asked for the next one, so that
/// beats that were missed are not made up for.
#[derive(Debug)]
pub struct Beat {
    clock: Clock,
    period: Duration,
    next: Monotonic,
}

impl Clock {
    /// Waits until the clock shows `deadline`.
    pub fn sleep_until(&self, deadline: Monotonic) -> Sleep {
        Sleep(match &self.0 {
            ClockSource::System { start } => {
                SleepKind::System(Box::pin(tokio::time::sleep_until((*start + deadline).into())))
            }
            ClockSource::Manual(time) => SleepKind::Manual(Box::pin(reached(Arc::clone(time), deadline))),
        })
    }

    /// Waits for `duration` from now on.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(self.monotonic().saturating_add(duration))
    }

    /// What `work` gives, if it does so before the clock shows `deadline`.
    pub fn timeout_at<W: Future>(
        &self,
        deadline: Monotonic,
        work: W,
    ) -> impl Future<Output = Result<W::Output, TimedOut>> + use<'_, W> {
        // On the heap: in place it would be there once for each kind of clock, in every handler that waits for it, and
        // the handlers' common future is moved for each request.
        let mut work = Box::pin(work);
        async move {
            match &self.0 {
                ClockSource::System { start } => {
                    tokio::time::timeout_at((*start + deadline).into(), work).await.map_err(|_| TimedOut)
                }
                ClockSource::Manual(time) => tokio::select! {
                    biased;
                    outcome = &mut work => Ok(outcome),
                    () = reached(Arc::clone(time), deadline) => Err(TimedOut),
                },
            }
        }
    }

    /// What `work` gives, if it does so within `duration` from now on.
    pub fn timeout<W: Future>(
        &self,
        duration: Duration,
        work: W,
    ) -> impl Future<Output = Result<W::Output, TimedOut>> + use<'_, W> {
        self.timeout_at(self.monotonic().saturating_add(duration), work)
    }

    /// Beats every `period`, for the first time after one.
    pub fn beat(&self, period: Duration) -> Beat {
        Beat { clock: self.clone(), period, next: self.monotonic().saturating_add(period) }
    }
}

/// Ends when a manual clock shows `deadline`.
async fn reached(time: Arc<ManualTime>, deadline: Monotonic) {
    let mut elapsed = time.elapsed.subscribe();
    // The other side lives in `time`, so that it cannot go away before.
    let _ = elapsed.wait_for(|now| *now >= deadline).await;
}

impl Sleep {
    /// Waits for another point of time from now on. `clock` is the one that the sleep was made by.
    pub(super) fn set(&mut self, clock: &Clock, deadline: Monotonic) {
        match (&mut self.0, &clock.0) {
            (SleepKind::System(sleep), ClockSource::System { start }) => {
                sleep.set(tokio::time::sleep_until((*start + deadline).into()));
            }
            _ => *self = clock.sleep_until(deadline),
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            SleepKind::System(sleep) => sleep.as_mut().poll(context),
            SleepKind::Manual(sleep) => sleep.as_mut().poll(context),
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sleep").finish_non_exhaustive()
    }
}

impl Beat {
    /// Waits for the next beat. One that is not awaited to its end still comes.
    pub async fn next(&mut self) {
        self.clock.sleep_until(self.next).await;
        self.next = self.clock.monotonic().saturating_add(self.period);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::task::Waker;

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn is_ready<F: Future + Unpin>(future: &mut F) -> bool {
        Pin::new(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_manual_clock_wakes_those_whose_time_has_come_and_no_others() {
        let clock = Clock::manual(0);
        let (mut day, mut week) = (clock.sleep(DAY), clock.sleep_until(7 * DAY));
        assert!(!is_ready(&mut day) && !is_ready(&mut week));
        clock.advance(2 * DAY);
        assert!(is_ready(&mut day) && !is_ready(&mut week));
        clock.advance(5 * DAY);
        assert!(is_ready(&mut week));
    }

    #[tokio::test]
    async fn a_sleeper_is_woken_by_the_hand_that_moves_the_clock() {
        let clock = Clock::manual(0);
        let sleeper = tokio::spawn(clock.sleep(DAY));
        tokio::task::yield_now().await;
        clock.advance(DAY);
        sleeper.await.unwrap();
    }

    #[tokio::test]
    async fn work_that_is_done_in_time_is_not_timed_out() {
        for clock in [Clock::system(), Clock::manual(0)] {
            assert_eq!(clock.timeout(DAY, ready(1)).await, Ok(1));
            assert_eq!(clock.timeout_at(Duration::ZERO, pending::<()>()).await, Err(TimedOut));
            // Done is done, even without any time.
            assert_eq!(clock.timeout_at(Duration::ZERO, ready(2)).await, Ok(2));
        }
    }

    #[tokio::test]
    async fn missed_beats_are_not_made_up_for() {
        let clock = Clock::manual(0);
        let mut beat = clock.beat(DAY);
        assert!(!is_ready(&mut Box::pin(beat.next())));
        clock.advance(30 * DAY);
        beat.next().await;
        assert!(!is_ready(&mut Box::pin(beat.next())));
        clock.advance(DAY);
        beat.next().await;
    }
}
