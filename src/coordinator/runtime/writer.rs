//! What a machine decided becomes batches of the log.

use std::sync::Arc;
use std::time::Duration;

use super::actor::Actor;
use crate::clock::Now;
use crate::coordinator::machine::CoordinatorMachine;
use crate::protocol::ErrorCode;
use crate::protocol::record_batch::BatchBuilder;
use crate::replication::hosted_partition::{HostedPartition, PartitionAppendError};
use crate::replication::partition::RequiredAcks;
use crate::storage::{self, AppendOrigin};

/// Records that are written together fill a batch up to this size, half of the default `max.message.bytes`.
const BATCH_BYTES: usize = 512 << 10;

/// How long a reply waits for its records to be committed, as `offsets.commit.timeout.ms`.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

impl<M: CoordinatorMachine> Actor<M> {
    /// Appends and replays `records`.
    ///
    /// Unlike Kafka, which refuses what does not fit into one batch, the records of a large decision (a commit for
    /// thousands of partitions, the end of a group that has as many) are written as several.
    pub(super) fn append(&mut self, records: &[M::Record], now: Now) -> Result<(), ErrorCode> {
        let mut unwritten = records;
        while !unwritten.is_empty() {
            let batch = first_batch::<M>(unwritten, now)?;
            let appended = self
                .hosted
                .append(&batch.build(), RequiredAcks::All, AppendOrigin::Coordinator, now)
                .map_err(|error| coordinator_error(&error, &self.hosted))?;
            self.last_appended = appended.info.last_offset;
            self.unflushed |= appended.needs_flush;
            let (written, rest) = unwritten.split_at(batch.record_count() as usize);
            for record in written {
                self.machine.replay(record);
            }
            unwritten = rest;
        }
        Ok(())
    }

    /// Waits until everything appended so far is committed, and on disk where that was asked for.
    pub(super) async fn committed(&mut self) -> Result<(), ErrorCode> {
        if self.last_appended < 0 {
            return Ok(());
        }
        if std::mem::take(&mut self.unflushed) {
            let flushed = Arc::clone(&self.hosted).flushed_to(self.last_appended + 1, self.clock.now()).await;
            flushed.map_err(|_| ErrorCode::NotCoordinator)?;
        }
        let end_offset = self.last_appended + 1;
        let committed = Arc::clone(&self.hosted).committed_to(end_offset, &self.clock, COMMIT_TIMEOUT).await;
        committed.map_err(|code| match code {
            ErrorCode::RequestTimedOut => ErrorCode::CoordinatorNotAvailable,
            _ => ErrorCode::NotCoordinator,
        })
    }
}

/// As many of `records` as one batch shall hold, and at least one.
fn first_batch<M: CoordinatorMachine>(records: &[M::Record], now: Now) -> Result<BatchBuilder, ErrorCode> {
    let mut batch = BatchBuilder::new(now.timestamp_ms);
    for record in records {
        let encoded = M::encode(record).map_err(|error| {
            tracing::error!(%error, "a coordinator's record cannot be written");
            ErrorCode::CoordinatorNotAvailable
        })?;
        let size = encoded.key.len() + encoded.value.as_deref().map_or(0, <[u8]>::len);
        if batch.record_count() > 0 && batch.uncompressed_size() + size > BATCH_BYTES {
            break;
        }
        batch.record(Some(&encoded.key), encoded.value.as_deref());
    }
    Ok(batch)
}

/// What a client of a coordinator is told of a failed append, as in Kafka's `CoordinatorPartitionWriter` callers.
fn coordinator_error(error: &PartitionAppendError, hosted: &HostedPartition) -> ErrorCode {
    match error {
        PartitionAppendError::Refused(
            ErrorCode::NotEnoughReplicas | ErrorCode::RequestTimedOut | ErrorCode::UnknownTopicOrPartition,
        ) => ErrorCode::CoordinatorNotAvailable,
        PartitionAppendError::Refused(_) => ErrorCode::NotCoordinator,
        PartitionAppendError::Log(
            storage::AppendError::MessageTooLarge { .. } | storage::AppendError::RecordListTooLarge { .. },
        ) => {
            // One record alone is too large: no fault of ours, and no use in asking again.
            tracing::warn!(%error, "a coordinator's record is larger than its topic allows");
            ErrorCode::UnknownServerError
        }
        PartitionAppendError::Log(storage::AppendError::Storage(error)) => {
            hosted.log_storage_error("appending a coordinator's record", error);
            ErrorCode::NotCoordinator
        }
        PartitionAppendError::Log(error) => {
            tracing::error!(%error, "a coordinator's record could not be appended");
            ErrorCode::NotCoordinator
        }
    }
}
