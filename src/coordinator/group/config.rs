//! The configuration of the group coordinator.

use std::time::Duration;

/// What the group coordinator is configured with; the names are Kafka's broker keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupConfig {
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

/// Kafka's defaults.
impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            initial_rebalance_delay: Duration::from_secs(3),
            max_size: i32::MAX as usize,
            offsets_retention: Duration::from_hours(7 * 24),
            offset_metadata_max_bytes: 4_096,
            offsets_retention_check_interval: Duration::from_mins(10),
        }
    }
}
