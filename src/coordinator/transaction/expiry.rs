//! Transactions that take too long are aborted, and transactional ids that nobody uses are forgotten.

use std::time::Duration;

use super::TransactionCoordinator;
use super::request::TransactionalId;
use crate::clock::Now;
use crate::protocol::transaction_records::{TransactionLogValue, TransactionRecord, TransactionState};
use crate::state_machine::Effects;

/// Ids that are forgotten in one round: what is left over comes in the next.
const MAX_TOMBSTONES: usize = 1_000;
/// How soon.
const NEXT_ROUND: Duration = Duration::from_secs(1);

impl TransactionCoordinator {
    /// Finds the transactions that have to be aborted.
    pub(super) fn find_timed_out(&mut self, now: Now) {
        self.next_abort_check = now.monotonic.saturating_add(self.config.abort_check_interval);
        let has_timed_out =
            |id: &&TransactionalId| self.transactions.get(*id).is_some_and(|value| timed_out(value, now));
        self.timed_out = self.ongoing.iter().filter(has_timed_out).cloned().collect();
    }

    /// Aborts a transaction if it still has to be: a refused abort is found again at the next check.
    pub(super) fn abort_timed_out(&mut self, id: &TransactionalId, now: Now, effects: &mut Effects<Self>) {
        if let Some(value) = self.transactions.get(id).filter(|value| timed_out(value, now)) {
            let value = value.clone();
            self.fence(id, value, now, effects);
        }
    }

    pub(super) fn expire(&mut self, now: Now, effects: &mut Effects<Self>) {
        // They have nothing to do with each other.
        effects.is_atomic = false;
        let expiration_ms = i64::try_from(self.config.id_expiration.as_millis()).unwrap_or(i64::MAX);
        let has_expired = |value: &TransactionLogValue| {
            value.last_update_ms <= now.timestamp_ms.saturating_sub(expiration_ms) && is_idle(value.state)
        };
        let expired = self.transactions.iter().filter(|(_, value)| has_expired(value)).take(MAX_TOMBSTONES);
        for (id, _) in expired {
            effects.record(TransactionRecord { transactional_id: id.clone(), value: None });
        }
        let is_all = effects.records.len() < MAX_TOMBSTONES;
        let delay = if is_all { self.config.expiry_check_interval } else { NEXT_ROUND };
        self.next_expiry_check = now.monotonic.saturating_add(delay);
    }
}

/// Whether no transaction depends on the id.
fn is_idle(state: TransactionState) -> bool {
    matches!(state, TransactionState::Empty | TransactionState::CompleteCommit | TransactionState::CompleteAbort)
}

fn timed_out(value: &TransactionLogValue, now: Now) -> bool {
    let end_ms = value.start_ms.saturating_add(i64::from(value.timeout_ms));
    value.state == TransactionState::Ongoing && end_ms < now.timestamp_ms
}
