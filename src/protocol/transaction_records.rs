//! Kafka's own schema of the records in `__transaction_state`.
//!
//! A key and a value each begin with the version of their schema as an int16. Both versions of the value are read. The
//! flexible one is written, as Kafka 4.1 does once `transaction.version` is 1 or more; it alone holds the tagged fields
//! that transactions of version 2 need. Source: `TransactionLogKey` and `TransactionLogValue` of Kafka's message
//! definitions, and `TransactionLog`.
//!
//! Nothing that is decoded keeps a slice of the input.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::ids::{TopicName, TopicPartition};

use super::coordinator_codec::{
    Reader, put_compact_length, put_compact_string, put_string, put_tagged_fields, tagged_int16, tagged_int64,
};
use super::coordinator_records::EncodedRecord;
use super::record_batch::NO_PRODUCER_ID;

pub use super::coordinator_codec::CoordinatorRecordError;

/// The only version of the key.
const KEY_VERSION: i16 = 0;
/// The newest version of the value, and the first flexible one (KIP-915).
const VALUE_VERSION: i16 = 1;

const PREVIOUS_PRODUCER_ID_TAG: u32 = 0;
const NEXT_PRODUCER_ID_TAG: u32 = 1;
const CLIENT_TRANSACTION_VERSION_TAG: u32 = 2;

/// The start of a transaction that there is not.
pub const NO_START: i64 = -1;

/// Where a transactional id's transaction stands; the numbers are those of Kafka's `TransactionState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TransactionState {
    /// There is none, since the producer was initialised.
    Empty = 0,
    /// Partitions were added.
    Ongoing = 1,
    /// It will be committed, whatever happens: markers are being written.
    PrepareCommit = 2,
    /// It will be aborted, whatever happens: markers are being written.
    PrepareAbort = 3,
    /// The last one was committed.
    CompleteCommit = 4,
    /// The last one was aborted.
    CompleteAbort = 5,
    /// The transactional id has expired; Kafka holds this state in memory only.
    Dead = 6,
    /// An older producer is about to be fenced; Kafka holds this state in memory only.
    PrepareEpochFence = 7,
}

impl TransactionState {
    /// All of them, by number.
    pub const ALL: [Self; 8] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
        Self::Dead,
        Self::PrepareEpochFence,
    ];

    /// The name in `DescribeTransactions` and `ListTransactions`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
            Self::Dead => "Dead",
            Self::PrepareEpochFence => "PrepareEpochFence",
        }
    }

    /// The state of that name, in exactly this spelling.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    fn from_number(number: i8) -> Result<Self, CoordinatorRecordError> {
        let state = usize::try_from(number).ok().and_then(|number| Self::ALL.get(number).copied());
        state.ok_or(CoordinatorRecordError::UnknownState(number))
    }
}

/// One record of `__transaction_state`; a value of `None` is a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionRecord {
    /// Whose.
    pub transactional_id: Arc<str>,
    /// What is known of it, or that nothing is any more.
    pub value: Option<TransactionLogValue>,
}

/// All that is remembered of a transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionLogValue {
    /// The producer id in use.
    pub producer_id: i64,
    /// The one that it followed on when that one's epochs were used up, or -1.
    pub previous_producer_id: i64,
    /// The one that follows when the transaction is complete, which the client knows already, or -1.
    pub next_producer_id: i64,
    /// The producer's epoch.
    pub producer_epoch: i16,
    /// How long a transaction may take, milliseconds.
    pub timeout_ms: i32,
    /// Where the transaction stands.
    pub state: TransactionState,
    /// The partitions that were added to it.
    pub partitions: BTreeSet<TopicPartition>,
    /// Milliseconds since the Unix epoch.
    pub last_update_ms: i64,
    /// When the transaction, or the last one, began: milliseconds since the Unix epoch, or [`NO_START`].
    pub start_ms: i64,
    /// The `transaction.version` that the client goes by: from 2 on, each transaction has an epoch of its own (KIP-890).
    pub client_transaction_version: i16,
}

impl TransactionRecord {
    /// Encodes in the versions that Kafka 4.1 writes.
    ///
    /// Fails with [`CoordinatorRecordError::TooLong`] where the id exceeds the 32,767 bytes of Kafka's string type.
    pub fn encode(&self) -> Result<EncodedRecord, CoordinatorRecordError> {
        let mut key = BytesMut::with_capacity(4 + self.transactional_id.len());
        key.extend_from_slice(&KEY_VERSION.to_be_bytes());
        put_string(&mut key, &self.transactional_id)?;
        let value = self.value.as_ref().map(TransactionLogValue::encode).transpose()?;
        Ok(EncodedRecord { key: key.freeze(), value })
    }

    /// Decodes one record of the log; `None` where the key is of a version that is not known.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self>, CoordinatorRecordError> {
        let mut reader = Reader::new(key);
        if reader.int16()? != KEY_VERSION {
            return Ok(None);
        }
        let transactional_id = reader.string()?;
        Ok(Some(Self { transactional_id, value: value.map(TransactionLogValue::decode).transpose()? }))
    }
}

impl TransactionLogValue {
    fn encode(&self) -> Result<Bytes, CoordinatorRecordError> {
        let mut buffer = BytesMut::with_capacity(64);
        buffer.extend_from_slice(&VALUE_VERSION.to_be_bytes());
        buffer.extend_from_slice(&self.producer_id.to_be_bytes());
        buffer.extend_from_slice(&self.producer_epoch.to_be_bytes());
        buffer.extend_from_slice(&self.timeout_ms.to_be_bytes());
        buffer.extend_from_slice(&(self.state as i8).to_be_bytes());
        self.put_partitions(&mut buffer)?;
        buffer.extend_from_slice(&self.last_update_ms.to_be_bytes());
        buffer.extend_from_slice(&self.start_ms.to_be_bytes());
        // A field that has its default is left out.
        let is_id = |(_, id): &(u32, i64)| *id != NO_PRODUCER_ID;
        let ids =
            [(PREVIOUS_PRODUCER_ID_TAG, self.previous_producer_id), (NEXT_PRODUCER_ID_TAG, self.next_producer_id)];
        let mut fields: Vec<(u32, Vec<u8>)> =
            ids.into_iter().filter(is_id).map(|(tag, id)| (tag, id.to_be_bytes().to_vec())).collect();
        if self.client_transaction_version != 0 {
            fields.push((CLIENT_TRANSACTION_VERSION_TAG, self.client_transaction_version.to_be_bytes().to_vec()));
        }
        put_tagged_fields(&mut buffer, &fields)?;
        Ok(buffer.freeze())
    }

    /// By topic; null where there is no transaction.
    fn put_partitions(&self, buffer: &mut BytesMut) -> Result<(), CoordinatorRecordError> {
        if self.state == TransactionState::Empty {
            return put_compact_length(buffer, None);
        }
        let partitions: Vec<&TopicPartition> = self.partitions.iter().collect();
        let topics = partitions.chunk_by(|left, right| left.topic == right.topic);
        put_compact_length(buffer, Some(topics.clone().count()))?;
        for partitions in topics {
            let Some(first) = partitions.first() else { continue };
            put_compact_string(buffer, &first.topic)?;
            put_compact_length(buffer, Some(partitions.len()))?;
            for partition in partitions {
                buffer.extend_from_slice(&partition.partition.to_be_bytes());
            }
            put_tagged_fields(buffer, &[])?;
        }
        Ok(())
    }

    fn decode(value: &[u8]) -> Result<Self, CoordinatorRecordError> {
        let mut reader = Reader::new(value);
        let version = reader.int16()?;
        if !(0..=VALUE_VERSION).contains(&version) {
            return Err(CoordinatorRecordError::UnknownVersion(version));
        }
        let mut reader = reader.flexible(version >= VALUE_VERSION);
        let mut value = Self {
            producer_id: reader.int64()?,
            producer_epoch: reader.int16()?,
            timeout_ms: reader.int32()?,
            state: TransactionState::from_number(reader.int8()?)?,
            partitions: partitions(&mut reader)?,
            last_update_ms: reader.int64()?,
            start_ms: reader.int64()?,
            previous_producer_id: NO_PRODUCER_ID,
            next_producer_id: NO_PRODUCER_ID,
            client_transaction_version: 0,
        };
        reader.visit_tagged_fields(|tag, bytes| {
            match tag {
                PREVIOUS_PRODUCER_ID_TAG => value.previous_producer_id = tagged_int64(bytes)?,
                NEXT_PRODUCER_ID_TAG => value.next_producer_id = tagged_int64(bytes)?,
                CLIENT_TRANSACTION_VERSION_TAG => value.client_transaction_version = tagged_int16(bytes)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(value)
    }
}

fn partitions(reader: &mut Reader<'_>) -> Result<BTreeSet<TopicPartition>, CoordinatorRecordError> {
    let mut partitions = BTreeSet::new();
    // Nothing is reserved by the record's own counts: they are checked only by what follows them.
    for _ in 0..reader.nullable_array_length()?.unwrap_or(0) {
        let topic: TopicName = reader.string()?;
        for _ in 0..reader.array_length()? {
            partitions.insert(TopicPartition { topic: Arc::clone(&topic), partition: reader.int32()? });
        }
        reader.tagged_fields()?;
    }
    Ok(partitions)
}

#[cfg(test)]
#[path = "transaction_records_tests.rs"]
mod tests;
