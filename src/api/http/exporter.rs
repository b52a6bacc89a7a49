//! The metrics of `kafka_exporter`, by its names, so that dashboards made for it show this broker without it.
//!
//! They are read when they are asked for: what nobody scrapes costs nothing.

use std::collections::BTreeMap;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::broker::Broker;
use crate::coordinator::group::request::{DescribeRequest, FetchOffsetsRequest, GroupId, ListRequest};
use crate::ids::TopicName;
use crate::metadata::{MetadataImage, PartitionImage, TopicImage};

/// Names and values of a metric's labels, in the order of its names.
type Labels = Vec<(&'static str, String)>;

/// A metric with labels.
type Gauges = Family<Labels, Gauge>;

/// Declares every metric once: its field, its name, what it tells.
macro_rules! gauges {
    ($($field:ident $name:literal $help:literal;)*) => {
        /// One exposition's metrics.
        #[derive(Default)]
        struct Exposition { $($field: Gauges,)* }

        impl Exposition {
            fn register(&self, registry: &mut Registry) {
                $(registry.register($name, $help, self.$field.clone());)*
            }
        }
    };
}

gauges! {
    brokers "kafka_brokers" "Number of brokers in the cluster";
    broker_info "kafka_broker_info" "Addresses of the brokers";
    partitions "kafka_topic_partitions" "Number of partitions of a topic";
    current_offset "kafka_topic_partition_current_offset" "Offset after the last record that consumers may read";
    oldest_offset "kafka_topic_partition_oldest_offset" "Offset of the oldest record";
    leader "kafka_topic_partition_leader" "Node id of the leader";
    replicas "kafka_topic_partition_replicas" "Number of replicas";
    in_sync "kafka_topic_partition_in_sync_replica" "Number of replicas in sync";
    preferred "kafka_topic_partition_leader_is_preferred" "1 if the leader is the preferred one";
    under_replicated "kafka_topic_partition_under_replicated_partition" "1 if replicas are out of sync";
    group_offset "kafka_consumergroup_current_offset" "Committed offset of a group";
    group_offset_sum "kafka_consumergroup_current_offset_sum" "Committed offsets of a group, over a topic's partitions";
    group_lag "kafka_consumergroup_lag" "Records that a group has not read";
    group_lag_sum "kafka_consumergroup_lag_sum" "Records that a group has not read, over a topic's partitions";
    group_members "kafka_consumergroup_members" "Number of a group's members";
}

/// Everything that can be told of this moment, in the text format of `OpenMetrics`.
pub(super) async fn exposition(broker: &Broker) -> String {
    let exposition = Exposition::default();
    let image = broker.image();
    exposition.cluster(&image);
    let mut ends = BTreeMap::new();
    for topic in image.topics() {
        exposition.topic(broker, topic, &mut ends);
    }
    for group in groups(broker).await {
        exposition.group(broker, &group, &ends).await;
    }
    let mut registry = Registry::default();
    exposition.register(&mut registry);
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => text,
        // Writing to a string does not fail.
        Err(error) => format!("# {error}\n"),
    }
}

/// The ids of all groups of this broker.
async fn groups(broker: &Broker) -> Vec<GroupId> {
    let answers = broker.groups.enqueue_all(&ListRequest::default()).await;
    answers.into_iter().flatten().flatten().map(|group| group.group_id).collect()
}

/// The offset after the last record of each partition.
type Ends = BTreeMap<(TopicName, i32), i64>;

impl Exposition {
    fn cluster(&self, image: &MetadataImage) {
        self.brokers.get_or_create(&Vec::new()).set(count(image.alive_brokers().count()));
        for broker in image.alive_brokers() {
            let Some(endpoint) = broker.listeners.first() else { continue };
            let address = format!("{}:{}", endpoint.host, endpoint.port);
            self.broker_info.get_or_create(&vec![("id", broker.id.to_string()), ("address", address)]).set(1);
        }
    }

    fn topic(&self, broker: &Broker, topic: &TopicImage, ends: &mut Ends) {
        let name = topic.name.to_string();
        self.partitions.get_or_create(&vec![("topic", name.clone())]).set(count(topic.partitions.len()));
        for (index, state) in (0_i32..).zip(&topic.partitions) {
            let labels = vec![("topic", name.clone()), ("partition", index.to_string())];
            self.partition(&labels, state);
            let offsets = broker.replicas.partition(&topic.name, index).and_then(|hosted| hosted.offsets(-1));
            if let Ok(offsets) = offsets {
                self.current_offset.get_or_create(&labels).set(offsets.high_watermark);
                self.oldest_offset.get_or_create(&labels).set(offsets.log_start_offset);
                ends.insert((TopicName::clone(&topic.name), index), offsets.high_watermark);
            }
        }
    }

    fn partition(&self, labels: &Labels, state: &PartitionImage) {
        let is_preferred = state.replicas.first() == Some(&state.leader);
        self.leader.get_or_create(labels).set(i64::from(state.leader));
        self.replicas.get_or_create(labels).set(count(state.replicas.len()));
        self.in_sync.get_or_create(labels).set(count(state.isr.len()));
        self.preferred.get_or_create(labels).set(i64::from(is_preferred));
        self.under_replicated.get_or_create(labels).set(i64::from(state.isr.len() < state.replicas.len()));
    }

    /// A group that is gone meanwhile has no metrics.
    async fn group(&self, broker: &Broker, group_id: &GroupId, ends: &Ends) {
        let group = group_id.to_string();
        let describe = DescribeRequest { group_id: GroupId::clone(group_id) };
        if let Ok(Some(described)) = broker.groups.enqueue(group_id, describe).await {
            let members = self.group_members.get_or_create(&vec![("consumergroup", group.clone())]).clone();
            members.set(count(described.members.len()));
        }
        let fetch = FetchOffsetsRequest { group_id: GroupId::clone(group_id), topics: None };
        for (topic, offsets) in broker.groups.enqueue(group_id, fetch).await.unwrap_or_default() {
            let of_topic = vec![("consumergroup", group.clone()), ("topic", topic.to_string())];
            for fetched in offsets {
                let mut labels = of_topic.clone();
                labels.push(("partition", fetched.partition.to_string()));
                self.group_offset.get_or_create(&labels).set(fetched.offset);
                self.group_offset_sum.get_or_create(&of_topic).inc_by(fetched.offset);
                if let Some(end) = ends.get(&(TopicName::clone(&topic), fetched.partition)) {
                    let lag = (end - fetched.offset).max(0);
                    self.group_lag.get_or_create(&labels).set(lag);
                    self.group_lag_sum.get_or_create(&of_topic).inc_by(lag);
                }
            }
        }
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
