//! Appending what the partition's leader has validated: as it is, in one write, then the state that follows from it.
//!
//! As with a leader's appends the write is handed out: from [`Log::begin_replica_append`] to
//! [`Log::finish_replica_append`] the caller lets nobody append, roll, truncate or begin an epoch.

use std::sync::Arc;

use bytes::Bytes;

use super::{AppendInfo, Log};
use crate::clock::Now;
use crate::ids::LeaderEpoch;
use crate::protocol::record_batch::{BatchHeader, HEADER_SIZE, NO_TIMESTAMP};
use crate::storage::AppendError;
use crate::storage::log_file::{LogFile, WriteError};
use crate::storage::validator;

/// Batches that were decided on, to be written without the log's lock.
#[derive(Debug)]
#[must_use = "nothing is appended before it is run and finished"]
pub struct ReplicaAppendTask {
    headers: Vec<BatchHeader>,
    whole: Bytes,
    /// The file and its size so far; `None` in memory, where there is nothing to wait for.
    target: Option<(Arc<LogFile>, u64)>,
    now_ms: i64,
    rolled: bool,
}

/// Batches whose write was done, or has failed.
#[derive(Debug)]
#[must_use = "the log does not know of it before it is finished"]
pub struct WrittenReplicaAppend {
    task: ReplicaAppendTask,
    written: Result<(), WriteError>,
}

impl ReplicaAppendTask {
    /// Writes. Blocks for as long as the disk hangs.
    pub fn run(self) -> WrittenReplicaAppend {
        let written = self.target.as_ref().map_or(Ok(()), |(file, size)| file.append(*size, &[], &self.whole));
        WrittenReplicaAppend { task: self, written }
    }
}

impl Log {
    /// Appends batches that came from the partition's leader, as they are, up to the first one of an epoch above
    /// `newest_epoch`: whoever leads in that will tell of it (KAFKA-18723). An incomplete batch at the end is left out, and
    /// so is what one segment cannot take; when there is nothing to append, nothing happens and the first offset is the
    /// log's end.
    ///
    /// Errors: [`AppendError::CorruptMessage`], [`AppendError::OffsetsOutOfOrder`], [`AppendError::UnexpectedOffset`],
    /// [`AppendError::Storage`].
    pub fn append_as_follower(
        &mut self,
        records: &Bytes,
        newest_epoch: LeaderEpoch,
        now: Now,
    ) -> Result<AppendInfo, AppendError> {
        match self.begin_replica_append(records, newest_epoch, now)? {
            Some(task) => self.finish_replica_append(task.run()),
            None => Ok(AppendInfo {
                first_offset: self.log_end_offset,
                last_offset: self.log_end_offset - 1,
                log_append_time_ms: NO_TIMESTAMP,
                log_start_offset: self.log_start_offset,
                max_timestamp: NO_TIMESTAMP,
                duplicate: false,
                rolled: false,
            }),
        }
    }

    /// The first part of that: all but the write, and what follows from it. `None` where there is nothing to append.
    ///
    /// Unlike Kafka, which refuses batches that are together larger than `segment.bytes`, as they may be after a change of
    /// that: as many as fit are taken, and the first one always.
    pub fn begin_replica_append(
        &mut self,
        records: &Bytes,
        newest_epoch: LeaderEpoch,
        now: Now,
    ) -> Result<Option<ReplicaAppendTask>, AppendError> {
        self.check_online()?;
        let mut headers = validator::validate_replicated(records, self.log_end_offset)?;
        let is_newer = |header: &BatchHeader| header.partition_leader_epoch > newest_epoch;
        let expected = headers.iter().position(is_newer).unwrap_or(headers.len());
        headers.truncate(expected.min(fitting(&headers, self.config.segment_bytes as usize)));
        if headers.is_empty() {
            return Ok(None);
        }
        let size: usize = headers.iter().map(BatchHeader::size_in_bytes).sum();
        let rolled = self.make_room(&headers, now.timestamp_ms)?;
        for header in &headers {
            self.assign_epoch_start(header.partition_leader_epoch, header.base_offset)?;
        }
        let (whole, target) = (records.slice(..size), self.active().write_target());
        Ok(Some(ReplicaAppendTask { headers, whole, target, now_ms: now.timestamp_ms, rolled }))
    }

    /// The last part: takes in what was written, or why it could not be.
    pub fn finish_replica_append(&mut self, append: WrittenReplicaAppend) -> Result<AppendInfo, AppendError> {
        let WrittenReplicaAppend { task, written } = append;
        let ReplicaAppendTask { headers, whole, target, now_ms, rolled } = task;
        let appended = match (written, target) {
            (Ok(()), Some(_)) => {
                self.active_mut().appended(&headers, now_ms);
                Ok(())
            }
            (Ok(()), None) => self.active_mut().append(&[], &whole, &headers, now_ms),
            (Err(error), _) => Err(error),
        };
        self.note_written(appended, &headers)?;
        let mut position = 0;
        for header in &headers {
            let end = position + header.size_in_bytes();
            let payload = whole.get(position + HEADER_SIZE..end).unwrap_or_default();
            self.note_producer(header, payload);
            position = end;
        }
        let (Some(first), Some(last)) = (headers.first(), headers.last()) else {
            unreachable!("an append has batches")
        };
        Ok(self.info(first, last, rolled))
    }
}

/// How many of the batches one segment of so many bytes can take, if it is empty; the first one always.
fn fitting(headers: &[BatchHeader], segment_bytes: usize) -> usize {
    let first_offset = headers.first().map_or(0, |first| first.base_offset);
    let mut size = 0;
    let fits = |header: &&BatchHeader| {
        size += header.size_in_bytes();
        let is_near = header.last_offset().saturating_sub(first_offset) <= i64::from(i32::MAX);
        size == header.size_in_bytes() || (size <= segment_bytes && is_near)
    };
    headers.iter().take_while(fits).count()
}
