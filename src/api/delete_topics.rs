//! DeleteTopics (key 20), by name or by id (KIP-516).

use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse};
use kafka_protocol::protocol::StrBytes;

use super::mutations::Mutations;
use super::throttle_time::ThrottleTime;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::controller::{DeleteTopics, TopicDeletion, TopicToDelete};
use crate::ids::{NO_TOPIC_ID, TopicName};
use crate::protocol::ErrorCode;

/// The first version whose clients know `TOPIC_DELETION_DISABLED`.
const FIRST_VERSION_WITH_DISABLED: i16 = 3;

/// The first version whose clients know `THROTTLING_QUOTA_EXCEEDED` (KIP-599).
const FIRST_VERSION_WITH_QUOTA_EXCEEDED: i16 = 5;

/// Serves one request; answers once this broker has let go of the partitions.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: DeleteTopicsRequest,
) -> Result<Reply<DeleteTopicsResponse>, ApiError> {
    let named = request.topic_names.iter().map(|name| (Some(name), NO_TOPIC_ID));
    let either = request.topics.iter().map(|topic| (topic.name.as_ref(), topic.topic_id));
    let to_delete = |(name, id): (Option<&kafka_protocol::messages::TopicName>, _)| TopicToDelete {
        name: name.map(|name| TopicName::from(name.as_str())),
        id,
    };
    let topics: Vec<_> = named.chain(either).map(to_delete).collect();
    let mutations = Mutations::new(broker, context, FIRST_VERSION_WITH_QUOTA_EXCEEDED);
    let before = broker.image();
    let result = if broker.config.load().broker.delete_topic_enable {
        delete_and_wait(broker, DeleteTopics { topics: topics.clone(), quota: mutations.quota() }).await
    } else if context.api_version < FIRST_VERSION_WITH_DISABLED {
        Err(ErrorCode::InvalidRequest)
    } else {
        Err(ErrorCode::TopicDeletionDisabled)
    };
    let mut response = DeleteTopicsResponse::default();
    response.responses = match result {
        Ok(deleted) => {
            let gone = deleted.iter().filter(|topic| topic.result.is_ok());
            let gone = gone.filter_map(|topic| before.topic_by_id(topic.id)).map(|topic| topic.partitions.len());
            let errors = deleted.iter().filter_map(|topic| topic.result.as_ref().err()).map(|refusal| refusal.code);
            response.set_throttle_time(mutations.settle(gone.sum(), errors));
            deleted.into_iter().map(answer).collect()
        }
        Err(error) => topics.into_iter().map(|topic| failed(topic, error)).collect(),
    };
    Ok(Reply::Ready(response))
}

async fn delete_and_wait(broker: &Broker, delete: DeleteTopics) -> Result<Vec<TopicDeletion>, ErrorCode> {
    let deleted = broker.controller.delete_topics(delete).await?;
    broker.replicas_applied(deleted.image_offset).await?;
    Ok(deleted.response)
}

fn answer(topic: TopicDeletion) -> DeletableTopicResult {
    let result = DeletableTopicResult::default().with_name(wire_name(topic.name)).with_topic_id(topic.id);
    match topic.result {
        Ok(()) => result,
        Err(refusal) => {
            result.with_error_code(refusal.code.code()).with_error_message(Some(StrBytes::from_string(refusal.message)))
        }
    }
}

fn failed(topic: TopicToDelete, error: ErrorCode) -> DeletableTopicResult {
    DeletableTopicResult::default()
        .with_name(wire_name(topic.name))
        .with_topic_id(topic.id)
        .with_error_code(error.code())
}

fn wire_name(name: Option<TopicName>) -> Option<kafka_protocol::messages::TopicName> {
    name.map(|name| StrBytes::from_string(name.as_ref().to_owned()).into())
}
