//! snappy-java's framing of raw Snappy blocks, which Kafka's clients write and read.

use std::io::{self, Write};

use super::codec::{Compression, CompressionError};
use super::output::OutputBuffer;

/// The first bytes of the framing; two version numbers of four bytes follow, then blocks, each behind its length.
const MAGIC: &[u8] = b"\x82SNAPPY\0";
const VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
const HEADER_SIZE: usize = MAGIC.len() + VERSIONS.len();
const BLOCK_SIZE: usize = 32 * 1024;

/// No element of a raw block makes more of its bytes: a copy of 64 bytes takes three.
const MOST_EXPANSION: usize = 22;

/// Reads the blocks one after the other.
#[derive(Debug)]
pub(super) struct XerialReader<'a> {
    rest: &'a [u8],
    is_framed: bool,
}

/// Writes the framing.
#[derive(Debug)]
pub(super) struct XerialWriter<W: Write> {
    sink: W,
    block: Vec<u8>,
}

impl<'a> XerialReader<'a> {
    /// A reader of `data`: framed blocks, or one bare block, as librdkafka writes it.
    pub(super) fn new(data: &'a [u8]) -> Result<Self, CompressionError> {
        if !data.starts_with(MAGIC) {
            return Ok(Self { rest: data, is_framed: false });
        }
        Ok(Self { rest: data.get(HEADER_SIZE..).ok_or_else(truncated)?, is_framed: true })
    }

    /// Writes the next block's content to the front of `output`, which grows for it; says how many bytes these are, and
    /// `None` behind the last block. A raw block names its own size, which is checked before anything is allocated
    /// (CVE-2023-34455).
    pub(super) fn next(&mut self, output: &mut OutputBuffer, limit: usize) -> Result<Option<usize>, CompressionError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let block = self.next_block()?;
        let length = snap::raw::decompress_len(block).map_err(|error| Compression::Snappy.malformed(&error))?;
        if length > limit {
            return Err(CompressionError::TooLarge(limit));
        }
        if length / MOST_EXPANSION > block.len() {
            return Err(Compression::Snappy.malformed("the block's length is a lie"));
        }
        let read = snap::raw::Decoder::new().decompress(block, output.room(length));
        read.map(Some).map_err(|error| Compression::Snappy.malformed(&error))
    }

    fn next_block(&mut self) -> Result<&'a [u8], CompressionError> {
        if !self.is_framed {
            return Ok(std::mem::take(&mut self.rest));
        }
        let (length, blocks) = self.rest.split_first_chunk::<4>().ok_or_else(truncated)?;
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| truncated())?;
        let (block, rest) = blocks.split_at_checked(length).ok_or_else(truncated)?;
        self.rest = rest;
        Ok(block)
    }
}

fn truncated() -> CompressionError {
    Compression::Snappy.malformed("the framing is truncated")
}

impl<W: Write> XerialWriter<W> {
    pub(super) fn new(mut sink: W) -> io::Result<Self> {
        sink.write_all(MAGIC)?;
        sink.write_all(&VERSIONS)?;
        Ok(Self { sink, block: Vec::with_capacity(BLOCK_SIZE) })
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        self.write_block()?;
        Ok(self.sink)
    }

    fn write_block(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let compressed = snap::raw::Encoder::new().compress_vec(&self.block).map_err(io::Error::other)?;
        let length = u32::try_from(compressed.len()).map_err(io::Error::other)?;
        self.block.clear();
        self.sink.write_all(&length.to_be_bytes())?;
        self.sink.write_all(&compressed)
    }
}

impl<W: Write> Write for XerialWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (taken, _) = bytes.split_at(bytes.len().min(BLOCK_SIZE - self.block.len()));
        self.block.extend_from_slice(taken);
        if self.block.len() == BLOCK_SIZE {
            self.write_block()?;
        }
        Ok(taken.len())
    }

    /// Does nothing: a block is written when it is full, and by [`XerialWriter::finish`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
