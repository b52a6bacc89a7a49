//! From a topic's configuration to what its logs go by.

use crate::config::{self, Config, TopicConfig};
use crate::protocol::compression::Compression;
use crate::protocol::record_batch::TimestampType;
use crate::storage::{CompressionType, LogConfig};

/// The part of `topic`'s configuration, and of the broker's, that a log goes by.
pub(super) fn log_config(broker: &Config, topic: &TopicConfig) -> LogConfig {
    // The key table admits no negative sizes.
    let size = |value: i32| u32::try_from(value).unwrap_or(0);
    LogConfig {
        segment_bytes: size(topic.internal_segment_bytes.unwrap_or(topic.segment_bytes)),
        segment_ms: topic.segment_ms,
        segment_jitter_ms: topic.segment_jitter_ms,
        segment_index_bytes: size(topic.segment_index_bytes),
        index_interval_bytes: size(topic.index_interval_bytes),
        retention_ms: topic.retention_ms,
        retention_bytes: topic.retention_bytes,
        max_message_bytes: size(topic.max_message_bytes),
        message_timestamp_type: match topic.message_timestamp_type {
            config::TimestampType::CreateTime => TimestampType::CreateTime,
            config::TimestampType::LogAppendTime => TimestampType::LogAppendTime,
        },
        message_timestamp_before_max_ms: topic.message_timestamp_before_max_ms,
        message_timestamp_after_max_ms: topic.message_timestamp_after_max_ms,
        compact: topic.cleanup_policy.compact,
        delete: topic.cleanup_policy.delete,
        compression_type: match topic.compression_type {
            config::CompressionType::Producer => CompressionType::Producer,
            config::CompressionType::Uncompressed => CompressionType::Codec(Compression::None),
            config::CompressionType::Gzip => CompressionType::Codec(Compression::Gzip),
            config::CompressionType::Snappy => CompressionType::Codec(Compression::Snappy),
            config::CompressionType::Lz4 => CompressionType::Codec(Compression::Lz4),
            config::CompressionType::Zstd => CompressionType::Codec(Compression::Zstd),
        },
        flush_messages: topic.flush_messages,
        flush_ms: topic.flush_ms,
        file_delete_delay_ms: topic.file_delete_delay_ms,
        producer_id_expiration_ms: i64::from(broker.broker.producer_id_expiration_ms),
    }
}
