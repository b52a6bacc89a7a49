//! `kafka-get-offsets` (`org.apache.kafka.tools.GetOffsetShell`).

use std::ffi::OsString;
use std::fmt::Write;
use std::process::ExitCode;

use clap::Parser;

use super::super::print::print;
use super::arguments::{Complaints, failed, parse_with, usage};
use super::asking::{Asking, ToolFailure};
use super::topic_filter::TopicFilter;
use crate::client::{ClientError, ClusterClient, EARLIEST, LATEST, MAX_TIMESTAMP};
use crate::ids::TopicPartition;
use crate::protocol::ErrorCode;

/// In place of a timestamp: the first offset that is on the broker's own disks (KIP-405).
const EARLIEST_LOCAL: i64 = -4;
/// In place of a timestamp: the last offset that is in tiered storage (KIP-1005).
const LATEST_TIERED: i64 = -5;

/// An interactive shell for getting topic-partition offsets.
#[derive(Debug, Parser)]
struct GetOffsetsOptions {
    /// REQUIRED. The server(s) to connect to in the form HOST1:PORT1,HOST2:PORT2.
    #[arg(long, value_name = "String: HOST1:PORT1,...,HOST3:PORT3")]
    bootstrap_server: Option<String>,
    /// Patterns of topics and partitions, by commas: a regular expression, and behind a colon a number, or a range whose upper
    /// end is not meant. Either may be missing.
    #[arg(long, value_name = "String: topic1:1,topic2:0-3,topic3,topic4:5-,topic5:-3")]
    topic_partitions: Option<String>,
    /// The topic, or a regular expression; all topics without it. Not with --topic-partitions.
    #[arg(long, value_name = "String: topic")]
    topic: Option<String>,
    /// Numbers of partitions by commas; all partitions without it. Not with --topic-partitions.
    #[arg(long, value_name = "String: partition ids")]
    partitions: Option<String>,
    /// The timestamp whose offsets are wanted; nothing is printed where no record is that late (default: latest)
    #[arg(
        long,
        value_name = "String: <timestamp> / -1 or latest / -2 or earliest / -3 or max-timestamp / -4 or earliest-local / -5 or latest-tiered",
        default_value = "latest",
        allow_hyphen_values = true
    )]
    time: String,
    /// A file of properties for the client.
    #[arg(long, value_name = "String: config file")]
    command_config: Option<String>,
    /// Leave out internal topics.
    #[arg(long)]
    exclude_internal_topics: bool,
}

/// Which partitions are meant: those that fit any of the rules.
#[derive(Debug)]
struct PartitionFilter(Vec<(TopicFilter, PartitionRule)>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum PartitionRule {
    /// These; all if there are none.
    OneOf(Vec<i32>),
    /// From the first number on, up to the second, which is not meant.
    Range(i32, i32),
}

const COMPLAINTS: Complaints = Complaints { with_usage: false, unknown_option: "Error occurred: ", wrong_value: "" };

pub(super) fn run(arguments: Vec<OsString>) -> ExitCode {
    let options: GetOffsetsOptions = match parse_with("kafka-get-offsets", arguments, COMPLAINTS) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let Some(bootstrap) = &options.bootstrap_server else {
        return usage::<GetOffsetsOptions>("Missing required argument \"[bootstrap-server]\"");
    };
    let (filter, timestamp) = match wanted(&options) {
        Ok(wanted) => wanted,
        Err(what) => return failed(&format!("Error occurred: {what}")),
    };
    let properties_file = options.command_config.as_deref();
    let asking = Asking { bootstrap, properties_file, client_id: "GetOffsetShell", waits: true };
    match asking.run(async |client| offsets(client, &filter, timestamp, options.exclude_internal_topics).await) {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(failure) => failed(&format!("Error occurred: {failure}")),
    }
}

fn wanted(options: &GetOffsetsOptions) -> Result<(PartitionFilter, i64), String> {
    if options.topic_partitions.is_some() && (options.topic.is_some() || options.partitions.is_some()) {
        return Err("--topic-partitions cannot be used with --topic or --partitions".to_owned());
    }
    let timestamp = timestamp(&options.time)?;
    let filter = match &options.topic_partitions {
        Some(patterns) => PartitionFilter::from_patterns(patterns)?,
        None => PartitionFilter::of(options.topic.as_deref(), options.partitions.as_deref())?,
    };
    Ok((filter, timestamp))
}

fn timestamp(text: &str) -> Result<i64, String> {
    match text {
        "latest" => Ok(LATEST),
        "earliest" => Ok(EARLIEST),
        "max-timestamp" => Ok(MAX_TIMESTAMP),
        "earliest-local" => Ok(EARLIEST_LOCAL),
        "latest-tiered" => Ok(LATEST_TIERED),
        number => number.parse().map_err(|_| {
            format!(
                "Malformed time argument {number}. Please use -1 or latest / -2 or earliest / -3 or max-timestamp / -4 or \
                 earliest-local / -5 or latest-tiered, or a specified long format timestamp"
            )
        }),
    }
}

/// The lines for all partitions that are meant, by their names.
async fn offsets(
    client: &mut ClusterClient,
    filter: &PartitionFilter,
    timestamp: i64,
    excludes_internal: bool,
) -> Result<String, ToolFailure> {
    let mut partitions = Vec::new();
    for topic in client.all_topics().await? {
        let indexes = topic.partitions.iter().map(|partition| partition.index);
        let meant = indexes.filter(|index| filter.allows(&topic.name, *index, excludes_internal && topic.is_internal));
        partitions.extend(meant.map(|index| TopicPartition::new(&*topic.name, index)));
    }
    if partitions.is_empty() {
        return Err(ToolFailure::told("Could not match any topic-partitions with the specified filters"));
    }
    partitions.sort_by_cached_key(ToString::to_string);
    let wanted: Vec<_> = partitions.iter().map(|partition| (partition.clone(), timestamp)).collect();
    let listed = client.list_offsets(&wanted, false).await?;
    let mut text = String::new();
    for partition in &partitions {
        match listed.get(partition).copied().unwrap_or(Err(ErrorCode::UnknownServerError)) {
            Ok(listed) if listed.offset >= 0 => {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{}:{}:{}", partition.topic, partition.partition, listed.offset);
            }
            Ok(_) => {}
            Err(code) => {
                let exception = ClientError::Refused { code, message: None }.as_exception();
                eprintln!("Skip getting offsets for topic-partition {partition} due to error: {exception}");
            }
        }
    }
    Ok(text)
}

impl PartitionFilter {
    fn of(topic: Option<&str>, partitions: Option<&str>) -> Result<Self, String> {
        let given = partitions.unwrap_or_default();
        let numbers = given.split(',').filter(|_| !given.is_empty()).map(str::parse);
        let numbers = numbers.collect::<Result<_, _>>().map_err(|_| {
            format!("--partitions expects a comma separated list of numeric partition ids, but received: {given}")
        })?;
        Ok(Self(vec![(TopicFilter::new(topic.unwrap_or(".*"))?, PartitionRule::OneOf(numbers))]))
    }

    fn from_patterns(patterns: &str) -> Result<Self, String> {
        patterns.split(',').map(rule).collect::<Result<_, _>>().map(Self)
    }

    fn allows(&self, topic: &str, partition: i32, is_excluded: bool) -> bool {
        !is_excluded
            && self.0.iter().any(|(topics, partitions)| {
                topics.matches(topic)
                    && match partitions {
                        PartitionRule::OneOf(numbers) => numbers.is_empty() || numbers.contains(&partition),
                        PartitionRule::Range(from, to) => (*from..*to).contains(&partition),
                    }
            })
    }
}

/// One pattern: `topic:1`, `topic:1-3`, `:-3`, `topic`.
fn rule(pattern: &str) -> Result<(TopicFilter, PartitionRule), String> {
    let wrong = || format!("Invalid rule specification: {pattern}");
    let (topic, partitions) = pattern.split_once(':').unwrap_or((pattern, ""));
    let number = |text: &str, missing: i32| match text {
        "" => Ok(missing),
        text if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().map_err(|_| wrong()),
        _ => Err(wrong()),
    };
    let partitions = match partitions.split_once('-') {
        Some((from, to)) => PartitionRule::Range(number(from, 0)?, number(to, i32::MAX)?),
        None if partitions.is_empty() => PartitionRule::Range(0, i32::MAX),
        None => PartitionRule::OneOf(vec![number(partitions, 0)?]),
    };
    Ok((TopicFilter::new(if topic.is_empty() { ".*" } else { topic })?, partitions))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(filter: &PartitionFilter) -> Vec<String> {
        let all = ["a", "b"].into_iter().flat_map(|topic| (0..4).map(move |partition| (topic, partition)));
        let meant = all.filter(|(topic, partition)| filter.allows(topic, *partition, false));
        meant.map(|(topic, partition)| format!("{topic}{partition}")).collect()
    }

    #[test]
    fn partitions_are_meant_by_patterns() {
        let by = |patterns| allowed(&PartitionFilter::from_patterns(patterns).unwrap());
        assert_eq!(by("a:1,b:2-"), ["a1", "b2", "b3"]);
        assert_eq!(by(":-1"), ["a0", "b0"]);
        assert_eq!(by("[ac]:1-3"), ["a1", "a2"]);
        assert_eq!(by("b").len(), 4);
        let error = PartitionFilter::from_patterns("a:1:2").expect_err("two colons");
        assert_eq!(error, "Invalid rule specification: a:1:2");
    }

    #[test]
    fn partitions_are_meant_by_topic_and_numbers() {
        assert_eq!(allowed(&PartitionFilter::of(Some("a"), Some("0,3")).unwrap()), ["a0", "a3"]);
        assert_eq!(allowed(&PartitionFilter::of(None, None).unwrap()).len(), 8);
        assert!(PartitionFilter::of(None, Some("x")).is_err());
        assert_eq!((timestamp("-3"), timestamp("latest")), (Ok(MAX_TIMESTAMP), Ok(LATEST)));
        assert!(timestamp("now").expect_err("no time").starts_with("Malformed time argument now. Please"));
    }
}
