//! One partition that this broker hosts: its decider and its log under one lock, and those who wait for it.
//!
//! The lock is held for a decision or an index lookup, never across an await, a file read, the write of a batch or an
//! fsync. A deleted partition keeps answering: with [`ErrorCode::UnknownTopicOrPartition`].

mod append;
mod committed;
mod deleting;
mod flush;
mod following;
mod moving;
mod reading;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use arc_swap::{ArcSwap, ArcSwapOption};

pub use super::append_outcome::PartitionAppendError;
use super::cleaning_turn::CleaningTurns;
use super::delayed::{Awaited, Waiters};
use super::disk_turns::{self, DiskTurns};
use super::partition::brokers::{BrokerState, BrokerStates, KnownBrokers};
use super::partition::isr::{AlteredIsr, IsrProposal, IsrVerdict};
use super::partition::{IsrConfig, Moment, Partition, PartitionState, RoleChange};
use super::storage_errors::StorageErrors;
use crate::clock::{Monotonic, Now};
use crate::ids::{LeaderEpoch, NodeId, TopicPartition, Uuid};
use crate::metrics::{ReplicationMetrics, Traffic};
use crate::protocol::ErrorCode;
use crate::storage::cleaner::{CompactionConfig, LogToClean};
use crate::storage::{
    ActiveProducer, CheckpointEntry, Log, LogConfig, LogDir, ReadError, StorageError, TimestampOffset, remove_files,
};
pub use append::{AppendRequest, Appended};
pub(super) use following::{FollowError, ReplicatedRecords};
pub(super) use moving::{FutureReplica, SwapOutcome, flush as flush_future};
pub use reading::{FetchingFollower, LogEnd, ReadRequest, ReadResult};

/// The offsets that a partition is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offsets {
    /// The first offset of the log.
    pub log_start_offset: i64,
    /// The offset behind its last record.
    pub log_end_offset: i64,
    /// The first offset that is not committed.
    pub high_watermark: i64,
    /// The first offset that a transaction may still decide about.
    pub last_stable_offset: i64,
    /// The current leader epoch.
    pub leader_epoch: LeaderEpoch,
    /// Whether everything that was committed before this leadership is known to be: until then, the offsets that clients ask
    /// for would go back (KIP-207).
    pub are_settled: bool,
}

/// A partition as whoever watches it from outside sees it, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionStatus {
    /// Whether this broker leads it.
    pub is_leader: bool,
    /// How many replicas it shall have.
    pub replicas: usize,
    /// How many of them are in sync.
    pub in_sync: usize,
    /// How many of them must be, for a write with `acks=all`.
    pub min_insync_replicas: usize,
    /// How many committed records it lacks where another broker leads it.
    pub lag: Option<i64>,
    /// The bytes of its log.
    pub log_size: u64,
    /// The first offset of the log.
    pub log_start_offset: i64,
    /// The first offset that is not committed.
    pub high_watermark: i64,
}

/// Which offset a client asks for by time (ListOffsets).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampQuery {
    /// The first record at or after this time, in milliseconds since the Unix epoch.
    At(i64),
    /// The record with the greatest timestamp (KIP-734).
    Max,
}

struct Hosted {
    partition: Partition,
    log: Log,
    /// Whether a segment was closed that has not been flushed yet.
    has_rolled: bool,
}

/// What a partition has of its broker.
pub(super) struct PartitionSurroundings {
    /// In which directory the log is.
    pub(super) log_dir: Arc<LogDir>,
    /// Where what is moved of the topic is counted.
    pub(super) traffic: Arc<Traffic>,
    /// Where changes of the in-sync replicas are counted.
    pub(super) metrics: Arc<ReplicationMetrics>,
    pub(super) storage_errors: Arc<StorageErrors>,
    pub(super) disk_turns: Arc<DiskTurns>,
    /// What the metadata says of the brokers.
    pub(super) brokers: Arc<ArcSwap<BrokerStates>>,
}

impl KnownBrokers for ArcSwap<BrokerStates> {
    fn broker(&self, id: NodeId) -> Option<BrokerState> {
        self.load().broker(id)
    }
}

/// One hosted partition; shared by the requests that use it.
pub struct HostedPartition {
    topic_partition: TopicPartition,
    topic_id: Uuid,
    hosted: Mutex<Option<Hosted>>,
    /// Held for an append from its decision to its end, also while its batch is written without the lock, and by whoever
    /// changes what it has decided by. Locked before `hosted`.
    appending: Mutex<()>,
    /// Who waits for the high watermark.
    watermark_waiters: Waiters,
    /// Followers that wait for records, whatever is committed of them: woken by the high watermark, they would fetch twice
    /// for each append (KAFKA-9952).
    log_end: Waiters,
    /// Who waits until the followers have deleted what the leader has.
    follower_starts: Waiters,
    /// Held until an fsync that was waited for has ended; those who queue meanwhile are served by the next one together.
    flushing: Arc<tokio::sync::Mutex<()>>,
    /// Held by the thread that runs an fsync, whoever asked for it: a flush that overtook another could vouch for a
    /// directory entry that only the other one syncs.
    syncing: Mutex<()>,
    cleaning: CleaningTurns,
    log_dir: ArcSwap<LogDir>,
    /// The log in another directory that is to take its place.
    future: ArcSwapOption<FutureReplica>,
    traffic: Arc<Traffic>,
    metrics: Arc<ReplicationMetrics>,
    /// How many committed records this follower lacked when the leader answered last.
    lag: AtomicI64,
    storage_errors: Arc<StorageErrors>,
    disk_turns: Arc<DiskTurns>,
    brokers: Arc<ArcSwap<BrokerStates>>,
}

impl Awaited for HostedPartition {
    fn waiters(&self) -> &Waiters {
        &self.watermark_waiters
    }
}

impl HostedPartition {
    pub(super) fn new(partition: Partition, mut log: Log, topic_id: Uuid, surroundings: PartitionSurroundings) -> Self {
        // What was loaded knows no high watermark yet: every transaction that it has read counts as not committed.
        log.replicated_to(partition.high_watermark());
        let PartitionSurroundings { log_dir, traffic, metrics, storage_errors, disk_turns, brokers } = surroundings;
        Self {
            topic_partition: log.topic_partition().clone(),
            topic_id,
            hosted: Mutex::new(Some(Hosted { partition, log, has_rolled: false })),
            appending: Mutex::new(()),
            watermark_waiters: Waiters::default(),
            log_end: Waiters::default(),
            follower_starts: Waiters::default(),
            flushing: Arc::default(),
            syncing: Mutex::new(()),
            cleaning: CleaningTurns::default(),
            log_dir: ArcSwap::new(log_dir),
            future: ArcSwapOption::empty(),
            traffic,
            metrics,
            lag: AtomicI64::new(0),
            storage_errors,
            disk_turns,
            brokers,
        }
    }

    /// Which partition this is.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// The id of its topic.
    pub fn topic_id(&self) -> Uuid {
        self.topic_id
    }

    /// The directory in which its log is.
    pub fn log_dir(&self) -> Arc<LogDir> {
        self.log_dir.load_full()
    }

    /// Whether that directory has failed.
    pub fn is_offline(&self) -> bool {
        self.log_dir.load().is_offline()
    }

    /// Has those who wait for something of the partition look again.
    pub(super) fn wake(&self) {
        self.watermark_waiters.wake();
        self.log_end.wake();
        self.follower_starts.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Option<Hosted>> {
        // A panic under this lock happened between two whole states of partition and log, or poisoned the log itself.
        disk_turns::lock(&self.hosted)
    }

    /// The same, when no append is under way: for whoever changes the leadership, or where and whether the log goes on.
    /// Waits as long as an append does.
    fn lock_between_appends(&self) -> (MutexGuard<'_, ()>, MutexGuard<'_, Option<Hosted>>) {
        let turn = disk_turns::lock(&self.appending);
        (turn, self.lock())
    }

    fn moment(&self, now: Monotonic) -> Moment<'_> {
        Moment { now, brokers: &*self.brokers }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Hosted) -> Result<T, ErrorCode>) -> Result<T, ErrorCode> {
        look(self.lock().as_mut().ok_or(ErrorCode::UnknownTopicOrPartition)?)
    }

    /// Like [`HostedPartition::with`], for what only the leader answers.
    fn with_leader<T>(
        &self,
        current_leader_epoch: LeaderEpoch,
        look: impl FnOnce(&mut Hosted) -> Result<T, ErrorCode>,
    ) -> Result<T, ErrorCode> {
        self.with(|hosted| {
            hosted.partition.check_leader_epoch(current_leader_epoch)?;
            if !hosted.partition.is_leader() {
                return Err(ErrorCode::NotLeaderOrFollower);
            }
            look(hosted)
        })
    }

    fn read_error(&self, error: &ReadError) -> ErrorCode {
        match error {
            ReadError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            ReadError::Storage(error) => self.storage_error(error),
        }
    }

    fn storage_error(&self, error: &StorageError) -> ErrorCode {
        self.log_storage_error("reading the log", error);
        ErrorCode::KafkaStorageError
    }

    /// Logs that `action` failed on this partition's log, within the bounds of [`StorageErrors`].
    pub fn log_storage_error(&self, action: &str, error: &StorageError) {
        self.storage_errors.log(action, error);
    }

    /// The offsets of this moment, for whoever believes in `current_leader_epoch` (-1: does not say).
    pub fn offsets(&self, current_leader_epoch: LeaderEpoch) -> Result<Offsets, ErrorCode> {
        self.with_leader(current_leader_epoch, |Hosted { partition, log, .. }| {
            Ok(Offsets {
                log_start_offset: log.log_start_offset(),
                log_end_offset: log.log_end_offset(),
                high_watermark: partition.high_watermark(),
                last_stable_offset: last_stable_offset(partition, log),
                leader_epoch: partition.leader_epoch(),
                are_settled: partition.has_settled(),
            })
        })
    }

    /// The epoch in which the record at `offset` was written, as far as it is remembered.
    pub fn epoch_of(&self, offset: i64) -> Option<LeaderEpoch> {
        self.lock().as_ref().and_then(|hosted| hosted.log.epoch_for_offset(offset))
    }

    /// Finds a committed record by time; `None` where there is none.
    pub fn offset_for_timestamp(
        &self,
        query: TimestampQuery,
        current_leader_epoch: LeaderEpoch,
        read_committed: bool,
    ) -> Result<Option<TimestampOffset>, ErrorCode> {
        self.with_leader(current_leader_epoch, |Hosted { partition, log, .. }| {
            let found = match query {
                TimestampQuery::At(timestamp) => log.offset_for_timestamp(timestamp),
                TimestampQuery::Max => log.offset_of_max_timestamp(),
            };
            let bound = if read_committed { last_stable_offset(partition, log) } else { partition.high_watermark() };
            found.map(|found| found.filter(|found| found.offset < bound)).map_err(|error| self.storage_error(&error))
        })
    }

    /// The bytes of the log, and how far it is behind what may be read; `None` where the partition is gone.
    pub fn size_and_lag(&self) -> Option<(u64, i64)> {
        self.lock().as_ref().map(|Hosted { partition, log, .. }| {
            (log.size(), partition.high_watermark().saturating_sub(log.log_end_offset()).max(0))
        })
    }

    /// How it stands; `None` where the partition is gone.
    pub fn status(&self) -> Option<PartitionStatus> {
        self.lock().as_ref().map(|Hosted { partition, log, .. }| PartitionStatus {
            is_leader: partition.is_leader(),
            replicas: partition.replicas().len(),
            in_sync: partition.isr().len(),
            min_insync_replicas: partition.config().min_insync_replicas,
            lag: partition.follows_another().then(|| self.lag.load(Ordering::Relaxed)),
            log_size: log.size(),
            log_start_offset: log.log_start_offset(),
            high_watermark: partition.high_watermark(),
        })
    }

    /// The producers that the leader remembers, by id.
    pub fn producers(&self) -> Result<Vec<ActiveProducer>, ErrorCode> {
        self.with_leader(-1, |Hosted { log, .. }| Ok(log.active_producers()))
    }

    /// Where `epoch` ended: the greatest epoch not above it and the offset after its last record (KIP-101, KIP-279).
    pub fn end_offset_for_epoch(
        &self,
        epoch: LeaderEpoch,
        current_leader_epoch: LeaderEpoch,
    ) -> Result<Option<(LeaderEpoch, i64)>, ErrorCode> {
        self.with_leader(current_leader_epoch, |Hosted { log, .. }| Ok(log.end_offset_for_epoch(epoch)))
    }

    /// Takes over newer metadata.
    pub(super) fn apply(&self, state: PartitionState, config: LogConfig, isr_config: IsrConfig, now: Now) {
        let (turn, mut guard) = self.lock_between_appends();
        if let Some(hosted) = guard.as_mut() {
            let moment = self.moment(now.monotonic);
            hosted.log.set_config(config);
            hosted.partition.configure(isr_config, &moment);
            let log_end_offset = hosted.log.log_end_offset();
            let (leader_epoch, in_sync) = (state.leader_epoch, hosted.partition.in_sync());
            if hosted.partition.apply(state, log_end_offset, &moment) == RoleChange::LeadsAnew {
                hosted.log.begin_epoch(leader_epoch);
            }
            self.count_isr_change(in_sync, &hosted.partition);
            hosted.log.replicated_to(hosted.partition.high_watermark());
        }
        drop((guard, turn));
        self.wake();
    }

    /// Goes by another configuration.
    pub(super) fn configure(&self, config: LogConfig, isr_config: IsrConfig, now: Now) {
        self.reconsider(|hosted| {
            hosted.log.set_config(config);
            hosted.partition.configure(isr_config, &self.moment(now.monotonic))
        });
    }

    /// Looks again when the metadata says something else of the brokers.
    pub(super) fn brokers_changed(&self, now: Now) {
        self.reconsider(|hosted| hosted.partition.brokers_changed(&self.moment(now.monotonic)));
    }

    /// Has `change` done, after which more may be committed, as it tells.
    fn reconsider(&self, change: impl FnOnce(&mut Hosted) -> bool) {
        let advanced = self.lock().as_mut().is_some_and(|hosted| {
            let advanced = change(hosted);
            if advanced {
                hosted.log.replicated_to(hosted.partition.high_watermark());
            }
            advanced
        });
        if advanced {
            self.watermark_waiters.wake();
        }
    }

    /// Lets go of in-sync followers that are behind for too long; what the controller is to be asked for, if there are any.
    pub(super) fn shrink_isr(&self, now: Now) -> Option<IsrProposal> {
        self.lock().as_mut()?.partition.shrink_isr(&self.moment(now.monotonic))
    }

    /// Takes the controller's answer to what it was asked for.
    pub(super) fn isr_answered(
        &self,
        proposal: &IsrProposal,
        answer: Result<AlteredIsr, ErrorCode>,
        now: Now,
    ) -> IsrVerdict {
        let verdict = {
            let mut guard = self.lock();
            let Some(Hosted { partition, log, .. }) = guard.as_mut() else { return IsrVerdict::Outdated };
            let in_sync = partition.in_sync();
            let (verdict, advanced) = partition.isr_answered(proposal, answer, &self.moment(now.monotonic));
            self.count_isr_change(in_sync, partition);
            if advanced {
                log.replicated_to(partition.high_watermark());
            }
            verdict
        };
        // Also where the high watermark stands: who waits may be told that too few are in sync.
        self.watermark_waiters.wake();
        verdict
    }

    /// Counts what has become of the in-sync replicas of one leadership.
    fn count_isr_change(&self, before: Option<(LeaderEpoch, usize)>, partition: &Partition) {
        if let (Some((epoch, before)), Some((same_epoch, after))) = (before, partition.in_sync())
            && epoch == same_epoch
        {
            self.metrics.isr_changed(before, after);
        }
    }

    /// Whose turn it is to replace or delete segments.
    pub(super) fn cleaning(&self) -> &CleaningTurns {
        &self.cleaning
    }

    /// What there is to clean; `None` where the log is not compacted, or gone.
    pub(super) fn to_clean(&self, now: Now) -> Option<(LogToClean, CompactionConfig)> {
        let guard = self.lock();
        let Hosted { partition, log, .. } = guard.as_ref()?;
        log.to_clean(last_stable_offset(partition, log), now)
    }

    /// Closes the active segment if it holds as many `bytes`, so that what is in it can be cleaned.
    pub(super) fn roll_from(&self, bytes: u64, now: Now) {
        let (_turn, mut guard) = self.lock_between_appends();
        let Some(hosted) = guard.as_mut() else { return };
        let rolled = hosted.log.roll_from(bytes, now);
        // What has failed was noted by the log, and is tried again.
        hosted.has_rolled |= rolled.unwrap_or(false);
    }

    /// Has `look` do under the lock what a cleaner must with the log; `None` where it is gone.
    pub(super) fn with_log<T>(&self, look: impl FnOnce(&mut Log) -> T) -> Option<T> {
        self.lock().as_mut().map(|hosted| look(&mut hosted.log))
    }

    /// Lets go of the log, to be deleted or closed; whoever still holds this partition finds it unknown. Waits until a
    /// cleaning has noticed.
    pub(super) fn take_log(&self) -> Option<Log> {
        self.cleaning.close();
        let (turn, mut guard) = self.lock_between_appends();
        let log = guard.take().map(|hosted| hosted.log);
        drop((guard, turn));
        self.wake();
        log
    }

    /// What the checkpoint files say of this partition.
    pub(super) fn checkpoint_entry(&self) -> Option<CheckpointEntry> {
        self.lock().as_ref().map(|Hosted { partition, log, .. }| CheckpointEntry {
            topic_partition: self.topic_partition.clone(),
            recovery_point: log.recovery_point(),
            log_start_offset: log.log_start_offset(),
            high_watermark: partition.high_watermark(),
            cleaner_offset: log.cleaner_offset(),
        })
    }

    /// Forgets producers that have been idle for `producer.id.expiration.ms`.
    pub(super) fn expire_producers(&self, now: Now) {
        if let Some(hosted) = self.lock().as_mut() {
            hosted.log.expire_producers(now);
        }
    }

    /// Deletes what retention no longer keeps. Answers how many segments went.
    pub(super) fn delete_old_segments(&self, now: Now) -> usize {
        self.delete_segments(now, Log::delete_old_segments)
    }

    /// Deletes what lies wholly before the log start. Answers how many segments went.
    pub(super) fn delete_segments_before_start(&self, now: Now) -> usize {
        self.delete_segments(now, Log::delete_segments_before_start)
    }

    fn delete_segments(&self, now: Now, delete: fn(&mut Log, i64, Now) -> Result<usize, StorageError>) -> usize {
        // Segments that are being cleaned are deleted when that is done.
        let Some(_turn) = self.cleaning.try_segments() else { return 0 };
        // Where all are deleted, another one is begun.
        let (_turn, mut guard) = self.lock_between_appends();
        let Some(Hosted { partition, log, .. }) = guard.as_mut() else { return 0 };
        delete(log, partition.high_watermark(), now).unwrap_or_else(|error| {
            tracing::error!(partition = %self.topic_partition, %error, "deleting old segments failed");
            0
        })
    }

    /// Removes the files of deleted segments whose delay is over; whether there are others. May block for long.
    pub(super) fn remove_deleted_segments(&self, now: Now) -> bool {
        let (files, others) = {
            let mut guard = self.lock();
            let Some(Hosted { log, .. }) = guard.as_mut() else { return false };
            (log.take_deleted_files(now), log.has_deleted_files())
        };
        remove_files(&files);
        others
    }
}

fn last_stable_offset(partition: &Partition, log: &Log) -> i64 {
    partition.last_stable_offset(log.first_unstable_offset(partition.high_watermark()))
}
