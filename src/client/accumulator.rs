//! Records that wait to be sent: a batch for each partition. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::protocol::compression::Compression;
use crate::protocol::record_batch::{BatchBuilder, RecordHeader};

/// A bound on a record's own bytes beside key, value and headers: its numbers, at their longest.
const RECORD_OVERHEAD: usize = 36;

/// A record on its way to a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewRecord {
    /// Where it goes; else its key decides, and without a key whichever partition is next.
    pub partition: Option<i32>,
    /// What partitioning and compaction go by.
    pub key: Option<Bytes>,
    /// The content; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// In their order; keys may repeat.
    pub headers: Vec<RecordHeader>,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
}

impl NewRecord {
    /// No less than the bytes that it takes in a batch.
    pub fn size(&self) -> usize {
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers: usize = self.headers.iter().map(|(key, value)| key.len() + length(value) + 10).sum();
        RECORD_OVERHEAD + length(&self.key) + length(&self.value) + headers
    }
}

/// Collects records until they are sent.
#[derive(Debug)]
pub(super) struct Accumulator {
    batch_bytes: usize,
    compression: Compression,
    batches: BTreeMap<i32, BatchBuilder>,
    /// Partition and place in its batch of each record, in the order in which they came.
    order: Vec<(i32, i32)>,
}

/// What an [`Accumulator`] has collected.
#[derive(Debug)]
pub(super) struct Accumulated {
    /// A batch for each partition that has records.
    pub(super) batches: BTreeMap<i32, BatchBuilder>,
    /// Partition and place in its batch of each record, in the order in which they came.
    pub(super) order: Vec<(i32, i32)>,
}

impl Accumulator {
    /// Batches of at most `batch_bytes` uncompressed bytes, or of one record that is larger.
    pub(super) fn new(batch_bytes: usize, compression: Compression) -> Self {
        Self { batch_bytes, compression, batches: BTreeMap::new(), order: Vec::new() }
    }

    /// Whether `partition` has room for a record of `size` bytes; else what there is has to be sent first, since a
    /// request takes one batch of a partition.
    pub(super) fn has_room(&self, partition: i32, size: usize) -> bool {
        self.batches
            .get(&partition)
            .is_none_or(|batch| batch.uncompressed_size().saturating_add(size) <= self.batch_bytes)
    }

    /// Adds a record.
    pub(super) fn add(&mut self, partition: i32, record: &NewRecord) {
        let batch = self.batches.entry(partition).or_insert_with(|| BatchBuilder::new(record.timestamp_ms));
        self.order.push((partition, batch.record_count()));
        let headers: Vec<_> = record.headers.iter().map(|(key, value)| (&key[..], value.as_deref())).collect();
        batch.record_at(record.timestamp_ms, record.key.as_deref(), record.value.as_deref(), &headers);
    }

    /// Takes what there is.
    pub(super) fn take(&mut self) -> Accumulated {
        let mut batches = std::mem::take(&mut self.batches);
        for batch in batches.values_mut() {
            batch.compression(self.compression);
        }
        Accumulated { batches, order: std::mem::take(&mut self.order) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(value: &'static [u8]) -> NewRecord {
        NewRecord { value: Some(Bytes::from_static(value)), ..NewRecord::default() }
    }

    #[test]
    fn a_batch_has_room_up_to_its_size_and_for_one_record_whatever_its_size() {
        let mut waiting = Accumulator::new(200, Compression::Zstd);
        assert!(waiting.has_room(0, 10_000));
        waiting.add(0, &record(b"1"));
        assert!(waiting.has_room(0, 100) && !waiting.has_room(0, 200));
        assert!(waiting.has_room(1, 200));
    }

    #[test]
    fn each_records_place_is_known_in_the_order_of_their_coming() {
        let mut waiting = Accumulator::new(1 << 20, Compression::None);
        for partition in [2, 0, 2] {
            waiting.add(partition, &record(b"v"));
        }
        let taken = waiting.take();
        assert_eq!(taken.order, [(2, 0), (0, 0), (2, 1)]);
        let counts: Vec<_> =
            taken.batches.iter().map(|(partition, batch)| (*partition, batch.record_count())).collect();
        assert_eq!(counts, [(0, 1), (2, 2)]);
        assert!(waiting.take().batches.is_empty());
    }

    #[test]
    fn a_record_is_never_larger_than_it_says() {
        let record = NewRecord {
            key: Some(Bytes::from(vec![1; 70_000])),
            value: None,
            headers: vec![(Bytes::from_static(b"h"), Some(Bytes::from(vec![2; 300]))); 3],
            timestamp_ms: i64::MAX,
            partition: None,
        };
        let mut waiting = Accumulator::new(1, Compression::None);
        waiting.add(0, &NewRecord::default());
        let before = waiting.batches[&0].uncompressed_size();
        waiting.add(0, &record);
        assert!(waiting.batches[&0].uncompressed_size() - before <= record.size());
    }
}
