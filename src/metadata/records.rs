//! The changes that the metadata log remembers.

use std::sync::Arc;

use super::image::{BrokerRegistration, PartitionImage};
use crate::ids::{NodeId, TopicName, Uuid};

/// One change of the cluster's metadata. The names and meanings follow Kafka's own metadata records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataRecord {
    /// The cluster got its id; once in a cluster's life.
    ClusterId(Arc<str>),
    /// A feature's finalized level was set.
    FeatureLevel {
        /// The feature, such as `metadata.version`.
        name: Arc<str>,
        /// Its level; 0 removes it.
        level: i16,
    },
    /// A broker registered, for the first time or with a new incarnation.
    RegisterBroker(BrokerRegistration),
    /// A broker was fenced or unfenced.
    BrokerChange {
        /// The broker.
        id: NodeId,
        /// The epoch of the registration that changes.
        epoch: i64,
        /// Whether it is fenced from now on.
        fenced: bool,
    },
    /// A topic came into being; its partitions follow.
    Topic {
        /// Its name.
        name: TopicName,
        /// Its id, never used before.
        id: Uuid,
    },
    /// A partition came into being.
    Partition {
        /// The topic it belongs to.
        topic_id: Uuid,
        /// Its index: the number of partitions the topic had before.
        partition: i32,
        /// Its state.
        state: PartitionImage,
    },
    /// A partition changed; its partition epoch grows by one, and so does its leader epoch if a leader is given.
    PartitionChange {
        /// The topic it belongs to.
        topic_id: Uuid,
        /// Its index.
        partition: i32,
        /// The new in-sync replicas, if they changed.
        isr: Option<Vec<NodeId>>,
        /// The new leader (-1 for none), if a new leadership began.
        leader: Option<NodeId>,
    },
    /// A topic is gone, with its partitions and configuration.
    RemoveTopic {
        /// The topic.
        topic_id: Uuid,
    },
    /// A topic's configuration key was set, or removed where there is no value.
    TopicConfig {
        /// The topic.
        topic_id: Uuid,
        /// The key, such as `retention.ms`.
        key: String,
        /// The value as it was given.
        value: Option<String>,
    },
    /// A block of producer ids was handed to a broker.
    ProducerIds {
        /// The broker that may use the block.
        broker_id: NodeId,
        /// The broker's epoch at that time.
        broker_epoch: i64,
        /// The first id that is still free.
        next_producer_id: i64,
    },
}
