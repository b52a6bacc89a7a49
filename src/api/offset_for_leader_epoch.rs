//! OffsetForLeaderEpoch (key 23): where an epoch ended, so that a reader finds out what of its log is not ours (KIP-101).

use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::ids::LeaderEpoch;
use crate::protocol::ErrorCode;
use crate::security::{Operation, Resource};

/// Serves one request.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: OffsetForLeaderEpochRequest,
) -> Result<Reply<OffsetForLeaderEpochResponse>, ApiError> {
    let is_replica = context.authorize(Operation::ClusterAction, Resource::CLUSTER).is_ok();
    let topics = request.topics.into_iter().map(|topic| {
        let may_see = || context.authorize(Operation::Describe, Resource::topic(&topic.topic));
        let allowed = if is_replica { Ok(()) } else { may_see() };
        let partitions = topic.partitions.iter().map(|asked| {
            let response = EpochEndOffset::default().with_partition(asked.partition);
            match allowed.and_then(|()| find(broker, &topic.topic, asked)) {
                Ok((leader_epoch, end_offset)) => response.with_leader_epoch(leader_epoch).with_end_offset(end_offset),
                Err(code) => response.with_error_code(code.code()).with_leader_epoch(-1).with_end_offset(-1),
            }
        });
        OffsetForLeaderTopicResult::default().with_partitions(partitions.collect()).with_topic(topic.topic)
    });
    Ok(Reply::Ready(OffsetForLeaderEpochResponse::default().with_topics(topics.collect())))
}

/// The greatest epoch not above the one asked for, and the offset after its last record; (-1, -1) if there is none.
fn find(broker: &Broker, topic: &str, asked: &OffsetForLeaderPartition) -> Result<(LeaderEpoch, i64), ErrorCode> {
    let hosted = broker.replicas.partition(topic, asked.partition)?;
    let found = hosted.end_offset_for_epoch(asked.leader_epoch, asked.current_leader_epoch)?;
    Ok(found.unwrap_or((-1, -1)))
}
