//! The configuration of everything but topics, which have theirs with them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::BufMut;
use rpds::RedBlackTreeMapSync;

use super::error::MetadataDecodeError;
use super::fields::{array, int, option, put_option, put_string, string};
use super::kind::RecordKind;
use super::maps::changed_keys;
use crate::config::ConfigResourceType;
use crate::ids::{NodeId, TopicName};

/// What a configuration belongs to, as Kafka's `ConfigResource`. What is not kept in the metadata, a broker's loggers, is
/// not among them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigResource {
    /// A topic.
    Topic(TopicName),
    /// One broker; or, without an id, all brokers of the cluster (the empty name of a `BROKER` resource).
    Broker(Option<NodeId>),
    /// A subscription of client metrics (KIP-714).
    ClientMetrics(Arc<str>),
    /// A group.
    Group(Arc<str>),
}

impl ConfigResource {
    fn resource_type(&self) -> ConfigResourceType {
        match self {
            Self::Topic(_) => ConfigResourceType::Topic,
            Self::Broker(_) => ConfigResourceType::Broker,
            Self::ClientMetrics(_) => ConfigResourceType::ClientMetrics,
            Self::Group(_) => ConfigResourceType::Group,
        }
    }
}

/// The resource's name, as it is on the wire.
impl fmt::Display for ConfigResource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) | Self::ClientMetrics(name) | Self::Group(name) => formatter.write_str(name),
            Self::Broker(Some(id)) => write!(formatter, "{id}"),
            Self::Broker(None) => Ok(()),
        }
    }
}

/// A change of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigRecord {
    /// A key was set, or removed where there is no value.
    Config {
        /// What it belongs to; never a topic, whose record is
        /// [`TopicRecord::TopicConfig`](super::TopicRecord::TopicConfig).
        resource: ConfigResource,
        /// The key.
        key: String,
        /// The value as it was given.
        value: Option<String>,
    },
}

/// The keys that are set, by resource; those of a resource that has none are not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Configs {
    by_resource: RedBlackTreeMapSync<ConfigResource, BTreeMap<String, String>>,
}

impl Configs {
    pub(super) fn of(&self, resource: &ConfigResource) -> Option<&BTreeMap<String, String>> {
        self.by_resource.get(resource)
    }

    pub(super) fn resources(&self) -> impl ExactSizeIterator<Item = &ConfigResource> {
        self.by_resource.keys()
    }

    /// Answers the resource whose configuration changed.
    pub(super) fn replay(&mut self, record: &ConfigRecord) -> ConfigResource {
        let ConfigRecord::Config { resource, key, value } = record;
        let mut configs = self.by_resource.get(resource).cloned().unwrap_or_default();
        match value {
            Some(value) => configs.insert(key.clone(), value.clone()),
            None => configs.remove(key),
        };
        if configs.is_empty() {
            self.by_resource.remove_mut(resource);
        } else {
            self.by_resource.insert_mut(resource.clone(), configs);
        }
        resource.clone()
    }

    pub(super) fn to_records(&self) -> impl Iterator<Item = ConfigRecord> {
        let Self { by_resource } = self;
        by_resource.iter().flat_map(|(resource, configs)| {
            configs.iter().map(|(key, value)| ConfigRecord::Config {
                resource: resource.clone(),
                key: key.clone(),
                value: Some(value.clone()),
            })
        })
    }

    /// The resources whose configuration is not what it was in `before`.
    pub(super) fn changed_since(&self, before: &Self) -> BTreeSet<ConfigResource> {
        changed_keys(&before.by_resource, &self.by_resource)
    }
}

impl ConfigRecord {
    pub(super) fn kind(&self) -> RecordKind {
        match self {
            Self::Config { .. } => RecordKind::Config,
        }
    }

    pub(super) fn encode(&self, buffer: &mut Vec<u8>) {
        match self {
            Self::Config { resource, key, value } => {
                put_resource(resource, buffer);
                put_string(key, buffer);
                put_option(value.as_ref(), buffer, |value, buffer| put_string(value, buffer));
            }
        }
    }

    pub(super) fn decode_config(bytes: &mut &[u8]) -> Result<Self, MetadataDecodeError> {
        Ok(Self::Config {
            resource: resource(bytes)?,
            key: string(bytes)?.to_owned(),
            value: option(bytes, |bytes| string(bytes).map(str::to_owned))?,
        })
    }
}

fn put_resource(resource: &ConfigResource, buffer: &mut Vec<u8>) {
    buffer.put_i8(resource.resource_type().id());
    match resource {
        ConfigResource::Topic(name) | ConfigResource::ClientMetrics(name) | ConfigResource::Group(name) => {
            put_string(name, buffer);
        }
        ConfigResource::Broker(id) => put_option(id.as_ref(), buffer, |id, buffer| buffer.put_i32(*id)),
    }
}

fn resource(bytes: &mut &[u8]) -> Result<ConfigResource, MetadataDecodeError> {
    match ConfigResourceType::from_id(i8::from_be_bytes(array(bytes)?)) {
        Some(ConfigResourceType::Broker) => Ok(ConfigResource::Broker(option(bytes, int)?)),
        Some(ConfigResourceType::ClientMetrics) => Ok(ConfigResource::ClientMetrics(string(bytes)?.into())),
        Some(ConfigResourceType::Group) => Ok(ConfigResource::Group(string(bytes)?.into())),
        // A topic's configuration is no record of this kind, and loggers have none.
        Some(ConfigResourceType::Topic | ConfigResourceType::BrokerLogger) | None => {
            Err(MetadataDecodeError::InvalidField)
        }
    }
}
