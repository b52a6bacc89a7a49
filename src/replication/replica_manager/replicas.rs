//! Other brokers' replicas: what their fetches tell, what the controller is asked for because of them, and where leaders are.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::ReplicaManager;
use crate::clock::Now;
use crate::ids::NodeId;
use crate::metadata::{BrokerRegistration, MetadataImage, PartitionImage};
use crate::metrics::ReplicationMetrics;
use crate::protocol::ErrorCode;
use crate::replication::followed::{Followed, FollowedPartitions};
use crate::replication::hosted_partition::{FetchingFollower, HostedPartition, ReadRequest, ReadResult};
use crate::replication::isr_changes::{IsrChange, IsrChanges};
use crate::replication::partition::brokers::{BrokerState, BrokerStates, KnownBrokers};
use crate::replication::partition::isr::{AlteredIsr, IsrProposal, IsrVerdict};

/// Where each broker is reached by the others.
pub(super) type LeaderAddresses = BTreeMap<NodeId, (Arc<str>, u16)>;

/// What a manager has for other brokers' replicas.
#[derive(Default)]
pub(super) struct OtherReplicas {
    followed: FollowedPartitions,
    isr_changes: IsrChanges,
    addresses: arc_swap::ArcSwap<LeaderAddresses>,
    /// Whether any partition that is led here was ever seen to have followers.
    has_followers: watch::Sender<bool>,
}

impl ReplicaManager {
    /// This broker's node id.
    pub fn node_id(&self) -> NodeId {
        self.node_id
    }

    /// The epoch of this broker's registration, as the metadata knows it; -1 where it does not.
    pub fn broker_epoch(&self) -> i64 {
        self.brokers.load().broker(self.node_id).map_or(-1, |own| own.epoch)
    }

    /// What this broker follows.
    pub(in crate::replication) fn followed(&self) -> &FollowedPartitions {
        &self.others.followed
    }

    /// Where other brokers reach the broker `leader`, on the listener for that (`inter.broker.listener.name`).
    pub(in crate::replication) fn leader_address(&self, leader: NodeId) -> Option<(Arc<str>, u16)> {
        self.others.addresses.load().get(&leader).cloned()
    }

    /// Notes what `image` says of the brokers; whether it is anything new for leaders.
    pub(super) fn note_brokers(&self, image: &MetadataImage) -> bool {
        let state = |broker: &BrokerRegistration| {
            let BrokerRegistration { id, epoch, fenced, in_controlled_shutdown, .. } = *broker;
            (id, BrokerState { epoch, is_fenced: fenced, is_shutting_down: in_controlled_shutdown })
        };
        let brokers: BrokerStates = image.brokers().map(state).collect();
        let changed = **self.brokers.load() != brokers;
        if changed {
            self.brokers.store(Arc::new(brokers));
        }
        let listener = &self.config().inter_broker_listener;
        let address = |broker: &BrokerRegistration| {
            broker.endpoint(listener).map(|endpoint| (broker.id, (Arc::clone(&endpoint.host), endpoint.port)))
        };
        let addresses: LeaderAddresses = image.brokers().filter_map(address).collect();
        if **self.others.addresses.load() != addresses {
            self.others.addresses.store(Arc::new(addresses));
        }
        changed
    }

    /// Notes who leads a partition that is hosted here.
    pub(super) fn note_leader(&self, partition: &Arc<HostedPartition>, image: &PartitionImage) {
        if image.leader == self.node_id || image.leader < 0 {
            self.others.followed.forget(partition);
        } else {
            let (partition, leader, leader_epoch) = (Arc::clone(partition), image.leader, image.leader_epoch);
            self.others.followed.follow(Followed { partition, leader, leader_epoch });
        }
        if image.leader == self.node_id && image.replicas.len() > 1 {
            self.others.has_followers.send_if_modified(|has| !std::mem::replace(has, true));
        }
    }

    /// Finds records for a follower, and has the controller asked for what its fetch has brought about; see
    /// [`HostedPartition::read_for_follower`].
    pub fn read_for_follower(
        &self,
        partition: &Arc<HostedPartition>,
        request: &ReadRequest,
        follower: &FetchingFollower,
        arrived: Option<Now>,
    ) -> Result<ReadResult, ErrorCode> {
        let (read, proposal) = partition.read_for_follower(request, follower, arrived)?;
        if let Some(proposal) = proposal {
            self.propose(partition, proposal);
        }
        Ok(read)
    }

    /// Completes once some partition that is led here has followers: before, there is nobody to look after.
    pub(in crate::replication) async fn has_followers(&self) {
        // The sender lives as long as this.
        drop(self.others.has_followers.subscribe().wait_for(|has| *has).await);
    }

    /// Lets go of the in-sync followers that are behind for too long, partition by partition. One that is offline keeps
    /// nobody else's (KAFKA-7837).
    pub fn shrink_isrs(&self) {
        let now = self.clock.now();
        for partition in self.partitions().iter().filter(|partition| !partition.is_offline()) {
            if let Some(proposal) = partition.shrink_isr(now) {
                self.propose(partition, proposal);
            }
        }
    }

    fn propose(&self, partition: &Arc<HostedPartition>, proposal: IsrProposal) {
        let change = IsrChange { partition: Arc::clone(partition), proposal };
        if !self.others.isr_changes.push(change.clone()) {
            self.isr_answered(&change, Err(ErrorCode::OperationNotAttempted));
        }
    }

    /// What the controller is to be asked for; to whoever asks first.
    pub fn take_isr_changes(&self) -> Option<mpsc::Receiver<IsrChange>> {
        self.others.isr_changes.take()
    }

    /// Takes the controller's answer to a change; what it has come to.
    pub fn isr_answered(&self, change: &IsrChange, answer: Result<AlteredIsr, ErrorCode>) -> IsrVerdict {
        if answer.is_err() {
            self.metrics.failed_isr_updates.add(1);
        }
        change.partition.isr_answered(&change.proposal, answer, self.clock.now())
    }

    /// What is counted of the in-sync replicas.
    pub fn replication_metrics(&self) -> &ReplicationMetrics {
        &self.metrics
    }

    /// Has a partition that is about to be truncated stay in its log directory: what the mover has copied may be other
    /// records at the same offsets.
    pub(in crate::replication) fn give_up_move(&self, partition: &HostedPartition) {
        if let Some(future) = partition.end_move() {
            tracing::warn!(partition = %partition.topic_partition(),
                "a move to another log directory is given up, because the replica is truncated");
            self.delete_future_log(future);
        }
    }
}
