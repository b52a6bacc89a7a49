//! Appending to a hosted partition as its leader.

use bytes::Bytes;

use super::{Hosted, HostedPartition};
use crate::clock::Now;
use crate::ids::LeaderEpoch;
use crate::protocol::ErrorCode;
use crate::replication::append_outcome::{self, PartitionAppendError};
use crate::replication::disk_turns;
use crate::replication::partition::RequiredAcks;
use crate::storage::{AppendInfo, AppendOrigin, BatchToVerify, VerificationGuard};

/// A successful append.
#[derive(Debug)]
pub struct Appended {
    /// Where the records are.
    pub info: AppendInfo,
    /// The leadership in which they were appended.
    pub leader_epoch: LeaderEpoch,
    /// Whether every in-sync replica already has them.
    pub committed: bool,
    /// Whether `flush.messages` asks for an fsync before anyone is told.
    pub needs_flush: bool,
}

/// One record batch to append, and under which conditions.
#[derive(Debug, Clone, Copy)]
pub struct AppendRequest<'a> {
    /// The batch.
    pub records: &'a Bytes,
    /// Which replicas must be there.
    pub acks: RequiredAcks,
    /// Who has made it.
    pub origin: AppendOrigin,
    /// The leadership in which it was decided on; -1 where any will do.
    pub leader_epoch: LeaderEpoch,
    /// What [`HostedPartition::begin_verification`] gave out for a transaction's first records.
    pub guard: Option<VerificationGuard>,
}

/// Whom an append is news for.
struct AppendNews {
    /// Whether the high watermark has advanced.
    advanced: bool,
    /// Whether there are followers to fetch it.
    has_followers: bool,
}

impl<'a> AppendRequest<'a> {
    /// What a client sends.
    pub fn by_client(records: &'a Bytes, acks: RequiredAcks) -> Self {
        Self { records, acks, origin: AppendOrigin::Client, leader_epoch: -1, guard: None }
    }

    /// What a coordinator has decided in the leadership of that epoch, or, with -1, in any.
    pub fn by_coordinator(records: &'a Bytes, leader_epoch: LeaderEpoch) -> Self {
        Self { records, acks: RequiredAcks::All, origin: AppendOrigin::Coordinator, leader_epoch, guard: None }
    }
}

impl HostedPartition {
    /// Appends one record batch as the leader. Where the disk hangs, so does this, though not on the last worker; where too
    /// many wait for it already, the batch is refused.
    pub fn append(&self, request: &AppendRequest<'_>, now: Now) -> Result<Appended, PartitionAppendError> {
        let appended = self.disk_turns.take(|| self.append_alone(request, now));
        let appended = appended.unwrap_or(Err(PartitionAppendError::Refused(ErrorCode::KafkaStorageError)));
        let outcome = appended.as_ref().map(|(Appended { info, .. }, _)| (info.first_offset, info.last_offset));
        append_outcome::count(&self.traffic, request.records.len(), outcome);
        let (appended, news) = appended?;
        if news.advanced {
            self.watermark_waiters.wake();
        }
        if news.has_followers {
            self.log_end.wake();
        }
        Ok(appended)
    }

    /// Begins to verify that a producer's transaction is known to its coordinator, which is to be asked then; `None` where it
    /// is open in this partition, or nobody wants to know, and there is nothing to ask.
    ///
    /// Errors: [`ErrorCode::InvalidProducerEpoch`], and those of leadership.
    pub fn begin_verification(&self, batch: BatchToVerify, now: Now) -> Result<Option<VerificationGuard>, ErrorCode> {
        self.with_leader(-1, |Hosted { log, .. }| {
            // There is no other reason to refuse one.
            log.begin_verification(batch, now).map_err(|_| ErrorCode::InvalidProducerEpoch)
        })
    }

    /// The most bytes that an append of one batch may have at this moment, or why it would be refused whatever it holds.
    pub fn append_limit(&self, acks: RequiredAcks) -> Result<usize, ErrorCode> {
        self.with(|Hosted { partition, log, .. }| {
            partition.may_append(acks)?;
            let config = log.config();
            Ok(config.max_message_bytes.min(config.segment_bytes) as usize)
        })
    }

    /// Appends in its turn, and lets others look while the batch is written.
    fn append_alone(
        &self,
        request: &AppendRequest<'_>,
        now: Now,
    ) -> Result<(Appended, AppendNews), PartitionAppendError> {
        let AppendRequest { records, acks, origin, leader_epoch, guard } = *request;
        let gone = || PartitionAppendError::Refused(ErrorCode::UnknownTopicOrPartition);
        let _turn = disk_turns::lock(&self.appending);
        let task = {
            let mut hosted = self.lock();
            let Hosted { partition, log, .. } = hosted.as_mut().ok_or_else(gone)?;
            let may_append = partition.may_append(acks);
            may_append
                .and_then(|()| partition.check_leader_epoch(leader_epoch))
                .map_err(PartitionAppendError::Refused)?;
            log.begin_append(records, partition.leader_epoch(), origin, guard, now)?
        };
        let written = task.run();
        let mut hosted = self.lock();
        let Hosted { partition, log, has_rolled, .. } = hosted.as_mut().ok_or_else(gone)?;
        let info = log.finish_append(written)?;
        *has_rolled |= info.rolled;
        let advanced = partition.appended(log.log_end_offset(), &self.moment(now.monotonic));
        let committed = partition.high_watermark() > info.last_offset;
        log.replicated_to(partition.high_watermark());
        let needs_flush = log.unflushed_messages() >= log.config().flush_messages;
        let leader_epoch = partition.leader_epoch();
        let news = AppendNews { advanced, has_followers: partition.replicas().len() > 1 };
        Ok((Appended { info, leader_epoch, committed, needs_flush }, news))
    }
}
