//! The log of one partition: segments in the order of their offsets, the last of which is appended to.
//!
//! A plain object: whoever owns it holds the partition's lock. What may block longer than a write into the page cache
//! is handed out to be done without the lock: [`LogSlice`](super::LogSlice), [`FlushTask`], deleted files.

mod append;
mod cleaning;
mod flush;
mod maintenance;
mod moving;
mod read;
mod replica_append;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::aborted_transactions::AbortedTransactions;
use super::decompressors::Decompressors;
use super::leader_epoch::{self, LeaderEpochs};
use super::log_place::LogPlace;
use super::producer_state::{ActiveProducer, ProducerState};
use super::segment::Segment;
use super::verification::{BatchToVerify, VerificationGuard};
use super::{AppendError, LogConfig, StorageError, files, partition_dir};
use crate::clock::{Monotonic, Now};
use crate::ids::{LeaderEpoch, NO_TOPIC_ID, TopicPartition, Uuid};

pub use append::{AppendInfo, AppendTask, WrittenAppend};
pub(super) use cleaning::PendingSwap;
pub use cleaning::{CleaningBasis, LogCleaning, SegmentToClean};
pub use flush::{FlushTask, Flushed};
pub use moving::Heritage;
pub use read::TimestampOffset;
pub use replica_append::{ReplicaAppendTask, WrittenReplicaAppend};

/// See the module.
#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "these are Kafka's names")]
pub struct Log {
    pub(super) topic_partition: TopicPartition,
    pub(super) topic_id: Uuid,
    pub(super) config: Arc<LogConfig>,
    /// `None` in memory mode.
    pub(super) place: Option<LogPlace>,
    pub(super) decompressors: Decompressors,
    /// Never empty; sorted by base offset.
    pub(super) segments: Vec<Segment>,
    pub(super) log_start_offset: i64,
    pub(super) log_end_offset: i64,
    /// Everything before it is on the disk for certain.
    pub(super) recovery_point: i64,
    pub(super) producers: ProducerState,
    pub(super) epochs: LeaderEpochs,
    pub(super) aborted: AbortedTransactions,
    /// The wall clock at the last append, below which `LogAppendTime` never falls.
    pub(super) last_append_ms: i64,
    pub(super) last_flush: Monotonic,
    /// How often records were removed from the end: a flush that began before does not count afterwards.
    pub(super) truncations: u64,
    /// Renamed files, and when they may be removed.
    pub(super) deleted_files: Vec<(PathBuf, Monotonic)>,
    /// How far the log is clean; `None` when it was never compacted.
    pub(super) cleaner_offset: Option<i64>,
    pub(super) pending_swap: Option<Box<PendingSwap>>,
}

impl Log {
    /// An empty log that begins at offset 0.
    pub(super) fn new(
        topic_partition: TopicPartition,
        topic_id: Uuid,
        config: LogConfig,
        place: Option<LogPlace>,
        decompressors: Decompressors,
        now: Now,
    ) -> Self {
        Self {
            segments: vec![Segment::new(place.as_ref().map(LogPlace::home), 0, &config, now.timestamp_ms)],
            topic_partition,
            topic_id,
            config: Arc::new(config),
            place,
            decompressors,
            log_start_offset: 0,
            log_end_offset: 0,
            recovery_point: 0,
            producers: ProducerState::default(),
            epochs: LeaderEpochs::default(),
            last_append_ms: 0,
            last_flush: now.monotonic,
            aborted: AbortedTransactions::default(),
            truncations: 0,
            deleted_files: Vec::new(),
            cleaner_offset: None,
            pending_swap: None,
        }
    }

    /// Whose log it is.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// The id of the topic, as in `partition.metadata`; nil when the directory does not tell.
    pub fn topic_id(&self) -> Uuid {
        self.topic_id
    }

    /// Gives a log whose topic's id is nil, because `partition.metadata` was missing or damaged, the id that the
    /// caller knows. As with a new log, the next flush makes it survive a power loss. A log with an id keeps it, and
    /// another one is an error.
    pub fn adopt_topic_id(&mut self, topic_id: Uuid) -> Result<(), StorageError> {
        if self.topic_id == topic_id {
            return Ok(());
        }
        if let Some(place) = &mut self.place {
            place.state.check_online()?;
            if self.topic_id != NO_TOPIC_ID {
                let error = io::ErrorKind::InvalidInput.into();
                return Err(StorageError::io("cannot change the topic id of", &place.dir)(error));
            }
            place.dir_changes += 1;
            place.state.observe(partition_dir::write_topic_id(&place.dir, topic_id))?;
        }
        self.topic_id = topic_id;
        Ok(())
    }

    /// The settings that it obeys.
    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Obeys other settings from now on.
    pub fn set_config(&mut self, config: LogConfig) {
        self.config = Arc::new(config);
    }

    /// The first offset that may be read.
    pub fn log_start_offset(&self) -> i64 {
        self.log_start_offset
    }

    /// The offset that the next record will get.
    pub fn log_end_offset(&self) -> i64 {
        self.log_end_offset
    }

    /// Everything before this offset survives a power loss.
    pub fn recovery_point(&self) -> i64 {
        self.recovery_point
    }

    /// The bytes of all segments' batches.
    pub fn size(&self) -> u64 {
        self.segments.iter().map(Segment::size).sum()
    }

    /// How many segments there are.
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// Where the oldest transaction begins that may still be decided about, if there is one, given that everything before
    /// `high_watermark` is committed: the last stable offset is not beyond it.
    pub fn first_unstable_offset(&self, high_watermark: i64) -> Option<i64> {
        let first = self.producers.first_unstable_offset(high_watermark)?;
        // Of a transaction whose begin was deleted the rest is as undecided.
        Some(first.max(self.log_start_offset))
    }

    /// Everything before `high_watermark` is committed: what is remembered until then is not needed any more.
    pub fn replicated_to(&mut self, high_watermark: i64) {
        self.producers.replicated_to(high_watermark);
    }

    /// The epoch of the last leadership that the log knows of.
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.latest()
    }

    /// The epoch under which the record at the log start offset was appended; `None` when the log cannot tell.
    pub fn earliest_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.epoch_for_offset(self.log_start_offset)
    }

    /// The epoch under which the record at `offset` was appended.
    pub fn epoch_for_offset(&self, offset: i64) -> Option<LeaderEpoch> {
        self.epochs.epoch_for_offset(offset)
    }

    /// For `OffsetForLeaderEpoch`: the largest known epoch that is not above `epoch`, and where it ends. `None` when
    /// `epoch` is negative or newer than all known ones (-1 and -1 on the wire).
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, i64)> {
        self.epochs.end_offset_for(epoch, self.log_end_offset)
    }

    /// Notes that records of `epoch` begin at the log's end: called when a leadership begins. Nothing is written before
    /// the first of these records: a start forgets epochs without any, as Kafka's does.
    pub fn begin_epoch(&mut self, epoch: LeaderEpoch) {
        self.epochs.assign(epoch, self.log_end_offset);
    }

    /// Forgets the idle producers (`producer.id.expiration.ms`).
    pub fn expire_producers(&mut self, now: Now) {
        self.producers.expire(now.timestamp_ms, self.config.producer_id_expiration_ms);
    }

    /// Begins to verify that a producer's transaction is known to its coordinator, before its first records come. `None`
    /// where it is open here, and there is nothing to ask, or where nobody wants to know
    /// (`transaction.partition.verification.enable`): transactions v2 are asked about all the same, because that is what
    /// adds the partition to them.
    ///
    /// Errors: [`AppendError::InvalidProducerEpoch`].
    pub fn begin_verification(
        &mut self,
        batch: BatchToVerify,
        now: Now,
    ) -> Result<Option<VerificationGuard>, AppendError> {
        if !self.config.transaction_partition_verification_enable && !batch.supports_epoch_bump {
            return Ok(None);
        }
        self.producers.begin_verification(batch, now.timestamp_ms)
    }

    /// The producers that are remembered, by id.
    pub fn active_producers(&self) -> Vec<ActiveProducer> {
        self.producers.active()
    }

    /// How many producers are remembered.
    pub fn producer_count(&self) -> usize {
        self.producers.entries().len()
    }

    /// The segment that is appended to.
    pub(super) fn active(&self) -> &Segment {
        let Some(active) = self.segments.last() else { unreachable!("a log always has a segment") };
        active
    }

    fn active_mut(&mut self) -> &mut Segment {
        let Some(active) = self.segments.last_mut() else { unreachable!("a log always has a segment") };
        active
    }

    /// The index of the segment in which `offset` lies or would lie.
    pub(super) fn segment_index(&self, offset: i64) -> usize {
        self.segments.partition_point(|segment| segment.base_offset() <= offset).saturating_sub(1)
    }

    /// Notes in the checkpoint, too, that records of `epoch` begin at `start_offset`: called before they are written.
    fn assign_epoch_start(&mut self, epoch: LeaderEpoch, start_offset: i64) -> Result<(), StorageError> {
        self.epochs.assign(epoch, start_offset);
        self.write_epochs()
    }

    /// Writes `leader-epoch-checkpoint`, if it does not say what it should, without waiting for the disk: the next
    /// flush does, before it lets the recovery point pass, and a file that a power loss damaged is rebuilt from the
    /// batches.
    fn write_epochs(&mut self) -> Result<(), StorageError> {
        let Some(place) = self.place.as_mut().filter(|place| place.written_epochs != self.epochs) else {
            return Ok(());
        };
        place.dir_changes += 1;
        let path = place.dir.join(leader_epoch::FILE_NAME);
        let written = files::replace(&path, self.epochs.to_text().as_bytes());
        place.state.observe(written)?;
        place.written_epochs = self.epochs.clone();
        Ok(())
    }

    /// The same, if the difference is in epochs that have records.
    fn write_epochs_of_records(&mut self) -> Result<(), StorageError> {
        let end = self.log_end_offset;
        match &self.place {
            Some(place) if place.written_epochs.before(end) != self.epochs.before(end) => self.write_epochs(),
            _ => Ok(()),
        }
    }

    /// Takes the whole log directory offline if `result` is a failure that does not pass by itself.
    pub(super) fn observe<T>(&self, result: Result<T, StorageError>) -> Result<T, StorageError> {
        match &self.place {
            Some(place) => place.state.observe(result),
            None => result,
        }
    }

    /// Fails if the log directory is offline.
    pub(super) fn check_online(&self) -> Result<(), StorageError> {
        self.place.as_ref().map_or(Ok(()), |place| place.state.check_online())
    }
}
