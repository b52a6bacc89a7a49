//! `klamm topic create`.

use std::process::ExitCode;

use clap::Args;

use super::super::changes::{refused, topic_keys};
use super::super::connection::ConnectionArguments;
use super::super::output::{OutputFormat, Rows};
use super::super::{Failure, key_and_value};
use crate::client::{ClientError, CreatedTopic, TopicToCreate};
use crate::protocol::ErrorCode;

/// What `--help` shows.
const EXAMPLES: &str = "\
Examples:
  klamm topic create orders payments -p 3
  klamm topic create latest -c cleanup.policy=compact -c segment.ms=60000
  klamm topic create orders --if-not-exists -o json";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CreateTopicsArguments {
    /// The topics.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// How many partitions each has [default: num.partitions of the cluster, which is 1 unless it was set].
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// How many brokers hold each partition [default: default.replication.factor of the cluster, 1 unless it was set].
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(i16).range(1..))]
    replicas: Option<i16>,
    /// A config, such as cleanup.policy=compact or retention.ms=86400000; can be repeated.
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = key_and_value)]
    config: Vec<(String, String)>,
    /// A topic that exists is no error; it stays as it is.
    #[arg(long)]
    if_not_exists: bool,
    /// Only ask whether the topics could be created.
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(
    arguments: &CreateTopicsArguments,
    connection: &ConnectionArguments,
    output: OutputFormat,
) -> Result<ExitCode, Failure> {
    let topics: Vec<_> = arguments.names.iter().map(|name| topic(arguments, name)).collect();
    let outcomes = connection.run(async |client| Ok(client.create_topics(&topics, arguments.dry_run).await?))?;
    let mut rows = Rows::new(&["name", "partitions", "replicas", "status"]);
    let mut failures = Vec::new();
    for (name, outcome) in outcomes.0 {
        let told = |number: i32| (number >= 0).then_some(number);
        match outcome {
            Ok(CreatedTopic { partitions, replication_factor }) => rows.push([
                name.as_ref().into(),
                told(partitions).into(),
                told(replication_factor.into()).into(),
                if arguments.dry_run { "possible" } else { "created" }.into(),
            ]),
            Err(error) if arguments.if_not_exists && error.code() == Some(ErrorCode::TopicAlreadyExists) => {
                rows.push([name.as_ref().into(), None::<i32>.into(), None::<i32>.into(), "exists".into()]);
            }
            Err(error) => failures.push(failure(arguments, &name, &error)),
        }
    }
    super::print_outcomes(&rows, &failures, output)
}

fn topic(arguments: &CreateTopicsArguments, name: &str) -> TopicToCreate {
    TopicToCreate {
        name: name.to_owned(),
        partitions: arguments.partitions,
        replication_factor: arguments.replicas,
        assignment: Vec::new(),
        configs: arguments.config.clone(),
    }
}

fn failure(arguments: &CreateTopicsArguments, name: &str, error: &ClientError) -> Failure {
    let whose = format!("topic {name}");
    match error.code() {
        Some(ErrorCode::TopicAlreadyExists) => Failure {
            what: format!("there is a topic {name} already"),
            hint: Some(format!("klamm topic describe {name} shows it; --if-not-exists leaves it as it is")),
        },
        Some(ErrorCode::InvalidReplicationFactor) => Failure {
            what: format!("{whose}: {error}"),
            hint: Some("klamm cluster info shows the brokers; --replicas 1 needs only one".to_owned()),
        },
        _ => refused(&whose, error, arguments.config.iter().map(|(key, _)| key.as_str()), &topic_keys()),
    }
}
