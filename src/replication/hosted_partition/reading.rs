//! Reading from a hosted partition: for consumers up to what is committed, for followers up to the log's end.

use std::sync::Arc;

use super::{Hosted, HostedPartition, last_stable_offset};
use crate::clock::Now;
use crate::ids::{LeaderEpoch, NodeId};
use crate::metrics::Traffic;
use crate::protocol::ErrorCode;
use crate::replication::delayed::{Awaited, Waiters};
use crate::replication::partition::FollowerFetch;
use crate::replication::partition::isr::IsrProposal;
use crate::storage::cleaner::AbortedTxn;
use crate::storage::{Log, LogSlice};

/// What a reader wants of one partition.
#[derive(Debug, Clone, Copy)]
pub struct ReadRequest {
    /// The first offset.
    pub fetch_offset: i64,
    /// At most this many bytes.
    pub max_bytes: usize,
    /// Whether a first batch larger than `max_bytes` is given all the same, so that a reader gets on.
    pub min_one: bool,
    /// The leader epoch that the reader believes in, or -1.
    pub current_leader_epoch: LeaderEpoch,
    /// The epoch of the reader's last record, or -1.
    pub last_fetched_epoch: LeaderEpoch,
    /// Whether to stop at the last stable offset rather than at the high watermark.
    pub read_committed: bool,
}

/// What a read found; offsets and records are of one moment.
#[derive(Debug, Clone)]
pub struct ReadResult {
    /// The first offset that is not committed.
    pub high_watermark: i64,
    /// The first offset that a transaction may still decide about.
    pub last_stable_offset: i64,
    /// The first offset of the log.
    pub log_start_offset: i64,
    /// Where the reader's log left ours: the epoch and its end offset (KIP-595). No records come with it.
    pub diverging: Option<(LeaderEpoch, i64)>,
    /// The records, not yet read.
    pub records: Option<LogSlice>,
    /// For who reads committed records only: the aborted transactions among these, and maybe behind them.
    pub aborted_transactions: Vec<AbortedTxn>,
    /// Whether there are more records than these, in newer segments, which no longer reading of this one would find.
    pub is_on_older_segment: bool,
    /// Where it is counted once it is given to the reader.
    pub traffic: Arc<Traffic>,
}

/// A partition, for a follower that waits for records.
pub struct LogEnd(pub Arc<HostedPartition>);

impl Awaited for LogEnd {
    fn waiters(&self) -> &Waiters {
        &self.0.log_end
    }
}

/// Which follower fetches, and what it says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchingFollower {
    /// Its node id.
    pub id: NodeId,
    /// The registration of its broker under which it fetches, or -1 where it does not say.
    pub broker_epoch: i64,
    /// The first offset of its log.
    pub log_start_offset: i64,
}

impl HostedPartition {
    /// Finds records for a reader.
    ///
    /// Errors: [`ErrorCode::OffsetOutOfRange`], [`ErrorCode::KafkaStorageError`], and those of leadership.
    pub fn read(&self, request: &ReadRequest) -> Result<ReadResult, ErrorCode> {
        self.with_leader(request.current_leader_epoch, |hosted| {
            let high_watermark = hosted.partition.high_watermark();
            let last_stable_offset = last_stable_offset(&hosted.partition, &hosted.log);
            let upper_bound = if request.read_committed { last_stable_offset } else { high_watermark };
            self.read_below(upper_bound, request, hosted, (high_watermark, last_stable_offset))
        })
    }

    /// Finds records for a follower, up to the log's end. With the time at which its fetch `arrived`, and without for one
    /// that has waited since, what it tells of the follower is noted; what the controller is to be asked for then, if
    /// anything, comes with the records.
    ///
    /// Unlike Kafka, which answers the high watermark of before, the follower is told what its own fetch has committed.
    ///
    /// Errors: as [`HostedPartition::read`], and those of
    /// [`Partition::check_follower`](crate::replication::partition::Partition::check_follower) and
    /// [`Partition::follower_fetched`](crate::replication::partition::Partition::follower_fetched), in Kafka's order.
    pub fn read_for_follower(
        &self,
        request: &ReadRequest,
        follower: &FetchingFollower,
        arrived: Option<Now>,
    ) -> Result<(ReadResult, Option<IsrProposal>), ErrorCode> {
        let (read, proposal, advanced) = self.with(|hosted| {
            hosted.partition.check_follower(follower.id, request.current_leader_epoch)?;
            let end = hosted.log.log_end_offset();
            let offsets = (hosted.partition.high_watermark(), last_stable_offset(&hosted.partition, &hosted.log));
            let mut read = self.read_below(end, request, hosted, offsets)?;
            let Some(now) = arrived.filter(|_| read.diverging.is_none()) else { return Ok((read, None, false)) };
            let fetch = FollowerFetch {
                follower: follower.id,
                broker_epoch: follower.broker_epoch,
                fetch_offset: request.fetch_offset,
                log_start_offset: follower.log_start_offset,
                leader_log_end_offset: end,
                diverges: false,
            };
            let Hosted { partition, log, .. } = hosted;
            let (advanced, proposal) = partition.follower_fetched(&fetch, &self.moment(now.monotonic))?;
            if advanced {
                log.replicated_to(partition.high_watermark());
                read.high_watermark = partition.high_watermark();
                read.last_stable_offset = last_stable_offset(partition, log);
            }
            Ok((read, proposal, advanced))
        })?;
        if advanced {
            self.watermark_waiters.wake();
        }
        if arrived.is_some() {
            self.follower_starts.wake();
        }
        Ok((read, proposal))
    }

    /// Finds records before `upper_bound`.
    fn read_below(
        &self,
        upper_bound: i64,
        request: &ReadRequest,
        Hosted { log, .. }: &Hosted,
        (high_watermark, last_stable_offset): (i64, i64),
    ) -> Result<ReadResult, ErrorCode> {
        let mut result = ReadResult {
            high_watermark,
            last_stable_offset,
            log_start_offset: log.log_start_offset(),
            diverging: None,
            records: None,
            aborted_transactions: Vec::new(),
            is_on_older_segment: false,
            traffic: Arc::clone(&self.traffic),
        };
        result.diverging = diverging_epoch(log, request)?;
        if result.diverging.is_some() {
            return Ok(result);
        }
        let slice = log
            .read(request.fetch_offset, request.max_bytes, upper_bound, request.min_one)
            .map_err(|error| self.read_error(&error))?;
        result.is_on_older_segment =
            request.fetch_offset < upper_bound && log.is_on_older_segment(request.fetch_offset, upper_bound);
        if request.read_committed && !slice.is_empty() {
            result.aborted_transactions = log.aborted_transactions(request.fetch_offset, slice.len(), upper_bound);
        }
        result.records = (!slice.is_empty()).then_some(slice);
        Ok(result)
    }
}

/// Where the reader's history left ours, if it says what its last epoch was and ours knows otherwise. An epoch that we
/// know nothing of at all makes its offset meaningless; one before our log's start is so whatever the histories are.
fn diverging_epoch(log: &Log, request: &ReadRequest) -> Result<Option<(LeaderEpoch, i64)>, ErrorCode> {
    if request.last_fetched_epoch < 0 {
        return Ok(None);
    }
    let (epoch, end_offset) =
        log.end_offset_for_epoch(request.last_fetched_epoch).ok_or(ErrorCode::OffsetOutOfRange)?;
    if request.fetch_offset < log.log_start_offset() {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    let has_diverged = epoch < request.last_fetched_epoch || end_offset < request.fetch_offset;
    Ok(has_diverged.then_some((epoch, end_offset)))
}
