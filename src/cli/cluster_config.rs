//! `klamm cluster config`: the configs that brokers take while they run.

use clap::Args;

use super::Failure;
use super::changes::{ChangeArguments, origin, refused};
use super::connection::ConnectionArguments;
use super::output::{OutputFormat, Rows};
use crate::client::{ClientError, ClusterClient, ConfigChange};
use crate::config::{ConfigResourceType, ConfigSource, closest, keys};
use crate::ids::NodeId;

/// What `--help` shows.
const EXAMPLES: &str = "\
Examples:
  klamm cluster config                                        what is set for all brokers
  klamm cluster config --broker 1 --all                       everything that broker 1 goes by
  klamm cluster config --set log.retention.ms=86400000        for all brokers, at once";

/// What the keys begin with that are about one listener, whichever names listeners have.
const OF_A_LISTENER: &str = "listener.name.";

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
            check_keys(client, arguments.broker, &changes).await?;
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

/// Whether the broker has the keys that get a value; without one, any broker is asked.
///
/// Unlike Kafka, whose tool and brokers keep a value for any key since a plugin might read it: then nobody hears of a key
/// that is misspelled.
async fn check_keys(
    client: &mut ClusterClient,
    broker: Option<NodeId>,
    changes: &[ConfigChange],
) -> Result<(), Failure> {
    let set = changes.iter().filter_map(|change| match change {
        ConfigChange::Set(key, _) => Some(key.as_str()),
        ConfigChange::Delete(_) => None,
    });
    let set: Vec<_> = set.filter(|key| !key.starts_with(OF_A_LISTENER)).collect();
    let Some(id) = broker.or_else(|| client.broker_ids().first().copied()).filter(|_| !set.is_empty()) else {
        return Ok(());
    };
    let described = client.describe_configs(ConfigResourceType::Broker, &id.to_string(), false).await?;
    let known: Vec<_> = described.iter().map(|entry| entry.name.as_str()).collect();
    set.into_iter().find(|key| !known.contains(key)).map_or(Ok(()), |key| Err(unknown(key, id, &known)))
}

fn unknown(key: &str, broker: NodeId, known: &[&str]) -> Failure {
    let hint = closest(key, known.iter().copied()).map_or_else(
        || format!("klamm cluster config --broker {broker} --all shows the configs of a broker"),
        |near| format!("did you mean \"{near}\"?"),
    );
    Failure { what: format!("brokers have no config {key}"), hint: Some(hint) }
}

fn failure(broker: &str, error: &ClientError, changes: &[ConfigChange]) -> Failure {
    let whose = if broker.is_empty() { "all brokers".to_owned() } else { format!("broker {broker}") };
    let given = changes.iter().map(|change| match change {
        ConfigChange::Set(key, _) | ConfigChange::Delete(key) => key.as_str(),
    });
    let known: Vec<_> = keys::all().filter(|key| key.is_for_broker()).map(|key| key.name).collect();
    refused(&whose, error, given, &known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_no_broker_has_is_told_with_the_nearest() {
        let known = ["log.retention.ms", "message.max.bytes"];
        let near = unknown("log.retention.m", 1, &known);
        assert_eq!(near.what, "brokers have no config log.retention.m");
        assert_eq!(near.hint.as_deref(), Some("did you mean \"log.retention.ms\"?"));
        let far = unknown("no.such.key", 1, &known);
        assert_eq!(far.hint.as_deref(), Some("klamm cluster config --broker 1 --all shows the configs of a broker"));
    }
}
