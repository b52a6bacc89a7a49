//! ListConfigResources (key 74): what has, or may have, configs (KIP-1142).

use kafka_protocol::messages::list_config_resources_response::ConfigResource as Listed;
use kafka_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use kafka_protocol::protocol::StrBytes;

use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::config::ConfigResourceType;
use crate::metadata::{ConfigResource, MetadataImage};
use crate::protocol::ErrorCode;
use crate::security::{Operation, Resource};

/// The types in the order in which Kafka answers them.
const ORDER: [ConfigResourceType; 5] = [
    ConfigResourceType::Group,
    ConfigResourceType::ClientMetrics,
    ConfigResourceType::BrokerLogger,
    ConfigResourceType::Broker,
    ConfigResourceType::Topic,
];

/// Serves one request. Version 0, an API of its own once, asks for client metrics subscriptions alone.
#[expect(clippy::unused_async, reason = "the shape of a handler")]
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: ListConfigResourcesRequest,
) -> Result<Reply<ListConfigResourcesResponse>, ApiError> {
    let response = ListConfigResourcesResponse::default();
    if let Err(code) = context.authorize(Operation::DescribeConfigs, Resource::CLUSTER) {
        return Ok(Reply::Ready(response.with_error_code(code.code())));
    }
    let served: &[ConfigResourceType] =
        if context.api_version == 0 { &[ConfigResourceType::ClientMetrics] } else { &ORDER };
    let is_served = |id: &i8| served.iter().any(|one| one.id() == *id);
    if !request.resource_types.iter().all(is_served) {
        return Ok(Reply::Ready(response.with_error_code(ErrorCode::UnsupportedVersion.code())));
    }
    let is_asked =
        |one: &&ConfigResourceType| request.resource_types.is_empty() || request.resource_types.contains(&one.id());
    let image = broker.image();
    let listed = served.iter().filter(is_asked).flat_map(|one| {
        let name = |name: String| {
            Listed::default().with_resource_name(StrBytes::from_string(name)).with_resource_type(one.id())
        };
        names(&image, *one).into_iter().map(name)
    });
    Ok(Reply::Ready(response.with_config_resources(listed.collect())))
}

/// The resources of one type: every topic and broker, and those of the others that have configs.
fn names(image: &MetadataImage, resource_type: ConfigResourceType) -> Vec<String> {
    match resource_type {
        ConfigResourceType::Topic => image.topics().map(|topic| topic.name.to_string()).collect(),
        ConfigResourceType::Broker | ConfigResourceType::BrokerLogger => {
            image.brokers().map(|broker| broker.id.to_string()).collect()
        }
        ConfigResourceType::ClientMetrics => {
            configured(image, |resource| matches!(resource, ConfigResource::ClientMetrics(_)))
        }
        ConfigResourceType::Group => configured(image, |resource| matches!(resource, ConfigResource::Group(_))),
    }
}

fn configured(image: &MetadataImage, is_meant: fn(&ConfigResource) -> bool) -> Vec<String> {
    image.configured_resources().filter(|resource| is_meant(resource)).map(ToString::to_string).collect()
}
