//! DescribeConfigs (key 32): the configs of topics, brokers, groups and client metrics subscriptions (`ConfigHelper`).

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use super::broker_loggers;
use super::config_resource::{authorize, broker_id};
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::config::{ConfigResourceType, ConfigSynonym, DescribedConfig, Kind, describe_client_metrics};
use crate::metadata::{ConfigResource, topic_name};
use crate::protocol::ErrorCode;
use crate::security::Operation;

/// Why a resource is not described.
struct NotDescribed {
    code: ErrorCode,
    message: Option<String>,
}

impl NotDescribed {
    fn invalid_request(message: impl Into<String>) -> Self {
        Self { code: ErrorCode::InvalidRequest, message: Some(message.into()) }
    }
}

/// Serves one request. Resources that may not be described come last, as in Kafka.
#[expect(clippy::unused_async, reason = "the shape of a handler")]
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: DescribeConfigsRequest,
) -> Result<Reply<DescribeConfigsResponse>, ApiError> {
    let mut allowed = Vec::new();
    let mut denied = Vec::new();
    for resource in &request.resources {
        // One resource of a type that does not exist is enough for Kafka to refuse them all.
        let Some(resource_type) = ConfigResourceType::from_id(resource.resource_type) else {
            return Ok(Reply::Ready(all_refused(&request, resource.resource_type)));
        };
        match authorize(resource_type, context, Operation::DescribeConfigs, &resource.resource_name) {
            Ok(()) => allowed.push(result(resource, describe(broker, resource_type, resource), &request)),
            Err(code) => denied.push(result(resource, Err(NotDescribed { code, message: None }), &request)),
        }
    }
    allowed.append(&mut denied);
    Ok(Reply::Ready(DescribeConfigsResponse::default().with_results(allowed)))
}

fn all_refused(request: &DescribeConfigsRequest, unknown: i8) -> DescribeConfigsResponse {
    let refusal = || NotDescribed::invalid_request(format!("Unknown resource type {unknown}"));
    let refused = |resource| result(resource, Err(refusal()), request);
    DescribeConfigsResponse::default().with_results(request.resources.iter().map(refused).collect())
}

fn describe(
    broker: &Broker,
    resource_type: ConfigResourceType,
    resource: &DescribeConfigsResource,
) -> Result<Vec<DescribedConfig>, NotDescribed> {
    let name = resource.resource_name.as_str();
    match resource_type {
        ConfigResourceType::Topic => describe_topic(broker, name),
        ConfigResourceType::Broker if name.is_empty() => Ok(broker.config.load().describe_all_brokers()),
        ConfigResourceType::Broker => {
            expect_this_broker(broker, name, "or empty string, ")?;
            Ok(broker.config.load().describe_broker())
        }
        ConfigResourceType::BrokerLogger if name.is_empty() => {
            Err(NotDescribed::invalid_request("Broker id must not be empty"))
        }
        ConfigResourceType::BrokerLogger => {
            expect_this_broker(broker, name, "")?;
            let levels = broker_loggers::levels(broker);
            Ok(levels.into_iter().map(|(logger, level)| DescribedConfig::logger(logger, level.name())).collect())
        }
        ConfigResourceType::ClientMetrics if name.is_empty() => {
            Err(NotDescribed::invalid_request("Client metrics subscription name must not be empty"))
        }
        ConfigResourceType::ClientMetrics => {
            let image = broker.image();
            let configs = image.configs(&ConfigResource::ClientMetrics(name.into()));
            Ok(describe_client_metrics(|key| configs.and_then(|configs| configs.get(key)).map(String::as_str)))
        }
        ConfigResourceType::Group if name.is_empty() => {
            Err(NotDescribed::invalid_request("Group name must not be empty"))
        }
        ConfigResourceType::Group => {
            let image = broker.image();
            let configs = image.configs(&ConfigResource::Group(name.into()));
            let overridden = |key: &str| configs.and_then(|configs| configs.get(key)).map(String::as_str);
            Ok(broker.config.load().describe_group(overridden))
        }
    }
}

fn describe_topic(broker: &Broker, name: &str) -> Result<Vec<DescribedConfig>, NotDescribed> {
    if let Some(reason) = topic_name::reason_invalid(name) {
        let message = Some(format!("Topic name is invalid: {reason}"));
        return Err(NotDescribed { code: ErrorCode::InvalidTopicException, message });
    }
    let image = broker.image();
    let Some(topic) = image.topic(name) else {
        // Kafka has no message here, and an empty one stands for it.
        return Err(NotDescribed { code: ErrorCode::UnknownTopicOrPartition, message: Some(String::new()) });
    };
    Ok(broker.config.load().describe_topic(|key| topic.configs.get(key).map(String::as_str)))
}

/// A broker knows only its own configuration.
fn expect_this_broker(broker: &Broker, name: &str, or: &str) -> Result<(), NotDescribed> {
    let id = broker_id("Broker", name).map_err(NotDescribed::invalid_request)?;
    if id == broker.node_id {
        return Ok(());
    }
    let or = if or.is_empty() { " ".to_owned() } else { format!(" {or}") };
    Err(NotDescribed::invalid_request(format!(
        "Unexpected broker id, expected {}{or}but received {name}",
        broker.node_id
    )))
}

fn result(
    resource: &DescribeConfigsResource,
    described: Result<Vec<DescribedConfig>, NotDescribed>,
    request: &DescribeConfigsRequest,
) -> DescribeConfigsResult {
    let result = DescribeConfigsResult::default()
        .with_resource_type(resource.resource_type)
        .with_resource_name(resource.resource_name.clone());
    let described = match described {
        Ok(described) => described,
        Err(NotDescribed { code, message }) => {
            return result.with_error_code(code.code()).with_error_message(message.map(StrBytes::from_string));
        }
    };
    let keys = resource.configuration_keys.as_deref().unwrap_or_default();
    let is_asked = |config: &DescribedConfig| keys.is_empty() || keys.iter().any(|key| key.as_str() == config.name);
    result.with_configs(described.into_iter().filter(is_asked).map(|config| entry(config, request)).collect())
}

fn entry(config: DescribedConfig, request: &DescribeConfigsRequest) -> DescribeConfigsResourceResult {
    let synonyms = if request.include_synonyms { config.synonyms } else { Vec::new() };
    let doc = config.doc.filter(|_| request.include_documentation);
    DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_string(config.name))
        .with_value(config.value.map(StrBytes::from_string))
        .with_read_only(config.is_read_only)
        .with_config_source(config.source.id())
        .with_is_sensitive(config.is_sensitive)
        .with_synonyms(synonyms.into_iter().map(synonym).collect())
        .with_config_type(config.kind.map_or(0, type_id))
        .with_documentation(doc.map(StrBytes::from_static_str))
}

fn synonym(synonym: ConfigSynonym) -> DescribeConfigsSynonym {
    DescribeConfigsSynonym::default()
        .with_name(StrBytes::from_string(synonym.name))
        .with_value(synonym.value.map(StrBytes::from_string))
        .with_source(synonym.source.id())
}

/// Kafka's number (`DescribeConfigsResponse.ConfigType`); 0 is unknown.
fn type_id(kind: Kind) -> i8 {
    match kind {
        Kind::Boolean => 1,
        Kind::String => 2,
        Kind::Int => 3,
        Kind::Short => 4,
        Kind::Long => 5,
        Kind::Double => 6,
        Kind::List => 7,
        Kind::Class => 8,
        Kind::Password => 9,
    }
}
