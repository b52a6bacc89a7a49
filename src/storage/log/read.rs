//! Reading: from an offset to a range of one segment, and from a timestamp to an offset.

use super::Log;
use crate::ids::LeaderEpoch;
use crate::storage::cleaner::AbortedTxn;
use crate::storage::segment::{BatchPosition, Segment};
use crate::storage::{LogSlice, ReadError, StorageError};

/// So few aborted transactions are told without finding out where the bytes end that a reader gets.
const ABORTED_WITHOUT_SEARCH: usize = 16;

/// A record found by its timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampOffset {
    /// The record's timestamp, milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// The record's offset.
    pub offset: i64,
    /// The leader epoch under which it was appended; `None` when its batch has none.
    pub leader_epoch: Option<LeaderEpoch>,
}

impl Log {
    /// Finds the batches from `offset` on that end before `upper_bound_offset`, at most `max_bytes` of them; the last
    /// batch may be cut off. A first batch larger than `max_bytes` is given whole with `min_one`, and not at all
    /// without it. One call gives bytes of one segment only.
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`] below the log start offset and above the log end offset.
    pub fn read(
        &self,
        offset: i64,
        max_bytes: usize,
        upper_bound_offset: i64,
        min_one: bool,
    ) -> Result<LogSlice, ReadError> {
        let (log_start_offset, log_end_offset) = (self.log_start_offset, self.log_end_offset);
        if offset < log_start_offset || offset > log_end_offset {
            return Err(ReadError::OutOfRange { offset, log_start_offset, log_end_offset });
        }
        let upper_bound_offset = upper_bound_offset.min(log_end_offset);
        if offset >= upper_bound_offset {
            return Ok(LogSlice::empty());
        }
        for segment in self.segments.iter().skip(self.segment_index(offset)) {
            if let Some(first) = segment.find(offset)? {
                return Ok(self.slice_from(segment, first, max_bytes, upper_bound_offset, min_one)?);
            }
        }
        Ok(LogSlice::empty())
    }

    /// The transactions that were aborted and have records among the `len` bytes that [`Log::read`] gave from `offset` on,
    /// in the order of their markers; as in Kafka, there may be more, from what follows in the log up to
    /// `upper_bound_offset`.
    pub fn aborted_transactions(&self, offset: i64, len: usize, upper_bound_offset: i64) -> Vec<AbortedTxn> {
        let mut ahead = self.aborted.between(offset, upper_bound_offset).peekable();
        if ahead.peek().is_none() {
            return Vec::new();
        }
        let is_more = ahead.nth(ABORTED_WITHOUT_SEARCH).is_some();
        let end = self.end_of_read(offset, is_more.then_some(len)).unwrap_or(upper_bound_offset);
        self.aborted.between(offset, end.min(upper_bound_offset)).collect()
    }

    /// The first offset behind so many bytes from `offset` on in one segment, or behind the segment; `None` where that is the
    /// log's end.
    fn end_of_read(&self, offset: i64, len: Option<usize>) -> Option<i64> {
        let mut segments = self.segments.iter().skip(self.segment_index(offset));
        let (segment, first) = segments.find_map(|segment| Some((segment, segment.find(offset).ok()??)))?;
        let behind = len.and_then(|len| segment.offset_behind(first.position + len as u64));
        behind.or_else(|| segments.next().map(Segment::base_offset))
    }

    /// Whether `offset` lies in an older segment than `upper_bound_offset`: one read does not reach the latter.
    pub fn is_on_older_segment(&self, offset: i64, upper_bound_offset: i64) -> bool {
        self.segment_index(offset) < self.segment_index(upper_bound_offset)
    }

    fn slice_from(
        &self,
        segment: &Segment,
        first: BatchPosition,
        max_bytes: usize,
        upper_bound_offset: i64,
        min_one: bool,
    ) -> Result<LogSlice, StorageError> {
        let end = if upper_bound_offset >= self.log_end_offset {
            segment.size()
        } else {
            segment.find(upper_bound_offset)?.map_or(segment.size(), |batch| batch.position)
        };
        let available = usize::try_from(end.saturating_sub(first.position)).unwrap_or(usize::MAX);
        let wanted = match max_bytes {
            small if small < first.size && !min_one => 0,
            enough => enough.max(first.size),
        };
        match wanted.min(available) {
            0 => Ok(LogSlice::empty()),
            len => Ok(segment.slice(first.position, len)),
        }
    }

    /// The first record with a timestamp of at least `timestamp` (milliseconds since the Unix epoch), if there is one.
    /// May read a whole batch, and decompress it a chunk at a time.
    pub fn offset_for_timestamp(&self, timestamp: i64) -> Result<Option<TimestampOffset>, StorageError> {
        for segment in self.segments.iter().skip(self.segment_index(self.log_start_offset)) {
            if segment.size() == 0 || segment.largest_timestamp() < timestamp {
                continue;
            }
            let mut start_offset = self.log_start_offset.max(segment.base_offset());
            while let Some(batch) = segment.find_timestamp(timestamp, start_offset)? {
                let wanted = |at: i64, offset: i64| at >= timestamp && offset >= start_offset;
                if let Some(found) = self.find_record(segment, batch, wanted)? {
                    return Ok(Some(found));
                }
                let Some(next_offset) = batch.last_offset.checked_add(1) else { break };
                start_offset = next_offset;
            }
        }
        Ok(None)
    }

    /// The first record with the largest timestamp of the log (KIP-734).
    pub fn offset_of_max_timestamp(&self) -> Result<Option<TimestampOffset>, StorageError> {
        let mut latest = None;
        for segment in self.segments.iter().filter(|segment| segment.size() > 0) {
            let max = segment.max_timestamp();
            if latest.is_none_or(|(_, timestamp)| max.timestamp > timestamp) {
                latest = Some((segment, max.timestamp));
            }
        }
        let Some((segment, timestamp)) = latest else { return Ok(None) };
        match segment.find_timestamp(timestamp, segment.base_offset())? {
            Some(batch) => self.find_record(segment, batch, |at, _| at == timestamp),
            None => Ok(None),
        }
    }

    /// The first record of a batch whose timestamp and offset are wanted.
    fn find_record(
        &self,
        segment: &Segment,
        batch: BatchPosition,
        wanted: impl Fn(i64, i64) -> bool,
    ) -> Result<Option<TimestampOffset>, StorageError> {
        let corrupt = |error| segment.corrupt(batch.position, &error);
        let whole = segment.batch_at(batch.position, batch.size)?;
        let header = &whole.header;
        let leader_epoch = Some(header.partition_leader_epoch).filter(|&epoch| epoch >= 0);
        self.decompressors.with(|decompressor| {
            let mut reader = whole.reader(decompressor, self.config.decompressed_limit()).map_err(corrupt)?;
            while let Some(record) = reader.next_head().map_err(corrupt)? {
                let (timestamp, offset) = (record.timestamp(header), record.offset(header));
                if wanted(timestamp, offset) {
                    return Ok(Some(TimestampOffset { timestamp, offset, leader_epoch }));
                }
            }
            Ok(None)
        })
    }
}
