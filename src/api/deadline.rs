//! How long the controller may take for a request that says so itself.

use std::time::Duration;

use crate::clock::Clock;
use crate::protocol::ErrorCode;

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
