//! Before a transaction's first records go into a partition, its coordinator is asked (KIP-890): whether that partition is
//! part of it, or, with transactions v2, to make it part of it.
//!
//! Kafka's `ReplicaManager.maybeSendPartitionsToTransactionCoordinator` and `AddPartitionsToTxnManager`. A partition in
//! which the transaction is open already has nothing to ask.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use kafka_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, ProducerId};
use kafka_protocol::protocol::StrBytes;

use super::Broker;
use crate::coordinator::transaction::request::{
    AddPartitionsRequest, ClientVersion, TransactionalId, TransactionalProducer,
};
use crate::ids::{NodeId, ProducerIdAndEpoch, TRANSACTION_STATE_TOPIC, TopicPartition};
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

/// Each partition that was asked about, in order, and what is wrong with it.
type VerificationOutcomes = Vec<(TopicPartition, Option<ErrorCode>)>;

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
    ) -> Result<VerificationOutcomes, ErrorCode> {
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
        let coordinator = self.transactions.partition_for(transactional_id);
        let image = self.image();
        let leader = coordinator.and_then(|partition| image.partition(TRANSACTION_STATE_TOPIC, partition));
        match leader.map(|partition| partition.leader) {
            Some(id) if id == self.node_id => self.transactions.enqueue(transactional_id, request).await,
            Some(id) if id >= 0 => self.ask_other_coordinator(id, &request).await,
            _ => Err(ErrorCode::CoordinatorNotAvailable),
        }
    }

    async fn ask_other_coordinator(
        &self,
        id: NodeId,
        request: &AddPartitionsRequest,
    ) -> Result<VerificationOutcomes, ErrorCode> {
        let answered = self.call_broker(id, |_| of_broker(request)).await;
        let response = answered.map_err(|code| match code {
            ErrorCode::BrokerNotAvailable => ErrorCode::CoordinatorNotAvailable,
            code => code,
        })?;
        match ErrorCode::try_from_code(response.error_code) {
            None => Ok(outcomes(&response, &request.partitions)),
            // Nothing that a client could do about it.
            Some(ErrorCode::ClusterAuthorizationFailed) => Err(ErrorCode::InvalidTxnState),
            Some(code) => Err(code),
        }
    }
}

/// The form that brokers send, of version 4 and later.
fn of_broker(request: &AddPartitionsRequest) -> AddPartitionsToTxnRequest {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in &request.partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition);
    }
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let topic = |(name, partitions): (&str, Vec<i32>)| {
        AddPartitionsToTxnTopic::default().with_name(text(name).into()).with_partitions(partitions)
    };
    let TransactionalProducer { transactional_id, producer, .. } = &request.producer;
    let transaction = AddPartitionsToTxnTransaction::default()
        .with_transactional_id(text(transactional_id).into())
        .with_producer_id(ProducerId(producer.producer_id))
        .with_producer_epoch(producer.producer_epoch)
        .with_verify_only(request.verify_only)
        .with_topics(topics.into_iter().map(topic).collect());
    AddPartitionsToTxnRequest::default().with_transactions(vec![transaction])
}

/// What the answer says of each partition; one that it does not name is fine, as in Kafka.
fn outcomes(response: &AddPartitionsToTxnResponse, partitions: &[TopicPartition]) -> VerificationOutcomes {
    let topics = response.results_by_transaction.iter().flat_map(|transaction| &transaction.topic_results);
    let codes: HashMap<(&str, i32), i16> = topics
        .flat_map(|topic| {
            let of_topic = topic.results_by_partition.iter();
            of_topic.map(|result| ((topic.name.as_str(), result.partition_index), result.partition_error_code))
        })
        .collect();
    let outcome = |partition: &TopicPartition| {
        let code = codes.get(&(&*partition.topic, partition.partition)).copied().unwrap_or_default();
        let error = (code != 0).then(|| ErrorCode::try_from_code(code).unwrap_or(ErrorCode::UnknownServerError));
        (partition.clone(), error)
    };
    partitions.iter().map(outcome).collect()
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::add_partitions_to_txn_response::{
        AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
    };

    use super::*;

    #[test]
    fn other_coordinators_are_asked_in_the_form_of_brokers() {
        let partitions =
            [("b", 1), ("a", 0), ("b", 0)].map(|(topic, index)| TopicPartition::new(topic, index)).to_vec();
        let producer = TransactionalProducer {
            transactional_id: "x".into(),
            producer: ProducerIdAndEpoch { producer_id: 7, producer_epoch: 3 },
            version: ClientVersion::One,
        };
        let request = of_broker(&AddPartitionsRequest { producer, partitions, verify_only: true });
        let transaction = &request.transactions[0];
        assert_eq!((transaction.transactional_id.as_str(), transaction.verify_only), ("x", true));
        assert_eq!((transaction.producer_id.0, transaction.producer_epoch), (7, 3));
        let topics: Vec<_> =
            transaction.topics.iter().map(|topic| (topic.name.as_str(), topic.partitions.as_slice())).collect();
        assert_eq!(topics, [("a", [0].as_slice()), ("b", &[1, 0])]);
    }

    #[test]
    fn each_partition_gets_its_own_error() {
        let refused = ErrorCode::TransactionAbortable;
        let result = AddPartitionsToTxnPartitionResult::default()
            .with_partition_index(1)
            .with_partition_error_code(refused.code());
        let topic = AddPartitionsToTxnTopicResult::default()
            .with_name(StrBytes::from_static_str("a").into())
            .with_results_by_partition(vec![AddPartitionsToTxnPartitionResult::default(), result]);
        let transaction = AddPartitionsToTxnResult::default().with_topic_results(vec![topic]);
        let response = AddPartitionsToTxnResponse::default().with_results_by_transaction(vec![transaction]);
        let asked = [TopicPartition::new("a", 1), TopicPartition::new("a", 0)];
        assert_eq!(outcomes(&response, &asked), [(asked[0].clone(), Some(refused)), (asked[1].clone(), None)]);
    }
}
