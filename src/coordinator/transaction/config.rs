//! The configuration of the transaction coordinator.

use std::time::Duration;

use crate::config::BrokerConfig;

/// What the transaction coordinator is configured with; the names are Kafka's broker keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionCoordinatorConfig {
    /// `transaction.max.timeout.ms`: the longest timeout that a producer may ask for
    pub max_timeout_ms: i32,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`
    pub abort_check_interval: Duration,
    /// `transactional.id.expiration.ms`: how long an id is remembered that nobody uses
    pub id_expiration: Duration,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`
    pub expiry_check_interval: Duration,
}

impl From<&BrokerConfig> for TransactionCoordinatorConfig {
    fn from(config: &BrokerConfig) -> Self {
        let millis = |value: i32| Duration::from_millis(u64::try_from(value).unwrap_or(0));
        Self {
            max_timeout_ms: config.transaction_max_timeout_ms,
            abort_check_interval: millis(config.transaction_abort_timed_out_transaction_cleanup_interval_ms),
            id_expiration: millis(config.transactional_id_expiration_ms),
            expiry_check_interval: millis(config.transaction_remove_expired_transaction_cleanup_interval_ms),
        }
    }
}
