//! More partitions for topics (CreatePartitions).

use kafka_protocol::messages::CreatePartitionsRequest;
use kafka_protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};

use super::metadata::wire_name;
use super::outcomes::ItemOutcomes;
use super::{ClientError, ClusterClient, To};
use crate::ids::{NodeId, TopicName};

/// A topic that is to have more partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionIncrease {
    /// The topic.
    pub topic: String,
    /// How many partitions it is to have, those that it has included.
    pub total: i32,
    /// The brokers of each new partition; empty where the cluster chooses.
    pub assignment: Vec<Vec<NodeId>>,
}

impl ClusterClient {
    /// Adds partitions to topics. Each topic comes with what became of it.
    pub async fn create_partitions(
        &mut self,
        increases: &[PartitionIncrease],
    ) -> Result<ItemOutcomes<TopicName, ()>, ClientError> {
        let request = CreatePartitionsRequest::default()
            .with_topics(increases.iter().map(wire_increase).collect())
            .with_timeout_ms(self.request_timeout_ms());
        self.retry(async |client| {
            let response = client.ask(To::Controller, &request).await?;
            ItemOutcomes::read(response.results, |topic| {
                (topic.name.as_str().into(), ClientError::check(topic.error_code, topic.error_message.as_deref()))
            })
        })
        .await
    }
}

fn wire_increase(increase: &PartitionIncrease) -> CreatePartitionsTopic {
    let assigned = increase.assignment.iter().map(|brokers| {
        CreatePartitionsAssignment::default().with_broker_ids(brokers.iter().map(|id| (*id).into()).collect())
    });
    let assignments = (!increase.assignment.is_empty()).then(|| assigned.collect());
    CreatePartitionsTopic::default()
        .with_name(wire_name(&increase.topic))
        .with_count(increase.total)
        .with_assignments(assignments)
}
