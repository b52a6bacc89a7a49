//! Who keeps the metadata log of a cluster (DescribeQuorum, KIP-595).

use kafka_protocol::messages::DescribeQuorumRequest;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::describe_quorum_response::ReplicaState;

use super::metadata::wire_name;
use super::{ClientError, ClusterClient, To};
use crate::ids::{CLUSTER_METADATA_TOPIC, NodeId};

/// The metadata quorum as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumDescription {
    /// The node that leads it, which is the active controller.
    pub leader: NodeId,
    /// The number of that leadership.
    pub leader_epoch: i32,
    /// The nodes that vote, each with where its log ends as far as the leader knows.
    pub voters: Vec<(NodeId, Option<i64>)>,
}

impl QuorumDescription {
    /// How many records a voter is behind the leader, if that is known.
    pub fn lag(&self, voter: NodeId) -> Option<i64> {
        let end = |wanted: NodeId| self.voters.iter().find(|(id, _)| *id == wanted).and_then(|(_, end)| *end);
        Some((end(self.leader)? - end(voter)?).max(0))
    }
}

impl ClusterClient {
    /// The metadata quorum. A broker that does not lead it may not know it: then the others are asked.
    pub async fn describe_quorum(&mut self) -> Result<QuorumDescription, ClientError> {
        self.retry(async |client| {
            let controller = client.describe_cluster().await?.controller;
            let others = client.broker_ids().into_iter().filter(|id| Some(*id) != controller);
            let mut last = ClientError::NoBroker("the metadata quorum has no leader".to_owned());
            for broker in controller.into_iter().chain(others) {
                match client.quorum_by(broker).await {
                    Err(error) if error.is_retriable() => last = error,
                    outcome => return outcome,
                }
            }
            Err(last)
        })
        .await
    }

    async fn quorum_by(&mut self, broker: NodeId) -> Result<QuorumDescription, ClientError> {
        let topic = TopicData::default()
            .with_topic_name(wire_name(CLUSTER_METADATA_TOPIC))
            .with_partitions(vec![PartitionData::default()]);
        let request = DescribeQuorumRequest::default().with_topics(vec![topic]);
        let response = self.ask(To::Broker(broker), &request).await?;
        ClientError::check(response.error_code, response.error_message.as_deref())?;
        let partition = response.topics.first().and_then(|topic| topic.partitions.first());
        let missing = || ClientError::NoBroker(format!("broker {broker} says nothing of the metadata quorum"));
        let partition = partition.ok_or_else(missing)?;
        ClientError::check(partition.error_code, partition.error_message.as_deref())?;
        let voter =
            |replica: &ReplicaState| (replica.replica_id.0, Some(replica.log_end_offset).filter(|offset| *offset >= 0));
        Ok(QuorumDescription {
            leader: partition.leader_id.0,
            leader_epoch: partition.leader_epoch,
            voters: partition.current_voters.iter().map(voter).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_what_the_leader_has_more() {
        let voters = vec![(1, Some(70)), (2, Some(100)), (3, None), (4, Some(101))];
        let quorum = QuorumDescription { leader: 2, leader_epoch: 5, voters };
        assert_eq!([1, 2, 3, 4, 9].map(|voter| quorum.lag(voter)), [Some(30), Some(0), None, Some(0), None]);
    }
}
