//! The 61 bytes at the front of every batch.

use bytes::BufMut;

use super::{BatchError, MAGIC_V2, MIN_LENGTH, NO_TIMESTAMP};
use crate::protocol::compression::{Compression, CompressionError};

/// The bytes of a batch that come before its records.
pub const HEADER_SIZE: usize = 61;

/// The bytes that the length field does not count: base offset and the length itself.
pub const LOG_OVERHEAD: usize = 12;

/// Where the magic byte is; the same place in every message format.
const MAGIC_AT: usize = 16;

/// The checksum covers everything from here, the attributes, to the end of the batch.
pub(super) const CRC_END: usize = 21;

const CODEC_MASK: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;
const DELETE_HORIZON: i16 = 0x40;

/// Who gave the records their timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimestampType {
    /// The producer.
    #[default]
    CreateTime,
    /// The broker, when it appended them; all records of a batch then share the batch's max timestamp.
    LogAppendTime,
}

/// All fields of a batch's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// The offset of the first record; outside the checksum.
    pub base_offset: i64,
    /// The bytes behind this field.
    pub length: i32,
    /// The leader epoch under which the batch was appended; outside the checksum; -1 from a client.
    pub partition_leader_epoch: i32,
    /// CRC-32C of everything behind it.
    pub crc: u32,
    /// Codec, timestamp type and flags.
    pub attributes: i16,
    /// Added to the base offset gives the last record's offset; kept when compaction removes records.
    pub last_offset_delta: i32,
    /// Records' timestamps are relative to this; or the delete horizon, when that flag is set.
    pub base_timestamp: i64,
    /// The largest timestamp of the records, or the append time; -1 for none.
    pub max_timestamp: i64,
    /// -1 for a producer without idempotence.
    pub producer_id: i64,
    /// -1 for a producer without idempotence.
    pub producer_epoch: i16,
    /// The first record's sequence number; -1 for none.
    pub base_sequence: i32,
    /// How many records the batch holds.
    pub record_count: i32,
}

impl BatchHeader {
    /// Compares the checksum with that of `batch`, which begins with this header and ends with its last record (CRC-32C of
    /// everything behind the checksum).
    pub fn verify_crc(&self, batch: &[u8]) -> Result<(), BatchError> {
        let computed = crc_of(batch.get(CRC_END..).unwrap_or_default(), &[]);
        if computed == self.crc { Ok(()) } else { Err(BatchError::InvalidCrc { stored: self.crc, computed }) }
    }

    /// Reads the header at the front of `bytes`; the records need not be there.
    ///
    /// # Errors
    /// [`BatchError::Truncated`] when more bytes could make a header of it, other errors when none could.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let length = i32::from_be_bytes(field(bytes, 8)?);
        if length < MIN_LENGTH {
            return Err(BatchError::InvalidLength(length));
        }
        let [magic] = field(bytes, MAGIC_AT)?;
        match magic.cast_signed() {
            MAGIC_V2 if (length as usize) < HEADER_SIZE - LOG_OVERHEAD => {
                return Err(BatchError::InvalidLength(length));
            }
            MAGIC_V2 => {}
            old @ 0..=1 => return Err(BatchError::UnsupportedMagic(old)),
            invalid => return Err(BatchError::InvalidMagic(invalid)),
        }
        Ok(Self {
            base_offset: i64::from_be_bytes(field(bytes, 0)?),
            length,
            partition_leader_epoch: i32::from_be_bytes(field(bytes, 12)?),
            crc: u32::from_be_bytes(field(bytes, 17)?),
            attributes: i16::from_be_bytes(field(bytes, 21)?),
            last_offset_delta: i32::from_be_bytes(field(bytes, 23)?),
            base_timestamp: i64::from_be_bytes(field(bytes, 27)?),
            max_timestamp: i64::from_be_bytes(field(bytes, 35)?),
            producer_id: i64::from_be_bytes(field(bytes, 43)?),
            producer_epoch: i16::from_be_bytes(field(bytes, 51)?),
            base_sequence: i32::from_be_bytes(field(bytes, 53)?),
            record_count: i32::from_be_bytes(field(bytes, 57)?),
        })
    }

    /// The header's bytes, the magic number 2 among them.
    pub fn to_bytes(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        let mut out = &mut bytes[..];
        out.put_i64(self.base_offset);
        out.put_i32(self.length);
        out.put_i32(self.partition_leader_epoch);
        out.put_i8(MAGIC_V2);
        out.put_u32(self.crc);
        out.put_i16(self.attributes);
        out.put_i32(self.last_offset_delta);
        out.put_i64(self.base_timestamp);
        out.put_i64(self.max_timestamp);
        out.put_i64(self.producer_id);
        out.put_i16(self.producer_epoch);
        out.put_i32(self.base_sequence);
        out.put_i32(self.record_count);
        bytes
    }

    /// The whole batch's size in bytes: at least [`HEADER_SIZE`].
    pub fn size_in_bytes(&self) -> usize {
        self.length as usize + LOG_OVERHEAD
    }

    /// The last record's offset; saturates at the ends of the number range.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// The offset behind the batch.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// The last record's sequence number, which wraps from 2^31-1 to 0; -1 when the batch has none.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return self.base_sequence;
        }
        let last = i64::from(self.base_sequence) + i64::from(self.last_offset_delta.max(0));
        (last & i64::from(i32::MAX)) as i32
    }

    /// The codec of the records.
    pub fn compression(&self) -> Result<Compression, CompressionError> {
        Compression::from_id((self.attributes & CODEC_MASK) as u8)
    }

    /// Who gave the records their timestamps.
    pub fn timestamp_type(&self) -> TimestampType {
        if self.has(LOG_APPEND_TIME) { TimestampType::LogAppendTime } else { TimestampType::CreateTime }
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.has(TRANSACTIONAL)
    }

    /// Whether its one record is a marker for the broker and invisible to applications.
    pub fn is_control(&self) -> bool {
        self.has(CONTROL)
    }

    /// Whether it comes from an idempotent or transactional producer.
    pub fn has_producer_id(&self) -> bool {
        self.producer_id > -1
    }

    /// When compaction may drop the batch's tombstones, in milliseconds since the Unix epoch (KIP-534).
    pub fn delete_horizon(&self) -> Option<i64> {
        self.has(DELETE_HORIZON).then_some(self.base_timestamp)
    }

    /// Sets who gave the timestamps; the checksum must be computed anew.
    pub fn set_timestamp_type(&mut self, timestamp_type: TimestampType) {
        match timestamp_type {
            TimestampType::CreateTime => self.attributes &= !LOG_APPEND_TIME,
            TimestampType::LogAppendTime => self.attributes |= LOG_APPEND_TIME,
        }
    }

    /// Sets the codec; the checksum must be computed anew.
    pub fn set_compression(&mut self, codec: Compression) {
        self.attributes = (self.attributes & !CODEC_MASK) | i16::from(codec.id());
    }

    /// Marks the batch as part of a transaction; the checksum must be computed anew.
    pub fn set_transactional(&mut self) {
        self.attributes |= TRANSACTIONAL;
    }

    /// Marks the batch as a control batch; the checksum must be computed anew.
    pub fn set_control(&mut self) {
        self.attributes |= CONTROL;
    }

    /// Says from when on compaction may drop the batch's tombstones, in milliseconds since the Unix epoch (KIP-534). It
    /// takes the base timestamp's place, so that the records' deltas must be relative to it; the checksum must be computed
    /// anew.
    pub fn set_delete_horizon(&mut self, delete_horizon_ms: i64) {
        self.attributes |= DELETE_HORIZON;
        self.base_timestamp = delete_horizon_ms;
    }

    /// The header of what is left of this batch when none of its records is, its checksum right: whoever reads it learns
    /// how far the log goes, and the producer's last sequence number. As Kafka's `writeEmptyHeader` makes it: uncompressed,
    /// without a base timestamp and a delete horizon.
    #[must_use]
    pub fn emptied(&self) -> Self {
        let mut header = Self {
            length: (HEADER_SIZE - LOG_OVERHEAD) as i32,
            attributes: self.attributes & !(CODEC_MASK | DELETE_HORIZON),
            base_timestamp: NO_TIMESTAMP,
            record_count: 0,
            ..*self
        };
        header.crc = header.compute_crc(&[]);
        header
    }

    /// The checksum that belongs to this header in front of `payload`.
    pub fn compute_crc(&self, payload: &[u8]) -> u32 {
        let bytes = self.to_bytes();
        crc_of(bytes.get(CRC_END..).unwrap_or_default(), payload)
    }

    fn has(&self, flag: i16) -> bool {
        self.attributes & flag != 0
    }
}

/// CRC-32C of `front` and `rest` one after the other: the one place where a batch's checksum is computed.
pub fn crc_of(front: &[u8], rest: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(front), rest)
}

/// The bytes of the batch or old message that begins with `prefix`; `None` when that can be neither.
pub fn legacy_message_size(prefix: &[u8]) -> Option<usize> {
    let length = i32::from_be_bytes(field(prefix, 8).ok()?);
    (length >= MIN_LENGTH).then(|| length as usize + LOG_OVERHEAD)
}

/// The version, 0 or 1, of the message of an old format that `message` is, if it is one with a right checksum
/// (CRC-32 of everything behind it).
pub fn legacy_message_version(message: &[u8]) -> Option<i8> {
    let [magic] = field(message, MAGIC_AT).ok()?;
    let mut crc = flate2::Crc::new();
    crc.update(message.get(MAGIC_AT..)?);
    let stored = u32::from_be_bytes(field(message, LOG_OVERHEAD).ok()?);
    (magic < MAGIC_V2.cast_unsigned() && crc.sum() == stored).then_some(magic.cast_signed())
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], BatchError> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().ok_or(BatchError::Truncated)
}
