//! What happened from one image to a later one.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::configs::ConfigResource;
use super::quotas::QuotaEntity;
use super::scram::ScramKey;
use super::topics_delta::{TopicChange, TopicsDelta};
use crate::ids::NodeId;

/// What one record did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The cluster has its id.
    Cluster,
    /// This feature's level was set or removed.
    Feature(Arc<str>),
    /// This broker registered, or its registration changed.
    Broker(NodeId),
    /// Broker epochs are used.
    BrokerEpochs,
    /// Something happened to a topic.
    Topic(TopicChange),
    /// This resource's configuration changed; of topics that is a [`TopicChange`].
    Config(ConfigResource),
    /// The quotas for this entity changed.
    Quota(QuotaEntity),
    /// A user's credential was set or removed.
    ScramCredential(ScramKey),
    /// Producer ids were handed out.
    ProducerIds,
}

/// What happened from one image to a later one; what it was and became is in the images.
///
/// Deltas add up: one that is [extended](MetadataDelta::extend) by the next leads from the first image to the last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetadataDelta {
    pub(super) cluster: bool,
    pub(super) features: BTreeSet<Arc<str>>,
    pub(super) brokers: BTreeSet<NodeId>,
    pub(super) broker_epochs: bool,
    pub(super) topics: TopicsDelta,
    pub(super) configs: BTreeSet<ConfigResource>,
    pub(super) quotas: BTreeSet<QuotaEntity>,
    pub(super) scram_credentials: BTreeSet<ScramKey>,
    pub(super) producer_ids: bool,
}

impl MetadataDelta {
    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        let Self {
            cluster,
            features,
            brokers,
            broker_epochs,
            topics,
            configs,
            quotas,
            scram_credentials,
            producer_ids,
        } = self;
        let is_number = *broker_epochs || *producer_ids;
        let nothing_else = configs.is_empty() && quotas.is_empty() && scram_credentials.is_empty() && !is_number;
        !cluster && features.is_empty() && brokers.is_empty() && topics.is_empty() && nothing_else
    }

    /// The features whose levels were set or removed, by name.
    pub fn features(&self) -> impl ExactSizeIterator<Item = &str> {
        self.features.iter().map(|name| &**name)
    }

    /// The brokers that registered, changed or are gone, by id.
    pub fn brokers(&self) -> impl ExactSizeIterator<Item = NodeId> {
        self.brokers.iter().copied()
    }

    /// What happened to topics.
    pub fn topics(&self) -> &TopicsDelta {
        &self.topics
    }

    /// The resources other than topics whose configuration was set or removed; a configuration may have been written
    /// anew as it was.
    pub fn configs(&self) -> impl ExactSizeIterator<Item = &ConfigResource> {
        self.configs.iter()
    }

    /// Those whose quotas were set or removed.
    pub fn quotas(&self) -> impl ExactSizeIterator<Item = &QuotaEntity> {
        self.quotas.iter()
    }

    /// The users and mechanisms whose credentials were set or removed.
    pub fn scram_credentials(&self) -> impl ExactSizeIterator<Item = &ScramKey> {
        self.scram_credentials.iter()
    }

    /// Takes in what happened next.
    pub fn note(&mut self, change: Change) {
        match change {
            Change::Cluster => self.cluster = true,
            Change::Feature(name) => drop(self.features.insert(name)),
            Change::Broker(id) => {
                self.brokers.insert(id);
                // It may have registered, and be gone again by the end.
                self.broker_epochs = true;
            }
            Change::BrokerEpochs => self.broker_epochs = true,
            Change::Topic(change) => self.topics.note(change),
            Change::Config(resource) => drop(self.configs.insert(resource)),
            Change::Quota(entity) => drop(self.quotas.insert(entity)),
            Change::ScramCredential(key) => drop(self.scram_credentials.insert(key)),
            Change::ProducerIds => self.producer_ids = true,
        }
    }

    /// Takes in all that happened after this.
    pub fn extend(&mut self, later: Self) {
        let Self {
            cluster,
            features,
            brokers,
            broker_epochs,
            topics,
            configs,
            quotas,
            scram_credentials,
            producer_ids,
        } = later;
        self.cluster |= cluster;
        self.features.extend(features);
        self.brokers.extend(brokers);
        self.broker_epochs |= broker_epochs;
        self.topics.extend(topics);
        self.configs.extend(configs);
        self.quotas.extend(quotas);
        self.scram_credentials.extend(scram_credentials);
        self.producer_ids |= producer_ids;
    }
}
