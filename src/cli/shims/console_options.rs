//! The flags of `kafka-console-consumer`, and what they mean together
//! (`org.apache.kafka.tools.consumer.ConsoleConsumerOptions`).

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use super::arguments::{failed, usage};
use super::asking::read_properties;
use super::client_properties::{check_numbers, config_exception};
use super::message_formatter::MessageFormatter;
use super::tool_properties::ToolProperties;
use super::topic_filter::TopicFilter;
use crate::client::{ConsumerSettings, EARLIEST, LATEST, OffsetReset};
use crate::ids::{TopicName, TopicPartition, Uuid};

/// This tool helps to read data from Kafka topics and outputs it to standard output.
#[derive(Debug, Parser)]
#[command(about = "This tool helps to read data from Kafka topics and outputs it to standard output.", long_about = None)]
pub(super) struct ConsoleConsumerOptions {
    /// The topic to consume on.
    #[arg(long, value_name = "String: topic")]
    topic: Option<String>,
    /// A regular expression that names the topics to consume.
    #[arg(long, value_name = "String: Java regex (String)")]
    include: Option<String>,
    /// The partition to consume from; from its end, unless --offset is given.
    #[arg(long, value_name = "Integer: partition")]
    partition: Option<i32>,
    /// The offset to consume from: a number, 'earliest' or 'latest' (default: latest)
    #[arg(long, value_name = "String: consume offset", allow_hyphen_values = true)]
    offset: Option<String>,
    /// Properties of the consumer.
    #[arg(long, value_name = "String: consumer_prop")]
    consumer_property: Vec<String>,
    /// The same (KIP-1147).
    #[arg(long, value_name = "String: consumer_prop")]
    command_property: Vec<String>,
    /// A file of properties of the consumer.
    #[arg(long = "consumer.config", visible_alias = "command-config", value_name = "String: config file")]
    consumer_config: Option<String>,
    /// The class that formats messages.
    #[arg(
        long,
        value_name = "String: class",
        default_value = "org.apache.kafka.tools.consumer.DefaultMessageFormatter"
    )]
    formatter: String,
    /// Properties of the formatter: print.timestamp, print.key, print.offset, print.epoch, print.partition, print.headers,
    /// print.value, key.separator, line.separator, headers.separator, null.literal, key.deserializer, value.deserializer,
    /// headers.deserializer.
    #[arg(long, value_name = "String: prop")]
    property: Vec<String>,
    /// The same (KIP-1147).
    #[arg(long, value_name = "String: prop")]
    formatter_property: Vec<String>,
    /// A file of properties of the formatter.
    #[arg(long, value_name = "String: config file")]
    formatter_config: Option<String>,
    /// Begin with the earliest message if the group has not consumed before.
    #[arg(long)]
    from_beginning: bool,
    /// How many messages to consume before exiting; without it, it goes on.
    #[arg(long, value_name = "Integer: num_messages", allow_hyphen_values = true)]
    max_messages: Option<i64>,
    /// Exit if no message comes for so long.
    #[arg(long, value_name = "Long: timeout_ms", allow_hyphen_values = true)]
    timeout_ms: Option<i64>,
    /// Skip a message that cannot be printed, instead of stopping.
    #[arg(long)]
    skip_message_on_error: bool,
    /// REQUIRED: The server(s) to connect to.
    #[arg(long, value_name = "String: server to connect to")]
    bootstrap_server: Option<String>,
    /// The class that reads keys.
    #[arg(long, value_name = "String: deserializer for key")]
    key_deserializer: Option<String>,
    /// The class that reads values.
    #[arg(long, value_name = "String: deserializer for values")]
    value_deserializer: Option<String>,
    /// Tell on stdout that the consumer has ended.
    #[arg(long)]
    enable_systest_events: bool,
    /// Whether messages of transactions that are not committed are read: `read_committed` or `read_uncommitted`.
    #[arg(long, value_name = "String", default_value = "read_uncommitted")]
    isolation_level: String,
    /// The group of the consumer.
    #[arg(long, value_name = "String: consumer group id")]
    group: Option<String>,
}

/// What is read, and how it is printed.
#[derive(Debug)]
pub(super) struct ConsumePlan {
    pub(super) bootstrap: String,
    /// What brokers know the consumer by (`client.id`).
    pub(super) client_id: String,
    pub(super) source: Source,
    pub(super) group: String,
    /// Whether the group remembers what was read.
    pub(super) commits: bool,
    pub(super) settings: ConsumerSettings,
    pub(super) formatter: MessageFormatter,
    pub(super) max_messages: Option<u64>,
    pub(super) timeout: Option<Duration>,
    pub(super) skips_errors: bool,
    /// Whether it is told that reading has ended.
    pub(super) tells_end: bool,
}

/// Where records come from.
#[derive(Debug)]
pub(super) enum Source {
    /// One partition, from an offset on, or from [`EARLIEST`] or [`LATEST`].
    Partition { partition: TopicPartition, start: i64 },
    /// A topic, as a member of a group.
    Topic(TopicName),
    /// Topics by an expression, as a member of a group.
    Include(TopicFilter),
}

/// What Kafka's tool says where its consumer cannot be made, or cannot go on.
pub(super) const UNKNOWN_ERROR: &str = "ERROR Unknown error when running consumer: ";

/// Tells that a consumer cannot have this property.
fn misconfigured(key: &str, value: &str, allowed: &str) -> ExitCode {
    failed(&format!("{UNKNOWN_ERROR}\n{}", config_exception(key, value, allowed)))
}

/// Tells what is wrong, and how the tool is called.
fn misused(message: &str) -> ExitCode {
    usage::<ConsoleConsumerOptions>(message)
}

impl ConsoleConsumerOptions {
    /// The file that also the connection is configured by.
    pub(super) fn properties_file(&self) -> Option<&str> {
        self.consumer_config.as_deref()
    }

    /// What the flags mean, if that makes sense; otherwise it was told what does not.
    pub(super) fn plan(&self) -> Result<ConsumePlan, ExitCode> {
        self.check()?;
        let Some(bootstrap) = self.bootstrap_server.clone() else {
            return Err(misused("Missing required argument \"[bootstrap-server]\""));
        };
        let pairs = [&self.consumer_property[..], &self.command_property].concat();
        let properties = ToolProperties::new(pairs_of(self.consumer_config.as_deref())?, &pairs);
        let group = self.group_id(&properties)?;
        check_numbers(&properties).map_err(|what| failed(&format!("{UNKNOWN_ERROR}\n{what}")))?;
        let reset = self.reset(&properties)?;
        let source = self.source()?;
        let commits = properties.text("enable.auto.commit").map_or(group.is_some(), |value| value.trim() == "true");
        let level = properties.text("isolation.level").filter(|_| self.isolation_level == "read_uncommitted");
        let read_committed = match level.unwrap_or(&self.isolation_level) {
            "read_committed" => true,
            "read_uncommitted" => false,
            other => {
                let allowed = "String must be one of: read_committed, read_uncommitted";
                return Err(misconfigured("isolation.level", other, allowed));
            }
        };
        Ok(ConsumePlan {
            bootstrap,
            client_id: properties.text("client.id").unwrap_or("console-consumer").to_owned(),
            source,
            group: group.unwrap_or_else(|| format!("console-consumer-{}", Uuid::new_v4().as_u128() % 100_000)),
            commits,
            settings: ConsumerSettings { read_committed, reset, ..ConsumerSettings::default() },
            formatter: self.message_formatter()?,
            max_messages: self.max_messages.and_then(|most| u64::try_from(most).ok()),
            timeout: self.timeout_ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis),
            skips_errors: self.skip_message_on_error,
            tells_end: self.enable_systest_events,
        })
    }

    fn check(&self) -> Result<(), ExitCode> {
        let wrong = if self.topic.is_some() == self.include.is_some() {
            "Exactly one of --include/--topic is required. "
        } else if self.partition.is_some() && self.topic.is_none() {
            "The topic is required when partition is specified."
        } else if self.partition.is_some() && self.from_beginning && self.offset.is_some() {
            "Options from-beginning and offset cannot be specified together."
        } else if self.partition.is_none() && self.offset.is_some() {
            "The partition is required when offset is specified."
        } else {
            return Ok(());
        };
        Err(misused(wrong))
    }

    fn group_id(&self, properties: &ToolProperties) -> Result<Option<String>, ExitCode> {
        let given = properties.text("group.id");
        match (self.group.as_deref(), given) {
            (Some(one), Some(other)) if one != other => Err(misused(&format!(
                "The group ids provided in different places (directly using '--group', via '--consumer-property', or via \
                 '--consumer.config') do not match. Detected group ids: '{one}', '{other}'"
            ))),
            (Some(_), _) | (_, Some(_)) if self.partition.is_some() => {
                Err(misused("Options group and partition cannot be specified together."))
            }
            (group, given) => Ok(group.or(given).map(str::to_owned)),
        }
    }

    fn reset(&self, properties: &ToolProperties) -> Result<OffsetReset, ExitCode> {
        match properties.text("auto.offset.reset") {
            None if self.from_beginning => Ok(OffsetReset::Earliest),
            None | Some("latest") if !self.from_beginning => Ok(OffsetReset::Latest),
            Some("earliest") => Ok(OffsetReset::Earliest),
            Some("none") if !self.from_beginning => Ok(OffsetReset::Fail),
            other if self.from_beginning => Err(failed(&format!(
                "Can't simultaneously specify --from-beginning and 'auto.offset.reset={}', please remove one option",
                other.unwrap_or_default()
            ))),
            other => {
                let (key, other) = ("auto.offset.reset", other.unwrap_or_default());
                // Unlike Kafka, durations are not taken here.
                let allowed = format!(
                    "Invalid value `{other}` for configuration {key}. The value must be either 'earliest', 'latest' or 'none'."
                );
                Err(misconfigured(key, other, &allowed))
            }
        }
    }

    fn source(&self) -> Result<Source, ExitCode> {
        if let Some(expression) = &self.include {
            let filter = TopicFilter::new(expression).map(Source::Include);
            return filter
                .map_err(|what| failed(&format!("{UNKNOWN_ERROR}\njava.util.regex.PatternSyntaxException: {what}")));
        }
        let topic: TopicName = self.topic.as_deref().unwrap_or_default().into();
        let Some(partition) = self.partition else { return Ok(Source::Topic(topic)) };
        let start = match self.offset.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None if self.from_beginning => EARLIEST,
            Some("earliest") => EARLIEST,
            None | Some("latest") => LATEST,
            Some(number) => match number.parse::<i64>() {
                Ok(offset) if offset >= 0 => offset,
                _ => {
                    let given = self.offset.as_deref().unwrap_or_default();
                    return Err(misused(&format!(
                        "The provided offset value '{given}' is incorrect. Valid values are 'earliest', 'latest', or a \
                         non-negative long."
                    )));
                }
            },
        };
        Ok(Source::Partition { partition: TopicPartition { topic, partition }, start })
    }

    fn message_formatter(&self) -> Result<MessageFormatter, ExitCode> {
        let class = |name: &str, class: &Option<String>| class.as_ref().map(|class| format!("{name}={class}"));
        let classes =
            [class("key.deserializer", &self.key_deserializer), class("value.deserializer", &self.value_deserializer)];
        let pairs = classes.into_iter().flatten().chain(self.property.iter().chain(&self.formatter_property).cloned());
        let pairs: Vec<_> = pairs.collect();
        let properties = ToolProperties::new(pairs_of(self.formatter_config.as_deref())?, &pairs);
        MessageFormatter::new(&self.formatter, &properties).ok_or_else(|| misused(&self.formatter))
    }
}

fn pairs_of(file: Option<&str>) -> Result<Vec<(String, String)>, ExitCode> {
    file.map(read_properties).transpose().map(Option::unwrap_or_default).map_err(|failure| failed(&failure.what))
}

#[cfg(test)]
mod tests {
    use super::super::arguments::parse;
    use super::*;

    fn plan(line: &str) -> Option<ConsumePlan> {
        let words = line.split(' ').map(std::ffi::OsString::from).collect();
        let options: ConsoleConsumerOptions = parse("kafka-console-consumer", words).ok()?;
        options.plan().ok()
    }

    #[test]
    fn flags_mean_what_they_mean_to_kafkas_tool() {
        let alone = plan("--bootstrap-server h:1 --topic t --from-beginning").unwrap();
        assert!(alone.group.starts_with("console-consumer-") && !alone.commits && alone.max_messages.is_none());
        assert_eq!((alone.settings.reset, alone.client_id.as_str()), (OffsetReset::Earliest, "console-consumer"));
        let named = plan("--bootstrap-server h:1 --topic t --consumer-property client.id=me").unwrap();
        assert_eq!(named.client_id, "me");
        let grouped =
            plan("--bootstrap-server h:1 --topic t --group g --isolation-level read_committed --timeout-ms 5").unwrap();
        assert_eq!((grouped.group.as_str(), grouped.commits, grouped.settings.reset), ("g", true, OffsetReset::Latest));
        assert!(grouped.settings.read_committed && grouped.timeout == Some(Duration::from_millis(5)));
        let start = |line: &str| match plan(&format!("--bootstrap-server h:1 --topic t --partition 2 {line}"))
            .map(|plan| plan.source)
        {
            Some(Source::Partition { partition, start }) => Some((partition.partition, start)),
            _ => None,
        };
        assert_eq!(start("--offset 7"), Some((2, 7)));
        assert_eq!(start("--offset EARLIEST"), Some((2, EARLIEST)));
        assert_eq!(start("--max-messages 1"), Some((2, LATEST)));
        assert_eq!(start("--offset -7"), None);
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused() {
        for wrong in [
            "--topic t",
            "--bootstrap-server h:1",
            "--bootstrap-server h:1 --topic t --include u",
            "--bootstrap-server h:1 --include t --partition 0",
            "--bootstrap-server h:1 --topic t --offset 1",
            "--bootstrap-server h:1 --topic t --partition 0 --group g",
            "--bootstrap-server h:1 --topic t --group g --consumer-property group.id=h",
            "--bootstrap-server h:1 --topic t --from-beginning --consumer-property auto.offset.reset=latest",
            "--bootstrap-server h:1 --topic t --formatter com.example.Formatter",
            "--bootstrap-server h:1 --topic t --isolation-level serializable",
        ] {
            assert!(plan(wrong).is_none(), "{wrong}");
        }
    }
}
