//! `kafka-topics` (`org.apache.kafka.tools.TopicCommand`).

mod describe;
mod options;

use std::ffi::OsString;
use std::process::ExitCode;

use super::super::print::print;
use super::arguments::parse;
use super::asking::{Asking, ToolFailure};
use super::topic_filter::TopicFilter;
use crate::client::{ClusterClient, PartitionIncrease, TopicDescription, TopicToCreate};
use crate::ids::TopicName;
use crate::metadata::topic_name;
use crate::protocol::ErrorCode;
use options::{TopicOptions, number};

pub(super) fn run(arguments: Vec<OsString>) -> ExitCode {
    let options: TopicOptions = match parse("kafka-topics", arguments) {
        Ok(options) => options,
        Err(code) => return code,
    };
    if let Err(code) = options.check() {
        return code;
    }
    let asking = Asking {
        bootstrap: options.bootstrap_server.as_deref().unwrap_or_default(),
        properties_file: options.command_config.as_deref(),
        client_id: "adminclient-1",
        waits: true,
    };
    match asking.run(async |client| act(client, &options).await) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Kafka's tool tells it on stdout.
            print(&format!("Error while executing topic command : {failure}\n"));
            ExitCode::FAILURE
        }
    }
}

async fn act(client: &mut ClusterClient, options: &TopicOptions) -> Result<(), ToolFailure> {
    if options.create {
        create(client, options).await
    } else if options.alter {
        alter(client, options).await
    } else if options.list {
        let topics = named(client, options).await?;
        print(&(topics.join("\n") + "\n"));
        Ok(())
    } else if options.describe {
        describe::describe(client, options).await
    } else {
        delete(client, options).await
    }
}

async fn create(client: &mut ClusterClient, options: &TopicOptions) -> Result<(), ToolFailure> {
    let name = options.topic.as_deref().unwrap_or_default();
    let topic = TopicToCreate {
        name: name.to_owned(),
        partitions: number("partitions", options.partitions.as_ref())?,
        replication_factor: None,
        assignment: options.assignment()?,
        configs: options.configs()?,
    };
    if topic_name::has_collision_characters(name) {
        print(
            "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could collide. To avoid issues it is best to use either, but not both.\n",
        );
    }
    let replication_factor = number("replication-factor", options.replication_factor.as_ref())?;
    let replication_factor = replication_factor.map(|factor| i16::try_from(factor).ok().filter(|factor| *factor > 0));
    if replication_factor == Some(None) {
        return Err(ToolFailure::told(format!("The replication factor must be between 1 and {} inclusive", i16::MAX)));
    }
    if topic.partitions.is_some_and(|partitions| partitions < 1) {
        return Err(ToolFailure::told("The partitions must be greater than 0"));
    }
    let topic = TopicToCreate { replication_factor: replication_factor.flatten(), ..topic };
    match client.create_topics(&[topic], false).await?.all() {
        Ok(_) => print(&format!("Created topic {name}.\n")),
        Err(error) if options.if_not_exists && error.code() == Some(ErrorCode::TopicAlreadyExists) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

async fn alter(client: &mut ClusterClient, options: &TopicOptions) -> Result<(), ToolFailure> {
    let assignment = options.assignment()?;
    let total = number("partitions", options.partitions.as_ref())?.unwrap_or_default();
    let topics = existing(client, options).await?;
    let mut increases = Vec::new();
    for (_, topic) in client.topics(&topics).await? {
        let topic = topic.map_err(|code| crate::client::ClientError::Refused { code, message: None })?;
        // What is said of partitions that are there already is passed over.
        let assignment = assignment.get(topic.partitions.len()..).unwrap_or_default().to_vec();
        increases.push(PartitionIncrease { topic: topic.name.to_string(), total, assignment });
    }
    if !increases.is_empty() {
        client.create_partitions(&increases).await?.all()?;
    }
    Ok(())
}

async fn delete(client: &mut ClusterClient, options: &TopicOptions) -> Result<(), ToolFailure> {
    let topics = existing(client, options).await?;
    if !topics.is_empty() {
        client.delete_topics(&topics).await?.all()?;
    }
    Ok(())
}

/// The topics that `--topic` matches, all of them without it, by name.
async fn named(client: &mut ClusterClient, options: &TopicOptions) -> Result<Vec<TopicName>, ToolFailure> {
    let all = listed(client, options).await?;
    let names = all.into_iter().map(|topic| topic.name);
    match &options.topic {
        Some(expression) => {
            let filter = TopicFilter::new(expression).map_err(ToolFailure::Told)?;
            Ok(names.filter(|name| filter.matches(name)).collect())
        }
        None => Ok(names.collect()),
    }
}

/// As [`named`], where the topic must exist unless `--if-exists` says that it need not.
async fn existing(client: &mut ClusterClient, options: &TopicOptions) -> Result<Vec<TopicName>, ToolFailure> {
    let topics = named(client, options).await?;
    match options.topic.as_deref().filter(|topic| !topic.is_empty()) {
        Some(topic) if topics.is_empty() && !options.if_exists => {
            Err(ToolFailure::told(format!("Topic '{topic}' does not exist as expected")))
        }
        _ => Ok(topics),
    }
}

async fn listed(client: &mut ClusterClient, options: &TopicOptions) -> Result<Vec<TopicDescription>, ToolFailure> {
    let mut all = client.all_topics().await?;
    all.retain(|topic| !(options.exclude_internal && topic.is_internal));
    Ok(all)
}
