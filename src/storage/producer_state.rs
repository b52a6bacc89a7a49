//! What the log knows of its idempotent and transactional producers (KIP-98): enough to accept each batch once.
//!
//! For every producer the last five batches are remembered, so that a retry of any of them is answered with the
//! offset it got at first. Pure; the snapshot file is next door.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::AppendError;
use super::cleaner::LastRecord;
use super::validator::AppendOrigin;
use super::verification::{BatchToVerify, VerificationGuard, Verifications};
use crate::ids::{LeaderEpoch, ProducerIdAndEpoch};
use crate::planted_bugs::{PlantedBug, is_planted};
use crate::protocol::control_records::EndTransactionMarker;
use crate::protocol::record_batch::{BatchHeader, NO_PRODUCER_EPOCH, NO_SEQUENCE, NO_TIMESTAMP};

/// How many batches per producer are remembered: as many as a client may have in flight.
const BATCHES_TO_RETAIN: usize = 5;

/// One batch that a producer appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchMetadata {
    pub(super) last_sequence: i32,
    pub(super) last_offset: i64,
    pub(super) offset_delta: i32,
    pub(super) timestamp: i64,
}

impl BatchMetadata {
    /// The batch's first offset.
    pub(super) fn first_offset(&self) -> i64 {
        self.last_offset.saturating_sub(i64::from(self.offset_delta))
    }

    /// The first sequence number, from before the last one wrapped around if it did.
    fn first_sequence(&self) -> i32 {
        let first = i64::from(self.last_sequence) - i64::from(self.offset_delta);
        (first & i64::from(i32::MAX)) as i32
    }
}

/// One producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProducerEntry {
    pub(super) epoch: i16,
    pub(super) coordinator_epoch: i32,
    /// The max timestamp of the last batch: what the expiry goes by.
    pub(super) last_timestamp: i64,
    /// Where its open transaction begins.
    pub(super) transaction_first_offset: Option<i64>,
    pub(super) batches: VecDeque<BatchMetadata>,
}

impl ProducerEntry {
    fn new() -> Self {
        Self {
            epoch: NO_PRODUCER_EPOCH,
            coordinator_epoch: -1,
            last_timestamp: NO_TIMESTAMP,
            transaction_first_offset: None,
            batches: VecDeque::new(),
        }
    }

    /// The last batch's last sequence number; -1 when none is known.
    pub(super) fn last_sequence(&self) -> i32 {
        self.batches.back().map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    fn find(&self, batch: &BatchHeader) -> Option<BatchMetadata> {
        let is_same = |known: &&BatchMetadata| {
            known.first_sequence() == batch.base_sequence && known.last_sequence == batch.last_sequence()
        };
        if batch.producer_epoch == self.epoch { self.batches.iter().find(is_same).copied() } else { None }
    }

    fn begin_epoch(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.batches.clear();
            self.epoch = epoch;
        }
    }
}

/// A producer that a log remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Its id.
    pub producer_id: i64,
    /// The epoch of its last batch.
    pub epoch: i16,
    /// The sequence number of its last record; -1 when none is known.
    pub last_sequence: i32,
    /// The max timestamp of its last batch, in milliseconds since the Unix epoch.
    pub last_timestamp: i64,
    /// The epoch of the coordinator that ended its last transaction; -1 when there was none.
    pub coordinator_epoch: i32,
    /// Where its open transaction begins; -1 when there is none.
    pub transaction_first_offset: i64,
}

/// All producers of one log.
#[derive(Debug, Clone, Default)]
pub(super) struct ProducerState {
    producers: HashMap<i64, ProducerEntry>,
    /// The first offsets of open transactions, and whose they are.
    ongoing: BTreeMap<i64, i64>,
    /// The first offsets of transactions that have ended, and the offsets of their markers, as far as these are not known to
    /// be committed: until then, another leader may decide otherwise.
    unreplicated: BTreeMap<i64, i64>,
    verifications: Verifications,
}

impl ProducerState {
    /// Begins to verify that a producer has a transaction here, of which this log knows nothing yet; `None` where one of
    /// this producer and epoch is open, and there is nothing to verify.
    ///
    /// Errors: [`AppendError::InvalidProducerEpoch`].
    pub(super) fn begin_verification(
        &mut self,
        batch: BatchToVerify,
        now_ms: i64,
    ) -> Result<Option<VerificationGuard>, AppendError> {
        self.check_epoch(batch.producer)?;
        if self.has_open_transaction(batch.producer) {
            return Ok(None);
        }
        Ok(Some(self.verifications.begin(batch, now_ms)))
    }

    /// Checks that transactional records belong to a transaction that its coordinator knows of: one that is open here, or
    /// one for which `guard` was given out since the last one ended. Markers need neither, and a repeated batch is no
    /// longer asked.
    pub(super) fn check_transaction(
        &self,
        batch: &BatchHeader,
        origin: AppendOrigin,
        guard: Option<VerificationGuard>,
    ) -> Result<(), AppendError> {
        let producer = producer_of(batch);
        if !batch.is_transactional()
            || batch.is_control()
            || self.has_open_transaction(producer)
            || (origin == AppendOrigin::Client && self.find(batch).is_some())
        {
            return Ok(());
        }
        self.check_epoch(producer)?;
        if guard.is_some_and(|guard| self.verifications.is_current(batch.producer_id, guard)) {
            return Ok(());
        }
        let message = format!("the records of producer {} are not part of an ongoing transaction", batch.producer_id);
        Err(AppendError::InvalidTxnState(message))
    }

    /// Whether a transaction of this very epoch is open. One of an older epoch may have ended, and its marker be on its
    /// way.
    fn has_open_transaction(&self, producer: ProducerIdAndEpoch) -> bool {
        self.producers
            .get(&producer.producer_id)
            .is_some_and(|entry| entry.transaction_first_offset.is_some() && entry.epoch == producer.producer_epoch)
    }

    fn find(&self, batch: &BatchHeader) -> Option<BatchMetadata> {
        self.producers.get(&batch.producer_id).and_then(|entry| entry.find(batch))
    }

    /// Checks a batch of a producer against what it appended before. `Some` is the batch that this one repeats.
    pub(super) fn check(
        &self,
        batch: &BatchHeader,
        origin: AppendOrigin,
    ) -> Result<Option<BatchMetadata>, AppendError> {
        let entry = self.producers.get(&batch.producer_id);
        if origin == AppendOrigin::Client && entry.is_none() {
            self.verifications.check_sequence(batch, true)?;
        }
        let Some(entry) = entry else { return Ok(None) };
        if is_planted(PlantedBug::SkipDeduplication) {
            return self.check_epoch(producer_of(batch)).map(|()| None);
        }
        if origin == AppendOrigin::Client
            && let Some(duplicate) = entry.find(batch)
        {
            return Ok(Some(duplicate));
        }
        self.check_epoch(producer_of(batch))?;
        if origin == AppendOrigin::Client {
            self.verifications.check_sequence(batch, entry.batches.is_empty())?;
            check_sequence(entry, batch)?;
        }
        if !batch.is_control() && !batch.is_transactional() && entry.transaction_first_offset.is_some() {
            let message = format!("expected a transactional write from producer {}", batch.producer_id);
            return Err(AppendError::InvalidTxnState(message));
        }
        Ok(None)
    }

    /// Checks a marker: neither a newer epoch of the producer nor a newer coordinator may have been here
    /// (`ProducerAppendInfo.appendEndTxnMarker`). A producer that is not known, or has no transaction open, may get one.
    pub(super) fn check_marker(
        &self,
        producer: ProducerIdAndEpoch,
        coordinator_epoch: LeaderEpoch,
    ) -> Result<(), AppendError> {
        self.check_epoch(producer)?;
        let Some(entry) = self.producers.get(&producer.producer_id) else { return Ok(()) };
        if coordinator_epoch < entry.coordinator_epoch {
            let (id, last) = (producer.producer_id, entry.coordinator_epoch);
            let message =
                format!("coordinator epoch {coordinator_epoch} for producer {id} is older than the last one, {last}");
            return Err(AppendError::TransactionCoordinatorFenced(message));
        }
        Ok(())
    }

    /// Whether no newer epoch of the producer has been here.
    pub(super) fn check_epoch(&self, producer: ProducerIdAndEpoch) -> Result<(), AppendError> {
        let ProducerIdAndEpoch { producer_id: id, producer_epoch: epoch } = producer;
        match self.producers.get(&id) {
            Some(entry) if epoch < entry.epoch => {
                let last = entry.epoch;
                let message = format!("epoch {epoch} of producer {id} is smaller than the last seen epoch {last}");
                Err(AppendError::InvalidProducerEpoch(message))
            }
            _ => Ok(()),
        }
    }

    /// Takes in a batch of records that is in the log now; `batch` must have its offsets.
    pub(super) fn append(&mut self, batch: &BatchHeader) {
        let entry = self.producers.entry(batch.producer_id).or_insert_with(ProducerEntry::new);
        entry.begin_epoch(batch.producer_epoch);
        if entry.batches.len() == BATCHES_TO_RETAIN {
            entry.batches.pop_front();
        }
        entry.batches.push_back(BatchMetadata {
            last_sequence: batch.last_sequence(),
            last_offset: batch.last_offset(),
            offset_delta: batch.last_offset_delta,
            timestamp: batch.max_timestamp,
        });
        entry.last_timestamp = batch.max_timestamp;
        if batch.is_transactional() {
            self.verifications.end(batch.producer_id);
            if entry.transaction_first_offset.is_none() {
                entry.transaction_first_offset = Some(batch.base_offset);
                self.ongoing.insert(batch.base_offset, batch.producer_id);
            }
        }
    }

    /// Takes in a marker that ends a producer's transaction. Returns where the transaction began, if it held anything.
    pub(super) fn end_transaction(&mut self, batch: &BatchHeader, marker: EndTransactionMarker) -> Option<i64> {
        let entry = self.producers.entry(batch.producer_id).or_insert_with(ProducerEntry::new);
        entry.begin_epoch(batch.producer_epoch);
        entry.coordinator_epoch = marker.coordinator_epoch;
        self.verifications.end(batch.producer_id);
        entry.last_timestamp = batch.max_timestamp;
        let first_offset = entry.transaction_first_offset.take()?;
        self.ongoing.remove(&first_offset);
        self.unreplicated.insert(first_offset, batch.last_offset());
        Some(first_offset)
    }

    /// Where the oldest transaction begins that is open or whose marker is not committed: what read-committed consumers
    /// must not read beyond.
    pub(super) fn first_unstable_offset(&self, high_watermark: i64) -> Option<i64> {
        let mut unreplicated = self.unreplicated.iter().filter(|(_, marker_offset)| **marker_offset >= high_watermark);
        let unreplicated = unreplicated.next().map(|(&first_offset, _)| first_offset);
        self.first_undecided_offset().into_iter().chain(unreplicated).min()
    }

    /// Forgets the ended transactions whose markers are committed.
    pub(super) fn replicated_to(&mut self, high_watermark: i64) {
        if !self.unreplicated.is_empty() {
            self.unreplicated.retain(|_, marker_offset| *marker_offset >= high_watermark);
        }
    }

    /// Where the oldest open transaction begins.
    pub(super) fn first_undecided_offset(&self) -> Option<i64> {
        self.ongoing.first_key_value().map(|(&first_offset, _)| first_offset)
    }

    /// Forgets producers that were idle for `expiration_ms` and have no open transaction, and verifications as old.
    pub(super) fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        let is_live = |entry: &ProducerEntry| {
            entry.transaction_first_offset.is_some() || now_ms.saturating_sub(entry.last_timestamp) < expiration_ms
        };
        self.producers.retain(|_, entry| is_live(entry));
        self.verifications.expire(now_ms, expiration_ms);
    }

    pub(super) fn clear(&mut self) {
        self.producers.clear();
        self.ongoing.clear();
        self.unreplicated.clear();
        self.verifications.clear();
    }

    /// All of them, by id.
    pub(super) fn active(&self) -> Vec<ActiveProducer> {
        let active = |(producer_id, entry): (i64, &ProducerEntry)| ActiveProducer {
            producer_id,
            epoch: entry.epoch,
            last_sequence: entry.last_sequence(),
            last_timestamp: entry.last_timestamp,
            coordinator_epoch: entry.coordinator_epoch,
            transaction_first_offset: entry.transaction_first_offset.unwrap_or(-1),
        };
        let mut producers: Vec<_> = self.entries().map(active).collect();
        producers.sort_unstable_by_key(|producer| producer.producer_id);
        producers
    }

    pub(super) fn entries(&self) -> impl ExactSizeIterator<Item = (i64, &ProducerEntry)> {
        self.producers.iter().map(|(&id, entry)| (id, entry))
    }

    /// By id, what of each one's last batch compaction must not take away.
    pub(super) fn last_records(&self) -> HashMap<i64, LastRecord> {
        let last = |entry: &ProducerEntry| LastRecord {
            last_data_offset: entry.batches.back().map(|batch| batch.last_offset).filter(|&offset| offset >= 0),
            producer_epoch: entry.epoch,
        };
        self.entries().map(|(id, entry)| (id, last(entry))).collect()
    }

    /// Puts back what a snapshot remembers.
    pub(super) fn restore(&mut self, producer_id: i64, entry: ProducerEntry) {
        if let Some(first_offset) = entry.transaction_first_offset {
            self.ongoing.insert(first_offset, producer_id);
        }
        self.producers.insert(producer_id, entry);
    }
}

fn producer_of(batch: &BatchHeader) -> ProducerIdAndEpoch {
    ProducerIdAndEpoch { producer_id: batch.producer_id, producer_epoch: batch.producer_epoch }
}

/// A new epoch begins at sequence 0; otherwise the sequence follows the last one, and after 2^31-1 comes 0. A producer
/// of which nothing is known (its records were deleted, or it expired) may go on wherever it is.
fn check_sequence(entry: &ProducerEntry, batch: &BatchHeader) -> Result<(), AppendError> {
    let (last, next) = (entry.last_sequence(), batch.base_sequence);
    let is_in_order = if entry.epoch == NO_PRODUCER_EPOCH {
        true
    } else if batch.producer_epoch != entry.epoch {
        next == 0
    } else {
        i64::from(next) == i64::from(last) + 1 || (next == 0 && last == i32::MAX)
    };
    if is_in_order {
        return Ok(());
    }
    let message = format!(
        "out of order sequence number for producer {} at epoch {}: {next} (incoming), {last} (current, at epoch {})",
        batch.producer_id, batch.producer_epoch, entry.epoch
    );
    Err(AppendError::OutOfOrderSequenceNumber(message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::control_records::TransactionResult;
    use crate::protocol::record_batch::BatchBuilder;

    fn batch(base_offset: i64, epoch: i16, sequence: i32, count: usize) -> BatchHeader {
        let mut builder = BatchBuilder::new(1_000);
        builder.producer(7, epoch, sequence).base_offset(base_offset);
        for _ in 0..count {
            builder.record(None, None);
        }
        BatchHeader::parse(&builder.build()).unwrap()
    }

    fn append(state: &mut ProducerState, batch: &BatchHeader) -> Result<Option<i64>, AppendError> {
        let duplicate = state.check(batch, AppendOrigin::Client)?;
        if duplicate.is_none() {
            state.append(batch);
        }
        Ok(duplicate.map(|metadata| metadata.first_offset()))
    }

    #[test]
    fn a_retry_of_the_last_five_batches_gets_the_original_offset_and_an_older_one_is_out_of_order() {
        let mut state = ProducerState::default();
        for n in 0..6 {
            assert_eq!(append(&mut state, &batch(i64::from(n) * 10, 0, n * 2, 2)).unwrap(), None);
        }
        for n in 1..6 {
            assert_eq!(append(&mut state, &batch(999, 0, n * 2, 2)).unwrap(), Some(i64::from(n) * 10));
        }
        for (sequence, count) in [(0, 2), (13, 1), (10, 1), (11, 1), (8, 4)] {
            let result = append(&mut state, &batch(999, 0, sequence, count));
            assert!(matches!(result, Err(AppendError::OutOfOrderSequenceNumber(_))), "{sequence} {count}");
        }
        assert_eq!(append(&mut state, &batch(999, 0, 12, 1)).unwrap(), None);
    }

    #[test]
    fn epochs_only_rise_and_begin_at_zero() {
        let mut state = ProducerState::default();
        append(&mut state, &batch(0, 3, 55, 1)).unwrap();
        assert!(matches!(append(&mut state, &batch(1, 2, 56, 1)), Err(AppendError::InvalidProducerEpoch(_))));
        assert!(matches!(append(&mut state, &batch(1, 4, 56, 1)), Err(AppendError::OutOfOrderSequenceNumber(_))));
        assert_eq!(append(&mut state, &batch(1, 4, 0, 1)).unwrap(), None);
        let coordinator = state.check(&batch(2, 4, 0, 1), AppendOrigin::Coordinator);
        assert_eq!(coordinator.unwrap(), None, "a coordinator's batches have no sequence numbers to check");
    }

    #[test]
    fn a_sequence_wraps_inside_and_between_batches() {
        let mut state = ProducerState::default();
        append(&mut state, &batch(0, 0, i32::MAX - 1, 2)).unwrap();
        assert_eq!(append(&mut state, &batch(2, 0, 0, 1)).unwrap(), None);
        let mut state = ProducerState::default();
        append(&mut state, &batch(0, 0, i32::MAX - 1, 4)).unwrap();
        assert_eq!(append(&mut state, &batch(9, 0, i32::MAX - 1, 4)).unwrap(), Some(0));
        assert_eq!(append(&mut state, &batch(4, 0, 2, 1)).unwrap(), None);
    }

    #[test]
    fn an_expired_producer_may_go_on_with_any_sequence() {
        let mut state = ProducerState::default();
        append(&mut state, &batch(0, 0, 0, 1)).unwrap();
        state.expire(1_000 + 59, 60);
        assert!(append(&mut state, &batch(1, 0, 5, 1)).is_err());
        state.expire(1_000 + 60, 60);
        assert_eq!(append(&mut state, &batch(1, 0, 5, 1)).unwrap(), None);
    }

    #[test]
    fn an_open_transaction_keeps_its_producer_and_refuses_other_batches() {
        let mut state = ProducerState::default();
        let mut transactional = batch(4, 0, 0, 1);
        transactional.set_transactional();
        append(&mut state, &transactional).unwrap();
        assert_eq!(state.first_undecided_offset(), Some(4));
        assert!(matches!(append(&mut state, &batch(5, 0, 1, 1)), Err(AppendError::InvalidTxnState(_))));
        state.expire(i64::MAX, 60);
        assert_eq!(state.entries().len(), 1);
        state.end_transaction(&batch(5, 0, -1, 1), COMMIT);
        assert_eq!(state.first_undecided_offset(), None);
    }

    const COMMIT: EndTransactionMarker =
        EndTransactionMarker { result: TransactionResult::Commit, coordinator_epoch: 2 };

    #[test]
    fn a_transaction_is_stable_once_its_marker_is_committed() {
        let mut state = ProducerState::default();
        for (id, offset) in [(7, 4), (8, 5)] {
            let mut builder = BatchBuilder::new(1_000);
            let builder = builder.producer(id, 0, 0).transactional().base_offset(offset).record(None, None);
            state.append(&BatchHeader::parse(&builder.build()).unwrap());
        }
        assert_eq!(state.first_unstable_offset(6), Some(4));
        assert_eq!(state.end_transaction(&batch(6, 0, -1, 1), COMMIT), Some(4));
        assert_eq!(state.first_undecided_offset(), Some(5));
        assert_eq!(state.first_unstable_offset(6), Some(4), "the marker is not committed");
        assert_eq!(state.first_unstable_offset(7), Some(5));
        state.replicated_to(6);
        assert_eq!(state.first_unstable_offset(6), Some(4));
        state.replicated_to(7);
        assert_eq!(state.first_unstable_offset(6), Some(5));
    }

    #[test]
    fn markers_are_fenced_by_newer_producers_and_newer_coordinators() {
        let mut state = ProducerState::default();
        let producer = |producer_epoch| ProducerIdAndEpoch { producer_id: 7, producer_epoch };
        assert!(state.check_marker(producer(0), 0).is_ok(), "of a producer that is not known");
        state.append(&batch(0, 3, 0, 1));
        assert!(matches!(state.check_marker(producer(2), 9), Err(AppendError::InvalidProducerEpoch(_))));
        assert_eq!(state.end_transaction(&batch(1, 4, -1, 1), COMMIT), None, "there was no transaction");
        assert!(matches!(state.check_marker(producer(3), 2), Err(AppendError::InvalidProducerEpoch(_))));
        assert!(matches!(state.check_marker(producer(4), 1), Err(AppendError::TransactionCoordinatorFenced(_))));
        assert!(state.check_marker(producer(4), 2).is_ok());
    }
}
