//! Topics in full, as many partitions at a time as one answer should hold (DescribeTopicPartitions, KIP-966).

use std::collections::BTreeMap;

use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::describe_topic_partitions_response::{
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{BrokerId, DescribeTopicPartitionsRequest};

use super::metadata::wire_name;
use super::{ClientError, ClusterClient, PartitionDescription, To, TopicDescription};
use crate::ids::{NodeId, TopicName};
use crate::network::channel::ChannelError;

impl ClusterClient {
    /// Topics by their names, in the order of `names`, with their eligible leader replicas; at most `page` partitions in
    /// one answer. A broker before Kafka 3.8 is asked in the older way, without those replicas.
    ///
    /// Errors: that of the first topic that cannot be described.
    pub async fn describe_topics(
        &mut self,
        names: &[TopicName],
        page: i32,
    ) -> Result<Vec<TopicDescription>, ClientError> {
        let described = match self.retry(async |client| client.topics_by_page(names, page).await).await {
            Err(ClientError::Broken { reason: ChannelError::NoCommonVersion { .. }, .. }) => {
                let topics = self.topics(names).await?.into_iter();
                let topic = |(_, topic): (_, Result<_, _>)| topic.map_err(ClientError::refused);
                return topics.map(topic).collect();
            }
            described => described?,
        };
        let mut described = described;
        Ok(names.iter().filter_map(|name| described.remove(name)).collect())
    }

    async fn topics_by_page(
        &mut self,
        names: &[TopicName],
        page: i32,
    ) -> Result<BTreeMap<TopicName, TopicDescription>, ClientError> {
        let mut topics: BTreeMap<TopicName, TopicDescription> = BTreeMap::new();
        let mut wanted: Vec<TopicName> = names.to_vec();
        // A cursor is a place in the order of names.
        wanted.sort();
        let mut cursor: Option<Cursor> = None;
        while !wanted.is_empty() {
            let topics_wanted = wanted.iter().map(|name| TopicRequest::default().with_name(wire_name(name)));
            let request = DescribeTopicPartitionsRequest::default()
                .with_topics(topics_wanted.collect())
                .with_response_partition_limit(page)
                .with_cursor(cursor);
            let response = self.ask(To::Any, &request).await?;
            for topic in response.topics {
                ClientError::check(topic.error_code, None)?;
                keep(&mut topics, &topic);
            }
            let Some(next) = response.next_cursor else { break };
            wanted.retain(|name| name.as_ref() >= next.topic_name.as_str());
            cursor =
                Some(Cursor::default().with_topic_name(next.topic_name).with_partition_index(next.partition_index));
        }
        Ok(topics)
    }
}

/// Adds a page of a topic's partitions to those before.
fn keep(topics: &mut BTreeMap<TopicName, TopicDescription>, page: &DescribeTopicPartitionsResponseTopic) {
    let name: TopicName = page.name.as_ref().map_or("", |name| name.as_str()).into();
    let partitions = page.partitions.iter().map(partition);
    let topic = topics.entry(TopicName::clone(&name)).or_insert_with(|| TopicDescription {
        name,
        id: page.topic_id,
        is_internal: page.is_internal,
        partitions: Vec::new(),
    });
    topic.partitions.extend(partitions);
}

fn partition(partition: &DescribeTopicPartitionsResponsePartition) -> PartitionDescription {
    let ids = |ids: &[BrokerId]| -> Vec<NodeId> { ids.iter().map(|id| id.0).collect() };
    PartitionDescription {
        index: partition.partition_index,
        leader: Some(partition.leader_id.0).filter(|id| *id >= 0),
        leader_epoch: partition.leader_epoch,
        replicas: ids(&partition.replica_nodes),
        isr: ids(&partition.isr_nodes),
        eligible_leaders: Some(partition.eligible_leader_replicas.as_deref().map(ids).unwrap_or_default()),
        last_known_eligible_leaders: Some(partition.last_known_elr.as_deref().map(ids).unwrap_or_default()),
    }
}
