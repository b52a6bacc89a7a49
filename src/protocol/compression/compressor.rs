//! Compression of whatever is written, a piece at a time.

use std::io::{self, Write};

use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

use super::codec::Compression;
use super::xerial::XerialWriter;

/// Compresses at the codec's default level, as Kafka does, and passes it on to `W`.
pub struct Compressor<W: Write>(CodecWriter<W>);

enum CodecWriter<W: Write> {
    Plain(W),
    Gzip(GzEncoder<W>),
    Snappy(XerialWriter<W>),
    Lz4(Box<FrameEncoder<W>>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
}

impl<W: Write> Compressor<W> {
    /// Begins to write to `sink`. A Zstandard frame says how long its content is if `size` does, in bytes; it must then
    /// be right.
    pub fn new(codec: Compression, sink: W, size: Option<u64>) -> io::Result<Self> {
        Ok(Self(match codec {
            Compression::None => CodecWriter::Plain(sink),
            Compression::Gzip => CodecWriter::Gzip(GzEncoder::new(sink, flate2::Compression::default())),
            Compression::Snappy => CodecWriter::Snappy(XerialWriter::new(sink)?),
            Compression::Lz4 => {
                let info = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
                CodecWriter::Lz4(Box::new(FrameEncoder::with_frame_info(info, sink)))
            }
            Compression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(sink, 0)?;
                encoder.set_pledged_src_size(size)?;
                CodecWriter::Zstd(encoder)
            }
        }))
    }

    /// Writes what is still to be written.
    pub fn finish(self) -> io::Result<W> {
        match self.0 {
            CodecWriter::Plain(sink) => Ok(sink),
            CodecWriter::Gzip(encoder) => encoder.finish(),
            CodecWriter::Snappy(writer) => writer.finish(),
            CodecWriter::Lz4(encoder) => encoder.finish().map_err(io::Error::from),
            CodecWriter::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            CodecWriter::Plain(sink) => sink.write(bytes),
            CodecWriter::Gzip(encoder) => encoder.write(bytes),
            CodecWriter::Snappy(writer) => writer.write(bytes),
            CodecWriter::Lz4(encoder) => encoder.write(bytes),
            CodecWriter::Zstd(encoder) => encoder.write(bytes),
        }
    }

    /// Does nothing: what has not been passed on yet is by [`Compressor::finish`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
