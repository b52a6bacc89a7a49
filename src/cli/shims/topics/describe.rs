//! `kafka-topics --describe`.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;

use super::super::super::print::print;
use super::super::asking::ToolFailure;
use super::super::java::in_hash_order;
use super::options::{TopicOptions, number};
use super::{existing, listed};
use crate::client::{ClientError, ClusterClient, ConfigEntry, PartitionDescription, PartitionMove, TopicDescription};
use crate::config::{ConfigResourceType, ConfigSource};
use crate::ids::{NodeId, TopicPartition};
use crate::protocol::ErrorCode;
use crate::storage::{format_uuid, parse_uuid};

/// How many partitions come in one answer (`max.request.partition.size.limit`).
const PAGE: i32 = 2000;

/// What the whole cluster says that bears on which partitions are shown.
struct ClusterView {
    live_brokers: HashSet<NodeId>,
    moves: HashMap<TopicPartition, PartitionMove>,
}

pub(super) async fn describe(client: &mut ClusterClient, options: &TopicOptions) -> Result<(), ToolFailure> {
    let topics = wanted(client, options).await?;
    let live_brokers = client.describe_cluster().await?.brokers.iter().map(|broker| broker.id).collect();
    let moves = match client.partition_moves().await {
        // Who may not ask, and who asks an old broker, is shown the rest.
        Err(ClientError::Refused { code: ErrorCode::ClusterAuthorizationFailed, .. } | ClientError::Broken { .. }) => {
            HashMap::new()
        }
        moves => moves?,
    };
    let surroundings = ClusterView { live_brokers, moves };
    for topic in topics {
        let configs = client.describe_configs(ConfigResourceType::Topic, &topic.name, false).await?;
        print(&topic_text(&topic, configs, options, &surroundings));
    }
    Ok(())
}

/// The topics to describe, in the order in which Kafka's tool prints them.
async fn wanted(client: &mut ClusterClient, options: &TopicOptions) -> Result<Vec<TopicDescription>, ToolFailure> {
    let id = options.topic_id.as_deref().map(|text| {
        parse_uuid(text).ok_or_else(|| ToolFailure::told(format!("Input string `{text}` is not a topic id")))
    });
    if let Some(id) = id.transpose()?.filter(|id| !id.is_nil()) {
        let mut topics = listed(client, options).await?;
        topics.retain(|topic| topic.id == id);
        if topics.is_empty() && !options.if_exists {
            return Err(ToolFailure::told(format!("TopicId '{}' does not exist as expected", format_uuid(id))));
        }
        return Ok(topics);
    }
    let names = existing(client, options).await?;
    let page = number("partition-size-limit-per-response", options.partition_size_limit_per_response.as_ref())?;
    let topics = client.describe_topics(&names, page.unwrap_or(PAGE)).await?;
    let count = topics.len();
    Ok(in_hash_order(topics, count, |topic| &topic.name))
}

fn topic_text(
    topic: &TopicDescription,
    configs: Vec<ConfigEntry>,
    options: &TopicOptions,
    surroundings: &ClusterView,
) -> String {
    let shows_all = !(options.unavailable_partitions
        || options.under_replicated_partitions
        || options.under_min_isr_partitions
        || options.at_min_isr_partitions);
    let min_isr = configs.iter().find(|config| config.name == "min.insync.replicas");
    let min_isr = min_isr.and_then(|config| config.value.as_deref()?.parse().ok()).unwrap_or(1);
    let own: Vec<_> = (in_hash_order(configs, 16, |config| &config.name).into_iter())
        .filter(|config| config.source != ConfigSource::Default)
        .collect();
    let mut text = String::new();
    if shows_all && (!options.topics_with_overrides || !own.is_empty()) {
        text.push_str(&summary(topic, &own, surroundings));
    }
    if options.topics_with_overrides {
        return text;
    }
    for partition in &topic.partitions {
        let moved = surroundings.moves.get(&TopicPartition::new(topic.name.as_ref(), partition.index));
        let in_sync = partition.isr.len();
        let is_shown = shows_all
            || (options.under_replicated_partitions && replication_factor(partition, moved) > in_sync)
            || (options.unavailable_partitions
                && partition.leader.is_none_or(|leader| !surroundings.live_brokers.contains(&leader)))
            || (options.under_min_isr_partitions && (partition.leader.is_none() || in_sync < min_isr))
            || (options.at_min_isr_partitions && in_sync == min_isr);
        if is_shown {
            text.push_str(&partition_text(&topic.name, partition, moved));
        }
    }
    text
}

fn summary(topic: &TopicDescription, own: &[ConfigEntry], surroundings: &ClusterView) -> String {
    let first = topic.partitions.first();
    let replicas = first.map_or(0, |first| {
        replication_factor(first, surroundings.moves.get(&TopicPartition::new(topic.name.as_ref(), first.index)))
    });
    let id = if topic.id.is_nil() { String::new() } else { format!("\tTopicId: {}", format_uuid(topic.id)) };
    let value = |config: &ConfigEntry| config.value.clone().unwrap_or_else(|| "null".to_owned());
    let configs = own.iter().map(|config| format!("{}={}", config.name, value(config)));
    format!(
        "Topic: {}{id}\tPartitionCount: {}\tReplicationFactor: {replicas}\tConfigs: {}\n",
        topic.name,
        topic.partitions.len(),
        configs.collect::<Vec<_>>().join(",")
    )
}

fn partition_text(topic: &str, partition: &PartitionDescription, moved: Option<&PartitionMove>) -> String {
    let leader = partition.leader.map_or_else(|| "none".to_owned(), |leader| leader.to_string());
    let moved = moved.map_or_else(String::new, |moved| {
        format!("\tAdding Replicas: {}\tRemoving Replicas: {}", joined(&moved.adding), joined(&moved.removing))
    });
    let known = |ids: &Option<Vec<NodeId>>| ids.as_deref().map_or_else(|| "N/A".to_owned(), joined);
    format!(
        "\tTopic: {topic}\tPartition: {}\tLeader: {leader}\tReplicas: {}\tIsr: {}{moved}\tElr: {}\tLastKnownElr: {}\n",
        partition.index,
        joined(&partition.replicas),
        joined(&partition.isr),
        known(&partition.eligible_leaders),
        known(&partition.last_known_eligible_leaders),
    )
}

/// How many replicas a partition has, without those that it only gets while it moves.
fn replication_factor(partition: &PartitionDescription, moved: Option<&PartitionMove>) -> usize {
    let is_moving = |moved: &&PartitionMove| {
        partition.replicas.iter().any(|replica| moved.adding.contains(replica) || moved.removing.contains(replica))
    };
    match moved.filter(is_moving) {
        Some(moved) => moved.replicas.len().saturating_sub(moved.adding.len()),
        None => partition.replicas.len(),
    }
}

fn joined(ids: &[impl Display]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Uuid;

    fn partition(index: i32, leader: Option<NodeId>, isr: &[NodeId]) -> PartitionDescription {
        PartitionDescription {
            index,
            leader,
            leader_epoch: 0,
            replicas: vec![1, 2],
            isr: isr.to_vec(),
            eligible_leaders: Some(Vec::new()),
            last_known_eligible_leaders: None,
        }
    }

    fn config(name: &str, value: &str, source: ConfigSource) -> ConfigEntry {
        ConfigEntry {
            name: name.to_owned(),
            value: Some(value.to_owned()),
            source,
            is_sensitive: false,
            is_read_only: false,
            synonyms: Vec::new(),
        }
    }

    fn shown(options: &TopicOptions) -> String {
        let partitions = vec![partition(0, Some(1), &[1, 2]), partition(1, Some(1), &[1]), partition(2, None, &[])];
        let topic = TopicDescription { name: "orders".into(), id: Uuid::nil(), is_internal: false, partitions };
        let configs = vec![
            config("min.insync.replicas", "1", ConfigSource::Default),
            config("retention.ms", "5", ConfigSource::Topic),
        ];
        let surroundings = ClusterView { live_brokers: HashSet::from([1]), moves: HashMap::new() };
        topic_text(&topic, configs, options, &surroundings)
    }

    #[test]
    fn a_topic_is_a_summary_and_its_partitions() {
        let text = shown(&TopicOptions::default());
        let expected = "Topic: orders\tPartitionCount: 3\tReplicationFactor: 2\tConfigs: retention.ms=5\n\
                        \tTopic: orders\tPartition: 0\tLeader: 1\tReplicas: 1,2\tIsr: 1,2\tElr: \tLastKnownElr: N/A\n";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.contains("Leader: none"), "{text}");
        let overrides = shown(&TopicOptions { topics_with_overrides: true, ..TopicOptions::default() });
        assert_eq!(overrides.lines().count(), 1);
    }

    #[test]
    fn reports_show_only_the_partitions_they_are_about() {
        let indexes = |options: TopicOptions| {
            let text = shown(&options);
            text.lines().filter_map(|line| line.split('\t').nth(2).map(str::to_owned)).collect::<Vec<_>>().join(" ")
        };
        let all = TopicOptions::default;
        let shown = indexes(TopicOptions { under_replicated_partitions: true, ..all() });
        assert_eq!(shown, "Partition: 1 Partition: 2");
        assert_eq!(indexes(TopicOptions { unavailable_partitions: true, ..all() }), "Partition: 2");
        assert_eq!(indexes(TopicOptions { under_min_isr_partitions: true, ..all() }), "Partition: 2");
        assert_eq!(indexes(TopicOptions { at_min_isr_partitions: true, ..all() }), "Partition: 1");
    }

    #[test]
    fn replicas_that_come_only_with_a_move_are_not_counted() {
        let moved = |adding: &[NodeId], removing: &[NodeId]| PartitionMove {
            replicas: vec![1, 2, 3],
            adding: adding.to_vec(),
            removing: removing.to_vec(),
        };
        let partition = partition(0, Some(1), &[1]);
        assert_eq!(replication_factor(&partition, Some(&moved(&[2], &[]))), 2);
        // The move is over already.
        assert_eq!(replication_factor(&partition, Some(&moved(&[9], &[8]))), 2);
        assert_eq!(replication_factor(&partition, None), 2);
    }
}
