//! OffsetFetch (key 9): how far groups have read; one group up to version 7, several from version 8 on (KIP-709).

use futures_util::future::join_all;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{GroupId, OffsetFetchRequest, OffsetFetchResponse, TopicName};

use super::owned::{message_text, owned};
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::coordinator::group::request::FetchOffsetsRequest;
use crate::coordinator::group::response::FetchedOffset;
use crate::ids;
use crate::protocol::ErrorCode;

/// The first version that has an error code of the group, beside those of partitions.
const FIRST_WITH_GROUP_ERROR: i16 = 2;
/// The first version that asks for several groups.
const FIRST_WITH_GROUPS: i16 = 8;

/// The partitions asked for, by topic; `None` for all that have an offset.
type AskedPartitions = Option<Vec<(ids::TopicName, Vec<i32>)>>;

/// The offsets of one group, by topic.
type Fetched = Result<Vec<(ids::TopicName, Vec<FetchedOffset>)>, ErrorCode>;

/// Serves one request. There are no transactions yet, so every offset is stable.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: OffsetFetchRequest,
) -> Result<Reply<OffsetFetchResponse>, ApiError> {
    let version = context.api_version;
    let asked = groups(version, &request);
    let answers: Vec<_> = asked.iter().map(|(group_id, topics)| fetch(broker, group_id, topics.clone())).collect();
    Ok(Reply::owed(async move {
        let fetched = join_all(answers).await;
        if version >= FIRST_WITH_GROUPS {
            let groups = asked.into_iter().zip(fetched).map(|((group_id, _), fetched)| shape_group(group_id, fetched));
            return OffsetFetchResponse::default().with_groups(groups.collect());
        }
        asked
            .into_iter()
            .zip(fetched)
            .next()
            .map_or_else(OffsetFetchResponse::default, |((_, topics), fetched)| shape_single(version, topics, fetched))
    }))
}

fn groups(version: i16, request: &OffsetFetchRequest) -> Vec<(GroupId, AskedPartitions)> {
    if version < FIRST_WITH_GROUPS {
        let each = |topic: &kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic| {
            (owned(&topic.name), topic.partition_indexes.clone())
        };
        let topics = request.topics.as_ref().map(|topics| topics.iter().map(each).collect());
        return vec![(GroupId(message_text(&request.group_id)), topics)];
    }
    let each = |topic: &kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopics| {
        (owned(&topic.name), topic.partition_indexes.clone())
    };
    let groups = request.groups.iter().map(|group| {
        let topics = group.topics.as_ref().map(|topics| topics.iter().map(each).collect());
        (GroupId(message_text(&group.group_id)), topics)
    });
    groups.collect()
}

fn fetch(broker: &Broker, group_id: &str, topics: AskedPartitions) -> impl Future<Output = Fetched> + Send + 'static {
    let request = FetchOffsetsRequest { group_id: owned(group_id), topics };
    let answer = broker.groups.enqueue(group_id, request);
    async move {
        match answer.await {
            Ok(topics) => Ok(topics),
            // Consumers before Kafka 3.9 do not retry this one here.
            Err(ErrorCode::CoordinatorNotAvailable) => Err(ErrorCode::NotCoordinator),
            Err(error) => Err(error),
        }
    }
}

fn shape_group(group_id: GroupId, fetched: Fetched) -> OffsetFetchResponseGroup {
    let response = OffsetFetchResponseGroup::default().with_group_id(group_id);
    match fetched {
        Err(error) => response.with_error_code(error.code()),
        Ok(topics) => {
            let topics = topics.iter().map(|(topic, offsets)| {
                OffsetFetchResponseTopics::default()
                    .with_name(TopicName(message_text(topic)))
                    .with_partitions(offsets.iter().map(shape_offset).collect())
            });
            response.with_topics(topics.collect())
        }
    }
}

fn shape_offset(offset: &FetchedOffset) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions::default()
        .with_partition_index(offset.partition)
        .with_committed_offset(offset.offset)
        .with_committed_leader_epoch(offset.leader_epoch)
        .with_metadata(Some(message_text(&offset.metadata)))
}

/// Up to version 7. In version 1 an error of the group is repeated for every partition that was asked for.
fn shape_single(version: i16, asked: AskedPartitions, fetched: Fetched) -> OffsetFetchResponse {
    let response = OffsetFetchResponse::default();
    match fetched {
        Ok(topics) => {
            let topics = topics.into_iter().map(|(topic, offsets)| single_topic(&topic, &offsets, 0));
            response.with_topics(topics.collect())
        }
        Err(error) if version < FIRST_WITH_GROUP_ERROR => {
            let missing = |partition| FetchedOffset { partition, offset: -1, leader_epoch: -1, metadata: owned("") };
            let topics = asked.unwrap_or_default().into_iter().map(|(topic, partitions)| {
                let offsets: Vec<_> = partitions.into_iter().map(missing).collect();
                single_topic(&topic, &offsets, error.code())
            });
            response.with_topics(topics.collect())
        }
        Err(error) => response.with_error_code(error.code()),
    }
}

fn single_topic(topic: &str, offsets: &[FetchedOffset], error_code: i16) -> OffsetFetchResponseTopic {
    let partitions = offsets.iter().map(|offset| {
        OffsetFetchResponsePartition::default()
            .with_partition_index(offset.partition)
            .with_committed_offset(offset.offset)
            .with_committed_leader_epoch(offset.leader_epoch)
            .with_metadata(Some(message_text(&offset.metadata)))
            .with_error_code(error_code)
    });
    OffsetFetchResponseTopic::default().with_name(TopicName(message_text(topic))).with_partitions(partitions.collect())
}
