//! The bytes of one segment: a `.log` file, or chunks in memory.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::log_file::{LogFile, WriteError};
use super::{LogSlice, StorageError};
use crate::protocol::record_batch::{BatchHeader, HEADER_SIZE, RecordBatch};

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

/// Reads a segment from a position on, for a buffered scan.
pub(super) struct DataReader<'a> {
    data: &'a SegmentData,
    position: u64,
    /// What failed, since [`Read`] can only tell in its own words.
    pub(super) error: Option<StorageError>,
}

impl<'a> DataReader<'a> {
    pub(super) fn new(data: &'a SegmentData, position: u64) -> Self {
        Self { data, position, error: None }
    }
}

impl Read for DataReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.data.read_at(buffer, self.position).map_err(|error| {
            let text = error.to_string();
            self.error = Some(error);
            io::Error::other(text)
        })?;
        self.position += count as u64;
        Ok(count)
    }
}

/// Reads one batch whole; `None` at the end, at damage, or when the reader fails.
pub(super) fn next_batch(reader: &mut impl Read, left: u64) -> Option<RecordBatch> {
    let mut header_bytes = [0; HEADER_SIZE];
    reader.read_exact(&mut header_bytes).ok()?;
    let header = BatchHeader::parse(&header_bytes).ok()?;
    if header.size_in_bytes() as u64 > left {
        return None;
    }
    let mut bytes = vec![0; header.size_in_bytes()];
    let (front, rest) = bytes.split_first_chunk_mut()?;
    *front = header_bytes;
    reader.read_exact(rest).ok()?;
    Some(RecordBatch { header, bytes: Bytes::from(bytes) })
}
