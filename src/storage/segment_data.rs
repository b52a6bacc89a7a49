//! The bytes of one segment: a `.log` file, or chunks in memory.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::log_file::{LogFile, WriteError};
use super::{LogSlice, StorageError};
use crate::protocol::record_batch::{BatchHeader, HEADER_SIZE};

/// Where a segment's batches are kept.
#[derive(Debug, Clone)]
pub(super) enum SegmentData {
    File(Arc<LogFile>),
    /// One chunk per append, in order.
    Memory(Vec<Chunk>),
}

#[derive(Debug, Clone)]
pub(super) struct Chunk {
    position: u64,
    bytes: Bytes,
}

impl SegmentData {
    /// Appends `front` and `rest` behind the first `size` bytes, by one system call as a rule. When that fails, what
    /// was written of them is cut off again; the error says whether even that failed.
    pub(super) fn append(&mut self, size: u64, front: &[u8], rest: &Bytes) -> Result<(), WriteError> {
        match self {
            Self::Memory(chunks) => {
                let mut bytes = BytesMut::with_capacity(front.len() + rest.len());
                bytes.extend_from_slice(front);
                bytes.extend_from_slice(rest);
                chunks.push(Chunk { position: size, bytes: bytes.freeze() });
                Ok(())
            }
            Self::File(file) => file.append(size, front, rest),
        }
    }

    /// Fills `buffer` from `position` on; fewer bytes only at the end.
    pub(super) fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize, StorageError> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let position = position + filled as u64;
            let count = match self {
                Self::File(file) => file.read_at(rest, position)?,
                Self::Memory(chunks) => read_chunk(chunks, rest, position),
            };
            if count == 0 {
                break;
            }
            filled += count;
        }
        Ok(filled)
    }

    /// The `len` bytes at `position`, to be read later.
    pub(super) fn slice(&self, position: u64, len: usize) -> LogSlice {
        match self {
            Self::File(file) => LogSlice::of_file(file.clone(), position, len),
            Self::Memory(chunks) => LogSlice::of_memory(slice_chunks(chunks, position, len)),
        }
    }

    /// Cuts off everything from `size` on.
    pub(super) fn truncate(&mut self, size: u64) -> Result<(), StorageError> {
        match self {
            Self::File(file) => file.truncate(size),
            Self::Memory(chunks) => {
                chunks.truncate(chunks.partition_point(|chunk| chunk.position < size));
                if let Some(last) = chunks.last_mut() {
                    last.bytes.truncate(usize::try_from(size - last.position).unwrap_or(usize::MAX));
                }
                Ok(())
            }
        }
    }

    /// What to call it in an error.
    pub(super) fn name(&self) -> Arc<str> {
        match self {
            Self::File(file) => file.name().clone(),
            Self::Memory(_) => "a segment in memory".into(),
        }
    }
}

fn read_chunk(chunks: &[Chunk], buffer: &mut [u8], position: u64) -> usize {
    let above = chunks.partition_point(|chunk| chunk.position <= position);
    let Some(chunk) = above.checked_sub(1).and_then(|index| chunks.get(index)) else { return 0 };
    let start = usize::try_from(position - chunk.position).unwrap_or(usize::MAX);
    let bytes = chunk.bytes.get(start..).unwrap_or_default();
    let (from, to): (&[u8], &mut [u8]) = match bytes.split_at_checked(buffer.len()) {
        Some((from, _)) => (from, buffer),
        None => (bytes, buffer.get_mut(..bytes.len()).unwrap_or_default()),
    };
    to.copy_from_slice(from);
    from.len()
}

fn slice_chunks(chunks: &[Chunk], position: u64, len: usize) -> Vec<Bytes> {
    let end = position + len as u64;
    let first = chunks.partition_point(|chunk| chunk.position + chunk.bytes.len() as u64 <= position);
    let of_chunk = |chunk: &Chunk| {
        let from = usize::try_from(position.saturating_sub(chunk.position)).unwrap_or(usize::MAX);
        let to = usize::try_from(end - chunk.position).unwrap_or(usize::MAX);
        let to = to.min(chunk.bytes.len());
        chunk.bytes.slice(from.min(to)..to)
    };
    chunks.iter().skip(first).take_while(|chunk| chunk.position < end).map(of_chunk).collect()
}

/// A scan reads pieces of this many bytes: few system calls, and what is checked is still in the processor's cache.
const SCAN_BUFFER: usize = 256 * 1024;

/// The piece behind a batch that was passed over: when the next one is passed over, too, most of a larger piece is of no use.
const HEADER_PIECE: usize = 4096;

/// Reads a segment's batches one after the other, from its beginning on. The bytes are checked where they were read to, in one
/// buffer for all of them: a start after a crash reads whole segments and keeps nothing.
pub(super) struct BatchScan<'a> {
    data: &'a SegmentData,
    buffer: Vec<u8>,
    /// What of the buffer was read and not yet consumed.
    unread: Range<usize>,
    /// Where in the segment that ends.
    position: u64,
    /// So much is read next.
    piece: usize,
}

impl<'a> BatchScan<'a> {
    pub(super) fn new(data: &'a SegmentData) -> Self {
        Self { data, buffer: vec![0; SCAN_BUFFER], unread: 0..0, position: 0, piece: SCAN_BUFFER }
    }

    /// The header of the next batch, of which there are at most `left` bytes; `None` at the end, where there is no whole batch,
    /// or where its checksum is another one. Records below `recovery_point` are passed over unread.
    pub(super) fn next(&mut self, left: u64, recovery_point: i64) -> Result<Option<BatchHeader>, StorageError> {
        let Some(header) = self.bytes(HEADER_SIZE)?.and_then(|bytes| BatchHeader::parse(bytes).ok()) else {
            return Ok(None);
        };
        let size = header.size_in_bytes();
        if size as u64 > left {
            return Ok(None);
        }
        if header.next_offset() <= recovery_point {
            self.pass_over(size);
            return Ok(Some(header));
        }
        let is_intact = self.bytes(size)?.is_some_and(|bytes| header.verify_crc(bytes).is_ok());
        self.unread.start += size;
        Ok(is_intact.then_some(header))
    }

    fn pass_over(&mut self, size: usize) {
        let read = size.min(self.unread.len());
        self.unread.start += read;
        self.position += (size - read) as u64;
        if size > HEADER_PIECE {
            self.piece = HEADER_PIECE;
        }
    }

    /// The next `count` bytes, which are not consumed by this; `None` where there are fewer.
    fn bytes(&mut self, count: usize) -> Result<Option<&[u8]>, StorageError> {
        if self.unread.len() < count {
            self.buffer.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
            if self.buffer.len() < count {
                self.buffer.resize(count, 0);
            }
            let end = self.buffer.len().min(count.max(self.unread.end + self.piece));
            let room = self.buffer.get_mut(self.unread.end..end).unwrap_or_default();
            let read = self.data.read_at(room, self.position)?;
            self.unread.end += read;
            self.position += read as u64;
            self.piece = SCAN_BUFFER;
        }
        Ok(self.buffer.get(self.unread.clone()).and_then(|unread| unread.get(..count)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::record_batch::BatchBuilder;

    /// Batches of a record each, of so many bytes, which have the offsets from 0 on.
    fn segment(sizes: &[usize]) -> (SegmentData, Vec<u64>) {
        let (mut data, mut positions, mut size) = (SegmentData::Memory(Vec::new()), Vec::new(), 0);
        for (offset, &bytes) in sizes.iter().enumerate() {
            let mut batch = BatchBuilder::new(0);
            batch.record(None, Some(&vec![b'x'; bytes]));
            let mut batch = batch.build().to_vec();
            batch[..8].copy_from_slice(&(offset as i64).to_be_bytes());
            positions.push(size);
            data.append(size, &[], &Bytes::from(batch.clone())).unwrap();
            size += batch.len() as u64;
        }
        positions.push(size);
        (data, positions)
    }

    fn scanned(data: &SegmentData, size: u64, recovery_point: i64) -> Vec<i64> {
        let (mut scan, mut left) = (BatchScan::new(data), size);
        std::iter::from_fn(|| {
            let header = scan.next(left, recovery_point).unwrap()?;
            left -= header.size_in_bytes() as u64;
            Some(header.base_offset)
        })
        .collect()
    }

    #[test]
    fn batches_of_all_sizes_are_found_wherever_the_recovery_point_is() {
        let sizes = [1, SCAN_BUFFER, 10, 3 * SCAN_BUFFER, HEADER_PIECE, 5000, 5000, 100, 20_000, SCAN_BUFFER - 61, 7];
        let (data, positions) = segment(&sizes);
        let size = *positions.last().unwrap();
        for recovery_point in 0..=sizes.len() as i64 + 1 {
            assert_eq!(scanned(&data, size, recovery_point), (0..sizes.len() as i64).collect::<Vec<_>>());
            assert_eq!(scanned(&data, size - 1, recovery_point).len(), sizes.len() - 1, "the last one is not whole");
        }
    }

    #[test]
    fn what_is_not_below_the_recovery_point_is_checked() {
        let (data, positions) = segment(&[10_000; 5]);
        let size = *positions.last().unwrap();
        let mut bytes = vec![0; usize::try_from(size).unwrap()];
        data.read_at(&mut bytes, 0).unwrap();
        bytes[usize::try_from(positions[3]).unwrap() + 5_000] ^= 1;
        let damaged = SegmentData::Memory(vec![Chunk { position: 0, bytes: bytes.into() }]);
        for (recovery_point, intact) in [(0, 3), (3, 3), (4, 5), (5, 5)] {
            assert_eq!(scanned(&damaged, size, recovery_point).len(), intact, "{recovery_point}");
        }
    }
}
