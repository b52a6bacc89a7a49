//! The four compression codecs of record batches, in the framings that Kafka's clients write and read.
//!
//! Every decompression is bounded: no input, however small it is or whatever its headers claim, makes more than
//! `max_len` bytes (and a codec's fixed window) appear in memory.

use std::io::{Read, Write};

use bytes::{BufMut, Bytes};

/// A codec, as the lowest three bits of a batch's attributes name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Records follow the batch header as they are.
    None,
    /// RFC 1952, possibly of several members.
    Gzip,
    /// Raw Snappy blocks in xerial framing; a bare raw block is read, too.
    Snappy,
    /// An LZ4 frame of independent blocks.
    Lz4,
    /// A Zstandard frame (KIP-110).
    Zstd,
}

/// Why bytes could not be compressed or decompressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompressionError {
    /// There is more data than the caller allows.
    #[error("the decompressed data is larger than {0} bytes")]
    TooLarge(usize),
    /// The bytes are not what the codec writes.
    #[error("malformed {0:?} data: {1}")]
    Malformed(Compression, String),
    /// Codecs 5 to 7 do not exist.
    #[error("unknown compression codec {0}")]
    UnknownCodec(u8),
}

/// The first bytes of snappy-java's framing; two version numbers of four bytes follow, then blocks, each behind its
/// length.
const XERIAL_MAGIC: &[u8] = b"\x82SNAPPY\0";
const XERIAL_HEADER_SIZE: usize = 16;
const XERIAL_BLOCK_SIZE: usize = 32 * 1024;

/// The largest window a Zstandard frame may ask for, as a power of two: what the highest compression level writes.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

impl Compression {
    /// The codec with this number (0 to 4).
    pub fn from_id(id: u8) -> Result<Self, CompressionError> {
        match id {
            0 => Ok(Self::None),
            1 => Ok(Self::Gzip),
            2 => Ok(Self::Snappy),
            3 => Ok(Self::Lz4),
            4 => Ok(Self::Zstd),
            _ => Err(CompressionError::UnknownCodec(id)),
        }
    }

    /// The codec's number in a batch's attributes.
    pub fn id(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }
}

/// Compresses `data` at the codec's default level, as Kafka does.
pub fn compress(codec: Compression, data: &[u8]) -> Result<Bytes, CompressionError> {
    let malformed = |error: &dyn std::fmt::Display| CompressionError::Malformed(codec, error.to_string());
    let compressed = match codec {
        Compression::None => data.to_vec(),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(data).and_then(|()| encoder.finish()).map_err(|error| malformed(&error))?
        }
        Compression::Snappy => compress_xerial(data)?,
        Compression::Lz4 => compress_lz4(data).map_err(|error| malformed(&error))?,
        Compression::Zstd => zstd::bulk::compress(data, 0).map_err(|error| malformed(&error))?,
    };
    Ok(Bytes::from(compressed))
}

/// Decompresses `data`, giving up as soon as there would be more than `max_len` bytes.
pub fn decompress(codec: Compression, data: &[u8], max_len: usize) -> Result<Bytes, CompressionError> {
    let malformed = |error: std::io::Error| CompressionError::Malformed(codec, error.to_string());
    match codec {
        Compression::None if data.len() > max_len => Err(CompressionError::TooLarge(max_len)),
        Compression::None => Ok(Bytes::copy_from_slice(data)),
        Compression::Gzip => read_bounded(codec, flate2::bufread::MultiGzDecoder::new(data), max_len),
        Compression::Snappy => decompress_snappy(data, max_len),
        Compression::Lz4 => read_bounded(codec, lz4_flex::frame::FrameDecoder::new(data), max_len),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(data).map_err(malformed)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(malformed)?;
            read_bounded(codec, decoder, max_len)
        }
    }
}

fn read_bounded(codec: Compression, reader: impl Read, max_len: usize) -> Result<Bytes, CompressionError> {
    let mut data = Vec::new();
    let limit = u64::try_from(max_len).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(limit).read_to_end(&mut data).map_err(|error| CompressionError::Malformed(codec, error.to_string()))?;
    if data.len() > max_len { Err(CompressionError::TooLarge(max_len)) } else { Ok(Bytes::from(data)) }
}

fn compress_lz4(data: &[u8]) -> Result<Vec<u8>, lz4_flex::frame::Error> {
    let info = lz4_flex::frame::FrameInfo::new()
        .block_size(lz4_flex::frame::BlockSize::Max64KB)
        .block_mode(lz4_flex::frame::BlockMode::Independent);
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(data)?;
    encoder.finish()
}

fn compress_xerial(data: &[u8]) -> Result<Vec<u8>, CompressionError> {
    let mut framed = Vec::with_capacity(XERIAL_HEADER_SIZE + data.len() / 2);
    framed.put_slice(XERIAL_MAGIC);
    framed.put_i32(1);
    framed.put_i32(1);
    for block in data.chunks(XERIAL_BLOCK_SIZE) {
        let compressed = snap::raw::Encoder::new()
            .compress_vec(block)
            .map_err(|error| CompressionError::Malformed(Compression::Snappy, error.to_string()))?;
        framed.put_i32(i32::try_from(compressed.len()).unwrap_or(i32::MAX));
        framed.put_slice(&compressed);
    }
    Ok(framed)
}

fn decompress_snappy(data: &[u8], max_len: usize) -> Result<Bytes, CompressionError> {
    let mut data_out = Vec::new();
    if !data.starts_with(XERIAL_MAGIC) {
        decompress_block(data, &mut data_out, max_len)?;
        return Ok(Bytes::from(data_out));
    }
    let truncated = || CompressionError::Malformed(Compression::Snappy, "the framing is truncated".to_owned());
    let mut rest = data.get(XERIAL_HEADER_SIZE..).ok_or_else(truncated)?;
    while let Some((length, blocks)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| truncated())?;
        let (block, after) = blocks.split_at_checked(length).ok_or_else(truncated)?;
        decompress_block(block, &mut data_out, max_len)?;
        rest = after;
    }
    if rest.is_empty() { Ok(Bytes::from(data_out)) } else { Err(truncated()) }
}

/// Appends one raw block's content. A raw block names its own size, which is checked before anything is allocated
/// (CVE-2023-34455).
fn decompress_block(block: &[u8], data_out: &mut Vec<u8>, max_len: usize) -> Result<(), CompressionError> {
    let malformed = |error: snap::Error| CompressionError::Malformed(Compression::Snappy, error.to_string());
    let length = snap::raw::decompress_len(block).map_err(malformed)?;
    if length > max_len.saturating_sub(data_out.len()) {
        return Err(CompressionError::TooLarge(max_len));
    }
    // A block grows to at most 64 times its size (the copy elements' bound), so a larger claim is a lie.
    if length / 64 > block.len() {
        return Err(CompressionError::Malformed(Compression::Snappy, "the block's length is a lie".to_owned()));
    }
    data_out.extend_from_slice(&snap::raw::Decoder::new().decompress_vec(block).map_err(malformed)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    #[test]
    fn every_codec_gives_back_what_it_was_given() {
        let data: Vec<u8> = (0..200_000_u32).flat_map(|n| (n / 7).to_be_bytes()).collect();
        for codec in ALL {
            assert_eq!(Compression::from_id(codec.id()), Ok(codec));
            for part in [&data[..], &data[..1], &data[..0]] {
                let compressed = compress(codec, part).unwrap();
                assert_eq!(decompress(codec, &compressed, part.len()).unwrap(), part, "{codec:?}");
            }
        }
        assert_eq!(Compression::from_id(5), Err(CompressionError::UnknownCodec(5)));
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = vec![0; 32 << 20];
        for codec in ALL {
            let compressed = compress(codec, &bomb).unwrap();
            assert_eq!(decompress(codec, &compressed, 1 << 16), Err(CompressionError::TooLarge(1 << 16)));
        }
    }

    #[test]
    fn a_bare_snappy_block_is_read() {
        let block = snap::raw::Encoder::new().compress_vec(b"hello hello hello hello").unwrap();
        assert_eq!(decompress(Compression::Snappy, &block, 100).unwrap(), &b"hello hello hello hello"[..]);
    }

    #[test]
    fn a_snappy_block_that_lies_about_its_length_allocates_nothing() {
        // A raw block that claims 4 GiB - 1, and one that claims 1 GiB under a limit of 2 GiB.
        assert!(decompress(Compression::Snappy, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0], 1 << 20).is_err());
        assert!(decompress(Compression::Snappy, &[0x80, 0x80, 0x80, 0x80, 0x04, 0], 2 << 30).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_codec_panic(data in proptest::collection::vec(any::<u8>(), 0..300)) {
            for codec in ALL {
                let _ = decompress(codec, &data, 10_000);
            }
        }

        #[test]
        fn no_damage_makes_a_codec_panic(at in any::<prop::sample::Index>(), bit in 0..8_u32, cut in any::<prop::sample::Index>()) {
            let data: Vec<u8> = (0..5_000_u32).flat_map(|n| (n % 97).to_be_bytes()).collect();
            for codec in ALL {
                let mut compressed = compress(codec, &data).unwrap().to_vec();
                let at = at.index(compressed.len());
                compressed[at] ^= 1_u8 << bit;
                let _ = decompress(codec, &compressed, 100_000);
                compressed.truncate(cut.index(compressed.len()));
                let _ = decompress(codec, &compressed, 100_000);
            }
        }
    }
}
