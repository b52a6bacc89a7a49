//! CreatePartitions (key 37).

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};
use kafka_protocol::protocol::StrBytes;

use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::controller::{CreatePartitions, NewPartitions, PartitionsCreated};
use crate::protocol::ErrorCode;

/// Serves one request; answers once this broker leads the new partitions.
pub async fn handle(
    broker: &Broker,
    _context: &RequestContext,
    request: CreatePartitionsRequest,
) -> Result<Reply<CreatePartitionsResponse>, ApiError> {
    let create = CreatePartitions {
        topics: request.topics.iter().map(new_partitions).collect(),
        validate_only: request.validate_only,
        seed: 0,
    };
    let results = match create_and_wait(broker, create).await {
        Ok(created) => created.into_iter().map(answer).collect(),
        Err(error) => request.topics.iter().map(|topic| failed(topic, error)).collect(),
    };
    Ok(Reply::Ready(CreatePartitionsResponse::default().with_results(results)))
}

async fn create_and_wait(broker: &Broker, create: CreatePartitions) -> Result<Vec<PartitionsCreated>, ErrorCode> {
    let created = broker.controller.create_partitions(create).await?;
    broker.replicas_applied(created.image_offset).await?;
    Ok(created.response)
}

fn new_partitions(topic: &CreatePartitionsTopic) -> NewPartitions {
    let assignments = topic.assignments.as_ref().map(|assignments| {
        assignments.iter().map(|assignment| assignment.broker_ids.iter().map(|id| id.0).collect()).collect()
    });
    NewPartitions { name: topic.name.as_str().into(), count: topic.count, assignments }
}

fn answer(topic: PartitionsCreated) -> CreatePartitionsTopicResult {
    let name = StrBytes::from_string(topic.name.as_ref().to_owned());
    let result = CreatePartitionsTopicResult::default().with_name(name.into());
    match topic.result {
        Ok(()) => result,
        Err(refusal) => {
            result.with_error_code(refusal.code.code()).with_error_message(Some(StrBytes::from_string(refusal.message)))
        }
    }
}

fn failed(topic: &CreatePartitionsTopic, error: ErrorCode) -> CreatePartitionsTopicResult {
    CreatePartitionsTopicResult::default().with_name(topic.name.clone()).with_error_code(error.code())
}
