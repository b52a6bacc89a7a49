//! The flags of `kafka-topics`, and which of them go together (`TopicCommandOptions`).

use std::process::ExitCode;

use clap::Parser;

use super::super::arguments::{failed, usage};
use super::super::asking::ToolFailure;
use crate::ids::NodeId;

/// What Kafka adds where topic configs were to be altered.
const CONFIGS_ARE_ELSEWHERE: &str = " (To alter topic configurations, the kafka-configs tool can be used.)";

/// The options of `kafka-topics`.
#[derive(Debug, Default, Parser)]
#[command(about = "This tool helps to create, delete, describe, or change a topic.")]
#[expect(clippy::struct_excessive_bools, reason = "these are the tool's flags")]
pub(super) struct TopicOptions {
    /// REQUIRED: The Kafka server to connect to.
    #[arg(long, value_name = "String: server to connect to")]
    pub(super) bootstrap_server: Option<String>,
    /// A file of properties for the client.
    #[arg(long, value_name = "String: command config property file")]
    pub(super) command_config: Option<String>,
    /// List all topics.
    #[arg(long)]
    pub(super) list: bool,
    /// Create a topic.
    #[arg(long)]
    pub(super) create: bool,
    /// Delete topics.
    #[arg(long)]
    pub(super) delete: bool,
    /// Give topics more partitions.
    #[arg(long)]
    pub(super) alter: bool,
    /// Show details of topics.
    #[arg(long)]
    pub(super) describe: bool,
    /// The topic; but for --create a regular expression.
    #[arg(long, value_name = "String: topic", allow_hyphen_values = true)]
    pub(super) topic: Option<String>,
    /// The id of the topic to describe.
    #[arg(long, value_name = "String: topic-id", allow_hyphen_values = true)]
    pub(super) topic_id: Option<String>,
    /// A config of the topic that is created; can be repeated.
    #[arg(long, value_name = "String: name=value", allow_hyphen_values = true)]
    pub(super) config: Vec<String>,
    /// No longer supported; kafka-configs deletes configs.
    #[arg(long, value_name = "String: name")]
    pub(super) delete_config: Vec<String>,
    /// The number of partitions of a topic that is created or altered; the cluster's default if it is not given.
    #[arg(long, value_name = "Integer: # of partitions", allow_hyphen_values = true)]
    pub(super) partitions: Option<String>,
    /// The number of replicas of each partition of a topic that is created; the cluster's default if it is not given.
    #[arg(long, value_name = "Integer: replication factor", allow_hyphen_values = true)]
    pub(super) replication_factor: Option<String>,
    /// The brokers of each partition: those of one by colons, the partitions by commas.
    #[arg(long, value_name = "String: broker_id : broker_id , ...", allow_hyphen_values = true)]
    pub(super) replica_assignment: Option<String>,
    /// When describing, show only partitions with a replica that is not in sync.
    #[arg(long)]
    pub(super) under_replicated_partitions: bool,
    /// When describing, show only partitions whose leader is not available.
    #[arg(long)]
    pub(super) unavailable_partitions: bool,
    /// When describing, show only partitions with fewer replicas in sync than the topic's minimum.
    #[arg(long)]
    pub(super) under_min_isr_partitions: bool,
    /// When describing, show only partitions with as many replicas in sync as the topic's minimum.
    #[arg(long)]
    pub(super) at_min_isr_partitions: bool,
    /// When describing, show only topics with configs of their own.
    #[arg(long)]
    pub(super) topics_with_overrides: bool,
    /// Do nothing if there is no such topic.
    #[arg(long)]
    pub(super) if_exists: bool,
    /// Do nothing if there is such a topic.
    #[arg(long)]
    pub(super) if_not_exists: bool,
    /// Leave out the topics in which brokers keep their own state.
    #[arg(long)]
    pub(super) exclude_internal: bool,
    /// The most partitions in one answer when describing.
    #[arg(long, value_name = "Integer: maximum number of partitions per response", allow_hyphen_values = true)]
    pub(super) partition_size_limit_per_response: Option<String>,
}

/// A flag with the flags that it cannot stand with.
type Exclusion<'a> = (&'a str, bool, Vec<&'a str>);

impl TopicOptions {
    /// Holds the flags to each other; what is wrong is told as Kafka tells it.
    pub(super) fn check(&self) -> Result<(), ExitCode> {
        let actions = [self.create, self.list, self.alter, self.describe, self.delete];
        if actions.iter().filter(|is_given| **is_given).count() != 1 {
            return Err(usage::<Self>(
                "Command must include exactly one action: --list, --describe, --create, --alter or --delete",
            ));
        }
        if !self.delete_config.is_empty() {
            eprintln!(
                "delete-config option is no longer supported and deprecated since version 4.0. The config will be fully removed in future releases."
            );
        }
        if self.bootstrap_server.is_none() {
            return Err(failed("--bootstrap-server must be specified"));
        }
        self.check_topic()?;
        match self.exclusions().into_iter().find_map(|exclusion| self.excluded(&exclusion)) {
            Some(complaint) => Err(usage::<Self>(&complaint)),
            None => Ok(()),
        }
    }

    fn check_topic(&self) -> Result<(), ExitCode> {
        if self.describe && self.if_exists {
            if self.topic.is_none() && self.topic_id.is_none() {
                return Err(usage::<Self>("--topic or --topic-id is required to describe a topic"));
            }
            if self.topic.is_some() && self.topic_id.is_some() {
                println!(
                    "Only topic id will be used when both --topic and --topic-id are specified and topicId is not Uuid.ZERO_UUID"
                );
            }
        }
        if !self.list && !self.describe && self.topic.is_none() {
            return Err(usage::<Self>("Missing required argument \"[topic]\""));
        }
        if self.alter && !self.config.is_empty() {
            return Err(usage::<Self>(&format!(
                "Option combination \"[[bootstrap-server], [config]]\" can't be used with option \"[alter]\"{CONFIGS_ARE_ELSEWHERE}"
            )));
        }
        if self.alter && self.partitions.is_none() {
            return Err(usage::<Self>("Missing required argument \"[partitions]\""));
        }
        Ok(())
    }

    /// Which flags cannot stand together, in the order in which Kafka looks.
    fn exclusions(&self) -> Vec<Exclusion<'static>> {
        let actions_but = |allowed: &[&str]| -> Vec<&'static str> {
            ["alter", "create", "describe", "list", "delete"]
                .into_iter()
                .filter(|action| !allowed.contains(action))
                .collect()
        };
        let report = |own: &'static str, is_given| {
            let mut others = actions_but(&["describe"]);
            others.push("topics-with-overrides");
            (own, is_given, others)
        };
        let mut exclusions = vec![
            ("config", !self.config.is_empty(), actions_but(&["alter", "create"])),
            ("partitions", self.partitions.is_some(), actions_but(&["alter", "create"])),
            ("replication-factor", self.replication_factor.is_some(), actions_but(&["create"])),
            ("replica-assignment", self.replica_assignment.is_some(), actions_but(&["alter", "create"])),
        ];
        if self.create {
            let numbers = vec!["partitions", "replication-factor"];
            exclusions.push(("replica-assignment", self.replica_assignment.is_some(), numbers));
        }
        let mut with_overrides = actions_but(&["describe"]);
        with_overrides.extend([
            "under-replicated-partitions",
            "under-min-isr-partitions",
            "at-min-isr-partitions",
            "unavailable-partitions",
        ]);
        exclusions.extend([
            report("under-replicated-partitions", self.under_replicated_partitions),
            report("under-min-isr-partitions", self.under_min_isr_partitions),
            report("at-min-isr-partitions", self.at_min_isr_partitions),
            report("unavailable-partitions", self.unavailable_partitions),
            ("topics-with-overrides", self.topics_with_overrides, with_overrides),
            ("if-exists", self.if_exists, actions_but(&["alter", "delete", "describe"])),
            ("if-not-exists", self.if_not_exists, actions_but(&["create"])),
            ("exclude-internal", self.exclude_internal, actions_but(&["list", "describe"])),
        ]);
        exclusions
    }

    fn excluded(&self, (option, is_given, others): &Exclusion<'_>) -> Option<String> {
        let other = others.iter().find(|other| *is_given && self.has(other))?;
        Some(format!("Option \"[{option}]\" can't be used with option \"[{other}]\""))
    }

    fn has(&self, option: &str) -> bool {
        match option {
            "alter" => self.alter,
            "create" => self.create,
            "describe" => self.describe,
            "list" => self.list,
            "delete" => self.delete,
            "partitions" => self.partitions.is_some(),
            "replication-factor" => self.replication_factor.is_some(),
            "topics-with-overrides" => self.topics_with_overrides,
            "under-replicated-partitions" => self.under_replicated_partitions,
            "under-min-isr-partitions" => self.under_min_isr_partitions,
            "at-min-isr-partitions" => self.at_min_isr_partitions,
            "unavailable-partitions" => self.unavailable_partitions,
            _ => false,
        }
    }

    /// The brokers of each partition; empty where none are named.
    pub(super) fn assignment(&self) -> Result<Vec<Vec<NodeId>>, ToolFailure> {
        let Some(text) = self.replica_assignment.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(Vec::new());
        };
        let mut assignment: Vec<Vec<NodeId>> = Vec::new();
        for (partition, brokers) in text.split(',').enumerate() {
            let id = |id: &str| {
                id.trim().parse().map_err(|_| ToolFailure::told(format!("For input string: \"{}\"", id.trim())))
            };
            let brokers: Vec<NodeId> = brokers.split(':').map(id).collect::<Result<_, _>>()?;
            let repeated = (brokers.iter().enumerate()).filter(|(place, id)| brokers[..*place].contains(id));
            let repeated: Vec<_> = repeated.map(|(_, id)| id.to_string()).collect();
            if !repeated.is_empty() {
                let message = "Partition replica lists may not contain duplicate entries";
                return Err(ToolFailure::told(format!("{message}: {}", repeated.join(","))));
            }
            if assignment.first().is_some_and(|first| first.len() != brokers.len()) {
                let message = "has different replication factor";
                return Err(ToolFailure::told(format!("Partition {partition} {message}: {brokers:?}")));
            }
            assignment.push(brokers);
        }
        Ok(assignment)
    }

    /// The configs, each split at its `=`.
    pub(super) fn configs(&self) -> Result<Vec<(String, String)>, ToolFailure> {
        let pair = |config: &String| match config.split('=').map(str::trim).collect::<Vec<_>>().as_slice() {
            [key, value] if !value.is_empty() => Some(((*key).to_owned(), (*value).to_owned())),
            _ => None,
        };
        let pairs: Option<Vec<_>> = self.config.iter().map(pair).collect();
        pairs.ok_or_else(|| {
            let message = "Invalid topic config: all configs to be added must be in the format \"key=val\".";
            ToolFailure::told(format!("requirement failed: {message}"))
        })
    }
}

/// The number that an option is given as.
pub(super) fn number(option: &str, text: Option<&String>) -> Result<Option<i32>, ToolFailure> {
    let parse = |text: &String| {
        text.parse().map_err(|_| ToolFailure::told(format!("Cannot parse argument '{text}' of option {option}")))
    };
    text.map(parse).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> TopicOptions {
        TopicOptions::try_parse_from(format!("kafka-topics {line}").split(' ')).expect(line)
    }

    fn complaint(line: &str) -> Option<String> {
        let options = options(line);
        options.exclusions().iter().find_map(|exclusion| options.excluded(exclusion))
    }

    #[test]
    fn flags_that_do_not_go_together_are_named_as_kafka_names_them() {
        let told = complaint("--list --partitions 3");
        assert_eq!(told.as_deref(), Some("Option \"[partitions]\" can't be used with option \"[list]\""));
        let told = complaint("--create --topic a --partitions 1 --replica-assignment 1");
        assert_eq!(told.as_deref(), Some("Option \"[replica-assignment]\" can't be used with option \"[partitions]\""));
        assert_eq!(complaint("--describe --under-replicated-partitions --unavailable-partitions"), None);
        assert!(complaint("--describe --topics-with-overrides --at-min-isr-partitions").is_some());
        assert!(options("--list --describe --bootstrap-server h:1").check().is_err());
        assert!(options("--list").check().is_err());
        assert!(options("--list --bootstrap-server h:1").check().is_ok());
    }

    #[test]
    fn assignments_name_brokers_by_partition() {
        let read = |text: &str| {
            let options = TopicOptions { replica_assignment: Some(text.to_owned()), ..TopicOptions::default() };
            options.assignment().map_err(|failure| failure.to_string())
        };
        assert_eq!(read("1:2,2:1"), Ok(vec![vec![1, 2], vec![2, 1]]));
        assert_eq!(read("1:1"), Err("Partition replica lists may not contain duplicate entries: 1".to_owned()));
        assert_eq!(read("1,1:2"), Err("Partition 1 has different replication factor: [1, 2]".to_owned()));
        assert!(read("x").is_err());
    }

    #[test]
    fn a_config_is_one_key_and_one_value() {
        let read = |config: &str| options(&format!("--create --config {config}")).configs().ok();
        assert_eq!(read("a=b"), Some(vec![("a".to_owned(), "b".to_owned())]));
        for wrong in ["a", "a=", "a=b=c"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
