//! A timer for a deadline that moves more often than it passes.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::{Clock, Monotonic, Sleep};

/// Wakes one task at its deadline, whichever that is by then.
///
/// The timer underneath is set anew only for an earlier deadline: one that rings too early costs one needless wake-up,
/// setting it for every request would cost more.
#[derive(Debug)]
pub struct Alarm {
    clock: Clock,
    timer: Sleep,
    /// When the timer rings; `None` while it is not set.
    rings_at: Option<Monotonic>,
}

impl Alarm {
    /// Takes its deadlines from `clock`.
    pub fn new(clock: Clock) -> Self {
        Self { timer: clock.sleep_until(Duration::ZERO), clock, rings_at: None }
    }

    /// Ready, with the time, when `deadline` has passed; else the task is woken then or before.
    pub fn poll(&mut self, deadline: Monotonic, context: &mut Context<'_>) -> Poll<Monotonic> {
        loop {
            if self.rings_at.is_none_or(|rings_at| rings_at > deadline) {
                let now = self.clock.monotonic();
                if now >= deadline {
                    return Poll::Ready(now);
                }
                self.timer.set(&self.clock, deadline);
                self.rings_at = Some(deadline);
            }
            ready!(Pin::new(&mut self.timer).poll(context));
            self.rings_at = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Waker;

    use super::*;

    const TICK: Duration = Duration::from_hours(1);

    fn poll(alarm: &mut Alarm, deadline: Monotonic) -> Poll<Monotonic> {
        alarm.poll(deadline, &mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn a_deadline_that_has_passed_needs_no_timer() {
        let clock = Clock::manual(0);
        clock.advance(2 * TICK);
        assert_eq!(poll(&mut Alarm::new(clock), 2 * TICK), Poll::Ready(2 * TICK));
    }

    #[tokio::test]
    async fn the_timer_moves_for_an_earlier_deadline_alone() {
        let mut alarm = Alarm::new(Clock::manual(0));
        for (deadline, rings_at) in [(5, 5), (9, 5), (3, 3), (5, 3)] {
            assert_eq!(poll(&mut alarm, deadline * 1_000 * TICK), Poll::Pending);
            assert_eq!(alarm.rings_at, Some(rings_at * 1_000 * TICK));
        }
    }

    #[tokio::test]
    async fn it_rings_at_the_deadline_of_then() {
        let clock = Clock::manual(0);
        let mut alarm = Alarm::new(clock.clone());
        // The deadline moves after the timer was set for it: what rings first is too early.
        assert_eq!(poll(&mut alarm, TICK), Poll::Pending);
        clock.advance(TICK);
        let moving = async {
            tokio::task::yield_now().await;
            clock.advance(2 * TICK);
        };
        let (rang_at, ()) = tokio::join!(poll_fn(|context| alarm.poll(3 * TICK, context)), moving);
        assert_eq!(rang_at, 3 * TICK);
    }
}
