//! `.timeindex`: from which offset on there may be records of a timestamp.
//!
//! An entry is twelve bytes: the largest timestamp seen so far in the segment, and the last offset, relative to the
//! segment's base offset, of the batch that holds it. Both grow from entry to entry.

use std::io;
use std::path::Path;

use super::StorageError;
use super::index_file::{IndexEntry, SparseIndex};
use crate::protocol::record_batch::{BatchHeader, NO_TIMESTAMP};

/// A timestamp in a segment, and the last offset of the first batch that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MaxTimestamp {
    /// Milliseconds since the Unix epoch; -1 for none.
    pub(super) timestamp: i64,
    pub(super) offset: i64,
}

impl MaxTimestamp {
    /// This one, or the batch's if that is larger.
    pub(super) fn or_later(self, header: &BatchHeader) -> Self {
        match header.max_timestamp {
            later if later > self.timestamp => Self { timestamp: later, offset: header.last_offset() },
            _ => self,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TimeIndexEntry {
    timestamp: i64,
    relative_offset: i32,
}

impl IndexEntry for TimeIndexEntry {
    const SIZE: usize = 12;

    fn key(&self) -> i64 {
        self.timestamp
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.relative_offset.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (timestamp, relative_offset) = bytes.split_first_chunk()?;
        Some(Self {
            timestamp: i64::from_be_bytes(*timestamp),
            relative_offset: i32::from_be_bytes(relative_offset.try_into().ok()?),
        })
    }
}

/// The time index of one segment.
#[derive(Debug)]
pub(super) struct TimeIndex {
    base_offset: i64,
    index: SparseIndex<TimeIndexEntry>,
}

impl TimeIndex {
    pub(super) fn new(base_offset: i64) -> Self {
        Self { base_offset, index: SparseIndex::new() }
    }

    /// Reads a file whole, for a segment that will be written to; `None` when it must be rebuilt.
    pub(super) fn load(base_offset: i64, path: &Path) -> Option<Self> {
        let index = SparseIndex::<TimeIndexEntry>::load(path)?;
        index.entries().is_sorted_by_key(|entry| entry.relative_offset).then_some(Self { base_offset, index })
    }

    /// Uses a file as it is; `None` when it must be rebuilt. A segment that holds anything has at least one entry.
    pub(super) fn open(base_offset: i64, path: &Path) -> Option<Self> {
        let index = SparseIndex::<TimeIndexEntry>::open(path)?;
        index.last().ok()??;
        Some(Self { base_offset, index })
    }

    /// The last entry at or before `timestamp`, if any.
    pub(super) fn lookup(&self, timestamp: i64) -> io::Result<Option<MaxTimestamp>> {
        Ok(self.index.floor(timestamp)?.map(|entry| self.absolute(entry)))
    }

    /// The segment's largest indexed timestamp; [`NO_TIMESTAMP`] at the base offset when there is none.
    pub(super) fn last(&self) -> io::Result<MaxTimestamp> {
        let none = MaxTimestamp { timestamp: NO_TIMESTAMP, offset: self.base_offset };
        Ok(self.index.last()?.map_or(none, |entry| self.absolute(entry)))
    }

    /// Adds an entry if its timestamp is larger than the last one's.
    pub(super) fn maybe_append(&mut self, max: MaxTimestamp) {
        let last = self.index.entries().last().copied();
        let relative_offset =
            max.offset.checked_sub(self.base_offset).and_then(|relative| i32::try_from(relative).ok());
        let (last_timestamp, last_offset) =
            last.map_or((NO_TIMESTAMP, 0), |last| (last.timestamp, last.relative_offset));
        if let Some(relative_offset) = relative_offset
            && max.timestamp > last_timestamp
            && relative_offset >= last_offset
        {
            self.index.push(TimeIndexEntry { timestamp: max.timestamp, relative_offset });
        }
    }

    /// Whether only the entry reserved for closing the segment still fits into `max_bytes` (`segment.index.bytes`).
    pub(super) fn is_full(&self, max_bytes: u32) -> bool {
        self.index.entries().len() + 1 >= max_bytes as usize / TimeIndexEntry::SIZE
    }

    /// Forgets the entries of batches that hold `offset` or anything behind it.
    pub(super) fn truncate_to(&mut self, offset: i64) {
        let relative = offset.saturating_sub(self.base_offset);
        self.index.retain_front(|entry| i64::from(entry.relative_offset) < relative);
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), StorageError> {
        self.index.write(path)
    }

    /// Uses the file that [`TimeIndex::write`] wrote instead of the memory.
    pub(super) fn move_to_file(&mut self, path: &Path) {
        self.index = SparseIndex::File(path.to_path_buf());
    }

    fn absolute(&self, entry: TimeIndexEntry) -> MaxTimestamp {
        let offset = self.base_offset.saturating_add(i64::from(entry.relative_offset));
        MaxTimestamp { timestamp: entry.timestamp, offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_only_grow() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("timeindex");
        let mut index = TimeIndex::new(1000);
        for (timestamp, offset) in [(-1, 1000), (10, 1003), (10, 1005), (9, 1006), (20, 1002), (30, 1009)] {
            index.maybe_append(MaxTimestamp { timestamp, offset });
        }
        index.write(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 24);
        for index in [&index, &TimeIndex::open(1000, &path).unwrap(), &TimeIndex::load(1000, &path).unwrap()] {
            assert_eq!(index.lookup(9).unwrap(), None);
            assert_eq!(index.lookup(29).unwrap(), Some(MaxTimestamp { timestamp: 10, offset: 1003 }));
            assert_eq!(index.last().unwrap(), MaxTimestamp { timestamp: 30, offset: 1009 });
        }
        index.truncate_to(1009);
        assert_eq!(index.last().unwrap().offset, 1003);
    }
}
