//! Decompression a chunk at a time, in memory that does not depend on how much there is.

use std::fmt;
use std::io::Read;

use flate2::bufread::GzDecoder;
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective, get_error_name, get_frame_content_size};

use super::codec::{Compression, CompressionError};
use super::lz4_frame::Lz4Frame;
use super::output::OutputBuffer;
use super::xerial::XerialReader;

/// The chunks of the codecs that have no blocks of their own: small enough for a core's cache.
const CHUNK_SIZE: usize = 64 << 10;

/// A Zstandard frame that says it holds no more is decompressed in one go, which spares copying it out of the window.
const ZSTD_ONE_CHUNK: u64 = 1 << 20;

/// The largest window a Zstandard frame may ask for, as a power of two: what the highest compression level writes.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// What a Zstandard context may keep between batches: a window of 2 MB, as the default level writes it, and its tables.
const ZSTD_MOST_KEPT: usize = 4 << 20;

/// Decompresses one batch after the other, and keeps what is expensive to make for the next one.
#[derive(Default)]
pub struct Decompressor {
    output: OutputBuffer,
    zstd: Option<DCtx<'static>>,
}

/// What a codec makes of a batch, a chunk at a time: the unread rest of the current chunk, until [`Chunks::advance`].
pub struct Chunks<'a> {
    codec: Compression,
    source: CodecReader<'a>,
    output: &'a mut OutputBuffer,
    start: usize,
    end: usize,
    /// How many more bytes may come, of `limit`.
    left: usize,
    limit: usize,
}

enum CodecReader<'a> {
    Plain(&'a [u8]),
    Gzip(Box<GzDecoder<&'a [u8]>>),
    Snappy(XerialReader<'a>),
    Lz4(Lz4Frame<'a>),
    Zstd(ZstdFrames<'a>),
}

struct ZstdFrames<'a> {
    context: &'a mut DCtx<'static>,
    input: InBuffer<'a>,
    chunk_size: usize,
    /// Whether the last frame has ended and no other one has begun.
    is_between_frames: bool,
}

impl Decompressor {
    /// Begins to decompress `data`. More than `limit` bytes of content are an error as soon as they appear.
    pub fn chunks<'a>(
        &'a mut self,
        codec: Compression,
        data: &'a [u8],
        limit: usize,
    ) -> Result<Chunks<'a>, CompressionError> {
        let Self { output, zstd } = self;
        let mut end = 0;
        let source = match codec {
            Compression::None if data.len() > limit => return Err(CompressionError::TooLarge(limit)),
            Compression::None => {
                end = data.len();
                CodecReader::Plain(data)
            }
            Compression::Gzip => CodecReader::Gzip(Box::new(GzDecoder::new(data))),
            Compression::Snappy => CodecReader::Snappy(XerialReader::new(data)?),
            Compression::Lz4 => CodecReader::Lz4(Lz4Frame::new(data)?),
            Compression::Zstd => CodecReader::Zstd(ZstdFrames::new(zstd, data)?),
        };
        Ok(Chunks { codec, source, output, start: 0, end, left: limit, limit })
    }

    /// Gives back what is too large to be kept; to be called when a batch is done.
    pub fn shrink(&mut self) {
        self.output.shrink();
        if self.zstd.as_ref().is_some_and(|context| context.sizeof() > ZSTD_MOST_KEPT) {
            self.zstd = None;
        }
    }

    /// The bytes that it holds on to.
    pub fn size(&self) -> usize {
        self.output.size() + self.zstd.as_ref().map_or(0, DCtx::sizeof)
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Decompressor").field("size", &self.size()).finish_non_exhaustive()
    }
}

impl Chunks<'_> {
    /// What is left of the current chunk.
    #[inline]
    pub fn unread(&self) -> &[u8] {
        match &self.source {
            CodecReader::Plain(bytes) => bytes.get(self.start..self.end).unwrap_or_default(),
            _ => self.output.between(self.start, self.end),
        }
    }

    /// Marks the first `count` unread bytes as read.
    #[inline]
    pub fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
    }

    /// Goes on to the next chunk that is not empty, if there is one; what is unread of the current one is lost.
    pub fn advance(&mut self) -> Result<bool, CompressionError> {
        (self.start, self.end) = (0, 0);
        while let Some(size) = self.next_chunk()? {
            self.left = self.left.checked_sub(size).ok_or(CompressionError::TooLarge(self.limit))?;
            if size > 0 {
                self.end = size;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes the next chunk at the front of the output, and says how large it is.
    fn next_chunk(&mut self) -> Result<Option<usize>, CompressionError> {
        let output = &mut *self.output;
        match &mut self.source {
            CodecReader::Plain(bytes) => {
                *bytes = &[];
                Ok(None)
            }
            CodecReader::Gzip(decoder) => next_of_gzip(decoder, output).map_err(|error| self.codec.malformed(&error)),
            CodecReader::Snappy(blocks) => blocks.next(output, self.left).map_err(|error| match error {
                CompressionError::TooLarge(_) => CompressionError::TooLarge(self.limit),
                other => other,
            }),
            CodecReader::Lz4(frame) => frame.next(output),
            CodecReader::Zstd(frames) => frames.next(output),
        }
    }
}

/// The next chunk, of the next member where one has ended. Bytes behind a member that begin no other one are none, as
/// to Java's reader.
fn next_of_gzip(decoder: &mut GzDecoder<&[u8]>, output: &mut OutputBuffer) -> std::io::Result<Option<usize>> {
    loop {
        let size = decoder.read(output.room(CHUNK_SIZE))?;
        if size > 0 {
            return Ok(Some(size));
        }
        let rest = *decoder.get_ref();
        if rest.is_empty() {
            return Ok(None);
        }
        let next = GzDecoder::new(rest);
        if next.header().is_none() {
            return Ok(None);
        }
        *decoder = next;
    }
}

impl<'a> ZstdFrames<'a> {
    fn new(kept: &'a mut Option<DCtx<'static>>, data: &'a [u8]) -> Result<Self, CompressionError> {
        if kept.is_none() {
            let mut context =
                DCtx::try_create().ok_or_else(|| Compression::Zstd.malformed("there is no memory for it"))?;
            context.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX)).map_err(zstd_error)?;
            *kept = Some(context);
        }
        let context = kept.as_mut().ok_or_else(|| Compression::Zstd.malformed("there is no context"))?;
        // What a batch that ended in an error has left.
        context.reset(ResetDirective::SessionOnly).map_err(zstd_error)?;
        let content_size = get_frame_content_size(data).ok().flatten().filter(|size| *size <= ZSTD_ONE_CHUNK);
        let chunk_size = content_size.map_or(CHUNK_SIZE, |size| CHUNK_SIZE.max(size as usize));
        Ok(Self { context, input: InBuffer::around(data), chunk_size, is_between_frames: true })
    }

    fn next(&mut self, output: &mut OutputBuffer) -> Result<Option<usize>, CompressionError> {
        loop {
            let read_before = self.input.pos();
            if self.is_between_frames && read_before == self.input.src.len() {
                return Ok(None);
            }
            let mut chunk = OutBuffer::around(output.room(self.chunk_size));
            let hint = self.context.decompress_stream(&mut chunk, &mut self.input).map_err(zstd_error)?;
            self.is_between_frames = hint == 0;
            if chunk.pos() > 0 {
                return Ok(Some(chunk.pos()));
            }
            if hint > 0 && self.input.pos() == read_before {
                return Err(Compression::Zstd.malformed("the frame is truncated"));
            }
        }
    }
}

fn zstd_error(code: usize) -> CompressionError {
    Compression::Zstd.malformed(get_error_name(code))
}
