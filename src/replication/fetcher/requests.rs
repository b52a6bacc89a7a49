//! What a fetcher writes to its leader, and what it reads of the answers. Pure.

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic, ReplicaState};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, FetchRequest, ListOffsetsRequest, ListOffsetsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::session::SessionFetch;
use crate::config::BrokerConfig;
use crate::ids::{NodeId, TopicPartition};
use crate::protocol::ErrorCode;
use crate::replication::followed::TopicIdPartition;
use crate::replication::partition::follower::{FetchPosition, LeaderAnswer, LeaderOffset};

/// The first offset of a batch is its first field.
type OffsetBytes = [u8; 8];

/// A fetch by this broker as it is registered now.
pub(super) fn fetch_request(
    fetch: &SessionFetch,
    (node_id, broker_epoch): (NodeId, i64),
    config: &BrokerConfig,
) -> FetchRequest {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for (TopicIdPartition { topic_id, partition }, asked) in &fetch.partitions {
        let FetchPosition { leader_epoch, fetch_offset, last_fetched_epoch } = asked.position;
        let partition = FetchPartition::default()
            .with_partition(*partition)
            .with_current_leader_epoch(leader_epoch)
            .with_fetch_offset(fetch_offset)
            .with_last_fetched_epoch(last_fetched_epoch)
            .with_log_start_offset(asked.log_start_offset)
            .with_partition_max_bytes(config.replica_fetch_max_bytes);
        match topics.last_mut() {
            Some(topic) if topic.topic_id == *topic_id => topic.partitions.push(partition),
            _ => topics.push(FetchTopic::default().with_topic_id(*topic_id).with_partitions(vec![partition])),
        }
    }
    let mut forgotten: Vec<ForgottenTopic> = Vec::new();
    for TopicIdPartition { topic_id, partition } in &fetch.forgotten {
        match forgotten.last_mut() {
            Some(topic) if topic.topic_id == *topic_id => topic.partitions.push(*partition),
            _ => forgotten.push(ForgottenTopic::default().with_topic_id(*topic_id).with_partitions(vec![*partition])),
        }
    }
    let replica = ReplicaState::default().with_replica_id(BrokerId(node_id)).with_replica_epoch(broker_epoch);
    FetchRequest::default()
        .with_replica_state(replica)
        .with_max_wait_ms(config.replica_fetch_wait_max_ms)
        .with_min_bytes(config.replica_fetch_min_bytes)
        .with_max_bytes(config.replica_fetch_response_max_bytes)
        .with_session_id(fetch.session_id)
        .with_session_epoch(fetch.epoch)
        .with_topics(topics)
        .with_forgotten_topics_data(forgotten)
}

/// What a leader says of one partition.
pub(super) fn answer_of(data: &PartitionData) -> Result<LeaderAnswer, ErrorCode> {
    if let Some(code) = ErrorCode::try_from_code(data.error_code) {
        return Err(code);
    }
    let diverging = &data.diverging_epoch;
    let first_batch = data.records.as_ref().and_then(|records| records.first_chunk::<{ size_of::<OffsetBytes>() }>());
    Ok(LeaderAnswer {
        diverging: (diverging.epoch >= 0).then_some((diverging.epoch, diverging.end_offset)),
        first_offset: first_batch.map(|bytes| i64::from_be_bytes(*bytes)),
    })
}

/// A question where a leader's log begins or ends.
#[derive(Debug, Clone)]
pub(super) struct OffsetQuestion {
    pub(super) key: TopicIdPartition,
    pub(super) name: TopicPartition,
    /// From where it came up.
    pub(super) position: FetchPosition,
    pub(super) offset: LeaderOffset,
}

/// All these questions in one request.
pub(super) fn list_offsets_request(questions: &[OffsetQuestion], node_id: NodeId) -> ListOffsetsRequest {
    let mut topics: Vec<ListOffsetsTopic> = Vec::new();
    for OffsetQuestion { name, position, offset, .. } in questions {
        let timestamp = match offset {
            LeaderOffset::Latest => -1,
            LeaderOffset::Earliest => -2,
        };
        let partition = ListOffsetsPartition::default()
            .with_partition_index(name.partition)
            .with_current_leader_epoch(position.leader_epoch)
            .with_timestamp(timestamp);
        match topics.last_mut() {
            Some(topic) if topic.name.as_str() == &*name.topic => topic.partitions.push(partition),
            _ => {
                let name = TopicName(StrBytes::from_string(name.topic.to_string()));
                topics.push(ListOffsetsTopic::default().with_name(name).with_partitions(vec![partition]));
            }
        }
    }
    ListOffsetsRequest::default().with_replica_id(BrokerId(node_id)).with_topics(topics)
}

/// What the answer says to one question; one that it passes over was not understood.
pub(super) fn listed_offset(response: &ListOffsetsResponse, question: &OffsetQuestion) -> Result<i64, ErrorCode> {
    let TopicPartition { topic, partition } = &question.name;
    let topic = response.topics.iter().find(|answered| answered.name.as_str() == &**topic);
    let mut partitions = topic.into_iter().flat_map(|topic| &topic.partitions);
    let found = partitions.find(|answered| answered.partition_index == *partition);
    let found = found.ok_or(ErrorCode::UnknownServerError)?;
    ErrorCode::try_from_code(found.error_code).map_or(Ok(found.offset), Err)
}
