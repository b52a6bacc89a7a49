//! The metrics of `kafka_exporter`, so that dashboards made for it show this broker without it.

use std::collections::BTreeMap;

use super::zero_or_one;
use crate::broker::Broker;
use crate::coordinator::group::request::{DescribeRequest, FetchOffsetsRequest, GroupId, ListRequest};
use crate::coordinator::group::response::FetchedOffset;
use crate::ids::TopicName;
use crate::metadata::{MetadataImage, PartitionImage, TopicImage};
use crate::metrics::{Exposition, Metric};

/// The offset after the last record of each partition.
type Ends = BTreeMap<(TopicName, i32), i64>;

/// A group, and where its consumers are.
pub(super) struct GroupStatus {
    id: GroupId,
    /// How many members it has, unless it is gone meanwhile.
    members: Option<usize>,
    /// What it has committed, by topic.
    offsets: Vec<(TopicName, Vec<FetchedOffset>)>,
}

/// The groups that have their coordinators here.
pub(super) async fn groups(broker: &Broker) -> Vec<GroupStatus> {
    let mut groups = Vec::new();
    for listed in broker.groups.enqueue_all(&ListRequest::default()).await.into_iter().flatten().flatten() {
        let id = listed.group_id;
        let describe = DescribeRequest { group_id: GroupId::clone(&id) };
        let described = broker.groups.enqueue(&id, describe).await.ok().flatten();
        let fetch = FetchOffsetsRequest { group_id: GroupId::clone(&id), topics: None, require_stable: false };
        let offsets = broker.groups.enqueue(&id, fetch).await.unwrap_or_default();
        groups.push(GroupStatus { id, members: described.map(|group| group.members.len()), offsets });
    }
    groups
}

/// Tells what there is in the cluster, and how far `groups` are behind.
pub(super) fn add(exposition: &mut Exposition, broker: &Broker, image: &MetadataImage, groups: &[GroupStatus]) {
    add_brokers(exposition, image);
    let mut ends = Ends::new();
    for topic in image.topics() {
        add_topic(exposition, broker, topic, &mut ends);
    }
    for group in groups {
        add_group(exposition, group, &ends);
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

fn add_group(exposition: &mut Exposition, group: &GroupStatus, ends: &Ends) {
    if let Some(members) = group.members {
        exposition.add(Metric::GroupMembers, &[&group.id], members);
    }
    for (topic, offsets) in &group.offsets {
        let (mut offset_sum, mut lag_sum) = (0, None);
        for fetched in offsets {
            let partition = fetched.partition.to_string();
            let labels: [&str; 3] = [&group.id, topic, &partition];
            exposition.add(Metric::GroupOffset, &labels, fetched.offset);
            offset_sum += fetched.offset;
            if let Some(end) = ends.get(&(TopicName::clone(topic), fetched.partition)) {
                let lag = (end - fetched.offset).max(0);
                exposition.add(Metric::GroupLag, &labels, lag);
                lag_sum = Some(lag_sum.unwrap_or(0) + lag);
            }
        }
        exposition.add(Metric::GroupOffsetSum, &[&group.id, topic], offset_sum);
        if let Some(lag_sum) = lag_sum {
            exposition.add(Metric::GroupLagSum, &[&group.id, topic], lag_sum);
        }
    }
}
