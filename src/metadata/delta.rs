//! What happened from one image to a later one.

use std::collections::BTreeSet;
use std::sync::Arc;

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
    /// Something happened to a topic.
    Topic(TopicChange),
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
    pub(super) topics: TopicsDelta,
    pub(super) producer_ids: bool,
}

impl MetadataDelta {
    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        let Self { cluster, features, brokers, topics, producer_ids } = self;
        !cluster && features.is_empty() && brokers.is_empty() && topics.is_empty() && !producer_ids
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

    /// Takes in what happened next.
    pub fn note(&mut self, change: Change) {
        match change {
            Change::Cluster => self.cluster = true,
            Change::Feature(name) => drop(self.features.insert(name)),
            Change::Broker(id) => drop(self.brokers.insert(id)),
            Change::Topic(change) => self.topics.note(change),
            Change::ProducerIds => self.producer_ids = true,
        }
    }

    /// Takes in all that happened after this.
    pub fn extend(&mut self, later: Self) {
        let Self { cluster, features, brokers, topics, producer_ids } = later;
        self.cluster |= cluster;
        self.features.extend(features);
        self.brokers.extend(brokers);
        self.topics.extend(topics);
        self.producer_ids |= producer_ids;
    }
}
