//! TxnOffsetCommit (key 28): how far a group has read becomes part of a transaction. It counts when that is committed.

use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{TopicName, TxnOffsetCommitRequest, TxnOffsetCommitResponse};

use super::offsets_to_commit::{PartitionToCommit, PartitionsToAnswer, existing, refuse_all};
use super::owned::{owned, owned_option};
use super::partition_outcomes::PartitionOutcomes;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::broker::transaction_verification::{
    TransactionSupportedOperation, UnverifiedBatch, Verified, WritingProducer,
};
use crate::coordinator::group::request::{CommitTransactionalOffsetsRequest, MemberRequest, OffsetToCommit};
use crate::ids::{GROUP_METADATA_TOPIC, ProducerIdAndEpoch};
use crate::protocol::ErrorCode;
use crate::protocol::record_batch::NO_SEQUENCE;
use crate::security::{Operation, Resource};

/// The first version whose clients try again when told that the coordinator is loading (KAFKA-7296).
const FIRST_WITH_LOADING: i16 = 2;
/// The first version whose clients know `TRANSACTION_ABORTABLE` (KIP-890).
const FIRST_WITH_ABORTABLE: i16 = 4;
/// The first version whose clients leave it to the group coordinator to add its partition to their transaction (KIP-890).
const FIRST_THAT_ADDS_PARTITION: i16 = 5;

/// Serves one request. Whether the transaction is known to its coordinator is found out before the connection's next request
/// is read, which may be to end it.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: TxnOffsetCommitRequest,
) -> Result<Reply<TxnOffsetCommitResponse>, ApiError> {
    let version = context.api_version;
    let mut outcomes = PartitionOutcomes::default();
    let allowed = context
        .authorize(Operation::Write, Resource::transactional_id(&request.transactional_id))
        .and_then(|()| context.authorize(Operation::Read, Resource::group(&request.group_id)));
    if let Err(denied) = allowed {
        refuse_all(named(&request.topics), denied, &mut outcomes);
        return Ok(Reply::Ready(response(outcomes)));
    }
    let topics = existing(&broker.image(), context, named(&request.topics), &mut outcomes);
    if topics.is_empty() {
        return Ok(Reply::Ready(response(outcomes)));
    }
    let asked = PartitionsToAnswer::of(&topics);
    let guard = match verify(broker, version, &request).await {
        Ok(guard) => guard,
        Err(code) => {
            asked.answered(Err(known_error(version, code)), &mut outcomes);
            return Ok(Reply::Ready(response(outcomes)));
        }
    };
    let commit = CommitTransactionalOffsetsRequest {
        producer: producer(&request),
        member: MemberRequest {
            group_id: owned(&request.group_id),
            member_id: owned(&request.member_id),
            group_instance_id: owned_option(request.group_instance_id.as_ref()),
            generation_id: request.generation_id,
        },
        topics,
    };
    let answer = broker.groups.enqueue_verified(&request.group_id, commit, guard);
    Ok(Reply::owed(async move {
        asked.answered(answer.await.flatten().map_err(|code| known_error(version, code)), &mut outcomes);
        response(outcomes)
    }))
}

/// Has the transaction's coordinator say that the group's partition is part of it, or add that.
async fn verify(broker: &Broker, version: i16, request: &TxnOffsetCommitRequest) -> Verified {
    if request.group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let partition = broker.groups.partition_for(&request.group_id).ok_or(ErrorCode::NotCoordinator)?;
    let hosted = broker.replicas.partition(GROUP_METADATA_TOPIC, partition)?;
    let operation = match version {
        FIRST_THAT_ADDS_PARTITION.. => TransactionSupportedOperation::AddPartition,
        FIRST_WITH_ABORTABLE.. => TransactionSupportedOperation::GenericErrorSupported,
        _ => TransactionSupportedOperation::DefaultError,
    };
    let transactional_id = owned(&request.transactional_id);
    let writing = WritingProducer { transactional_id, producer: producer(request), operation };
    let batch = UnverifiedBatch { hosted, base_sequence: NO_SEQUENCE };
    let verified = broker.verify_transaction(&writing, &[batch]).await;
    verified.into_iter().next().unwrap_or(Ok(None))
}

fn producer(request: &TxnOffsetCommitRequest) -> ProducerIdAndEpoch {
    ProducerIdAndEpoch { producer_id: request.producer_id.0, producer_epoch: request.producer_epoch }
}

/// The error as clients of group coordinators know it, as in Kafka's `CoordinatorOperationExceptionHelper`.
fn known_error(version: i16, code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::NetworkException | ErrorCode::CoordinatorLoadInProgress if version < FIRST_WITH_LOADING => {
            ErrorCode::CoordinatorNotAvailable
        }
        ErrorCode::NetworkException => ErrorCode::CoordinatorLoadInProgress,
        ErrorCode::UnknownTopicOrPartition | ErrorCode::NotEnoughReplicas | ErrorCode::RequestTimedOut => {
            ErrorCode::CoordinatorNotAvailable
        }
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        code => code,
    }
}

fn named(
    topics: &[TxnOffsetCommitRequestTopic],
) -> impl Iterator<Item = (&TopicName, &[TxnOffsetCommitRequestPartition])> {
    topics.iter().map(|topic| (&topic.name, topic.partitions.as_slice()))
}

impl PartitionToCommit for TxnOffsetCommitRequestPartition {
    fn index(&self) -> i32 {
        self.partition_index
    }

    fn offset(&self) -> OffsetToCommit {
        OffsetToCommit {
            partition: self.partition_index,
            offset: self.committed_offset,
            leader_epoch: self.committed_leader_epoch,
            metadata: owned(self.committed_metadata.as_deref().unwrap_or_default()),
        }
    }
}

fn response(outcomes: PartitionOutcomes) -> TxnOffsetCommitResponse {
    let partition =
        |(index, code)| TxnOffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(code);
    let topics = outcomes.into_topics().map(|(name, partitions)| {
        TxnOffsetCommitResponseTopic::default()
            .with_name(name)
            .with_partitions(partitions.into_iter().map(partition).collect())
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}
