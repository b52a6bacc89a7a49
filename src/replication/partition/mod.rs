//! One replica's view of its partition: leadership, in-sync replicas and the high watermark.
//!
//! All decisions are made on offsets and epochs that are passed in; the log itself is elsewhere. Follows Kafka's
//! `Partition` and `Replica` (KIP-101, KIP-497, KIP-841).

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::clock::Monotonic;
use crate::ids::{LeaderEpoch, NodeId};
use crate::planted_bugs::{PlantedBug, is_planted};
use crate::protocol::ErrorCode;

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

/// How far a follower has come, as the leader knows it from the follower's fetches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Follower {
    log_end_offset: i64,
    last_caught_up: Monotonic,
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

/// The pure half of a hosted partition.
#[derive(Debug, Clone)]
pub struct Partition {
    node_id: NodeId,
    state: PartitionState,
    followers: BTreeMap<NodeId, Follower>,
    log_end_offset: i64,
    high_watermark: i64,
}

impl Partition {
    /// A replica on `node_id` whose log ends at `log_end_offset` and that last knew `high_watermark` as committed.
    pub fn new(
        node_id: NodeId,
        state: PartitionState,
        log_end_offset: i64,
        high_watermark: i64,
        now: Monotonic,
    ) -> Self {
        let mut partition = Self {
            node_id,
            state: PartitionState {
                leader: -1,
                leader_epoch: -1,
                partition_epoch: -1,
                replicas: Vec::new(),
                isr: Vec::new(),
            },
            followers: BTreeMap::new(),
            log_end_offset,
            high_watermark: high_watermark.clamp(0, log_end_offset),
        };
        partition.apply(state, log_end_offset, now);
        partition
    }

    /// Takes over a newer state from the metadata; answers whether this began a new leadership of ours, in which case
    /// the log must note `leader_epoch` as beginning at its end.
    pub fn apply(&mut self, state: PartitionState, log_end_offset: i64, now: Monotonic) -> bool {
        if state.partition_epoch < self.state.partition_epoch {
            return false;
        }
        let began_leading = state.leader == self.node_id && state.leader_epoch != self.state.leader_epoch;
        self.log_end_offset = log_end_offset;
        if began_leading {
            // A new leader knows nothing of its followers yet, and gives each the full lag time to show up.
            self.followers = state
                .replicas
                .iter()
                .filter(|&&replica| replica != self.node_id)
                .map(|&replica| (replica, Follower { log_end_offset: -1, last_caught_up: now }))
                .collect();
        }
        self.state = state;
        self.advance_high_watermark();
        began_leading
    }

    /// Whether this replica leads.
    pub fn is_leader(&self) -> bool {
        self.state.leader == self.node_id
    }

    /// The current leadership's number.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.state.leader_epoch
    }

    /// The state last taken over from the metadata.
    pub fn state(&self) -> &PartitionState {
        &self.state
    }

    /// The first offset that is not known to be on every in-sync replica.
    pub fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    /// The first offset that a transaction may still decide about, given the first one in the log that one of those does:
    /// never beyond the high watermark.
    pub fn last_stable_offset(&self, first_unstable_offset: Option<i64>) -> i64 {
        if is_planted(PlantedBug::ExposeUndecided) {
            return self.high_watermark;
        }
        first_unstable_offset.map_or(self.high_watermark, |offset| offset.min(self.high_watermark))
    }

    /// Whether a leader may append for a producer that asks for `acks`, given `min.insync.replicas`.
    ///
    /// Errors: [`ErrorCode::NotLeaderOrFollower`], [`ErrorCode::NotEnoughReplicas`].
    pub fn may_append(&self, acks: RequiredAcks, min_insync_replicas: usize) -> Result<(), ErrorCode> {
        if !self.is_leader() {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        if acks == RequiredAcks::All && self.state.isr.len() < self.effective_min_isr(min_insync_replicas) {
            return Err(ErrorCode::NotEnoughReplicas);
        }
        Ok(())
    }

    /// `min.insync.replicas` never asks for more replicas than there are.
    fn effective_min_isr(&self, min_insync_replicas: usize) -> usize {
        min_insync_replicas.min(self.state.replicas.len())
    }

    /// Notes that our own log now ends at `log_end_offset`; answers whether the high watermark advanced.
    pub fn appended(&mut self, log_end_offset: i64) -> bool {
        self.log_end_offset = log_end_offset;
        self.advance_high_watermark()
    }

    /// Checks the leader epoch that a client believes in; -1 means that it does not say.
    ///
    /// Errors: [`ErrorCode::FencedLeaderEpoch`] where the client's is older, [`ErrorCode::UnknownLeaderEpoch`] where it
    /// is newer than ours (KIP-320).
    pub fn check_leader_epoch(&self, current_leader_epoch: LeaderEpoch) -> Result<(), ErrorCode> {
        if current_leader_epoch == -1 || current_leader_epoch == self.state.leader_epoch {
            Ok(())
        } else if current_leader_epoch < self.state.leader_epoch {
            Err(ErrorCode::FencedLeaderEpoch)
        } else {
            Err(ErrorCode::UnknownLeaderEpoch)
        }
    }

    /// Notes that `follower` holds everything below `fetch_offset`; answers whether the high watermark advanced.
    ///
    /// Errors: [`ErrorCode::NotLeaderOrFollower`] to a node that is no replica.
    pub fn follower_fetched(&mut self, follower: NodeId, fetch_offset: i64, now: Monotonic) -> Result<bool, ErrorCode> {
        if !self.is_leader() {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        let log_end_offset = self.log_end_offset;
        let progress = self.followers.get_mut(&follower).ok_or(ErrorCode::NotLeaderOrFollower)?;
        progress.log_end_offset = fetch_offset;
        if fetch_offset >= log_end_offset {
            progress.last_caught_up = now;
        }
        Ok(self.advance_high_watermark())
    }

    /// The followers outside the in-sync replicas that have reached the high watermark and may be admitted.
    pub fn caught_up_followers(&self) -> Vec<NodeId> {
        self.followers
            .iter()
            .filter(|(id, progress)| !self.state.isr.contains(id) && progress.log_end_offset >= self.high_watermark)
            .map(|(&id, _)| id)
            .collect()
    }

    /// The in-sync followers that have been behind for longer than `lag_time_max` (`replica.lag.time.max.ms`).
    pub fn lagging_followers(&self, lag_time_max: Monotonic, now: Monotonic) -> Vec<NodeId> {
        self.followers
            .iter()
            .filter(|(id, progress)| {
                self.state.isr.contains(id)
                    && progress.log_end_offset < self.log_end_offset
                    && now.saturating_sub(progress.last_caught_up) > lag_time_max
            })
            .map(|(&id, _)| id)
            .collect()
    }

    /// The high watermark is the smallest log end offset among the in-sync replicas, and never goes back.
    fn advance_high_watermark(&mut self) -> bool {
        if !self.is_leader() {
            return false;
        }
        let in_sync_end = self
            .state
            .isr
            .iter()
            .filter(|&&id| id != self.node_id)
            .map(|id| self.followers.get(id).map_or(-1, |progress| progress.log_end_offset))
            .fold(self.log_end_offset, i64::min);
        let advanced = in_sync_end > self.high_watermark;
        if advanced {
            self.high_watermark = in_sync_end;
        }
        advanced
    }
}
