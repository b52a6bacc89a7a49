//! What the runtime asks of a machine beyond [`StateMachine`]: the bytes of its records, and a call after loading.

use super::group::{GroupCoordinator, GroupRequest};
use super::transaction::{TransactionCoordinator, TransactionRequest};
use crate::clock::Now;
use crate::ids::{LeaderEpoch, TopicName};
use crate::protocol::coordinator_records::{CoordinatorRecord, CoordinatorRecordError, EncodedRecord};
use crate::protocol::transaction_records::TransactionRecord;
use crate::state_machine::{Effects, StateMachine};

/// A machine whose records are kept in a partition of an internal topic, as key and value.
pub trait CoordinatorMachine:
    StateMachine<Request: Send, Response: Send, Record: Send, Message: Send> + Send + 'static
{
    /// The record's key and value on the log; no value is a tombstone.
    fn encode(record: &Self::Record) -> Result<EncodedRecord, CoordinatorRecordError>;

    /// Reads a record back; `None` for a kind that this version does not know and therefore skips.
    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self::Record>, CoordinatorRecordError>;

    /// Called once everything on the log has been replayed, in the leadership in which the machine will decide.
    fn loaded(&mut self, leader_epoch: LeaderEpoch, now: Now, effects: &mut Effects<Self>);

    /// What the machine is told when `topics` are gone, if that concerns it.
    fn topics_deleted(topics: &[TopicName]) -> Option<Self::Request>;
}

impl CoordinatorMachine for GroupCoordinator {
    fn encode(record: &CoordinatorRecord) -> Result<EncodedRecord, CoordinatorRecordError> {
        record.encode()
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<CoordinatorRecord>, CoordinatorRecordError> {
        CoordinatorRecord::decode(key, value)
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
