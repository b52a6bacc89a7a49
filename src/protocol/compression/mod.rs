//! The four compression codecs of record batches, in the framings that Kafka's clients write and read.
//!
//! Every decompression is bounded: no input, however small it is or whatever its headers claim, makes more than a chunk
//! (and a codec's fixed window) appear in memory at once, or more bytes than its caller allows appear in all.

mod codec;
mod compressor;
mod decompressor;
mod lz4_frame;
mod output;
mod xerial;

use std::io::Write;

use bytes::Bytes;

pub use codec::{Compression, CompressionError};
pub use compressor::Compressor;
pub use decompressor::{Chunks, Decompressor};

/// Compresses `data` at the codec's default level, as Kafka does.
pub fn compress(codec: Compression, data: &[u8]) -> Result<Bytes, CompressionError> {
    let compressed = Compressor::new(codec, Vec::new(), Some(data.len() as u64)).and_then(|mut compressor| {
        compressor.write_all(data)?;
        compressor.finish()
    });
    compressed.map(Bytes::from).map_err(|error| codec.malformed(&error))
}

/// Decompresses `data` into one piece, giving up as soon as there would be more than `max_len` bytes.
pub fn decompress(codec: Compression, data: &[u8], max_len: usize) -> Result<Bytes, CompressionError> {
    let mut content = Vec::new();
    let mut decompressor = Decompressor::default();
    let mut chunks = decompressor.chunks(codec, data, max_len)?;
    loop {
        content.extend_from_slice(chunks.unread());
        if !chunks.advance()? {
            return Ok(Bytes::from(content));
        }
    }
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
            assert_eq!(Compression::from_name(codec.name()), Some(codec));
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
    fn however_much_there_is_a_chunk_is_small_and_what_is_kept_is_bounded() {
        let content = vec![0; 64 << 20];
        let mut decompressor = Decompressor::default();
        for codec in ALL.into_iter().skip(1) {
            let compressed = compress(codec, &content).unwrap();
            let mut chunks = decompressor.chunks(codec, &compressed, content.len()).unwrap();
            let mut size = 0;
            while chunks.advance().unwrap() {
                assert!(chunks.unread().len() <= 64 << 10, "{codec:?}");
                size += chunks.unread().len();
            }
            assert_eq!(size, content.len(), "{codec:?}");
            decompressor.shrink();
            assert!(decompressor.size() < 3 << 20, "{codec:?} keeps {}", decompressor.size());
        }
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let content: Vec<u8> = (0..6 << 20).map(|n: u32| (n.wrapping_mul(n) >> 7) as u8).collect();
        let mut decompressor = Decompressor::default();
        let block = snap::raw::Encoder::new().compress_vec(&content).unwrap();
        let mut chunks = decompressor.chunks(Compression::Snappy, &block, content.len()).unwrap();
        assert!(chunks.advance().unwrap());
        assert_eq!(chunks.unread(), content);
        // The highest level asks for a window of 128 MB, of which it needs what there is.
        let large = zstd::bulk::compress(&content.repeat(3), 22).unwrap();
        let mut chunks = decompressor.chunks(Compression::Zstd, &large, usize::MAX).unwrap();
        while chunks.advance().unwrap() {}
        assert!(decompressor.size() > 12 << 20);
        decompressor.shrink();
        assert_eq!(decompressor.size(), 0);
    }

    #[test]
    fn a_decompressor_works_on_after_an_error() {
        let content = vec![7; 300_000];
        let mut decompressor = Decompressor::default();
        for codec in ALL.into_iter().skip(1) {
            let compressed = compress(codec, &content).unwrap();
            for end in [compressed.len() / 2, compressed.len()] {
                let mut size = 0;
                let mut drain = || -> Result<(), CompressionError> {
                    let mut chunks = decompressor.chunks(codec, &compressed[..end], content.len())?;
                    while chunks.advance()? {
                        size += chunks.unread().len();
                    }
                    Ok(())
                };
                assert_eq!(drain().is_ok(), end == compressed.len(), "{codec:?}");
                assert_eq!(size == content.len(), end == compressed.len(), "{codec:?}");
            }
        }
    }

    #[test]
    fn several_members_and_frames_are_one() {
        for codec in [Compression::Gzip, Compression::Zstd] {
            let parts =
                [compress(codec, b"one").unwrap(), compress(codec, b"").unwrap(), compress(codec, b"two").unwrap()];
            assert_eq!(decompress(codec, &parts.concat(), 100).unwrap(), &b"onetwo"[..]);
        }
        for codec in [Compression::Gzip, Compression::Lz4] {
            let followed = [&compress(codec, b"one").unwrap()[..], b"something else"].concat();
            assert_eq!(decompress(codec, &followed, 100).unwrap(), &b"one"[..], "as to Kafka, it is not there");
        }
    }

    #[test]
    fn lz4_frames_are_read_as_kafka_reads_them() {
        use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
        let content: Vec<u8> = (0..500_000_u32).flat_map(|n| (n / 3).to_le_bytes()).collect();
        let encoded = |info: FrameInfo| {
            let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
            encoder.write_all(&content).unwrap();
            encoder.finish().unwrap()
        };
        let info = || FrameInfo::new().block_mode(BlockMode::Independent);
        for block_size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
            let checked = info().block_size(block_size).block_checksums(true).content_checksum(true);
            for info in [checked.content_size(Some(content.len() as u64)), info().block_size(block_size)] {
                assert_eq!(decompress(Compression::Lz4, &encoded(info), content.len()).unwrap(), content);
            }
        }
        let sound = encoded(info().block_checksums(true));
        let refused = |at: usize, what: &str| {
            let mut damaged = sound.clone();
            damaged[at] ^= 1;
            assert!(decompress(Compression::Lz4, &damaged, content.len()).is_err(), "{what}");
        };
        refused(0, "the magic number");
        refused(6, "the descriptor's checksum");
        refused(sound.len() - 9, "a block's checksum");
        assert!(decompress(Compression::Lz4, &encoded(info().block_mode(BlockMode::Linked)), content.len()).is_err());
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
