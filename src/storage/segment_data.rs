//! The bytes of one segment: a `.log` file, or chunks in memory.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};

use super::{LogSlice, StorageError};

/// Where a segment's batches are kept.
#[derive(Debug)]
pub(super) enum SegmentData {
    File(LogFile),
    /// One chunk per append, in order.
    Memory(Vec<Chunk>),
}

#[derive(Debug)]
pub(super) struct Chunk {
    position: u64,
    bytes: Bytes,
}

/// A `.log` file, opened when it is first needed.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    /// The path as text, for errors.
    name: Arc<str>,
    handle: OnceLock<Arc<File>>,
}

impl LogFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { name: path.to_string_lossy().into(), path, handle: OnceLock::new() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The open file, which is created if it is not there.
    pub(super) fn handle(&self) -> Result<&Arc<File>, StorageError> {
        if let Some(handle) = self.handle.get() {
            return Ok(handle);
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).open(&self.path);
        let file = Arc::new(file.map_err(StorageError::io("cannot open", &self.path))?);
        Ok(self.handle.get_or_init(|| file))
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize, StorageError> {
        let handle = self.handle()?;
        loop {
            match handle.read_at(buffer, position) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result.map_err(StorageError::io("cannot read", &self.path)),
            }
        }
    }
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
            Self::File(file) => {
                let handle = file.handle().map_err(WriteError::Undone)?;
                write_all(handle, front, rest).map_err(|error| {
                    let undone = handle.set_len(size);
                    let error = StorageError::io("cannot write", &file.path)(error);
                    if undone.is_ok() { WriteError::Undone(error) } else { WriteError::Torn(error) }
                })
            }
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
    pub(super) fn slice(&self, position: u64, len: usize) -> Result<LogSlice, StorageError> {
        match self {
            Self::File(file) => Ok(LogSlice::of_file(file.handle()?.clone(), file.name.clone(), position, len)),
            Self::Memory(chunks) => Ok(LogSlice::of_memory(slice_chunks(chunks, position, len))),
        }
    }

    /// Cuts off everything from `size` on.
    pub(super) fn truncate(&mut self, size: u64) -> Result<(), StorageError> {
        match self {
            Self::File(file) => file.handle()?.set_len(size).map_err(StorageError::io("cannot truncate", &file.path)),
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
            Self::File(file) => file.name.clone(),
            Self::Memory(_) => "a segment in memory".into(),
        }
    }
}

/// Why an append to a segment failed.
#[derive(Debug)]
pub(super) enum WriteError {
    /// The segment is as it was.
    Undone(StorageError),
    /// The segment ends in part of a batch.
    Torn(StorageError),
}

fn write_all(mut file: &File, front: &[u8], rest: &[u8]) -> io::Result<()> {
    let mut slices = [IoSlice::new(front), IoSlice::new(rest)];
    let mut slices = &mut slices[..];
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match file.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => IoSlice::advance_slices(&mut slices, count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
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
