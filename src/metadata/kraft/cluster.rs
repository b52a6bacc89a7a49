//! What Kafka's records amount to, and whether that can be taken over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ids::{NodeId, Uuid};
use crate::metadata::cluster::ClusterRecord;
use crate::metadata::configs::{ConfigRecord, ConfigResource};
use crate::metadata::error::ReplayError;
use crate::metadata::features::{FeatureRecord, METADATA_VERSION, SUPPORTED_FEATURES};
use crate::metadata::image::MetadataImage;
use crate::metadata::partitions::PartitionImage;
use crate::metadata::producer_ids::ProducerIdsRecord;
use crate::metadata::quotas::{EntityName, QuotaEntity, QuotaKey, QuotaRecord};
use crate::metadata::records::MetadataRecord;
use crate::metadata::scram::{ScramCredential, ScramMechanism, ScramRecord};
use crate::metadata::topics::TopicRecord;
use crate::protocol::kraft_records::{KraftControlRecord, KraftRecord, NO_LEADER_CHANGE};

/// Directory ids up to this one say that a replica is nowhere yet, or nowhere any more (`DirectoryId`, KIP-858).
const LAST_RESERVED_DIRECTORY: u128 = 100;

/// `ZkMigrationState` of a cluster that never was one of `ZooKeeper`, and of one whose migration is over.
const NO_MIGRATION: i8 = 0;
const POST_MIGRATION: i8 = 3;

/// So many partitions, or what else there are many of, are named in a sentence.
const NAMED: usize = 3;

/// Kafka's metadata at the end of its log.
#[derive(Debug, Clone, Default)]
pub struct KraftCluster {
    /// What takes no more than a translation of its records.
    image: MetadataImage,
    topics: BTreeMap<Uuid, KraftTopic>,
    topic_ids: BTreeMap<Arc<str>, Uuid>,
    /// The registered brokers, with the ids of their log directories.
    brokers: BTreeMap<NodeId, Vec<Uuid>>,
    controllers: BTreeSet<NodeId>,
    voters: Vec<NodeId>,
    acls: BTreeSet<Uuid>,
    delegation_tokens: BTreeSet<Arc<str>>,
    is_migrating: bool,
    /// Whatever has no place in our metadata, in words.
    unknown: BTreeSet<String>,
}

#[derive(Debug, Clone)]
struct KraftTopic {
    name: Arc<str>,
    partitions: BTreeMap<i32, KraftPartition>,
    configs: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
struct KraftPartition {
    image: PartitionImage,
    adding_replicas: Vec<NodeId>,
    removing_replicas: Vec<NodeId>,
    directories: Vec<Uuid>,
}

/// What our metadata shall be.
#[derive(Debug, Clone)]
pub struct TakenOver {
    /// The metadata, without any broker: the first one registers itself.
    pub image: MetadataImage,
    /// Finalized features that are not served here, as `name=level`.
    pub left_out_features: Vec<String>,
}

impl KraftCluster {
    /// Takes in what the quorum has written.
    pub(super) fn replay_control(&mut self, record: KraftControlRecord) {
        match record {
            KraftControlRecord::LeaderChange { leader_id, voters } => {
                self.controllers.insert(leader_id);
                self.voters = voters;
            }
            KraftControlRecord::Voters(voters) => self.voters = voters,
            KraftControlRecord::SnapshotHeader
            | KraftControlRecord::SnapshotFooter
            | KraftControlRecord::KraftVersion => {}
        }
    }

    /// Takes in a change, but for the bounds of transactions.
    ///
    /// # Errors
    /// What the change is about is not there.
    pub(super) fn replay(&mut self, record: KraftRecord) -> Result<(), String> {
        match record {
            KraftRecord::Topic { .. }
            | KraftRecord::Partition { .. }
            | KraftRecord::PartitionChange { .. }
            | KraftRecord::RemoveTopic { .. } => return self.replay_topic(record),
            KraftRecord::RegisterBroker { broker_id, is_migrating_zk_broker, log_dirs, .. } => {
                self.brokers.insert(broker_id, log_dirs);
                self.is_migrating |= is_migrating_zk_broker;
            }
            KraftRecord::BrokerRegistrationChange { broker_id, log_dirs, .. } => {
                if !log_dirs.is_empty() {
                    self.brokers.insert(broker_id, log_dirs);
                }
            }
            KraftRecord::UnregisterBroker { broker_id, .. } => {
                self.brokers.remove(&broker_id);
            }
            KraftRecord::RegisterController { controller_id, .. } => {
                self.controllers.insert(controller_id);
            }
            KraftRecord::AccessControlEntry { id, .. } => {
                self.acls.insert(id);
            }
            KraftRecord::RemoveAccessControlEntry { id } => {
                self.acls.remove(&id);
            }
            KraftRecord::DelegationToken { token_id, .. } => {
                self.delegation_tokens.insert(token_id);
            }
            KraftRecord::RemoveDelegationToken { token_id } => {
                self.delegation_tokens.remove(&token_id);
            }
            KraftRecord::ZkMigrationState { state } => {
                self.is_migrating = !matches!(state, NO_MIGRATION | POST_MIGRATION);
            }
            KraftRecord::Config { resource_type, resource_name, name, value } => {
                return self.replay_config(resource_type, &resource_name, &name, value.as_deref());
            }
            KraftRecord::FeatureLevel { name, feature_level: level } => {
                return self.take(FeatureRecord::FeatureLevel { name, level });
            }
            KraftRecord::ClientQuota { entity, key, value, remove } => {
                return self.replay_quota(&entity, &key, (!remove).then_some(value));
            }
            KraftRecord::ProducerIds { next_producer_id, .. } => {
                let record = ProducerIdsRecord::ProducerIds { broker_id: -1, broker_epoch: -1, next_producer_id };
                return self.take(record);
            }
            KraftRecord::UserScramCredential { name, mechanism, salt, stored_key, server_key, iterations } => {
                let mechanism = scram_mechanism(mechanism)?;
                let credential = ScramCredential { salt, stored_key, server_key, iterations };
                return self.take(ScramRecord::UserScramCredential { user: name, mechanism, credential });
            }
            KraftRecord::RemoveUserScramCredential { name, mechanism } => {
                let mechanism = scram_mechanism(mechanism)?;
                return self.take(ScramRecord::RemoveUserScramCredential { user: name, mechanism });
            }
            // A stopped broker is fenced, and ours is not when it registers. Who else may lead is nobody's concern with
            // one replica.
            KraftRecord::FenceBroker { .. }
            | KraftRecord::UnfenceBroker { .. }
            | KraftRecord::ClearElr { .. }
            | KraftRecord::NoOp {}
            | KraftRecord::BeginTransaction { .. }
            | KraftRecord::EndTransaction {}
            | KraftRecord::AbortTransaction { .. } => {}
        }
        Ok(())
    }

    fn take(&mut self, record: impl Into<MetadataRecord>) -> Result<(), String> {
        self.image.replay(&record.into()).map(|_| ()).map_err(|error: ReplayError| error.to_string())
    }

    fn replay_topic(&mut self, record: KraftRecord) -> Result<(), String> {
        match record {
            KraftRecord::Topic { name, topic_id } => {
                self.topic_ids.insert(Arc::clone(&name), topic_id);
                let topic = KraftTopic { name, partitions: BTreeMap::new(), configs: BTreeMap::new() };
                self.topics.insert(topic_id, topic);
            }
            KraftRecord::RemoveTopic { topic_id } => {
                let topic = self.topics.remove(&topic_id).ok_or("it removes a topic that is not there")?;
                self.topic_ids.remove(&topic.name);
            }
            KraftRecord::Partition { partition_id, topic_id, .. } => {
                let topic = self.topics.get_mut(&topic_id).ok_or("it is of a topic that is not there")?;
                topic.partitions.extend(KraftPartition::of(record).map(|partition| (partition_id, partition)));
            }
            KraftRecord::PartitionChange { partition_id, topic_id, .. } => {
                let topic = self.topics.get_mut(&topic_id).ok_or("it is of a topic that is not there")?;
                let partition = topic.partitions.get_mut(&partition_id);
                partition.ok_or("it changes a partition that is not there")?.change(record);
            }
            _ => {}
        }
        Ok(())
    }

    fn replay_config(&mut self, resource: i8, name: &Arc<str>, key: &str, value: Option<&str>) -> Result<(), String> {
        let resource = match resource {
            2 => {
                let topic = self.topic_ids.get(name).and_then(|id| self.topics.get_mut(id));
                let configs = &mut topic.ok_or("it configures a topic that is not there")?.configs;
                match value {
                    Some(value) => configs.insert(key.to_owned(), value.to_owned()),
                    None => configs.remove(key),
                };
                return Ok(());
            }
            4 if name.is_empty() => ConfigResource::Broker(None),
            4 => ConfigResource::Broker(Some(name.parse().map_err(|_| "it configures a broker without a number")?)),
            16 => ConfigResource::ClientMetrics(Arc::clone(name)),
            32 => ConfigResource::Group(Arc::clone(name)),
            other => {
                self.unknown.insert(format!("the configuration of a resource of type {other}, {name}"));
                return Ok(());
            }
        };
        let (key, value) = (key.to_owned(), value.map(str::to_owned));
        self.take(ConfigRecord::Config { resource, key, value })
    }

    fn replay_quota(
        &mut self,
        parts: &[(Arc<str>, Option<Arc<str>>)],
        key: &str,
        value: Option<f64>,
    ) -> Result<(), String> {
        let mut entity = QuotaEntity::default();
        for (entity_type, name) in parts {
            let part = match &**entity_type {
                "user" => &mut entity.user,
                "client-id" => &mut entity.client_id,
                "ip" => &mut entity.ip,
                other => {
                    self.unknown.insert(format!("a quota of the entity type {other}"));
                    return Ok(());
                }
            };
            *part = Some(EntityName::from(name.clone()));
        }
        let Some(key) = QuotaKey::from_name(key) else {
            self.unknown.insert(format!("the quota {key}"));
            return Ok(());
        };
        self.take(QuotaRecord::ClientQuota { entity, key, value: value.map(Into::into) })
    }

    /// Decides whether node `node_id`, whose only directory is `directory_id`, can go on with the cluster `cluster_id`
    /// alone.
    ///
    /// # Errors
    /// Everything that keeps it from that, each as one sentence: what was found, why that is an obstacle, and what to do.
    pub fn take_over(
        mut self,
        node_id: NodeId,
        directory_id: Option<Uuid>,
        cluster_id: &str,
    ) -> Result<TakenOver, Vec<String>> {
        let mut obstacles = self.cluster_obstacles(node_id, directory_id);
        obstacles.extend(self.partition_obstacles(node_id, directory_id));
        if !obstacles.is_empty() {
            return Err(obstacles);
        }
        let left_out = |(name, level): (&str, i16)| {
            let is_served = SUPPORTED_FEATURES
                .iter()
                .any(|feature| feature.name == name && (feature.min_level..=feature.max_level).contains(&level));
            (!is_served).then(|| (Arc::from(name), level))
        };
        let left_out: Vec<(Arc<str>, i16)> = self.image.features().filter_map(left_out).collect();
        let mut records: Vec<MetadataRecord> = vec![ClusterRecord::ClusterId(cluster_id.into()).into()];
        let remove = |(name, _): &(Arc<str>, i16)| FeatureRecord::FeatureLevel { name: Arc::clone(name), level: 0 };
        records.extend(left_out.iter().map(remove).map(Into::into));
        records.extend(std::mem::take(&mut self.topics).into_iter().flat_map(|(id, topic)| topic.records(id, node_id)));
        let contradicts =
            |error: ReplayError| vec![format!("its metadata contradicts itself ({error}): restore it from a copy")];
        for record in &records {
            self.image.replay(record).map_err(contradicts)?;
        }
        let left_out_features = left_out.into_iter().map(|(name, level)| format!("{name}={level}")).collect();
        Ok(TakenOver { image: self.image, left_out_features })
    }

    fn cluster_obstacles(&self, node_id: NodeId, directory_id: Option<Uuid>) -> Vec<String> {
        let mut obstacles = Vec::new();
        let supported = SUPPORTED_FEATURES.iter().find(|feature| feature.name == METADATA_VERSION);
        let level = self.image.feature_level(METADATA_VERSION).unwrap_or(0);
        if let Some(supported) = supported.filter(|known| !(known.min_level..=known.max_level).contains(&level)) {
            let (min, max) = (supported.min_level, supported.max_level);
            obstacles.push(format!(
                "metadata.version is {level}, and {min} to {max} are known: change it with kafka-features.sh"
            ));
        }
        let others: Vec<_> = self.brokers.keys().filter(|id| **id != node_id).map(ToString::to_string).collect();
        if !others.is_empty() {
            obstacles.push(format!(
                "other brokers are registered ({}), whose partitions are not in this directory: copy the topics with \
                 MirrorMaker, or unregister brokers that are gone with kafka-cluster.sh unregister",
                some_of(&others)
            ));
        }
        match self.brokers.get(&node_id) {
            None => obstacles.push(format!(
                "broker {node_id} is not registered, so this is a controller's directory: take a broker's that is both"
            )),
            Some(directories) if directories.len() > 1 || !is_own(directories, directory_id) => {
                obstacles.push(format!(
                    "broker {node_id} has {} log directories, or another one than this, and only one is served: move all \
                     partitions into one with kafka-reassign-partitions.sh, and start Kafka once with that one alone",
                    directories.len()
                ));
            }
            Some(_) => {}
        }
        let nodes = self.controllers.iter().chain(&self.voters).filter(|id| **id != node_id);
        let others: BTreeSet<_> = nodes.map(ToString::to_string).collect();
        if !others.is_empty() {
            let others: Vec<_> = others.into_iter().collect();
            obstacles.push(format!(
                "other controllers have a part in the metadata ({}), which may not all be here: only a node that is broker \
                 and controller alone is taken over; copy the topics with MirrorMaker",
                some_of(&others)
            ));
        }
        if self.is_migrating {
            obstacles.push("a migration from ZooKeeper is not finished: finish it with Kafka 3.9".to_owned());
        }
        if !self.acls.is_empty() {
            obstacles.push(format!(
                "there are access control lists ({} entries), which are not enforced here yet: remove them with \
                 kafka-acls.sh if everybody may do everything, or stay with Kafka",
                self.acls.len()
            ));
        }
        if !self.delegation_tokens.is_empty() {
            obstacles.push(format!(
                "there are {} delegation tokens, which are not served here yet: let them expire with \
                 kafka-delegation-tokens.sh, or stay with Kafka",
                self.delegation_tokens.len()
            ));
        }
        if !self.unknown.is_empty() {
            let unknown: Vec<_> = self.unknown.iter().cloned().collect();
            obstacles.push(format!("{} is unknown here: remove it with kafka-configs.sh", some_of(&unknown)));
        }
        obstacles
    }

    fn partition_obstacles(&self, node_id: NodeId, directory_id: Option<Uuid>) -> Vec<String> {
        let (mut elsewhere, mut moving, mut other_directory, mut gaps) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for topic in self.topics.values() {
            for (index, partition) in &topic.partitions {
                let name = || format!("{}-{index}", topic.name);
                if partition.image.replicas != [node_id] {
                    elsewhere.push(name());
                }
                if !(partition.adding_replicas.is_empty() && partition.removing_replicas.is_empty()) {
                    moving.push(name());
                }
                if !is_own(&partition.directories, directory_id) {
                    other_directory.push(name());
                }
            }
            let is_counted = (0..).zip(topic.partitions.keys()).all(|(index, found)| index == *found);
            if topic.partitions.is_empty() || !is_counted {
                gaps.push(topic.name.to_string());
            }
        }
        let mut obstacles = Vec::new();
        let mut told = |names: Vec<String>, what: &str| {
            if !names.is_empty() {
                obstacles.push(format!("{} {what}", some_of(&names)));
            }
        };
        told(elsewhere, "have replicas on other brokers: reassign them to this one with kafka-reassign-partitions.sh");
        told(moving, "are being reassigned: let that finish, or cancel it with kafka-reassign-partitions.sh");
        told(
            other_directory,
            "are in another log directory than this one, and only one is served: move them with kafka-reassign-partitions.sh",
        );
        told(gaps, "are topics that lack partitions in the metadata: restore it from a copy");
        obstacles
    }
}

impl KraftTopic {
    /// The records that make the topic ours.
    fn records(self, topic_id: Uuid, node_id: NodeId) -> Vec<MetadataRecord> {
        let Self { name, partitions, configs } = self;
        let topic = TopicRecord::Topic { name, id: topic_id };
        let configs =
            configs.into_iter().map(|(key, value)| TopicRecord::TopicConfig { topic_id, key, value: Some(value) });
        let partitions = partitions.into_iter().map(|(partition, found)| {
            // A broker that stops leaves the in-sync replicas for the eligible leaders (KIP-966). The only replica of a
            // log that was closed cleanly has all there is.
            let state = PartitionImage { isr: vec![node_id], ..found.image };
            TopicRecord::Partition { topic_id, partition, state }
        });
        std::iter::once(topic).chain(configs).chain(partitions).map(Into::into).collect()
    }
}

impl KraftPartition {
    fn of(record: KraftRecord) -> Option<Self> {
        let KraftRecord::Partition {
            replicas,
            isr,
            leader,
            leader_epoch,
            partition_epoch,
            adding_replicas,
            removing_replicas,
            directories,
            ..
        } = record
        else {
            return None;
        };
        Some(Self {
            image: PartitionImage { replicas, isr, leader, leader_epoch, partition_epoch, ..PartitionImage::default() },
            adding_replicas,
            removing_replicas,
            directories,
        })
    }

    /// `PartitionRegistration.merge`.
    fn change(&mut self, record: KraftRecord) {
        let KraftRecord::PartitionChange {
            isr, leader, replicas, removing_replicas, adding_replicas, directories, ..
        } = record
        else {
            return;
        };
        if leader != NO_LEADER_CHANGE {
            self.image.leader = leader;
            self.image.leader_epoch += 1;
        }
        self.image.partition_epoch += 1;
        set(&mut self.image.isr, isr);
        set(&mut self.image.replicas, replicas);
        set(&mut self.adding_replicas, adding_replicas);
        set(&mut self.removing_replicas, removing_replicas);
        set(&mut self.directories, directories);
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn scram_mechanism(type_id: i8) -> Result<ScramMechanism, String> {
    ScramMechanism::from_type_id(type_id).ok_or_else(|| format!("the SCRAM mechanism {type_id} is unknown"))
}

/// Whether all of `directories` are the one that is `own`, or none at all.
fn is_own(directories: &[Uuid], own: Option<Uuid>) -> bool {
    directories.iter().all(|id| Some(*id) == own || id.as_u128() <= LAST_RESERVED_DIRECTORY)
}

/// `a, b, c and 7 more`: as many of them as a sentence bears.
pub fn some_of(names: &[String]) -> String {
    let told = names.get(..NAMED.min(names.len())).unwrap_or_default().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => told,
        more => format!("{told} and {more} more"),
    }
}
