//! One replica's view of its partition: leadership, in-sync replicas and the high watermark.
//!
//! All decisions are made on offsets, epochs and times that are passed in; the log itself is elsewhere. Follows Kafka's
//! `Partition` and `Replica`. [`leader`] holds what only a leader knows: how far each follower is; [`isr`] the in-sync
//! replicas, with the change of them that the controller has been asked for; [`follower`] what a follower does with what
//! its leader answers.
//!
//! What the metadata says of other brokers comes with each [`Moment`], and is looked up only for replicas that it matters
//! for: a lone replica's append asks nothing.

pub mod brokers;
pub mod follower;
pub mod isr;
mod leader;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::clock::Monotonic;
use crate::ids::{LeaderEpoch, NodeId};
use crate::planted_bugs::{PlantedBug, is_planted};
use crate::protocol::ErrorCode;
use brokers::KnownBrokers;
use isr::{AlteredIsr, IsrProposal, IsrVerdict};
pub use leader::FollowerFetch;
use leader::Leadership;

/// What the cluster's metadata says of a partition, as far as a replica needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionState {
    /// The leader's node id; -1 while there is none.
    pub leader: NodeId,
    /// The number of this leadership.
    pub leader_epoch: LeaderEpoch,
    /// Rises with every change of this state; guards `AlterPartition` against stale requests.
    pub partition_epoch: i32,
    /// Every replica, the preferred leader first.
    pub replicas: Vec<NodeId>,
    /// The replicas that hold every committed record.
    pub isr: Vec<NodeId>,
}

/// How many replicas must hold a record before its producer gets an answer (`acks`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequiredAcks {
    /// No answer at all.
    None,
    /// The leader alone.
    Leader,
    /// Every in-sync replica, of which there must be `min.insync.replicas`.
    All,
}

impl TryFrom<i16> for RequiredAcks {
    type Error = ErrorCode;

    /// Reads the wire's 0, 1 and -1; anything else is [`ErrorCode::InvalidRequiredAcks`].
    fn try_from(acks: i16) -> Result<Self, ErrorCode> {
        match acks {
            0 => Ok(Self::None),
            1 => Ok(Self::Leader),
            -1 => Ok(Self::All),
            _ => Err(ErrorCode::InvalidRequiredAcks),
        }
    }
}

/// What the configuration asks of a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IsrConfig {
    /// `min.insync.replicas`.
    pub min_insync_replicas: usize,
    /// `replica.lag.time.max.ms`.
    pub lag_time_max: Duration,
}

/// When something is decided, and by what is known of the brokers then.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    /// The time.
    pub now: Monotonic,
    /// The brokers of the followers.
    pub brokers: &'a dyn KnownBrokers,
}

/// What a newer state from the metadata has made of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleChange {
    /// The leadership is the one that was known, or the state was older than what was known.
    None,
    /// It leads in a new epoch, which the log must note as beginning at its end.
    LeadsAnew,
    /// It follows in a new epoch: whoever fetches for it begins anew.
    FollowsAnew,
}

/// The pure half of a hosted partition.
#[expect(clippy::struct_field_names, reason = "a partition epoch is Kafka's word for it")]
#[derive(Debug, Clone)]
pub struct Partition {
    node_id: NodeId,
    leader: NodeId,
    leader_epoch: LeaderEpoch,
    partition_epoch: i32,
    replicas: Vec<NodeId>,
    /// What only a leader knows; `None` on a follower.
    leadership: Option<Leadership>,
    config: IsrConfig,
    log_end_offset: i64,
    high_watermark: i64,
}

impl Partition {
    /// A replica on `node_id` whose log ends at `log_end_offset` and that last knew `high_watermark` as committed. It
    /// neither leads nor follows until a state is applied.
    pub fn new(node_id: NodeId, config: IsrConfig, log_end_offset: i64, high_watermark: i64) -> Self {
        Self {
            node_id,
            leader: -1,
            leader_epoch: -1,
            partition_epoch: -1,
            replicas: Vec::new(),
            leadership: None,
            config,
            log_end_offset,
            high_watermark: high_watermark.clamp(0, log_end_offset),
        }
    }

    /// Takes over a newer state from the metadata, or one of the same partition epoch: what `AlterPartition` has answered may
    /// be known before its record is.
    ///
    /// By a newer state, what the controller was asked for is settled, one way or the other. Unlike Kafka, one that is as old
    /// as what is known settles nothing: a change that was asked for since may come true yet, and a joiner would not be
    /// waited for.
    ///
    /// The high watermark stays what it was known to be (KIP-101), and goes on where the new state lets it.
    pub fn apply(&mut self, state: PartitionState, log_end_offset: i64, moment: &Moment<'_>) -> RoleChange {
        if state.partition_epoch < self.partition_epoch || state.leader_epoch < self.leader_epoch {
            return RoleChange::None;
        }
        let is_newer = state.partition_epoch > self.partition_epoch;
        let is_new_epoch = state.leader_epoch > self.leader_epoch;
        let PartitionState { leader, leader_epoch, partition_epoch, replicas, isr } = state;
        self.log_end_offset = log_end_offset;
        if leader == self.node_id {
            let known = self.leadership.take().filter(|known| known.is_continued_in(leader_epoch));
            let mut leadership = known.unwrap_or_else(|| Leadership::new(leader_epoch, log_end_offset));
            let others = replicas.iter().copied().filter(|replica| *replica != self.node_id);
            leadership.assign(others);
            if is_newer {
                leadership.settle_isr(isr);
            }
            if is_new_epoch {
                leadership.begin_epoch(leader_epoch, log_end_offset, moment.now);
            }
            self.leadership = Some(leadership);
        } else {
            self.leadership = None;
        }
        (self.leader, self.leader_epoch, self.partition_epoch) = (leader, leader_epoch, partition_epoch);
        self.replicas = replicas;
        self.advance_high_watermark(moment);
        match (is_new_epoch, self.is_leader()) {
            (false, _) => RoleChange::None,
            (true, true) => RoleChange::LeadsAnew,
            (true, false) => RoleChange::FollowsAnew,
        }
    }

    /// Goes by another configuration; answers whether the high watermark advanced.
    ///
    /// Kafka notices a lower `min.insync.replicas` with the next fetch or append, of which there may be none.
    pub fn configure(&mut self, config: IsrConfig, moment: &Moment<'_>) -> bool {
        self.config = config;
        self.advance_high_watermark(moment)
    }

    /// Looks again when what is known of the brokers has changed: a follower that can no longer join holds nobody up
    /// (KAFKA-15021). Answers whether the high watermark advanced.
    pub fn brokers_changed(&mut self, moment: &Moment<'_>) -> bool {
        self.advance_high_watermark(moment)
    }

    /// Whether this replica leads.
    pub fn is_leader(&self) -> bool {
        self.leadership.is_some()
    }

    /// The leader's node id; -1 while there is none.
    pub fn leader(&self) -> NodeId {
        self.leader
    }

    /// The current leadership's number.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    /// The number of the state that is known.
    pub fn partition_epoch(&self) -> i32 {
        self.partition_epoch
    }

    /// Every replica, the preferred leader first.
    pub fn replicas(&self) -> &[NodeId] {
        &self.replicas
    }

    /// The in-sync replicas that the controller has committed, as the leader knows them; none on a follower.
    pub fn isr(&self) -> &[NodeId] {
        self.leadership.as_ref().map_or(&[], |leadership| leadership.isr().committed())
    }

    /// In which epoch this replica leads, and how many are in sync then.
    pub fn in_sync(&self) -> Option<(LeaderEpoch, usize)> {
        self.is_leader().then(|| (self.leader_epoch, self.isr().len()))
    }

    /// Whether another broker leads.
    pub fn follows_another(&self) -> bool {
        !self.is_leader() && self.leader >= 0
    }

    /// What the configuration asks for.
    pub fn config(&self) -> &IsrConfig {
        &self.config
    }

    /// The first offset that is not known to be on every in-sync replica.
    pub fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    /// Whether what earlier leaders have committed is known to be: a high watermark below where the leadership began may be
    /// behind that of its predecessor (KIP-207).
    pub fn has_settled(&self) -> bool {
        self.leadership.as_ref().is_none_or(|leadership| self.high_watermark >= leadership.epoch_start_offset())
    }

    /// The first offset that a transaction may still decide about, given the first one in the log that one of those does:
    /// never beyond the high watermark.
    pub fn last_stable_offset(&self, first_unstable_offset: Option<i64>) -> i64 {
        if is_planted(PlantedBug::ExposeUndecided) {
            return self.high_watermark;
        }
        first_unstable_offset.map_or(self.high_watermark, |offset| offset.min(self.high_watermark))
    }

    /// Whether a leader may append for a producer that asks for `acks`.
    ///
    /// Errors: [`ErrorCode::NotLeaderOrFollower`], [`ErrorCode::NotEnoughReplicas`].
    pub fn may_append(&self, acks: RequiredAcks) -> Result<(), ErrorCode> {
        let leadership = self.leadership.as_ref().ok_or(ErrorCode::NotLeaderOrFollower)?;
        if acks == RequiredAcks::All && leadership.isr().committed().len() < self.effective_min_isr() {
            return Err(ErrorCode::NotEnoughReplicas);
        }
        Ok(())
    }

    /// `min.insync.replicas` never asks for more replicas than there are.
    fn effective_min_isr(&self) -> usize {
        self.config.min_insync_replicas.min(self.replicas.len())
    }

    /// Notes that the leader's log now ends at `log_end_offset`; answers whether the high watermark advanced.
    pub fn appended(&mut self, log_end_offset: i64, moment: &Moment<'_>) -> bool {
        self.log_end_offset = log_end_offset;
        self.advance_high_watermark(moment)
    }

    /// Whether every record before `end_offset`, which was the log's end at some time in the epoch `leader_epoch`, is committed.
    ///
    /// Unlike Kafka, which looks at the offset alone, a leadership that was lost meanwhile ends the wait though it was
    /// regained: the log may have been truncated in between, and the offset be another record's. An election that confirms
    /// the leader ends nothing.
    ///
    /// Errors: [`ErrorCode::NotLeaderOrFollower`].
    pub fn is_committed(&self, leader_epoch: LeaderEpoch, end_offset: i64) -> Result<bool, ErrorCode> {
        let is_same = self.leadership.as_ref().is_some_and(|leadership| leadership.includes(leader_epoch));
        if is_same { Ok(self.high_watermark >= end_offset) } else { Err(ErrorCode::NotLeaderOrFollower) }
    }

    /// The same, for a producer that asks for `acks=all`: it is told where too few replicas are left with its records.
    ///
    /// Errors: [`ErrorCode::NotLeaderOrFollower`], [`ErrorCode::NotEnoughReplicasAfterAppend`].
    pub fn is_acknowledged(&self, leader_epoch: LeaderEpoch, end_offset: i64) -> Result<bool, ErrorCode> {
        let is_committed = self.is_committed(leader_epoch, end_offset)?;
        let maximal = self.leadership.as_ref().map_or(0, |leadership| leadership.isr().maximal_len());
        if is_committed && maximal < self.effective_min_isr() {
            return Err(ErrorCode::NotEnoughReplicasAfterAppend);
        }
        Ok(is_committed)
    }

    /// Checks the leader epoch that a client believes in; -1 means that it does not say.
    ///
    /// Errors: [`ErrorCode::FencedLeaderEpoch`] where the client's is older, [`ErrorCode::UnknownLeaderEpoch`] where it
    /// is newer than ours (KIP-320).
    pub fn check_leader_epoch(&self, current_leader_epoch: LeaderEpoch) -> Result<(), ErrorCode> {
        if current_leader_epoch == -1 || current_leader_epoch == self.leader_epoch {
            Ok(())
        } else if current_leader_epoch < self.leader_epoch {
            Err(ErrorCode::FencedLeaderEpoch)
        } else {
            Err(ErrorCode::UnknownLeaderEpoch)
        }
    }

    /// Checks, before anything is read for it, that `follower` may fetch; what it says of its leader comes first
    /// (KAFKA-14078).
    ///
    /// Errors: those of [`Partition::check_leader_epoch`]; [`ErrorCode::NotLeaderOrFollower`]; and, to a node that is not
    /// known as a replica, [`ErrorCode::UnknownLeaderEpoch`] if it names an epoch, since it may know of a reassignment
    /// before its leader does (KAFKA-13837).
    pub fn check_follower(&self, follower: NodeId, current_leader_epoch: LeaderEpoch) -> Result<(), ErrorCode> {
        self.check_leader_epoch(current_leader_epoch)?;
        let leadership = self.leadership.as_ref().ok_or(ErrorCode::NotLeaderOrFollower)?;
        match (leadership.knows(follower), current_leader_epoch) {
            (true, _) => Ok(()),
            (false, -1) => Err(ErrorCode::NotLeaderOrFollower),
            (false, _) => Err(ErrorCode::UnknownLeaderEpoch),
        }
    }

    /// Notes what a follower's fetch tells of it, once for each arrival; answers whether the high watermark advanced, and
    /// what the controller is to be asked for, if anything. A fetch from a history that is not ours tells nothing: what it
    /// names as its end is about to be truncated (KAFKA-13141).
    ///
    /// Errors: [`ErrorCode::NotLeaderOrFollower`] where the broker has restarted since it sent the fetch (KAFKA-15221), or is
    /// no replica.
    pub fn follower_fetched(
        &mut self,
        fetch: &FollowerFetch,
        moment: &Moment<'_>,
    ) -> Result<(bool, Option<IsrProposal>), ErrorCode> {
        let leadership = self.leadership.as_mut().ok_or(ErrorCode::NotLeaderOrFollower)?;
        fetch.check_broker_epoch(moment)?;
        if fetch.diverges {
            return Ok((false, None));
        }
        leadership.fetched(fetch, moment.now)?;
        let proposal = self.expand_isr(fetch.follower, moment);
        Ok((self.advance_high_watermark(moment), proposal))
    }

    /// Lets a follower join that has everything that is committed and everything of earlier leaderships.
    ///
    /// Unlike Kafka, where too few replicas are in sync it must keep up besides: the high watermark stands still then, and
    /// whoever has reached it may be far behind, and be expelled at once (KAFKA-19996).
    fn expand_isr(&mut self, follower: NodeId, moment: &Moment<'_>) -> Option<IsrProposal> {
        let is_below_min = self.isr().len() < self.effective_min_isr();
        let leadership = self.leadership.as_mut()?;
        let may_join = leadership.may_join(follower, self.high_watermark, moment)
            && (!is_below_min || leadership.is_caught_up(follower, self.log_end_offset, &self.config, moment.now));
        if !may_join {
            return None;
        }
        let proposal = self.proposal(moment, |isr| isr.committed().iter().copied().chain([follower]).collect());
        Some(self.leadership.as_mut()?.propose_expansion(follower, proposal))
    }

    /// Lets go of the in-sync followers that have been behind for longer than `replica.lag.time.max.ms`; what the controller
    /// is to be asked for, if there are any. Asked each half of that time.
    pub fn shrink_isr(&mut self, moment: &Moment<'_>) -> Option<IsrProposal> {
        let leadership = self.leadership.as_ref()?;
        let out_of_sync = leadership.out_of_sync(self.node_id, self.log_end_offset, &self.config, moment.now);
        if out_of_sync.is_empty() {
            return None;
        }
        let proposal = self.proposal(moment, |isr| isr.committed_without(&out_of_sync));
        Some(self.leadership.as_mut()?.propose_shrink(proposal))
    }

    /// What the controller is asked for: each replica with the broker epoch that it last fetched with, so that the controller
    /// refuses a former life of it (KIP-903).
    fn proposal(&self, moment: &Moment<'_>, new_isr: impl FnOnce(&isr::InSyncReplicas) -> Vec<NodeId>) -> IsrProposal {
        let own_epoch = moment.brokers.broker(self.node_id).map_or(-1, |own| own.epoch);
        let leadership = self.leadership.as_ref();
        let epoch_of = |id: NodeId| {
            let fetched_under = || leadership.and_then(|leadership| leadership.broker_epoch(id)).unwrap_or(-1);
            if id == self.node_id { own_epoch } else { fetched_under() }
        };
        let new_isr = leadership.map(|leadership| new_isr(leadership.isr())).unwrap_or_default();
        IsrProposal {
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            new_isr: new_isr.into_iter().map(|id| (id, epoch_of(id))).collect(),
        }
    }

    /// Takes the controller's answer to `proposal`; says what it has come to, and whether the high watermark advanced. An
    /// answer to what newer metadata has settled meanwhile means nothing (KAFKA-12686, KAFKA-14144).
    pub fn isr_answered(
        &mut self,
        proposal: &IsrProposal,
        answer: Result<AlteredIsr, ErrorCode>,
        moment: &Moment<'_>,
    ) -> (IsrVerdict, bool) {
        let (leader_epoch, partition_epoch) = (self.leader_epoch, self.partition_epoch);
        let Some(leadership) = self.leadership.as_mut() else { return (IsrVerdict::Outdated, false) };
        let verdict = leadership.isr_answered(proposal, answer, leader_epoch, partition_epoch);
        if let IsrVerdict::Committed { partition_epoch } = verdict {
            self.partition_epoch = partition_epoch;
        }
        (verdict, self.advance_high_watermark(moment))
    }

    /// The high watermark is the smallest log end offset of the in-sync replicas, of the one that is about to be, and of those
    /// that only have to go on as they do to become it. It never goes back, and stands still while too few replicas are
    /// in sync (KAFKA-15583): what an eligible leader replica holds must be everything that is committed (KIP-966).
    fn advance_high_watermark(&mut self, moment: &Moment<'_>) -> bool {
        let min_isr = self.effective_min_isr();
        let Some(leadership) = &self.leadership else { return false };
        if leadership.isr().committed().len() < min_isr {
            return false;
        }
        let committed = leadership.committed_end(self.log_end_offset, &self.config, moment);
        let advanced = committed > self.high_watermark;
        if advanced {
            self.high_watermark = committed;
        }
        advanced
    }

    /// The first offset that each replica that lives still has, which `DeleteRecords` waits for; `None` on a follower.
    pub fn low_watermark(&self, log_start_offset: i64, moment: &Moment<'_>) -> Option<i64> {
        Some(self.leadership.as_ref()?.low_watermark(log_start_offset, moment))
    }

    /// Notes what a follower's log has become by an append, whose answer said that everything before `leader_high_watermark`
    /// is committed; answers whether the high watermark advanced.
    ///
    /// Unlike Kafka's, a follower's high watermark does not go back with that of a leader that has just begun and does not
    /// know yet how far its predecessor was: what was committed stays so.
    pub fn replicated(&mut self, log_start_offset: i64, log_end_offset: i64, leader_high_watermark: i64) -> bool {
        if self.is_leader() {
            return false;
        }
        self.log_end_offset = log_end_offset;
        let known = leader_high_watermark.min(log_end_offset).max(log_start_offset);
        let advanced = known > self.high_watermark;
        if advanced {
            self.high_watermark = known;
        }
        advanced
    }

    /// Notes that the log was truncated to `log_end_offset`, which bounds the high watermark too.
    pub fn truncated(&mut self, log_end_offset: i64) {
        self.log_end_offset = log_end_offset;
        self.high_watermark = self.high_watermark.min(log_end_offset);
    }

    /// Notes that the log was emptied to begin at `offset`, which is the high watermark then (KAFKA-9491).
    pub fn truncated_fully(&mut self, offset: i64) {
        (self.log_end_offset, self.high_watermark) = (offset, offset);
    }
}
