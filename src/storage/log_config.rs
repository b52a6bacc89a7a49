//! The topic-level settings that a log obeys.

use std::time::Duration;

use crate::config::{BrokerConfig, TopicConfig};
use crate::protocol::record_batch::TimestampType;

pub use crate::config::CompressionType;

/// The part of a topic's configuration, and of the broker's, that a log goes by; [`Default`] is that of the table of keys.
#[derive(Debug, Clone, PartialEq)]
pub struct LogConfig {
    /// `segment.bytes`: a segment is closed before it grows larger.
    pub segment_bytes: u32,
    /// `segment.ms`: and when it spans more time than this; where logs are compacted, `max.compaction.lag.ms` if that is
    /// shorter, since only closed segments are.
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
    /// `min.cleanable.dirty.ratio`: the share of the log's bytes that must be uncompacted before it is compacted.
    pub min_cleanable_dirty_ratio: f64,
    /// `delete.retention.ms`: how long a tombstone stays after it was compacted for the first time.
    pub delete_retention_ms: i64,
    /// `min.compaction.lag.ms`: how long a record is safe from compaction.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`: how long a record may escape compaction.
    pub max_compaction_lag_ms: i64,
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
    /// `transaction.partition.verification.enable`, a broker key: whether transactional records need a transaction that its
    /// coordinator knows of.
    pub transaction_partition_verification_enable: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self::new(&BrokerConfig::default(), &TopicConfig::default())
    }
}

impl LogConfig {
    /// What a log of a topic with this configuration, on a broker with that one, goes by.
    pub fn new(broker: &BrokerConfig, topic: &TopicConfig) -> Self {
        // The key table admits no negative sizes.
        let size = |value: i32| u32::try_from(value).unwrap_or(0);
        let compact = topic.cleanup_policy.compact;
        let longest_ms = if compact { topic.max_compaction_lag_ms } else { i64::MAX };
        Self {
            segment_bytes: size(topic.internal_segment_bytes.unwrap_or(topic.segment_bytes)),
            segment_ms: topic.segment_ms.min(longest_ms),
            segment_jitter_ms: topic.segment_jitter_ms,
            segment_index_bytes: size(topic.segment_index_bytes),
            index_interval_bytes: size(topic.index_interval_bytes),
            retention_ms: topic.retention_ms,
            retention_bytes: topic.retention_bytes,
            max_message_bytes: size(topic.max_message_bytes),
            message_timestamp_type: topic.message_timestamp_type,
            message_timestamp_before_max_ms: topic.message_timestamp_before_max_ms,
            message_timestamp_after_max_ms: topic.message_timestamp_after_max_ms,
            compact,
            delete: topic.cleanup_policy.delete,
            min_cleanable_dirty_ratio: topic.min_cleanable_dirty_ratio,
            delete_retention_ms: topic.delete_retention_ms,
            min_compaction_lag_ms: topic.min_compaction_lag_ms,
            max_compaction_lag_ms: topic.max_compaction_lag_ms,
            compression_type: topic.compression_type,
            flush_messages: topic.flush_messages,
            flush_ms: topic.flush_ms,
            file_delete_delay_ms: topic.file_delete_delay_ms,
            producer_id_expiration_ms: i64::from(broker.producer_id_expiration_ms),
            transaction_partition_verification_enable: broker.transaction_partition_verification_enable,
        }
    }

    /// [`Self::flush_ms`], to be compared with the monotonic clock: a wall clock that is set back must not put off a flush.
    pub(super) fn flush_interval(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.flush_ms).unwrap_or(0))
    }

    /// [`Self::file_delete_delay_ms`], likewise.
    pub(super) fn file_delete_delay(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.file_delete_delay_ms).unwrap_or(0))
    }

    /// How many bytes a batch may decompress to, which bounds the time that a bomb takes: memory does not grow with it.
    /// Well-compressed honest data stays far below.
    pub(super) fn decompressed_limit(&self) -> usize {
        const LEAST: usize = 1 << 30;
        (self.max_message_bytes as usize).saturating_mul(32).max(LEAST)
    }
}
