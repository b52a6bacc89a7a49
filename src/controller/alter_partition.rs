//! `AlterPartition`: a leader tells which of its followers are in sync (KIP-497).

use super::Controller;
use super::election::Proposal;
use super::partition_changes::change_of;
use crate::ids::{LeaderEpoch, NodeId, Uuid};
use crate::metadata::{LeaderRecoveryState, MetadataRecord, PartitionImage};
use crate::protocol::ErrorCode;

/// A leader changes its in-sync replicas.
#[derive(Debug, Clone)]
pub struct AlterPartition {
    /// The leader.
    pub broker_id: NodeId,
    /// The epoch of its registration.
    pub broker_epoch: i64,
    /// The partitions, each of them once.
    pub partitions: Vec<PartitionAlteration>,
}

/// New in-sync replicas of one partition.
#[derive(Debug, Clone)]
pub struct PartitionAlteration {
    /// The topic.
    pub topic_id: Uuid,
    /// The partition's index.
    pub partition: i32,
    /// The leadership under which the leader decided.
    pub leader_epoch: LeaderEpoch,
    /// The partition epoch that it knew.
    pub partition_epoch: i32,
    /// The in-sync replicas, each with the broker epoch that the leader saw, or -1.
    pub new_isr: Vec<(NodeId, i64)>,
    /// Whether the leader has recovered from an election in which it was not in sync.
    pub leader_recovery_state: LeaderRecoveryState,
}

/// What became of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlteredPartition {
    /// The topic.
    pub topic_id: Uuid,
    /// The partition's index.
    pub partition: i32,
    /// Its state now, or why it did not change.
    pub result: Result<PartitionImage, ErrorCode>,
}

impl Controller {
    pub(super) fn alter_partition(
        &self,
        request: AlterPartition,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<Vec<AlteredPartition>, ErrorCode> {
        self.check_broker_epoch(request.broker_id, request.broker_epoch)?;
        let alter = |alteration: PartitionAlteration| AlteredPartition {
            topic_id: alteration.topic_id,
            partition: alteration.partition,
            result: self.alter_isr(request.broker_id, &alteration, records),
        };
        Ok(request.partitions.into_iter().map(alter).collect())
    }

    fn alter_isr(
        &self,
        broker_id: NodeId,
        alteration: &PartitionAlteration,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<PartitionImage, ErrorCode> {
        let PartitionAlteration { topic_id, partition, .. } = *alteration;
        let topic = self.image.topic_by_id(topic_id).ok_or(ErrorCode::UnknownTopicId)?;
        let state = topic.partition(partition).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        self.check_alteration(broker_id, state, alteration)?;
        let isr: Vec<_> = alteration.new_isr.iter().map(|(id, _)| *id).collect();
        let leader_recovery_state = alteration.leader_recovery_state;
        let proposal = Proposal { isr, leader_recovery_state, ..self.proposal(topic, state) };
        let mut altered = state.clone();
        if let Some(change) = proposal.change(|id| self.is_active(id)) {
            altered.apply(&change);
            records.push(change_of(topic_id, partition, change));
        }
        Ok(altered)
    }

    /// Kafka's checks in Kafka's order.
    fn check_alteration(
        &self,
        broker_id: NodeId,
        state: &PartitionImage,
        alteration: &PartitionAlteration,
    ) -> Result<(), ErrorCode> {
        // A leader that knows more than the controller: then this is not the controller any more.
        if alteration.leader_epoch > state.leader_epoch || alteration.partition_epoch > state.partition_epoch {
            return Err(ErrorCode::NotController);
        }
        if alteration.leader_epoch < state.leader_epoch {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        if broker_id != state.leader {
            return Err(ErrorCode::InvalidRequest);
        }
        if alteration.partition_epoch < state.partition_epoch {
            return Err(ErrorCode::InvalidUpdateVersion);
        }
        let isr = &alteration.new_isr;
        let is_replica_once = |(id, _): &(NodeId, i64)| {
            state.replicas.contains(id) && isr.iter().filter(|(other, _)| other == id).count() == 1
        };
        if !isr.iter().all(is_replica_once) || !isr.iter().any(|(id, _)| *id == state.leader) {
            return Err(ErrorCode::InvalidRequest);
        }
        // Whoever was elected without having everything leads alone until it has recovered, and does not lose it again.
        if alteration.leader_recovery_state == LeaderRecoveryState::Recovering
            && (isr.len() > 1 || state.leader_recovery_state == LeaderRecoveryState::Recovered)
        {
            return Err(ErrorCode::InvalidRequest);
        }
        let is_eligible = |(id, epoch): &(NodeId, i64)| {
            let broker = self.image.broker(*id).filter(|broker| broker.is_active());
            broker.is_some_and(|broker| *epoch == -1 || broker.epoch == *epoch)
        };
        if isr.iter().all(is_eligible) { Ok(()) } else { Err(ErrorCode::IneligibleReplica) }
    }
}
