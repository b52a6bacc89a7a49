//! The configuration of the transaction coordinator.

use std::time::Duration;

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
