//! A hosted partition as a follower: what its leader's answers make of its log.
//!
//! Each act names the leadership that it is of, and is refused once the partition knows of another one, leads itself, or is
//! gone: what comes late changes nothing (KAFKA-10371).

use std::sync::MutexGuard;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::{Hosted, HostedPartition};
use crate::clock::Now;
use crate::ids::LeaderEpoch;
use crate::replication::disk_turns;
use crate::replication::partition::follower::{FollowerLog, following_log_start};
use crate::storage::{AppendError, StorageError};

/// Why a follower's act was not done.
#[derive(Debug, thiserror::Error)]
pub(in crate::replication) enum FollowError {
    /// The partition does not follow in that epoch any more.
    #[error("the partition does not follow in that leader epoch any more")]
    Moved,
    /// So many wait for the disk that this one does not.
    #[error("too many wait for the disk")]
    Busy,
    /// The log refuses the records, or cannot write.
    #[error(transparent)]
    Append(#[from] AppendError),
}

impl From<StorageError> for FollowError {
    fn from(error: StorageError) -> Self {
        Self::Append(error.into())
    }
}

/// What a leader has answered, to be taken over.
#[derive(Debug, Clone, Copy)]
pub(in crate::replication) struct ReplicatedRecords<'a> {
    /// The batches; the last one may be cut off.
    pub(in crate::replication) records: &'a Bytes,
    /// The newest epoch that they may have.
    pub(in crate::replication) newest_epoch: LeaderEpoch,
    /// The leader's high watermark.
    pub(in crate::replication) high_watermark: i64,
    /// The first offset of the leader's log.
    pub(in crate::replication) log_start_offset: i64,
}

impl HostedPartition {
    /// What the log is, if the partition follows in that epoch.
    pub(in crate::replication) fn follower_log(&self, leader_epoch: LeaderEpoch) -> Option<FollowerLog> {
        following(&mut self.lock(), leader_epoch).ok().map(|hosted| follower_log(hosted))
    }

    /// Where `epoch` ended in the log of a follower.
    pub(in crate::replication) fn own_end_of(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, i64)> {
        self.lock().as_ref()?.log.end_offset_for_epoch(epoch)
    }

    /// Appends what the leader has answered, and takes over up to where it is committed and where the log begins; answers
    /// what the log is then, and the epoch of the last batch, if any was appended. Waits for the disk as
    /// [`HostedPartition::append`] does.
    pub(in crate::replication) fn replicate(
        &self,
        leader_epoch: LeaderEpoch,
        replicated: &ReplicatedRecords<'_>,
        now: Now,
    ) -> Result<(FollowerLog, Option<LeaderEpoch>), FollowError> {
        if replicated.records.is_empty() {
            return self.follow_offsets(leader_epoch, replicated, None);
        }
        let replicate = || {
            let _turn = disk_turns::lock(&self.appending);
            let last_epoch = self.append_replicated(leader_epoch, replicated, now)?;
            self.follow_offsets(leader_epoch, replicated, last_epoch)
        };
        self.disk_turns.take(replicate).unwrap_or(Err(FollowError::Busy))
    }

    /// The caller holds the turn to append.
    fn append_replicated(
        &self,
        leader_epoch: LeaderEpoch,
        replicated: &ReplicatedRecords<'_>,
        now: Now,
    ) -> Result<Option<LeaderEpoch>, FollowError> {
        let task = {
            let mut guard = self.lock();
            let Hosted { log, .. } = following(&mut guard, leader_epoch)?;
            log.begin_replica_append(replicated.records, replicated.newest_epoch, now)?
        };
        let Some(task) = task else { return Ok(None) };
        let written = task.run();
        let mut guard = self.lock();
        let Hosted { log, has_rolled, .. } = guard.as_mut().ok_or(FollowError::Moved)?;
        let info = log.finish_replica_append(written)?;
        *has_rolled |= info.rolled;
        Ok(log.latest_epoch())
    }

    fn follow_offsets(
        &self,
        leader_epoch: LeaderEpoch,
        replicated: &ReplicatedRecords<'_>,
        last_epoch: Option<LeaderEpoch>,
    ) -> Result<(FollowerLog, Option<LeaderEpoch>), FollowError> {
        let mut guard = self.lock();
        let hosted = following(&mut guard, leader_epoch)?;
        let (start, end) = (hosted.log.log_start_offset(), hosted.log.log_end_offset());
        let advanced = hosted.partition.replicated(start, end, replicated.high_watermark);
        if advanced {
            hosted.log.replicated_to(hosted.partition.high_watermark());
        }
        let start = following_log_start(replicated.log_start_offset, &follower_log(hosted));
        hosted.log.increment_log_start_offset(start)?;
        let log = follower_log(hosted);
        self.lag.store((replicated.high_watermark - end).max(0), Ordering::Relaxed);
        drop(guard);
        if advanced {
            self.watermark_waiters.wake();
        }
        Ok((log, last_epoch))
    }

    /// Removes the record at `offset` and everything behind it; answers what the log is then, and whether its recovery point
    /// went back, which must be written down before anything is appended: else a start would take what lies there then
    /// for flushed.
    pub(in crate::replication) fn truncate_as_follower(
        &self,
        leader_epoch: LeaderEpoch,
        offset: i64,
        now: Now,
    ) -> Result<(FollowerLog, bool), FollowError> {
        self.truncate(leader_epoch, |hosted| {
            hosted.log.truncate_to(offset, now)?;
            hosted.partition.truncated(hosted.log.log_end_offset());
            Ok(())
        })
    }

    /// The same for everything; the log goes on at `offset`.
    pub(in crate::replication) fn restart_as_follower(
        &self,
        leader_epoch: LeaderEpoch,
        offset: i64,
        now: Now,
    ) -> Result<(FollowerLog, bool), FollowError> {
        self.truncate(leader_epoch, |hosted| {
            hosted.log.truncate_fully_and_start_at(offset, now)?;
            hosted.partition.truncated_fully(offset);
            Ok(())
        })
    }

    fn truncate(
        &self,
        leader_epoch: LeaderEpoch,
        truncate: impl FnOnce(&mut Hosted) -> Result<(), StorageError>,
    ) -> Result<(FollowerLog, bool), FollowError> {
        let truncate = || {
            let (_turn, mut guard) = self.lock_between_appends();
            let hosted = following(&mut guard, leader_epoch)?;
            let recovery_point = hosted.log.recovery_point();
            truncate(hosted)?;
            hosted.log.replicated_to(hosted.partition.high_watermark());
            Ok((follower_log(hosted), hosted.log.recovery_point() < recovery_point))
        };
        self.disk_turns.take(truncate).unwrap_or(Err(FollowError::Busy))
    }
}

/// What is hosted, if it follows in that epoch.
fn following<'a>(
    guard: &'a mut MutexGuard<'_, Option<Hosted>>,
    leader_epoch: LeaderEpoch,
) -> Result<&'a mut Hosted, FollowError> {
    let follows =
        |hosted: &&mut Hosted| !hosted.partition.is_leader() && hosted.partition.leader_epoch() == leader_epoch;
    guard.as_mut().filter(follows).ok_or(FollowError::Moved)
}

fn follower_log(Hosted { partition, log, .. }: &Hosted) -> FollowerLog {
    FollowerLog {
        log_start_offset: log.log_start_offset(),
        log_end_offset: log.log_end_offset(),
        high_watermark: partition.high_watermark(),
        latest_epoch: log.latest_epoch(),
    }
}
