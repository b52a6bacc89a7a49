//! A range of a segment that was found under the partition's lock and is read without it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::StorageError;
use super::log_file::LogFile;
use crate::protocol::frame::{FileRange, Piece};

/// From this size on, having the system send a range costs less than copying it, one call more included.
const MIN_RANGE: usize = 16 * 1024;

/// How far the bytes lie apart by which is found out whether a range is in the page cache. Each costs a system call; what
/// is missing between them is waited for when the range is sent.
const PROBE_DISTANCE: usize = 256 * 1024;

/// So many bytes are read at a time of a range that is to be sent from the page cache.
const LOADED_AT_ONCE: usize = 256 * 1024;

/// Consecutive bytes of one segment: whole batches, except that the last one may be cut off by the reader's limit.
///
/// It keeps the file open (or the bytes alive), so that it can be read even when the segment is deleted meanwhile: unless
/// descriptors are so few that the file was closed for another one.
#[derive(Debug, Clone)]
pub struct LogSlice {
    source: SliceSource,
    len: usize,
}

#[derive(Debug, Clone)]
enum SliceSource {
    Empty,
    File { file: Arc<LogFile>, position: u64 },
    Memory(Vec<Bytes>),
}

impl LogSlice {
    /// Nothing.
    pub(super) fn empty() -> Self {
        Self { source: SliceSource::Empty, len: 0 }
    }

    pub(super) fn of_file(file: Arc<LogFile>, position: u64, len: usize) -> Self {
        Self { source: SliceSource::File { file, position }, len }
    }

    pub(super) fn of_memory(parts: Vec<Bytes>) -> Self {
        let len = parts.iter().map(Bytes::len).sum();
        Self { source: SliceSource::Memory(parts), len }
    }

    /// The size in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes, ready to be sent, if that needs no disk; `None` when it might. Never blocks. Many bytes of a file stay
    /// there, as a range for the system to send. Of such a range only samples are looked at, and it may be sent later:
    /// whoever sends it waits for the disk where a page is gone, as Kafka's network threads do. Where every descriptor is
    /// needed, a range is read all the same: it would keep its file open for as long as the client likes.
    pub fn cached(&self) -> Result<Option<Piece>, StorageError> {
        match &self.source {
            SliceSource::Empty => Ok(Some(Piece::Bytes(Bytes::new()))),
            SliceSource::Memory(parts) => Ok(Some(Piece::Bytes(concatenated(parts)))),
            SliceSource::File { file, position } if self.len >= MIN_RANGE && file.may_be_lent() => {
                let open = file.lend()?;
                let is_cached = self.is_cached(&open.file, *position);
                Ok(is_cached.then(|| FileRange::new(open, *position, self.len).into()))
            }
            SliceSource::File { file, position } => {
                let bytes = file
                    .reading(|file| read(self.len, *position, |buffer, at| read_without_waiting(file, buffer, at)))?;
                match bytes {
                    Err(error) if would_block(&error) => Ok(None),
                    result => result.map(|bytes| Some(bytes.into())).map_err(|error| read_error(file, error)),
                }
            }
        }
    }

    /// Whether all samples of the bytes at `position` are in the page cache.
    fn is_cached(&self, file: &File, position: u64) -> bool {
        let mut samples = (0..self.len).step_by(PROBE_DISTANCE).chain([self.len - 1]);
        samples.all(|at| read_without_waiting(file, &mut [0], position + at as u64).is_ok_and(|count| count == 1))
    }

    /// The bytes, ready to be sent, read from the disk if need be. May block. Of many bytes of a file only the page cache
    /// gets a copy: readers who ask for much and take it slowly would fill the memory otherwise.
    pub fn load(&self) -> Result<Piece, StorageError> {
        if let SliceSource::File { file, position } = &self.source
            && self.len >= MIN_RANGE
            && file.may_be_lent()
        {
            let open = file.lend()?;
            let is_whole = bring_to_page_cache(&open.file, *position, self.len);
            if is_whole.map_err(|error| read_error(file, error))? {
                return Ok(FileRange::new(open, *position, self.len).into());
            }
        }
        self.read_blocking().map(Piece::from)
    }

    /// Reads the bytes, from the disk if need be. May block.
    pub fn read_blocking(&self) -> Result<Bytes, StorageError> {
        match &self.source {
            SliceSource::Empty => Ok(Bytes::new()),
            SliceSource::Memory(parts) => Ok(concatenated(parts)),
            SliceSource::File { file, position } => {
                let open = file.lend()?;
                read(self.len, *position, |buffer, at| open.file.read_at(buffer, at))
                    .map_err(|error| read_error(file, error))
            }
        }
    }
}

/// Reads `len` bytes and keeps none; says whether there are so many.
fn bring_to_page_cache(file: &File, position: u64, len: usize) -> io::Result<bool> {
    let mut buffer = vec![0; LOADED_AT_ONCE.min(len)];
    let mut done = 0;
    while done < len {
        let wanted = buffer.get_mut(..LOADED_AT_ONCE.min(len - done)).unwrap_or_default();
        match file.read_at(wanted, position + done as u64) {
            Ok(0) => return Ok(false),
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn read_error(file: &LogFile, error: io::Error) -> StorageError {
    StorageError::Io { action: "cannot read", path: file.name().clone(), source: Arc::new(error) }
}

/// One part is handed out as it is; several are copied together.
fn concatenated(parts: &[Bytes]) -> Bytes {
    match parts {
        [part] => part.clone(),
        parts => {
            let mut whole = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
            for part in parts {
                whole.extend_from_slice(part);
            }
            whole.freeze()
        }
    }
}

/// Fills a buffer of `len` bytes; a file that was truncated meanwhile gives fewer.
fn read(len: usize, position: u64, read_at: impl Fn(&mut [u8], u64) -> io::Result<usize>) -> io::Result<Bytes> {
    let mut buffer = vec![0; len];
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match read_at(rest, position + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(filled);
    Ok(Bytes::from(buffer))
}

#[cfg(target_os = "linux")]
fn read_without_waiting(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    let mut buffers = [io::IoSliceMut::new(buffer)];
    Ok(rustix::io::preadv2(file, &mut buffers, position, rustix::io::ReadWriteFlags::NOWAIT)?)
}

/// Other systems have no such read: every read goes the blocking way.
#[cfg(not(target_os = "linux"))]
fn read_without_waiting(_: &File, _: &mut [u8], _: u64) -> io::Result<usize> {
    Err(io::ErrorKind::WouldBlock.into())
}

/// Not in the page cache, or a file system that cannot tell.
fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Unsupported)
}
