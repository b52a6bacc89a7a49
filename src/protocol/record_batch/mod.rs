//! Record batches of message format v2 (KIP-98): a view on the 61-byte header, an iterator over the records, and a
//! builder for the batches that the broker itself writes.
//!
//! A batch is opaque bytes wherever that is possible: the broker reads its header, checks its CRC and patches the two
//! fields outside of the CRC. Records are decoded only where their content matters. Nothing here panics, whatever the
//! bytes are, and decompression is always bounded.

mod builder;
mod header;
mod record_reader;
mod records;
#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use builder::{BatchBuilder, BatchMark, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE};
pub use header::{
    BatchHeader, HEADER_SIZE, LOG_OVERHEAD, TimestampType, crc_of, legacy_message_size, legacy_message_version,
};
pub use record_reader::{Deltas, RecordReader};
pub use records::{RawRecord, RawRecords, Record, RecordHead, RecordHeader, Records, raw_records, visit_raw_records};

use super::compression::{Compression, CompressionError, Decompressor, decompress};

/// The timestamp of a record or batch that has none.
pub const NO_TIMESTAMP: i64 = -1;

/// The current, and only served, message format.
pub const MAGIC_V2: i8 = 2;

/// The smallest value that the length field of any batch or old message can have: a message of format v0.
const MIN_LENGTH: i32 = 14;

/// Why bytes are not a record batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end before the batch does.
    #[error("the record batch is truncated")]
    Truncated,
    /// The length field is smaller than any batch can be.
    #[error("record batch length {0} is below the minimum")]
    InvalidLength(i32),
    /// Not a magic number of any message format.
    #[error("invalid magic {0}")]
    InvalidMagic(i8),
    /// Message formats v0 and v1, which Kafka 4 no longer accepts (KIP-724).
    #[error("message format v{0} is not supported")]
    UnsupportedMagic(i8),
    /// The checksum in the header is not the checksum of the bytes.
    #[error("record batch is corrupt (stored crc = {stored}, computed crc = {computed})")]
    InvalidCrc {
        /// The checksum in the header.
        stored: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// A record does not have the format's shape, or there are more or fewer of them than declared.
    #[error("invalid record: {0}")]
    InvalidRecord(&'static str),
    /// The records could not be decompressed.
    #[error(transparent)]
    Compression(#[from] CompressionError),
}

impl From<&'static str> for BatchError {
    fn from(reason: &'static str) -> Self {
        Self::InvalidRecord(reason)
    }
}

/// One whole batch: its header as read, and all its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordBatch {
    /// The header at the front of `bytes`.
    pub header: BatchHeader,
    /// The batch from its base offset to its last record: exactly `header.size_in_bytes()` bytes.
    pub bytes: Bytes,
}

impl RecordBatch {
    /// Reads the batch at the front of `bytes`, which may go on behind it.
    pub fn parse(bytes: &Bytes) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(bytes)?;
        if bytes.len() < header.size_in_bytes() {
            return Err(BatchError::Truncated);
        }
        Ok(Self { header, bytes: bytes.slice(..header.size_in_bytes()) })
    }

    /// The records behind the header, as they are on the wire.
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(HEADER_SIZE..).unwrap_or_default()
    }

    /// Compares the header's checksum with that of the bytes (CRC-32C of everything behind the checksum).
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        self.header.verify_crc(&self.bytes)
    }

    /// Iterates over the records; compressed ones are decompressed first, to at most `limit` bytes. Uncompressed keys
    /// and values are slices of the batch's own bytes.
    pub fn records(&self, limit: usize) -> Result<Records, BatchError> {
        let payload = match self.header.compression()? {
            Compression::None => self.bytes.slice(HEADER_SIZE..),
            codec => decompress(codec, self.payload(), limit)?,
        };
        Ok(Records::new(self.header, payload))
    }

    /// Reads what must be known of each record, decompressing a chunk at a time and keeping nothing; all chunks together
    /// may have `limit` bytes.
    pub fn reader<'a>(
        &'a self,
        decompressor: &'a mut Decompressor,
        limit: usize,
    ) -> Result<RecordReader<'a>, BatchError> {
        let chunks = decompressor.chunks(self.header.compression()?, self.payload(), limit)?;
        Ok(RecordReader::new(chunks, self.header.record_count))
    }
}

/// Iterates over the batches in `bytes`. An incomplete batch at the end ends the iteration, as it does in Kafka's
/// reader; anything else that is not a batch is an error, after which the iteration ends.
pub fn batches(bytes: &Bytes) -> Batches {
    Batches { rest: bytes.clone() }
}

/// See [`batches`].
#[derive(Debug, Clone)]
pub struct Batches {
    rest: Bytes,
}

impl Batches {
    /// The bytes behind the last batch that was returned.
    pub fn rest(&self) -> &Bytes {
        &self.rest
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        match RecordBatch::parse(&self.rest) {
            Ok(batch) => {
                self.rest = self.rest.slice(batch.bytes.len()..);
                Some(Ok(batch))
            }
            Err(BatchError::Truncated) => None,
            Err(error) => {
                self.rest = Bytes::new();
                Some(Err(error))
            }
        }
    }
}
