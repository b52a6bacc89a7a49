//! CreatePartitions (key 37).

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};
use kafka_protocol::protocol::StrBytes;

use super::deadline::within;
use super::mutations::Mutations;
use super::repeated::repeated;
use super::throttle_time::ThrottleTime;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::controller::{CreatePartitions, NewPartitions, PartitionsCreated};
use crate::metadata::MetadataImage;
use crate::protocol::ErrorCode;
use crate::security::{Operation, Resource};

/// The first version whose clients know `THROTTLING_QUOTA_EXCEEDED` (KIP-599).
const FIRST_VERSION_WITH_QUOTA_EXCEEDED: i16 = 3;

/// Serves one request; answers once this broker leads the new partitions.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: CreatePartitionsRequest,
) -> Result<Reply<CreatePartitionsResponse>, ApiError> {
    let mutations = Mutations::new(broker, context, FIRST_VERSION_WITH_QUOTA_EXCEEDED);
    let before = broker.image();
    // What is named twice is refused for that, whoever asks.
    let repeated = repeated(request.topics.iter().map(|topic| topic.name.as_str()));
    let may_alter = |topic: &&CreatePartitionsTopic| {
        let is_allowed = context.authorize(Operation::Alter, Resource::topic(&topic.name)).is_ok();
        is_allowed || repeated.contains(topic.name.as_str())
    };
    let (allowed, denied): (Vec<_>, Vec<_>) = request.topics.iter().partition(may_alter);
    let create = CreatePartitions {
        topics: allowed.iter().copied().map(new_partitions).collect(),
        validate_only: request.validate_only,
        seed: 0,
        quota: mutations.quota(),
    };
    let mut response = CreatePartitionsResponse::default();
    response.results = match within(&broker.clock, request.timeout_ms, create_and_wait(broker, create)).await {
        Ok(created) => {
            let added =
                created.iter().filter(|topic| topic.result.is_ok()).map(|topic| added(&before, &request, topic));
            let errors = created.iter().filter_map(|topic| topic.result.as_ref().err()).map(|refusal| refusal.code);
            response.set_throttle_time(mutations.settle(added.sum(), errors));
            created.into_iter().map(answer).collect()
        }
        Err(error) => allowed.into_iter().map(|topic| failed(topic, error)).collect(),
    };
    let denied = denied.into_iter().map(|topic| failed(topic, ErrorCode::TopicAuthorizationFailed));
    response.results.extend(denied);
    Ok(Reply::Ready(response))
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

/// How many partitions a topic has got.
fn added(before: &MetadataImage, request: &CreatePartitionsRequest, topic: &PartitionsCreated) -> usize {
    let asked = request.topics.iter().find(|asked| asked.name.as_str() == &*topic.name);
    let count = asked.map_or(0, |asked| usize::try_from(asked.count).unwrap_or(0));
    count.saturating_sub(before.topic(&topic.name).map_or(0, |topic| topic.partitions.len()))
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
