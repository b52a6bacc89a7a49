//! Records as bytes, in an encoding of our own.
//!
//! A list of records is a count (u32) and the records, each of them a length (u32), a type (u8), a version (u8) and its
//! fields in order. Numbers are big-endian, a string or list has a u32 length in front, an option a u8 that is 0 or 1. A
//! new field raises the type's version and is read only where the version says it is there. A type or version that this
//! program does not know is an error, for to pass over a change would make a different cluster of it.

use std::sync::Arc;

use bytes::{Buf, BufMut};

use super::image::{BrokerRegistration, Endpoint, PartitionImage};
use super::records::MetadataRecord;
use crate::ids::{NodeId, Uuid};

/// Bytes that are not what [`encode_records`] writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a field.
    #[error("a metadata record is cut short")]
    Truncated,
    /// A record is longer than its fields.
    #[error("a metadata record of type {0} has bytes left over")]
    TrailingBytes(u8),
    /// A type, or a version of it, that a later program wrote.
    #[error("metadata record type {0} version {1} is unknown; was it written by a newer version of this program?")]
    Unknown(u8, u8),
    /// A string that is not UTF-8, or a flag that is neither 0 nor 1.
    #[error("a metadata record has an invalid field")]
    InvalidField,
}

/// Appends `records` to `buffer`.
pub fn encode_records(records: &[MetadataRecord], buffer: &mut Vec<u8>) {
    buffer.put_u32(length(records.len()));
    for record in records {
        let start = buffer.len();
        buffer.put_u32(0);
        encode_record(record, buffer);
        let size = length(buffer.len() - start - 4);
        if let Some(place) = buffer.get_mut(start..start + 4) {
            place.copy_from_slice(&size.to_be_bytes());
        }
    }
}

/// Takes a list of records from the front of `bytes`.
pub fn decode_records(bytes: &mut &[u8]) -> Result<Vec<MetadataRecord>, DecodeError> {
    let count = number(bytes)?;
    // A record takes 6 bytes at least, which bounds what a hostile count can allocate.
    let mut records = Vec::with_capacity((count as usize).min(bytes.len() / 6));
    for _ in 0..count {
        let size = number(bytes)? as usize;
        let (mut record, rest) = bytes.split_at_checked(size).ok_or(DecodeError::Truncated)?;
        *bytes = rest;
        records.push(decode_record(&mut record)?);
    }
    Ok(records)
}

/// The version that all types have today.
const VERSION: u8 = 0;

mod kind {
    pub(super) const CLUSTER_ID: u8 = 1;
    pub(super) const FEATURE_LEVEL: u8 = 2;
    pub(super) const REGISTER_BROKER: u8 = 3;
    pub(super) const BROKER_CHANGE: u8 = 4;
    pub(super) const TOPIC: u8 = 5;
    pub(super) const PARTITION: u8 = 6;
    pub(super) const PARTITION_CHANGE: u8 = 7;
    pub(super) const REMOVE_TOPIC: u8 = 8;
    pub(super) const TOPIC_CONFIG: u8 = 9;
    pub(super) const PRODUCER_IDS: u8 = 10;
}

fn kind_of(record: &MetadataRecord) -> u8 {
    match record {
        MetadataRecord::ClusterId(_) => kind::CLUSTER_ID,
        MetadataRecord::FeatureLevel { .. } => kind::FEATURE_LEVEL,
        MetadataRecord::RegisterBroker(_) => kind::REGISTER_BROKER,
        MetadataRecord::BrokerChange { .. } => kind::BROKER_CHANGE,
        MetadataRecord::Topic { .. } => kind::TOPIC,
        MetadataRecord::Partition { .. } => kind::PARTITION,
        MetadataRecord::PartitionChange { .. } => kind::PARTITION_CHANGE,
        MetadataRecord::RemoveTopic { .. } => kind::REMOVE_TOPIC,
        MetadataRecord::TopicConfig { .. } => kind::TOPIC_CONFIG,
        MetadataRecord::ProducerIds { .. } => kind::PRODUCER_IDS,
    }
}

fn encode_record(record: &MetadataRecord, buffer: &mut Vec<u8>) {
    buffer.put_slice(&[kind_of(record), VERSION]);
    match record {
        MetadataRecord::ClusterId(id) => put_string(id, buffer),
        MetadataRecord::FeatureLevel { name, level } => {
            put_string(name, buffer);
            buffer.put_i16(*level);
        }
        MetadataRecord::RegisterBroker(broker) => put_broker(broker, buffer),
        MetadataRecord::BrokerChange { id, epoch, fenced } => {
            buffer.put_i32(*id);
            buffer.put_i64(*epoch);
            buffer.put_u8(u8::from(*fenced));
        }
        MetadataRecord::Topic { name, id } => {
            put_string(name, buffer);
            buffer.put_slice(id.as_bytes());
        }
        MetadataRecord::Partition { topic_id, partition, state } => {
            put_partition_name(*topic_id, *partition, buffer);
            put_partition(state, buffer);
        }
        MetadataRecord::PartitionChange { topic_id, partition, isr, leader } => {
            put_partition_name(*topic_id, *partition, buffer);
            put_option(isr.as_ref(), buffer, |isr, buffer| put_nodes(isr, buffer));
            put_option(leader.as_ref(), buffer, |leader, buffer| buffer.put_i32(*leader));
        }
        MetadataRecord::RemoveTopic { topic_id } => buffer.put_slice(topic_id.as_bytes()),
        MetadataRecord::TopicConfig { topic_id, key, value } => {
            buffer.put_slice(topic_id.as_bytes());
            put_string(key, buffer);
            put_option(value.as_ref(), buffer, |value, buffer| put_string(value, buffer));
        }
        MetadataRecord::ProducerIds { broker_id, broker_epoch, next_producer_id } => {
            buffer.put_i32(*broker_id);
            buffer.put_i64(*broker_epoch);
            buffer.put_i64(*next_producer_id);
        }
    }
}

fn decode_record(bytes: &mut &[u8]) -> Result<MetadataRecord, DecodeError> {
    let [kind, version] = array(bytes)?;
    if version != VERSION {
        return Err(DecodeError::Unknown(kind, version));
    }
    let record = match kind {
        kind::CLUSTER_ID => MetadataRecord::ClusterId(string(bytes)?.into()),
        kind::FEATURE_LEVEL => MetadataRecord::FeatureLevel { name: string(bytes)?.into(), level: short(bytes)? },
        kind::REGISTER_BROKER => MetadataRecord::RegisterBroker(broker(bytes)?),
        kind::BROKER_CHANGE => {
            MetadataRecord::BrokerChange { id: int(bytes)?, epoch: long(bytes)?, fenced: flag(bytes)? }
        }
        kind::TOPIC => MetadataRecord::Topic { name: string(bytes)?.into(), id: uuid(bytes)? },
        kind::PARTITION => {
            MetadataRecord::Partition { topic_id: uuid(bytes)?, partition: int(bytes)?, state: partition_state(bytes)? }
        }
        kind::PARTITION_CHANGE => MetadataRecord::PartitionChange {
            topic_id: uuid(bytes)?,
            partition: int(bytes)?,
            isr: option(bytes, nodes)?,
            leader: option(bytes, int)?,
        },
        kind::REMOVE_TOPIC => MetadataRecord::RemoveTopic { topic_id: uuid(bytes)? },
        kind::TOPIC_CONFIG => MetadataRecord::TopicConfig {
            topic_id: uuid(bytes)?,
            key: string(bytes)?.to_owned(),
            value: option(bytes, |bytes| string(bytes).map(str::to_owned))?,
        },
        kind::PRODUCER_IDS => MetadataRecord::ProducerIds {
            broker_id: int(bytes)?,
            broker_epoch: long(bytes)?,
            next_producer_id: long(bytes)?,
        },
        _ => return Err(DecodeError::Unknown(kind, version)),
    };
    if bytes.is_empty() { Ok(record) } else { Err(DecodeError::TrailingBytes(kind)) }
}

fn put_broker(broker: &BrokerRegistration, buffer: &mut Vec<u8>) {
    buffer.put_i32(broker.id);
    buffer.put_i64(broker.epoch);
    buffer.put_slice(broker.incarnation.as_bytes());
    buffer.put_u32(length(broker.listeners.len()));
    for endpoint in &broker.listeners {
        put_string(&endpoint.listener, buffer);
        put_string(&endpoint.host, buffer);
        buffer.put_u16(endpoint.port);
        put_string(&endpoint.protocol, buffer);
    }
    put_option(broker.rack.as_ref(), buffer, |rack, buffer| put_string(rack, buffer));
    buffer.put_u8(u8::from(broker.fenced));
}

fn broker(bytes: &mut &[u8]) -> Result<BrokerRegistration, DecodeError> {
    Ok(BrokerRegistration {
        id: int(bytes)?,
        epoch: long(bytes)?,
        incarnation: uuid(bytes)?,
        listeners: list(bytes, endpoint)?,
        rack: option(bytes, |bytes| string(bytes).map(Arc::from))?,
        fenced: flag(bytes)?,
    })
}

fn endpoint(bytes: &mut &[u8]) -> Result<Endpoint, DecodeError> {
    Ok(Endpoint {
        listener: string(bytes)?.into(),
        host: string(bytes)?.into(),
        port: bytes.try_get_u16().map_err(|_| DecodeError::Truncated)?,
        protocol: string(bytes)?.into(),
    })
}

fn put_partition_name(topic_id: Uuid, partition: i32, buffer: &mut Vec<u8>) {
    buffer.put_slice(topic_id.as_bytes());
    buffer.put_i32(partition);
}

fn put_partition(state: &PartitionImage, buffer: &mut Vec<u8>) {
    put_nodes(&state.replicas, buffer);
    put_nodes(&state.isr, buffer);
    buffer.put_i32(state.leader);
    buffer.put_i32(state.leader_epoch);
    buffer.put_i32(state.partition_epoch);
}

fn partition_state(bytes: &mut &[u8]) -> Result<PartitionImage, DecodeError> {
    Ok(PartitionImage {
        replicas: nodes(bytes)?,
        isr: nodes(bytes)?,
        leader: int(bytes)?,
        leader_epoch: int(bytes)?,
        partition_epoch: int(bytes)?,
    })
}

fn put_nodes(nodes: &[NodeId], buffer: &mut Vec<u8>) {
    buffer.put_u32(length(nodes.len()));
    for node in nodes {
        buffer.put_i32(*node);
    }
}

fn nodes(bytes: &mut &[u8]) -> Result<Vec<NodeId>, DecodeError> {
    list(bytes, int)
}

fn put_string(string: &str, buffer: &mut Vec<u8>) {
    buffer.put_u32(length(string.len()));
    buffer.put_slice(string.as_bytes());
}

fn string<'a>(bytes: &mut &'a [u8]) -> Result<&'a str, DecodeError> {
    let size = number(bytes)? as usize;
    let (string, rest) = bytes.split_at_checked(size).ok_or(DecodeError::Truncated)?;
    *bytes = rest;
    std::str::from_utf8(string).map_err(|_| DecodeError::InvalidField)
}

fn put_option<T>(option: Option<&T>, buffer: &mut Vec<u8>, put: impl FnOnce(&T, &mut Vec<u8>)) {
    buffer.put_u8(u8::from(option.is_some()));
    if let Some(value) = option {
        put(value, buffer);
    }
}

fn option<T>(
    bytes: &mut &[u8],
    value: impl FnOnce(&mut &[u8]) -> Result<T, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    if flag(bytes)? { value(bytes).map(Some) } else { Ok(None) }
}

/// A list whose items take at least one byte each, so that its count cannot make it grow beyond the bytes at hand.
fn list<T>(bytes: &mut &[u8], item: impl Fn(&mut &[u8]) -> Result<T, DecodeError>) -> Result<Vec<T>, DecodeError> {
    (0..number(bytes)?).map(|_| item(bytes)).collect()
}

/// Lengths are those of things in memory that passed the limits on requests, far below 2^32.
fn length(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

fn array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], DecodeError> {
    let (array, rest) = bytes.split_first_chunk().ok_or(DecodeError::Truncated)?;
    *bytes = rest;
    Ok(*array)
}

fn flag(bytes: &mut &[u8]) -> Result<bool, DecodeError> {
    match array(bytes)? {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(DecodeError::InvalidField),
    }
}

fn uuid(bytes: &mut &[u8]) -> Result<Uuid, DecodeError> {
    array(bytes).map(Uuid::from_bytes)
}

fn number(bytes: &mut &[u8]) -> Result<u32, DecodeError> {
    array(bytes).map(u32::from_be_bytes)
}

fn short(bytes: &mut &[u8]) -> Result<i16, DecodeError> {
    array(bytes).map(i16::from_be_bytes)
}

fn int(bytes: &mut &[u8]) -> Result<i32, DecodeError> {
    array(bytes).map(i32::from_be_bytes)
}

fn long(bytes: &mut &[u8]) -> Result<i64, DecodeError> {
    array(bytes).map(i64::from_be_bytes)
}
