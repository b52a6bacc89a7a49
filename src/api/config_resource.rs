//! What has configs: topics, brokers and their loggers, groups, client metrics subscriptions.

use crate::ids::NodeId;
use crate::security::{Operation, Resource, ResourceType};

use super::RequestContext;
use crate::protocol::ErrorCode;

/// The kind of a resource with configs (`ConfigResource.Type`); the discriminants are Kafka's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConfigResourceType {
    Topic = 2,
    /// One broker, or, with the empty name, all of them.
    Broker = 4,
    BrokerLogger = 8,
    ClientMetrics = 16,
    Group = 32,
}

impl ConfigResourceType {
    /// Every type, in the order of the numbers.
    pub(super) const ALL: [Self; 5] = [Self::Topic, Self::Broker, Self::BrokerLogger, Self::ClientMetrics, Self::Group];

    /// The type with Kafka's number `id`; `None` where there is none.
    pub(super) fn from_id(id: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.id() == id)
    }

    /// Kafka's number.
    pub(super) fn id(self) -> i8 {
        self as i8
    }

    /// Asks whether `operation` is allowed on what bears the configs: a topic and a group for themselves, everything else
    /// for the cluster.
    ///
    /// Errors: the resource's authorisation error.
    pub(super) fn authorize(self, context: &RequestContext, operation: Operation, name: &str) -> Result<(), ErrorCode> {
        let resource = match self {
            Self::Topic => Resource { resource_type: ResourceType::Topic, name },
            Self::Group => Resource { resource_type: ResourceType::Group, name },
            Self::Broker | Self::BrokerLogger | Self::ClientMetrics => Resource::CLUSTER,
        };
        context.authorize(operation, resource)
    }
}

/// The broker that a resource's name means, with Kafka's word for `thing`: `Broker` or `Node`.
///
/// Errors: the message of an `INVALID_REQUEST`.
pub(super) fn broker_id(thing: &str, name: &str) -> Result<NodeId, String> {
    name.parse().map_err(|_| format!("{thing} id must be an integer, but it is: {name}"))
}
