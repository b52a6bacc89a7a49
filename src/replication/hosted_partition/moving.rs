//! A partition whose log moves to another log directory (KIP-113): its future log, and the moment at which that takes the
//! place of the current one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use super::{Hosted, HostedPartition};
use crate::clock::Now;
use crate::ids::LeaderEpoch;
use crate::replication::replica_move::{LogSpan, MoveStep, next_step};
use crate::storage::{CheckpointEntry, Log, LogDir, LogSlice, ReadError, StorageError};

/// The log to which a partition moves. Its lock is never held together with the partition's by anybody but the mover, and
/// taken first.
pub(in crate::replication) struct FutureReplica {
    log_dir: Arc<LogDir>,
    /// `None` once it has taken its place, or was given up.
    log: Mutex<Option<Log>>,
    /// What others may know of it while it is locked.
    status: Mutex<FutureStatus>,
    /// Whether no cleaning can be under way any more that began before the move.
    is_cleaning_over: AtomicBool,
}

/// How far a future log is.
#[derive(Debug, Clone, Copy)]
pub(in crate::replication) struct FutureStatus {
    /// The bytes of its batches.
    pub(in crate::replication) size: u64,
    pub(in crate::replication) span: LogSpan,
    recovery_point: i64,
}

impl From<&Log> for LogSpan {
    fn from(log: &Log) -> Self {
        Self { log_start_offset: log.log_start_offset(), log_end_offset: log.log_end_offset() }
    }
}

impl From<&Log> for FutureStatus {
    fn from(log: &Log) -> Self {
        Self { size: log.size(), span: log.into(), recovery_point: log.recovery_point() }
    }
}

impl FutureReplica {
    fn new(log_dir: Arc<LogDir>, log: Log) -> Self {
        let status = Mutex::new(FutureStatus::from(&log));
        Self { log_dir, log: Mutex::new(Some(log)), status, is_cleaning_over: AtomicBool::new(false) }
    }

    /// The directory in which it is.
    pub(in crate::replication) fn log_dir(&self) -> &Arc<LogDir> {
        &self.log_dir
    }

    /// The log, unless somebody else has it.
    pub(in crate::replication) fn try_lock(&self) -> Option<MutexGuard<'_, Option<Log>>> {
        match self.log.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Takes the log away; `None` where it has taken its place already. Waits for the mover.
    pub(in crate::replication) fn take(&self) -> Option<Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Lets others know how far `log`, which is its own, is.
    pub(in crate::replication) fn note(&self, log: &Log) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = log.into();
    }

    pub(in crate::replication) fn status(&self) -> FutureStatus {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of an attempt to end a move.
pub(in crate::replication) enum SwapOutcome {
    /// The future log is the current one; this is the one that it was, whose files are to be removed.
    Done(Box<Log>),
    /// Others have appended, or somebody cleans segments: it is tried again.
    NotYet,
    /// The partition is gone.
    Gone,
}

impl HostedPartition {
    /// Where the partition moves to, if it does.
    pub(in crate::replication) fn future(&self) -> Option<Arc<FutureReplica>> {
        self.future.load_full()
    }

    /// Whether it moves, and must not be cleaned meanwhile, as in Kafka.
    pub(in crate::replication) fn is_moving(&self) -> bool {
        self.future.load().is_some()
    }

    /// Lets it move to `log_dir`, in which `log` is.
    pub(in crate::replication) fn begin_move(&self, log_dir: Arc<LogDir>, log: Log) {
        self.future.store(Some(Arc::new(FutureReplica::new(log_dir, log))));
    }

    /// Lets it move no more; the log that it would have had, which is to be deleted. Waits for the mover. `None` where it has
    /// moved.
    pub(in crate::replication) fn end_move(&self) -> Option<Log> {
        self.future.swap(None)?.take()
    }

    /// The same, if it still moves to `future`, whose log its mover has.
    pub(in crate::replication) fn end_move_of(&self, future: &Arc<FutureReplica>) {
        let current = self.future.load();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, future)) {
            self.future.compare_and_swap(&current, None);
        }
    }

    /// The bytes of the future log, and by how many records it is behind; `None` without a move, or where the partition is
    /// gone.
    pub fn future_size_and_lag(&self) -> Option<(u64, i64)> {
        let FutureStatus { size, span, .. } = self.future()?.status();
        let end = self.with_log(|log| log.log_end_offset())?;
        Some((size, end.saturating_sub(span.log_end_offset).max(0)))
    }

    /// Flushes and closes the future log, if it is in `dir`; nobody moves anything any more.
    pub(in crate::replication) fn close_future_in(&self, dir: &Arc<LogDir>, now: Now) -> Result<(), StorageError> {
        let Some(future) = self.future().filter(|future| Arc::ptr_eq(&future.log_dir, dir)) else { return Ok(()) };
        let mut slot = future.log.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(log) = slot.as_mut() else { return Ok(()) };
        let closed = flush(log, now).and_then(|()| log.close());
        future.note(log);
        closed.inspect_err(|error| self.log_storage_error("closing the copy of a log", error))
    }

    /// What the checkpoint files of the future log's directory say of it.
    pub(in crate::replication) fn future_checkpoint_entry(&self) -> Option<CheckpointEntry> {
        let FutureStatus { span, recovery_point, .. } = self.future()?.status();
        let high_watermark = self.lock().as_ref().map(|hosted| hosted.partition.high_watermark())?;
        Some(CheckpointEntry {
            topic_partition: self.topic_partition.clone(),
            recovery_point,
            log_start_offset: span.log_start_offset,
            high_watermark: high_watermark.min(span.log_end_offset),
            cleaner_offset: None,
        })
    }

    /// What to do next for the move; `None` where the partition is gone, or while a cleaning is under way that began before
    /// the move: its result would not be in the copy.
    pub(in crate::replication) fn next_move_step(&self, future: &FutureReplica, log: &Log) -> Option<MoveStep> {
        if !future.is_cleaning_over.load(Ordering::Relaxed) {
            drop(self.cleaning.try_segments()?);
            future.is_cleaning_over.store(true, Ordering::Relaxed);
        }
        self.with_log(|current| next_step((&*current).into(), log.into()))
    }

    /// At most `max_bytes` of records from `offset` on, to be copied; nothing where there are none up to the offset that
    /// comes with it.
    pub(in crate::replication) fn records_to_move(
        &self,
        offset: i64,
        max_bytes: usize,
    ) -> Option<Result<(LogSlice, i64), ReadError>> {
        self.with_log(|log| {
            let end = log.log_end_offset();
            log.read(offset, max_bytes, end, true).map(|slice| (slice, end))
        })
    }

    /// Brings into `future`, which has all records, what is not in records.
    pub(in crate::replication) fn prepare_swap(&self, future: &mut Log) -> Option<Result<(), StorageError>> {
        self.with_log(|current| current.heritage()).map(|heritage| future.inherit(heritage))
    }

    /// Lets `future`, which [`Self::prepare_swap`] and a checkpoint have prepared, take the place of the current log. What was
    /// appended since the mover looked, up to `most_bytes`, is copied under the partition's lock. Meanwhile nothing is flushed,
    /// so that what is on the disk of the current log is on that of the future one. Blocks on the flush of the future log and
    /// on one fsync of a directory.
    ///
    /// # Errors
    /// The move cannot go on now; `future` holds its log.
    pub(in crate::replication) fn swap(
        &self,
        replica: &FutureReplica,
        future: &mut Option<Log>,
        most_bytes: usize,
        now: Now,
    ) -> Result<SwapOutcome, StorageError> {
        let Some(_segments) = self.cleaning.try_segments() else { return Ok(SwapOutcome::NotYet) };
        let _syncing = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut log) = future.take() else { return Ok(SwapOutcome::Gone) };
        let swapped = self.swap_flushed(&mut log, most_bytes, now);
        if let Ok(Some(true)) = swapped {
            self.log_dir.store(Arc::clone(&replica.log_dir));
            self.future.store(None);
            return Ok(SwapOutcome::Done(Box::new(log)));
        }
        *future = Some(log);
        Ok(swapped?.map_or(SwapOutcome::Gone, |_| SwapOutcome::NotYet))
    }

    /// The part of a swap after which `log` is the log that has given way, if it is true; `None` where the partition is gone.
    fn swap_flushed(&self, log: &mut Log, most_bytes: usize, now: Now) -> Result<Option<bool>, StorageError> {
        // First what was flushed since the mover looked: as much must be on the disk of the other directory.
        match self.with_log(|current| copy_rest(current, log, most_bytes, now)) {
            Some(Ok(true)) => flush(log, now)?,
            other => return other.transpose(),
        }
        let (_turn, mut guard) = self.lock_between_appends();
        let Some(Hosted { log: current, has_rolled, .. }) = guard.as_mut() else { return Ok(None) };
        let is_flushed = log.recovery_point() >= current.recovery_point();
        let is_told = log.log_start_offset() == current.log_start_offset();
        if !is_flushed || !is_told || !copy_rest(current, log, most_bytes, now)? {
            return Ok(Some(false));
        }
        log.inherit(current.heritage())?;
        current.give_way_to(log)?;
        // What was closed and not flushed is so in the new log.
        *has_rolled = true;
        Ok(Some(true))
    }
}

/// Brings all of a future log to the disk.
pub(in crate::replication) fn flush(log: &mut Log, now: Now) -> Result<(), StorageError> {
    if let Some(task) = log.flush_task()? {
        let flushed = task.run()?;
        log.flushed(flushed, now);
    }
    Ok(())
}

/// Copies what `future` lacks of `current`, if that is no more than `most_bytes`; whether it has everything then. What was
/// just appended is in the page cache.
fn copy_rest(current: &Log, future: &mut Log, most_bytes: usize, now: Now) -> Result<bool, StorageError> {
    if future.log_start_offset() > current.log_start_offset() || future.log_end_offset() < current.log_start_offset() {
        return Ok(false);
    }
    let end = current.log_end_offset();
    if future.log_end_offset() < end {
        let slice = match current.read(future.log_end_offset(), most_bytes, end, true) {
            Ok(slice) => slice,
            Err(ReadError::OutOfRange { .. }) => return Ok(false),
            Err(ReadError::Storage(error)) => return Err(error),
        };
        if slice.len() > most_bytes {
            return Ok(false);
        }
        let bytes = slice.read_blocking()?;
        // What the log refuses is said where the mover does the same.
        if future.append_as_follower(&bytes, LeaderEpoch::MAX, now).is_err() {
            return Ok(false);
        }
    }
    Ok(future.log_end_offset() == end)
}
