//! CreateTopics (key 19).

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};
use kafka_protocol::protocol::StrBytes;

use super::deadline::within;
use super::mutations::Mutations;
use super::repeated::repeated;
use super::throttle_time::ThrottleTime;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::config::{Config, ConfigSource, Key, Origin, keys};
use crate::controller::{CreateTopics, NewTopic, PartitionAssignment, Refusal, TopicCreation};
use crate::ids::Uuid;
use crate::protocol::ErrorCode;
use crate::security::{Operation, Resource};

/// Configs for Kafka's own tests, which no answer names.
const INTERNAL_PREFIX: &str = "internal.";

/// The first version whose clients know `THROTTLING_QUOTA_EXCEEDED` (KIP-599).
const FIRST_VERSION_WITH_QUOTA_EXCEEDED: i16 = 6;

/// Serves one request; answers once this broker leads the new partitions.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: CreateTopicsRequest,
) -> Result<Reply<CreateTopicsResponse>, ApiError> {
    let config = broker.config.snapshot();
    let may_create_all = context.authorize(Operation::Create, Resource::CLUSTER).is_ok();
    let may = |operation, name: &str| context.authorize(operation, Resource::topic(name)).is_ok();
    // What is named twice is refused for that, whoever asks.
    let repeated = repeated(request.topics.iter().map(|topic| topic.name.as_str()));
    let may_create = |topic: &&CreatableTopic| {
        may_create_all || may(Operation::Create, &topic.name) || repeated.contains(topic.name.as_str())
    };
    let (allowed, denied): (Vec<_>, Vec<_>) = request.topics.iter().partition(may_create);
    let topics = allowed.iter().map(|topic| new_topic(&config, topic)).collect();
    let mutations = Mutations::new(broker, context, FIRST_VERSION_WITH_QUOTA_EXCEEDED);
    let create = CreateTopics {
        validate_only: request.validate_only,
        quota: mutations.quota(),
        ..CreateTopics::with_defaults(&config.broker, topics)
    };
    let mut response = CreateTopicsResponse::default();
    response.topics = match within(&broker.clock, request.timeout_ms, create_and_wait(broker, create)).await {
        Ok(created) => {
            let partitions =
                created.iter().filter_map(|topic| topic.result.as_ref().ok()).map(|topic| topic.partitions);
            let partitions = usize::try_from(partitions.sum::<i32>()).unwrap_or(0);
            let errors = created.iter().filter_map(|topic| topic.result.as_ref().err()).map(|refusal| refusal.code);
            response.set_throttle_time(mutations.settle(partitions, errors));
            let shown = |topic: TopicCreation| {
                let tells_configs = may(Operation::DescribeConfigs, &topic.name);
                let result = result(&config, topic);
                if tells_configs { result } else { without_configs(result) }
            };
            created.into_iter().map(shown).collect()
        }
        Err(error) => allowed.into_iter().map(|topic| failed(topic, error)).collect(),
    };
    let denied = denied.into_iter().map(|topic| failed(topic, ErrorCode::TopicAuthorizationFailed));
    response.topics.extend(denied);
    Ok(Reply::Ready(response))
}

async fn create_and_wait(broker: &Broker, create: CreateTopics) -> Result<Vec<TopicCreation>, ErrorCode> {
    let created = broker.controller.here().ask(create).await?;
    broker.replicas_applied(created.image_offset).await?;
    Ok(created.response)
}

fn new_topic(config: &Config, topic: &CreatableTopic) -> NewTopic {
    let given = topic.configs.iter().map(|config| (config.name.as_str(), config.value.as_deref()));
    let configs = match config.validate_topic(given.clone()) {
        Ok(()) => Ok(given.filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned()))).collect()),
        Err(error) => Err(Refusal::new(ErrorCode::InvalidConfig, error.to_string())),
    };
    let assignments = topic.assignments.iter().map(|assignment| PartitionAssignment {
        partition: assignment.partition_index,
        brokers: assignment.broker_ids.iter().map(|id| id.0).collect(),
    });
    NewTopic {
        name: topic.name.as_str().into(),
        id: Uuid::new_v4(),
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: assignments.collect(),
        configs,
    }
}

fn result(config: &Config, topic: TopicCreation) -> CreatableTopicResult {
    let name = StrBytes::from_string(topic.name.as_ref().to_owned());
    let result = CreatableTopicResult::default().with_name(name.into());
    match topic.result {
        Ok(created) => result
            .with_topic_id(created.id)
            .with_error_message(None)
            .with_num_partitions(created.partitions)
            .with_replication_factor(created.replication_factor)
            .with_configs(Some(effective_configs(config, &created.configs))),
        Err(refusal) => {
            result.with_error_code(refusal.code.code()).with_error_message(Some(StrBytes::from_string(refusal.message)))
        }
    }
}

/// For a client that may create the topic and may not see its configs.
fn without_configs(result: CreatableTopicResult) -> CreatableTopicResult {
    if result.error_code != 0 {
        return result;
    }
    result
        .with_topic_config_error_code(ErrorCode::TopicAuthorizationFailed.code())
        .with_num_partitions(-1)
        .with_replication_factor(-1)
        .with_configs(Some(Vec::new()))
}

fn failed(topic: &CreatableTopic, error: ErrorCode) -> CreatableTopicResult {
    CreatableTopicResult::default().with_name(topic.name.clone()).with_error_code(error.code()).with_error_message(None)
}

/// Every config of a topic with `overrides`, by name, with its value and where that comes from.
fn effective_configs(config: &Config, overrides: &BTreeMap<String, String>) -> Vec<CreatableTopicConfigs> {
    let is_public = |name: &&str| !name.starts_with(INTERNAL_PREFIX);
    let names: BTreeSet<_> = keys::all().filter_map(Key::topic_key).filter(is_public).collect();
    let effective = |name: &str| {
        let value = overrides.get(name).cloned();
        let (value, source) = match value {
            Some(value) => (Some(value), ConfigSource::Topic),
            None => (config.text(name), default_source(config, name)),
        };
        CreatableTopicConfigs::default()
            .with_name(StrBytes::from_string(name.to_owned()))
            .with_value(value.map(StrBytes::from_string))
            .with_config_source(source.id())
    };
    names.into_iter().map(effective).collect()
}

fn default_source(config: &Config, name: &str) -> ConfigSource {
    match config.topic_default_origin(name) {
        Origin::Default | Origin::Program => ConfigSource::Default,
        Origin::File { .. } | Origin::Variable(_) | Origin::Flag(_) => ConfigSource::StaticBroker,
        Origin::ClusterWide => ConfigSource::DynamicDefaultBroker,
        Origin::PerBroker => ConfigSource::DynamicBroker,
    }
}
