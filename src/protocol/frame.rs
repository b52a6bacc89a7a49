//! A response as the network writes it: the length prefix and everything behind it, in one or more pieces.
//!
//! A piece may be a range of a file. To everybody but the network it is only a name for bytes: nobody else reads it.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use bytes::{Buf, Bytes};

/// Part of a frame.
#[derive(Debug, Clone)]
pub enum Piece {
    /// In memory.
    Bytes(Bytes),
    /// In a file, from which the system sends it.
    File(FileRange),
}

impl Piece {
    /// The size in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::File(range) => range.len,
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Leaves out the first `count` bytes, of which there are as many.
    pub fn advance(&mut self, count: usize) {
        match self {
            Self::Bytes(bytes) => bytes.advance(count),
            Self::File(range) => {
                range.position += count as u64;
                range.len -= count;
            }
        }
    }
}

impl From<Bytes> for Piece {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<FileRange> for Piece {
    fn from(range: FileRange) -> Self {
        Self::File(range)
    }
}

/// Consecutive bytes of an open file, which are there and do not change.
#[derive(Clone)]
pub struct FileRange {
    file: Arc<dyn AsFd + Send + Sync>,
    position: u64,
    len: usize,
}

impl FileRange {
    /// The `len` bytes of `file` at `position`.
    pub fn new(file: Arc<dyn AsFd + Send + Sync>, position: u64, len: usize) -> Self {
        Self { file, position, len }
    }

    /// The file.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Where in the file it begins.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The size in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl fmt::Debug for FileRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, position, len } = self;
        write!(formatter, "FileRange({:?}, {len} bytes at {position})", file.as_fd())
    }
}

/// One length-prefixed message, cut so that record bytes need not be copied next to their envelope.
#[derive(Debug, Clone)]
pub struct Frame {
    first: Bytes,
    rest: Vec<Piece>,
}

impl Frame {
    /// The frame in one piece; `bytes` starts with its 4-byte length.
    pub fn new(bytes: Bytes) -> Self {
        Self { first: bytes, rest: Vec::new() }
    }

    /// The frame in pieces; `first` starts with the 4-byte length of all that follows it, the `rest` included.
    pub fn in_pieces(first: Bytes, rest: Vec<Piece>) -> Self {
        Self { first, rest }
    }

    /// How many bytes go onto the wire, the length prefix included.
    pub fn size_in_bytes(&self) -> usize {
        self.first.len() + self.rest.iter().map(Piece::len).sum::<usize>()
    }

    /// The pieces in the order of the wire.
    pub fn into_pieces(self) -> impl Iterator<Item = Piece> {
        std::iter::once(Piece::Bytes(self.first)).chain(self.rest)
    }
}
