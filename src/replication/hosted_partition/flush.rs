//! Bringing a hosted partition's log to the disk, off its lock.

use std::sync::{Arc, PoisonError};

use super::HostedPartition;
use crate::clock::Now;
use crate::protocol::ErrorCode;
use crate::storage::{FlushTask, Log, StorageError};

impl HostedPartition {
    /// Waits until everything below `offset` is on disk. Those who wait together share one fsync.
    ///
    /// An fsync that nobody waits for any more goes on and keeps its turn: where the disk hangs, who gives up and asks again
    /// takes no other thread.
    pub async fn flushed_to(self: Arc<Self>, offset: i64, now: Now) -> Result<(), ErrorCode> {
        let turn = Arc::clone(&self.flushing).lock_owned().await;
        if self.with(|hosted| Ok(hosted.log.recovery_point()))? >= offset {
            return Ok(());
        }
        let flush = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            self.flush(now)
        });
        flush.await.unwrap_or(Err(ErrorCode::KafkaStorageError))
    }

    /// Whether a power loss could take records.
    pub(in crate::replication) fn has_unflushed(&self) -> bool {
        self.lock().as_ref().is_some_and(|hosted| hosted.log.unflushed_messages() > 0)
    }

    /// Brings everything appended so far to disk; blocks on the fsync, but not the partition. A failure takes the log
    /// directory offline and is never tried again.
    pub fn flush(&self, now: Now) -> Result<(), ErrorCode> {
        self.run_flush(now, Log::flush_task)
    }

    /// Flushes what `flush.messages`, `flush.ms` or a closed segment asks for; blocks on the fsync.
    pub(in crate::replication) fn flush_due(&self, now: Now) -> Result<(), ErrorCode> {
        let (is_due, has_rolled) =
            self.with(|hosted| Ok((hosted.log.is_flush_due(now), std::mem::take(&mut hosted.has_rolled))))?;
        match (is_due, has_rolled) {
            (true, _) => self.run_flush(now, Log::flush_task),
            (false, true) => self.run_flush(now, Log::flush_rolled_task).inspect_err(|_| self.note_roll()),
            (false, false) => Ok(()),
        }
    }

    /// Has the closed segments looked at again at the next beat: a flush that found no file handle is still due.
    fn note_roll(&self) {
        if let Some(hosted) = self.lock().as_mut() {
            hosted.has_rolled = true;
        }
    }

    fn run_flush(
        &self,
        now: Now,
        task: impl FnOnce(&mut Log) -> Result<Option<FlushTask>, StorageError>,
    ) -> Result<(), ErrorCode> {
        let _turn = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |error: StorageError| {
            tracing::error!(partition = %self.topic_partition, %error, "flushing the log failed");
            ErrorCode::KafkaStorageError
        };
        let Some(task) = self.with(|hosted| task(&mut hosted.log).map_err(failed))? else {
            return Ok(());
        };
        let flushed_to = task.run().map_err(failed)?;
        self.with(|hosted| {
            hosted.log.flushed(flushed_to, now);
            Ok(())
        })
    }

    /// Has every fsync wait, as for a disk that hangs, until the guard is gone.
    #[cfg(test)]
    pub fn hold_fsyncs(&self) -> HeldFsyncs<'_> {
        HeldFsyncs { _turn: self.syncing.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

/// While it lives, fsyncs wait.
#[cfg(test)]
pub struct HeldFsyncs<'a> {
    _turn: std::sync::MutexGuard<'a, ()>,
}
