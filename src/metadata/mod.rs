//! What the cluster is: brokers, topics, partitions and their settings, as one immutable [`MetadataImage`].
//!
//! Changes are [`MetadataRecord`]s; a [`MetadataDelta`] turns an image and some records into the next image. Records are
//! what the metadata log stores, in an encoding of our own (`encoding`), which is guarded: bytes from a disk or a peer are
//! either a record or an error. Pure; knows neither where records come from nor who decides on them.

mod delta;
mod encoding;
mod image;
mod records;
#[cfg(test)]
mod tests;
pub mod topic_name;

pub use delta::{MetadataDelta, ReplayError};
pub use encoding::{DecodeError, decode_records, encode_records};
pub use image::{BrokerRegistration, Endpoint, MetadataImage, PartitionImage, TopicImage};
pub use records::MetadataRecord;
