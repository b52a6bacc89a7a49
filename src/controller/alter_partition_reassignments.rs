//! `AlterPartitionReassignments`: partitions shall have other replicas (KIP-455, KIP-860).

use super::{Controller, Refusal};
use crate::ids::{NodeId, TopicName};
use crate::metadata::{PartitionImage, topic_name};
use crate::protocol::ErrorCode;

/// Partitions shall have other replicas.
#[derive(Debug, Clone)]
pub struct AlterPartitionReassignments {
    /// The topics.
    pub topics: Vec<TopicReassignment>,
    /// Whether a partition may get more or fewer replicas than it has.
    pub allow_replication_factor_change: bool,
}

/// Other replicas for partitions of one topic.
#[derive(Debug, Clone)]
pub struct TopicReassignment {
    /// The topic.
    pub name: TopicName,
    /// Each partition's index with its replicas, the preferred leader first; without any, a reassignment that is under
    /// way is given up.
    pub partitions: Vec<(i32, Option<Vec<NodeId>>)>,
}

/// What became of one topic's partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicReassigned {
    /// The topic.
    pub name: TopicName,
    /// Each partition's index, and why it keeps its replicas where it was to have others.
    pub partitions: Vec<(i32, Result<(), Refusal>)>,
}

impl Controller {
    /// One result per topic and partition, in the request's order.
    pub(super) fn alter_partition_reassignments(&self, request: AlterPartitionReassignments) -> Vec<TopicReassigned> {
        let allow_change = request.allow_replication_factor_change;
        let reassign = |TopicReassignment { name, partitions }: TopicReassignment| {
            let reassign = |(partition, replicas): (i32, Option<Vec<NodeId>>)| {
                (partition, self.reassign(&name, partition, replicas.as_deref(), allow_change))
            };
            let partitions = partitions.into_iter().map(reassign).collect();
            TopicReassigned { name, partitions }
        };
        request.topics.into_iter().map(reassign).collect()
    }

    fn reassign(
        &self,
        topic: &str,
        partition: i32,
        replicas: Option<&[NodeId]>,
        allow_change: bool,
    ) -> Result<(), Refusal> {
        let unknown = |message| Refusal::new(ErrorCode::UnknownTopicOrPartition, message);
        let name = topic_name::in_a_sentence(topic);
        let image = self.image.topic(topic);
        let image = image.ok_or_else(|| unknown(format!("Unable to find a topic named {name}.")))?;
        let state = image.partition(partition);
        let state = state.ok_or_else(|| unknown(format!("Unable to find partition {topic}:{partition}.")))?;
        let Some(replicas) = replicas else {
            let message = "No partition reassignment is in progress.";
            return Err(Refusal::new(ErrorCode::NoReassignmentInProgress, message));
        };
        self.check_assignment(replicas, None)?;
        if !allow_change {
            check_replication_factor(state, replicas)?;
        }
        // Unlike Kafka, replicas stay where they are: as long as a cluster is one broker, the only replicas that pass the
        // checks are those that a partition has.
        if replicas != state.replicas {
            let message = format!("The replicas of {topic}:{partition} cannot be moved to other brokers.");
            return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
        }
        Ok(())
    }
}

fn check_replication_factor(state: &PartitionImage, replicas: &[NodeId]) -> Result<(), Refusal> {
    let (has, asked) = (state.replicas.len(), replicas.len());
    if has == asked {
        return Ok(());
    }
    let message = format!("The replication factor is changed from {has} to {asked}");
    Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message))
}
