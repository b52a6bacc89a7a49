//! What the runtime of coordinators is configured with.

use std::time::Duration;

use crate::config::BrokerConfig;

/// How long a batch waits for more decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendLinger {
    /// As long as requests are waiting to be decided: nobody waits for nothing, and a burst becomes one batch.
    Adaptive,
    /// Every decision is a batch of its own.
    Never,
    /// So long after the first one, or until it is full.
    For(Duration),
}

/// The names are Kafka's broker keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoordinatorRuntimeConfig {
    /// `group.coordinator.append.linger.ms`
    pub append_linger: AppendLinger,
    /// `offsets.commit.timeout.ms`: how long a reply waits for its records to be committed
    pub commit_timeout: Duration,
}

/// The defaults of the table of keys.
impl Default for CoordinatorRuntimeConfig {
    fn default() -> Self {
        Self::from(&BrokerConfig::default())
    }
}

impl From<&BrokerConfig> for CoordinatorRuntimeConfig {
    fn from(config: &BrokerConfig) -> Self {
        let linger = config.group_coordinator_append_linger_ms;
        Self {
            append_linger: match u64::try_from(linger) {
                Err(_) => AppendLinger::Adaptive,
                Ok(0) => AppendLinger::Never,
                Ok(milliseconds) => AppendLinger::For(Duration::from_millis(milliseconds)),
            },
            commit_timeout: Duration::from_millis(u64::try_from(config.offsets_commit_timeout_ms).unwrap_or(0)),
        }
    }
}
