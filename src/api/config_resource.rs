//! What has configs: topics, brokers and their loggers, groups, client metrics subscriptions.

use super::RequestContext;
use crate::config::ConfigResourceType;
use crate::ids::NodeId;
use crate::protocol::ErrorCode;
use crate::security::{Operation, Resource, ResourceType};

/// Asks whether `operation` is allowed on what bears the configs: a topic and a group for themselves, everything else
/// for the cluster.
///
/// Errors: the resource's authorisation error.
pub(super) fn authorize(
    resource_type: ConfigResourceType,
    context: &RequestContext,
    operation: Operation,
    name: &str,
) -> Result<(), ErrorCode> {
    let resource = match resource_type {
        ConfigResourceType::Topic => Resource { resource_type: ResourceType::Topic, name },
        ConfigResourceType::Group => Resource { resource_type: ResourceType::Group, name },
        ConfigResourceType::Broker | ConfigResourceType::BrokerLogger | ConfigResourceType::ClientMetrics => {
            Resource::CLUSTER
        }
    };
    context.authorize(operation, resource)
}

/// The broker that a resource's name means, with Kafka's word for `thing`: `Broker` or `Node`.
///
/// Errors: the message of an `INVALID_REQUEST`.
pub(super) fn broker_id(thing: &str, name: &str) -> Result<NodeId, String> {
    name.parse().map_err(|_| format!("{thing} id must be an integer, but it is: {name}"))
}
