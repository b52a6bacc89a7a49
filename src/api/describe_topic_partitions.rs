//! DescribeTopicPartitions (key 75): topics page by page (KIP-966).

use std::collections::BTreeSet;

use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
use kafka_protocol::protocol::StrBytes;

use super::partition_view::{PartitionView, PartitionViewer, failed_replica_of};
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::ids::{NodeId, TopicName, is_internal_topic};
use crate::metadata::{MetadataImage, PartitionImage, TopicImage, topic_name};
use crate::protocol::ErrorCode;
use crate::security::{Operation, Resource};

/// The Metadata version whose rules on unreachable replicas apply here.
const METADATA_VERSION: i16 = 12;

/// Serves one request.
#[expect(clippy::unused_async, reason = "the shape of a handler")]
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: DescribeTopicPartitionsRequest,
) -> Result<Reply<DescribeTopicPartitionsResponse>, ApiError> {
    let image = broker.image();
    let limit = broker.config.load().broker.max_request_partition_size_limit.min(request.response_partition_limit);
    let limit = usize::try_from(limit).unwrap_or(0).max(1);
    let may_see = |name: &str| context.authorize(Operation::Describe, Resource::topic(name)).is_ok();
    let failed_replica = failed_replica_of(broker);
    let viewer =
        PartitionViewer { listener: &context.listener, version: METADATA_VERSION, failed_replica: &failed_replica };
    let mut response = answer(&image, viewer, &request, limit, may_see);
    let refused = [ErrorCode::InvalidRequest, ErrorCode::TopicAuthorizationFailed].map(|error| error.code());
    for topic in response.topics.iter_mut().filter(|topic| !refused.contains(&topic.error_code)) {
        let name = topic.name.as_ref().map_or("", |name| name.as_str());
        topic.topic_authorized_operations = context.operations(Resource::topic(name));
    }
    Ok(Reply::Ready(response))
}

/// One page of at most `limit` partitions. Topics that may not be seen are left out, or refused where they are named.
fn answer(
    image: &MetadataImage,
    viewer: PartitionViewer<'_>,
    request: &DescribeTopicPartitionsRequest,
    limit: usize,
    may_see: impl Fn(&str) -> bool,
) -> DescribeTopicPartitionsResponse {
    let (first_name, first_partition) =
        request.cursor.as_ref().map_or(("", 0), |cursor| (cursor.topic_name.as_str(), cursor.partition_index));
    let Ok(first_partition) = usize::try_from(first_partition) else { return invalid(request) };
    let names: BTreeSet<TopicName> = if request.topics.is_empty() {
        // One more than fits, for the next cursor.
        let from = image.topics_from(first_name).filter(|topic| may_see(&topic.name)).take(limit + 1);
        from.map(|topic| TopicName::clone(&topic.name)).collect()
    } else {
        let asked = request.topics.iter().map(|topic| topic.name.as_str()).filter(|name| *name >= first_name);
        asked.map(TopicName::from).collect()
    };
    if request.cursor.is_some() && !request.topics.is_empty() && !names.contains(first_name) {
        return invalid(request);
    }
    let (names, denied): (BTreeSet<_>, BTreeSet<_>) = names.into_iter().partition(|name| may_see(name));
    let mut response = DescribeTopicPartitionsResponse::default();
    let mut remaining = limit;
    for name in &names {
        if remaining == 0 {
            response.next_cursor = Some(cursor(name, 0));
            break;
        }
        let Some(topic) = image.topic(name) else {
            response.topics.push(missing_topic(name));
            continue;
        };
        let start = if **name == *first_name { first_partition } else { 0 };
        let end = topic.partitions.len().min(start.saturating_add(remaining));
        response.topics.push(described(image, viewer, topic, start, end));
        if end < topic.partitions.len() {
            response.next_cursor = Some(cursor(name, end));
            break;
        }
        remaining -= end.saturating_sub(start);
    }
    response.topics.extend(denied.iter().map(denied_topic));
    response
}

fn described(
    image: &MetadataImage,
    viewer: PartitionViewer<'_>,
    topic: &TopicImage,
    start: usize,
    end: usize,
) -> DescribeTopicPartitionsResponseTopic {
    let partitions = topic.partitions.get(start..end).unwrap_or_default();
    let partition = |(index, partition): (usize, &PartitionImage)| {
        let view = PartitionView::new(image, viewer, &topic.name, (index, partition));
        let ids = |nodes: &[NodeId]| nodes.iter().copied().map(BrokerId).collect();
        let (eligible, last_known) = (ids(&partition.elr), ids(&partition.last_known_elr));
        DescribeTopicPartitionsResponsePartition::default()
            .with_error_code(view.error_code)
            .with_partition_index(i32::try_from(index).unwrap_or(i32::MAX))
            .with_leader_id(view.leader)
            .with_leader_epoch(view.leader_epoch)
            .with_replica_nodes(view.replicas)
            .with_isr_nodes(view.isr)
            .with_eligible_leader_replicas(Some(eligible))
            .with_last_known_elr(Some(last_known))
            .with_offline_replicas(view.offline_replicas)
    };
    topic_of(&topic.name).with_topic_id(topic.id).with_partitions((start..).zip(partitions).map(partition).collect())
}

/// Nothing is said of what it is.
fn denied_topic(name: &TopicName) -> DescribeTopicPartitionsResponseTopic {
    topic_of(name).with_is_internal(false).with_error_code(ErrorCode::TopicAuthorizationFailed.code())
}

fn missing_topic(name: &TopicName) -> DescribeTopicPartitionsResponseTopic {
    let is_valid = topic_name::is_valid(name);
    let error = if is_valid { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::InvalidTopicException };
    topic_of(name).with_error_code(error.code())
}

fn topic_of(name: &TopicName) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(StrBytes::from_string(name.as_ref().to_owned()).into()))
        .with_is_internal(is_internal_topic(name))
}

fn cursor(name: &TopicName, partition: usize) -> Cursor {
    Cursor::default()
        .with_topic_name(StrBytes::from_string(name.as_ref().to_owned()).into())
        .with_partition_index(i32::try_from(partition).unwrap_or(i32::MAX))
}

/// A cursor that points outside of what was asked for.
fn invalid(request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let topics = request.topics.iter().map(|topic| {
        DescribeTopicPartitionsResponseTopic::default()
            .with_name(Some(topic.name.clone()))
            .with_error_code(ErrorCode::InvalidRequest.code())
    });
    DescribeTopicPartitionsResponse::default().with_topics(topics.collect())
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::describe_topic_partitions_request as request;

    use super::*;
    use crate::ids::Uuid;
    use crate::metadata::TopicRecord;

    /// Topics a, b and c with one, three and two partitions.
    fn image() -> MetadataImage {
        let mut image = MetadataImage::default();
        for (id, name, partitions) in [(1, "a", 1), (2, "b", 3), (3, "c", 2)] {
            let topic_id = Uuid::from_u128(id);
            image.replay(&TopicRecord::Topic { name: name.into(), id: topic_id }.into()).unwrap();
            for partition in 0..partitions {
                let (replicas, isr) = (vec![1], vec![1]);
                let state = PartitionImage {
                    replicas,
                    isr,
                    leader: 1,
                    leader_epoch: 0,
                    partition_epoch: 0,
                    ..PartitionImage::default()
                };
                image.replay(&TopicRecord::Partition { topic_id, partition, state }.into()).unwrap();
            }
        }
        image
    }

    fn asked(topics: &[&'static str], from: Option<(&'static str, i32)>) -> DescribeTopicPartitionsRequest {
        let name = |name| StrBytes::from_static_str(name).into();
        let topic = |topic: &&'static str| request::TopicRequest::default().with_name(name(topic));
        let cursor = |(topic, partition)| {
            request::Cursor::default().with_topic_name(name(topic)).with_partition_index(partition)
        };
        DescribeTopicPartitionsRequest::default()
            .with_topics(topics.iter().map(topic).collect())
            .with_cursor(from.map(cursor))
    }

    /// `name:error:partitions` for each topic, then the cursor.
    fn page(topics: &[&'static str], from: Option<(&'static str, i32)>, limit: usize) -> String {
        let viewer = PartitionViewer { listener: "A", version: METADATA_VERSION, failed_replica: &|_, _| None };
        let response = answer(&image(), viewer, &asked(topics, from), limit, |name| name != "hidden");
        let mut told: Vec<_> = response
            .topics
            .iter()
            .map(|topic| {
                let indexes: Vec<_> = topic.partitions.iter().map(|partition| partition.partition_index).collect();
                format!("{}:{}:{indexes:?}", topic.name.as_ref().unwrap().as_str(), topic.error_code)
            })
            .collect();
        told.extend(
            response
                .next_cursor
                .map(|cursor| format!("next {}-{}", cursor.topic_name.as_str(), cursor.partition_index)),
        );
        told.join(" ")
    }

    #[test]
    fn pages_end_within_a_topic_or_before_the_next() {
        assert_eq!(page(&[], None, 10), "a:0:[0] b:0:[0, 1, 2] c:0:[0, 1]");
        assert_eq!(page(&[], None, 2), "a:0:[0] b:0:[0] next b-1");
        assert_eq!(page(&[], Some(("b", 1)), 2), "b:0:[1, 2] next c-0");
        assert_eq!(page(&[], Some(("c", 0)), 2), "c:0:[0, 1]");
        assert_eq!(page(&[], Some(("c", i32::MAX)), 2), "c:0:[]");
    }

    #[test]
    fn named_topics_are_sorted_and_missing_ones_have_their_error() {
        assert_eq!(page(&["c", "nobody", "a", "a"], None, 10), "a:0:[0] c:0:[0, 1] nobody:3:[]");
        assert_eq!(page(&["../x"], None, 10), "../x:17:[]");
        assert_eq!(page(&["hidden", "a"], None, 10), "a:0:[0] hidden:29:[]");
    }

    #[test]
    fn a_cursor_outside_of_the_question_is_invalid() {
        assert_eq!(page(&["c"], Some(("b", 0)), 10), "c:42:[]");
        assert_eq!(page(&["c"], Some(("c", -1)), 10), "c:42:[]");
    }
}
