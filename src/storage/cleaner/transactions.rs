//! Which batches belong to aborted transactions, and which markers may go: Kafka's `CleanedTransactionMetadata`.
//!
//! Batches must be told in the order of their offsets.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::protocol::control_records::ControlRecordType;
use crate::protocol::record_batch::BatchHeader;

/// An entry of the transaction index: a transaction that was aborted (Kafka's `AbortedTxn`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTxn {
    /// Whose it was.
    pub producer_id: i64,
    /// Where its data begins.
    pub first_offset: i64,
    /// Where its marker is.
    pub last_offset: i64,
    /// The last stable offset when the marker was written; handed on as it is.
    pub last_stable_offset: i64,
}

/// The transactions of the part of the log that was read so far.
#[derive(Debug, Default)]
pub struct CleanedTransactionMetadata {
    /// Producers of which data was seen that no marker has aborted or committed yet, and that will not be aborted.
    ongoing_committed: HashSet<i64>,
    /// The transaction in which each producer is, where it will be aborted.
    ongoing_aborted: HashMap<i64, OngoingAborted>,
    /// Those that begin further on, by first offset and producer.
    aborted: BTreeMap<(i64, i64), AbortedTxn>,
    /// Those whose markers stay.
    retained: Vec<AbortedTxn>,
}

#[derive(Debug)]
struct OngoingAborted {
    transaction: AbortedTxn,
    has_batches: bool,
}

impl CleanedTransactionMetadata {
    /// Adds what the transaction index says of the part of the log that is read next. A transaction may be told again.
    pub fn add_aborted(&mut self, transactions: impl IntoIterator<Item = AbortedTxn>) {
        let keyed = transactions.into_iter().map(|aborted| ((aborted.first_offset, aborted.producer_id), aborted));
        self.aborted.extend(keyed);
    }

    /// Takes in a batch of data; whether it belongs to an aborted transaction, and may go.
    pub fn on_batch_read(&mut self, batch: &BatchHeader) -> bool {
        let last_offset = batch.last_offset();
        self.begin_aborted_up_to(last_offset);
        if !batch.is_transactional() {
            return false;
        }
        match self.ongoing_aborted.get_mut(&batch.producer_id) {
            Some(ongoing) if ongoing.transaction.last_offset >= last_offset => {
                ongoing.has_batches = true;
                true
            }
            // A transaction whose marker is not in the log any more must not take what comes behind it along.
            _ => {
                self.ongoing_aborted.remove(&batch.producer_id);
                self.ongoing_committed.insert(batch.producer_id);
                false
            }
        }
    }

    /// Takes in a control batch; whether it may go, since nothing is left of its transaction. `None` is an empty batch,
    /// which an earlier cleaning has left.
    pub fn on_control_batch_read(&mut self, batch: &BatchHeader, marker: Option<ControlRecordType>) -> bool {
        self.begin_aborted_up_to(batch.last_offset());
        match marker {
            None => true,
            Some(ControlRecordType::Abort) => match self.ongoing_aborted.remove(&batch.producer_id) {
                Some(ongoing) if ongoing.has_batches => {
                    self.retained.push(ongoing.transaction);
                    false
                }
                _ => true,
            },
            Some(ControlRecordType::Commit) => !self.ongoing_committed.remove(&batch.producer_id),
            Some(ControlRecordType::Other) => false,
        }
    }

    /// The transaction index of what was read since the last call: the aborted transactions whose markers were met and
    /// stay, in the order of their markers.
    pub fn take_retained(&mut self) -> Vec<AbortedTxn> {
        std::mem::take(&mut self.retained)
    }

    fn begin_aborted_up_to(&mut self, offset: i64) {
        while let Some(entry) = self.aborted.first_entry().filter(|entry| entry.key().0 <= offset) {
            let transaction = entry.remove();
            let ongoing = self.ongoing_aborted.get(&transaction.producer_id);
            // One that is told again is not begun again.
            if ongoing.is_none_or(|ongoing| ongoing.transaction.last_offset < transaction.first_offset) {
                let begun = OngoingAborted { transaction, has_batches: false };
                self.ongoing_aborted.insert(transaction.producer_id, begun);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::record_batch::BatchBuilder;

    const ABORT: Option<ControlRecordType> = Some(ControlRecordType::Abort);
    const COMMIT: Option<ControlRecordType> = Some(ControlRecordType::Commit);

    fn batch(producer_id: i64, offset: i64) -> BatchHeader {
        let mut builder = BatchBuilder::new(0);
        builder.producer(producer_id, 0, 0).transactional().base_offset(offset).record(Some(b"k"), None);
        BatchHeader::parse(&builder.build()).unwrap()
    }

    fn aborted(producer_id: i64, first_offset: i64, last_offset: i64) -> AbortedTxn {
        AbortedTxn { producer_id, first_offset, last_offset, last_stable_offset: first_offset }
    }

    #[test]
    fn interleaved_transactions_are_told_apart() {
        let mut metadata = CleanedTransactionMetadata::default();
        metadata.add_aborted([aborted(1, 0, 4)]);
        assert!(metadata.on_batch_read(&batch(1, 0)));
        assert!(!metadata.on_batch_read(&batch(2, 1)));
        assert!(metadata.on_batch_read(&batch(1, 2)));
        assert!(!metadata.on_control_batch_read(&batch(2, 3), COMMIT), "there is data");
        assert!(!metadata.on_control_batch_read(&batch(1, 4), ABORT), "there is data");
        assert!(!metadata.on_batch_read(&batch(1, 5)), "the next transaction of the same producer");
        assert!(!metadata.on_control_batch_read(&batch(1, 6), COMMIT));
        assert_eq!(metadata.take_retained(), [aborted(1, 0, 4)]);
        assert_eq!(metadata.take_retained(), []);
    }

    #[test]
    fn a_marker_without_data_may_go() {
        let mut metadata = CleanedTransactionMetadata::default();
        metadata.add_aborted([aborted(1, 0, 4)]);
        assert!(metadata.on_control_batch_read(&batch(1, 4), ABORT));
        assert!(metadata.on_control_batch_read(&batch(2, 5), COMMIT));
        assert!(metadata.on_control_batch_read(&batch(2, 6), None));
        assert!(!metadata.on_control_batch_read(&batch(2, 7), Some(ControlRecordType::Other)));
        assert_eq!(metadata.take_retained(), [], "nor is it in the index any more");
    }

    #[test]
    fn one_that_is_told_for_each_of_its_segments_is_one() {
        let mut metadata = CleanedTransactionMetadata::default();
        metadata.add_aborted([aborted(1, 0, 9)]);
        assert!(metadata.on_batch_read(&batch(1, 0)));
        metadata.add_aborted([aborted(1, 0, 9), aborted(1, 20, 29)]);
        assert!(!metadata.on_control_batch_read(&batch(1, 9), ABORT));
        assert!(!metadata.on_batch_read(&batch(1, 12)));
        assert!(!metadata.on_control_batch_read(&batch(1, 13), COMMIT));
        assert!(metadata.on_batch_read(&batch(1, 20)));
        assert!(!metadata.on_control_batch_read(&batch(1, 29), ABORT));
        assert_eq!(metadata.take_retained(), [aborted(1, 0, 9), aborted(1, 20, 29)]);
    }

    #[test]
    fn what_comes_behind_a_lost_marker_is_not_aborted() {
        let mut metadata = CleanedTransactionMetadata::default();
        metadata.add_aborted([aborted(1, 0, 4), aborted(1, 10, 14)]);
        assert!(metadata.on_batch_read(&batch(1, 0)));
        assert!(!metadata.on_batch_read(&batch(1, 5)));
        assert!(metadata.on_batch_read(&batch(1, 10)));
        assert!(!metadata.on_control_batch_read(&batch(1, 14), ABORT));
        assert_eq!(metadata.take_retained(), [aborted(1, 10, 14)]);
    }

    #[test]
    fn a_batch_outside_of_transactions_is_never_aborted() {
        let mut metadata = CleanedTransactionMetadata::default();
        metadata.add_aborted([aborted(1, 0, 9)]);
        let mut plain = BatchBuilder::new(0);
        plain.producer(1, 0, 0).base_offset(3).record(Some(b"k"), None);
        assert!(!metadata.on_batch_read(&BatchHeader::parse(&plain.build()).unwrap()));
    }
}
