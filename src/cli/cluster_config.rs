//! `klamm cluster config`: the configs that brokers take while they run.

use clap::Args;

use super::Failure;
use super::changes::{ChangeArguments, origin, refused};
use super::connection::ConnectionArguments;
use super::output::{OutputFormat, Rows};
use crate::client::{ClientError, ConfigChange};
use crate::config::{ConfigResourceType, ConfigSource, keys};
use crate::ids::NodeId;

/// What `--help` shows.
const EXAMPLES: &str = "\
Examples:
  klamm cluster config                                        what is set for all brokers
  klamm cluster config --broker 1 --all                       everything that broker 1 goes by
  klamm cluster config --set log.retention.ms=86400000        for all brokers, at once";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ClusterConfigArguments {
    /// Only this broker [default: what is set for all brokers together].
    #[arg(long, value_name = "ID")]
    broker: Option<NodeId>,
    /// Print everything, not only what differs from the defaults.
    #[arg(long, requires = "broker")]
    all: bool,
    #[command(flatten)]
    configs: ChangeArguments,
}

pub(super) fn run(
    arguments: &ClusterConfigArguments,
    connection: &ConnectionArguments,
    output: OutputFormat,
) -> Result<(), Failure> {
    let name = arguments.broker.map(|id| id.to_string()).unwrap_or_default();
    let changes = arguments.configs.changes();
    let entries = connection.run(async |client| {
        if let Some(id) = arguments.broker.filter(|id| !client.broker_ids().contains(id)) {
            let hint = Some("klamm cluster info shows the brokers".to_owned());
            return Err(Failure { what: format!("there is no broker {id}"), hint });
        }
        if !changes.is_empty() {
            let altered = client.alter_configs(ConfigResourceType::Broker, &name, &changes).await;
            altered.map_err(|error| failure(&name, &error, &changes))?;
        }
        let described = client.describe_configs(ConfigResourceType::Broker, &name, false).await;
        described.map_err(|error| failure(&name, &error, &[]))
    })?;
    let mut rows = Rows::new(&["config", "value", "from"]);
    for entry in entries.into_iter().filter(|entry| arguments.all || entry.source != ConfigSource::Default) {
        rows.push([entry.name.into(), entry.value.into(), origin(entry.source).into()]);
    }
    rows.print(output)
}

fn failure(broker: &str, error: &ClientError, changes: &[ConfigChange]) -> Failure {
    let whose = if broker.is_empty() { "all brokers".to_owned() } else { format!("broker {broker}") };
    let given = changes.iter().map(|change| match change {
        ConfigChange::Set(key, _) | ConfigChange::Delete(key) => key.as_str(),
    });
    let known: Vec<_> = keys::all().filter(|key| key.is_for_broker()).map(|key| key.name).collect();
    refused(&whose, error, given, &known)
}
