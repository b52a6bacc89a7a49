//! `AlterConfigs` and `IncrementalAlterConfigs`: Kafka's `ConfigurationControlManager`.
//!
//! The controller computes what a resource's keys will be and keeps them; which keys there are, and which values they
//! take, is told to it by the [`ConfigRules`] that come with a request.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::election::NO_LEADER;
use super::partition_changes::{MIN_INSYNC_REPLICAS, change_of};
use super::{Controller, MAX_RECORDS_PER_REQUEST, Refusal};
use crate::metadata::{
    ConfigRecord, ConfigResource, MetadataRecord, PartitionChange, PartitionImage, TopicImage, TopicRecord,
};
use crate::protocol::ErrorCode;

/// The longest value of a key, in UTF-16 units as Kafka counts them: Java's `Short.MAX_VALUE`.
const MAX_VALUE_LENGTH: usize = 32_767;

/// Configurations shall change, each by itself: one that is refused does not keep the others from it.
#[derive(Debug, Clone)]
pub struct AlterConfigs {
    /// What shall change. The caller has refused resources that were named twice.
    pub resources: Vec<ConfigAlteration>,
    /// Only tell what would happen.
    pub validate_only: bool,
    /// What is valid.
    pub rules: Arc<dyn ConfigRules>,
}

/// The change of one resource's configuration.
#[derive(Debug, Clone)]
pub struct ConfigAlteration {
    /// The resource.
    pub resource: ConfigResource,
    /// What becomes of its keys.
    pub change: ConfigsChange,
}

/// What becomes of a resource's keys. The caller has refused keys that were named twice, and missing values.
#[derive(Debug, Clone)]
pub enum ConfigsChange {
    /// These keys are set, and all others are removed: `AlterConfigs`.
    Replace(BTreeMap<String, String>),
    /// Each of these keys is changed, and all others stay: `IncrementalAlterConfigs`.
    Incremental(BTreeMap<String, ConfigOperation>),
}

/// What is done to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigOperation {
    /// It gets this value.
    Set(String),
    /// It is removed, and so has its default again.
    Delete,
    /// Those of these items, with commas in between, that its list does not have are added at the end.
    Append(String),
    /// These items, with commas in between, are taken out of its list.
    Subtract(String),
}

/// What is valid in configurations, as pure functions.
pub trait ConfigRules: fmt::Debug + Send + Sync {
    /// For a key that holds a list, the default of the list (empty if it has none), from which a change of the key starts
    /// while it is not set; `None` for every other key.
    fn list_default(&self, resource: &ConfigResource, key: &str) -> Option<String>;

    /// Whether `resource` can have `after`, all its keys with their values, where it has `before` now.
    ///
    /// Errors: Kafka's code (`INVALID_CONFIG`, `INVALID_REQUEST`, ...) and its sentence.
    fn validate(
        &self,
        resource: &ConfigResource,
        after: &BTreeMap<String, String>,
        before: &BTreeMap<String, String>,
    ) -> Result<(), Refusal>;
}

/// Keys that get a value, or lose theirs, in the order of the records.
type Changes = Vec<(String, Option<String>)>;

impl Controller {
    /// One result per resource, in the request's order; or the error that concerns them all.
    pub(super) fn alter_configs(
        &self,
        request: &AlterConfigs,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<Vec<Result<(), Refusal>>, Refusal> {
        let mut altered = Vec::new();
        let results = request
            .resources
            .iter()
            .map(|alteration| self.alter_config(alteration, request.rules.as_ref(), &mut altered))
            .collect();
        if altered.len() > MAX_RECORDS_PER_REQUEST {
            return Err(Refusal::too_many_records());
        }
        if !request.validate_only {
            records.append(&mut altered);
        }
        Ok(results)
    }

    fn alter_config(
        &self,
        alteration: &ConfigAlteration,
        rules: &dyn ConfigRules,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<(), Refusal> {
        let resource = &alteration.resource;
        let none = BTreeMap::new();
        let before = self.image.configs(resource).unwrap_or(&none);
        let changes = match &alteration.change {
            ConfigsChange::Replace(configs) => replace(resource, before, configs),
            ConfigsChange::Incremental(operations) => increment(resource, before, operations, rules)?,
        };
        let mut after = before.clone();
        for (key, value) in &changes {
            match value {
                None => after.remove(key),
                Some(value) if value.encode_utf16().count() > MAX_VALUE_LENGTH => {
                    let message = format!(
                        "The configuration value cannot be added because it exceeds the maximum value size of \
                         {MAX_VALUE_LENGTH} bytes."
                    );
                    return Err(Refusal::new(ErrorCode::InvalidConfig, message));
                }
                Some(value) => after.insert(key.clone(), value.clone()),
            };
        }
        rules.validate(resource, &after, before)?;
        let alters_min_isr =
            changes.iter().any(|(key, value)| key == MIN_INSYNC_REPLICAS && value.as_ref() != before.get(key));
        records.extend(self.config_records(resource, changes)?);
        if alters_min_isr {
            self.forget_eligible_leaders(resource, records);
        }
        Ok(())
    }

    /// Where fewer replicas in sync may be enough now, something may be committed that those who have left do not have.
    ///
    /// Unlike Kafka, a partition without a leader keeps its eligible leaders: nothing is committed to it.
    fn forget_eligible_leaders(&self, resource: &ConfigResource, records: &mut Vec<MetadataRecord>) {
        let is_meant = |topic: &TopicImage| match resource {
            ConfigResource::Topic(name) => topic.name == *name,
            ConfigResource::Broker(None) => true,
            ConfigResource::Broker(Some(_)) | ConfigResource::ClientMetrics(_) | ConfigResource::Group(_) => false,
        };
        for topic in self.image.topics().filter(|topic| is_meant(topic)) {
            let has_eligible = |state: &PartitionImage| state.leader != NO_LEADER && !state.elr.is_empty();
            for (partition, _) in (0..).zip(&topic.partitions).filter(|(_, state)| has_eligible(state)) {
                let change = PartitionChange { elr: Some(Vec::new()), ..PartitionChange::default() };
                records.push(change_of(topic.id, partition, change));
            }
        }
    }

    /// The records of what changes, if the resource is there.
    fn config_records(&self, resource: &ConfigResource, changes: Changes) -> Result<Vec<MetadataRecord>, Refusal> {
        match resource {
            ConfigResource::Topic(name) => {
                let topic_id = self.image.topic(name).map(|topic| topic.id).ok_or_else(|| {
                    let message = format!("The topic '{name}' does not exist.");
                    Refusal::new(ErrorCode::UnknownTopicOrPartition, message)
                })?;
                let record = |(key, value)| TopicRecord::TopicConfig { topic_id, key, value }.into();
                Ok(changes.into_iter().map(record).collect())
            }
            ConfigResource::Broker(Some(id)) if self.image.broker(*id).is_none() => {
                Err(Refusal::new(ErrorCode::BrokerIdNotRegistered, format!("No node with id {id} found.")))
            }
            ConfigResource::Broker(_) | ConfigResource::ClientMetrics(_) | ConfigResource::Group(_) => {
                let record = |(key, value)| ConfigRecord::Config { resource: resource.clone(), key, value }.into();
                Ok(changes.into_iter().map(record).collect())
            }
        }
    }
}

/// Whether a key that keeps its value is written all the same: so that brokers read a file that a value names anew, as in
/// Kafka.
fn is_written(resource: &ConfigResource, before: Option<&String>, after: Option<&String>) -> bool {
    before != after || matches!(resource, ConfigResource::Broker(_))
}

fn replace(
    resource: &ConfigResource,
    before: &BTreeMap<String, String>,
    configs: &BTreeMap<String, String>,
) -> Changes {
    let set = configs.iter().filter(|(key, value)| is_written(resource, before.get(*key), Some(*value)));
    let removed = before.keys().filter(|key| !configs.contains_key(*key));
    let set = set.map(|(key, value)| (key.clone(), Some(value.clone())));
    set.chain(removed.map(|key| (key.clone(), None))).collect()
}

fn increment(
    resource: &ConfigResource,
    before: &BTreeMap<String, String>,
    operations: &BTreeMap<String, ConfigOperation>,
    rules: &dyn ConfigRules,
) -> Result<Changes, Refusal> {
    let mut changes = Vec::new();
    for (key, operation) in operations {
        let current = before.get(key);
        let list = |name: &str| {
            let default = rules.list_default(resource, key).ok_or_else(|| {
                let message = format!("Can't {name} to key {key} because its type is not LIST.");
                Refusal::new(ErrorCode::InvalidConfig, message)
            })?;
            let items = current.map_or(default.as_str(), String::as_str).split(',');
            Ok(items.filter(|item| !item.is_empty()).map(str::to_owned).collect::<Vec<_>>())
        };
        let value = match operation {
            ConfigOperation::Set(value) => Some(value.clone()),
            ConfigOperation::Delete => None,
            ConfigOperation::Append(items) => Some(appended(list("APPEND")?, items)),
            ConfigOperation::Subtract(items) => Some(subtracted(list("SUBTRACT")?, items)),
        };
        if is_written(resource, current, value.as_ref()) {
            changes.push((key.clone(), value));
        }
    }
    Ok(changes)
}

/// The items of a list; a comma at its end, as Java splits, begins no other one.
fn items(list: &str) -> impl Iterator<Item = &str> {
    list.trim_end_matches(',').split(',')
}

fn appended(mut list: Vec<String>, added: &str) -> String {
    for item in items(added) {
        if !list.iter().any(|known| known == item) {
            list.push(item.to_owned());
        }
    }
    list.join(",")
}

/// Takes each item out once, where it comes first.
fn subtracted(mut list: Vec<String>, taken: &str) -> String {
    for item in items(taken) {
        if let Some(place) = list.iter().position(|known| known == item) {
            list.remove(place);
        }
    }
    list.join(",")
}
