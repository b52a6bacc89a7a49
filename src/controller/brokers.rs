//! Brokers: their registration, and the producer ids that they hand out.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::partition_changes::BrokerShift;
use super::{Controller, Refusal};
use crate::clock::Monotonic;
use crate::ids::{NodeId, Uuid};
use crate::metadata::{
    BrokerRecord, BrokerRegistration, ClusterRecord, Endpoint, FeatureRecord, MetadataRecord, ProducerIdsRecord,
    SUPPORTED_FEATURES, SupportedFeature,
};
use crate::protocol::ErrorCode;

/// Kafka's directory ids up to this one are no directories.
const LAST_RESERVED_DIRECTORY: u128 = 99;

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
        now: Monotonic,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<i64, Refusal> {
        let cluster_id = self.image.cluster_id();
        let is_founded = cluster_id.is_empty();
        if !is_founded && *cluster_id != request.cluster_id {
            let message = format!("Expected cluster ID {cluster_id}, but got cluster ID {}", request.cluster_id);
            return Err(Refusal::new(ErrorCode::InconsistentClusterId, message));
        }
        self.check_session(&request, now)?;
        self.check_log_dirs(&request)?;
        if is_founded {
            records.push(ClusterRecord::ClusterId(Arc::clone(&request.cluster_id)).into());
        }
        self.choose_features(is_founded, records);
        let id = request.id;
        let known = self.image.broker(id).filter(|known| known.incarnation == request.incarnation);
        if known.is_none() {
            let is_clean = self.image.broker(id).is_some_and(|former| former.epoch == request.previous_broker_epoch);
            self.follow_brokers(if is_clean { BrokerShift::Leaves(id) } else { BrokerShift::Lost(id) }, records);
        }
        // Unlike Kafka, an epoch is a count of registrations and not an offset of the log, which a pure machine does not
        // know; both only ever grow.
        let epoch = known.map_or_else(|| 1 + self.image.last_broker_epoch(), |known| known.epoch);
        let RegisterBroker { incarnation, listeners, rack, log_dirs, .. } = request;
        let registration = BrokerRegistration {
            id,
            epoch,
            incarnation,
            listeners,
            rack,
            fenced: known.is_none_or(|known| known.fenced),
            in_controlled_shutdown: known.is_some_and(|known| known.in_controlled_shutdown),
            log_dirs,
        };
        records.push(BrokerRecord::RegisterBroker(registration).into());
        Ok(epoch)
    }

    fn choose_features(&self, is_founded: bool, records: &mut Vec<MetadataRecord>) {
        // A cluster begins at the highest levels that its founder knows. An older one stays as it is, without what may be
        // missing: that may have been chosen.
        let is_needed = |feature: &&SupportedFeature| {
            (is_founded || feature.min_level > 0) && self.image.feature_level(feature.name).is_none()
        };
        for feature in SUPPORTED_FEATURES.iter().filter(is_needed) {
            let (name, level) = (feature.name.into(), feature.max_level);
            records.push(FeatureRecord::FeatureLevel { name, level }.into());
        }
    }

    /// Refuses a second broker of the same id. The broker of the controller's own process is the first one: the process that
    /// it was before has ended.
    fn check_session(&self, request: &RegisterBroker, now: Monotonic) -> Result<(), Refusal> {
        let known = self.image.broker(request.id);
        let is_another = known.is_some_and(|known| !known.fenced && known.incarnation != request.incarnation);
        let is_live = || self.sessions.is_live(request.id, now, self.settings.session_timeout);
        if request.id != self.own_node_id && is_another && is_live() {
            let message = "Another broker is registered with that broker id.";
            return Err(Refusal::new(ErrorCode::DuplicateBrokerRegistration, message));
        }
        Ok(())
    }

    fn check_log_dirs(&self, request: &RegisterBroker) -> Result<(), Refusal> {
        let refuse = |message: String| Err(Refusal::new(ErrorCode::InvalidRegistration, message));
        let log_dirs = &request.log_dirs;
        if log_dirs.is_empty() {
            return refuse("No directories specified in request".to_owned());
        }
        if log_dirs.iter().any(|id| id.as_u128() <= LAST_RESERVED_DIRECTORY) {
            return refuse("Reserved directory ID in request".to_owned());
        }
        if log_dirs.iter().collect::<BTreeSet<_>>().len() < log_dirs.len() {
            return refuse("Duplicate directory ID in request".to_owned());
        }
        for other in self.image.brokers().filter(|other| other.id != request.id) {
            if let Some(directory) = log_dirs.iter().find(|directory| other.log_dirs.contains(directory)) {
                return refuse(format!("Broker {} is already registered with directory {directory}", other.id));
            }
        }
        Ok(())
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
        self.follow_brokers(BrokerShift::Lost(id), records);
        records.push(BrokerRecord::UnregisterBroker { id, epoch: broker.epoch }.into());
        Ok(())
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
