//! The records of control batches: the markers that end transactions (KIP-98; `ControlRecordType`, `EndTransactionMarker`).

use bytes::{BufMut, Bytes};

use super::record_batch::{BatchBuilder, BatchError, NO_SEQUENCE, raw_records};
use super::transaction_records::TransactionState;
use crate::ids::{LeaderEpoch, ProducerIdAndEpoch};

/// The version of keys and values that are written; newer ones may say more behind what is known.
const VERSION: i16 = 0;

/// What a control record says, by its key: a version of two bytes, and a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlRecordType {
    /// The transaction was aborted.
    Abort,
    /// The transaction was committed.
    Commit,
    /// Nothing of a transaction; such a record stays.
    Other,
}

impl ControlRecordType {
    /// Reads the key of a control record.
    ///
    /// # Errors
    /// [`BatchError::InvalidRecord`] when it is too short for a type.
    pub fn parse(key: &[u8]) -> Result<Self, BatchError> {
        let [_, _, high, low] = *key.first_chunk().ok_or("the key of a control record is too short")?;
        Ok(match i16::from_be_bytes([high, low]) {
            0 => Self::Abort,
            1 => Self::Commit,
            _ => Self::Other,
        })
    }
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransactionResult {
    /// All of it counts.
    Commit,
    /// Nothing of it does.
    Abort,
}

impl TransactionResult {
    /// The state while markers are being written.
    pub fn prepared(self) -> TransactionState {
        match self {
            Self::Commit => TransactionState::PrepareCommit,
            Self::Abort => TransactionState::PrepareAbort,
        }
    }

    /// The state once they are.
    pub fn completed(self) -> TransactionState {
        match self {
            Self::Commit => TransactionState::CompleteCommit,
            Self::Abort => TransactionState::CompleteAbort,
        }
    }

    /// The result that a transaction in `state` is bound to have.
    pub fn of_prepared(state: TransactionState) -> Option<Self> {
        [Self::Commit, Self::Abort].into_iter().find(|result| result.prepared() == state)
    }
}

/// The marker that ends a producer's transaction in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndTransactionMarker {
    /// How it ended.
    pub result: TransactionResult,
    /// The leader epoch of the transaction coordinator's partition; -1 where nobody knows.
    pub coordinator_epoch: LeaderEpoch,
}

impl EndTransactionMarker {
    /// A control batch with this marker alone, at offset 0.
    pub fn batch(&self, producer: ProducerIdAndEpoch, timestamp_ms: i64) -> Bytes {
        let kind: i16 = match self.result {
            TransactionResult::Abort => 0,
            TransactionResult::Commit => 1,
        };
        let (mut key, mut value) = (Vec::with_capacity(4), Vec::with_capacity(6));
        key.put_i16(VERSION);
        key.put_i16(kind);
        value.put_i16(VERSION);
        value.put_i32(self.coordinator_epoch);
        let mut batch = BatchBuilder::new(timestamp_ms);
        batch.producer(producer.producer_id, producer.producer_epoch, NO_SEQUENCE).transactional().control();
        batch.record(Some(&key), Some(&value)).build()
    }

    /// Reads the first record of a control batch from its `payload`, which is never compressed; `None` where it does not
    /// end a transaction.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let record = raw_records(payload, 1).next()?.ok()?;
        let result = match ControlRecordType::parse(record.key?).ok()? {
            ControlRecordType::Abort => TransactionResult::Abort,
            ControlRecordType::Commit => TransactionResult::Commit,
            ControlRecordType::Other => return None,
        };
        let coordinator_epoch = record.value?.get(2..)?.first_chunk().copied().map(i32::from_be_bytes)?;
        Some(Self { result, coordinator_epoch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::record_batch::RecordBatch;

    #[test]
    fn a_control_record_says_what_it_is() {
        assert_eq!(ControlRecordType::parse(&[0, 0, 0, 0]), Ok(ControlRecordType::Abort));
        assert_eq!(ControlRecordType::parse(&[0, 9, 0, 1, 5]), Ok(ControlRecordType::Commit));
        assert_eq!(ControlRecordType::parse(&[0, 0, 0, 2]), Ok(ControlRecordType::Other));
        assert!(ControlRecordType::parse(&[0, 0, 0]).is_err());
    }

    #[test]
    fn a_marker_comes_back_from_its_batch() {
        for result in [TransactionResult::Commit, TransactionResult::Abort] {
            let marker = EndTransactionMarker { result, coordinator_epoch: 0x0102_0304 };
            let producer = ProducerIdAndEpoch { producer_id: 7, producer_epoch: 3 };
            let batch = RecordBatch::parse(&marker.batch(producer, 1_000)).unwrap();
            batch.verify_crc().unwrap();
            assert!(batch.header.is_control() && batch.header.is_transactional());
            assert_eq!((batch.header.producer_id, batch.header.producer_epoch), (7, 3));
            assert_eq!((batch.header.base_sequence, batch.header.max_timestamp), (-1, 1_000));
            assert_eq!(EndTransactionMarker::parse(batch.payload()), Some(marker));
        }
    }

    #[test]
    fn what_is_no_marker_is_none() {
        let parse = |key: &[u8], value: Option<&[u8]>| {
            let batch = BatchBuilder::new(0).control().record(Some(key), value).build();
            EndTransactionMarker::parse(RecordBatch::parse(&batch).unwrap().payload())
        };
        assert_eq!(parse(&[0, 0, 0, 2], Some(&[0; 6])), None, "a leader change");
        assert_eq!(parse(&[0, 0, 0, 1], Some(&[0; 5])), None, "too short");
        assert_eq!(parse(&[0, 0, 0, 1], None), None);
        assert_eq!(EndTransactionMarker::parse(&[]), None);
    }
}
