//! What a replica decides, step by step; each test is named after the rule or the report that it holds to.

mod follower;
mod isr;
mod leader;
mod model;

use std::time::Duration;

use super::brokers::{BrokerState, BrokerStates};
use super::isr::{AlteredIsr, IsrProposal};
use super::*;

const LAG: Duration = Duration::from_secs(30);

fn registered(epoch: i64) -> BrokerState {
    BrokerState { epoch, is_fenced: false, is_shutting_down: false }
}

/// Replica 1 of a partition on brokers 1 to 4, with the world around it. Broker `n` is registered under the epoch `100 + n`.
struct Scene {
    partition: Partition,
    brokers: BrokerStates,
    log_end_offset: i64,
    now: Monotonic,
}

impl Scene {
    /// A leader of epoch 1 with replicas 1, 2 and 3.
    fn leading(isr: &[NodeId], min_isr: usize, log_end_offset: i64, high_watermark: i64) -> Self {
        let config = IsrConfig { min_insync_replicas: min_isr, lag_time_max: LAG };
        let mut scene = Self {
            partition: Partition::new(1, config, log_end_offset, high_watermark),
            brokers: (1..=4).map(|id| (id, registered(100 + i64::from(id)))).collect(),
            log_end_offset,
            now: Duration::from_secs(1_000),
        };
        assert_eq!(scene.apply(state(1, 1, 1, isr)), RoleChange::LeadsAnew);
        scene
    }

    fn apply(&mut self, state: PartitionState) -> RoleChange {
        self.partition.apply(state, self.log_end_offset, &Moment { now: self.now, brokers: &self.brokers })
    }

    fn with_broker(&mut self, id: NodeId, state: Option<BrokerState>) -> bool {
        let others = (1..=4).filter(|other| *other != id).filter_map(|id| Some((id, self.brokers.broker(id)?)));
        self.brokers = others.chain(state.map(|state| (id, state))).collect();
        self.partition.brokers_changed(&Moment { now: self.now, brokers: &self.brokers })
    }

    fn configure(&mut self, min_insync_replicas: usize) -> bool {
        let config = IsrConfig { min_insync_replicas, lag_time_max: LAG };
        self.partition.configure(config, &Moment { now: self.now, brokers: &self.brokers })
    }

    fn append(&mut self, records: i64) -> bool {
        self.log_end_offset += records;
        self.partition.appended(self.log_end_offset, &Moment { now: self.now, brokers: &self.brokers })
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn fetch_of(&self, follower: NodeId, fetch_offset: i64) -> FollowerFetch {
        FollowerFetch {
            follower,
            broker_epoch: 100 + i64::from(follower),
            fetch_offset,
            log_start_offset: 0,
            leader_log_end_offset: self.log_end_offset,
            diverges: false,
        }
    }

    fn try_fetch(&mut self, fetch: FollowerFetch) -> Result<(bool, Option<IsrProposal>), ErrorCode> {
        self.partition.follower_fetched(&fetch, &Moment { now: self.now, brokers: &self.brokers })
    }

    /// The replicas that shall be in sync, if the fetch has led to a proposal.
    fn fetch(&mut self, follower: NodeId, fetch_offset: i64) -> Option<IsrProposal> {
        self.try_fetch(self.fetch_of(follower, fetch_offset)).unwrap().1
    }

    fn shrink(&mut self) -> Option<IsrProposal> {
        self.partition.shrink_isr(&Moment { now: self.now, brokers: &self.brokers })
    }

    fn answer(&mut self, proposal: &IsrProposal, answer: Result<AlteredIsr, ErrorCode>) -> (IsrVerdict, bool) {
        self.partition.isr_answered(proposal, answer, &Moment { now: self.now, brokers: &self.brokers })
    }
}

fn state(leader: NodeId, leader_epoch: LeaderEpoch, partition_epoch: i32, isr: &[NodeId]) -> PartitionState {
    PartitionState { leader, leader_epoch, partition_epoch, replicas: vec![1, 2, 3], isr: isr.to_vec() }
}

fn ids(proposal: &IsrProposal) -> Vec<NodeId> {
    proposal.new_isr.iter().map(|(id, _)| *id).collect()
}

/// What the controller answers where it makes a proposal true.
fn made_true(proposal: &IsrProposal) -> AlteredIsr {
    AlteredIsr {
        leader_epoch: proposal.leader_epoch,
        partition_epoch: proposal.partition_epoch + 1,
        isr: ids(proposal),
    }
}
