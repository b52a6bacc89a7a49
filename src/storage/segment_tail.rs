//! Where the batches of a closed segment end, and whether that is where the next segment begins.

use std::ops::Range;

use bytes::Bytes;

use super::StorageError;
use super::segment::Segment;
use crate::protocol::record_batch::{BatchHeader, HEADER_SIZE, RecordBatch};

/// What is behind the last batch is looked at when it is no longer than this: as long as the largest batches.
const MOST_EXAMINED: u64 = 64 << 20;

/// The size of a batch's base offset and of its length, which counts what follows it.
const LENGTH_END: usize = 12;

/// How a closed segment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// With its last batch.
    Whole,
    /// All batches are there, and so many bytes behind them; the segment ends before these.
    Junk(u64),
    /// The batches from this offset on are not there; the segment ends before what is left of the first of them.
    Gone(i64),
    /// From this offset on, at this position, batches are there that cannot be read.
    Damaged(i64, u64),
}

impl Segment {
    /// Finds out how the segment ends, whose successor begins at `next_base`; reads what lies behind the last entry of
    /// the index. In a compacted log the last records may be missing.
    pub(super) fn find_tail(&mut self, next_base: i64, is_compacted: bool) -> Result<Tail, StorageError> {
        let mut position = self.search_start(i64::MAX);
        let mut next_offset = self.base_offset();
        let mut last: Option<(BatchHeader, u64)> = None;
        loop {
            match self.header_at(position) {
                Ok(Some(header))
                    if (next_offset..next_base).contains(&header.base_offset) && fits(&header, next_base) =>
                {
                    last = Some((header, position));
                    next_offset = header.next_offset();
                    position += header.size_in_bytes() as u64;
                }
                Ok(None) => break,
                Ok(Some(_)) | Err(StorageError::Corrupt { .. }) => {
                    return self.judge_rest(position, next_offset..next_base);
                }
                Err(error) => return Err(error),
            }
        }
        if next_offset == next_base || is_compacted || self.holds_gaps()? {
            return Ok(Tail::Whole);
        }
        match last {
            Some((header, position)) if !self.is_sound(&header, position)? => {
                Ok(Tail::Damaged(header.base_offset, position))
            }
            _ => Ok(Tail::Gone(next_offset)),
        }
    }

    /// Whether records are missing amid the segment, as compaction leaves it, whatever the topic says today.
    fn holds_gaps(&self) -> Result<bool, StorageError> {
        let (mut position, mut expected) = (0, None);
        while let Some(header) = self.header_at(position)? {
            if holds_gap(&header, expected.unwrap_or(header.base_offset)) {
                return Ok(true);
            }
            expected = Some(header.next_offset());
            position += header.size_in_bytes() as u64;
        }
        Ok(false)
    }

    fn is_sound(&self, header: &BatchHeader, position: u64) -> Result<bool, StorageError> {
        match self.batch_at(position, header.size_in_bytes()) {
            Ok(batch) => Ok(batch.verify_crc().is_ok()),
            Err(StorageError::Corrupt { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Decides about bytes at `position` that are no batch of the `missing` offsets.
    fn judge_rest(&mut self, position: u64, missing: Range<i64>) -> Result<Tail, StorageError> {
        let rest = self.size().saturating_sub(position);
        if missing.is_empty() {
            self.end_at(position);
            return Ok(Tail::Junk(rest));
        }
        if rest <= MOST_EXAMINED {
            let bytes = self.slice(position, usize::try_from(rest).unwrap_or(usize::MAX)).read_blocking()?;
            if is_cut(&bytes, &missing) {
                self.end_at(position);
                return Ok(Tail::Gone(missing.start));
            }
        }
        Ok(Tail::Damaged(missing.start, position))
    }
}

/// Whether records are missing in the batch, or before it, where `expected` should be.
pub(super) fn holds_gap(header: &BatchHeader, expected: i64) -> bool {
    header.base_offset != expected || header.record_count != header.last_offset_delta.saturating_add(1)
}

fn fits(header: &BatchHeader, next_base: i64) -> bool {
    (header.base_offset..next_base).contains(&header.last_offset())
}

/// Whether the file was cut in the batch that `bytes` begin with, as opposed to being damaged there: then there is less
/// of it than it says, and nothing behind it.
fn is_cut(bytes: &Bytes, missing: &Range<i64>) -> bool {
    if bytes.len() < HEADER_SIZE || bytes.iter().all(|byte| *byte == 0) {
        return true;
    }
    let claims_more = BatchHeader::parse(bytes).is_ok_and(|header| header.size_in_bytes() > bytes.len());
    claims_more && !is_whole_but_for_its_length(bytes) && !holds_batch(bytes, missing)
}

/// Whether the bytes are one batch of which the length alone, which no checksum covers, is wrong.
fn is_whole_but_for_its_length(bytes: &Bytes) -> bool {
    let mut whole = bytes.to_vec();
    let length = i32::try_from(bytes.len().saturating_sub(LENGTH_END)).unwrap_or(i32::MAX);
    if let Some(field) = whole.get_mut(LENGTH_END - 4..LENGTH_END) {
        field.copy_from_slice(&length.to_be_bytes());
    }
    RecordBatch::parse(&Bytes::from(whole)).is_ok_and(|batch| batch.verify_crc().is_ok())
}

/// Whether an intact batch of the `missing` offsets begins anywhere behind the first byte.
fn holds_batch(bytes: &Bytes, missing: &Range<i64>) -> bool {
    let is_batch = |start: usize| {
        let rest = bytes.slice(start..);
        BatchHeader::parse(&rest)
            .is_ok_and(|header| missing.contains(&header.base_offset) && header.size_in_bytes() <= rest.len())
            && RecordBatch::parse(&rest).is_ok_and(|batch| batch.verify_crc().is_ok())
    };
    (1..bytes.len().saturating_sub(HEADER_SIZE)).any(is_batch)
}
