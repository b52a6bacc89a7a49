//! Partitions, and the offsets of a group, become part of a transaction; the first one begins it.

use super::request::{AddPartitionsRequest, TransactionalProducer};
use super::{TransactionCoordinator, is_prepared, record};
use crate::clock::Now;
use crate::ids::TopicPartition;
use crate::protocol::ErrorCode;
use crate::protocol::record_batch::NO_PRODUCER_ID;
use crate::protocol::transaction_records::{TransactionLogValue, TransactionState};
use crate::state_machine::Effects;

impl TransactionCoordinator {
    pub(super) fn add_or_verify(
        &mut self,
        request: AddPartitionsRequest,
        now: Now,
        effects: &mut Effects<Self>,
    ) -> Vec<(TopicPartition, Option<ErrorCode>)> {
        let AddPartitionsRequest { producer, partitions, verify_only } = request;
        if verify_only {
            let value = self.verifiable(&producer);
            let error = |partition: &TopicPartition| match &value {
                Ok(value) if value.partitions.contains(partition) => None,
                Ok(_) => Some(ErrorCode::TransactionAbortable),
                Err(code) => Some(*code),
            };
            partitions.iter().map(|partition| (partition.clone(), error(partition))).collect()
        } else {
            let error = self.add_partitions(&producer, &partitions, now, effects).err();
            partitions.into_iter().map(|partition| (partition, error)).collect()
        }
    }

    fn verifiable(&self, producer: &TransactionalProducer) -> Result<&TransactionLogValue, ErrorCode> {
        let value = self.current(producer)?;
        if is_prepared(value.state) { Err(ErrorCode::ConcurrentTransactions) } else { Ok(value) }
    }

    pub(super) fn add_partitions(
        &mut self,
        producer: &TransactionalProducer,
        partitions: &[TopicPartition],
        now: Now,
        effects: &mut Effects<Self>,
    ) -> Result<(), ErrorCode> {
        if self.is_ending(&producer.transactional_id) {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        let value = self.current(producer)?;
        let start_ms = match value.state {
            TransactionState::Ongoing if partitions.iter().all(|partition| value.partitions.contains(partition)) => {
                return Ok(());
            }
            TransactionState::Ongoing => value.start_ms,
            TransactionState::Empty | TransactionState::CompleteCommit | TransactionState::CompleteAbort => {
                now.timestamp_ms
            }
            TransactionState::PrepareCommit
            | TransactionState::PrepareAbort
            | TransactionState::Dead
            | TransactionState::PrepareEpochFence => return Err(ErrorCode::InvalidTxnState),
        };
        let mut value = TransactionLogValue {
            state: TransactionState::Ongoing,
            next_producer_id: NO_PRODUCER_ID,
            last_update_ms: now.timestamp_ms,
            start_ms,
            client_transaction_version: producer.version.level(),
            ..value.clone()
        };
        value.partitions.extend(partitions.iter().cloned());
        effects.record(record(&producer.transactional_id, value));
        Ok(())
    }
}
