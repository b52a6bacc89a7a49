//! DeleteTopics (key 20), by name or by id (KIP-516).

use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse};
use kafka_protocol::protocol::StrBytes;

use super::deadline::within;
use super::mutations::Mutations;
use super::owned::message_text;
use super::repeated::repeated;
use super::throttle_time::ThrottleTime;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::controller::{DeleteTopics, TopicDeletion, TopicToDelete};
use crate::ids::{NO_TOPIC_ID, TopicName};
use crate::metadata::MetadataImage;
use crate::protocol::ErrorCode;
use crate::security::{Operation, Resource};

/// The first version whose clients know `TOPIC_DELETION_DISABLED`.
const FIRST_VERSION_WITH_DISABLED: i16 = 3;

/// The first version whose clients know `THROTTLING_QUOTA_EXCEEDED` (KIP-599).
const FIRST_VERSION_WITH_QUOTA_EXCEEDED: i16 = 5;

/// What Kafka says to who may not delete a topic.
const DENIED: &str = "Topic authorization failed.";

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
    let mutations = Mutations::new(broker, context, FIRST_VERSION_WITH_QUOTA_EXCEEDED);
    let before = broker.image();
    let asked: Vec<_> = named.chain(either).map(to_delete).collect();
    // What is named twice is refused for that, whoever asks.
    let repeated = repeated(asked.iter().map(|topic| (topic.name.as_deref(), topic.id)));
    let is_repeated = |topic: &TopicToDelete| repeated.contains(&(topic.name.as_deref(), topic.id));
    let denial = |topic: &TopicToDelete| denial(&before, context, topic).filter(|_| !is_repeated(topic));
    let denied: Vec<_> = asked.iter().filter_map(denial).collect();
    let topics: Vec<_> = asked.iter().filter(|topic| denial(topic).is_none()).cloned().collect();
    let result = if broker.config.load().broker.delete_topic_enable {
        let delete = DeleteTopics { topics: topics.clone(), quota: mutations.quota() };
        within(&broker.clock, request.timeout_ms, delete_and_wait(broker, delete)).await
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
    response.responses.extend(denied);
    Ok(Reply::Ready(response))
}

/// The answer for a topic that the client may not delete. Who may not even see a topic does not learn whether there is
/// one of that name, nor the name from an id.
fn denial(image: &MetadataImage, context: &RequestContext, topic: &TopicToDelete) -> Option<DeletableTopicResult> {
    let by_id = || image.topic_by_id(topic.id).map(|topic| &topic.name);
    let name = match &topic.name {
        // To name both is refused for that.
        Some(_) if topic.id != NO_TOPIC_ID => return None,
        Some(name) => name,
        // Of an unknown id there is nothing to ask.
        None => by_id()?,
    };
    let may = |operation| context.authorize(operation, Resource::topic(name)).is_ok();
    if context.authorize(Operation::Delete, Resource::CLUSTER).is_ok() || may(Operation::Delete) {
        return None;
    }
    let is_seen = may(Operation::Describe);
    if is_seen && image.topic(name).is_none() {
        return None;
    }
    let name = (topic.name.is_some() || is_seen).then(|| TopicName::clone(name));
    let error = ErrorCode::TopicAuthorizationFailed;
    Some(failed(TopicToDelete { name, id: topic.id }, error).with_error_message(Some(message_text(DENIED))))
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
