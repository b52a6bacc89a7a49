//! DescribeQuorum (key 55): who keeps the metadata log, and how far everybody is (KIP-595, KIP-836, KIP-853).

use kafka_protocol::messages::describe_quorum_request::TopicData as TopicQuestion;
use kafka_protocol::messages::describe_quorum_response::{Node, PartitionData, ReplicaState, TopicData};
use kafka_protocol::messages::{BrokerId, DescribeQuorumRequest, DescribeQuorumResponse, TopicName};

use super::owned::message_text;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::ids::CLUSTER_METADATA_TOPIC;
use crate::protocol::ErrorCode;
use crate::quorum::QuorumState;

/// The first version whose answers have texts, directory ids and the voters' addresses.
const FIRST_VERSION_WITH_NODES: i16 = 2;

/// The log's only partition.
const METADATA_PARTITION: i32 = 0;

/// Serves one request.
#[expect(clippy::unused_async, reason = "the shape of a handler")]
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: DescribeQuorumRequest,
) -> Result<Reply<DescribeQuorumResponse>, ApiError> {
    let version = context.api_version;
    if !asks_for_the_metadata_log(&request.topics) {
        return Ok(Reply::Ready(unknown(&request, version)));
    }
    let state = broker.metadata.state();
    let name = TopicName(message_text(CLUSTER_METADATA_TOPIC));
    if state.leader_id != Some(broker.node_id) {
        let partition = failed(METADATA_PARTITION, ErrorCode::NotLeaderOrFollower, version);
        let topic = TopicData::default().with_topic_name(name).with_partitions(vec![partition]);
        return Ok(Reply::Ready(DescribeQuorumResponse::default().with_error_message(None).with_topics(vec![topic])));
    }
    let now_ms = broker.clock.now().timestamp_ms;
    let partition = described(&state, broker.node_id, now_ms);
    let topic = TopicData::default().with_topic_name(name).with_partitions(vec![partition]);
    let response = DescribeQuorumResponse::default().with_error_message(None).with_topics(vec![topic]);
    // Unlike Kafka, voters have no listener of their own: a quorum of one needs none.
    let node = |(id, _): &(i32, Option<i64>)| Node::default().with_node_id(BrokerId(*id));
    let nodes = state.voters.iter().map(node).collect();
    Ok(Reply::Ready(if version >= FIRST_VERSION_WITH_NODES { response.with_nodes(nodes) } else { response }))
}

/// Whether that is the one question that has an answer.
fn asks_for_the_metadata_log(topics: &[TopicQuestion]) -> bool {
    let [topic] = topics else { return false };
    let [partition] = topic.partitions.as_slice() else { return false };
    topic.topic_name.as_str() == CLUSTER_METADATA_TOPIC && partition.partition_index == METADATA_PARTITION
}

/// The quorum as its leader sees it: the leader itself has fetched everything, just now.
fn described(state: &QuorumState, leader_id: i32, now_ms: i64) -> PartitionData {
    let replica = |&(id, log_end_offset): &(i32, Option<i64>)| {
        let seen_ms = if id == leader_id { now_ms } else { -1 };
        // A quorum whose voters cannot be changed knows them without their directories.
        ReplicaState::default()
            .with_replica_id(BrokerId(id))
            .with_log_end_offset(log_end_offset.unwrap_or(-1))
            .with_last_fetch_timestamp(seen_ms)
            .with_last_caught_up_timestamp(seen_ms)
    };
    PartitionData::default()
        .with_partition_index(METADATA_PARTITION)
        .with_error_message(None)
        .with_leader_id(BrokerId(leader_id))
        .with_leader_epoch(state.epoch)
        .with_high_watermark(state.high_watermark)
        .with_current_voters(state.voters.iter().map(replica).collect())
}

/// Any other question is about partitions without a quorum.
fn unknown(request: &DescribeQuorumRequest, version: i16) -> DescribeQuorumResponse {
    let topic = |topic: &TopicQuestion| {
        let indexes = topic.partitions.iter().map(|partition| partition.partition_index);
        let partitions = indexes.map(|index| failed(index, ErrorCode::UnknownTopicOrPartition, version));
        TopicData::default().with_topic_name(topic.topic_name.clone()).with_partitions(partitions.collect())
    };
    DescribeQuorumResponse::default().with_error_message(None).with_topics(request.topics.iter().map(topic).collect())
}

fn failed(partition: i32, error: ErrorCode, version: i16) -> PartitionData {
    let message = (version >= FIRST_VERSION_WITH_NODES).then(|| message_text(&error.to_string()));
    PartitionData::default().with_partition_index(partition).with_error_code(error.code()).with_error_message(message)
}

/// The whole request's error.
pub fn refuse(_request: &DescribeQuorumRequest, error: ErrorCode) -> DescribeQuorumResponse {
    DescribeQuorumResponse::default().with_error_code(error.code()).with_error_message(None)
}
