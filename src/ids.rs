//! The identifiers that every floor speaks of, owned by us: none of them keeps a request frame alive.

use std::fmt;
use std::sync::Arc;

pub use uuid::Uuid;

/// A broker's node id, as in `node.id`.
pub type NodeId = i32;

/// The number of a leadership of one partition; -1 where none is known (KIP-101).
pub type LeaderEpoch = i32;

/// A topic's name: shared and owned, so that long-lived state never holds a slice of a request frame.
pub type TopicName = Arc<str>;

/// One partition of a named topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: TopicName,
    /// The partition's index, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Names partition `partition` of `topic`.
    pub fn new(topic: impl Into<TopicName>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

/// `topic-partition`, as Kafka names a partition's directory.
impl fmt::Display for TopicPartition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.topic, self.partition)
    }
}

/// A producer in one of its epochs; each epoch fences those before it (KIP-98).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProducerIdAndEpoch {
    /// The producer id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
}

/// The topic id that stands for "none" on the wire: all zeros (KIP-516).
pub const NO_TOPIC_ID: Uuid = Uuid::nil();

/// The topic that remembers consumer groups and their committed offsets.
pub const GROUP_METADATA_TOPIC: &str = "__consumer_offsets";

/// The topic that remembers transactions.
pub const TRANSACTION_STATE_TOPIC: &str = "__transaction_state";

/// The topic of Kafka's metadata log, a name that no other topic may have.
pub const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";

/// Whether the broker itself keeps its state in `topic`, so that no client but an administrator's may produce to it.
pub fn is_internal_topic(topic: &str) -> bool {
    topic == GROUP_METADATA_TOPIC || topic == TRANSACTION_STATE_TOPIC
}
