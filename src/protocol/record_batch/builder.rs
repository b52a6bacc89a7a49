//! Builds batches: those of internal topics, re-compressed ones, and those of tests.

use bytes::{BufMut, Bytes};

use super::{BatchHeader, HEADER_SIZE, LOG_OVERHEAD, NO_TIMESTAMP, TimestampType};
use crate::protocol::compression::{Compression, CompressionError, compress};

/// The producer id of a batch without idempotence.
pub const NO_PRODUCER_ID: i64 = -1;

/// The producer epoch of a batch without idempotence.
pub const NO_PRODUCER_EPOCH: i16 = -1;

/// The sequence number of a batch without idempotence.
pub const NO_SEQUENCE: i32 = -1;

/// Collects records and makes one batch of them.
///
/// ```text
/// let mut builder = BatchBuilder::new(now.timestamp_ms);
/// builder.record(Some(b"key"), Some(b"value"));
/// let bytes = builder.build();
/// ```
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    header: BatchHeader,
    timestamp: i64,
    codec: Compression,
    body: Vec<u8>,
}

impl BatchBuilder {
    /// An empty batch at offset 0; records get `timestamp_ms` unless they bring their own.
    pub fn new(timestamp_ms: i64) -> Self {
        let header = BatchHeader {
            base_offset: 0,
            length: 0,
            partition_leader_epoch: -1,
            crc: 0,
            attributes: 0,
            last_offset_delta: -1,
            base_timestamp: timestamp_ms,
            max_timestamp: NO_TIMESTAMP,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            base_sequence: NO_SEQUENCE,
            record_count: 0,
        };
        Self { header, timestamp: timestamp_ms, codec: Compression::None, body: Vec::new() }
    }

    /// Makes it a batch of an idempotent producer.
    pub fn producer(&mut self, id: i64, epoch: i16, base_sequence: i32) -> &mut Self {
        self.header.producer_id = id;
        self.header.producer_epoch = epoch;
        self.header.base_sequence = base_sequence;
        self
    }

    /// Marks it as part of a transaction.
    pub fn transactional(&mut self) -> &mut Self {
        self.header.set_transactional();
        self
    }

    /// Marks it as a control batch.
    pub fn control(&mut self) -> &mut Self {
        self.header.set_control();
        self
    }

    /// The first record's offset; 0 unless set.
    pub fn base_offset(&mut self, base_offset: i64) -> &mut Self {
        self.header.base_offset = base_offset;
        self
    }

    /// The leader epoch in the header; -1 unless set.
    pub fn leader_epoch(&mut self, leader_epoch: i32) -> &mut Self {
        self.header.partition_leader_epoch = leader_epoch;
        self
    }

    /// Says who gave the timestamps.
    pub fn timestamp_type(&mut self, timestamp_type: TimestampType) -> &mut Self {
        self.header.set_timestamp_type(timestamp_type);
        self
    }

    /// Compresses the records with `codec` when the batch is built.
    pub fn compression(&mut self, codec: Compression) -> &mut Self {
        self.codec = codec;
        self
    }

    /// Adds a record at the batch's timestamp.
    pub fn record(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> &mut Self {
        self.record_at(self.timestamp, key, value, &[])
    }

    /// Adds a record with its own timestamp (milliseconds since the Unix epoch) and headers.
    pub fn record_at(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) -> &mut Self {
        if self.header.record_count == 0 {
            self.header.base_timestamp = timestamp_ms;
        }
        self.header.max_timestamp = self.header.max_timestamp.max(timestamp_ms);
        self.header.record_count += 1;
        self.header.last_offset_delta += 1;
        let mut record = Vec::with_capacity(16 + key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len));
        record.put_i8(0);
        put_varlong(&mut record, timestamp_ms.wrapping_sub(self.header.base_timestamp));
        put_varlong(&mut record, i64::from(self.header.last_offset_delta));
        put_nullable(&mut record, key);
        put_nullable(&mut record, value);
        put_varlong(&mut record, headers.len() as i64);
        for (key, value) in headers {
            put_nullable(&mut record, Some(key));
            put_nullable(&mut record, *value);
        }
        put_varlong(&mut self.body, record.len() as i64);
        self.body.put_slice(&record);
        self
    }

    /// How many records it holds.
    pub fn record_count(&self) -> i32 {
        self.header.record_count
    }

    /// The batch's size in bytes if it were built uncompressed now.
    pub fn uncompressed_size(&self) -> usize {
        HEADER_SIZE + self.body.len()
    }

    /// The batch's bytes, its length and checksum filled in.
    ///
    /// # Errors
    /// Only when the codec fails, which it does for no known input.
    pub fn try_build(&self) -> Result<Bytes, CompressionError> {
        if self.codec == Compression::None {
            return Ok(self.assemble(&self.body));
        }
        Ok(self.assemble(&compress(self.codec, &self.body)?))
    }

    /// The batch's bytes; uncompressed should the codec fail.
    pub fn build(&self) -> Bytes {
        self.try_build().unwrap_or_else(|_| Self { codec: Compression::None, ..self.clone() }.assemble(&self.body))
    }

    fn assemble(&self, payload: &[u8]) -> Bytes {
        let mut header = self.header;
        header.set_compression(self.codec);
        header.length = (HEADER_SIZE - LOG_OVERHEAD + payload.len()) as i32;
        header.crc = header.compute_crc(payload);
        let mut bytes = Vec::with_capacity(HEADER_SIZE + payload.len());
        bytes.put_slice(&header.to_bytes());
        bytes.put_slice(payload);
        Bytes::from(bytes)
    }
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            put_varlong(out, bytes.len() as i64);
            out.put_slice(bytes);
        }
        None => put_varlong(out, -1),
    }
}

/// Zigzag, then seven bits per byte, the lowest first; the same bytes for 32-bit and 64-bit numbers.
pub(super) fn put_varlong(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.put_u8((rest as u8) | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}
