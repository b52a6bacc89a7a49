//! How partitions follow when brokers come and go: Kafka's `generateLeaderAndIsrUpdates`.

use std::collections::BTreeMap;

use super::Controller;
use super::election::{Election, Proposal};
use crate::ids::{NodeId, Uuid};
use crate::metadata::{
    BrokerRegistration, ConfigResource, MetadataRecord, PartitionChange, PartitionImage, TopicImage, TopicRecord,
};

/// How many replicas must be in sync.
pub(super) const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";

/// Whether a replica may lead that does not have all that was committed.
pub(super) const UNCLEAN_LEADER_ELECTION: &str = "unclean.leader.election.enable";

/// What happens to a broker, in the same batch of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BrokerShift {
    /// It may not lead any more, and leaves the in-sync replicas.
    Leaves(NodeId),
    /// It may have lost records: it leaves the in-sync replicas and the eligible leaders.
    Lost(NodeId),
    /// It may lead now.
    Comes(NodeId),
    /// None has come or gone, but the rules are others.
    None,
}

impl BrokerShift {
    /// Whether such a partition must be looked at.
    fn concerns(self, state: &PartitionImage) -> bool {
        match self {
            Self::Leaves(id) => state.isr.contains(&id),
            Self::Lost(id) => state.isr.contains(&id) || state.elr.contains(&id),
            Self::Comes(_) | Self::None => state.leader < 0,
        }
    }

    fn without(self) -> Option<NodeId> {
        match self {
            Self::Leaves(id) | Self::Lost(id) => Some(id),
            Self::Comes(_) | Self::None => None,
        }
    }
}

impl Controller {
    /// Lets every partition follow `shift`.
    pub(super) fn follow_brokers(&self, shift: BrokerShift, records: &mut Vec<MetadataRecord>) {
        let is_acceptable =
            |id: NodeId| shift.without() != Some(id) && (shift == BrokerShift::Comes(id) || self.is_active(id));
        for topic in self.image.topics() {
            for (partition, state) in (0..).zip(&topic.partitions).filter(|(_, state)| shift.concerns(state)) {
                let isr = state.isr.iter().copied().filter(|id| shift.without() != Some(*id)).collect();
                let lost = match shift {
                    BrokerShift::Lost(id) => Some(id),
                    BrokerShift::Leaves(_) | BrokerShift::Comes(_) | BrokerShift::None => None,
                };
                let proposal = Proposal { isr, lost, ..self.proposal(topic, state) };
                let change = proposal.change(is_acceptable);
                records.extend(change.map(|change| change_of(topic.id, partition, change)));
            }
        }
    }

    /// The partition as it is, with the election that its topic's configuration allows.
    pub(super) fn proposal<'a>(&self, topic: &TopicImage, state: &'a PartitionImage) -> Proposal<'a> {
        let election = if self.allows_unclean_election(&topic.configs) { Election::Unclean } else { Election::Online };
        Proposal {
            state,
            isr: state.isr.clone(),
            lost: None,
            leader_recovery_state: state.leader_recovery_state,
            election,
            min_isr: self.min_isr(&topic.configs).min(state.replicas.len()),
        }
    }

    /// Whether it may lead, be in sync and get replicas.
    pub(super) fn is_active(&self, id: NodeId) -> bool {
        self.image.broker(id).is_some_and(BrokerRegistration::is_active)
    }

    fn min_isr(&self, topic: &BTreeMap<String, String>) -> usize {
        let set = self.set_value(topic, MIN_INSYNC_REPLICAS).and_then(|value| value.trim().parse().ok());
        set.unwrap_or(self.settings.min_insync_replicas)
    }

    fn allows_unclean_election(&self, topic: &BTreeMap<String, String>) -> bool {
        let set = self.set_value(topic, UNCLEAN_LEADER_ELECTION);
        set.map_or(self.settings.unclean_leader_election, |value| value.trim().eq_ignore_ascii_case("true"))
    }

    /// What the topic says, or else the cluster.
    fn set_value<'a>(&'a self, topic: &'a BTreeMap<String, String>, key: &str) -> Option<&'a String> {
        let cluster = || self.image.configs(&ConfigResource::Broker(None))?.get(key);
        topic.get(key).or_else(cluster)
    }
}

/// The record of one partition's change.
pub(super) fn change_of(topic_id: Uuid, partition: i32, change: PartitionChange) -> MetadataRecord {
    TopicRecord::PartitionChange { topic_id, partition, change }.into()
}
