//! Appending: validate, roll if need be, one write, then the state that follows from it.
//!
//! The write may wait for as long as the disk hangs, and is handed out, so that readers do not wait with it. From
//! [`Log::begin_append`] to [`Log::finish_append`] the caller lets nobody append, roll, truncate or begin an epoch.

use std::sync::Arc;

use bytes::Bytes;

use super::Log;
use crate::clock::Now;
use crate::ids::{LeaderEpoch, ProducerIdAndEpoch};
use crate::planted_bugs::{PlantedBug, is_planted};
use crate::protocol::control_records::{EndTransactionMarker, TransactionResult};
use crate::protocol::record_batch::{BatchHeader, HEADER_SIZE, NO_TIMESTAMP, TimestampType};
use crate::storage::cleaner::AbortedTxn;
use crate::storage::log_file::{LogFile, WriteError};
use crate::storage::log_place::LogPlace;
use crate::storage::producer_state::ProducerState;
use crate::storage::segment::{RollCheck, Segment};
use crate::storage::validator::{self, AppendOrigin, Placement, ValidBatch};
use crate::storage::verification::VerificationGuard;
use crate::storage::{AppendError, StorageError, files};

/// What came of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendInfo {
    /// The offset of the first record; of the original ones when it was a duplicate.
    pub first_offset: i64,
    /// The offset of the last record.
    pub last_offset: i64,
    /// The timestamp that the broker gave the records; -1 under `CreateTime`.
    pub log_append_time_ms: i64,
    /// The log's first offset.
    pub log_start_offset: i64,
    /// The largest timestamp of the records.
    pub max_timestamp: i64,
    /// The batch had been appended before, and nothing was written now.
    pub duplicate: bool,
    /// A segment was closed: [`Log::flush_rolled_task`] has something to do.
    pub rolled: bool,
}

/// An append that was decided on, to be written without the log's lock.
#[derive(Debug)]
#[must_use = "nothing is appended before it is run and finished"]
pub struct AppendTask(DecidedAppend);

#[derive(Debug)]
enum DecidedAppend {
    /// The batch had been appended before: there is nothing to write.
    Duplicate(AppendInfo),
    Write(BatchWrite),
}

#[derive(Debug)]
struct BatchWrite {
    header: BatchHeader,
    front: [u8; HEADER_SIZE],
    payload: Bytes,
    /// The file and its size so far; `None` in memory, where there is nothing to wait for.
    target: Option<(Arc<LogFile>, u64)>,
    now_ms: i64,
    rolled: bool,
}

/// An append whose write was done, or has failed.
#[derive(Debug)]
#[must_use = "the log does not know of it before it is finished"]
pub struct WrittenAppend {
    decided: DecidedAppend,
    written: Result<(), WriteError>,
}

impl AppendTask {
    /// Writes. Blocks for as long as the disk hangs.
    pub fn run(self) -> WrittenAppend {
        let written = match &self.0 {
            DecidedAppend::Write(BatchWrite { front, payload, target: Some((file, size)), .. }) => {
                file.append(*size, front, payload)
            }
            DecidedAppend::Write(_) | DecidedAppend::Duplicate(_) => Ok(()),
        };
        WrittenAppend { decided: self.0, written }
    }
}

impl Log {
    /// Appends the one batch in `records` under `leader_epoch`, giving it the next offset. The batch's bytes are
    /// written as they came, behind a patched header.
    pub fn append_as_leader(
        &mut self,
        records: &Bytes,
        leader_epoch: LeaderEpoch,
        origin: AppendOrigin,
        now: Now,
    ) -> Result<AppendInfo, AppendError> {
        let task = self.begin_append(records, leader_epoch, origin, None, now)?;
        self.finish_append(task.run())
    }

    /// The first part of an append: all but the write, and what follows from it. A transaction's first records need the
    /// `guard` that [`Log::begin_verification`] gave out.
    pub fn begin_append(
        &mut self,
        records: &Bytes,
        leader_epoch: LeaderEpoch,
        origin: AppendOrigin,
        guard: Option<VerificationGuard>,
        now: Now,
    ) -> Result<AppendTask, AppendError> {
        self.check_online()?;
        let now_ms = match self.config.message_timestamp_type {
            TimestampType::CreateTime => now.timestamp_ms,
            // The wall clock may be set back; the times in the log are not.
            TimestampType::LogAppendTime => now.timestamp_ms.max(self.last_append_ms),
        };
        let place = Placement { base_offset: self.log_end_offset, leader_epoch, origin, now_ms };
        let batch = validator::validate(records, place, &self.config, &self.decompressors)?;
        if batch.header.has_producer_id() && self.config.transaction_partition_verification_enable {
            self.producers.check_transaction(&batch.header, origin, guard)?;
        }
        let is_one_of_some = batch.header.crc.is_multiple_of(64);
        if is_planted(PlantedBug::AcknowledgeUnwritten) && origin == AppendOrigin::Client && is_one_of_some {
            let info = AppendInfo { duplicate: true, ..self.info(&batch.header, &batch.header, false) };
            return Ok(AppendTask(DecidedAppend::Duplicate(info)));
        }
        if batch.header.is_control() {
            self.check_marker(&batch)?;
        } else if batch.header.has_producer_id()
            && let Some(duplicate) = self.producers.check(&batch.header, origin)?
        {
            return Ok(AppendTask(DecidedAppend::Duplicate(AppendInfo {
                first_offset: duplicate.first_offset(),
                last_offset: duplicate.last_offset,
                log_append_time_ms: duplicate.timestamp,
                log_start_offset: self.log_start_offset,
                max_timestamp: duplicate.timestamp,
                duplicate: true,
                rolled: false,
            })));
        }
        if let (AppendOrigin::Client, Some(place)) = (origin, &self.place) {
            place.state.take_room(records.len())?;
        }
        let (size, max) = (batch.header.size_in_bytes(), self.config.segment_bytes as usize);
        if size > max {
            return Err(AppendError::RecordListTooLarge { size, max });
        }
        let rolled = self.make_room(&[batch.header], now_ms)?;
        self.assign_epoch_start(leader_epoch, batch.header.base_offset)?;
        Ok(AppendTask(DecidedAppend::Write(BatchWrite {
            front: batch.header.to_bytes(),
            header: batch.header,
            payload: batch.payload,
            target: self.active().write_target(),
            now_ms,
            rolled,
        })))
    }

    /// The epochs of a marker; no other control batch is appended by a leader.
    fn check_marker(&self, batch: &ValidBatch) -> Result<(), AppendError> {
        let marker = EndTransactionMarker::parse(&batch.payload);
        let marker = marker.ok_or_else(|| AppendError::invalid("a control batch that is no transaction's marker"))?;
        let BatchHeader { producer_id, producer_epoch, .. } = batch.header;
        let producer = ProducerIdAndEpoch { producer_id, producer_epoch };
        self.producers.check_marker(producer, marker.coordinator_epoch)
    }

    /// The last part of an append: takes in what was written, or why it could not be. When that cannot be undone, the log
    /// directory goes offline before anybody else can append; a full disk only fails this append.
    pub fn finish_append(&mut self, append: WrittenAppend) -> Result<AppendInfo, AppendError> {
        let BatchWrite { header, front, payload, target, now_ms, rolled } = match append.decided {
            DecidedAppend::Duplicate(info) => return Ok(info),
            DecidedAppend::Write(write) => write,
        };
        let appended = match (append.written, target) {
            (Ok(()), Some(_)) => {
                self.active_mut().appended(&[header], now_ms);
                Ok(())
            }
            (Ok(()), None) => self.active_mut().append(&front, &payload, &[header], now_ms),
            (Err(error), _) => Err(error),
        };
        self.note_written(appended, &[header])?;
        self.note_producer(&header, &payload);
        self.last_append_ms = now_ms;
        Ok(self.info(&header, &header, rolled))
    }

    pub(super) fn info(&self, first: &BatchHeader, last: &BatchHeader, rolled: bool) -> AppendInfo {
        let log_append_time_ms = match last.timestamp_type() {
            TimestampType::CreateTime => NO_TIMESTAMP,
            TimestampType::LogAppendTime => last.max_timestamp,
        };
        AppendInfo {
            first_offset: first.base_offset,
            last_offset: last.last_offset(),
            log_append_time_ms,
            log_start_offset: self.log_start_offset,
            max_timestamp: last.max_timestamp,
            duplicate: false,
            rolled,
        }
    }

    /// Begins a new segment if the active one cannot take these batches; says whether it did.
    pub(super) fn make_room(&mut self, headers: &[BatchHeader], now_ms: i64) -> Result<bool, AppendError> {
        let size = headers.iter().map(BatchHeader::size_in_bytes).sum();
        let max_timestamp = headers.iter().map(|header| header.max_timestamp).max().unwrap_or(NO_TIMESTAMP);
        let last_offset = headers.last().map_or(self.log_end_offset, BatchHeader::last_offset);
        let check = RollCheck { size, max_timestamp, last_offset, now_ms };
        if !self.active().should_roll(check, &self.config) {
            return Ok(false);
        }
        let base_offset = headers.first().map_or(self.log_end_offset, |header| header.base_offset);
        let rolled = self.roll_at(base_offset.max(self.log_end_offset), now_ms);
        self.observe(rolled)?;
        Ok(true)
    }

    /// Closes the active segment if it holds as many `bytes`, so that what is in it can be cleaned; says whether it did.
    pub fn roll_from(&mut self, bytes: u64, now: Now) -> Result<bool, StorageError> {
        if self.active().size() < bytes {
            return Ok(false);
        }
        self.check_online()?;
        let rolled = self.roll_at(self.log_end_offset, now.timestamp_ms);
        self.observe(rolled).map(|()| true)
    }

    /// Closes the active segment and begins one at `base_offset`. An empty active segment is replaced: there is
    /// nothing in it to keep (KAFKA-6388). The new file is made when nothing else can fail: one that is left behind,
    /// while the active segment grows past it, would end the log there at the next start.
    pub(super) fn roll_at(&mut self, base_offset: i64, now_ms: i64) -> Result<(), StorageError> {
        let next = Segment::new(self.place.as_ref().map(LogPlace::home), base_offset, &self.config, now_ms);
        if self.active().size() > 0 {
            self.active_mut().write_indexes()?;
        }
        self.save_aborted()?;
        if let Some(place) = &mut self.place {
            place.dir_changes += 1;
            place.snapshots.take(base_offset, &self.producers)?;
        }
        if let Some(file) = next.file() {
            file.ensure_open()?;
        }
        if self.active().size() > 0 {
            self.active_mut().close_indexes();
        } else if let Some(empty) = self.segments.pop()
            && empty.base_offset() != base_offset
        {
            match empty.rename_to_deleted() {
                Ok(renamed) => files::remove_files(&renamed),
                // It is as harmless as it is useless.
                Err(error) => tracing::warn!(%error, "an empty segment stays until the next start"),
            }
        }
        self.segments.push(next);
        Ok(())
    }

    /// Has the active segment's transaction index say everything before the segment is closed. The next flush has it on the
    /// disk before its segment counts as flushed, also where all of the segment's records are: a start believes it then.
    pub(super) fn save_aborted(&mut self) -> Result<(), StorageError> {
        let base_offset = self.active().base_offset();
        if let Some(path) = self.active().transaction_index_path()
            && self.aborted.has_markers_from(base_offset)
        {
            self.aborted.save(base_offset, &path)?;
            self.recovery_point = self.recovery_point.min(base_offset);
        }
        Ok(())
    }

    pub(super) fn note_written(
        &mut self,
        written: Result<(), WriteError>,
        headers: &[BatchHeader],
    ) -> Result<(), StorageError> {
        match written {
            Ok(()) => {
                self.log_end_offset = headers.last().map_or(self.log_end_offset, BatchHeader::next_offset);
                Ok(())
            }
            Err(WriteError::Undone(error)) => self.observe(Err(error)),
            Err(WriteError::Torn(error)) => {
                if let Some(place) = &self.place {
                    place.state.mark_offline(&error.to_string());
                }
                Err(error)
            }
        }
    }

    pub(super) fn note_producer(&mut self, header: &BatchHeader, payload: &[u8]) {
        if header.has_producer_id()
            && let Some(ended) = note_producer(&mut self.producers, header, payload)
            && ended.result == TransactionResult::Abort
        {
            self.note_aborted(header, ended.first_offset);
        }
    }

    /// Takes in that a transaction was aborted whose data begins at `first_offset`, by the marker in `header`.
    fn note_aborted(&mut self, header: &BatchHeader, first_offset: i64) {
        let last_offset = header.last_offset();
        let last_stable_offset = self.producers.first_undecided_offset().unwrap_or(last_offset + 1);
        let aborted = AbortedTxn { producer_id: header.producer_id, first_offset, last_offset, last_stable_offset };
        if !self.aborted.has_markers_from(self.active().base_offset())
            && let Some(place) = &mut self.place
        {
            // The file is a new one.
            place.dir_changes += 1;
        }
        let path = self.active().transaction_index_path();
        self.aborted.push(aborted, path.as_deref());
    }
}

/// A transaction that a marker has ended.
pub(in crate::storage) struct EndedTransaction {
    pub(in crate::storage) result: TransactionResult,
    /// Where its data begins.
    pub(in crate::storage) first_offset: i64,
}

/// Takes a batch that is in the log into the producers' state; `payload` counts only for control batches, which are
/// never compressed. Tells which transaction it has ended, if that held anything.
pub(in crate::storage) fn note_producer(
    producers: &mut ProducerState,
    header: &BatchHeader,
    payload: &[u8],
) -> Option<EndedTransaction> {
    if !header.is_control() {
        producers.append(header);
        return None;
    }
    let marker = EndTransactionMarker::parse(payload)?;
    let first_offset = producers.end_transaction(header, marker)?;
    Some(EndedTransaction { result: marker.result, first_offset })
}
