//! Moves replicas between the log directories of this broker (KIP-113; Kafka's `ReplicaAlterLogDirsManager`): copies the
//! records of each partition that is to move into its future log, a piece at a time, and lets that take its place once it has
//! caught up.
//!
//! What is next is decided in [`super::replica_move`]; the moment of the exchange is the partition's own
//! ([`HostedPartition::swap`]). All movers together keep to `replica.alter.log.dirs.io.max.bytes.per.second`.
//!
//! Unlike Kafka, which tells the controller in which directory a replica is and waits for it before the exchange, a broker
//! finds out by looking.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::OptionFuture;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::hosted_partition::{FutureReplica, HostedPartition, SwapOutcome, flush_future};
use super::io_throttle::IoThrottle;
use super::replica_manager::ReplicaManager;
use super::replica_move::MoveStep;
use crate::clock::Monotonic;
use crate::ids::LeaderEpoch;
use crate::storage::{AppendError, Log, LogConfig, ReadError, StorageError};

/// So many bytes are copied at once (`replica.fetch.max.bytes`), at least one batch.
const PIECE: usize = 1 << 20;

/// So many bytes at most are copied under the partition's lock.
const LAST_PIECE: usize = 1 << 18;

/// How long a mover rests that could do nothing, though there are moves: a disk is full, or a log is being cleaned.
const REST: Duration = Duration::from_millis(200);

/// See the module.
pub struct ReplicaMover {
    replicas: Arc<ReplicaManager>,
    /// All movers' together.
    throttle: Mutex<IoThrottle>,
}

/// What a mover does next.
#[derive(Debug)]
enum Next {
    /// The same again: more may be to be done.
    GoOn,
    /// Wait until then, which the throttle asks for.
    Wait(Monotonic),
    /// Rest: nothing could be done.
    Rest,
    /// Wait for a move.
    Idle,
}

/// Why a move cannot go on.
#[derive(Debug, thiserror::Error)]
enum MoveError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl MoveError {
    /// Whether it passes by itself.
    fn passes(&self) -> bool {
        match self {
            // Retention was faster.
            Self::Read(ReadError::OutOfRange { .. }) => true,
            Self::Read(ReadError::Storage(error))
            | Self::Append(AppendError::Storage(error))
            | Self::Storage(error) => error.passes(),
            Self::Append(_) => false,
        }
    }
}

impl ReplicaMover {
    /// The movers of the partitions in `replicas`; none is at work yet.
    pub fn new(replicas: Arc<ReplicaManager>) -> Arc<Self> {
        Arc::new(Self { replicas, throttle: Mutex::default() })
    }

    /// Moves replicas until `stop` is cancelled; what is not done then goes on after the next start.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        for _ in 0..self.replicas.mover_threads() {
            tasks.spawn(Arc::clone(&self).work(stop.clone()));
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn work(self: Arc<Self>, stop: CancellationToken) {
        let mut begun = self.replicas.moves_begun();
        while !stop.is_cancelled() {
            begun.mark_unchanged();
            let (this, ending) = (Arc::clone(&self), stop.clone());
            let next = tokio::task::spawn_blocking(move || this.move_all(&ending)).await.unwrap_or_else(|panic| {
                tracing::error!(%panic, "moving a replica panicked; it is tried again");
                Next::Rest
            });
            let clock = self.replicas.clock();
            let until = match next {
                Next::GoOn => continue,
                Next::Wait(until) => Some(until),
                Next::Rest => Some(clock.monotonic().saturating_add(REST)),
                Next::Idle => None,
            };
            let rest = until.map(|until| clock.sleep(until.saturating_sub(clock.monotonic())));
            tokio::select! {
                () = stop.cancelled() => {}
                Some(()) = OptionFuture::from(rest) => {}
                // Throttled moves wait all the same: whoever asks for another one pays for it later.
                _ = begun.changed(), if !matches!(next, Next::Wait(_)) => {}
            }
        }
    }

    /// Copies a piece of each partition that moves. Blocks on files.
    fn move_all(&self, stop: &CancellationToken) -> Next {
        let mut next = Next::Idle;
        for partition in self.replicas.partitions() {
            let Some(future) = partition.future() else { continue };
            if stop.is_cancelled() {
                return Next::Idle;
            }
            // Another mover may have it.
            let Some(mut log) = future.try_lock() else { continue };
            match self.move_one(&partition, &future, &mut log) {
                Some(0) => next = Next::GoOn,
                Some(bytes) => {
                    let rate = self.replicas.config().replica_move_bytes_per_second();
                    let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(until) = throttle.note(bytes, rate as f64, self.replicas.clock().monotonic()) {
                        return Next::Wait(until);
                    }
                    next = Next::GoOn;
                }
                None if matches!(next, Next::Idle) => next = Next::Rest,
                None => {}
            }
        }
        next
    }

    /// Does one step of a move; how many bytes were copied, or `None` where nothing could be done.
    fn move_one(
        &self,
        partition: &Arc<HostedPartition>,
        future: &Arc<FutureReplica>,
        slot: &mut Option<Log>,
    ) -> Option<usize> {
        if future.log_dir().is_offline() {
            // As in Kafka; the start that finds the directory again goes on with it.
            tracing::warn!(partition = %partition.topic_partition(), "a move ends: the log directory has failed");
            drop(slot.take());
            partition.end_move_of(future);
            return Some(0);
        }
        if partition.is_offline() {
            return None;
        }
        match self.step(partition, future, slot) {
            Ok(done) => done,
            Err(error) if error.passes() => {
                if let MoveError::Storage(error) | MoveError::Append(AppendError::Storage(error)) = &error {
                    partition.log_storage_error("moving a replica", error);
                }
                None
            }
            // Whichever of the two has failed has said so.
            Err(_) if future.log_dir().is_offline() || partition.is_offline() => Some(0),
            Err(error) => {
                tracing::error!(partition = %partition.topic_partition(), %error,
                    "a replica cannot be moved, and stays in its log directory; alter it again once the cause is gone");
                if let Some(log) = slot.take() {
                    self.replicas.delete_future_log(log);
                }
                partition.end_move_of(future);
                Some(0)
            }
        }
    }

    fn step(
        &self,
        partition: &Arc<HostedPartition>,
        future: &Arc<FutureReplica>,
        slot: &mut Option<Log>,
    ) -> Result<Option<usize>, MoveError> {
        let now = self.replicas.clock().now();
        let Some(log) = slot.as_mut() else { return Ok(None) };
        let Some(step) = partition.next_move_step(future, log) else { return Ok(None) };
        let mut copied = 0;
        match step {
            MoveStep::StartAt(offset) => log.truncate_fully_and_start_at(offset, now)?,
            MoveStep::TruncateTo(offset) => log.truncate_to(offset, now)?,
            MoveStep::Copy(offset) => {
                let most = PIECE.min(log.config().segment_bytes as usize);
                let Some(found) = partition.records_to_move(offset, most) else { return Ok(None) };
                let (slice, end) = found?;
                if slice.is_empty() {
                    log.skip_to(end, now)?;
                } else {
                    copied = slice.len();
                    allow_batches_of(copied, log);
                    let records = slice.read_blocking()?;
                    if log.append_as_follower(&records, LeaderEpoch::MAX, now)?.rolled {
                        flush_future(log, now)?;
                    }
                }
            }
            MoveStep::Swap => return self.swap(partition, future, slot),
        }
        future.note(log);
        Ok(Some(copied))
    }

    /// Lets the future log, which has caught up, take the place of the current one.
    fn swap(
        &self,
        partition: &Arc<HostedPartition>,
        future: &Arc<FutureReplica>,
        slot: &mut Option<Log>,
    ) -> Result<Option<usize>, MoveError> {
        let now = self.replicas.clock().now();
        if let Some(log) = slot.as_mut() {
            let Some(prepared) = partition.prepare_swap(log) else { return Ok(None) };
            prepared?;
            future.note(log);
            // Where the log starts must be written down before it is the partition's.
            self.replicas.write_checkpoints();
        }
        match self.replicas.between_checkpoints(|| partition.swap(future, slot, LAST_PIECE, now))? {
            SwapOutcome::Done(replaced) => {
                self.replicas.finish_move(partition, *replaced);
                Ok(Some(0))
            }
            SwapOutcome::NotYet => {
                slot.as_ref().inspect(|log| future.note(log));
                Ok(Some(0))
            }
            SwapOutcome::Gone => Ok(None),
        }
    }
}

/// Lets `log` take a batch of so many bytes, which segments had room for when it was appended. With its other settings it
/// gets the segments' size back when it takes its place.
fn allow_batches_of(size: usize, log: &mut Log) {
    let size = u32::try_from(size).unwrap_or(u32::MAX);
    if size > log.config().segment_bytes {
        log.set_config(LogConfig { segment_bytes: size, ..log.config().clone() });
    }
}

#[cfg(test)]
mod tests;
