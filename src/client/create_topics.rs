//! New topics (CreateTopics).

use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::protocol::StrBytes;

use super::metadata::wire_name;
use super::outcomes::ItemOutcomes;
use super::{ClientError, ClusterClient, To};
use crate::ids::{NodeId, TopicName};

/// CreateTopics' number for what the cluster's default decides (KIP-464).
const CLUSTERS_DEFAULT: i32 = -1;

/// A topic to be created.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicToCreate {
    /// Its name.
    pub name: String,
    /// How many partitions; none for the cluster's default (`num.partitions`).
    pub partitions: Option<i32>,
    /// How many replicas of each; none for the cluster's default (`default.replication.factor`).
    pub replication_factor: Option<i16>,
    /// The brokers of each partition, from partition 0; then both numbers above stay unset. Empty where the cluster
    /// chooses.
    pub assignment: Vec<Vec<NodeId>>,
    /// The topic's own configs.
    pub configs: Vec<(String, String)>,
}

/// A topic that was created, or that would have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreatedTopic {
    /// How many partitions it has; -1 from brokers before Kafka 2.4, or where the configs may not be read.
    pub partitions: i32,
    /// How many replicas each of them has; -1 as above.
    pub replication_factor: i16,
}

impl ClusterClient {
    /// Creates topics, or, with `validate_only`, asks whether that would go. Each comes with what became of it.
    pub async fn create_topics(
        &mut self,
        topics: &[TopicToCreate],
        validate_only: bool,
    ) -> Result<ItemOutcomes<TopicName, CreatedTopic>, ClientError> {
        let request = CreateTopicsRequest::default()
            .with_topics(topics.iter().map(creatable).collect())
            .with_timeout_ms(self.request_timeout_ms())
            .with_validate_only(validate_only);
        self.retry(async |client| {
            let response = client.ask(To::Controller, &request).await?;
            ItemOutcomes::read(response.topics, |topic| {
                let outcome = ClientError::check(topic.error_code, topic.error_message.as_deref());
                let created =
                    CreatedTopic { partitions: topic.num_partitions, replication_factor: topic.replication_factor };
                (topic.name.as_str().into(), outcome.map(|()| created))
            })
        })
        .await
    }
}

fn creatable(topic: &TopicToCreate) -> CreatableTopic {
    let assignment = (0..).zip(&topic.assignment).map(|(partition, brokers)| {
        CreatableReplicaAssignment::default()
            .with_partition_index(partition)
            .with_broker_ids(brokers.iter().map(|id| (*id).into()).collect())
    });
    let configs = topic.configs.iter().map(|(name, value)| {
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_string(name.clone()))
            .with_value(Some(StrBytes::from_string(value.clone())))
    });
    CreatableTopic::default()
        .with_name(wire_name(&topic.name))
        .with_num_partitions(topic.partitions.unwrap_or(CLUSTERS_DEFAULT))
        .with_replication_factor(topic.replication_factor.unwrap_or(CLUSTERS_DEFAULT as i16))
        .with_assignments(assignment.collect())
        .with_configs(configs.collect())
}
