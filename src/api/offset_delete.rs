//! OffsetDelete (key 47): a group forgets how far it has read (KIP-496).

use kafka_protocol::messages::offset_delete_request::OffsetDeleteRequestTopic;
use kafka_protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

use super::owned::owned;
use super::partition_outcomes::PartitionOutcomes;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::coordinator::group::request::DeleteOffsetsRequest;
use crate::ids;
use crate::metadata::MetadataImage;
use crate::protocol::ErrorCode;
use crate::security::{Operation, Resource};

/// Serves one request. Partitions that do not exist are refused here; the coordinator knows only groups.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: OffsetDeleteRequest,
) -> Result<Reply<OffsetDeleteResponse>, ApiError> {
    if let Err(denied) = context.authorize(Operation::Delete, Resource::group(&request.group_id)) {
        return Ok(Reply::Ready(refused(denied)));
    }
    if request.group_id.is_empty() {
        return Ok(Reply::Ready(refused(ErrorCode::InvalidGroupId)));
    }
    let mut outcomes = PartitionOutcomes::default();
    let topics = existing(&broker.image(), context, &request.topics, &mut outcomes);
    let delete = DeleteOffsetsRequest { group_id: owned(&request.group_id), topics };
    let answer = broker.groups.enqueue(&request.group_id, delete);
    Ok(Reply::owed(async move {
        match answer.await {
            Ok(Ok(topics)) => {
                for (topic, partitions) in topics {
                    let code = |error: Option<ErrorCode>| error.map_or(0, |error| error.code());
                    outcomes.add(&topic, partitions.into_iter().map(|(index, error)| (index, code(error))));
                }
                response(outcomes)
            }
            // As in Kafka, what is wrong with the group hides what is wrong with partitions.
            Ok(Err(error)) | Err(error) => refused(error),
        }
    }))
}

/// The partitions that exist and whose topic may be read; the others are answered at once.
fn existing(
    image: &MetadataImage,
    context: &RequestContext,
    topics: &[OffsetDeleteRequestTopic],
    outcomes: &mut PartitionOutcomes,
) -> Vec<(ids::TopicName, Vec<i32>)> {
    let mut found = Vec::new();
    for topic in topics {
        let indexes = topic.partitions.iter().map(|partition| partition.partition_index);
        if let Err(denied) = context.authorize(Operation::Read, Resource::topic(&topic.name)) {
            outcomes.add(&topic.name, indexes.map(|index| (index, denied.code())));
            continue;
        }
        let (known, unknown): (Vec<_>, Vec<_>) =
            indexes.partition(|index| image.partition(&topic.name, *index).is_some());
        let code = ErrorCode::UnknownTopicOrPartition.code();
        if !unknown.is_empty() {
            outcomes.add(&topic.name, unknown.into_iter().map(|index| (index, code)));
        }
        if !known.is_empty() {
            found.push((owned(&topic.name), known));
        }
    }
    found
}

fn response(outcomes: PartitionOutcomes) -> OffsetDeleteResponse {
    let partition =
        |(index, code)| OffsetDeleteResponsePartition::default().with_partition_index(index).with_error_code(code);
    let topics = outcomes.into_topics().map(|(name, partitions)| {
        OffsetDeleteResponseTopic::default()
            .with_name(name)
            .with_partitions(partitions.into_iter().map(partition).collect())
    });
    OffsetDeleteResponse::default().with_topics(topics.collect())
}

fn refused(error: ErrorCode) -> OffsetDeleteResponse {
    OffsetDeleteResponse::default().with_error_code(error.code())
}
