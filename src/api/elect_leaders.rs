//! ElectLeaders (key 43): partitions get the leader that they should have (KIP-183, KIP-460).

use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse};

use super::deadline::within;
use super::owned::message_text;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::controller::{ElectLeaders, ElectionType, LeadersElected, Refusal};
use crate::protocol::ErrorCode;
use crate::security::{Operation, Resource};

/// The first version whose requests name the kind of election, and whose answers have an error of their own.
const FIRST_VERSION_WITH_ELECTION_TYPE: i16 = 1;

/// Serves one request; answers once this broker leads what it was elected for.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: ElectLeadersRequest,
) -> Result<Reply<ElectLeadersResponse>, ApiError> {
    if let Err(code) = context.authorize(Operation::Alter, Resource::CLUSTER) {
        let refusal = Refusal::new(code, code.to_string());
        return Ok(Reply::Ready(refused(&request, context.api_version, &refusal)));
    }
    // Kafka's controller does not look any further then.
    if request.topic_partitions.as_ref().is_some_and(Vec::is_empty) {
        return Ok(Reply::Ready(ElectLeadersResponse::default()));
    }
    let elected = within(&broker.clock, request.timeout_ms, elect_and_wait(broker, &request)).await;
    let results = match elected.unwrap_or_else(|code| Err(Refusal::new(code, code.to_string()))) {
        Ok(elected) => elected.into_iter().map(election_result).collect(),
        Err(refusal) => return Ok(Reply::Ready(refused(&request, context.api_version, &refusal))),
    };
    Ok(Reply::Ready(ElectLeadersResponse::default().with_replica_election_results(results)))
}

async fn elect_and_wait(
    broker: &Broker,
    request: &ElectLeadersRequest,
) -> Result<Result<Vec<LeadersElected>, Refusal>, ErrorCode> {
    let election = match request.election_type {
        0 => ElectionType::Preferred,
        1 => ElectionType::Unclean,
        other => return Ok(Err(Refusal::new(ErrorCode::InvalidRequest, format!("Unknown election type {other}")))),
    };
    let topic = |topic: &TopicPartitions| (topic.topic.as_str().into(), topic.partitions.clone());
    let topics = request.topic_partitions.as_ref().map(|topics| topics.iter().map(topic).collect());
    let elected = broker.controller.elect_leaders(ElectLeaders { election, topics }).await?;
    broker.replicas_applied(elected.image_offset).await?;
    Ok(elected.response)
}

fn election_result(elected: LeadersElected) -> ReplicaElectionResult {
    let partition = |(partition, result): (i32, Result<(), Refusal>)| {
        let told = PartitionResult::default().with_partition_id(partition);
        match result {
            Ok(()) => told.with_error_message(None),
            Err(refusal) => {
                told.with_error_code(refusal.code.code()).with_error_message(Some(message_text(&refusal.message)))
            }
        }
    };
    ReplicaElectionResult::default()
        .with_topic(message_text(&elected.name).into())
        .with_partition_result(elected.partitions.into_iter().map(partition).collect())
}

/// The whole request's error, told of each of its partitions as well, for clients that look only there.
fn refused(request: &ElectLeadersRequest, api_version: i16, refusal: &Refusal) -> ElectLeadersResponse {
    let message = message_text(&refusal.message);
    let partition = |partition: &i32| {
        PartitionResult::default()
            .with_partition_id(*partition)
            .with_error_code(refusal.code.code())
            .with_error_message(Some(message.clone()))
    };
    let topics = request.topic_partitions.iter().flatten().map(|topic| {
        ReplicaElectionResult::default()
            .with_topic(topic.topic.clone())
            .with_partition_result(topic.partitions.iter().map(partition).collect())
    });
    let error_code = if api_version >= FIRST_VERSION_WITH_ELECTION_TYPE { refusal.code.code() } else { 0 };
    ElectLeadersResponse::default().with_error_code(error_code).with_replica_election_results(topics.collect())
}
