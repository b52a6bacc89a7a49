//! Removing from the log: its old end by retention, its new end by truncation.

use std::path::PathBuf;

use super::{Log, append};
use crate::clock::Now;
use crate::protocol::record_batch::{BatchHeader, HEADER_SIZE, RecordBatch};
use crate::storage::aborted_transactions::AbortedTransactions;
use crate::storage::log_place::LogPlace;
use crate::storage::retention::{self, LogSummary, SegmentSummary};
use crate::storage::segment::Segment;
use crate::storage::{StorageError, files};

impl Log {
    /// Deletes the segments that the retention settings and the log start offset let go, never beyond
    /// `high_watermark`, and says how many. Their files are only renamed; see [`Log::take_deleted_files`].
    pub fn delete_old_segments(&mut self, high_watermark: i64, now: Now) -> Result<usize, StorageError> {
        self.delete_segments(high_watermark, now, true)
    }

    /// The same without retention: the segments wholly before the log start offset alone.
    pub fn delete_segments_before_start(&mut self, high_watermark: i64, now: Now) -> Result<usize, StorageError> {
        self.delete_segments(high_watermark, now, false)
    }

    fn delete_segments(&mut self, high_watermark: i64, now: Now, retention: bool) -> Result<usize, StorageError> {
        self.check_online()?;
        let summary = |segment: &Segment| SegmentSummary {
            base_offset: segment.base_offset(),
            size: segment.size(),
            largest_timestamp: segment.largest_timestamp(),
        };
        let summaries: Vec<_> = self.segments.iter().map(summary).collect();
        let log = LogSummary {
            log_start_offset: self.log_start_offset,
            log_end_offset: self.log_end_offset,
            high_watermark,
            now_ms: now.timestamp_ms,
        };
        let count = retention::deletable(&summaries, log, retention.then_some(&self.config));
        if count == 0 {
            return Ok(0);
        }
        let deleted = self.delete_front(count, now);
        self.observe(deleted)?;
        Ok(count)
    }

    fn delete_front(&mut self, count: usize, now: Now) -> Result<(), StorageError> {
        if count == self.segments.len() {
            self.roll_at(self.log_end_offset, now.timestamp_ms)?;
        }
        self.cancel_swap();
        let first_kept = self.segments.get(count).map_or(self.log_end_offset, Segment::base_offset);
        self.increment_log_start_offset(first_kept)?;
        self.aborted.truncate_from_start(first_kept);
        for segment in self.segments.drain(..count) {
            let due = now.monotonic.saturating_add(self.config.file_delete_delay());
            self.deleted_files.extend(segment.rename_to_deleted()?.into_iter().map(|path| (path, due)));
        }
        if let Some(place) = &mut self.place {
            place.snapshots.remove_if(|offset| offset < first_kept)?;
        }
        Ok(())
    }

    /// The renamed files whose `file.delete.delay.ms` is over: the caller removes them
    /// ([`remove_files`](crate::storage::remove_files)) without the lock.
    pub fn take_deleted_files(&mut self, now: Now) -> Vec<PathBuf> {
        let due = self.deleted_files.extract_if(.., |(_, due)| *due <= now.monotonic);
        due.map(|(path, _)| path).collect()
    }

    /// Whether there are renamed files whose delay is not over.
    pub fn has_deleted_files(&self) -> bool {
        !self.deleted_files.is_empty()
    }

    /// Makes everything before `offset` unreadable; says whether anything changed. The caller sees to it that it is
    /// not beyond the high watermark.
    pub fn increment_log_start_offset(&mut self, offset: i64) -> Result<bool, StorageError> {
        if offset <= self.log_start_offset {
            return Ok(false);
        }
        self.log_start_offset = offset;
        // What cannot be read any more need not be flushed.
        self.recovery_point = self.recovery_point.max(offset.min(self.log_end_offset));
        self.epochs.truncate_from_start(offset);
        match self.write_epochs() {
            // On a full disk deletion must go on; the loader does the same to the older file.
            Err(error) if !error.is_fatal() => tracing::warn!(%error, "the leader epochs are not saved"),
            result => result?,
        }
        Ok(true)
    }

    /// Removes the record at `offset` and everything behind it; the batch that holds it goes whole.
    pub fn truncate_to(&mut self, offset: i64, now: Now) -> Result<(), StorageError> {
        self.check_online()?;
        self.epochs.truncate_from_end(offset);
        self.write_epochs()?;
        if offset >= self.log_end_offset {
            return Ok(());
        }
        if self.segments.first().is_some_and(|first| first.base_offset() > offset) {
            return self.truncate_fully_and_start_at(offset, now);
        }
        let truncated = self.truncate_segments(offset, now);
        self.observe(truncated)
    }

    fn truncate_segments(&mut self, offset: i64, now: Now) -> Result<(), StorageError> {
        self.cancel_swap();
        let keep = self.segments.partition_point(|segment| segment.base_offset() <= offset);
        for segment in self.segments.drain(keep..) {
            files::remove_files(&segment.rename_to_deleted()?);
        }
        self.active_mut().truncate_to(offset, now.timestamp_ms)?;
        let Some(active) = self.segments.last() else { unreachable!("a log always has a segment") };
        self.aborted.truncate_to(offset, active)?;
        self.log_end_offset = offset;
        self.log_start_offset = self.log_start_offset.min(offset);
        self.recovery_point = self.recovery_point.min(offset);
        self.truncations += 1;
        self.truncate_cleaner_offset();
        self.reload_producers(now)
    }

    /// Removes everything; the log is empty and goes on at `offset`.
    pub fn truncate_fully_and_start_at(&mut self, offset: i64, now: Now) -> Result<(), StorageError> {
        self.check_online()?;
        let truncated = self.start_anew(offset, now);
        self.observe(truncated)
    }

    fn start_anew(&mut self, offset: i64, now: Now) -> Result<(), StorageError> {
        self.cancel_swap();
        let segment = Segment::new(self.place.as_ref().map(LogPlace::home), offset, &self.config, now.timestamp_ms);
        for old in std::mem::replace(&mut self.segments, vec![segment]) {
            files::remove_files(&old.rename_to_deleted()?);
        }
        if let Some(file) = self.active().file() {
            file.ensure_open()?;
        }
        self.log_start_offset = offset;
        self.log_end_offset = offset;
        self.recovery_point = self.recovery_point.min(offset);
        self.truncations += 1;
        self.truncate_cleaner_offset();
        self.aborted = AbortedTransactions::default();
        self.epochs.truncate_from_end(0);
        self.write_epochs()?;
        self.reload_producers(now)
    }

    /// Derives the producers' state from the newest snapshot and the batches behind it.
    pub(in crate::storage) fn reload_producers(&mut self, now: Now) -> Result<(), StorageError> {
        self.producers.clear();
        let mut from = self.log_start_offset;
        if let Some(place) = &mut self.place {
            let (start, end) = (self.log_start_offset, self.log_end_offset);
            place.snapshots.remove_if(|offset| offset > end || offset <= start)?;
            if let Some(offset) = place.snapshots.load(&mut self.producers)? {
                self.producers.expire(now.timestamp_ms, self.config.producer_id_expiration_ms);
                from = offset;
            }
        }
        if from >= self.log_end_offset {
            return Ok(());
        }
        for segment in self.segments.iter().skip(self.segment_index(from)) {
            let Ok(Some(first)) = segment.find(from) else { continue };
            let mut position = first.position;
            while let Some(header) = intact_header(segment, position)? {
                if header.has_producer_id() && header.is_control() {
                    let RecordBatch { bytes, .. } = segment.batch_at(position, header.size_in_bytes())?;
                    append::note_producer(&mut self.producers, &header, bytes.get(HEADER_SIZE..).unwrap_or_default());
                } else if header.has_producer_id() {
                    append::note_producer(&mut self.producers, &header, &[]);
                }
                position += header.size_in_bytes() as u64;
            }
        }
        Ok(())
    }
}

/// The header at `position`. Damage counts as the segment's end: it must not keep the other records from being served.
fn intact_header(segment: &Segment, position: u64) -> Result<Option<BatchHeader>, StorageError> {
    match segment.header_at(position) {
        Err(error @ StorageError::Corrupt { .. }) => {
            tracing::warn!(%error, "the producers of the batches behind the damage are not known");
            Ok(None)
        }
        result => result,
    }
}
