//! Which producer ids have been handed out.

use bytes::BufMut;

use super::error::MetadataDecodeError;
use super::fields::{int, long};
use super::kind::RecordKind;
use crate::ids::NodeId;

/// A change of the producer ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProducerIdsRecord {
    /// A block of producer ids was handed to a broker.
    ProducerIds {
        /// The broker that may use the block.
        broker_id: NodeId,
        /// The broker's epoch at that time.
        broker_epoch: i64,
        /// The first id that is still free.
        next_producer_id: i64,
    },
}

/// The ids that are still free.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ProducerIds {
    pub(super) next_producer_id: i64,
}

impl ProducerIds {
    pub(super) fn replay(&mut self, record: &ProducerIdsRecord) {
        match record {
            ProducerIdsRecord::ProducerIds { next_producer_id, .. } => self.next_producer_id = *next_producer_id,
        }
    }

    pub(super) fn to_records(&self) -> impl Iterator<Item = ProducerIdsRecord> {
        let Self { next_producer_id } = *self;
        // Who has the blocks before is of no interest any more.
        let record = ProducerIdsRecord::ProducerIds { broker_id: -1, broker_epoch: -1, next_producer_id };
        (next_producer_id != 0).then_some(record).into_iter()
    }
}

impl ProducerIdsRecord {
    pub(super) fn kind(&self) -> RecordKind {
        match self {
            Self::ProducerIds { .. } => RecordKind::ProducerIds,
        }
    }

    pub(super) fn encode(&self, buffer: &mut Vec<u8>) {
        match self {
            Self::ProducerIds { broker_id, broker_epoch, next_producer_id } => {
                buffer.put_i32(*broker_id);
                buffer.put_i64(*broker_epoch);
                buffer.put_i64(*next_producer_id);
            }
        }
    }

    pub(super) fn decode_producer_ids(bytes: &mut &[u8]) -> Result<Self, MetadataDecodeError> {
        Ok(Self::ProducerIds { broker_id: int(bytes)?, broker_epoch: long(bytes)?, next_producer_id: long(bytes)? })
    }
}
