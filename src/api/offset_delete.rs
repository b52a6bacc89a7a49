//! OffsetDelete (key 47): a group forgets how far it has read (KIP-496).

use kafka_protocol::messages::offset_delete_request::OffsetDeleteRequestTopic;
use kafka_protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse, TopicName};

use super::owned::{message_text, owned};
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::coordinator::group::request::DeleteOffsetsRequest;
use crate::coordinator::group::{GroupRequest, GroupResponse};
use crate::ids;
use crate::metadata::MetadataImage;
use crate::protocol::ErrorCode;

/// Serves one request. Partitions that do not exist are refused here; the coordinator knows only groups.
pub async fn handle(
    broker: &Broker,
    _context: &RequestContext,
    request: OffsetDeleteRequest,
) -> Result<Reply<OffsetDeleteResponse>, ApiError> {
    if request.group_id.is_empty() {
        return Ok(Reply::Ready(refused(ErrorCode::InvalidGroupId)));
    }
    let mut response = OffsetDeleteResponse::default();
    let topics = existing(&broker.image(), &request.topics, &mut response);
    let delete = DeleteOffsetsRequest { group_id: owned(&request.group_id), topics };
    let answer = broker.groups.enqueue(&request.group_id, GroupRequest::DeleteOffsets(delete));
    Ok(Reply::owed(async move {
        match answer.await {
            Ok(GroupResponse::DeleteOffsets(Ok(topics))) => {
                for (topic, partitions) in topics {
                    let code = |error: Option<ErrorCode>| error.map_or(0, |error| error.code());
                    add(&mut response, &topic, partitions.into_iter().map(|(index, error)| (index, code(error))));
                }
                response
            }
            // As in Kafka, what is wrong with the group hides what is wrong with partitions.
            Ok(GroupResponse::DeleteOffsets(Err(error))) | Err(error) => refused(error),
            Ok(_) => refused(ErrorCode::UnknownServerError),
        }
    }))
}

/// The partitions that exist; the others are answered at once.
fn existing(
    image: &MetadataImage,
    topics: &[OffsetDeleteRequestTopic],
    response: &mut OffsetDeleteResponse,
) -> Vec<(ids::TopicName, Vec<i32>)> {
    let mut found = Vec::new();
    for topic in topics {
        let indexes = topic.partitions.iter().map(|partition| partition.partition_index);
        let (known, unknown): (Vec<_>, Vec<_>) =
            indexes.partition(|index| image.partition(&topic.name, *index).is_some());
        let code = ErrorCode::UnknownTopicOrPartition.code();
        if !unknown.is_empty() {
            add(response, &topic.name, unknown.into_iter().map(|index| (index, code)));
        }
        if !known.is_empty() {
            found.push((owned(&topic.name), known));
        }
    }
    found
}

/// Adds to the answer of `topic`: partitions' indexes and error codes.
fn add(response: &mut OffsetDeleteResponse, topic: &str, outcomes: impl Iterator<Item = (i32, i16)>) {
    let partitions = outcomes.map(|(index, code)| {
        OffsetDeleteResponsePartition::default().with_partition_index(index).with_error_code(code)
    });
    match response.topics.iter_mut().find(|answered| answered.name.as_str() == topic) {
        Some(answered) => answered.partitions.extend(partitions),
        None => response.topics.push(
            OffsetDeleteResponseTopic::default()
                .with_name(TopicName(message_text(topic)))
                .with_partitions(partitions.collect()),
        ),
    }
}

fn refused(error: ErrorCode) -> OffsetDeleteResponse {
    OffsetDeleteResponse::default().with_error_code(error.code())
}
