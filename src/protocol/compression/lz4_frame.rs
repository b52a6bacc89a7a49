//! Reads LZ4 frames, with Kafka's choices (its `Lz4BlockInputStream`): blocks must be independent of each other, what
//! comes behind the end mark is not looked at, and neither is the checksum of the content.
//!
//! The framing is our own because a frame may claim blocks of 4 MB: only what a block can really hold is made room
//! for, in a buffer that outlives the batch.

use twox_hash::XxHash32;

use super::codec::{Compression, CompressionError};
use super::output::OutputBuffer;

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];

/// The version, 1, and that blocks are independent.
const FLAGS_SET: u8 = 0x60;
/// The other version bits, a reserved bit, and dictionaries, which Kafka does not know.
const FLAGS_CLEAR: u8 = 0x83;
const BLOCK_CHECKSUMS: u8 = 0x10;
const CONTENT_SIZE: u8 = 0x08;

/// In a block's length: the block is not compressed.
const NOT_COMPRESSED: u32 = 1 << 31;

/// No sequence of a block makes more of its bytes: 255 for one byte more of a match's length.
const MOST_EXPANSION: usize = 255;
/// What the shortest block can make of its first bytes, rounded up.
const LEAST_ROOM: usize = 64;

/// Reads the blocks of a frame one after the other.
#[derive(Debug)]
pub(super) struct Lz4Frame<'a> {
    rest: &'a [u8],
    max_block_size: usize,
    has_block_checksums: bool,
    is_finished: bool,
}

impl<'a> Lz4Frame<'a> {
    /// Reads the header of the frame in `data`.
    pub(super) fn new(data: &'a [u8]) -> Result<Self, CompressionError> {
        let descriptor = data.strip_prefix(&MAGIC).ok_or_else(|| malformed("there is no frame"))?;
        let &[flags, sizes, ..] = descriptor else { return Err(truncated()) };
        if flags & FLAGS_SET != FLAGS_SET || flags & FLAGS_CLEAR != 0 {
            return Err(malformed("the frame has flags that are not supported"));
        }
        let max_block_size = match sizes {
            0x40 => 64 << 10,
            0x50 => 256 << 10,
            0x60 => 1 << 20,
            0x70 => 4 << 20,
            _ => return Err(malformed("the frame has no valid size of blocks")),
        };
        let length = if flags & CONTENT_SIZE == 0 { 2 } else { 10 };
        let (descriptor, rest) = descriptor.split_at_checked(length).ok_or_else(truncated)?;
        let (checksum, rest) = rest.split_first().ok_or_else(truncated)?;
        let [_, _, computed, _] = XxHash32::oneshot(0, descriptor).to_be_bytes();
        if *checksum != computed {
            return Err(malformed("the checksum of the frame's descriptor is wrong"));
        }
        Ok(Self { rest, max_block_size, has_block_checksums: flags & BLOCK_CHECKSUMS != 0, is_finished: false })
    }

    /// Writes the next block's content to the front of `output`, which grows for it; says how many bytes these are, and
    /// `None` behind the last block.
    pub(super) fn next(&mut self, output: &mut OutputBuffer) -> Result<Option<usize>, CompressionError> {
        if self.is_finished {
            return Ok(None);
        }
        let length = self.read_u32()?;
        let size = (length & !NOT_COMPRESSED) as usize;
        if size == 0 {
            self.is_finished = true;
            return Ok(None);
        }
        if size > self.max_block_size {
            return Err(malformed("a block is larger than the frame allows"));
        }
        let (block, rest) = self.rest.split_at_checked(size).ok_or_else(truncated)?;
        self.rest = rest;
        if self.has_block_checksums && self.read_u32()? != XxHash32::oneshot(0, block) {
            return Err(malformed("the checksum of a block is wrong"));
        }
        if length & NOT_COMPRESSED != 0 {
            output.room(size).copy_from_slice(block);
            return Ok(Some(size));
        }
        let most = self.max_block_size.min(size.saturating_mul(MOST_EXPANSION).saturating_add(LEAST_ROOM));
        lz4_flex::block::decompress_into(block, output.room(most))
            .map(Some)
            .map_err(|error| malformed(&error.to_string()))
    }

    fn read_u32(&mut self) -> Result<u32, CompressionError> {
        let (number, rest) = self.rest.split_first_chunk::<4>().ok_or_else(truncated)?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*number))
    }
}

fn malformed(reason: &str) -> CompressionError {
    Compression::Lz4.malformed(reason)
}

fn truncated() -> CompressionError {
    malformed("the frame is truncated")
}
