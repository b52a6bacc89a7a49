//! The changes that the metadata log remembers, and their bytes in an encoding of our own.
//!
//! A list of records is a count (u32) and the records, each of them a length (u32), a type (u8), a version (u8) and its
//! fields in order, as each aspect of the metadata writes them. A new field raises the type's version and is read only
//! where the version says it is there; a record without anything new is written as before. A type or version that this program does not know is an error, for to pass over a
//! change would make a different cluster of it.

use bytes::BufMut;

use super::brokers::BrokerRecord;
use super::cluster::ClusterRecord;
use super::configs::ConfigRecord;
use super::error::MetadataDecodeError;
use super::features::FeatureRecord;
use super::fields::{array, length, number};
use super::kind::RecordKind;
use super::producer_ids::ProducerIdsRecord;
use super::quotas::QuotaRecord;
use super::scram::ScramRecord;
use super::topics::TopicRecord;

/// One change of the cluster's metadata. The names and meanings follow Kafka's own metadata records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataRecord {
    /// Of the cluster itself.
    Cluster(ClusterRecord),
    /// Of features.
    Features(FeatureRecord),
    /// Of brokers.
    Brokers(BrokerRecord),
    /// Of topics.
    Topics(TopicRecord),
    /// Of the configuration of everything but topics.
    Configs(ConfigRecord),
    /// Of clients' quotas.
    Quotas(QuotaRecord),
    /// Of users' SCRAM credentials.
    ScramCredentials(ScramRecord),
    /// Of producer ids.
    ProducerIds(ProducerIdsRecord),
}

/// Lets an aspect's record stand where any record may.
macro_rules! from_aspect {
    ($($aspect:ident($record:ident),)*) => {
        $(impl From<$record> for MetadataRecord {
            fn from(record: $record) -> Self {
                Self::$aspect(record)
            }
        })*
    };
}

from_aspect! {
    Cluster(ClusterRecord),
    Features(FeatureRecord),
    Brokers(BrokerRecord),
    Topics(TopicRecord),
    Configs(ConfigRecord),
    Quotas(QuotaRecord),
    ScramCredentials(ScramRecord),
    ProducerIds(ProducerIdsRecord),
}

impl MetadataRecord {
    pub(super) fn kind(&self) -> RecordKind {
        match self {
            Self::Cluster(record) => record.kind(),
            Self::Features(record) => record.kind(),
            Self::Brokers(record) => record.kind(),
            Self::Topics(record) => record.kind(),
            Self::Configs(record) => record.kind(),
            Self::Quotas(record) => record.kind(),
            Self::ScramCredentials(record) => record.kind(),
            Self::ProducerIds(record) => record.kind(),
        }
    }

    fn version(&self) -> u8 {
        match self {
            Self::Brokers(record) => record.version(),
            Self::Topics(record) => record.version(),
            Self::Cluster(_)
            | Self::Features(_)
            | Self::Configs(_)
            | Self::Quotas(_)
            | Self::ScramCredentials(_)
            | Self::ProducerIds(_) => 0,
        }
    }

    fn encode(&self, buffer: &mut Vec<u8>) {
        buffer.put_slice(&[self.kind() as u8, self.version()]);
        match self {
            Self::Cluster(record) => record.encode(buffer),
            Self::Features(record) => record.encode(buffer),
            Self::Brokers(record) => record.encode(buffer),
            Self::Topics(record) => record.encode(buffer),
            Self::Configs(record) => record.encode(buffer),
            Self::Quotas(record) => record.encode(buffer),
            Self::ScramCredentials(record) => record.encode(buffer),
            Self::ProducerIds(record) => record.encode(buffer),
        }
    }

    fn decode(bytes: &mut &[u8]) -> Result<Self, MetadataDecodeError> {
        let [byte, version] = array(bytes)?;
        let unknown = MetadataDecodeError::Unknown(byte, version);
        let kind = RecordKind::from_byte(byte).filter(|kind| version <= kind.last_version()).ok_or(unknown)?;
        let record = match kind {
            RecordKind::ClusterId => ClusterRecord::decode_cluster_id(bytes)?.into(),
            RecordKind::FeatureLevel => FeatureRecord::decode_feature_level(bytes)?.into(),
            RecordKind::RegisterBroker => BrokerRecord::decode_register_broker(version, bytes)?.into(),
            RecordKind::BrokerChange => BrokerRecord::decode_broker_change(version, bytes)?.into(),
            RecordKind::UnregisterBroker => BrokerRecord::decode_unregister_broker(bytes)?.into(),
            RecordKind::UsedBrokerEpoch => BrokerRecord::decode_used_broker_epoch(bytes)?.into(),
            RecordKind::Topic => TopicRecord::decode_topic(bytes)?.into(),
            RecordKind::Partition => TopicRecord::decode_partition(version, bytes)?.into(),
            RecordKind::PartitionChange => TopicRecord::decode_partition_change(version, bytes)?.into(),
            RecordKind::RemoveTopic => TopicRecord::decode_remove_topic(bytes)?.into(),
            RecordKind::TopicConfig => TopicRecord::decode_topic_config(bytes)?.into(),
            RecordKind::Config => ConfigRecord::decode_config(bytes)?.into(),
            RecordKind::ClientQuota => QuotaRecord::decode_client_quota(bytes)?.into(),
            RecordKind::UserScramCredential => ScramRecord::decode_user_scram_credential(bytes)?.into(),
            RecordKind::RemoveUserScramCredential => ScramRecord::decode_remove_user_scram_credential(bytes)?.into(),
            RecordKind::ProducerIds => ProducerIdsRecord::decode_producer_ids(bytes)?.into(),
        };
        if bytes.is_empty() { Ok(record) } else { Err(MetadataDecodeError::TrailingBytes(byte)) }
    }
}

/// Appends `records` to `buffer`.
pub fn encode_records(records: &[MetadataRecord], buffer: &mut Vec<u8>) {
    buffer.put_u32(length(records.len()));
    for record in records {
        let start = buffer.len();
        buffer.put_u32(0);
        record.encode(buffer);
        let size = length(buffer.len() - start - 4);
        if let Some(place) = buffer.get_mut(start..start + 4) {
            place.copy_from_slice(&size.to_be_bytes());
        }
    }
}

/// Takes a list of records from the front of `bytes`.
pub fn decode_records(bytes: &mut &[u8]) -> Result<Vec<MetadataRecord>, MetadataDecodeError> {
    let count = number(bytes)?;
    // A record takes 6 bytes at least, which bounds what a hostile count can allocate.
    let mut records = Vec::with_capacity((count as usize).min(bytes.len() / 6));
    for _ in 0..count {
        let size = number(bytes)? as usize;
        let (mut record, rest) = bytes.split_at_checked(size).ok_or(MetadataDecodeError::Truncated)?;
        *bytes = rest;
        records.push(MetadataRecord::decode(&mut record)?);
    }
    Ok(records)
}
