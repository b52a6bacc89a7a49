//! The cluster's metadata at one offset of its log.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::brokers::{BrokerRegistration, Brokers};
use super::cluster::Cluster;
use super::configs::{ConfigResource, Configs};
use super::delta::{Change, MetadataDelta};
use super::error::ReplayError;
use super::features::Features;
use super::partitions::PartitionImage;
use super::producer_ids::ProducerIds;
use super::quotas::{ClientQuotasImage, QuotaEntity, QuotaKey, QuotaValue};
use super::records::MetadataRecord;
use super::scram::{ScramCredential, ScramCredentials, ScramKey, ScramMechanism};
use super::topics::{TopicImage, Topics};
use crate::ids::{NodeId, Uuid};

/// The cluster's metadata: immutable once published; a copy shares everything that did not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataImage {
    /// The metadata log's last offset that is part of this image; -1 where there is none.
    pub offset: i64,
    /// The epoch of the controller that wrote that offset.
    pub controller_epoch: i32,
    cluster: Cluster,
    features: Features,
    brokers: Brokers,
    topics: Topics,
    configs: Configs,
    quotas: ClientQuotasImage,
    scram_credentials: ScramCredentials,
    producer_ids: ProducerIds,
}

impl Default for MetadataImage {
    /// The image before the first record.
    fn default() -> Self {
        Self {
            offset: -1,
            controller_epoch: -1,
            cluster: Cluster::default(),
            features: Features::default(),
            brokers: Brokers::default(),
            topics: Topics::default(),
            configs: Configs::default(),
            quotas: ClientQuotasImage::default(),
            scram_credentials: ScramCredentials::default(),
            producer_ids: ProducerIds::default(),
        }
    }
}

impl MetadataImage {
    /// The cluster's id; empty until the first broker has registered.
    pub fn cluster_id(&self) -> &Arc<str> {
        &self.cluster.id
    }

    /// The topic of that name.
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topics.by_name(name)
    }

    /// The topic with that id.
    pub fn topic_by_id(&self, id: Uuid) -> Option<&Arc<TopicImage>> {
        self.topics.by_id(id)
    }

    /// All topics, by name.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = &Arc<TopicImage>> {
        self.topics.iter()
    }

    /// The topics whose names are `from` or come after it, by name.
    pub fn topics_from(&self, from: &str) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.topics.iter_from(from)
    }

    /// The partition `index` of the topic `name`.
    pub fn partition(&self, name: &str, index: i32) -> Option<&PartitionImage> {
        self.topic(name)?.partition(index)
    }

    /// The broker with that id, fenced or not.
    pub fn broker(&self, id: NodeId) -> Option<&BrokerRegistration> {
        self.brokers.by_id(id)
    }

    /// All registered brokers, by id.
    pub fn brokers(&self) -> impl ExactSizeIterator<Item = &BrokerRegistration> {
        self.brokers.iter()
    }

    /// The highest broker epoch that was ever given, also to a broker that is gone.
    pub fn last_broker_epoch(&self) -> i64 {
        self.brokers.last_epoch
    }

    /// The brokers that are not fenced, by id.
    pub fn alive_brokers(&self) -> impl Iterator<Item = &BrokerRegistration> {
        self.brokers().filter(|broker| !broker.fenced)
    }

    /// The finalized features and their levels, by name.
    pub fn features(&self) -> impl ExactSizeIterator<Item = (&str, i16)> {
        self.features.iter()
    }

    /// A feature's finalized level, if it has one.
    pub fn feature_level(&self, name: &str) -> Option<i16> {
        self.features.level(name)
    }

    /// The keys that are set for `resource`, as they were given; `None` where none is, or where it is not there.
    pub fn configs(&self, resource: &ConfigResource) -> Option<&BTreeMap<String, String>> {
        match resource {
            ConfigResource::Topic(name) => self.topic(name).map(|topic| &topic.configs).filter(|keys| !keys.is_empty()),
            ConfigResource::Broker(_) | ConfigResource::ClientMetrics(_) | ConfigResource::Group(_) => {
                self.configs.of(resource)
            }
        }
    }

    /// The resources other than topics that have keys set, ordered.
    pub fn configured_resources(&self) -> impl ExactSizeIterator<Item = &ConfigResource> {
        self.configs.resources()
    }

    /// The limits of exactly that entity; `None` where it has none.
    pub fn quotas(&self, entity: &QuotaEntity) -> Option<&BTreeMap<QuotaKey, QuotaValue>> {
        self.quotas.of(entity)
    }

    /// Everyone who has limits, with them, ordered.
    pub fn all_quotas(&self) -> impl ExactSizeIterator<Item = (&QuotaEntity, &BTreeMap<QuotaKey, QuotaValue>)> {
        self.quotas.iter()
    }

    /// The user's credential for the mechanism.
    pub fn scram_credential(&self, user: &str, mechanism: ScramMechanism) -> Option<&ScramCredential> {
        self.scram_credentials.of(user, mechanism)
    }

    /// All credentials, by user and then by mechanism.
    pub fn scram_credentials(&self) -> impl ExactSizeIterator<Item = (&ScramKey, &ScramCredential)> {
        self.scram_credentials.iter()
    }

    /// The first producer id that no broker was given yet.
    pub fn next_producer_id(&self) -> i64 {
        self.producer_ids.next_producer_id
    }

    /// Takes one record in, in place, and answers what it did. After an error nothing has changed.
    pub fn replay(&mut self, record: &MetadataRecord) -> Result<Change, ReplayError> {
        Ok(match record {
            MetadataRecord::Cluster(record) => {
                self.cluster.replay(record);
                Change::Cluster
            }
            MetadataRecord::Features(record) => Change::Feature(self.features.replay(record)),
            MetadataRecord::Brokers(record) => {
                self.brokers.replay(record)?.map_or(Change::BrokerEpochs, Change::Broker)
            }
            MetadataRecord::Topics(record) => Change::Topic(self.topics.replay(record)?),
            MetadataRecord::Configs(record) => Change::Config(self.configs.replay(record)),
            MetadataRecord::Quotas(record) => Change::Quota(self.quotas.replay(record)),
            MetadataRecord::ScramCredentials(record) => Change::ScramCredential(self.scram_credentials.replay(record)?),
            MetadataRecord::ProducerIds(record) => {
                self.producer_ids.replay(record);
                Change::ProducerIds
            }
        })
    }

    /// Records that lead from the empty image to this one: a snapshot's content.
    pub fn to_records(&self) -> Vec<MetadataRecord> {
        // Named one by one, so that a new part cannot be left out.
        let Self {
            offset: _,
            controller_epoch: _,
            cluster,
            features,
            brokers,
            topics,
            configs,
            quotas,
            scram_credentials,
            producer_ids,
        } = self;
        let mut records: Vec<MetadataRecord> = Vec::new();
        records.extend(cluster.to_records().map(Into::into));
        records.extend(features.to_records().map(Into::into));
        records.extend(brokers.to_records().map(Into::into));
        records.extend(producer_ids.to_records().map(Into::into));
        records.extend(topics.to_records().map(Into::into));
        records.extend(configs.to_records().map(Into::into));
        records.extend(quotas.to_records().map(Into::into));
        records.extend(scram_credentials.to_records().map(Into::into));
        records
    }

    /// What happened since `before`, by comparing the two whole: for a snapshot, which brings an image and no changes.
    pub fn changed_since(&self, before: &Self) -> MetadataDelta {
        let Self {
            offset: _,
            controller_epoch: _,
            cluster,
            features,
            brokers,
            topics,
            configs,
            quotas,
            scram_credentials,
            producer_ids,
        } = self;
        MetadataDelta {
            cluster: *cluster != before.cluster,
            features: features.changed_since(&before.features),
            brokers: brokers.changed_since(&before.brokers),
            broker_epochs: brokers.last_epoch != before.brokers.last_epoch,
            topics: topics.changed_since(&before.topics),
            configs: configs.changed_since(&before.configs),
            quotas: quotas.changed_since(&before.quotas),
            scram_credentials: scram_credentials.changed_since(&before.scram_credentials),
            producer_ids: *producer_ids != before.producer_ids,
        }
    }
}
