//! `klamm topic alter`.

use std::process::ExitCode;

use clap::{ArgGroup, Args};

use super::super::Failure;
use super::super::changes::{ChangeArguments, refused, topic_keys};
use super::super::connection::ConnectionArguments;
use super::super::output::{OutputFormat, Rows};
use super::failure;
use crate::client::{ClientError, ClusterClient, ConfigChange, PartitionIncrease};
use crate::config::ConfigResourceType;
use crate::protocol::ErrorCode;

/// What `--help` shows.
const EXAMPLES: &str = "\
Examples:
  klamm topic alter orders -p 6
  klamm topic alter orders --set retention.ms=86400000 --unset cleanup.policy";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("change").required(true).multiple(true).args(["partitions", "set", "unset"]))]
pub(super) struct AlterTopicArguments {
    /// The topic.
    #[arg(value_name = "NAME")]
    name: String,
    /// How many partitions it is to have; they can only become more.
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    #[command(flatten)]
    configs: ChangeArguments,
}

pub(super) fn run(
    arguments: &AlterTopicArguments,
    connection: &ConnectionArguments,
    output: OutputFormat,
) -> Result<ExitCode, Failure> {
    let changes = arguments.configs.changes();
    connection.run(async |client| {
        // Configs first: they are refused as a whole, and partitions cannot be taken back.
        if !changes.is_empty() {
            let altered = client.alter_configs(ConfigResourceType::Topic, &arguments.name, &changes).await;
            if let Err(error) = altered {
                return Err(config_failure(client, &arguments.name, error, &changes).await);
            }
        }
        if let Some(total) = arguments.partitions {
            let increase = PartitionIncrease { topic: arguments.name.clone(), total, assignment: Vec::new() };
            if let Err(error) = client.create_partitions(&[increase]).await?.all() {
                return Err(failure(client, &arguments.name, error).await);
            }
        }
        Ok(())
    })?;
    let mut rows = Rows::new(&["name", "key", "value"]);
    for change in changes {
        let (key, value) = match change {
            ConfigChange::Set(key, value) => (key, Some(value)),
            ConfigChange::Delete(key) => (key, None),
        };
        rows.push([arguments.name.clone().into(), key.into(), value.into()]);
    }
    if let Some(total) = arguments.partitions {
        rows.push([arguments.name.clone().into(), "partitions".into(), total.into()]);
    }
    super::print_outcomes(&rows, &[], output)
}

async fn config_failure(
    client: &mut ClusterClient,
    name: &str,
    error: ClientError,
    changes: &[ConfigChange],
) -> Failure {
    if error.code() != Some(ErrorCode::InvalidConfig) {
        return failure(client, name, error).await;
    }
    let keys = changes.iter().map(|change| match change {
        ConfigChange::Set(key, _) | ConfigChange::Delete(key) => key.as_str(),
    });
    refused(&format!("topic {name}"), &error, keys, &topic_keys())
}
