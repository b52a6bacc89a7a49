//! Kafka's own schemas of the records in `__consumer_offsets`.
//!
//! A key and a value each begin with the version of their schema as an int16. The key's version also names what is
//! stored: 0 and 1 are committed offsets, 2 is a classic group. Every version that Apache Kafka 4.1 reads is read, and
//! the versions that it writes are written (offset commits: 3, or 1 with an expire timestamp; groups: 3). Source:
//! `OffsetCommitKey`, `OffsetCommitValue`, `GroupMetadataKey` and `GroupMetadataValue` of Kafka's message definitions.
//!
//! Nothing that is decoded keeps a slice of the input.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::ids::TopicName;

use super::coordinator_codec::{Reader, put_bytes, put_nullable_string, put_string};

pub use super::coordinator_codec::CoordinatorRecordError;

/// Key version of a committed offset, as Kafka writes it; version 0 has the same fields.
const OFFSET_COMMIT_KEY_VERSION: i16 = 1;
/// Key version of a classic group.
const GROUP_METADATA_KEY_VERSION: i16 = 2;
/// The newest value version that Kafka 4.1 reads, and the first flexible one (KIP-915).
const NEWEST_VALUE_VERSION: i16 = 4;
/// The value version that is written.
const WRITTEN_VALUE_VERSION: i16 = 3;
/// The only version of an offset commit that has an expire timestamp.
const EXPIRING_VALUE_VERSION: i16 = 1;

/// One record of `__consumer_offsets`; a value of `None` is a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CoordinatorRecord {
    /// An offset that a group committed for one partition.
    OffsetCommit {
        /// The group and the partition.
        key: OffsetCommitKey,
        /// The offset, or that it is gone.
        value: Option<OffsetCommitValue>,
    },
    /// The last completed generation of a classic group.
    GroupMetadata {
        /// The group.
        key: GroupMetadataKey,
        /// Its generation, or that it is gone.
        value: Option<GroupMetadataValue>,
    },
}

/// Whose offset, and of which partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OffsetCommitKey {
    /// The group id.
    pub group: Arc<str>,
    /// The topic's name.
    pub topic: TopicName,
    /// The partition's index.
    pub partition: i32,
}

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetCommitValue {
    /// The offset of the next record to read.
    pub offset: i64,
    /// The leader epoch of the last record read, or -1.
    pub leader_epoch: i32,
    /// What the client stored with it.
    pub metadata: Arc<str>,
    /// When it was committed: milliseconds since the Unix epoch.
    pub commit_timestamp_ms: i64,
    /// When it expires, if the client chose (`OffsetCommit` v2-4): milliseconds since the Unix epoch.
    pub expire_timestamp_ms: Option<i64>,
}

/// Which classic group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupMetadataKey {
    /// The group id.
    pub group: Arc<str>,
}

/// A completed generation of a classic group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMetadataValue {
    /// `consumer`, `connect` ...; empty where no member ever joined.
    pub protocol_type: Arc<str>,
    /// The generation's number.
    pub generation: i32,
    /// The protocol all members agreed on; none where there are no members.
    pub protocol: Option<Arc<str>>,
    /// The member that computed the assignment.
    pub leader: Option<Arc<str>>,
    /// When the group came into its state: milliseconds since the Unix epoch, or -1 (before version 2).
    pub current_state_timestamp_ms: i64,
    /// The members, in the order of the record.
    pub members: Vec<MemberMetadata>,
}

/// A member of a completed generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberMetadata {
    /// The member id.
    pub member_id: Arc<str>,
    /// The `group.instance.id` of a static member (KIP-345).
    pub group_instance_id: Option<Arc<str>>,
    /// The client id of its `JoinGroup` request.
    pub client_id: Arc<str>,
    /// Where it joined from, in the form of Java's `InetAddress`: `/127.0.0.1`.
    pub client_host: Arc<str>,
    /// In milliseconds; -1 in version 0, which means the session timeout.
    pub rebalance_timeout_ms: i32,
    /// In milliseconds.
    pub session_timeout_ms: i32,
    /// Its metadata for the chosen protocol; opaque.
    pub subscription: Bytes,
    /// What the leader assigned to it; opaque.
    pub assignment: Bytes,
}

/// A record's key and value as bytes; a value of `None` is a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedRecord {
    /// The key.
    pub key: Bytes,
    /// The value.
    pub value: Option<Bytes>,
}

impl CoordinatorRecord {
    /// Encodes in the versions that Kafka 4.1 writes.
    ///
    /// Fails with [`RecordError::TooLong`] where a string exceeds the 32,767 bytes of Kafka's string type.
    pub fn encode(&self) -> Result<EncodedRecord, CoordinatorRecordError> {
        match self {
            Self::OffsetCommit { key, value } => Ok(EncodedRecord {
                key: key.encode()?,
                value: value.as_ref().map(OffsetCommitValue::encode).transpose()?,
            }),
            Self::GroupMetadata { key, value } => Ok(EncodedRecord {
                key: key.encode()?,
                value: value.as_ref().map(GroupMetadataValue::encode).transpose()?,
            }),
        }
    }

    /// Decodes one record of the log; `None` where the key's version is of something else, such as a group of the
    /// consumer protocol (KIP-848), which the caller skips.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self>, CoordinatorRecordError> {
        let mut reader = Reader::new(key);
        let record = match reader.int16()? {
            0 | OFFSET_COMMIT_KEY_VERSION => Self::OffsetCommit {
                key: OffsetCommitKey { group: reader.string()?, topic: reader.string()?, partition: reader.int32()? },
                value: value.map(OffsetCommitValue::decode).transpose()?,
            },
            GROUP_METADATA_KEY_VERSION => Self::GroupMetadata {
                key: GroupMetadataKey { group: reader.string()? },
                value: value.map(GroupMetadataValue::decode).transpose()?,
            },
            _ => return Ok(None),
        };
        Ok(Some(record))
    }
}

impl OffsetCommitKey {
    fn encode(&self) -> Result<Bytes, CoordinatorRecordError> {
        let mut buffer = BytesMut::with_capacity(10 + self.group.len() + self.topic.len());
        put_int16(&mut buffer, OFFSET_COMMIT_KEY_VERSION);
        put_string(&mut buffer, &self.group)?;
        put_string(&mut buffer, &self.topic)?;
        put_int32(&mut buffer, self.partition);
        Ok(buffer.freeze())
    }
}

impl OffsetCommitValue {
    fn encode(&self) -> Result<Bytes, CoordinatorRecordError> {
        let mut buffer = BytesMut::with_capacity(32 + self.metadata.len());
        let version = if self.expire_timestamp_ms.is_some() { EXPIRING_VALUE_VERSION } else { WRITTEN_VALUE_VERSION };
        put_int16(&mut buffer, version);
        put_int64(&mut buffer, self.offset);
        if version >= 3 {
            put_int32(&mut buffer, self.leader_epoch);
        }
        put_string(&mut buffer, &self.metadata)?;
        put_int64(&mut buffer, self.commit_timestamp_ms);
        if let Some(expire_timestamp_ms) = self.expire_timestamp_ms {
            put_int64(&mut buffer, expire_timestamp_ms);
        }
        Ok(buffer.freeze())
    }

    fn decode(value: &[u8]) -> Result<Self, CoordinatorRecordError> {
        let (version, mut reader) = versioned(value)?;
        let offset = reader.int64()?;
        let leader_epoch = if version >= 3 { reader.int32()? } else { -1 };
        let metadata = reader.string()?;
        let commit_timestamp_ms = reader.int64()?;
        let expire_timestamp_ms = if version == EXPIRING_VALUE_VERSION { Some(reader.int64()?) } else { None };
        reader.tagged_fields()?;
        Ok(Self {
            offset,
            leader_epoch,
            metadata,
            commit_timestamp_ms,
            expire_timestamp_ms: expire_timestamp_ms.filter(|timestamp_ms| *timestamp_ms != -1),
        })
    }
}

impl GroupMetadataKey {
    fn encode(&self) -> Result<Bytes, CoordinatorRecordError> {
        let mut buffer = BytesMut::with_capacity(4 + self.group.len());
        put_int16(&mut buffer, GROUP_METADATA_KEY_VERSION);
        put_string(&mut buffer, &self.group)?;
        Ok(buffer.freeze())
    }
}

impl GroupMetadataValue {
    fn encode(&self) -> Result<Bytes, CoordinatorRecordError> {
        let mut buffer = BytesMut::new();
        put_int16(&mut buffer, WRITTEN_VALUE_VERSION);
        put_string(&mut buffer, &self.protocol_type)?;
        put_int32(&mut buffer, self.generation);
        put_nullable_string(&mut buffer, self.protocol.as_deref())?;
        put_nullable_string(&mut buffer, self.leader.as_deref())?;
        put_int64(&mut buffer, self.current_state_timestamp_ms);
        put_int32(&mut buffer, i32::try_from(self.members.len()).map_err(|_| CoordinatorRecordError::TooLong)?);
        for member in &self.members {
            member.encode(&mut buffer)?;
        }
        Ok(buffer.freeze())
    }

    fn decode(value: &[u8]) -> Result<Self, CoordinatorRecordError> {
        let (version, mut reader) = versioned(value)?;
        let protocol_type = reader.string()?;
        let generation = reader.int32()?;
        let protocol = reader.nullable_string()?;
        let leader = reader.nullable_string()?;
        let current_state_timestamp_ms = if version >= 2 { reader.int64()? } else { -1 };
        let count = reader.array_length()?;
        // No capacity from the record's own count: it is checked only by what follows it.
        let mut members = Vec::new();
        for _ in 0..count {
            members.push(MemberMetadata::decode(&mut reader, version)?);
        }
        reader.tagged_fields()?;
        Ok(Self { protocol_type, generation, protocol, leader, current_state_timestamp_ms, members })
    }
}

impl MemberMetadata {
    fn encode(&self, buffer: &mut BytesMut) -> Result<(), CoordinatorRecordError> {
        put_string(buffer, &self.member_id)?;
        put_nullable_string(buffer, self.group_instance_id.as_deref())?;
        put_string(buffer, &self.client_id)?;
        put_string(buffer, &self.client_host)?;
        put_int32(buffer, self.rebalance_timeout_ms);
        put_int32(buffer, self.session_timeout_ms);
        put_bytes(buffer, &self.subscription)?;
        put_bytes(buffer, &self.assignment)
    }

    fn decode(reader: &mut Reader<'_>, version: i16) -> Result<Self, CoordinatorRecordError> {
        let member = Self {
            member_id: reader.string()?,
            group_instance_id: if version >= 3 { reader.nullable_string()? } else { None },
            client_id: reader.string()?,
            client_host: reader.string()?,
            rebalance_timeout_ms: if version >= 1 { reader.int32()? } else { -1 },
            session_timeout_ms: reader.int32()?,
            subscription: reader.bytes()?,
            assignment: reader.bytes()?,
        };
        reader.tagged_fields()?;
        Ok(member)
    }
}

/// A value's version and a reader of what follows it.
fn versioned(value: &[u8]) -> Result<(i16, Reader<'_>), CoordinatorRecordError> {
    let mut reader = Reader::new(value);
    let version = reader.int16()?;
    if !(0..=NEWEST_VALUE_VERSION).contains(&version) {
        return Err(CoordinatorRecordError::UnknownVersion(version));
    }
    Ok((version, reader.flexible(version >= NEWEST_VALUE_VERSION)))
}

fn put_int16(buffer: &mut BytesMut, value: i16) {
    buffer.extend_from_slice(&value.to_be_bytes());
}

fn put_int32(buffer: &mut BytesMut, value: i32) {
    buffer.extend_from_slice(&value.to_be_bytes());
}

fn put_int64(buffer: &mut BytesMut, value: i64) {
    buffer.extend_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
#[path = "coordinator_records_tests.rs"]
mod tests;
