//! The metrics of Kafka itself, by the names that the JMX exporter gives them, and our own.

use std::sync::Arc;

use kafka_protocol::messages::ApiKey;

use super::zero_or_one;
use crate::api::APIS;
use crate::broker::Broker;
use crate::metadata::{MetadataImage, PartitionImage, TopicImage};
use crate::metrics::{Exposition, Metric, Metrics, RequestMetrics, TopicTraffic};
use crate::protocol::ErrorCode;
use crate::replication::hosted_partition::{HostedPartition, PartitionStatus};

/// Tells what this broker does, and how it stands.
pub(super) fn add(exposition: &mut Exposition, broker: &Broker, image: &MetadataImage) {
    exposition.add(Metric::BuildInfo, &[env!("CARGO_PKG_VERSION")], 1);
    add_traffic(exposition, &[], broker.replicas.traffic());
    let mut by_topic = broker.replicas.traffic_by_topic();
    by_topic.sort_unstable_by(|one, next| one.0.cmp(&next.0));
    for (topic, traffic) in by_topic {
        add_traffic(exposition, &[&topic], traffic.of_topic());
    }
    add_replicas(exposition, broker);
    add_cleaner(exposition, broker);
    add_controller(exposition, broker, image);
    add_connections(exposition, &broker.metrics);
    for (api, requests) in APIS.iter().zip(broker.metrics.requests()) {
        let name = ApiKey::try_from(api.key).map_or_else(|()| api.key.to_string(), |key| format!("{key:?}"));
        add_requests(exposition, &name, requests);
    }
}

fn add_traffic(exposition: &mut Exposition, labels: &[&str], traffic: &TopicTraffic) {
    for (metric, counter) in [
        (Metric::MessagesIn, &traffic.messages_in),
        (Metric::BytesIn, &traffic.bytes_in),
        (Metric::BytesOut, &traffic.bytes_out),
        (Metric::BytesRejected, &traffic.bytes_rejected),
        (Metric::ProduceRequests, &traffic.produce_requests),
        (Metric::FetchRequests, &traffic.fetch_requests),
        (Metric::FailedProduceRequests, &traffic.failed_produce_requests),
        (Metric::FailedFetchRequests, &traffic.failed_fetch_requests),
    ] {
        exposition.add(metric, labels, counter.value());
    }
}

fn add_replicas(exposition: &mut Exposition, broker: &Broker) {
    let offline = broker.replicas.offline_replicas();
    let mut partitions = broker.replicas.partitions();
    partitions.sort_unstable_by(|one, next| one.topic_partition().cmp(next.topic_partition()));
    let mut leading = Vec::new();
    for partition in &partitions {
        let Some(status) = partition.status().filter(|_| !partition.is_offline()) else { continue };
        let name = partition.topic_partition();
        exposition.add(Metric::LogSize, &[&name.topic, &name.partition.to_string()], status.log_size);
        leading.extend(status.is_leader.then_some(status));
    }
    let number = |is_meant: fn(&PartitionStatus) -> bool| leading.iter().filter(|status| is_meant(status)).count();
    let hosted = partitions.iter().filter(|partition| !partition.is_offline()).count();
    exposition.add(Metric::PartitionCount, &[], hosted + offline);
    exposition.add(Metric::LeaderCount, &[], leading.len());
    exposition.add(Metric::UnderReplicatedPartitions, &[], number(|status| status.in_sync < status.replicas));
    exposition.add(Metric::UnderMinIsr, &[], number(|status| status.in_sync < needed(status)));
    exposition.add(Metric::AtMinIsr, &[], number(|status| status.in_sync == needed(status)));
    add_followed(exposition, broker, &partitions);
    exposition.add(Metric::OfflineReplicaCount, &[], offline);
    exposition.add(Metric::OfflineLogDirectoryCount, &[], broker.replicas.offline_log_dirs());
    for (path, has_failed) in broker.replicas.log_dirs() {
        exposition.add(Metric::LogDirectoryOffline, &[&path], zero_or_one(has_failed));
    }
}

/// As in Kafka, which does not ask for more in-sync replicas than there are replicas (`Partition.effectiveMinIsr`).
fn needed(status: &PartitionStatus) -> usize {
    status.min_insync_replicas.min(status.replicas)
}

/// How far this broker is behind other leaders, and how often the in-sync replicas of what it leads have changed.
fn add_followed(exposition: &mut Exposition, broker: &Broker, partitions: &[Arc<HostedPartition>]) {
    let counted = broker.replicas.replication_metrics();
    exposition.add(Metric::IsrExpands, &[], counted.isr_expands.value());
    exposition.add(Metric::IsrShrinks, &[], counted.isr_shrinks.value());
    exposition.add(Metric::FailedIsrUpdates, &[], counted.failed_isr_updates.value());
    let mut most = 0;
    for partition in partitions {
        let Some(lag) = partition.status().and_then(|status| status.lag) else { continue };
        let name = partition.topic_partition();
        exposition.add(Metric::FollowerLag, &[&name.topic, &name.partition.to_string()], lag);
        most = most.max(lag);
    }
    exposition.add(Metric::MaxLag, &[], most);
}

fn add_cleaner(exposition: &mut Exposition, broker: &Broker) {
    let status = broker.replicas.cleaner_metrics().status();
    let percent = |ratio: f64| (ratio * 100.0) as u64;
    let since_last_run = broker.clock.monotonic().saturating_sub(status.last_run);
    exposition.add(Metric::MaxDirtyPercent, &[], percent(status.max_dirty_ratio));
    exposition.add(Metric::TimeSinceLastRun, &[], since_last_run.as_millis());
    for (directory, partitions, bytes) in broker.replicas.uncleanable() {
        exposition.add(Metric::UncleanablePartitions, &[&directory], partitions);
        exposition.add(Metric::UncleanableBytes, &[&directory], bytes);
    }
    exposition.add(Metric::CleanerRecopyPercent, &[], percent(status.recopy_ratio));
    exposition.add(Metric::MaxBufferUtilization, &[], percent(status.buffer_utilization));
    exposition.add(Metric::MaxCleanTime, &[], status.clean_time.as_secs());
    exposition.add(Metric::MaxCompactionDelay, &[], status.max_compaction_delay.as_secs());
}

fn add_controller(exposition: &mut Exposition, broker: &Broker, image: &MetadataImage) {
    let is_active = broker.metadata.controller_id() == Some(broker.node_id);
    let partitions = || image.topics().flat_map(|topic| &topic.partitions);
    // As Metadata tells it: what is in a failed log directory has no leader.
    let is_led = |topic: &TopicImage, index: usize, partition: &PartitionImage| {
        let is_here = partition.leader == broker.node_id;
        partition.leader >= 0 && !(is_here && broker.replicas.is_in_failed_log_dir(&topic.name, index))
    };
    let led = |topic: &Arc<TopicImage>| {
        topic.partitions.iter().enumerate().filter(|(index, partition)| is_led(topic, *index, partition)).count()
    };
    let leaderless = partitions().count() - image.topics().map(led).sum::<usize>();
    let misled = partitions().filter(|partition| partition.replicas.first() != Some(&partition.leader)).count();
    exposition.add(Metric::ActiveControllerCount, &[], zero_or_one(is_active));
    exposition.add(Metric::ActiveBrokerCount, &[], image.alive_brokers().count());
    exposition.add(Metric::FencedBrokerCount, &[], image.brokers().filter(|broker| broker.fenced).count());
    exposition.add(Metric::OfflinePartitionsCount, &[], leaderless);
    exposition.add(Metric::PreferredReplicaImbalance, &[], misled);
    exposition.add(Metric::GlobalTopicCount, &[], image.topics().len());
    exposition.add(Metric::GlobalPartitionCount, &[], partitions().count());
}

fn add_connections(exposition: &mut Exposition, metrics: &Metrics) {
    for (listener, connections) in metrics.listeners() {
        exposition.add(Metric::ConnectionCount, &[listener], connections.open());
        exposition.add(Metric::ConnectionCreation, &[listener], connections.created.value());
        exposition.add(Metric::ConnectionClose, &[listener], connections.closed.value());
    }
}

/// What nobody has asked for has no series.
fn add_requests(exposition: &mut Exposition, name: &str, requests: &RequestMetrics) {
    for (version, number) in requests.by_version().filter(|(_, number)| *number > 0) {
        exposition.add(Metric::Requests, &[name, &version.to_string()], number);
    }
    for (code, number) in requests.errors.counts() {
        exposition.add(Metric::RequestErrors, &[name, &error_name(code)], number);
    }
    let duration = &requests.duration;
    if duration.count() > 0 {
        exposition.add_histogram(Metric::RequestDuration, &[name], duration);
        let sum_ms = duration.sum().as_nanos() as f64 / 1e6;
        exposition.add_summary(Metric::TotalTimeMs, &[name], sum_ms, duration.count());
    }
}

/// Kafka's spelling of an error code: `NOT_LEADER_OR_FOLLOWER`.
fn error_name(code: i16) -> String {
    let name = match ErrorCode::try_from_code(code) {
        None => return "NONE".to_owned(),
        Some(ErrorCode::Unknown(code)) => return format!("UNKNOWN_{code}"),
        Some(error) => format!("{error:?}"),
    };
    let mut spelt = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !spelt.is_empty() {
            spelt.push('_');
        }
        spelt.push(character.to_ascii_uppercase());
    }
    spelt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_kafkas_spelling() {
        let names = [0, -1, 3, 6, 89, 3000].map(error_name);
        let spelt =
            ["NONE", "UNKNOWN_SERVER_ERROR", "UNKNOWN_TOPIC_OR_PARTITION", "NOT_LEADER_OR_FOLLOWER"].map(str::to_owned);
        assert_eq!(names[..4], spelt);
        assert_eq!(names[4..], ["THROTTLING_QUOTA_EXCEEDED".to_owned(), "UNKNOWN_3000".to_owned()]);
    }
}
