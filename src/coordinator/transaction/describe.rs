//! What administrators see of transactions.

use super::request::{DescribedTransaction, ListTransactions, ListedTransaction, TransactionalId};
use super::{TransactionCoordinator, producer_of};
use crate::clock::Now;
use crate::protocol::ErrorCode;
use crate::protocol::transaction_records::{TransactionLogValue, TransactionState};

impl TransactionCoordinator {
    pub(super) fn describe(&self, id: &TransactionalId) -> Result<DescribedTransaction, ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let value = self.transactions.get(id).filter(|value| value.state != TransactionState::Dead);
        let value = value.ok_or(ErrorCode::TransactionalIdNotFound)?;
        Ok(DescribedTransaction {
            producer: producer_of(value),
            state: value.state,
            timeout_ms: value.timeout_ms,
            start_ms: value.start_ms,
            partitions: self.awaited(id).unwrap_or(&value.partitions).iter().cloned().collect(),
        })
    }

    pub(super) fn list(&self, filter: &ListTransactions, now: Now) -> Vec<ListedTransaction> {
        let passing = self.transactions.iter().filter(|(id, value)| passes(filter, id, value, now));
        let listed = passing.map(|(id, value)| ListedTransaction {
            transactional_id: id.clone(),
            producer_id: value.producer_id,
            state: value.state,
        });
        listed.collect()
    }
}

fn passes(filter: &ListTransactions, id: &str, value: &TransactionLogValue, now: Now) -> bool {
    // As in Kafka, an id without a transaction counts as one that began before all time.
    let age_ms = now.timestamp_ms.saturating_sub(value.start_ms);
    value.state != TransactionState::Dead
        && (filter.producer_ids.is_empty() || filter.producer_ids.contains(&value.producer_id))
        && filter.states.as_ref().is_none_or(|states| states.contains(&value.state))
        && filter.longer_than_ms.is_none_or(|longer_than_ms| age_ms > longer_than_ms)
        && filter.pattern.as_ref().is_none_or(|pattern| pattern.is_match(id))
}
