//! The Fetch response, versions 4 to 18, written without copying its records.
//!
//! Byte for byte what the crate's encoder writes (a property test compares them), but records stay the `Bytes`, or the
//! ranges of files, that they are and become pieces of the frame. Fields that a version lacks are errors exactly where
//! they are in the crate.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::FetchResponse;
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData, SnapshotId,
};
use kafka_protocol::protocol::Encodable;

use super::EncodeError;
use super::frame::{FileRange, Frame, Piece};
use super::response::{LENGTH_SIZE, RESPONSE_HEADER_MAX_SIZE, put_header, put_length};

/// Below this, copying records costs less than one more piece in a vectored write.
const COPY_BELOW: usize = 1024;

/// The bytes of the longest 32-bit number in seven-bit groups.
const MAX_VARINT_SIZE: usize = 5;

/// The first version with compact lengths and tagged fields.
const FIRST_FLEXIBLE_VERSION: i16 = 12;

/// A Fetch response, part of whose records are sent from files.
#[derive(Debug, Clone, Default)]
pub struct FetchAnswer {
    /// Everything but those records.
    pub response: FetchResponse,
    /// For each partition, in the order of the response, its records if they are in a file; its `records` in the
    /// response do not count then. Partitions behind the end of the list have theirs in the response.
    pub from_files: Vec<Option<FileRange>>,
}

/// All records are in memory.
impl From<FetchResponse> for FetchAnswer {
    fn from(response: FetchResponse) -> Self {
        Self { response, from_files: Vec::new() }
    }
}

/// Encodes `answer` for a request of `api_version`. Unknown tagged fields are not written.
///
/// # Errors
/// When a field is set that the version does not have, or the frame would exceed 2 GiB.
pub fn encode_fetch_response(
    correlation_id: i32,
    api_version: i16,
    answer: &FetchAnswer,
) -> Result<Frame, EncodeError> {
    let response = &answer.response;
    let mut writer = Writer::new(api_version, answer)?;
    writer.buffer.put_i32(0);
    put_header::<FetchResponse>(&mut writer.buffer, correlation_id, api_version);
    writer.response(response)?;
    writer.into_frame()
}

/// What is written so far: everything but the records in one buffer, and where they belong.
struct Writer<'a> {
    version: i16,
    buffer: BytesMut,
    records: Vec<(usize, Piece)>,
    /// Of the partitions that are not written yet.
    from_files: std::slice::Iter<'a, Option<FileRange>>,
}

impl<'a> Writer<'a> {
    fn new(version: i16, answer: &'a FetchAnswer) -> Result<Self, EncodeError> {
        let FetchAnswer { response, from_files } = answer;
        let size = response.compute_size(version).map_err(|error| EncodeError::new(version, &error))?;
        let outside: usize = partitions(response).filter_map(separate_records).map(Bytes::len).sum();
        // The size counts one byte for the length of records that are not in the response.
        let longer_lengths = from_files.len() * MAX_VARINT_SIZE;
        let capacity = LENGTH_SIZE + RESPONSE_HEADER_MAX_SIZE + size.saturating_sub(outside) + longer_lengths;
        let buffer = BytesMut::with_capacity(capacity);
        Ok(Self { version, buffer, records: Vec::new(), from_files: from_files.iter() })
    }

    fn is_flexible(&self) -> bool {
        self.version >= FIRST_FLEXIBLE_VERSION
    }

    fn response(&mut self, response: &FetchResponse) -> Result<(), EncodeError> {
        self.buffer.put_i32(response.throttle_time_ms);
        if self.version >= 7 {
            self.buffer.put_i16(response.error_code);
            self.buffer.put_i32(response.session_id);
        }
        self.array_length(Some(response.responses.len()))?;
        for topic in &response.responses {
            self.topic(topic)?;
        }
        if self.is_flexible() {
            let has_endpoints = self.version >= 16 && !response.node_endpoints.is_empty();
            self.varint(u32::from(has_endpoints));
            if has_endpoints {
                let mut endpoints = BytesMut::new();
                put_varint(&mut endpoints, response.node_endpoints.len() as u32 + 1);
                for endpoint in &response.node_endpoints {
                    endpoint.encode(&mut endpoints, self.version).map_err(|error| self.failed(&error))?;
                }
                self.tagged_field(0, &endpoints);
            }
        }
        Ok(())
    }

    fn topic(&mut self, topic: &FetchableTopicResponse) -> Result<(), EncodeError> {
        if self.version >= 13 {
            self.buffer.put_slice(topic.topic_id.as_bytes());
        } else if self.is_flexible() {
            self.varint(topic.topic.len() as u32 + 1);
            self.buffer.put_slice(topic.topic.as_bytes());
        } else {
            let length = i16::try_from(topic.topic.len()).map_err(|error| self.failed(&error))?;
            self.buffer.put_i16(length);
            self.buffer.put_slice(topic.topic.as_bytes());
        }
        self.array_length(Some(topic.partitions.len()))?;
        for partition in &topic.partitions {
            self.partition(partition)?;
        }
        if self.is_flexible() {
            self.varint(0);
        }
        Ok(())
    }

    fn partition(&mut self, partition: &PartitionData) -> Result<(), EncodeError> {
        self.buffer.put_i32(partition.partition_index);
        self.buffer.put_i16(partition.error_code);
        self.buffer.put_i64(partition.high_watermark);
        self.buffer.put_i64(partition.last_stable_offset);
        if self.version >= 5 {
            self.buffer.put_i64(partition.log_start_offset);
        }
        let aborted: Option<&Vec<AbortedTransaction>> = partition.aborted_transactions.as_ref();
        self.array_length(aborted.map(Vec::len))?;
        for transaction in aborted.into_iter().flatten() {
            self.message(transaction)?;
        }
        if self.version >= 11 {
            self.buffer.put_i32(partition.preferred_read_replica.0);
        }
        self.partition_records(partition)?;
        if self.is_flexible() {
            self.partition_tagged_fields(partition)?;
        }
        Ok(())
    }

    fn partition_records(&mut self, partition: &PartitionData) -> Result<(), EncodeError> {
        if let Some(range) = self.from_files.next().and_then(Option::as_ref) {
            self.array_length(Some(range.len()))?;
            self.records.push((self.buffer.len(), Piece::File(range.clone())));
            return Ok(());
        }
        self.array_length(partition.records.as_ref().map(Bytes::len))?;
        if let Some(records) = separate_records(partition) {
            self.records.push((self.buffer.len(), Piece::Bytes(records.clone())));
        } else if let Some(records) = &partition.records {
            self.buffer.put_slice(records);
        }
        Ok(())
    }

    fn partition_tagged_fields(&mut self, partition: &PartitionData) -> Result<(), EncodeError> {
        let diverging_epoch =
            (partition.diverging_epoch != EpochEndOffset::default()).then_some(&partition.diverging_epoch);
        let current_leader =
            (partition.current_leader != LeaderIdAndEpoch::default()).then_some(&partition.current_leader);
        let snapshot_id = (partition.snapshot_id != SnapshotId::default()).then_some(&partition.snapshot_id);
        let count = usize::from(diverging_epoch.is_some())
            + usize::from(current_leader.is_some())
            + usize::from(snapshot_id.is_some());
        self.varint(count as u32);
        self.tagged_message(0, diverging_epoch)?;
        self.tagged_message(1, current_leader)?;
        self.tagged_message(2, snapshot_id)
    }

    fn tagged_message<T: Encodable>(&mut self, tag: u32, message: Option<&T>) -> Result<(), EncodeError> {
        if let Some(message) = message {
            let mut encoded = BytesMut::new();
            message.encode(&mut encoded, self.version).map_err(|error| self.failed(&error))?;
            self.tagged_field(tag, &encoded);
        }
        Ok(())
    }

    fn tagged_field(&mut self, tag: u32, value: &[u8]) {
        self.varint(tag);
        self.varint(value.len() as u32);
        self.buffer.put_slice(value);
    }

    fn message(&mut self, message: &impl Encodable) -> Result<(), EncodeError> {
        let version = self.version;
        message.encode(&mut self.buffer, version).map_err(|error| self.failed(&error))
    }

    /// The length of an array or of bytes, `None` for null.
    fn array_length(&mut self, length: Option<usize>) -> Result<(), EncodeError> {
        let length = length.map(i32::try_from).transpose().map_err(|error| self.failed(&error))?;
        if self.is_flexible() {
            self.varint(length.map_or(0, |length| length.unsigned_abs() + 1));
        } else {
            self.buffer.put_i32(length.unwrap_or(-1));
        }
        Ok(())
    }

    fn varint(&mut self, value: u32) {
        put_varint(&mut self.buffer, value);
    }

    fn failed(&self, reason: &impl ToString) -> EncodeError {
        EncodeError::new(self.version, reason)
    }

    fn into_frame(mut self) -> Result<Frame, EncodeError> {
        let elsewhere = self.records.iter().map(|(_, piece)| piece.len()).sum();
        put_length(&mut self.buffer, elsewhere, self.version)?;
        let mut envelope = self.buffer.freeze();
        let mut records = self.records.into_iter();
        let Some((mut position, first_records)) = records.next() else { return Ok(Frame::new(envelope)) };
        let first = envelope.split_to(position);
        let mut rest = vec![first_records];
        for (at, records) in records {
            rest.extend([Piece::Bytes(envelope.split_to(at - position)), records]);
            position = at;
        }
        if !envelope.is_empty() {
            rest.push(Piece::Bytes(envelope));
        }
        Ok(Frame::in_pieces(first, rest))
    }
}

fn partitions(response: &FetchResponse) -> impl Iterator<Item = &PartitionData> {
    response.responses.iter().flat_map(|topic| &topic.partitions)
}

/// The partition's records if they are worth a piece of their own.
fn separate_records(partition: &PartitionData) -> Option<&Bytes> {
    partition.records.as_ref().filter(|records| records.len() >= COPY_BELOW)
}

fn put_varint(buffer: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        buffer.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    buffer.put_u8(value as u8);
}
