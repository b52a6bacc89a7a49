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
use crate::client::{ClientError, ClusterClient, ConfigEntry, EARLIEST, LATEST, TopicDescription};
use crate::config::{ConfigResourceType, ConfigSource};
use crate::ids::{TopicName, TopicPartition};
use crate::storage::format_uuid;

#[derive(Debug, Args)]
pub(super) struct DescribeTopicsArguments {
    /// The topics.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<TopicName>,
}

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
        let mut rows = Rows::new(&["partition", "leader", "epoch", "replicas", "in sync", "start", "end"]);
        for partition in &self.topic.partitions {
            rows.push([
                partition.index.into(),
                partition.leader.into(),
                partition.leader_epoch.into(),
                partition.replicas.clone().into(),
                partition.isr.clone().into(),
                self.starts.get(&partition.index).copied().into(),
                self.ends.get(&partition.index).copied().into(),
            ]);
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
