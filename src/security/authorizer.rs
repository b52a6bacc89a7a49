//! What somebody may do with something (KIP-11).

use std::fmt;
use std::net::IpAddr;

use super::Principal;

/// The name of the only resource of type [`ResourceType::Cluster`].
pub const CLUSTER_NAME: &str = "kafka-cluster";

/// What can be done with a resource, with Kafka's codes (`AclOperation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Fetch records, or be a member of a group.
    Read = 3,
    /// Append records.
    Write = 4,
    /// Bring it about.
    Create = 5,
    /// Remove it.
    Delete = 6,
    /// Change it, but for its configs.
    Alter = 7,
    /// See it.
    Describe = 8,
    /// What brokers ask of each other.
    ClusterAction = 9,
    /// See its configs.
    DescribeConfigs = 10,
    /// Change its configs.
    AlterConfigs = 11,
    /// Append with a producer id.
    IdempotentWrite = 12,
    /// Make delegation tokens for it.
    CreateTokens = 13,
    /// See its delegation tokens.
    DescribeTokens = 14,
}

/// The kinds of things that operations are allowed on, with Kafka's codes (`ResourceType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResourceType {
    /// A topic.
    Topic = 2,
    /// A group of any protocol.
    Group = 3,
    /// The whole cluster; its name is [`CLUSTER_NAME`].
    Cluster = 4,
    /// A transactional id.
    TransactionalId = 5,
    /// A delegation token.
    DelegationToken = 6,
    /// A principal whose tokens are concerned.
    User = 7,
}

impl ResourceType {
    /// All that can be done with such a resource (`AclEntry.supportedOperations`).
    pub const fn operations(self) -> &'static [Operation] {
        use Operation::{
            Alter, AlterConfigs, ClusterAction, Create, CreateTokens, Delete, Describe, DescribeConfigs,
            DescribeTokens, IdempotentWrite, Read, Write,
        };
        match self {
            Self::Topic => &[Read, Write, Create, Describe, Delete, Alter, DescribeConfigs, AlterConfigs],
            Self::Group => &[Read, Describe, Delete, DescribeConfigs, AlterConfigs],
            Self::Cluster => &[Create, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite, Alter, Describe],
            Self::TransactionalId => &[Describe, Write],
            Self::DelegationToken => &[Describe],
            Self::User => &[CreateTokens, DescribeTokens],
        }
    }
}

/// One thing that an operation is allowed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource<'a> {
    /// What kind of thing it is.
    pub resource_type: ResourceType,
    /// Which one.
    pub name: &'a str,
}

impl<'a> Resource<'a> {
    /// The cluster.
    pub const CLUSTER: Self = Self { resource_type: ResourceType::Cluster, name: CLUSTER_NAME };

    /// The topic of that name.
    pub const fn topic(name: &'a str) -> Self {
        Self { resource_type: ResourceType::Topic, name }
    }

    /// The group of that id.
    pub const fn group(name: &'a str) -> Self {
        Self { resource_type: ResourceType::Group, name }
    }

    /// That transactional id.
    pub const fn transactional_id(name: &'a str) -> Self {
        Self { resource_type: ResourceType::TransactionalId, name }
    }
}

/// Decides what is allowed.
pub trait Authorizer: fmt::Debug + Send + Sync {
    /// Whether `principal`, whose connection comes from `host`, may do `operation` with `resource`.
    fn allows(&self, principal: &Principal, host: IpAddr, operation: Operation, resource: Resource<'_>) -> bool;
}

/// What a broker does without `authorizer.class.name`.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllowEverything;

impl Authorizer for AllowEverything {
    fn allows(&self, _: &Principal, _: IpAddr, _: Operation, _: Resource<'_>) -> bool {
        true
    }
}
