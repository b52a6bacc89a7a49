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

/// The names are Kafka's broker keys, those for groups first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoordinatorRuntimeConfig {
    /// `group.coordinator.append.linger.ms`; nothing of Kafka's for transactions
    pub append_linger: AppendLinger,
    /// `offsets.commit.timeout.ms` or `request.timeout.ms`: how long a reply waits for its records to be committed
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
            commit_timeout: milliseconds(config.offsets_commit_timeout_ms),
        }
    }
}

impl CoordinatorRuntimeConfig {
    /// That of transaction coordinators, whose answers wait for one another's batch alone.
    pub fn of_transactions(config: &BrokerConfig) -> Self {
        Self { append_linger: AppendLinger::Adaptive, commit_timeout: milliseconds(config.request_timeout_ms) }
    }
}

fn milliseconds(value: i32) -> Duration {
    Duration::from_millis(u64::try_from(value).unwrap_or(0))
}
