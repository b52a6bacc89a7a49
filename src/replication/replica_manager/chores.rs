//! What time brings to every partition: flushes, checkpoints, retention, the removal of what was deleted; and the end.

use std::sync::{Arc, PoisonError};

use super::{MANY_UNFLUSHED, ReplicaManager};
use crate::protocol::ErrorCode;
use crate::replication::hosted_partition::HostedPartition;
use crate::storage::{CheckpointEntry, LogDir, StorageError};

impl ReplicaManager {
    /// Whether [`ReplicaManager::remove_deleted_log`] has anything to do, now or later.
    pub fn has_deleted_logs(&self) -> bool {
        self.log_dirs.online().any(|dir| dir.has_deleted())
    }

    /// Removes the files of one deleted log whose delay is over; whether there was one. Blocks on files.
    pub fn remove_deleted_log(&self) -> bool {
        let now = self.clock.now();
        self.log_dirs.online().any(|dir| {
            dir.remove_deleted(now).unwrap_or_else(|error| {
                tracing::error!(%error, "the files of a deleted log stay until the next start");
                true
            })
        })
    }

    /// Has the files of segments that the partition has given up removed when their delay is over.
    pub(in crate::replication) fn note_deleted_segments(&self, partition: &Arc<HostedPartition>) {
        let mut noted = self.with_deleted_segments.lock().unwrap_or_else(PoisonError::into_inner);
        if !noted.iter().any(|other| Arc::ptr_eq(other, partition)) {
            noted.push(Arc::clone(partition));
        }
    }

    /// Whether [`ReplicaManager::remove_deleted_segments`] has anything to do, now or later.
    pub fn has_deleted_segments(&self) -> bool {
        !self.with_deleted_segments.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Removes the files of deleted segments whose delay is over. Blocks on files.
    pub fn remove_deleted_segments(&self) {
        let now = self.clock.now();
        let noted = std::mem::take(&mut *self.with_deleted_segments.lock().unwrap_or_else(PoisonError::into_inner));
        for partition in noted {
            if partition.remove_deleted_segments(now) {
                self.note_deleted_segments(&partition);
            }
        }
    }

    /// Forgets idle producers, partition by partition.
    pub fn expire_producers(&self) {
        let now = self.clock.now();
        for partition in self.partitions() {
            partition.expire_producers(now);
        }
    }

    /// Frees the decompressors that no batch has needed since the last call.
    pub fn give_back_unused_decompressors(&self) {
        self.log_dirs.give_back_unused_decompressors();
    }

    /// Deletes old segments, partition by partition. Blocks on files.
    pub fn delete_old_segments(&self) {
        let now = self.clock.now();
        for partition in self.partitions().into_iter().filter(|partition| !partition.is_offline()) {
            let deleted = partition.delete_old_segments(now);
            if deleted > 0 {
                self.note_deleted_segments(&partition);
                tracing::info!(partition = %partition.topic_partition(), deleted, "deleted segments by retention");
            }
        }
    }

    /// Flushes what is due: closed segments, and logs that `flush.ms` speaks of. Blocks on fsyncs.
    pub fn flush_due(&self) {
        self.notice_failed_dirs();
        let now = self.clock.now();
        for partition in self.partitions().iter().filter(|partition| !partition.is_offline()) {
            // A log directory that is offline now has said so, and the others' logs are flushed all the same.
            let _ = partition.flush_due(now);
        }
    }

    /// Makes the deletion of records in `partitions` survive a power loss, and removes the segments that are wholly gone.
    /// What retention lets go besides waits for its own time, as in Kafka: the answer has told where the log starts.
    ///
    /// One at a time, and each is brought to its end, whether it is waited for or not: who gives up and asks again takes no
    /// other thread that waits for the same disk.
    pub async fn finish_record_deletion(
        self: Arc<Self>,
        partitions: Vec<Arc<HostedPartition>>,
    ) -> Result<(), ErrorCode> {
        let turn = Arc::clone(&self.deleting_records).lock_owned().await;
        let finished = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            self.finish_record_deletion_now(&partitions)
        });
        finished.await.unwrap_or(Err(ErrorCode::KafkaStorageError))
    }

    fn finish_record_deletion_now(&self, partitions: &[Arc<HostedPartition>]) -> Result<(), ErrorCode> {
        self.try_write_checkpoints().map_err(|error| {
            tracing::error!(%error, "the deletion of records may not last");
            ErrorCode::KafkaStorageError
        })?;
        let now = self.clock.now();
        for partition in partitions {
            if partition.delete_segments_before_start(now) > 0 {
                self.note_deleted_segments(partition);
            }
        }
        Ok(())
    }

    /// What the checkpoint files of one log directory say.
    fn checkpoint_entries(&self, dir: &Arc<LogDir>) -> Vec<CheckpointEntry> {
        let entry_of = |partition: &Arc<HostedPartition>| {
            if Arc::ptr_eq(&partition.log_dir(), dir) {
                partition.checkpoint_entry()
            } else {
                // As in Kafka: the start that goes on with the move must know it.
                let is_here = partition.future().is_some_and(|future| Arc::ptr_eq(future.log_dir(), dir));
                is_here.then(|| partition.future_checkpoint_entry()).flatten()
            }
        };
        self.partitions().iter().filter_map(entry_of).collect()
    }

    /// Writes the checkpoint files if anything in them has changed. Blocks on fsyncs.
    pub fn write_checkpoints(&self) {
        if let Err(error) = self.try_write_checkpoints() {
            tracing::error!(%error, "writing the checkpoints failed");
        }
    }

    pub(super) fn try_write_checkpoints(&self) -> Result<(), StorageError> {
        // Nobody may write down what was true before another one wrote.
        let _turn = self.checkpointing.lock().unwrap_or_else(PoisonError::into_inner);
        // Each of them is written, whatever became of the others.
        let written = self.log_dirs.online().map(|dir| dir.write_checkpoints(&self.checkpoint_entries(dir)));
        written.fold(Ok(()), Result::and)
    }

    /// Writes down how far each log is clean. Blocks on fsyncs.
    pub(in crate::replication) fn write_cleaner_checkpoint(&self) {
        let _turn = self.checkpointing.lock().unwrap_or_else(PoisonError::into_inner);
        for dir in self.log_dirs.online() {
            if let Err(error) = dir.write_cleaner_checkpoint(&self.checkpoint_entries(dir)) {
                tracing::error!(%error, "writing the cleaner's checkpoint failed");
            }
        }
    }

    /// Flushes and closes every log and marks each directory as cleanly shut down by the broker that was registered
    /// under `broker_epoch`. Of directories that have failed before nothing is expected, as long as another one works.
    /// Blocks on fsyncs.
    ///
    /// Errors: where any log could not be; its directory is then not marked, and the next start recovers.
    pub fn close(&self, broker_epoch: i64) -> Result<(), CloseError> {
        let partitions = self.partitions();
        let work = self.log_dirs.online().next().is_some();
        let dirs = self.log_dirs.all().iter().filter(|dir| !work || !dir.is_offline());
        let to_close: Vec<_> = dirs.map(|dir| (dir, in_dir(&partitions, dir))).collect();
        let flushed: Vec<_> = to_close.iter().map(|(dir, partitions)| self.flush_all(dir, partitions)).collect();
        self.topics.write().unwrap_or_else(PoisonError::into_inner).clear();
        let mut outcome = Ok(());
        for ((dir, partitions), (entries, mut failed)) in to_close.iter().zip(flushed) {
            failed += close_all(partitions);
            let closed = match failed {
                0 => dir.close(&entries, broker_epoch).map_err(CloseError::from),
                failed => Err(CloseError::Logs { failed, all: partitions.len() }),
            };
            outcome = outcome.and(closed);
        }
        outcome
    }

    /// Flushes the logs in `dir`; what its checkpoint files are to say then, and how many logs could not be flushed.
    fn flush_all(&self, dir: &Arc<LogDir>, partitions: &[Arc<HostedPartition>]) -> (Vec<CheckpointEntry>, usize) {
        let now = self.clock.now();
        if partitions.iter().filter(|partition| partition.has_unflushed()).count() > MANY_UNFLUSHED {
            dir.write_back();
        }
        let mut failed = partitions.iter().filter(|partition| partition.flush(now).is_err()).count();
        failed += self.partitions().iter().filter(|partition| partition.close_future_in(dir, now).is_err()).count();
        (self.checkpoint_entries(dir), failed)
    }
}

fn in_dir(partitions: &[Arc<HostedPartition>], dir: &Arc<LogDir>) -> Vec<Arc<HostedPartition>> {
    partitions.iter().filter(|partition| Arc::ptr_eq(&partition.log_dir(), dir)).cloned().collect()
}

/// Lets go of the logs; how many could not be closed.
fn close_all(partitions: &[Arc<HostedPartition>]) -> usize {
    let mut failed = 0;
    for mut log in partitions.iter().filter_map(|partition| partition.take_log()) {
        if let Err(error) = log.close() {
            tracing::error!(partition = %log.topic_partition(), %error, "closing the log failed");
            failed += 1;
        }
    }
    failed
}

/// Why not everything is on the disk at the end.
#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    /// Some logs could not be flushed or closed.
    #[error("{failed} of {all} logs could not be flushed or closed")]
    Logs {
        /// How many failures there were.
        failed: usize,
        /// How many logs there are.
        all: usize,
    },
    /// The checkpoints or the mark of a clean stop could not be written.
    #[error(transparent)]
    Directory(#[from] StorageError),
}
