//! Deleting records from the front (KIP-107), on this replica and on the others.

use std::sync::Arc;

use super::{Hosted, HostedPartition};
use crate::clock::Monotonic;
use crate::protocol::ErrorCode;
use crate::replication::delayed::{Awaited, Wait, Waiters};

/// The offset by which everything that is committed is deleted (`DeleteRecordsRequest.HIGH_WATERMARK`).
const HIGH_WATERMARK: i64 = -1;

/// A partition, for whoever waits for where its followers' logs begin.
struct FollowerStarts(Arc<HostedPartition>);

impl Awaited for FollowerStarts {
    fn waiters(&self) -> &Waiters {
        &self.0.follower_starts
    }
}

impl HostedPartition {
    /// Makes everything before `offset` unreadable, or everything that is committed for -1, and answers the first offset
    /// that is left. What is before that already is no error.
    ///
    /// Errors: [`ErrorCode::PolicyViolation`] where compaction alone removes records, [`ErrorCode::OffsetOutOfRange`]
    /// beyond the high watermark, [`ErrorCode::KafkaStorageError`], and those of leadership.
    pub fn delete_records(&self, offset: i64) -> Result<i64, ErrorCode> {
        self.with_leader(-1, |Hosted { partition, log, .. }| {
            if !log.config().delete {
                return Err(ErrorCode::PolicyViolation);
            }
            let high_watermark = partition.high_watermark();
            let offset = if offset == HIGH_WATERMARK { high_watermark } else { offset };
            if !(0..=high_watermark).contains(&offset) {
                return Err(ErrorCode::OffsetOutOfRange);
            }
            log.increment_log_start_offset(offset).map_err(|error| self.storage_error(&error))?;
            Ok(log.log_start_offset())
        })
    }

    /// Waits until no replica that lives has anything before `offset`, and answers the low watermark: the first offset that
    /// any of them has. `now` tells the time.
    ///
    /// Errors: those of leadership.
    pub async fn deleted_to(self: Arc<Self>, offset: i64, now: impl Fn() -> Monotonic) -> Result<i64, ErrorCode> {
        loop {
            let wait = Wait::register([Arc::new(FollowerStarts(Arc::clone(&self)))]);
            let low_watermark = self.low_watermark(now())?;
            if low_watermark >= offset {
                return Ok(low_watermark);
            }
            wait.woken().await;
        }
    }

    fn low_watermark(&self, now: Monotonic) -> Result<i64, ErrorCode> {
        self.with(|Hosted { partition, log, .. }| {
            let low_watermark = partition.low_watermark(log.log_start_offset(), &self.moment(now));
            low_watermark.ok_or(ErrorCode::NotLeaderOrFollower)
        })
    }
}
