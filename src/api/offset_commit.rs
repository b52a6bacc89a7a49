//! OffsetCommit (key 8): a group remembers how far it has read.

use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestTopic;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};

use super::owned::{owned, owned_option};
use super::partition_outcomes::{PartitionOutcome, PartitionOutcomes};
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::coordinator::group::request::{CommitOffsetsRequest, MemberRequest, OffsetToCommit};
use crate::metadata::MetadataImage;
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
        for topic in &request.topics {
            outcomes.add(&topic.name, all_with(topic, denied));
        }
        return Ok(Reply::Ready(response(outcomes)));
    }
    let topics = existing(&broker.image(), context, &request.topics, &mut outcomes);
    if topics.is_empty() {
        return Ok(Reply::Ready(response(outcomes)));
    }
    let partitions = |offsets: &[OffsetToCommit]| offsets.iter().map(|offset| offset.partition).collect::<Vec<_>>();
    let asked: Vec<_> = topics.iter().map(|(topic, offsets)| (topic.clone(), partitions(offsets))).collect();
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
        let error = match answer.await {
            Ok(Ok(topics)) => {
                for (topic, partitions) in topics {
                    let code = |error: Option<ErrorCode>| error.map_or(0, |error| error.code());
                    outcomes.add(&topic, partitions.into_iter().map(|(index, error)| (index, code(error))));
                }
                return response(outcomes);
            }
            Ok(Err(error)) | Err(error) => group_error(version, error),
        };
        for (topic, partitions) in asked {
            outcomes.add(&topic, partitions.into_iter().map(|index| (index, error.code())));
        }
        response(outcomes)
    }))
}

/// One outcome for every partition of a topic.
fn all_with(topic: &OffsetCommitRequestTopic, error: ErrorCode) -> impl Iterator<Item = PartitionOutcome> + '_ {
    topic.partitions.iter().map(move |partition| (partition.partition_index, error.code()))
}

/// The offsets of partitions that exist and whose topic may be read; the others are answered at once.
fn existing(
    image: &MetadataImage,
    context: &RequestContext,
    topics: &[OffsetCommitRequestTopic],
    outcomes: &mut PartitionOutcomes,
) -> Vec<(crate::ids::TopicName, Vec<OffsetToCommit>)> {
    let mut found = Vec::new();
    for topic in topics {
        if let Err(denied) = context.authorize(Operation::Read, Resource::topic(&topic.name)) {
            outcomes.add(&topic.name, all_with(topic, denied));
            continue;
        }
        let exists = |index: i32| image.partition(&topic.name, index).is_some();
        let (known, unknown): (Vec<_>, Vec<_>) =
            topic.partitions.iter().partition(|partition| exists(partition.partition_index));
        let code = ErrorCode::UnknownTopicOrPartition.code();
        if !unknown.is_empty() || image.topic(&topic.name).is_none() {
            outcomes.add(&topic.name, unknown.into_iter().map(|partition| (partition.partition_index, code)));
        }
        if !known.is_empty() {
            let offsets = known.into_iter().map(|partition| OffsetToCommit {
                partition: partition.partition_index,
                offset: partition.committed_offset,
                leader_epoch: partition.committed_leader_epoch,
                metadata: owned(partition.committed_metadata.as_deref().unwrap_or_default()),
            });
            found.push((owned(&topic.name), offsets.collect()));
        }
    }
    found
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
