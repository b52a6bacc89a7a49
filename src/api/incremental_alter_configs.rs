//! IncrementalAlterConfigs (key 44): some keys of topics, brokers, loggers, groups and client metrics subscriptions.

use kafka_protocol::messages::incremental_alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use super::asked_configs::{AskedKey, AskedResource};
use super::config_changes::{alter, told};
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;

/// Serves one request; answers once this broker goes by what has changed.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: IncrementalAlterConfigsRequest,
) -> Result<Reply<IncrementalAlterConfigsResponse>, ApiError> {
    let asked = request.resources.iter().map(asked).collect();
    let results = alter(broker, context, asked, true, request.validate_only).await;
    let responses = request.resources.into_iter().zip(results).map(|(resource, result)| {
        let (code, message) = told(result);
        AlterConfigsResourceResponse::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
            .with_error_code(code)
            .with_error_message(message.map(StrBytes::from_string))
    });
    Ok(Reply::Ready(IncrementalAlterConfigsResponse::default().with_responses(responses.collect())))
}

fn asked(resource: &AlterConfigsResource) -> AskedResource {
    let keys = resource.configs.iter().map(|config| AskedKey {
        name: config.name.to_string(),
        value: config.value.as_ref().map(ToString::to_string),
        operation: Some(config.config_operation),
    });
    AskedResource { type_id: resource.resource_type, name: resource.resource_name.to_string(), keys: keys.collect() }
}
