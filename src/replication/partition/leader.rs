//! What a leader knows of its followers, from their fetches (Kafka's `Replica`), and what follows from it.

use std::collections::BTreeMap;

use super::brokers::BrokerState;
use super::isr::{AlteredIsr, InSyncReplicas, IsrProposal, IsrVerdict};
use super::{IsrConfig, Moment};
use crate::clock::Monotonic;
use crate::ids::{LeaderEpoch, NodeId};
use crate::protocol::ErrorCode;

/// A follower's fetch that has been read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowerFetch {
    /// Whose fetch it is.
    pub follower: NodeId,
    /// The registration of the follower's broker under which it was sent; -1 where it does not say (before KIP-903).
    pub broker_epoch: i64,
    /// The follower holds everything below this.
    pub fetch_offset: i64,
    /// The first offset of its log.
    pub log_start_offset: i64,
    /// Where the leader's log ended before it was read for this fetch.
    pub leader_log_end_offset: i64,
    /// Whether it is from a history that is not the leader's.
    pub diverges: bool,
}

impl FollowerFetch {
    /// Whether it is of the follower's broker as it lives now.
    pub(super) fn check_broker_epoch(&self, moment: &Moment<'_>) -> Result<(), ErrorCode> {
        let is_newer = |broker: BrokerState| !broker.is_fenced && broker.epoch > self.broker_epoch;
        let is_stale = self.broker_epoch != -1 && moment.brokers.broker(self.follower).is_some_and(is_newer);
        if is_stale { Err(ErrorCode::NotLeaderOrFollower) } else { Ok(()) }
    }
}

/// How far a follower has come. Before its first fetch in a leadership, offsets are -1 and times `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FollowerState {
    log_start_offset: i64,
    log_end_offset: i64,
    /// Where the leader's log ended when the last fetch came.
    leader_end_at_last_fetch: i64,
    last_fetch: Option<Monotonic>,
    /// The latest time at which it is known to have had everything that the leader had.
    last_caught_up: Option<Monotonic>,
    broker_epoch: Option<i64>,
}

impl FollowerState {
    const UNKNOWN: Self = Self {
        log_start_offset: -1,
        log_end_offset: -1,
        leader_end_at_last_fetch: -1,
        last_fetch: None,
        last_caught_up: None,
        broker_epoch: None,
    };

    /// A follower under a steady load never has what the leader has by now. Whoever has come to where the leader was at the
    /// fetch before, was caught up then (KAFKA-4485).
    fn fetched(&mut self, fetch: &FollowerFetch, now: Monotonic) {
        if fetch.fetch_offset >= fetch.leader_log_end_offset {
            self.last_caught_up = self.last_caught_up.max(Some(now));
        } else if fetch.fetch_offset >= self.leader_end_at_last_fetch {
            self.last_caught_up = self.last_caught_up.max(self.last_fetch);
        }
        self.log_start_offset = fetch.log_start_offset;
        self.log_end_offset = fetch.fetch_offset;
        self.leader_end_at_last_fetch = self.leader_end_at_last_fetch.max(fetch.leader_log_end_offset);
        self.last_fetch = Some(now);
        self.broker_epoch = Some(fetch.broker_epoch);
    }

    /// Begins another epoch of a leadership. Who is in sync has the full lag time to show up; who is not shall not hold up the
    /// high watermark, nor be taken for in sync, before it has fetched.
    fn begin_epoch(&mut self, leader_log_end_offset: i64, is_in_sync: bool, now: Monotonic) {
        let since = is_in_sync.then_some(now);
        self.last_caught_up = since;
        self.last_fetch = since;
        self.leader_end_at_last_fetch = leader_log_end_offset;
    }

    fn is_caught_up(&self, log_end_offset: i64, config: &IsrConfig, now: Monotonic) -> bool {
        let is_recent = |caught_up: Monotonic| now.saturating_sub(caught_up) <= config.lag_time_max;
        self.log_end_offset == log_end_offset || self.last_caught_up.is_some_and(is_recent)
    }

    /// Whether the controller would take it as in sync: its broker lives, stays, and is the one that fetched (KIP-841,
    /// KIP-903).
    fn is_eligible(&self, id: NodeId, moment: &Moment<'_>) -> bool {
        self.broker_epoch.is_some_and(|fetched_under| {
            moment.brokers.broker(id).is_some_and(|broker| {
                !broker.is_fenced && !broker.is_shutting_down && (fetched_under == -1 || fetched_under == broker.epoch)
            })
        })
    }
}

/// One unbroken leadership of this replica; elections that confirm it are epochs of it.
#[derive(Debug, Clone)]
pub(super) struct Leadership {
    first_epoch: LeaderEpoch,
    epoch: LeaderEpoch,
    /// Where the log ended when the current epoch began.
    epoch_start_offset: i64,
    isr: InSyncReplicas,
    followers: BTreeMap<NodeId, FollowerState>,
}

impl Leadership {
    /// A leadership that begins with `epoch`; nothing is known of any follower.
    pub(super) fn new(epoch: LeaderEpoch, log_end_offset: i64) -> Self {
        Self {
            first_epoch: epoch,
            epoch,
            epoch_start_offset: log_end_offset,
            isr: InSyncReplicas::default(),
            followers: BTreeMap::new(),
        }
    }

    /// Whether it goes on if this replica leads in `epoch`.
    ///
    /// Unlike Kafka, which sees only that it leads before and after, one that has missed an epoch in between begins anew:
    /// somebody else may have led in it, and followers have truncated their logs.
    pub(super) fn is_continued_in(&self, epoch: LeaderEpoch) -> bool {
        epoch == self.epoch || epoch.checked_sub(self.epoch) == Some(1)
    }

    /// Whether `epoch` is one of it.
    pub(super) fn includes(&self, epoch: LeaderEpoch) -> bool {
        (self.first_epoch..=self.epoch).contains(&epoch)
    }

    /// Takes over who the followers are; those that stay keep what is known of them. A replica may be added without a new
    /// epoch.
    pub(super) fn assign(&mut self, followers: impl Iterator<Item = NodeId> + Clone) {
        self.followers.retain(|id, _| followers.clone().any(|follower| follower == *id));
        for id in followers {
            self.followers.entry(id).or_insert(FollowerState::UNKNOWN);
        }
    }

    /// Takes over who is in sync, by which every change that was under way is settled.
    pub(super) fn settle_isr(&mut self, isr: Vec<NodeId>) {
        self.isr = InSyncReplicas::new(isr);
    }

    pub(super) fn begin_epoch(&mut self, epoch: LeaderEpoch, log_end_offset: i64, now: Monotonic) {
        self.epoch = epoch;
        self.epoch_start_offset = log_end_offset;
        for (id, follower) in &mut self.followers {
            follower.begin_epoch(log_end_offset, self.isr.committed().contains(id), now);
        }
    }

    pub(super) fn epoch_start_offset(&self) -> i64 {
        self.epoch_start_offset
    }

    pub(super) fn isr(&self) -> &InSyncReplicas {
        &self.isr
    }

    pub(super) fn knows(&self, follower: NodeId) -> bool {
        self.followers.contains_key(&follower)
    }

    pub(super) fn broker_epoch(&self, follower: NodeId) -> Option<i64> {
        self.followers.get(&follower)?.broker_epoch
    }

    /// Notes a fetch.
    pub(super) fn fetched(&mut self, fetch: &FollowerFetch, now: Monotonic) -> Result<(), ErrorCode> {
        let follower = self.followers.get_mut(&fetch.follower).ok_or(ErrorCode::NotLeaderOrFollower)?;
        follower.fetched(fetch, now);
        Ok(())
    }

    /// Whether a follower may be proposed as in sync: it has everything that is committed, also what earlier leaders have
    /// committed beyond the high watermark that this one began with (KAFKA-7128).
    pub(super) fn may_join(&self, id: NodeId, high_watermark: i64, moment: &Moment<'_>) -> bool {
        let has_all = |follower: &FollowerState| follower.log_end_offset >= high_watermark.max(self.epoch_start_offset);
        !self.isr.is_pending()
            && !self.isr.committed().contains(&id)
            && self.followers.get(&id).is_some_and(|follower| has_all(follower) && follower.is_eligible(id, moment))
    }

    /// Whether the follower keeps up, and not only with a high watermark that stands still.
    pub(super) fn is_caught_up(&self, id: NodeId, log_end_offset: i64, config: &IsrConfig, now: Monotonic) -> bool {
        self.followers.get(&id).is_some_and(|follower| follower.is_caught_up(log_end_offset, config, now))
    }

    /// The in-sync replicas but `leader` that are behind for too long; nobody while a change is under way. Whoever is no
    /// replica is out of sync (KAFKA-9672).
    pub(super) fn out_of_sync(
        &self,
        leader: NodeId,
        log_end_offset: i64,
        config: &IsrConfig,
        now: Monotonic,
    ) -> Vec<NodeId> {
        if self.isr.is_pending() {
            return Vec::new();
        }
        let others = self.isr.committed().iter().copied().filter(|id| *id != leader);
        others.filter(|id| !self.is_caught_up(*id, log_end_offset, config, now)).collect()
    }

    pub(super) fn propose_expansion(&mut self, joiner: NodeId, proposal: IsrProposal) -> IsrProposal {
        self.isr.expand(joiner, proposal.clone());
        proposal
    }

    pub(super) fn propose_shrink(&mut self, proposal: IsrProposal) -> IsrProposal {
        self.isr.shrink(proposal.clone());
        proposal
    }

    pub(super) fn isr_answered(
        &mut self,
        proposal: &IsrProposal,
        answer: Result<AlteredIsr, ErrorCode>,
        leader_epoch: LeaderEpoch,
        partition_epoch: i32,
    ) -> IsrVerdict {
        self.isr.answered(proposal, answer, leader_epoch, partition_epoch)
    }

    /// What all have that are in sync or may be so next. Who keeps up though it is not in sync is waited for, since it would
    /// never reach a high watermark that moves; who cannot join is not (KAFKA-15021).
    pub(super) fn committed_end(&self, log_end_offset: i64, config: &IsrConfig, moment: &Moment<'_>) -> i64 {
        self.followers.iter().fold(log_end_offset, |end, (id, follower)| {
            let counts = || {
                self.isr.is_maximal(*id)
                    || (follower.is_caught_up(log_end_offset, config, moment.now) && follower.is_eligible(*id, moment))
            };
            if follower.log_end_offset < end && counts() { follower.log_end_offset } else { end }
        })
    }

    pub(super) fn low_watermark(&self, log_start_offset: i64, moment: &Moment<'_>) -> i64 {
        let lives = |id: NodeId| moment.brokers.broker(id).is_some_and(|broker| !broker.is_fenced);
        let starts = self.followers.iter().filter(|(id, _)| lives(**id)).map(|(_, follower)| follower.log_start_offset);
        starts.fold(log_start_offset, i64::min)
    }
}
