//! Partitions that move between the log directories of this broker (KIP-113): how moves begin, go on after a start, and end.

use std::sync::{Arc, PoisonError};

use tokio::sync::watch;

use super::ReplicaManager;
use crate::protocol::ErrorCode;
use crate::replication::hosted_partition::HostedPartition;
use crate::storage::{Log, LogDir};

impl ReplicaManager {
    /// Has the partition's log moved into the directory at `path`. It moves while it is served; where it is to be already,
    /// nothing happens, and a move to elsewhere is given up. Blocks on files.
    ///
    /// # Errors
    /// [`ErrorCode::LogDirNotFound`]; [`ErrorCode::KafkaStorageError`] where that directory has failed, the partition is in
    /// one that has, or, as in Kafka, any has: whether there is a future log in it could not be told. Those of
    /// [`ReplicaManager::partition`].
    pub fn alter_log_dir(&self, topic: &str, partition: i32, path: &str) -> Result<(), ErrorCode> {
        let to = self.log_dir_at(path).ok_or(ErrorCode::LogDirNotFound)?;
        if to.is_offline() {
            return Err(ErrorCode::KafkaStorageError);
        }
        let partition = self.partition(topic, partition)?;
        let _turn = self.altering.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(future) = partition.future() {
            if Arc::ptr_eq(future.log_dir(), to) {
                return Ok(());
            }
            if let Some(log) = partition.end_move() {
                self.delete_future_log(log);
            }
        }
        if Arc::ptr_eq(&partition.log_dir(), to) {
            return Ok(());
        }
        if self.offline_log_dirs() > 0 {
            return Err(ErrorCode::KafkaStorageError);
        }
        self.begin_move(&partition, to)
    }

    fn begin_move(&self, partition: &HostedPartition, to: &Arc<LogDir>) -> Result<(), ErrorCode> {
        let name = partition.topic_partition();
        let config = partition.with_log(|log| log.config().clone()).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        if to.is_checkpointed(name) {
            self.write_checkpoints();
        }
        let log = to.create_future_log(name, partition.topic_id(), config, self.clock.now()).map_err(|error| {
            partition.log_storage_error("moving a replica", &error);
            ErrorCode::KafkaStorageError
        })?;
        tracing::info!(partition = %name, to = to.absolute_path(), "a replica moves to another log directory");
        partition.begin_move(Arc::clone(to), log);
        if partition.with_log(|_| ()).is_none() {
            // It was deleted meanwhile, maybe before there was a move to end.
            partition.end_move().into_iter().for_each(|log| self.delete_future_log(log));
        }
        self.moves_begun.send_replace(());
        Ok(())
    }

    /// Notices moves that begin.
    pub(in crate::replication) fn moves_begun(&self) -> watch::Receiver<()> {
        self.moves_begun.subscribe()
    }

    /// How many replicas move at once: `num.replica.alter.log.dirs.threads`, or as many as there are directories.
    pub(in crate::replication) fn mover_threads(&self) -> usize {
        let threads = self.config().broker.num_replica_alter_log_dirs_threads;
        threads.and_then(|threads| usize::try_from(threads).ok()).unwrap_or(self.log_dirs.all().len()).max(1)
    }

    /// Does `work` while no checkpoints are written, which must not be of two moments.
    pub(in crate::replication) fn between_checkpoints<T>(&self, work: impl FnOnce() -> T) -> T {
        let _turn = self.checkpointing.lock().unwrap_or_else(PoisonError::into_inner);
        work()
    }

    /// Ends the move of a partition whose log was `replaced` until now. Blocks on fsyncs.
    pub(in crate::replication) fn finish_move(&self, partition: &HostedPartition, replaced: Log) {
        let (name, to) = (partition.topic_partition(), partition.log_dir());
        if let Err(error) = self.log_dirs.finish_move(replaced, &to, self.clock.now()) {
            tracing::error!(partition = %name, %error, "the replica's earlier log stays until the next start");
        }
        self.write_checkpoints();
        tracing::info!(partition = %name, to = to.absolute_path(), "a replica has moved to another log directory");
    }

    /// Deletes a log that will not take its place.
    pub(in crate::replication) fn delete_future_log(&self, log: Log) {
        let partition = log.topic_partition().clone();
        if self.log_dirs.dir_of(&log).is_offline() {
            return;
        }
        if let Err(error) = self.log_dirs.delete_log(log, self.clock.now()) {
            tracing::error!(%partition, %error, "the copy of a log that is not needed any more stays until the next start");
        }
    }

    /// `future` without what `current` has lost in a crash, before anything else takes that place. `None`, and it is deleted,
    /// where that fails.
    pub(super) fn future_of(&self, current: &Log, mut future: Log) -> Option<Log> {
        let end = current.log_end_offset();
        if future.log_end_offset() > end
            && let Err(error) = future.truncate_to(end, self.clock.now())
        {
            tracing::warn!(partition = %current.topic_partition(), %error, "a move to another log directory is given up");
            self.delete_future_log(future);
            return None;
        }
        Some(future)
    }

    /// Lets a partition go on moving to where `future` is. Movers are to be told once they can find the partition.
    pub(super) fn resume_move(&self, partition: &HostedPartition, future: Log) {
        let to = Arc::clone(self.log_dirs.dir_of(&future));
        tracing::info!(partition = %partition.topic_partition(), to = to.absolute_path(),
            "a replica goes on moving to another log directory");
        partition.begin_move(to, future);
    }
}
