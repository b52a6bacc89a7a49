//! `klamm topic describe`.

use std::collections::HashMap;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value, json};

use super::super::Failure;
use super::super::changes::origin;
use super::super::connection::ConnectionArguments;
use super::super::output::{OutputFormat, Rows, print_document};
use super::super::print::print;
use super::failure;
use crate::client::{
    ClientError, ClusterClient, ConfigEntry, EARLIEST, LATEST, PartitionDescription, TopicDescription,
};
use crate::config::{ConfigResourceType, ConfigSource};
use crate::ids::{NodeId, TopicName, TopicPartition};
use crate::storage::format_uuid;

/// How many partitions come in one answer (`max.request.partition.size.limit`).
const PAGE: i32 = 2000;

/// What Kafka calls the leader of a partition that has none.
const NO_LEADER: NodeId = -1;

#[derive(Debug, Args)]
pub(super) struct DescribeTopicsArguments {
    /// The topics.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<TopicName>,
}

/// What is told of a partition.
const WITHOUT_HEIRS: &[&str] = &["partition", "leader", "epoch", "replicas", "in sync", "start", "end"];

/// The same where there are replicas that are not in sync and may lead.
const WITH_HEIRS: &[&str] = &["partition", "leader", "epoch", "replicas", "in sync", "elr", "start", "end"];

/// A topic, where its partitions begin and end, and the configs that are not the broker's defaults.
struct TopicInFull {
    topic: TopicDescription,
    starts: HashMap<i32, i64>,
    ends: HashMap<i32, i64>,
    configs: Vec<ConfigEntry>,
}

pub(super) fn run(
    arguments: &DescribeTopicsArguments,
    connection: &ConnectionArguments,
    output: OutputFormat,
) -> Result<ExitCode, Failure> {
    let (described, failures) = connection.run(async |client| {
        let (mut described, mut failures) = (Vec::new(), Vec::new());
        for (name, topic) in client.topics(&arguments.names).await? {
            let topic = topic.map_err(|code| ClientError::Refused { code, message: None });
            let topic = with_eligible_leaders(client, topic).await;
            match describe(client, topic).await {
                Ok(one) => described.push(one),
                Err(error) => failures.push(failure(client, &name, error).await),
            }
        }
        Ok((described, failures))
    })?;
    match output {
        OutputFormat::Table => {
            for (place, one) in described.iter().enumerate() {
                print(if place > 0 { "\n" } else { "" });
                print(&one.summary());
                one.partitions().print(output)?;
                if !one.configs.is_empty() {
                    print("\n");
                    one.configs().print(output)?;
                }
            }
        }
        OutputFormat::Json | OutputFormat::Yaml => {
            print_document(&described.iter().map(TopicInFull::document).collect(), output)?;
        }
    }
    Ok(super::tell(&failures))
}

/// The same topic with its eligible leader replicas, if the brokers know them.
async fn with_eligible_leaders(
    client: &mut ClusterClient,
    topic: Result<TopicDescription, ClientError>,
) -> Result<TopicDescription, ClientError> {
    let topic = topic?;
    let in_full = client.describe_topics(&[TopicName::clone(&topic.name)], PAGE).await?;
    Ok(in_full.into_iter().next().unwrap_or(topic))
}

async fn describe(
    client: &mut ClusterClient,
    topic: Result<TopicDescription, ClientError>,
) -> Result<TopicInFull, ClientError> {
    let topic = topic?;
    let starts = offsets(client, &topic, EARLIEST).await?;
    let ends = offsets(client, &topic, LATEST).await?;
    let mut configs = client.describe_configs(ConfigResourceType::Topic, &topic.name, false).await?;
    configs.retain(|config| config.source != ConfigSource::Default);
    Ok(TopicInFull { topic, starts, ends, configs })
}

/// The offset of each partition that tells it; one without a leader does not.
async fn offsets(
    client: &mut ClusterClient,
    topic: &TopicDescription,
    timestamp: i64,
) -> Result<HashMap<i32, i64>, ClientError> {
    let led = topic.partitions.iter().filter(|partition| partition.leader.is_some());
    let wanted: Vec<_> =
        led.map(|partition| (TopicPartition::new(topic.name.as_ref(), partition.index), timestamp)).collect();
    let listed = client.list_offsets(&wanted, false).await?;
    Ok(listed.into_iter().filter_map(|(one, offset)| Some((one.partition, offset.ok()?.offset))).collect())
}

/// The eligible leader replicas (KIP-966).
fn heirs(partition: &PartitionDescription) -> Vec<NodeId> {
    partition.eligible_leaders.clone().unwrap_or_default()
}

impl TopicInFull {
    fn replicas(&self) -> usize {
        self.topic.partitions.first().map_or(0, |partition| partition.replicas.len())
    }

    /// What holds for the whole topic, a line each.
    fn summary(&self) -> String {
        let lines = [
            ("TOPIC", self.topic.name.to_string()),
            ("ID", format_uuid(self.topic.id)),
            ("PARTITIONS", self.topic.partitions.len().to_string()),
            ("REPLICAS", self.replicas().to_string()),
        ];
        lines.map(|(name, value)| format!("{name:<13}{value}\n")).concat() + "\n"
    }

    fn partitions(&self) -> Rows {
        let has_heirs = self.topic.partitions.iter().any(|partition| !heirs(partition).is_empty());
        let mut rows = Rows::new(if has_heirs { WITH_HEIRS } else { WITHOUT_HEIRS });
        for partition in &self.topic.partitions {
            let row = [
                partition.index.into(),
                partition.leader.unwrap_or(NO_LEADER).into(),
                partition.leader_epoch.into(),
                partition.replicas.clone().into(),
                partition.isr.clone().into(),
                self.starts.get(&partition.index).copied().into(),
                self.ends.get(&partition.index).copied().into(),
            ];
            if has_heirs {
                let [index, leader, epoch, replicas, isr, start, end] = row;
                rows.push([index, leader, epoch, replicas, isr, heirs(partition).into(), start, end]);
            } else {
                rows.push(row);
            }
        }
        rows
    }

    fn configs(&self) -> Rows {
        let mut rows = Rows::new(&["config", "value", "from"]);
        for config in &self.configs {
            rows.push([config.name.clone().into(), config.value.clone().into(), origin(config.source).into()]);
        }
        rows
    }

    fn document(&self) -> Value {
        let config = |config: &ConfigEntry| (config.name.clone(), Value::from(config.value.clone()));
        json!({
            "name": self.topic.name.as_ref(),
            "id": format_uuid(self.topic.id),
            "internal": self.topic.is_internal,
            "partitions": self.partitions().objects(),
            "configs": self.configs.iter().map(config).collect::<Map<_, _>>(),
        })
    }
}
