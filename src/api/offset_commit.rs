//! OffsetCommit (key 8): a group remembers how far it has read.

use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse, TopicName};

use super::offsets_to_commit::{PartitionToCommit, PartitionsToAnswer, existing, refuse_all};
use super::owned::{owned, owned_option};
use super::partition_outcomes::PartitionOutcomes;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::coordinator::group::request::{CommitOffsetsRequest, MemberRequest, OffsetToCommit};
use crate::protocol::ErrorCode;
use crate::security::{Operation, Resource};

/// Keep the offsets as long as the broker is configured to.
const DEFAULT_RETENTION: i64 = -1;

/// The first version whose clients know `GROUP_ID_NOT_FOUND` (KIP-848).
const FIRST_WITH_GROUP_ID_NOT_FOUND: i16 = 9;

/// Serves one request. Partitions that do not exist are refused here; the coordinator knows only groups.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: OffsetCommitRequest,
) -> Result<Reply<OffsetCommitResponse>, ApiError> {
    let version = context.api_version;
    let mut outcomes = PartitionOutcomes::default();
    if let Err(denied) = context.authorize(Operation::Read, Resource::group(&request.group_id)) {
        refuse_all(named(&request.topics), denied, &mut outcomes);
        return Ok(Reply::Ready(response(outcomes)));
    }
    let topics = existing(&broker.image(), context, named(&request.topics), &mut outcomes);
    if topics.is_empty() {
        return Ok(Reply::Ready(response(outcomes)));
    }
    let asked = PartitionsToAnswer::of(&topics);
    let commit = CommitOffsetsRequest {
        member: MemberRequest {
            group_id: owned(&request.group_id),
            member_id: owned(&request.member_id),
            group_instance_id: owned_option(request.group_instance_id.as_ref()),
            generation_id: request.generation_id_or_member_epoch,
        },
        retention_ms: Some(request.retention_time_ms).filter(|retention_ms| *retention_ms != DEFAULT_RETENTION),
        topics,
    };
    let answer = broker.groups.enqueue(&request.group_id, commit);
    Ok(Reply::owed(async move {
        let answer = answer.await.flatten().map_err(|error| group_error(version, error));
        asked.answered(answer, &mut outcomes);
        response(outcomes)
    }))
}

fn named(topics: &[OffsetCommitRequestTopic]) -> impl Iterator<Item = (&TopicName, &[OffsetCommitRequestPartition])> {
    topics.iter().map(|topic| (&topic.name, topic.partitions.as_slice()))
}

impl PartitionToCommit for OffsetCommitRequestPartition {
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

fn response(outcomes: PartitionOutcomes) -> OffsetCommitResponse {
    let partition =
        |(index, code)| OffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(code);
    let topics = outcomes.into_topics().map(|(name, partitions)| {
        OffsetCommitResponseTopic::default()
            .with_name(name)
            .with_partitions(partitions.into_iter().map(partition).collect())
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

fn group_error(version: i16, error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::GroupIdNotFound if version < FIRST_WITH_GROUP_ID_NOT_FOUND => ErrorCode::IllegalGeneration,
        error => error,
    }
}
