//! How long the controller, or the disk, may take for a request.

use std::time::Duration;

use crate::clock::{Clock, Monotonic};
use crate::protocol::ErrorCode;

/// How long a request waits for the controller that does not say so itself, and whose client asks again when told to: less
/// than clients wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What `work` gives, if it does so within a request's `timeout_ms`.
///
/// Errors: [`ErrorCode::RequestTimedOut`], at once where there is no time at all, as Kafka's controller says of a request
/// whose deadline has passed when its turn comes; otherwise the work may still be done behind it.
pub(super) async fn within<T>(
    clock: &Clock,
    timeout_ms: i32,
    work: impl Future<Output = Result<T, ErrorCode>>,
) -> Result<T, ErrorCode> {
    let timeout_ms = u64::try_from(timeout_ms).unwrap_or(0);
    if timeout_ms == 0 {
        return Err(ErrorCode::RequestTimedOut);
    }
    clock.timeout(Duration::from_millis(timeout_ms), work).await.unwrap_or(Err(ErrorCode::RequestTimedOut))
}

/// What `work` gives, if it does so soon; `late` is what its client asks again upon.
pub(super) async fn soon<T>(
    clock: &Clock,
    late: ErrorCode,
    work: impl Future<Output = Result<T, ErrorCode>>,
) -> Result<T, ErrorCode> {
    clock.timeout(PATIENCE, work).await.unwrap_or(Err(late))
}

/// The time of a request that waits for the disk and then for replicas: its `timeout_ms` from now on.
#[derive(Debug, Clone)]
pub(super) struct Deadline {
    clock: Clock,
    /// `None` where the request has no time.
    at: Option<Monotonic>,
}

impl Deadline {
    /// That of a request which is this far now.
    pub(super) fn new(clock: &Clock, timeout_ms: i32) -> Self {
        let timeout_ms = u64::try_from(timeout_ms).ok().filter(|timeout_ms| *timeout_ms > 0);
        let at = timeout_ms.map(|timeout_ms| clock.monotonic().saturating_add(Duration::from_millis(timeout_ms)));
        Self { clock: clock.clone(), at }
    }

    /// What `work`, which waits for the disk, gives in time.
    ///
    /// Unlike Kafka, where the time is for the replicas alone and the disk is waited for without end. Who gives none waits for
    /// the disk all the same: it would be told that a moment's fsync takes too long.
    ///
    /// Errors: [`ErrorCode::RequestTimedOut`]; the work may still be done behind it.
    pub(super) async fn for_disk<T>(&self, work: impl Future<Output = Result<T, ErrorCode>>) -> Result<T, ErrorCode> {
        match self.at {
            Some(at) => self.clock.timeout_at(at, work).await.unwrap_or(Err(ErrorCode::RequestTimedOut)),
            None => work.await,
        }
    }

    /// What is left of it for the replicas.
    pub(super) fn for_replicas(&self) -> Duration {
        self.at.map_or(Duration::ZERO, |at| at.saturating_sub(self.clock.monotonic()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn who_gives_no_time_waits_for_the_disk_and_not_for_replicas() {
        let clock = Clock::manual(0);
        for timeout_ms in [0, -1] {
            let deadline = Deadline::new(&clock, timeout_ms);
            assert_eq!(deadline.for_replicas(), Duration::ZERO);
            assert_eq!(within(&clock, timeout_ms, ready(Ok(()))).await, Err(ErrorCode::RequestTimedOut));
            let waiting = deadline.for_disk(pending::<Result<(), _>>());
            clock.advance(Duration::from_hours(1));
            assert!(futures_util::poll!(std::pin::pin!(waiting)).is_pending());
        }
    }

    #[tokio::test]
    async fn the_disk_and_the_replicas_share_the_time() {
        let clock = Clock::manual(0);
        let deadline = Deadline::new(&clock, 100);
        assert_eq!(deadline.for_disk(ready(Ok(7))).await, Ok(7));
        clock.advance(Duration::from_millis(60));
        assert_eq!(deadline.for_replicas(), Duration::from_millis(40));
        clock.advance(Duration::from_millis(50));
        assert_eq!(deadline.for_replicas(), Duration::ZERO);
        assert_eq!(deadline.for_disk(pending::<Result<(), _>>()).await, Err(ErrorCode::RequestTimedOut));
    }

    #[tokio::test]
    async fn who_says_nothing_of_time_is_told_to_ask_again() {
        let clock = Clock::manual(0);
        let mut asking = std::pin::pin!(soon(&clock, ErrorCode::LeaderNotAvailable, pending::<Result<(), _>>()));
        assert!(futures_util::poll!(&mut asking).is_pending());
        clock.advance(PATIENCE);
        assert_eq!(asking.await, Err(ErrorCode::LeaderNotAvailable));
    }
}
