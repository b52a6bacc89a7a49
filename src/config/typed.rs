//! Typed views on the table: structs whose fields are named after the keys, with underscores for the dots.
//!
//! The defaults of the fields are those of the table; they stand nowhere else. A key that stands in neither struct, and
//! that [`super::Config`] does not read itself, is accepted without effect; its row says so.

use super::settings::Settings;
use super::value::{FromValue, InvalidValue};
use crate::protocol::compression::Compression;
use crate::protocol::record_batch::TimestampType;

/// A struct whose fields are keys.
pub(super) trait TypedKeys: Sized {
    /// Reads every field; one whose key has no value is the type's own default.
    fn read(settings: &Settings) -> Result<Self, InvalidValue>;

    /// Reads the field behind `key` from `text`; does nothing where there is none. The error is the reason.
    fn assign(&mut self, key: &str, text: &str) -> Result<(), String>;
}

/// Declares a struct of keys, `field: type = "key.name"`, whose texts a method of [`Settings`] finds.
macro_rules! typed_keys {
    ($(#[$attribute:meta])* pub struct $name:ident from $texts:ident { $($field:ident: $type:ty = $key:literal,)* }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $(#[doc = concat!("The value of `", $key, "`.")] pub $field: $type,)*
        }

        impl $name {
            /// The keys behind the fields.
            pub const KEYS: &'static [&'static str] = &[$($key),*];
        }

        impl TypedKeys for $name {
            fn read(settings: &Settings) -> Result<Self, InvalidValue> {
                Ok(Self { $($field: read($key, settings.$texts($key))?,)* })
            }

            fn assign(&mut self, key: &str, text: &str) -> Result<(), String> {
                match key {
                    $($key => self.$field = FromValue::from_value(text)?,)*
                    _ => {}
                }
                Ok(())
            }
        }

        /// The defaults of the table.
        impl Default for $name {
            fn default() -> Self {
                let table = Settings::default();
                // That every default can be read is tested, so that none falls back to its type's.
                Self { $($field: read($key, table.$texts($key)).unwrap_or_default(),)* }
            }
        }
    };
}

fn read<T: FromValue + Default>(key: &str, text: Option<String>) -> Result<T, InvalidValue> {
    let Some(text) = text else { return Ok(T::default()) };
    T::from_value(&text).map_err(|reason| InvalidValue { key: key.to_owned(), value: text, reason })
}

typed_keys! {
    /// The broker's keys, other than those about listeners, storage and this node's id, which [`super::Config`]
    /// resolves, and those that are the defaults of topic keys.
    pub struct BrokerConfig from broker_text {
        broker_rack: Option<String> = "broker.rack",
        max_connections: i32 = "max.connections",
        max_connections_per_ip: i32 = "max.connections.per.ip",
        connections_max_idle_ms: i64 = "connections.max.idle.ms",
        socket_request_max_bytes: i32 = "socket.request.max.bytes",
        socket_listen_backlog_size: i32 = "socket.listen.backlog.size",
        fetch_max_bytes: i32 = "fetch.max.bytes",
        max_incremental_fetch_session_cache_slots: i32 = "max.incremental.fetch.session.cache.slots",
        max_request_partition_size_limit: i32 = "max.request.partition.size.limit",
        auto_create_topics_enable: bool = "auto.create.topics.enable",
        delete_topic_enable: bool = "delete.topic.enable",
        num_partitions: i32 = "num.partitions",
        default_replication_factor: i32 = "default.replication.factor",
        log_cleaner_enable: bool = "log.cleaner.enable",
        log_cleaner_threads: i32 = "log.cleaner.threads",
        log_cleaner_io_max_bytes_per_second: f64 = "log.cleaner.io.max.bytes.per.second",
        log_cleaner_dedupe_buffer_size: i64 = "log.cleaner.dedupe.buffer.size",
        log_cleaner_io_buffer_size: i32 = "log.cleaner.io.buffer.size",
        log_cleaner_io_buffer_load_factor: f64 = "log.cleaner.io.buffer.load.factor",
        log_cleaner_backoff_ms: i64 = "log.cleaner.backoff.ms",
        log_retention_check_interval_ms: i64 = "log.retention.check.interval.ms",
        log_flush_scheduler_interval_ms: i64 = "log.flush.scheduler.interval.ms",
        num_replica_alter_log_dirs_threads: Option<i32> = "num.replica.alter.log.dirs.threads",
        num_recovery_threads_per_data_dir: i32 = "num.recovery.threads.per.data.dir",
        log_flush_offset_checkpoint_interval_ms: i32 = "log.flush.offset.checkpoint.interval.ms",
        replica_high_watermark_checkpoint_interval_ms: i64 = "replica.high.watermark.checkpoint.interval.ms",
        group_min_session_timeout_ms: i32 = "group.min.session.timeout.ms",
        group_max_session_timeout_ms: i32 = "group.max.session.timeout.ms",
        group_initial_rebalance_delay_ms: i32 = "group.initial.rebalance.delay.ms",
        group_max_size: i32 = "group.max.size",
        group_coordinator_append_linger_ms: i32 = "group.coordinator.append.linger.ms",
        offset_metadata_max_bytes: i32 = "offset.metadata.max.bytes",
        offsets_retention_minutes: i32 = "offsets.retention.minutes",
        offsets_retention_check_interval_ms: i64 = "offsets.retention.check.interval.ms",
        offsets_commit_timeout_ms: i32 = "offsets.commit.timeout.ms",
        offsets_topic_num_partitions: i32 = "offsets.topic.num.partitions",
        offsets_topic_replication_factor: i16 = "offsets.topic.replication.factor",
        offsets_topic_segment_bytes: i32 = "offsets.topic.segment.bytes",
        quota_window_num: i32 = "quota.window.num",
        quota_window_size_seconds: i32 = "quota.window.size.seconds",
        controller_quota_window_num: i32 = "controller.quota.window.num",
        controller_quota_window_size_seconds: i32 = "controller.quota.window.size.seconds",
        transaction_max_timeout_ms: i32 = "transaction.max.timeout.ms",
        transactional_id_expiration_ms: i32 = "transactional.id.expiration.ms",
        transaction_state_log_num_partitions: i32 = "transaction.state.log.num.partitions",
        transaction_state_log_replication_factor: i16 = "transaction.state.log.replication.factor",
        transaction_state_log_min_isr: i32 = "transaction.state.log.min.isr",
        transaction_state_log_segment_bytes: i32 = "transaction.state.log.segment.bytes",
        transaction_abort_timed_out_transaction_cleanup_interval_ms: i32
            = "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        transaction_remove_expired_transaction_cleanup_interval_ms: i32
            = "transaction.remove.expired.transaction.cleanup.interval.ms",
        broker_heartbeat_interval_ms: i32 = "broker.heartbeat.interval.ms",
        initial_broker_registration_timeout_ms: i32 = "initial.broker.registration.timeout.ms",
        controlled_shutdown_enable: bool = "controlled.shutdown.enable",
        broker_session_timeout_ms: i32 = "broker.session.timeout.ms",
        auto_leader_rebalance_enable: bool = "auto.leader.rebalance.enable",
        leader_imbalance_check_interval_seconds: i64 = "leader.imbalance.check.interval.seconds",
        replica_lag_time_max_ms: i64 = "replica.lag.time.max.ms",
        replica_fetch_max_bytes: i32 = "replica.fetch.max.bytes",
        replica_fetch_response_max_bytes: i32 = "replica.fetch.response.max.bytes",
        replica_fetch_min_bytes: i32 = "replica.fetch.min.bytes",
        replica_fetch_wait_max_ms: i32 = "replica.fetch.wait.max.ms",
        replica_fetch_backoff_ms: i32 = "replica.fetch.backoff.ms",
        replica_socket_timeout_ms: i32 = "replica.socket.timeout.ms",
        num_replica_fetchers: i32 = "num.replica.fetchers",
        request_timeout_ms: i32 = "request.timeout.ms",
        transaction_partition_verification_enable: bool = "transaction.partition.verification.enable",
        add_partitions_to_txn_retry_backoff_ms: i32 = "add.partitions.to.txn.retry.backoff.ms",
        add_partitions_to_txn_retry_backoff_max_ms: i32 = "add.partitions.to.txn.retry.backoff.max.ms",
        producer_id_expiration_ms: i32 = "producer.id.expiration.ms",
        klamm_metrics_per_partition: bool = "klamm.metrics.per.partition",
        producer_id_expiration_check_interval_ms: i32 = "producer.id.expiration.check.interval.ms",
    }
}

typed_keys! {
    /// A topic's keys: its own overrides over the broker's defaults.
    pub struct TopicConfig from topic_text {
        cleanup_policy: CleanupPolicy = "cleanup.policy",
        compression_type: CompressionType = "compression.type",
        delete_retention_ms: i64 = "delete.retention.ms",
        file_delete_delay_ms: i64 = "file.delete.delay.ms",
        flush_messages: i64 = "flush.messages",
        flush_ms: i64 = "flush.ms",
        index_interval_bytes: i32 = "index.interval.bytes",
        internal_segment_bytes: Option<i32> = "internal.segment.bytes",
        max_compaction_lag_ms: i64 = "max.compaction.lag.ms",
        max_message_bytes: i32 = "max.message.bytes",
        message_timestamp_after_max_ms: i64 = "message.timestamp.after.max.ms",
        message_timestamp_before_max_ms: i64 = "message.timestamp.before.max.ms",
        message_timestamp_type: TimestampType = "message.timestamp.type",
        min_cleanable_dirty_ratio: f64 = "min.cleanable.dirty.ratio",
        min_compaction_lag_ms: i64 = "min.compaction.lag.ms",
        min_insync_replicas: i32 = "min.insync.replicas",
        retention_bytes: i64 = "retention.bytes",
        retention_ms: i64 = "retention.ms",
        segment_bytes: i32 = "segment.bytes",
        segment_index_bytes: i32 = "segment.index.bytes",
        segment_jitter_ms: i64 = "segment.jitter.ms",
        segment_ms: i64 = "segment.ms",
        unclean_leader_election_enable: bool = "unclean.leader.election.enable",
    }
}

/// What happens to old segments; neither means that they stay for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CleanupPolicy {
    /// Only the last record of each key stays.
    pub compact: bool,
    /// Whole segments go, by age and size.
    pub delete: bool,
}

impl FromValue for CleanupPolicy {
    fn from_value(text: &str) -> Result<Self, String> {
        let policies: Vec<String> = FromValue::from_value(text)?;
        let has = |policy: &str| policies.iter().any(|element| element == policy);
        Ok(Self { compact: has("compact"), delete: has("delete") })
    }
}

impl FromValue for TimestampType {
    fn from_value(text: &str) -> Result<Self, String> {
        match text.trim() {
            "CreateTime" => Ok(Self::CreateTime),
            "LogAppendTime" => Ok(Self::LogAppendTime),
            other => Err(format!("{other} is no timestamp type")),
        }
    }
}

/// The compression that a topic's records are kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CompressionType {
    /// Whatever codec the producer used.
    #[default]
    Producer,
    /// This codec, whatever the producer used; [`Compression::None`] is Kafka's `uncompressed`.
    Codec(Compression),
}

impl FromValue for CompressionType {
    fn from_value(text: &str) -> Result<Self, String> {
        match text.trim() {
            "producer" => Ok(Self::Producer),
            "uncompressed" => Ok(Self::Codec(Compression::None)),
            "gzip" => Ok(Self::Codec(Compression::Gzip)),
            "snappy" => Ok(Self::Codec(Compression::Snappy)),
            "lz4" => Ok(Self::Codec(Compression::Lz4)),
            "zstd" => Ok(Self::Codec(Compression::Zstd)),
            other => Err(format!("{other} is no compression type")),
        }
    }
}
