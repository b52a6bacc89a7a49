//! The two passes over a log: reads, asks the other files, and hands on what is kept. It decides nothing itself.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;

use super::CleanerError;
use super::filter::{BatchFilter, FilterCounts, Filtered, LastRecord, control_record_type};
use super::offset_map::OffsetMap;
use super::plan::{CleanableSegment, LogToClean, group_segments_by_size, overlapping};
use super::transactions::{AbortedTxn, CleanedTransactionMetadata};
use crate::protocol::compression::{Compression, Decompressor};
use crate::protocol::record_batch::{BatchError, RecordBatch, batches};

/// The log that is cleaned, and where what is kept of it goes. Segments are named by their base offsets.
pub trait CleaningIo {
    /// What reading and writing fail with.
    type Error: From<CleanerError>;

    /// Whole batches of a segment from the byte `position` on: at least one, unless the segment ends there, which is an
    /// empty answer. Of an incomplete batch at the end nothing is used; it is read again.
    fn read(&mut self, segment: i64, position: u64) -> Result<Bytes, Self::Error>;

    /// A position in the segment that is not behind the batch with `offset`, by the segment's index; 0 is always right.
    fn position_of(&mut self, segment: i64, offset: i64) -> Result<u64, Self::Error> {
        let _ = (segment, offset);
        Ok(0)
    }

    /// The aborted transactions with data or marker at offsets from `from` to in front of `to`; more do no harm.
    fn aborted_transactions(&mut self, from: i64, to: i64) -> Result<Vec<AbortedTxn>, Self::Error>;

    /// Begins the segment that takes the place of these ones, with the base offset of the first.
    fn begin_group(&mut self, segments: &[CleanableSegment]) -> Result<(), Self::Error>;

    /// Appends a batch to that segment.
    fn append(&mut self, batch: RecordBatch) -> Result<(), Self::Error>;

    /// Ends that segment, flushes it and swaps it in; its transaction index holds `aborted`. Its time of last change
    /// becomes that of the last segment of the group.
    fn end_group(&mut self, aborted: Vec<AbortedTxn>) -> Result<(), Self::Error>;

    /// Whether the cleaning shall end before it is done; asked once per read.
    fn should_stop(&mut self) -> bool;

    /// Told of bytes that were read or written: waits until that is no more than what the cleaner may
    /// (`log.cleaner.io.max.bytes.per.second`).
    fn throttle(&mut self, bytes: usize);
}

/// What a cleaning goes by, beside the segments.
#[derive(Debug, Clone, Copy)]
pub struct CleaningSetting<'a> {
    /// What is to be cleaned.
    pub log: LogToClean,
    /// When the cleaning began, milliseconds since the Unix epoch.
    pub now_ms: i64,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
    /// `segment.bytes`.
    pub segment_bytes: u64,
    /// `segment.index.bytes`.
    pub segment_index_bytes: u64,
    /// The topic's `compression.type` for batches that are written anew; `None` for a batch's own.
    pub compression: Option<Compression>,
    /// `max.message.bytes`.
    pub max_message_bytes: usize,
    /// How many bytes a batch may decompress to.
    pub decompressed_limit: usize,
    /// By producer id. To be taken after [`LogToClean::new`] has said what is to be cleaned.
    pub last_records_of_active_producers: &'a HashMap<i64, LastRecord>,
}

/// What a cleaning has done so far (Kafka's `CleanerStats`).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CleanerStats {
    /// Bytes read by the first pass.
    pub map_bytes_read: u64,
    /// Records read by the first pass.
    pub map_messages_read: u64,
    /// Bytes of batches read by the second pass.
    pub bytes_read: u64,
    /// Bytes of the batches that were kept.
    pub bytes_written: u64,
    /// Records read and kept by the second pass.
    pub messages: FilterCounts,
    /// The share of the map that keys took, from 0 to 1.
    pub buffer_utilization: f64,
}

/// The first pass: takes the keys of the dirty part into `map`, which must be new. `segments` are all of the log's.
///
/// Returns the offset up to which the log can be cleaned with the map: the end of what is cleanable, or less when the map
/// is full.
///
/// # Errors
/// What reading fails with; [`CleanerError::Batch`] for a damaged batch, [`CleanerError::Aborted`] when told to stop.
pub fn build_offset_map<I: CleaningIo>(
    io: &mut I,
    segments: &[CleanableSegment],
    setting: &CleaningSetting<'_>,
    map: &mut OffsetMap,
    stats: &mut CleanerStats,
) -> Result<i64, I::Error> {
    let LogToClean { first_dirty_offset: start, first_uncleanable_offset: end, .. } = setting.log;
    let dirty = segments.get(overlapping(segments, start, end)).unwrap_or_default();
    if dirty.is_empty() {
        return Ok(start);
    }
    let mut pass = MapPass {
        map,
        start,
        transactions: CleanedTransactionMetadata::default(),
        decompressor: Decompressor::default(),
        limit: setting.decompressed_limit,
        stats,
    };
    pass.transactions.add_aborted(io.aborted_transactions(start, end)?);
    for (index, segment) in dirty.iter().enumerate() {
        let position = io.position_of(segment.base_offset, start)?;
        if pass.read_segment(io, segment.base_offset, position)? {
            break;
        }
        // Where offsets are missing at the segment's end, there is nothing to be judged either.
        pass.map.update_latest_offset(dirty.get(index + 1).map_or(end, |next| next.base_offset) - 1);
    }
    pass.stats.buffer_utilization = pass.map.utilization();
    Ok(pass.map.latest_offset() + 1)
}

/// The second pass: writes what is kept of all segments in front of `end_offset`, which is what [`build_offset_map`] has
/// returned, with its `map`.
///
/// # Errors
/// As [`build_offset_map`]. Groups that were ended stay cleaned; the one that was begun is the caller's to throw away.
pub fn clean_segments<I: CleaningIo>(
    io: &mut I,
    segments: &[CleanableSegment],
    setting: &CleaningSetting<'_>,
    map: &OffsetMap,
    end_offset: i64,
    stats: &mut CleanerStats,
) -> Result<(), I::Error> {
    let end = setting.log.first_uncleanable_offset;
    let groups = group_segments_by_size(segments, end_offset, end, setting.segment_bytes, setting.segment_index_bytes);
    let filter = BatchFilter {
        map,
        now_ms: setting.now_ms,
        delete_retention_ms: setting.delete_retention_ms,
        upper_bound_offset: end,
        last_records_of_active_producers: setting.last_records_of_active_producers,
        compression: setting.compression,
        max_message_bytes: setting.max_message_bytes,
        decompressed_limit: setting.decompressed_limit,
    };
    let mut pass = FilterPass {
        filter,
        transactions: CleanedTransactionMetadata::default(),
        decompressor: Decompressor::default(),
        stats,
    };
    for group in groups {
        pass.clean_group(io, segments, group, end)?;
    }
    Ok(())
}

struct MapPass<'a> {
    map: &'a mut OffsetMap,
    start: i64,
    transactions: CleanedTransactionMetadata,
    decompressor: Decompressor,
    limit: usize,
    stats: &'a mut CleanerStats,
}

impl MapPass<'_> {
    /// Takes in the keys of a segment; whether the map is full.
    fn read_segment<I: CleaningIo>(&mut self, io: &mut I, segment: i64, position: u64) -> Result<bool, I::Error> {
        let mut is_full = false;
        read_batches(io, segment, position, |_, batch| {
            self.stats.map_bytes_read += batch.bytes.len() as u64;
            is_full = self.read_batch(batch).map_err(PassFailure::Batch)?;
            Ok(!is_full)
        })?;
        Ok(is_full)
    }

    fn read_batch(&mut self, batch: &RecordBatch) -> Result<bool, BatchError> {
        let header = &batch.header;
        batch.verify_crc()?;
        let is_read = if header.is_control() {
            self.transactions.on_control_batch_read(header, control_record_type(batch)?);
            false
        } else {
            !self.transactions.on_batch_read(header)
        };
        if is_read {
            if self.read_keys(batch)? {
                return Ok(true);
            }
        } else {
            self.stats.map_messages_read += u64::try_from(header.record_count).unwrap_or(0);
        }
        if header.last_offset() >= self.start {
            self.map.update_latest_offset(header.last_offset());
        }
        Ok(false)
    }

    fn read_keys(&mut self, batch: &RecordBatch) -> Result<bool, BatchError> {
        let mut reader = batch.reader(&mut self.decompressor, self.limit)?;
        loop {
            let mut hasher = self.map.hasher();
            let Some(head) = reader.next_record(|piece| hasher.write(piece))? else { return Ok(false) };
            let offset = head.offset(&batch.header);
            if head.has_key && offset >= self.start && !self.map.put(hasher.finish(), offset) {
                return Ok(true);
            }
            self.stats.map_messages_read += 1;
        }
    }
}

struct FilterPass<'a> {
    filter: BatchFilter<'a>,
    transactions: CleanedTransactionMetadata,
    decompressor: Decompressor,
    stats: &'a mut CleanerStats,
}

impl FilterPass<'_> {
    fn clean_group<I: CleaningIo>(
        &mut self,
        io: &mut I,
        segments: &[CleanableSegment],
        group: Range<usize>,
        end: i64,
    ) -> Result<(), I::Error> {
        io.begin_group(segments.get(group.clone()).unwrap_or_default())?;
        for index in group {
            let Some(segment) = segments.get(index) else { break };
            let next = segments.get(index + 1).map_or(end, |next| next.base_offset);
            // The whole segment's, since its transaction index is made anew.
            self.transactions.add_aborted(io.aborted_transactions(segment.base_offset, next)?);
            read_batches(io, segment.base_offset, 0, |io, batch| self.clean_batch(io, batch).map(|()| true))?;
        }
        io.end_group(self.transactions.take_retained())
    }

    fn clean_batch<I: CleaningIo>(&mut self, io: &mut I, batch: &RecordBatch) -> Result<(), PassFailure<I::Error>> {
        self.stats.bytes_read += batch.bytes.len() as u64;
        let Self { filter, transactions, decompressor, stats } = self;
        let filtered = filter.filter(batch, transactions, decompressor, &mut stats.messages);
        let kept = match filtered.map_err(PassFailure::Batch)? {
            Filtered::Unchanged => batch.clone(),
            Filtered::Rewritten(kept) | Filtered::Empty(kept) => kept,
            Filtered::Dropped => return Ok(()),
        };
        let size = kept.bytes.len();
        stats.bytes_written += size as u64;
        io.append(kept).map_err(PassFailure::Io)?;
        io.throttle(size);
        Ok(())
    }
}

/// What went wrong with a batch, before it is said where that is.
enum PassFailure<E> {
    Batch(BatchError),
    Io(E),
}

/// Calls `visit` with each batch of a segment from a position on, until it returns `false`.
fn read_batches<I: CleaningIo>(
    io: &mut I,
    segment: i64,
    mut position: u64,
    mut visit: impl FnMut(&mut I, &RecordBatch) -> Result<bool, PassFailure<I::Error>>,
) -> Result<(), I::Error> {
    let damaged = |position, base_offset, source| CleanerError::Batch { segment, position, base_offset, source };
    loop {
        if io.should_stop() {
            return Err(CleanerError::Aborted.into());
        }
        let bytes = io.read(segment, position)?;
        if bytes.is_empty() {
            return Ok(());
        }
        io.throttle(bytes.len());
        let start = position;
        for batch in batches(&bytes) {
            let batch = batch.map_err(|error| damaged(position, -1, error))?;
            match visit(io, &batch) {
                Ok(true) => position += batch.bytes.len() as u64,
                Ok(false) => return Ok(()),
                Err(PassFailure::Io(error)) => return Err(error),
                Err(PassFailure::Batch(error)) => return Err(damaged(position, batch.header.base_offset, error).into()),
            }
        }
        if position == start {
            return Err(damaged(position, -1, BatchError::Truncated).into());
        }
    }
}
