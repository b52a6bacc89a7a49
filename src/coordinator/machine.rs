//! What the runtime asks of a machine beyond [`StateMachine`]: the bytes of its records, and a call after loading.

use bytes::Bytes;

use super::group::{GroupCoordinator, GroupRecord, GroupRequest};
use super::transaction::{TransactionCoordinator, TransactionRequest};
use crate::clock::Now;
use crate::ids::{LeaderEpoch, ProducerIdAndEpoch, TopicName};
use crate::protocol::control_records::EndTransactionMarker;
use crate::protocol::coordinator_records::{CoordinatorRecord, CoordinatorRecordError, EncodedRecord};
use crate::protocol::transaction_records::TransactionRecord;
use crate::state_machine::{Effects, StateMachine};

/// What a record shares its batch with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchKind {
    /// All that is not part of a transaction.
    Plain,
    /// What was decided on together for a producer's transaction.
    Transactional(ProducerIdAndEpoch),
    /// Nothing: it is the marker that ends a producer's transaction, and has neither key nor value of its own.
    Marker(ProducerIdAndEpoch, EndTransactionMarker),
}

/// A machine whose records are kept in a partition of an internal topic, as key and value.
pub trait CoordinatorMachine:
    StateMachine<Request: Send, Response: Send, Record: Send, Message: Send> + Send + 'static
{
    /// The record's key and value on the log; no value is a tombstone.
    fn encode(record: &Self::Record) -> Result<EncodedRecord, CoordinatorRecordError>;

    /// Reads a record back; `None` for a kind that this version does not know and therefore skips.
    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self::Record>, CoordinatorRecordError>;

    /// What kind of batch the record belongs to; records that are decided on together are all of one kind.
    fn batch_kind(_record: &Self::Record) -> BatchKind {
        BatchKind::Plain
    }

    /// The same record as part of a producer's transaction; `None` where a machine knows no transactions.
    fn in_transaction(_record: Self::Record, _producer: ProducerIdAndEpoch) -> Option<Self::Record> {
        None
    }

    /// What a producer's marker on the log is to the machine, if anything.
    fn transaction_ended(_producer: ProducerIdAndEpoch, _marker: EndTransactionMarker) -> Option<Self::Record> {
        None
    }

    /// Called once everything on the log has been replayed, in the leadership in which the machine will decide.
    fn loaded(&mut self, leader_epoch: LeaderEpoch, now: Now, effects: &mut Effects<Self>);

    /// What the machine is told when `topics` are gone, if that concerns it.
    fn topics_deleted(topics: &[TopicName]) -> Option<Self::Request>;
}

impl CoordinatorMachine for GroupCoordinator {
    fn encode(record: &GroupRecord) -> Result<EncodedRecord, CoordinatorRecordError> {
        match record {
            GroupRecord::Plain(record) | GroupRecord::Transactional { record, .. } => record.encode(),
            // It is its batch.
            GroupRecord::TransactionEnded { .. } => Ok(EncodedRecord { key: Bytes::new(), value: None }),
        }
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<GroupRecord>, CoordinatorRecordError> {
        Ok(CoordinatorRecord::decode(key, value)?.map(GroupRecord::Plain))
    }

    fn batch_kind(record: &GroupRecord) -> BatchKind {
        match *record {
            GroupRecord::Plain(_) => BatchKind::Plain,
            GroupRecord::Transactional { producer, .. } => BatchKind::Transactional(producer),
            GroupRecord::TransactionEnded { producer, marker } => BatchKind::Marker(producer, marker),
        }
    }

    fn in_transaction(record: GroupRecord, producer: ProducerIdAndEpoch) -> Option<GroupRecord> {
        let GroupRecord::Plain(record) = record else { return None };
        Some(GroupRecord::Transactional { producer, record })
    }

    fn transaction_ended(producer: ProducerIdAndEpoch, marker: EndTransactionMarker) -> Option<GroupRecord> {
        Some(GroupRecord::TransactionEnded { producer, marker })
    }

    fn loaded(&mut self, _leader_epoch: LeaderEpoch, now: Now, _effects: &mut Effects<Self>) {
        Self::loaded(self, now);
    }

    fn topics_deleted(topics: &[TopicName]) -> Option<GroupRequest> {
        Some(GroupRequest::TopicsDeleted { topics: topics.to_vec() })
    }
}

impl CoordinatorMachine for TransactionCoordinator {
    fn encode(record: &TransactionRecord) -> Result<EncodedRecord, CoordinatorRecordError> {
        record.encode()
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<TransactionRecord>, CoordinatorRecordError> {
        TransactionRecord::decode(key, value)
    }

    fn loaded(&mut self, leader_epoch: LeaderEpoch, now: Now, effects: &mut Effects<Self>) {
        Self::loaded(self, leader_epoch, now, effects);
    }

    /// A partition that is gone is among those whose markers are written: who delivers them finds out.
    fn topics_deleted(_topics: &[TopicName]) -> Option<TransactionRequest> {
        None
    }
}
