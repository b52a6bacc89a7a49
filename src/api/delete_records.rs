//! DeleteRecords (key 21): everything before an offset is gone (KIP-107).
//!
//! Unlike Kafka, which writes the log start offset down within a minute, the answer waits until it is on the disk: records
//! that were deleted do not come back. What lies in whole segments is removed then, too, and not at the next look for
//! old segments.

use std::sync::Arc;

use indexmap::IndexMap;
use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse, TopicName};

use super::deadline::Deadline;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::clock::Clock;
use crate::ids::is_internal_topic;
use crate::protocol::ErrorCode;
use crate::replication::hosted_partition::HostedPartition;
use crate::security::{Operation, Resource, ResourceType};

/// The low watermark where there is an error.
const INVALID_LOW_WATERMARK: i64 = -1;

/// What became of each partition: the first offset that is left.
type Outcomes = IndexMap<(TopicName, i32), Result<(Arc<HostedPartition>, i64), ErrorCode>>;

/// Serves one request.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: DeleteRecordsRequest,
) -> Result<Reply<DeleteRecordsResponse>, ApiError> {
    // A partition that is named twice counts once, as it was named last.
    let wanted: IndexMap<_, _> = request
        .topics
        .iter()
        .flat_map(|topic| {
            topic.partitions.iter().map(|wanted| ((topic.name.clone(), wanted.partition_index), wanted.offset))
        })
        .collect();
    let delete = |((name, index), offset): ((TopicName, i32), i64)| {
        let outcome = delete(broker, context, &name, index, offset);
        ((name, index), outcome)
    };
    let outcomes: Outcomes = wanted.into_iter().map(delete).collect();
    let deleted: Vec<_> = outcomes.values().flatten().map(|(hosted, _)| Arc::clone(hosted)).collect();
    if deleted.is_empty() {
        return Ok(Reply::Ready(response(outcomes)));
    }
    let (replicas, deadline) = (Arc::clone(&broker.replicas), Deadline::new(&broker.clock, request.timeout_ms));
    let clock = broker.clock.clone();
    Ok(Reply::owed(async move {
        match deadline.for_disk(replicas.finish_record_deletion(deleted)).await {
            Ok(()) => response(on_every_replica(outcomes, &clock, &deadline).await),
            Err(code) => not_durable(response(outcomes), code),
        }
    }))
}

/// The outcomes, once the followers have deleted as much, or there is no time left for them.
async fn on_every_replica(mut outcomes: Outcomes, clock: &Clock, deadline: &Deadline) -> Outcomes {
    for outcome in outcomes.values_mut() {
        if let Ok((hosted, low_watermark)) = outcome {
            let deleted = Arc::clone(hosted).deleted_to(*low_watermark, || clock.monotonic());
            match clock.timeout(deadline.for_replicas(), deleted).await.unwrap_or(Err(ErrorCode::RequestTimedOut)) {
                Ok(of_all) => *low_watermark = of_all,
                Err(code) => *outcome = Err(code),
            }
        }
    }
    outcomes
}

/// Kafka's checks in Kafka's order.
fn delete(
    broker: &Broker,
    context: &RequestContext,
    topic: &str,
    index: i32,
    offset: i64,
) -> Result<(Arc<HostedPartition>, i64), ErrorCode> {
    context.authorize(Operation::Delete, Resource { resource_type: ResourceType::Topic, name: topic })?;
    let is_known = broker.image().topic(topic).is_some_and(|topic| topic.partition(index).is_some());
    if !is_known {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    if is_internal_topic(topic) {
        return Err(ErrorCode::InvalidTopicException);
    }
    let hosted = broker.replicas.partition(topic, index)?;
    let low_watermark = hosted.delete_records(offset)?;
    Ok((hosted, low_watermark))
}

fn response(outcomes: Outcomes) -> DeleteRecordsResponse {
    let mut topics: IndexMap<TopicName, Vec<DeleteRecordsPartitionResult>> = IndexMap::new();
    for ((topic, index), outcome) in outcomes {
        let result = DeleteRecordsPartitionResult::default().with_partition_index(index);
        topics.entry(topic).or_default().push(match outcome {
            Ok((_, low_watermark)) => result.with_low_watermark(low_watermark),
            Err(code) => result.with_low_watermark(INVALID_LOW_WATERMARK).with_error_code(code.code()),
        });
    }
    let topic = |(name, partitions)| DeleteRecordsTopicResult::default().with_name(name).with_partitions(partitions);
    DeleteRecordsResponse::default().with_topics(topics.into_iter().map(topic).collect())
}

/// The answer when the deletion may not survive a power loss, or is not known to yet.
fn not_durable(mut response: DeleteRecordsResponse, code: ErrorCode) -> DeleteRecordsResponse {
    for partition in response.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        if partition.error_code == 0 {
            partition.error_code = code.code();
            partition.low_watermark = INVALID_LOW_WATERMARK;
        }
    }
    response
}
