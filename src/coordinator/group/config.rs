//! The configuration of the group coordinator.

use std::time::Duration;

use crate::config::BrokerConfig;

/// What the group coordinator is configured with; the names are Kafka's broker keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupCoordinatorConfig {
    /// `group.min.session.timeout.ms`
    pub min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`
    pub max_session_timeout_ms: i32,
    /// `group.initial.rebalance.delay.ms`
    pub initial_rebalance_delay: Duration,
    /// `group.max.size`: members of one group
    pub max_size: usize,
    /// `offsets.retention.minutes`
    pub offsets_retention: Duration,
    /// `offset.metadata.max.bytes`
    pub offset_metadata_max_bytes: usize,
    /// `offsets.retention.check.interval.ms`
    pub offsets_retention_check_interval: Duration,
}

/// The defaults of the table of keys.
impl Default for GroupCoordinatorConfig {
    fn default() -> Self {
        Self::from(&BrokerConfig::default())
    }
}

impl From<&BrokerConfig> for GroupCoordinatorConfig {
    fn from(config: &BrokerConfig) -> Self {
        let millis = |value: i64| Duration::from_millis(u64::try_from(value).unwrap_or(0));
        Self {
            min_session_timeout_ms: config.group_min_session_timeout_ms,
            max_session_timeout_ms: config.group_max_session_timeout_ms,
            initial_rebalance_delay: millis(i64::from(config.group_initial_rebalance_delay_ms)),
            max_size: usize::try_from(config.group_max_size).unwrap_or(usize::MAX),
            offsets_retention: millis(i64::from(config.offsets_retention_minutes) * 60_000),
            offset_metadata_max_bytes: usize::try_from(config.offset_metadata_max_bytes).unwrap_or(0),
            offsets_retention_check_interval: millis(config.offsets_retention_check_interval_ms),
        }
    }
}
