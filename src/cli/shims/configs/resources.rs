//! `kafka-configs` for topics, brokers, loggers, groups and subscriptions of client metrics.

use std::collections::BTreeSet;

use super::super::super::print::print;
use super::super::asking::ToolFailure;
use super::super::java::in_hash_order;
use super::ConfigsFailure;
use crate::client::{ClusterClient, ConfigChange, ConfigEntry};
use crate::config::{ConfigResourceType, ConfigSource};
use crate::metadata::topic_name;

/// What an entity type stands for, unless it is about quotas.
pub(super) fn kind(entity_type: &str) -> Option<ConfigResourceType> {
    Some(match entity_type {
        "topics" => ConfigResourceType::Topic,
        "brokers" => ConfigResourceType::Broker,
        "broker-loggers" => ConfigResourceType::BrokerLogger,
        "client-metrics" => ConfigResourceType::ClientMetrics,
        "groups" => ConfigResourceType::Group,
        _ => return None,
    })
}

/// The word for one of a type: `topic` for `topics`. Kafka takes off the last letter, whatever it is.
pub(super) fn singular(entity_type: &str) -> &str {
    entity_type.get(..entity_type.len().saturating_sub(1)).unwrap_or_default()
}

pub(super) async fn describe(
    client: &mut ClusterClient,
    entity_type: &str,
    kind: ConfigResourceType,
    name: Option<&String>,
    all: bool,
) -> Result<(), ConfigsFailure> {
    let names = match name {
        Some(name) if !all && !exists(client, kind, name).await? => {
            let one = singular(entity_type);
            print(&format!("The {one} '{name}' doesn't exist and doesn't have dynamic config.\n"));
            return Ok(());
        }
        Some(name) => vec![name.clone()],
        None => names_of(client, kind).await?,
    };
    for name in names {
        if name.is_empty() {
            print(&format!("Default configs for {entity_type} in the cluster are:\n"));
        } else {
            let which = if all { "All" } else { "Dynamic" };
            print(&format!("{which} configs for {} {name} are:\n", singular(entity_type)));
        }
        let entries = entries(client, kind, &name, all).await?;
        print(&entries.iter().map(entry_text).collect::<String>());
    }
    Ok(())
}

fn entry_text(entry: &ConfigEntry) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".to_owned());
    let synonyms = entry.synonyms.iter().map(|(layer, name, value)| format!("{layer}:{name}={}", text(value)));
    let synonyms = synonyms.collect::<Vec<_>>().join(", ");
    format!("  {}={} sensitive={} synonyms={{{synonyms}}}\n", entry.name, text(&entry.value), entry.is_sensitive)
}

pub(super) async fn alter(
    client: &mut ClusterClient,
    kind: ConfigResourceType,
    name: &str,
    added: Vec<(String, String)>,
    deleted: Vec<String>,
) -> Result<(), ConfigsFailure> {
    let known: BTreeSet<_> = entries(client, kind, name, false).await?.into_iter().map(|entry| entry.name).collect();
    let mut unknown: Vec<_> = deleted.iter().filter(|key| !known.contains(*key)).cloned().collect();
    if kind == ConfigResourceType::BrokerLogger {
        unknown.extend(added.iter().map(|(logger, _)| logger).filter(|logger| !known.contains(*logger)).cloned());
    }
    if !unknown.is_empty() {
        let what = if kind == ConfigResourceType::BrokerLogger { "broker logger" } else { "config" };
        return Err(ToolFailure::told(format!("Invalid {what}(s): {}", unknown.join(","))).into());
    }
    let set = added.into_iter().map(|(key, value)| ConfigChange::Set(key, value));
    let changes: Vec<_> = set.chain(deleted.into_iter().map(ConfigChange::Delete)).collect();
    Ok(client.alter_configs(kind, name, &changes).await?)
}

/// The keys of an entity: all of them, or those that were set for it.
async fn entries(
    client: &mut ClusterClient,
    kind: ConfigResourceType,
    name: &str,
    all: bool,
) -> Result<Vec<ConfigEntry>, ConfigsFailure> {
    if let Some(reason) = topic_name::reason_invalid(name).filter(|_| kind == ConfigResourceType::Topic) {
        return Err(ToolFailure::told(format!("Topic name is invalid: {reason}")).into());
    }
    let own = match kind {
        ConfigResourceType::Topic => Some(ConfigSource::Topic),
        ConfigResourceType::Broker if name.is_empty() => Some(ConfigSource::DynamicDefaultBroker),
        ConfigResourceType::Broker => Some(ConfigSource::DynamicBroker),
        ConfigResourceType::BrokerLogger => None,
        ConfigResourceType::ClientMetrics => Some(ConfigSource::ClientMetrics),
        ConfigResourceType::Group => Some(ConfigSource::Group),
    };
    let mut entries = client.describe_configs(kind, name, true).await?;
    entries.retain(|entry| all || own.is_none_or(|own| entry.source == own));
    Ok(entries)
}

/// Whether an entity is there, or is known by its configs.
async fn exists(client: &mut ClusterClient, kind: ConfigResourceType, name: &str) -> Result<bool, ConfigsFailure> {
    if kind == ConfigResourceType::Topic {
        // An invalid name is an error rather than a topic that is missing.
        let names = names_of(client, kind).await?;
        return Ok(names.iter().any(|known| known == name) || topic_name::reason_invalid(name).is_some());
    }
    Ok(names_of(client, kind).await?.iter().any(|known| known == name))
}

/// The names of all entities of a kind; the empty one is the default of all brokers.
async fn names_of(client: &mut ClusterClient, kind: ConfigResourceType) -> Result<Vec<String>, ConfigsFailure> {
    Ok(match kind {
        ConfigResourceType::Topic => {
            let topics = client.all_topics().await?;
            in_hash_order(topics.into_iter().map(|topic| topic.name.to_string()).collect(), 16, |name: &String| name)
        }
        ConfigResourceType::Broker | ConfigResourceType::BrokerLogger => {
            let brokers = client.describe_cluster().await?.brokers;
            brokers.iter().map(|broker| broker.id.to_string()).chain([String::new()]).collect()
        }
        ConfigResourceType::ClientMetrics => client.config_resources(kind).await?,
        ConfigResourceType::Group => {
            let listed = client.list_groups(&[], &[]).await?;
            let mut names: BTreeSet<String> = listed.into_iter().map(|group| group.group_id).collect();
            names.extend(client.config_resources(kind).await?);
            names.into_iter().collect()
        }
    })
}
