//! The topic-level settings that a log obeys.

use crate::protocol::compression::Compression;
use crate::protocol::record_batch::TimestampType;

/// `compression.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionType {
    /// Whatever codec the producer used.
    Producer,
    /// This codec, whatever the producer used; [`Compression::None`] is Kafka's `uncompressed`.
    Codec(Compression),
}

/// Kafka's topic keys as typed values; [`Default`] is Kafka 4.1's.
#[derive(Debug, Clone, PartialEq, Eq)]

pub struct LogConfig {
    /// `segment.bytes`: a segment is closed before it grows larger.
    pub segment_bytes: u32,
    /// `segment.ms`: and when it spans more time than this.
    pub segment_ms: i64,
    /// `segment.jitter.ms`: up to this much earlier, at random.
    pub segment_jitter_ms: i64,
    /// `segment.index.bytes`: and when one of its indexes is this large.
    pub segment_index_bytes: u32,
    /// `index.interval.bytes`: how far apart index entries are.
    pub index_interval_bytes: u32,
    /// `retention.ms`; negative for ever.
    pub retention_ms: i64,
    /// `retention.bytes`; negative for no limit.
    pub retention_bytes: i64,
    /// `max.message.bytes`: the largest batch that is accepted.
    pub max_message_bytes: u32,
    /// `message.timestamp.type`.
    pub message_timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: how far in the past a record may be.
    pub message_timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far in the future a record may be.
    pub message_timestamp_after_max_ms: i64,
    /// Whether `cleanup.policy` holds `compact`.
    pub compact: bool,
    /// Whether `cleanup.policy` holds `delete`.
    pub delete: bool,
    /// `compression.type`.
    pub compression_type: CompressionType,
    /// `flush.messages`: fsync after this many records.
    pub flush_messages: i64,
    /// `flush.ms`: fsync after this long.
    pub flush_ms: i64,
    /// `file.delete.delay.ms`: how long a deleted segment's files stay.
    pub file_delete_delay_ms: i64,
    /// `producer.id.expiration.ms`, a broker key: how long an idle producer is remembered.
    pub producer_id_expiration_ms: i64,
}

impl Default for LogConfig {
    fn default() -> Self {
        const DAY_MS: i64 = 24 * 60 * 60 * 1000;
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * DAY_MS,
            segment_jitter_ms: 0,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            retention_ms: 7 * DAY_MS,
            retention_bytes: -1,
            max_message_bytes: 1_048_588,
            message_timestamp_type: TimestampType::CreateTime,
            message_timestamp_before_max_ms: i64::MAX,
            message_timestamp_after_max_ms: 60 * 60 * 1000,
            compact: false,
            delete: true,
            compression_type: CompressionType::Producer,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
            file_delete_delay_ms: 60_000,
            producer_id_expiration_ms: DAY_MS,
        }
    }
}

impl LogConfig {
    /// How many bytes a batch may decompress to, which bounds the time that a bomb takes: memory does not grow with it.
    /// Well-compressed honest data stays far below.
    pub(super) fn decompressed_limit(&self) -> usize {
        const LEAST: usize = 1 << 30;
        (self.max_message_bytes as usize).saturating_mul(32).max(LEAST)
    }
}
