//! The metrics of `kafka_exporter`, so that dashboards made for it show this broker without it.

use std::collections::BTreeMap;

use super::zero_or_one;
use crate::broker::Broker;
use crate::coordinator::group::request::{DescribeRequest, FetchOffsetsRequest, GroupId, ListRequest};
use crate::ids::TopicName;
use crate::metadata::{MetadataImage, PartitionImage, TopicImage};
use crate::metrics::{Exposition, Metric};

/// The offset after the last record of each partition.
type Ends = BTreeMap<(TopicName, i32), i64>;

/// Tells what there is in the cluster, and where its consumers are.
pub(super) async fn add(exposition: &mut Exposition, broker: &Broker, image: &MetadataImage) {
    add_brokers(exposition, image);
    let mut ends = Ends::new();
    for topic in image.topics() {
        add_topic(exposition, broker, topic, &mut ends);
    }
    let groups = broker.groups.enqueue_all(&ListRequest::default()).await;
    for group in groups.into_iter().flatten().flatten() {
        add_group(exposition, broker, &group.group_id, &ends).await;
    }
}

fn add_brokers(exposition: &mut Exposition, image: &MetadataImage) {
    exposition.add(Metric::Brokers, &[], image.alive_brokers().count());
    for broker in image.alive_brokers() {
        let Some(endpoint) = broker.listeners.first() else { continue };
        let address = format!("{}:{}", endpoint.host, endpoint.port);
        exposition.add(Metric::BrokerInfo, &[&broker.id.to_string(), &address], 1);
    }
}

fn add_topic(exposition: &mut Exposition, broker: &Broker, topic: &TopicImage, ends: &mut Ends) {
    exposition.add(Metric::TopicPartitions, &[&topic.name], topic.partitions.len());
    for (index, state) in (0_i32..).zip(&topic.partitions) {
        let partition = index.to_string();
        let labels: [&str; 2] = [&topic.name, &partition];
        add_partition(exposition, &labels, state);
        let hosted = broker.replicas.partition(&topic.name, index).ok();
        if let Some(status) = hosted.and_then(|hosted| hosted.status()).filter(|status| status.is_leader) {
            exposition.add(Metric::CurrentOffset, &labels, status.high_watermark);
            exposition.add(Metric::OldestOffset, &labels, status.log_start_offset);
            ends.insert((TopicName::clone(&topic.name), index), status.high_watermark);
        }
    }
}

fn add_partition(exposition: &mut Exposition, labels: &[&str], state: &PartitionImage) {
    let is_preferred = state.replicas.first() == Some(&state.leader);
    exposition.add(Metric::PartitionLeader, labels, state.leader);
    exposition.add(Metric::PartitionReplicas, labels, state.replicas.len());
    exposition.add(Metric::InSyncReplicas, labels, state.isr.len());
    exposition.add(Metric::LeaderIsPreferred, labels, zero_or_one(is_preferred));
    exposition.add(Metric::UnderReplicated, labels, zero_or_one(state.isr.len() < state.replicas.len()));
}

/// A group that is gone meanwhile has no metrics.
async fn add_group(exposition: &mut Exposition, broker: &Broker, group_id: &GroupId, ends: &Ends) {
    let describe = DescribeRequest { group_id: GroupId::clone(group_id) };
    if let Ok(Some(described)) = broker.groups.enqueue(group_id, describe).await {
        exposition.add(Metric::GroupMembers, &[group_id], described.members.len());
    }
    let fetch = FetchOffsetsRequest { group_id: GroupId::clone(group_id), topics: None };
    for (topic, offsets) in broker.groups.enqueue(group_id, fetch).await.unwrap_or_default() {
        let (mut offset_sum, mut lag_sum) = (0, None);
        for fetched in offsets {
            let partition = fetched.partition.to_string();
            let labels: [&str; 3] = [group_id, &topic, &partition];
            exposition.add(Metric::GroupOffset, &labels, fetched.offset);
            offset_sum += fetched.offset;
            if let Some(end) = ends.get(&(TopicName::clone(&topic), fetched.partition)) {
                let lag = (end - fetched.offset).max(0);
                exposition.add(Metric::GroupLag, &labels, lag);
                lag_sum = Some(lag_sum.unwrap_or(0) + lag);
            }
        }
        exposition.add(Metric::GroupOffsetSum, &[group_id, &topic], offset_sum);
        if let Some(lag_sum) = lag_sum {
            exposition.add(Metric::GroupLagSum, &[group_id, &topic], lag_sum);
        }
    }
}
