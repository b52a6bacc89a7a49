//! What a cluster says of itself: brokers, topics, partitions.

use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::{DescribeClusterRequest, MetadataRequest, TopicName as WireTopicName};
use kafka_protocol::protocol::StrBytes;

use super::{ClientError, ClusterClient, To};
use crate::ids::{LeaderEpoch, NodeId, TopicName, Uuid};
use crate::protocol::ErrorCode;

/// A broker as clients know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerDescription {
    /// Its node id.
    pub id: NodeId,
    /// The host that clients connect to.
    pub host: String,
    /// The port that clients connect to.
    pub port: i32,
    /// Its rack, if it has one.
    pub rack: Option<String>,
}

/// A cluster as clients know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterDescription {
    /// The cluster's id.
    pub id: String,
    /// The broker to which requests for the controller go.
    pub controller: Option<NodeId>,
    /// The brokers, by node id.
    pub brokers: Vec<BrokerDescription>,
}

/// A topic as clients know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: TopicName,
    /// Its id; all zeros from brokers before Kafka 2.8.
    pub id: Uuid,
    /// Whether brokers keep their own state in it.
    pub is_internal: bool,
    /// The partitions, by index.
    pub partitions: Vec<PartitionDescription>,
}

/// A partition as clients know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionDescription {
    /// Its index, from 0.
    pub index: i32,
    /// The broker that leads it; none while there is none.
    pub leader: Option<NodeId>,
    /// The number of that leadership.
    pub leader_epoch: LeaderEpoch,
    /// The brokers that hold it; the first is preferred as its leader.
    pub replicas: Vec<NodeId>,
    /// Those of them that are in sync.
    pub isr: Vec<NodeId>,
    /// Those that may lead although they are not in sync (KIP-966); none where the broker was not asked for them.
    pub eligible_leaders: Option<Vec<NodeId>>,
    /// Those that were the last that might lead; none as above.
    pub last_known_eligible_leaders: Option<Vec<NodeId>>,
}

impl From<DescribeClusterBroker> for BrokerDescription {
    fn from(broker: DescribeClusterBroker) -> Self {
        Self {
            id: broker.broker_id.0,
            host: broker.host.to_string(),
            port: broker.port,
            rack: broker.rack.map(|rack| rack.to_string()),
        }
    }
}

impl ClusterClient {
    /// The cluster and its brokers (DescribeCluster, KIP-700).
    pub async fn describe_cluster(&mut self) -> Result<ClusterDescription, ClientError> {
        let response = self.ask(To::Any, &DescribeClusterRequest::default()).await?;
        ClientError::check(response.error_code, response.error_message.as_deref())?;
        let mut brokers: Vec<_> = (response.brokers.into_iter()).map(BrokerDescription::from).collect();
        brokers.sort_by_key(|broker| broker.id);
        let controller = Some(response.controller_id.0).filter(|id| *id >= 0);
        Ok(ClusterDescription { id: response.cluster_id.to_string(), controller, brokers })
    }

    /// All topics, by name.
    pub async fn all_topics(&mut self) -> Result<Vec<TopicDescription>, ClientError> {
        let response = self.ask_for_metadata(&MetadataRequest::default().with_topics(None)).await?;
        let mut topics: Vec<_> = response.topics.iter().map(described).filter_map(|(_, topic)| topic.ok()).collect();
        topics.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(topics)
    }

    /// Topics by their names, each with why it cannot be described; in the order of `names`. None is created.
    pub async fn topics(
        &mut self,
        names: &[TopicName],
    ) -> Result<Vec<(TopicName, Result<TopicDescription, ErrorCode>)>, ClientError> {
        self.ask_for_topics(names, false).await
    }

    /// One topic, which a broker creates if it may (`auto.create.topics.enable`), as for a producer.
    pub async fn topic_to_produce(&mut self, name: &TopicName) -> Result<TopicDescription, ClientError> {
        let names = [TopicName::clone(name)];
        self.retry(async |client| {
            let asked = client.ask_for_topics(&names, true).await?.into_iter().next();
            let topic = asked.map_or(Err(ErrorCode::UnknownTopicOrPartition), |(_, topic)| topic);
            topic.map_err(|code| ClientError::Refused { code, message: None })
        })
        .await
    }

    /// Topics by their names, which brokers create if they may, as for consumers; some may not be there.
    pub async fn topics_to_consume(
        &mut self,
        names: &[TopicName],
    ) -> Result<Vec<(TopicName, Result<TopicDescription, ErrorCode>)>, ClientError> {
        self.ask_for_topics(names, true).await
    }

    async fn ask_for_topics(
        &mut self,
        names: &[TopicName],
        may_create: bool,
    ) -> Result<Vec<(TopicName, Result<TopicDescription, ErrorCode>)>, ClientError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let topics = names.iter().map(|name| MetadataRequestTopic::default().with_name(Some(wire_name(name))));
        let request =
            MetadataRequest::default().with_topics(Some(topics.collect())).with_allow_auto_topic_creation(may_create);
        let mut topics: Vec<_> = self.ask_for_metadata(&request).await?.topics.iter().map(described).collect();
        topics.sort_by_key(|(name, _)| names.iter().position(|wanted| wanted == name));
        Ok(topics)
    }
}

/// A topic's name as messages hold it.
pub(super) fn wire_name(name: &str) -> WireTopicName {
    StrBytes::from_string(name.to_owned()).into()
}

fn described(topic: &MetadataResponseTopic) -> (TopicName, Result<TopicDescription, ErrorCode>) {
    let name: TopicName = topic.name.as_ref().map_or("", |name| name.as_str()).into();
    if let Some(code) = ErrorCode::try_from_code(topic.error_code) {
        return (name, Err(code));
    }
    let mut partitions: Vec<_> = topic.partitions.iter().map(partition).collect();
    partitions.sort_by_key(|partition| partition.index);
    let described = TopicDescription {
        name: TopicName::clone(&name),
        id: topic.topic_id,
        is_internal: topic.is_internal,
        partitions,
    };
    (name, Ok(described))
}

fn partition(partition: &MetadataResponsePartition) -> PartitionDescription {
    PartitionDescription {
        index: partition.partition_index,
        leader: Some(partition.leader_id.0).filter(|id| *id >= 0),
        leader_epoch: partition.leader_epoch,
        replicas: partition.replica_nodes.iter().map(|id| id.0).collect(),
        isr: partition.isr_nodes.iter().map(|id| id.0).collect(),
        eligible_leaders: None,
        last_known_eligible_leaders: None,
    }
}
