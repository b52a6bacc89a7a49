//! AlterPartitionReassignments (key 45): partitions shall have other replicas (KIP-455, KIP-860).

use kafka_protocol::messages::alter_partition_reassignments_request::ReassignableTopic;
use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};

use super::deadline::within;
use super::owned::message_text;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::controller::{AlterPartitionReassignments, Refusal, TopicReassigned, TopicReassignment};
use crate::protocol::ErrorCode;

/// Serves one request.
pub async fn handle(
    broker: &Broker,
    _context: &RequestContext,
    request: AlterPartitionReassignmentsRequest,
) -> Result<Reply<AlterPartitionReassignmentsResponse>, ApiError> {
    // Kafka's controller does not look any further then.
    if request.topics.is_empty() {
        return Ok(Reply::Ready(AlterPartitionReassignmentsResponse::default()));
    }
    let allow_replication_factor_change = request.allow_replication_factor_change;
    let topics = request.topics.iter().map(reassignment).collect();
    let alter = AlterPartitionReassignments { topics, allow_replication_factor_change };
    let reassigned =
        within(&broker.clock, request.timeout_ms, broker.controller.alter_partition_reassignments(alter)).await;
    Ok(Reply::Ready(match reassigned {
        Ok(reassigned) => AlterPartitionReassignmentsResponse::default()
            .with_allow_replication_factor_change(allow_replication_factor_change)
            .with_error_message(None)
            .with_responses(reassigned.response.into_iter().map(answer).collect()),
        Err(error) => refuse(&request, error),
    }))
}

fn reassignment(topic: &ReassignableTopic) -> TopicReassignment {
    let partitions = topic.partitions.iter().map(|partition| {
        let replicas = partition.replicas.as_ref().map(|replicas| replicas.iter().map(|id| id.0).collect());
        (partition.partition_index, replicas)
    });
    TopicReassignment { name: topic.name.as_str().into(), partitions: partitions.collect() }
}

fn answer(topic: TopicReassigned) -> ReassignableTopicResponse {
    let partition = |(partition, result): (i32, Result<(), Refusal>)| {
        let told = ReassignablePartitionResponse::default().with_partition_index(partition);
        match result {
            Ok(()) => told.with_error_message(None),
            Err(refusal) => {
                told.with_error_code(refusal.code.code()).with_error_message(Some(message_text(&refusal.message)))
            }
        }
    };
    ReassignableTopicResponse::default()
        .with_name(message_text(&topic.name).into())
        .with_partitions(topic.partitions.into_iter().map(partition).collect())
}

/// The whole request's error, told of each of its partitions as well.
pub fn refuse(request: &AlterPartitionReassignmentsRequest, error: ErrorCode) -> AlterPartitionReassignmentsResponse {
    let message = message_text(&error.to_string());
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            ReassignablePartitionResponse::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(error.code())
                .with_error_message(Some(message.clone()))
        });
        ReassignableTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    AlterPartitionReassignmentsResponse::default()
        .with_error_code(error.code())
        .with_error_message(Some(message.clone()))
        .with_responses(topics.collect())
}
