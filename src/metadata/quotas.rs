//! The quotas of clients (KIP-546).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::BufMut;
use rpds::RedBlackTreeMapSync;

use super::error::MetadataDecodeError;
use super::fields::{long, option, put_option, put_string, string};
use super::kind::RecordKind;
use super::maps::changed_keys;

/// Whom of one type a quota is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntityName {
    /// All of the type that have no quota of their own.
    Default,
    /// The one of that name.
    Named(Arc<str>),
}

impl EntityName {
    /// The name; none for the default.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Default => None,
            Self::Named(name) => Some(name),
        }
    }
}

impl From<Option<Arc<str>>> for EntityName {
    fn from(name: Option<Arc<str>>) -> Self {
        name.map_or(Self::Default, Self::Named)
    }
}

/// Whom a quota is for: a user, a client id, both together, or an address; a type that is `None` plays no part.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuotaEntity {
    /// A user, that is, a principal's name.
    pub user: Option<EntityName>,
    /// A client id.
    pub client_id: Option<EntityName>,
    /// An address that connections come from.
    pub ip: Option<EntityName>,
}

impl QuotaEntity {
    /// The types that play a part, by Kafka's names, with whom they mean.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, &EntityName)> {
        let Self { user, client_id, ip } = self;
        let parts = [("user", user), ("client-id", client_id), ("ip", ip)];
        parts.into_iter().filter_map(|(entity_type, name)| Some((entity_type, name.as_ref()?)))
    }
}

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QuotaKey {
    /// Bytes per second that are produced.
    ProducerByteRate,
    /// Bytes per second that are fetched.
    ConsumerByteRate,
    /// Per cent of one thread's time that requests take.
    RequestPercentage,
    /// Changes of partitions per second.
    ControllerMutationRate,
    /// New connections per second.
    ConnectionCreationRate,
}

impl QuotaKey {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ProducerByteRate,
        Self::ConsumerByteRate,
        Self::RequestPercentage,
        Self::ControllerMutationRate,
        Self::ConnectionCreationRate,
    ];

    /// Kafka's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ProducerByteRate => "producer_byte_rate",
            Self::ConsumerByteRate => "consumer_byte_rate",
            Self::RequestPercentage => "request_percentage",
            Self::ControllerMutationRate => "controller_mutation_rate",
            Self::ConnectionCreationRate => "connection_creation_rate",
        }
    }

    /// The key of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }
}

/// A limit, in the unit of its key. Equal only where the bits are, as Java's `Double`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaValue(u64);

impl QuotaValue {
    /// The limit as a number.
    pub fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

impl From<f64> for QuotaValue {
    fn from(value: f64) -> Self {
        Self(value.to_bits())
    }
}

/// A change of quotas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuotaRecord {
    /// A quota was set, or removed where there is no value.
    ClientQuota {
        /// Whom it is for.
        entity: QuotaEntity,
        /// What is limited.
        key: QuotaKey,
        /// The limit.
        value: Option<QuotaValue>,
    },
}

/// The quotas by whom they are for; an entity that has none is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ClientQuotasImage {
    by_entity: RedBlackTreeMapSync<QuotaEntity, BTreeMap<QuotaKey, QuotaValue>>,
}

impl ClientQuotasImage {
    pub(super) fn of(&self, entity: &QuotaEntity) -> Option<&BTreeMap<QuotaKey, QuotaValue>> {
        self.by_entity.get(entity)
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (&QuotaEntity, &BTreeMap<QuotaKey, QuotaValue>)> {
        self.by_entity.iter()
    }

    /// Answers whose quotas changed.
    pub(super) fn replay(&mut self, record: &QuotaRecord) -> QuotaEntity {
        let QuotaRecord::ClientQuota { entity, key, value } = record;
        let mut quotas = self.by_entity.get(entity).cloned().unwrap_or_default();
        match value {
            Some(value) => quotas.insert(*key, *value),
            None => quotas.remove(key),
        };
        if quotas.is_empty() {
            self.by_entity.remove_mut(entity);
        } else {
            self.by_entity.insert_mut(entity.clone(), quotas);
        }
        entity.clone()
    }

    pub(super) fn to_records(&self) -> impl Iterator<Item = QuotaRecord> {
        let Self { by_entity } = self;
        by_entity.iter().flat_map(|(entity, quotas)| {
            quotas.iter().map(|(key, value)| QuotaRecord::ClientQuota {
                entity: entity.clone(),
                key: *key,
                value: Some(*value),
            })
        })
    }

    /// Those whose quotas are not what they were in `before`.
    pub(super) fn changed_since(&self, before: &Self) -> BTreeSet<QuotaEntity> {
        changed_keys(&before.by_entity, &self.by_entity)
    }
}

impl QuotaRecord {
    pub(super) fn kind(&self) -> RecordKind {
        match self {
            Self::ClientQuota { .. } => RecordKind::ClientQuota,
        }
    }

    pub(super) fn encode(&self, buffer: &mut Vec<u8>) {
        match self {
            Self::ClientQuota { entity, key, value } => {
                let QuotaEntity { user, client_id, ip } = entity;
                for name in [user, client_id, ip] {
                    put_option(name.as_ref(), buffer, put_name);
                }
                put_string(key.name(), buffer);
                put_option(value.as_ref(), buffer, |value, buffer| buffer.put_u64(value.0));
            }
        }
    }

    pub(super) fn decode_client_quota(bytes: &mut &[u8]) -> Result<Self, MetadataDecodeError> {
        let entity =
            QuotaEntity { user: option(bytes, name)?, client_id: option(bytes, name)?, ip: option(bytes, name)? };
        let key = QuotaKey::from_name(string(bytes)?).ok_or(MetadataDecodeError::InvalidField)?;
        let value = option(bytes, long)?.map(|bits| QuotaValue(bits.cast_unsigned()));
        Ok(Self::ClientQuota { entity, key, value })
    }
}

fn put_name(name: &EntityName, buffer: &mut Vec<u8>) {
    put_option(name.name(), buffer, put_string);
}

fn name(bytes: &mut &[u8]) -> Result<EntityName, MetadataDecodeError> {
    Ok(option(bytes, |bytes| string(bytes).map(Arc::from))?.into())
}
