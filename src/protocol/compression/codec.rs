//! Which codecs there are, and what can go wrong with them.

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

    /// Its name in Kafka's configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The codec of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        (0..=4).filter_map(|id| Self::from_id(id).ok()).find(|codec| codec.name() == name)
    }

    /// For `map_err`: these bytes are not what this codec writes.
    pub(super) fn malformed(self, reason: &(impl ToString + ?Sized)) -> CompressionError {
        CompressionError::Malformed(self, reason.to_string())
    }
}
