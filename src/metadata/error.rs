//! What can be wrong with a record: as bytes, and as a change.

use std::sync::Arc;

use crate::ids::{NodeId, Uuid};

/// Bytes that are not what [`encode_records`](super::encode_records) writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MetadataDecodeError {
    /// The bytes end inside a field.
    #[error("a metadata record is cut short")]
    Truncated,
    /// A record is longer than its fields.
    #[error("a metadata record of type {0} has bytes left over")]
    TrailingBytes(u8),
    /// A type, or a version of it, that a later program wrote.
    #[error("metadata record type {0} version {1} is unknown; was it written by a newer version of this program?")]
    Unknown(u8, u8),
    /// A string that is not UTF-8, or a number or flag outside of what the field can be.
    #[error("a metadata record has an invalid field")]
    InvalidField,
}

/// A record that does not fit the image it is replayed on: the log was not written by a correct controller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// No topic has that id.
    #[error("no topic has the id {0}")]
    UnknownTopic(Uuid),
    /// A topic has that name already.
    #[error("the topic {0} exists already")]
    TopicExists(Arc<str>),
    /// The topic has no partition with that index, or it is not the next one.
    #[error("the topic {0} cannot take a record for partition {1}")]
    Partition(Arc<str>, i32),
    /// No broker is registered under that id and epoch.
    #[error("no broker {0} with epoch {1} is registered")]
    UnknownBroker(NodeId, i64),
    /// The user has no credential for the mechanism.
    #[error("the user {0} has no such SCRAM credential")]
    UnknownCredential(Arc<str>),
}
