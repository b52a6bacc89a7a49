//! DescribeProducers (key 61): which producers a partition's leader remembers, and their open transactions (KIP-664).

use kafka_protocol::messages::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse, ProducerId};

use super::owned::message_text;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::metadata::topic_name;
use crate::protocol::ErrorCode;
use crate::security::{Operation, Resource, ResourceType};
use crate::storage::ActiveProducer;

/// Serves one request.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: DescribeProducersRequest,
) -> Result<Reply<DescribeProducersResponse>, ApiError> {
    let topics = request.topics.into_iter().map(|topic| {
        let checked = check(broker, context, &topic.name);
        let partition = |index: &i32| {
            let response = PartitionResponse::default().with_partition_index(*index);
            match &checked {
                Err((code, message)) => {
                    response.with_error_code(code.code()).with_error_message(Some(message_text(message)))
                }
                Ok(()) => match broker.replicas.partition(&topic.name, *index).and_then(|hosted| hosted.producers()) {
                    Ok(producers) => response.with_active_producers(producers.iter().map(state).collect()),
                    Err(code) => response.with_error_code(code.code()),
                },
            }
        };
        let partitions = topic.partition_indexes.iter().map(partition).collect();
        TopicResponse::default().with_partitions(partitions).with_name(topic.name)
    });
    Ok(Reply::Ready(DescribeProducersResponse::default().with_topics(topics.collect())))
}

/// What is wrong with a whole topic, in Kafka's order and words.
fn check(broker: &Broker, context: &RequestContext, topic: &str) -> Result<(), (ErrorCode, String)> {
    if let Some(reason) = topic_name::reason_invalid(topic) {
        return Err((ErrorCode::InvalidTopicException, reason));
    }
    let resource = Resource { resource_type: ResourceType::Topic, name: topic };
    context.authorize(Operation::Read, resource).map_err(|code| (code, "Topic authorization failed.".to_owned()))?;
    let message = || "This server does not host this topic-partition.".to_owned();
    broker.image().topic(topic).map(drop).ok_or_else(|| (ErrorCode::UnknownTopicOrPartition, message()))
}

fn state(producer: &ActiveProducer) -> ProducerState {
    ProducerState::default()
        .with_producer_id(ProducerId(producer.producer_id))
        .with_producer_epoch(i32::from(producer.epoch))
        .with_last_sequence(producer.last_sequence)
        .with_last_timestamp(producer.last_timestamp)
        .with_coordinator_epoch(producer.coordinator_epoch)
        .with_current_txn_start_offset(producer.transaction_first_offset)
}
