//! AlterConfigs (key 33): all keys of topics, brokers, groups and client metrics subscriptions; those that a request does
//! not name lose their values.

use kafka_protocol::messages::alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use super::asked_configs::{AskedKey, AskedResource};
use super::config_changes::{alter, told};
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;

/// Serves one request; answers once this broker goes by what has changed.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: AlterConfigsRequest,
) -> Result<Reply<AlterConfigsResponse>, ApiError> {
    let asked = request.resources.iter().map(asked).collect();
    let results = alter(broker, context, asked, false, request.validate_only).await;
    let responses = request.resources.into_iter().zip(results).map(|(resource, result)| {
        let (code, message) = told(result);
        AlterConfigsResourceResponse::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
            .with_error_code(code)
            .with_error_message(message.map(StrBytes::from_string))
    });
    Ok(Reply::Ready(AlterConfigsResponse::default().with_responses(responses.collect())))
}

fn asked(resource: &AlterConfigsResource) -> AskedResource {
    let keys = resource.configs.iter().map(|config| AskedKey {
        name: config.name.to_string(),
        value: config.value.as_ref().map(ToString::to_string),
        operation: None,
    });
    AskedResource { type_id: resource.resource_type, name: resource.resource_name.to_string(), keys: keys.collect() }
}
