//! What a fetch brought of one partition: from bytes to records. Pure.

use std::collections::HashSet;

use bytes::Bytes;
use kafka_protocol::messages::fetch_response::PartitionData;

use crate::ids::{LeaderEpoch, TopicPartition};
use crate::protocol::record_batch::{BatchError, BatchHeader, Record, RecordBatch, batches};

/// The most bytes that a batch may have when it is decompressed.
const MOST_DECOMPRESSED: usize = 256 << 20;
/// The type of the control record that ends a transaction that is to be forgotten.
const ABORT: i16 = 0;

/// How far a partition is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadPosition {
    /// The offset that is read next.
    pub offset: i64,
    /// The leader epoch of what was read last, where that is known. Who goes on from here later tells the leader, and
    /// finds out whether the log was cut meanwhile (KIP-320).
    pub leader_epoch: Option<LeaderEpoch>,
}

/// A record as it was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedRecord {
    /// The record.
    pub record: Record,
    /// The header of the batch that it came in.
    pub batch: BatchHeader,
}

/// What a fetch brought of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedPartition {
    /// The partition.
    pub partition: TopicPartition,
    /// The records, by offset; control records are not among them.
    pub records: Vec<FetchedRecord>,
    /// The offset that is read next: behind the records, and behind what was passed over.
    pub position: i64,
    /// The leader epoch of the last batch in front of it, if any was read.
    pub leader_epoch: Option<LeaderEpoch>,
    /// The end of what consumers may read.
    pub high_watermark: i64,
    /// The end of what is not part of an open transaction.
    pub last_stable_offset: i64,
    /// Where the partition begins.
    pub log_start_offset: i64,
}

impl FetchedPartition {
    /// Reads what was fetched of `partition` from `position` on. Records in front of it, which compressed batches may
    /// begin with, are left out; with `read_committed` those of aborted transactions are, too.
    ///
    /// # Errors
    /// Where batches are damaged, and where there is not one whole batch although there are bytes.
    pub(super) fn read(
        partition: TopicPartition,
        position: i64,
        data: &PartitionData,
        read_committed: bool,
    ) -> Result<Self, BatchError> {
        let bytes = data.records.clone().unwrap_or_default();
        let (records, next) = read_records(&bytes, position, Aborted::of(data, read_committed))?;
        if next.offset == position && !bytes.is_empty() {
            return Err(BatchError::Truncated);
        }
        Ok(Self {
            partition,
            records,
            position: next.offset,
            leader_epoch: next.leader_epoch,
            high_watermark: data.high_watermark,
            last_stable_offset: data.last_stable_offset,
            log_start_offset: data.log_start_offset,
        })
    }

    /// How far a reader is that has everything in front of `offset`.
    pub fn read_up_to(&self, offset: i64) -> ReadPosition {
        let leader_epoch = if offset >= self.position {
            self.leader_epoch
        } else {
            let last = self.records.iter().rfind(|fetched| fetched.record.offset < offset);
            last.map(|fetched| fetched.batch.partition_leader_epoch)
        };
        ReadPosition { offset, leader_epoch: leader_epoch.filter(|epoch| *epoch >= 0) }
    }
}

fn read_records(
    bytes: &Bytes,
    mut position: i64,
    mut aborted: Option<Aborted>,
) -> Result<(Vec<FetchedRecord>, ReadPosition), BatchError> {
    let (mut records, mut leader_epoch) = (Vec::new(), None);
    for batch in batches(bytes) {
        let batch = batch?;
        batch.verify_crc()?;
        let is_hidden = aborted.as_mut().is_some_and(|aborted| aborted.hides(&batch));
        // A batch in front of the position would have the reader go round in circles.
        if batch.header.next_offset() <= position {
            continue;
        }
        if !is_hidden && !batch.header.is_control() {
            for record in batch.records(MOST_DECOMPRESSED)? {
                let record = record?;
                if record.offset >= position {
                    records.push(FetchedRecord { record, batch: batch.header });
                }
            }
        }
        position = batch.header.next_offset();
        leader_epoch = Some(batch.header.partition_leader_epoch);
    }
    Ok((records, ReadPosition { offset: position, leader_epoch }))
}

/// Which transactions are to be passed over.
#[derive(Debug)]
struct Aborted {
    /// First offset and producer id of each that is still to come, the last first.
    ahead: Vec<(i64, i64)>,
    /// The producers whose transaction here was aborted.
    producers: HashSet<i64>,
}

impl Aborted {
    fn of(data: &PartitionData, read_committed: bool) -> Option<Self> {
        let transactions = data.aborted_transactions.as_deref().unwrap_or_default();
        let mut ahead: Vec<_> = transactions.iter().map(|one| (one.first_offset, one.producer_id.0)).collect();
        ahead.sort_unstable_by(|one, other| other.cmp(one));
        read_committed.then(|| Self { ahead, producers: HashSet::new() })
    }

    /// Whether the records of the batch belong to an aborted transaction. Batches come in their order.
    fn hides(&mut self, batch: &RecordBatch) -> bool {
        let header = &batch.header;
        while let Some((_, producer_id)) = self.ahead.pop_if(|(first_offset, _)| *first_offset <= header.last_offset())
        {
            self.producers.insert(producer_id);
        }
        if header.is_control() {
            if control_type(batch) == Some(ABORT) {
                self.producers.remove(&header.producer_id);
            }
            return true;
        }
        header.is_transactional() && self.producers.contains(&header.producer_id)
    }
}

/// The type of a control batch: the second number of its record's key.
fn control_type(batch: &RecordBatch) -> Option<i16> {
    let key = batch.records(MOST_DECOMPRESSED).ok()?.next()?.ok()?.key?;
    key.get(2..)?.first_chunk().copied().map(i16::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::fetch_response::AbortedTransaction;

    use super::*;
    use crate::protocol::compression::Compression;
    use crate::protocol::record_batch::BatchBuilder;

    fn batch(offset: i64, values: &[&str], change: impl FnOnce(&mut BatchBuilder)) -> Bytes {
        let mut batch = BatchBuilder::new(1);
        change(batch.base_offset(offset));
        for value in values {
            batch.record(None, Some(value.as_bytes()));
        }
        batch.build()
    }

    fn marker(offset: i64, producer_id: i64, kind: i16) -> Bytes {
        let key = [[0, 0], kind.to_be_bytes()].concat();
        let mut batch = BatchBuilder::new(1);
        batch.base_offset(offset).producer(producer_id, 0, -1).transactional().control().record(Some(&key), Some(b""));
        batch.build()
    }

    fn read(position: i64, data: &PartitionData, read_committed: bool) -> Result<(Vec<String>, i64), BatchError> {
        let fetched = FetchedPartition::read(TopicPartition::new("t", 0), position, data, read_committed)?;
        let text = |fetched: &FetchedRecord| {
            format!("{}:{}", fetched.record.offset, String::from_utf8_lossy(fetched.record.value.as_deref().unwrap()))
        };
        Ok((fetched.records.iter().map(text).collect(), fetched.position))
    }

    fn data(batches: &[Bytes]) -> PartitionData {
        PartitionData::default().with_records(Some(batches.concat().into()))
    }

    #[test]
    fn what_lies_in_front_of_the_position_is_left_out() {
        let data = data(&[
            batch(0, &["a"], |_| {}),
            batch(1, &["b", "c", "d"], |batch| {
                batch.compression(Compression::Lz4);
            }),
        ]);
        assert_eq!(read(2, &data, false), Ok((vec!["2:c".to_owned(), "3:d".to_owned()], 4)));
    }

    #[test]
    fn aborted_transactions_are_hidden_from_those_who_read_what_is_committed() {
        let transactional = |id: i64| {
            move |batch: &mut BatchBuilder| {
                batch.producer(id, 0, 0).transactional();
            }
        };
        let batches = [
            batch(0, &["aborted"], transactional(7)),
            batch(1, &["committed"], transactional(8)),
            marker(2, 7, 0),
            batch(3, &["later"], transactional(7)),
            marker(4, 8, 1),
            marker(5, 7, 1),
        ];
        let aborted = AbortedTransaction::default().with_producer_id(7.into()).with_first_offset(0);
        let data = data(&batches).with_aborted_transactions(Some(vec![aborted]));
        let committed = read(0, &data, true).unwrap();
        assert_eq!(committed, (vec!["1:committed".to_owned(), "3:later".to_owned()], 6));
        assert_eq!(read(0, &data, false).unwrap().0.len(), 3);
    }

    #[test]
    fn how_far_it_is_read_comes_with_the_leader_epoch() {
        let old = batch(0, &["a", "b"], |batch| {
            batch.leader_epoch(3);
        });
        let new = batch(2, &["c"], |batch| {
            batch.leader_epoch(4);
        });
        let partition = || TopicPartition::new("t", 0);
        let fetched = FetchedPartition::read(partition(), 0, &data(&[old, new]), false).unwrap();
        let epoch_at = |offset| fetched.read_up_to(offset).leader_epoch;
        assert_eq!([0, 1, 2, 3].map(epoch_at), [None, Some(3), Some(3), Some(4)]);
        let nothing = FetchedPartition::read(partition(), 3, &PartitionData::default(), false).unwrap();
        assert_eq!(nothing.read_up_to(3), ReadPosition { offset: 3, leader_epoch: None });
    }

    #[test]
    fn damage_and_answers_that_lead_nowhere_are_errors() {
        let whole = batch(5, &["a"], |_| {});
        let mut damaged = whole.to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(matches!(read(0, &data(&[damaged.into()]), false), Err(BatchError::InvalidCrc { .. })));
        assert_eq!(read(0, &data(&[whole.slice(..65)]), false), Err(BatchError::Truncated));
        assert_eq!(read(6, &data(std::slice::from_ref(&whole)), false), Err(BatchError::Truncated));
        assert_eq!(read(0, &data(&[whole.clone(), whole.slice(..30)]), false).unwrap().1, 6);
        assert_eq!(read(3, &PartitionData::default(), false), Ok((vec![], 3)));
    }
}
