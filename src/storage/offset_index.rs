//! `.index`: the offsets of some batches and where in the segment they lie.
//!
//! An entry is eight bytes: the offset of a batch's last record, relative to the segment's base offset, and the
//! position of the batch's first byte.

use std::io;
use std::path::Path;

use super::StorageError;
use super::index_file::{IndexEntry, SparseIndex};

/// A place in a segment: a batch's last offset and the position of its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OffsetPosition {
    pub(super) offset: i64,
    pub(super) position: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OffsetIndexEntry {
    relative_offset: i32,
    position: i32,
}

impl IndexEntry for OffsetIndexEntry {
    const SIZE: usize = 8;

    fn key(&self) -> i64 {
        i64::from(self.relative_offset)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.relative_offset.to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (relative_offset, position) = bytes.split_first_chunk()?;
        Some(Self {
            relative_offset: i32::from_be_bytes(*relative_offset),
            position: i32::from_be_bytes(position.try_into().ok()?),
        })
    }
}

/// The offset index of one segment.
#[derive(Debug)]
pub(super) struct OffsetIndex {
    base_offset: i64,
    index: SparseIndex<OffsetIndexEntry>,
}

impl OffsetIndex {
    pub(super) fn new(base_offset: i64) -> Self {
        Self { base_offset, index: SparseIndex::new() }
    }

    /// Reads a file whole, for a segment that will be written to; `None` when it must be rebuilt.
    pub(super) fn load(base_offset: i64, path: &Path) -> Option<Self> {
        let index = SparseIndex::<OffsetIndexEntry>::load(path)?;
        index.entries().iter().all(|entry| entry.position >= 0 && entry.relative_offset >= 0).then_some(())?;
        Some(Self { base_offset, index })
    }

    /// Uses a file as it is; `None` when it must be rebuilt.
    pub(super) fn open(base_offset: i64, path: &Path) -> Option<Self> {
        Some(Self { base_offset, index: SparseIndex::open(path)? })
    }

    /// The last entry at or before `offset`, or the segment's start.
    pub(super) fn lookup(&self, offset: i64) -> io::Result<OffsetPosition> {
        Ok(self.absolute(self.index.floor(offset.saturating_sub(self.base_offset))?))
    }

    /// Where the last batch in the index lies that is in front of `position`; 0, the segment's start, where there is none.
    pub(super) fn position_before(&self, position: u64) -> io::Result<u64> {
        let is_before = |entry: &OffsetIndexEntry| u64::try_from(entry.position).is_ok_and(|at| at < position);
        Ok(self.absolute(self.index.last_where(is_before)?).position)
    }

    /// Adds the batch that ends at `offset` and lies at `position`. What cannot be told in 32 bits is left out, which
    /// only makes searches longer.
    pub(super) fn append(&mut self, offset: i64, position: u64) {
        let relative_offset = offset.checked_sub(self.base_offset).and_then(|relative| i32::try_from(relative).ok());
        let last = self.index.entries().last().map_or(-1, |entry| entry.relative_offset);
        if let (Some(relative_offset), Ok(position)) = (relative_offset, i32::try_from(position))
            && relative_offset > last
        {
            self.index.push(OffsetIndexEntry { relative_offset, position });
        }
    }

    /// Whether the file would grow beyond `max_bytes` (`segment.index.bytes`).
    pub(super) fn is_full(&self, max_bytes: u32) -> bool {
        self.index.entries().len() >= max_bytes as usize / OffsetIndexEntry::SIZE
    }

    /// Forgets the batches that hold `offset` or anything behind it.
    pub(super) fn truncate_to(&mut self, offset: i64) {
        let relative = offset.saturating_sub(self.base_offset);
        self.index.retain_front(|entry| entry.key() < relative);
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), StorageError> {
        self.index.write(path)
    }

    /// Uses the file that [`OffsetIndex::write`] wrote instead of the memory.
    pub(super) fn move_to_file(&mut self, path: &Path) {
        self.index = SparseIndex::File(path.to_path_buf());
    }

    pub(super) fn is_in_memory(&self) -> bool {
        matches!(self.index, SparseIndex::Memory(_))
    }

    fn absolute(&self, entry: Option<OffsetIndexEntry>) -> OffsetPosition {
        match entry {
            Some(OffsetIndexEntry { relative_offset, position }) => OffsetPosition {
                offset: self.base_offset.saturating_add(i64::from(relative_offset)),
                position: u64::try_from(position).unwrap_or(u64::MAX),
            },
            None => OffsetPosition { offset: self.base_offset, position: 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_are_the_same_in_memory_and_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00000000000000000100.index");
        let mut index = OffsetIndex::new(100);
        for n in 0..1000_i64 {
            index.append(105 + n * 10, n as u64 * 4096);
        }
        index.append(i64::MAX, 1);
        index.append(1, 1);
        index.write(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 8000);
        let (opened, loaded) = (OffsetIndex::open(100, &path).unwrap(), OffsetIndex::load(100, &path).unwrap());
        for offset in [0, 100, 104, 105, 106, 114, 115, 5000, 10_095, 20_000, i64::MAX] {
            let expected = index.lookup(offset).unwrap();
            assert_eq!(opened.lookup(offset).unwrap(), expected);
            assert_eq!(loaded.lookup(offset).unwrap(), expected);
            assert!(expected.offset <= offset.max(100));
        }
        assert_eq!(index.lookup(115).unwrap(), OffsetPosition { offset: 115, position: 4096 });
        index.truncate_to(115);
        assert_eq!(index.lookup(i64::MAX).unwrap(), OffsetPosition { offset: 105, position: 0 });
        assert!(index.is_full(8) && !index.is_full(16));
    }

    #[test]
    fn a_file_cut_in_an_entry_or_out_of_order_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        for bytes in [&[0_u8; 7][..], &[0; 16], &[0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 2]] {
            std::fs::write(&path, bytes).unwrap();
            assert!(OffsetIndex::open(0, &path).is_none());
            assert!(OffsetIndex::load(0, &path).is_none());
        }
        assert!(OffsetIndex::open(0, &dir.path().join("missing")).is_none());
    }
}
