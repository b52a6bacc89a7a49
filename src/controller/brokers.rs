//! Brokers: their registration, and the producer ids that they hand out.

use std::sync::Arc;

use super::{Controller, Refusal};
use crate::ids::{NodeId, Uuid};
use crate::metadata::{
    BrokerRecord, BrokerRegistration, ClusterRecord, Endpoint, FeatureRecord, MetadataRecord, PartitionChange,
    PartitionImage, ProducerIdsRecord, SUPPORTED_FEATURES, SupportedFeature, TopicRecord,
};
use crate::protocol::ErrorCode;

/// Who leads a partition that nobody leads.
const NO_LEADER: NodeId = -1;

/// How many producer ids a broker gets at a time, as in Kafka.
const PRODUCER_IDS_PER_BLOCK: i64 = 1_000;

/// A broker has started.
#[derive(Debug, Clone)]
pub struct RegisterBroker {
    /// Its node id.
    pub id: NodeId,
    /// The cluster it belongs to. The first broker to register names the cluster.
    pub cluster_id: Arc<str>,
    /// A fresh id of this run of its process.
    pub incarnation: Uuid,
    /// Where it is reached.
    pub listeners: Vec<Endpoint>,
    /// `broker.rack`.
    pub rack: Option<Arc<str>>,
    /// The ids of its log directories.
    pub log_dirs: Vec<Uuid>,
    /// The broker epoch at which it last stopped cleanly, or -1 where it did not: then its logs may lack records that it
    /// had (KIP-966).
    pub previous_broker_epoch: i64,
}

/// A broker is alive, and says what it wants to be.
#[derive(Debug, Clone, Copy)]
pub struct BrokerHeartbeat {
    /// The broker.
    pub broker_id: NodeId,
    /// The epoch of its registration.
    pub broker_epoch: i64,
    /// The metadata log's last offset that it has applied.
    pub current_metadata_offset: i64,
    /// Whether it wants to be fenced. It asks not to be only when it has applied its own registration.
    pub wants_fence: bool,
    /// Whether it wants to stop.
    pub wants_shutdown: bool,
}

/// What a broker is from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeartbeatAnswer {
    /// Whether it has applied its own registration.
    pub is_caught_up: bool,
    /// Whether it is fenced.
    pub is_fenced: bool,
    /// Whether it may stop now: it leads nothing any more.
    pub should_shut_down: bool,
}

/// A broker shall be no part of the cluster any more.
#[derive(Debug, Clone, Copy)]
pub struct UnregisterBroker {
    /// The broker.
    pub id: NodeId,
}

/// A broker needs producer ids.
#[derive(Debug, Clone, Copy)]
pub struct AllocateProducerIds {
    /// The broker.
    pub broker_id: NodeId,
    /// The epoch of its registration.
    pub broker_epoch: i64,
}

/// Producer ids that one broker may hand out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerIdsBlock {
    /// The first of them.
    pub first: i64,
    /// How many there are.
    pub length: i64,
}

impl Controller {
    pub(super) fn register_broker(
        &self,
        request: RegisterBroker,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<i64, Refusal> {
        let cluster_id = self.image.cluster_id();
        let is_founded = cluster_id.is_empty();
        if is_founded {
            records.push(ClusterRecord::ClusterId(Arc::clone(&request.cluster_id)).into());
        } else if *cluster_id != request.cluster_id {
            let message = format!("Expected cluster ID {cluster_id}, but got cluster ID {}", request.cluster_id);
            return Err(Refusal::new(ErrorCode::InconsistentClusterId, message));
        }
        // A cluster begins at the highest levels that its founder knows. An older one stays as it is, without what may be
        // missing: that may have been chosen.
        let is_needed = |feature: &&SupportedFeature| {
            (is_founded || feature.min_level > 0) && self.image.feature_level(feature.name).is_none()
        };
        for feature in SUPPORTED_FEATURES.iter().filter(is_needed) {
            let (name, level) = (feature.name.into(), feature.max_level);
            records.push(FeatureRecord::FeatureLevel { name, level }.into());
        }
        let known = self.image.broker(request.id).filter(|known| known.incarnation == request.incarnation);
        // Unlike Kafka, an epoch is a count of registrations and not an offset of the log, which a pure machine does not
        // know; both only ever grow.
        let next_epoch = 1 + self.image.brokers().map(|broker| broker.epoch).max().unwrap_or(0);
        let epoch = known.map_or(next_epoch, |known| known.epoch);
        let is_new_incarnation = known.is_none();
        let RegisterBroker { id, incarnation, listeners, rack, log_dirs, .. } = request;
        let registration = BrokerRegistration {
            id,
            epoch,
            incarnation,
            listeners,
            rack,
            fenced: false,
            in_controlled_shutdown: false,
            log_dirs,
        };
        records.push(BrokerRecord::RegisterBroker(registration).into());
        if is_new_incarnation {
            self.begin_leaderships(id, records);
        }
        Ok(epoch)
    }

    /// A new process is a new leadership: whoever remembers the epoch before may have seen records that a crash took. A
    /// partition that has no leader gets this one, if it is in sync.
    fn begin_leaderships(&self, id: NodeId, records: &mut Vec<MetadataRecord>) {
        for topic in self.image.topics() {
            for (partition, state) in (0..).zip(&topic.partitions) {
                if state.leader == id || (state.leader == NO_LEADER && state.isr.contains(&id)) {
                    let change = PartitionChange { leader: Some(id), ..PartitionChange::default() };
                    records.push(TopicRecord::PartitionChange { topic_id: topic.id, partition, change }.into());
                }
            }
        }
    }

    pub(super) fn broker_heartbeat(&self, request: BrokerHeartbeat) -> Result<HeartbeatAnswer, Refusal> {
        let refuse = |code: ErrorCode| Refusal::new(code, "The broker is not registered under that epoch.");
        self.check_broker_epoch(request.broker_id, request.broker_epoch).map_err(refuse)?;
        let is_fenced = self.image.broker(request.broker_id).is_none_or(|broker| broker.fenced);
        Ok(HeartbeatAnswer { is_caught_up: true, is_fenced, should_shut_down: request.wants_shutdown })
    }

    pub(super) fn unregister_broker(
        &self,
        request: UnregisterBroker,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<(), Refusal> {
        let UnregisterBroker { id } = request;
        let broker = self.image.broker(id).ok_or_else(|| {
            let message = format!("Broker ID {id} is not currently registered");
            Refusal::new(ErrorCode::BrokerIdNotRegistered, message)
        })?;
        for topic in self.image.topics() {
            for (partition, state) in (0..).zip(&topic.partitions) {
                let change = self.without_replica(state, id);
                records.extend(change.map(|(isr, leader)| {
                    let change = PartitionChange { isr, leader, ..PartitionChange::default() };
                    TopicRecord::PartitionChange { topic_id: topic.id, partition, change }.into()
                }));
            }
        }
        records.push(BrokerRecord::UnregisterBroker { id, epoch: broker.epoch }.into());
        Ok(())
    }

    /// The in-sync replicas and the leader of a partition that `id` leaves, where they change. The last replica in sync
    /// stays in sync, and nobody leads then: who has the records must not be forgotten.
    fn without_replica(&self, state: &PartitionImage, id: NodeId) -> Option<(Option<Vec<NodeId>>, Option<NodeId>)> {
        if !state.isr.contains(&id) {
            return None;
        }
        let isr: Vec<_> = state.isr.iter().copied().filter(|other| *other != id).collect();
        let is_alive = |other: &&NodeId| self.image.broker(**other).is_some_and(|broker| !broker.fenced);
        let next = state.replicas.iter().filter(|other| isr.contains(other)).find(is_alive).copied();
        let leader = (state.leader == id).then(|| next.unwrap_or(NO_LEADER));
        Some((Some(isr).filter(|isr| !isr.is_empty()), leader)).filter(|change| *change != (None, None))
    }

    pub(super) fn allocate_producer_ids(
        &self,
        request: AllocateProducerIds,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<ProducerIdsBlock, ErrorCode> {
        let AllocateProducerIds { broker_id, broker_epoch } = request;
        self.check_broker_epoch(broker_id, broker_epoch)?;
        let first = self.image.next_producer_id();
        let next_producer_id = first.checked_add(PRODUCER_IDS_PER_BLOCK).ok_or(ErrorCode::UnknownServerError)?;
        records.push(ProducerIdsRecord::ProducerIds { broker_id, broker_epoch, next_producer_id }.into());
        Ok(ProducerIdsBlock { first, length: PRODUCER_IDS_PER_BLOCK })
    }

    /// Whether that is the broker's current registration.
    pub(super) fn check_broker_epoch(&self, id: NodeId, epoch: i64) -> Result<(), ErrorCode> {
        match self.image.broker(id) {
            Some(broker) if broker.epoch == epoch => Ok(()),
            _ => Err(ErrorCode::StaleBrokerEpoch),
        }
    }
}
