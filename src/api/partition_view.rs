//! A partition as clients of one listener see it, for Metadata and DescribeTopicPartitions.

use kafka_protocol::messages::BrokerId;

use crate::broker::Broker;
use crate::ids::{LeaderEpoch, NodeId};
use crate::metadata::{MetadataImage, PartitionImage};
use crate::protocol::ErrorCode;

/// The leader where there is none.
const NO_LEADER: BrokerId = BrokerId(-1);

/// What an answer says of one partition.
#[derive(Debug)]
pub(super) struct PartitionView {
    pub(super) error_code: i16,
    pub(super) leader: BrokerId,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) replicas: Vec<BrokerId>,
    pub(super) isr: Vec<BrokerId>,
    pub(super) offline_replicas: Vec<BrokerId>,
}

/// Who looks.
#[derive(Clone, Copy)]
pub(super) struct PartitionViewer<'a> {
    /// The listener by which the request came.
    pub(super) listener: &'a str,
    /// The version of Metadata.
    pub(super) version: i16,
    /// The node whose replica of a topic's partition is in a log directory that has failed, if this is known of one.
    pub(super) failed_replica: &'a dyn Fn(&str, usize) -> Option<NodeId>,
}

/// The replica of `broker` itself, where it is in a log directory that has failed.
pub(super) fn failed_replica_of(broker: &Broker) -> impl Fn(&str, usize) -> Option<NodeId> {
    |topic, partition| broker.replicas.is_in_failed_log_dir(topic, partition).then_some(broker.node_id)
}

impl PartitionView {
    /// What the viewer is told of `partition`.
    ///
    /// Up to version 5 clients do not know `LISTENER_NOT_FOUND`; in version 0 they are told only of replicas that they can
    /// reach.
    ///
    /// Unlike Kafka, whose controller takes the leadership of a failed replica away, once its broker has told it (KIP-112): the
    /// broker says the same of its own replicas, and their leader epochs stay.
    pub(super) fn new(
        image: &MetadataImage,
        viewer: PartitionViewer<'_>,
        topic: &str,
        (index, partition): (usize, &PartitionImage),
    ) -> Self {
        let PartitionViewer { listener, version, failed_replica } = viewer;
        let failed_replica = failed_replica(topic, index);
        let has_listener =
            |id: &NodeId| image.broker(*id).is_some_and(|broker| !broker.fenced && broker.endpoint(listener).is_some());
        let is_reachable = |id: &NodeId| has_listener(id) && failed_replica != Some(*id);
        let nodes = |ids: &[NodeId]| -> Vec<BrokerId> {
            ids.iter().filter(|id| version > 0 || has_listener(id)).copied().map(BrokerId).collect()
        };
        let (replicas, isr) = (nodes(&partition.replicas), nodes(&partition.isr));
        let error = if !is_reachable(&partition.leader) {
            match image.broker(partition.leader) {
                Some(_) if version >= 6 && failed_replica != Some(partition.leader) => {
                    Some(ErrorCode::ListenerNotFound)
                }
                _ => Some(ErrorCode::LeaderNotAvailable),
            }
        } else if replicas.len() < partition.replicas.len() || isr.len() < partition.isr.len() {
            Some(ErrorCode::ReplicaNotAvailable)
        } else {
            None
        };
        let has_leader = is_reachable(&partition.leader);
        Self {
            error_code: error.map_or(0, |error| error.code()),
            leader: if has_leader { BrokerId(partition.leader) } else { NO_LEADER },
            leader_epoch: partition.leader_epoch,
            replicas,
            isr,
            offline_replicas: partition.replicas.iter().filter(|id| !is_reachable(id)).copied().map(BrokerId).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Uuid;
    use crate::metadata::{BrokerRecord, BrokerRegistration, Endpoint};

    fn image() -> MetadataImage {
        let mut image = MetadataImage::default();
        for (id, listener, fenced) in [(1, "A", false), (2, "B", false), (3, "A", true)] {
            let endpoint =
                Endpoint { listener: listener.into(), host: "h".into(), port: 1, protocol: "PLAINTEXT".into() };
            let (listeners, incarnation) = (vec![endpoint], Uuid::nil());
            let broker =
                BrokerRegistration { id, epoch: 1, incarnation, listeners, fenced, ..BrokerRegistration::default() };
            image.replay(&BrokerRecord::RegisterBroker(broker).into()).unwrap();
        }
        image
    }

    fn view(leader: NodeId, version: i16) -> (i16, i32, usize, usize) {
        view_with(leader, version, None)
    }

    fn view_with(leader: NodeId, version: i16, failed_replica: Option<NodeId>) -> (i16, i32, usize, usize) {
        let partition = PartitionImage {
            replicas: vec![1, 2, 3],
            isr: vec![1, 2],
            leader,
            leader_epoch: 4,
            partition_epoch: 5,
            ..PartitionImage::default()
        };
        let view = {
            let viewer = PartitionViewer { listener: "A", version, failed_replica: &|_, _| failed_replica };
            PartitionView::new(&image(), viewer, "t", (0, &partition))
        };
        (view.error_code, view.leader.0, view.replicas.len(), view.offline_replicas.len())
    }

    #[test]
    fn a_leader_is_shown_where_its_listener_is() {
        assert_eq!(view(1, 12), (0, 1, 3, 2));
        assert_eq!(view(2, 12), (ErrorCode::ListenerNotFound.code(), -1, 3, 2));
        assert_eq!(view(2, 5), (ErrorCode::LeaderNotAvailable.code(), -1, 3, 2));
        assert_eq!(view(-1, 12), (ErrorCode::LeaderNotAvailable.code(), -1, 3, 2));
    }

    #[test]
    fn a_replica_in_a_failed_directory_neither_leads_nor_is_online() {
        assert_eq!(view_with(1, 12, Some(1)), (ErrorCode::LeaderNotAvailable.code(), -1, 3, 3));
        assert_eq!(view_with(1, 0, Some(1)), (ErrorCode::LeaderNotAvailable.code(), -1, 1, 3));
        assert_eq!(view_with(1, 12, Some(2)), (0, 1, 3, 2));
    }

    #[test]
    fn version_0_hides_replicas_that_cannot_be_reached() {
        assert_eq!(view(1, 0), (ErrorCode::ReplicaNotAvailable.code(), 1, 1, 2));
    }
}
