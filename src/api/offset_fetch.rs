//! OffsetFetch (key 9): how far groups have read; one group up to version 7, several from version 8 on (KIP-709).

use std::sync::Arc;

use futures_util::future::join_all;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{GroupId, OffsetFetchRequest, OffsetFetchResponse, TopicName};

use super::authorization::Authorized;
use super::owned::{message_text, owned};
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::broker::hints::Hints;
use crate::broker::hints::from_the_end::ClientIdentity;
use crate::coordinator::group::request::FetchOffsetsRequest;
use crate::coordinator::group::response::FetchedOffset;
use crate::ids;
use crate::protocol::ErrorCode;
use crate::security::{Operation, Resource};

/// The first version that has an error code of the group, beside those of partitions.
const FIRST_WITH_GROUP_ERROR: i16 = 2;
/// The first version that asks for several groups.
const FIRST_WITH_GROUPS: i16 = 8;

/// The partitions asked for, by topic; `None` for all that have an offset.
type AskedPartitions = Option<Vec<(ids::TopicName, Vec<i32>)>>;

/// The offsets of one group, by topic.
type Fetched = Result<Vec<(ids::TopicName, Vec<FetchedOffset>)>, ErrorCode>;

/// Serves one request.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: OffsetFetchRequest,
) -> Result<Reply<OffsetFetchResponse>, ApiError> {
    let version = context.api_version;
    let asked = groups(version, &request).into_iter();
    let asked: Vec<AskedGroup> = asked.map(|(group_id, topics)| AskedGroup::new(context, group_id, topics)).collect();
    let require_stable = request.require_stable;
    let answers: Vec<_> = asked.iter().map(|group| fetch(broker, context, group, require_stable)).collect();
    let (hints, client) = (Arc::clone(&broker.hints), context.client_identity());
    Ok(Reply::owed(async move {
        let fetched = join_all(answers).await;
        for (group, fetched) in asked.iter().zip(&fetched) {
            note_missing(&hints, &client, &group.group_id, fetched);
        }
        let mut answered = asked.into_iter().zip(fetched);
        if version >= FIRST_WITH_GROUPS {
            let groups = answered.map(|(group, fetched)| shape_group(group, fetched));
            return OffsetFetchResponse::default().with_groups(groups.collect());
        }
        let single = answered.next();
        single.map_or_else(OffsetFetchResponse::default, |(group, fetched)| shape_single(version, group, fetched))
    }))
}

/// One group that a request asks about.
struct AskedGroup {
    group_id: GroupId,
    /// Those that may be seen.
    topics: AskedPartitions,
    /// Those that the request names and that may not be seen.
    denied: Vec<(ids::TopicName, Vec<i32>)>,
}

impl AskedGroup {
    fn new(context: &RequestContext, group_id: GroupId, topics: AskedPartitions) -> Self {
        let may_see = |(topic, _): &(ids::TopicName, Vec<i32>)| may_see(&context.authorized, topic);
        let (topics, denied) = match topics {
            None => (None, Vec::new()),
            Some(topics) => {
                let (topics, denied) = topics.into_iter().partition(may_see);
                (Some(topics), denied)
            }
        };
        Self { group_id, topics, denied }
    }

    /// Every partition that the request names.
    fn named(self) -> impl Iterator<Item = (ids::TopicName, Vec<i32>)> {
        self.topics.into_iter().flatten().chain(self.denied)
    }
}

fn may_see(authorized: &Authorized, topic: &str) -> bool {
    authorized.authorize(Operation::Describe, Resource::topic(topic)).is_ok()
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

fn fetch(
    broker: &Broker,
    context: &RequestContext,
    group: &AskedGroup,
    require_stable: bool,
) -> impl Future<Output = Fetched> + Send + 'static {
    let AskedGroup { group_id, topics, .. } = group;
    // Of all topics, only those are told that may be seen.
    let chosen_by = topics.is_none().then(|| context.authorized.clone());
    let allowed = context.authorize(Operation::Describe, Resource::group(group_id));
    let answer = allowed.map(|()| {
        let request = FetchOffsetsRequest { group_id: owned(group_id), topics: topics.clone(), require_stable };
        broker.groups.enqueue(group_id, request)
    });
    async move {
        match answer?.await {
            Ok(mut topics) => {
                topics.retain(|(topic, _)| chosen_by.as_ref().is_none_or(|authorized| may_see(authorized, topic)));
                Ok(topics)
            }
            // Consumers before Kafka 3.9 do not retry this one here.
            Err(ErrorCode::CoordinatorNotAvailable) => Err(ErrorCode::NotCoordinator),
            Err(error) => Err(error),
        }
    }
}

/// Has it noticed if this client begins at the end of a partition for which its group has no offset.
fn note_missing(hints: &Hints, client: &ClientIdentity, group: &str, fetched: &Fetched) {
    let topics = fetched.iter().flatten();
    let missing = topics.flat_map(|(topic, offsets)| {
        let missing = offsets.iter().filter(|offset| offset.offset < 0 && !offset.is_unstable);
        missing.map(|offset| (ids::TopicName::clone(topic), offset.partition))
    });
    hints.learnt(client.clone(), group, missing);
}

fn shape_group(group: AskedGroup, fetched: Fetched) -> OffsetFetchResponseGroup {
    let response = OffsetFetchResponseGroup::default().with_group_id(group.group_id);
    match fetched {
        Err(error) => response.with_error_code(error.code()),
        Ok(topics) => {
            let topics = topics.iter().map(|(topic, offsets)| {
                OffsetFetchResponseTopics::default()
                    .with_name(TopicName(message_text(topic)))
                    .with_partitions(offsets.iter().map(shape_offset).collect())
            });
            let denied = group.denied.iter().map(|(topic, partitions)| {
                let denied = |partition: &i32| {
                    shape_offset(&nothing(*partition)).with_error_code(ErrorCode::TopicAuthorizationFailed.code())
                };
                OffsetFetchResponseTopics::default()
                    .with_name(TopicName(message_text(topic)))
                    .with_partitions(partitions.iter().map(denied).collect())
            });
            response.with_topics(topics.chain(denied).collect())
        }
    }
}

/// What is said of a partition together with an error.
fn nothing(partition: i32) -> FetchedOffset {
    FetchedOffset { partition, offset: -1, leader_epoch: -1, metadata: owned(""), is_unstable: false }
}

fn shape_offset(offset: &FetchedOffset) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions::default()
        .with_partition_index(offset.partition)
        .with_committed_offset(offset.offset)
        .with_committed_leader_epoch(offset.leader_epoch)
        .with_metadata(Some(message_text(&offset.metadata)))
        .with_error_code(stability_error(offset))
}

fn stability_error(offset: &FetchedOffset) -> i16 {
    if offset.is_unstable { ErrorCode::UnstableOffsetCommit.code() } else { 0 }
}

/// Up to version 7. In version 1 an error of the group is repeated for every partition that was asked for.
fn shape_single(version: i16, asked: AskedGroup, fetched: Fetched) -> OffsetFetchResponse {
    let response = OffsetFetchResponse::default();
    let refused = |(topic, partitions): (ids::TopicName, Vec<i32>), error: ErrorCode| {
        let offsets: Vec<_> = partitions.into_iter().map(nothing).collect();
        single_topic(&topic, &offsets, error.code())
    };
    match fetched {
        Ok(topics) => {
            let topics = topics.into_iter().map(|(topic, offsets)| single_topic(&topic, &offsets, 0));
            let denied = asked.denied.into_iter().map(|topic| refused(topic, ErrorCode::TopicAuthorizationFailed));
            response.with_topics(topics.chain(denied).collect())
        }
        Err(error) if version < FIRST_WITH_GROUP_ERROR => {
            response.with_topics(asked.named().map(|topic| refused(topic, error)).collect())
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
            .with_error_code(if error_code == 0 { stability_error(offset) } else { error_code })
    });
    OffsetFetchResponseTopic::default().with_name(TopicName(message_text(topic))).with_partitions(partitions.collect())
}
