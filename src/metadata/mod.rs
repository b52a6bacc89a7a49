//! What the cluster is: brokers, topics, partitions and their settings, as one immutable [`MetadataImage`].
//!
//! Changes are [`MetadataRecord`]s, and a [`MetadataDelta`] says what many of them did. One file holds all about one
//! aspect of the metadata: its part of the image, its records, how they are replayed, how the part becomes records again,
//! and their bytes. The files above them (`records`, `delta`, `image`) only put the aspects together, and each of their
//! matches is exhaustive, so that a new kind of record is not forgotten by a snapshot or a follower.
//!
//! Records are what the metadata log stores, in an encoding of our own, which is guarded: bytes from a disk or a peer are
//! either a record or an error. Pure; knows neither where records come from nor who decides on them.

mod brokers;
mod cluster;
mod configs;
mod delta;
mod error;
mod features;
mod fields;
mod image;
mod kind;
pub mod kraft;
mod maps;
mod partitions;
mod producer_ids;
mod quotas;
mod records;
mod scram;
#[cfg(test)]
mod tests;
pub mod topic_name;
mod topics;
mod topics_delta;

pub use brokers::{BrokerRecord, BrokerRegistration, Endpoint};
pub use cluster::ClusterRecord;
pub use configs::{ConfigRecord, ConfigResource};
pub use delta::{Change, MetadataDelta};
pub use error::{MetadataDecodeError, ReplayError};
pub use features::{FeatureRecord, METADATA_VERSION, SUPPORTED_FEATURES, SupportedFeature};
pub use image::MetadataImage;
pub use partitions::{LeaderRecoveryState, PartitionChange, PartitionImage};
pub use producer_ids::ProducerIdsRecord;
pub use quotas::{EntityName, QuotaEntity, QuotaKey, QuotaRecord, QuotaValue};
pub use records::{MetadataRecord, decode_records, encode_records};
pub use scram::{ScramCredential, ScramKey, ScramMechanism, ScramRecord};
pub use topics::{TopicImage, TopicRecord};
pub use topics_delta::{TopicChange, TopicsDelta};
