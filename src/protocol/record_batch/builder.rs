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

/// A state of a [`BatchBuilder`].
#[derive(Debug, Clone, Copy)]
pub struct BatchMark {
    header: BatchHeader,
    body_size: usize,
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
        let timestamp_delta = timestamp_ms.wrapping_sub(self.header.base_timestamp);
        let offset_delta = i64::from(self.header.last_offset_delta);
        let headers_size: usize =
            headers.iter().map(|(key, value)| nullable_size(Some(key)) + nullable_size(*value)).sum();
        let size = 1
            + varlong_size(timestamp_delta)
            + varlong_size(offset_delta)
            + nullable_size(key)
            + nullable_size(value)
            + varlong_size(headers.len() as i64)
            + headers_size;
        let record = &mut self.body;
        put_varlong(record, size as i64);
        record.put_i8(0);
        put_varlong(record, timestamp_delta);
        put_varlong(record, offset_delta);
        put_nullable(record, key);
        put_nullable(record, value);
        put_varlong(record, headers.len() as i64);
        for (key, value) in headers {
            put_nullable(record, Some(key));
            put_nullable(record, *value);
        }
        self
    }

    /// What it holds now, to come back to with [`BatchBuilder::rewind`].
    pub fn mark(&self) -> BatchMark {
        BatchMark { header: self.header, body_size: self.body.len() }
    }

    /// Forgets the records that were added since `mark` was taken.
    pub fn rewind(&mut self, mark: BatchMark) {
        self.header = mark.header;
        self.body.truncate(mark.body_size);
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

fn nullable_size(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(varlong_size(-1), |bytes| varlong_size(bytes.len() as i64) + bytes.len())
}

/// The bytes that [`put_varlong`] writes.
fn varlong_size(value: i64) -> usize {
    let bits = i64::BITS - zigzag(value).leading_zeros();
    bits.max(1).div_ceil(7) as usize
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// Zigzag, then seven bits per byte, the lowest first; the same bytes for 32-bit and 64-bit numbers.
pub(super) fn put_varlong(out: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        out.put_u8((rest as u8) | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_number_is_that_of_its_bytes() {
        let edges = (0..63).flat_map(|bits| [(1_i64 << bits) - 1, 1 << bits, -(1 << bits), -(1 << bits) - 1]);
        for value in edges.chain([0, i64::MIN, i64::MAX]) {
            let mut bytes = Vec::new();
            put_varlong(&mut bytes, value);
            assert_eq!(varlong_size(value), bytes.len(), "{value}");
        }
    }

    #[test]
    fn a_rewound_batch_is_as_it_was() {
        let mut builder = BatchBuilder::new(5);
        builder.record(Some(b"a"), None);
        let (mark, before) = (builder.mark(), builder.build());
        builder.record_at(9, Some(b"b"), Some(b"c"), &[(b"d", None)]);
        assert_ne!(builder.build(), before);
        builder.rewind(mark);
        assert_eq!(builder.build(), before);
    }
}
