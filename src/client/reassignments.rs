//! Partitions on their way to other brokers (ListPartitionReassignments, KIP-455).

use std::collections::HashMap;

use kafka_protocol::messages::ListPartitionReassignmentsRequest;

use super::{ClientError, ClusterClient, To};
use crate::ids::{NodeId, TopicPartition};

/// How a partition moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionMove {
    /// All brokers that hold it, or are about to.
    pub replicas: Vec<NodeId>,
    /// Those of them that it is copied to.
    pub adding: Vec<NodeId>,
    /// Those of them that will give it up.
    pub removing: Vec<NodeId>,
}

impl ClusterClient {
    /// The partitions that move.
    pub async fn partition_moves(&mut self) -> Result<HashMap<TopicPartition, PartitionMove>, ClientError> {
        let request =
            ListPartitionReassignmentsRequest::default().with_timeout_ms(self.request_timeout_ms()).with_topics(None);
        self.retry(async |client| {
            let response = client.ask(To::Controller, &request).await?;
            ClientError::check(response.error_code, response.error_message.as_deref())?;
            let ids = |ids: &[kafka_protocol::messages::BrokerId]| ids.iter().map(|id| id.0).collect();
            let mut moves = HashMap::new();
            for topic in &response.topics {
                for partition in &topic.partitions {
                    let how = PartitionMove {
                        replicas: ids(&partition.replicas),
                        adding: ids(&partition.adding_replicas),
                        removing: ids(&partition.removing_replicas),
                    };
                    moves.insert(TopicPartition::new(topic.name.as_str(), partition.partition_index), how);
                }
            }
            Ok(moves)
        })
        .await
    }
}
