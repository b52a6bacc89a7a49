//! What the controller is told of the configuration.

use std::time::Duration;

use crate::config::Config;

/// The keys that the controller decides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControllerSettings {
    /// `broker.session.timeout.ms`.
    pub session_timeout: Duration,
    /// `leader.imbalance.check.interval.seconds`, or nothing without `auto.leader.rebalance.enable`.
    pub rebalance_interval: Option<Duration>,
    /// `min.insync.replicas` where neither the topic nor the cluster says another number.
    pub min_insync_replicas: usize,
    /// `unclean.leader.election.enable` where neither the topic nor the cluster says otherwise.
    pub unclean_leader_election: bool,
}

impl From<&Config> for ControllerSettings {
    fn from(config: &Config) -> Self {
        let (broker, topic) = (&config.broker, &config.topic_defaults);
        let seconds = u64::try_from(broker.leader_imbalance_check_interval_seconds).unwrap_or(1);
        Self {
            session_timeout: Duration::from_millis(u64::try_from(broker.broker_session_timeout_ms).unwrap_or(0)),
            rebalance_interval: broker.auto_leader_rebalance_enable.then(|| Duration::from_secs(seconds)),
            min_insync_replicas: usize::try_from(topic.min_insync_replicas).unwrap_or(1),
            unclean_leader_election: topic.unclean_leader_election_enable,
        }
    }
}

impl Default for ControllerSettings {
    /// Those of a configuration that sets nothing.
    fn default() -> Self {
        Self {
            session_timeout: Duration::from_secs(9),
            rebalance_interval: Some(Duration::from_mins(5)),
            min_insync_replicas: 1,
            unclean_leader_election: false,
        }
    }
}
