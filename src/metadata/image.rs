//! The cluster's metadata at one offset of its log.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::records::MetadataRecord;
use crate::ids::{LeaderEpoch, NodeId, TopicName, Uuid};

/// One address at which a broker is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The listener's name, as in `advertised.listeners`.
    pub listener: Arc<str>,
    /// Host name or address.
    pub host: Arc<str>,
    /// Port, never 0.
    pub port: u16,
    /// The security protocol: `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.
    pub protocol: Arc<str>,
}

/// A broker as it last registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// Its node id.
    pub id: NodeId,
    /// The registration's number; grows with each registration of any broker.
    pub epoch: i64,
    /// Names one run of the broker's process.
    pub incarnation: Uuid,
    /// Where it is reached, one per listener.
    pub listeners: Vec<Endpoint>,
    /// `broker.rack`.
    pub rack: Option<Arc<str>>,
    /// Whether it is excluded from leadership and placement.
    pub fenced: bool,
}

impl BrokerRegistration {
    /// Its address on the listener named `listener`.
    pub fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.listeners.iter().find(|endpoint| &*endpoint.listener == listener)
    }
}

/// A partition's replicas and leadership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionImage {
    /// The brokers that shall hold it, the preferred leader first; never empty.
    pub replicas: Vec<NodeId>,
    /// Those of them that are in sync.
    pub isr: Vec<NodeId>,
    /// The leader, or -1.
    pub leader: NodeId,
    /// Grows with each leadership.
    pub leader_epoch: LeaderEpoch,
    /// Grows with each change.
    pub partition_epoch: i32,
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicImage {
    /// Its id: a topic that is deleted and created anew under the same name has another.
    pub id: Uuid,
    /// Its name.
    pub name: TopicName,
    /// Its partitions, by index.
    pub partitions: Vec<PartitionImage>,
    /// The configuration keys set for it, as they were given.
    pub configs: BTreeMap<String, String>,
}

impl TopicImage {
    /// The partition with that index.
    pub fn partition(&self, index: i32) -> Option<&PartitionImage> {
        self.partitions.get(usize::try_from(index).ok()?)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Topics {
    pub(super) by_name: BTreeMap<TopicName, Arc<TopicImage>>,
    // Leads to the name and not to the topic, so that changing one partition after another in a batch does not find its
    // topic shared and copy it each time.
    pub(super) by_id: HashMap<Uuid, TopicName>,
}

/// The cluster's metadata: immutable once published; a copy shares everything that did not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataImage {
    /// The metadata log's last offset that is part of this image; -1 where there is none.
    pub offset: i64,
    /// The epoch of the controller that wrote that offset.
    pub controller_epoch: i32,
    /// The cluster's id; empty until the first broker has registered.
    pub cluster_id: Arc<str>,
    pub(super) brokers: Arc<BTreeMap<NodeId, BrokerRegistration>>,
    pub(super) topics: Arc<Topics>,
    pub(super) features: Arc<BTreeMap<Arc<str>, i16>>,
    pub(super) next_producer_id: i64,
}

impl Default for MetadataImage {
    /// The image before the first record.
    fn default() -> Self {
        Self {
            offset: -1,
            controller_epoch: -1,
            cluster_id: Arc::from(""),
            brokers: Arc::default(),
            topics: Arc::default(),
            features: Arc::default(),
            next_producer_id: 0,
        }
    }
}

impl MetadataImage {
    /// The topic of that name.
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topics.by_name.get(name)
    }

    /// The topic with that id.
    pub fn topic_by_id(&self, id: Uuid) -> Option<&Arc<TopicImage>> {
        self.topic(self.topics.by_id.get(&id)?)
    }

    /// All topics, by name.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = &Arc<TopicImage>> {
        self.topics.by_name.values()
    }

    /// The topics whose names are `from` or come after it, by name.
    pub fn topics_from(&self, from: &str) -> impl Iterator<Item = &Arc<TopicImage>> {
        use std::ops::Bound;
        self.topics.by_name.range::<str, _>((Bound::Included(from), Bound::Unbounded)).map(|(_, topic)| topic)
    }

    /// The partition `index` of the topic `name`.
    pub fn partition(&self, name: &str, index: i32) -> Option<&PartitionImage> {
        self.topic(name)?.partition(index)
    }

    /// The broker with that id, fenced or not.
    pub fn broker(&self, id: NodeId) -> Option<&BrokerRegistration> {
        self.brokers.get(&id)
    }

    /// All registered brokers, by id.
    pub fn brokers(&self) -> impl ExactSizeIterator<Item = &BrokerRegistration> {
        self.brokers.values()
    }

    /// The brokers that may lead, by id.
    pub fn alive_brokers(&self) -> impl Iterator<Item = &BrokerRegistration> {
        self.brokers().filter(|broker| !broker.fenced)
    }

    /// The finalized features and their levels, by name.
    pub fn features(&self) -> impl ExactSizeIterator<Item = (&str, i16)> {
        self.features.iter().map(|(name, level)| (&**name, *level))
    }

    /// The first producer id that no broker was given yet.
    pub fn next_producer_id(&self) -> i64 {
        self.next_producer_id
    }

    /// Whether the two images have the very same topics; cheap, and `false` also for equal copies.
    pub fn same_topics(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.topics, &other.topics)
    }

    /// Records that lead from the empty image to this one: a snapshot's content.
    pub fn to_records(&self) -> Vec<MetadataRecord> {
        let mut records = Vec::new();
        if !self.cluster_id.is_empty() {
            records.push(MetadataRecord::ClusterId(Arc::clone(&self.cluster_id)));
        }
        for (name, level) in self.features.iter() {
            records.push(MetadataRecord::FeatureLevel { name: Arc::clone(name), level: *level });
        }
        records.extend(self.brokers().cloned().map(MetadataRecord::RegisterBroker));
        if self.next_producer_id > 0 {
            let next_producer_id = self.next_producer_id;
            records.push(MetadataRecord::ProducerIds { broker_id: -1, broker_epoch: -1, next_producer_id });
        }
        for topic in self.topics() {
            topic_records(topic, &mut records);
        }
        records
    }
}

fn topic_records(topic: &TopicImage, records: &mut Vec<MetadataRecord>) {
    let topic_id = topic.id;
    records.push(MetadataRecord::Topic { name: Arc::clone(&topic.name), id: topic_id });
    for (key, value) in &topic.configs {
        let (key, value) = (key.clone(), Some(value.clone()));
        records.push(MetadataRecord::TopicConfig { topic_id, key, value });
    }
    for (partition, state) in (0..).zip(&topic.partitions) {
        records.push(MetadataRecord::Partition { topic_id, partition, state: state.clone() });
    }
}
