//! Before a transaction's first records go into a partition, its coordinator is asked (KIP-890): whether that partition is
//! part of it, or, with transactions v2, to make it part of it.
//!
//! Kafka's `ReplicaManager.maybeSendPartitionsToTransactionCoordinator` and `AddPartitionsToTxnManager`. A partition in
//! which the transaction is open already has nothing to ask.

use std::sync::Arc;
use std::time::Duration;

use super::Broker;
use crate::coordinator::transaction::request::{
    AddPartitionsRequest, ClientVersion, TransactionalId, TransactionalProducer,
};
use crate::ids::{ProducerIdAndEpoch, TopicPartition};
use crate::protocol::ErrorCode;
use crate::replication::hosted_partition::HostedPartition;
use crate::storage::{BatchToVerify, VerificationGuard};

/// What the clients of a request's version can be told of their transaction, and leave to the partition's leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionSupportedOperation {
    /// They add partitions themselves, and do not know `TRANSACTION_ABORTABLE`.
    DefaultError,
    /// They add partitions themselves.
    GenericErrorSupported,
    /// The leader adds the partition: transactions v2.
    AddPartition,
}

impl TransactionSupportedOperation {
    /// Whether each transaction has an epoch of its own.
    pub fn supports_epoch_bump(self) -> bool {
        self == Self::AddPartition
    }

    fn client_version(self) -> ClientVersion {
        if self.supports_epoch_bump() { ClientVersion::Two } else { ClientVersion::One }
    }

    /// The error as these clients know it.
    fn known_error(self, code: ErrorCode) -> ErrorCode {
        match code {
            ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
            ErrorCode::TransactionAbortable if self == Self::DefaultError => ErrorCode::InvalidTxnState,
            _ => code,
        }
    }
}

/// A partition to which a transactional batch is to be appended.
#[derive(Clone)]
pub struct UnverifiedBatch {
    /// The partition.
    pub hosted: Arc<HostedPartition>,
    /// The batch's first sequence number; -1 where it has none.
    pub base_sequence: i32,
}

/// What the batch is to be appended with, or why it must not be.
pub type Verified = Result<Option<VerificationGuard>, ErrorCode>;

/// Whose transaction it is, and how its client goes about it.
#[derive(Debug, Clone)]
pub struct WritingProducer {
    /// The transactional id.
    pub transactional_id: TransactionalId,
    /// The producer of the batches.
    pub producer: ProducerIdAndEpoch,
    /// What its client supports.
    pub operation: TransactionSupportedOperation,
}

impl Broker {
    /// Asks the coordinator about all `batches` of one producer together, and answers in their order. Where the producer's
    /// last transaction is ending yet, a partition to be added is tried again for a moment
    /// (`add.partitions.to.txn.retry.backoff.ms`): that is the rule rather than the exception between two transactions, and
    /// a Produce is dear to repeat.
    ///
    /// A guard that was given out before the last marker of the transaction before came is good for nothing, although the
    /// coordinator, asked after that, has said yes: it is asked once more, with the guard that there is now.
    ///
    /// Errors: those of [`HostedPartition::begin_verification`] and of `AddPartitionsToTxn`, as the client knows them.
    pub async fn verify_transaction(&self, producer: &WritingProducer, batches: &[UnverifiedBatch]) -> Vec<Verified> {
        let (backoff, patience) = {
            let config = self.config.load();
            let millis = |value: i32| Duration::from_millis(u64::try_from(value).unwrap_or(0));
            let patience =
                config.broker.add_partitions_to_txn_retry_backoff_max_ms.min(config.broker.request_timeout_ms);
            (millis(config.broker.add_partitions_to_txn_retry_backoff_ms), millis(patience))
        };
        let deadline = self.clock.monotonic().saturating_add(patience);
        loop {
            let verified = self.verify_once(producer, batches).await;
            let has_to_wait =
                producer.operation.supports_epoch_bump() && verified.contains(&Err(ErrorCode::ConcurrentTransactions));
            let is_late = verified.iter().any(|verified| matches!(verified, Ok(Some(_))))
                && self.begin(producer, batches).iter().zip(&verified).any(|(now, then)| then.is_ok() && now != then);
            if !(has_to_wait || is_late) || self.clock.monotonic() >= deadline {
                return verified;
            }
            if has_to_wait {
                self.clock.sleep(backoff).await;
            }
        }
    }

    /// The guard of each batch's partition, or that its transaction is open there already.
    fn begin(&self, producer: &WritingProducer, batches: &[UnverifiedBatch]) -> Vec<Verified> {
        let (supports_epoch_bump, now) = (producer.operation.supports_epoch_bump(), self.clock.now());
        let producer = producer.producer;
        let begin = |UnverifiedBatch { hosted, base_sequence }: &UnverifiedBatch| {
            let batch = BatchToVerify { producer, base_sequence: *base_sequence, supports_epoch_bump };
            hosted.begin_verification(batch, now)
        };
        batches.iter().map(begin).collect()
    }

    async fn verify_once(&self, producer: &WritingProducer, batches: &[UnverifiedBatch]) -> Vec<Verified> {
        let mut verified = self.begin(producer, batches);
        let asked: Vec<_> = (0..verified.len()).filter(|&index| matches!(verified[index], Ok(Some(_)))).collect();
        if asked.is_empty() {
            return verified;
        }
        let partitions = asked.iter().map(|&index| batches[index].hosted.topic_partition().clone()).collect();
        match self.ask_coordinator(producer, partitions).await {
            Ok(outcomes) => {
                for (index, (_, error)) in asked.into_iter().zip(outcomes) {
                    if let Some(code) = error {
                        verified[index] = Err(producer.operation.known_error(code));
                    }
                }
            }
            Err(code) => asked.into_iter().for_each(|index| verified[index] = Err(code)),
        }
        verified
    }

    async fn ask_coordinator(
        &self,
        producer: &WritingProducer,
        partitions: Vec<TopicPartition>,
    ) -> Result<Vec<(TopicPartition, Option<ErrorCode>)>, ErrorCode> {
        let WritingProducer { transactional_id, producer, operation } = producer;
        let request = AddPartitionsRequest {
            producer: TransactionalProducer {
                transactional_id: Arc::clone(transactional_id),
                producer: *producer,
                version: operation.client_version(),
            },
            partitions,
            verify_only: !operation.supports_epoch_bump(),
        };
        self.transactions.enqueue(transactional_id, request).await
    }
}
