//! What `AlterConfigs` and `IncrementalAlterConfigs` have in common (`ConfigAdminManager`): the broker checks a request and
//! its own configuration, and the controller checks and keeps the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::RequestContext;
use super::asked_configs::{AskedKey, AskedResource};
use super::config_resource::{authorize, broker_id};
use super::config_rules::TableRules;
use crate::broker::Broker;
use crate::config::alter_config_op::{APPEND, DELETE, SET, SUBTRACT};
use crate::config::{ConfigResourceType, Kind, keys};
use crate::controller::{AlterConfigs, ConfigAlteration, ConfigOperation, ConfigsChange, Refusal};
use crate::metadata::ConfigResource;
use crate::protocol::ErrorCode;
use crate::security::Operation;

/// Carries out what a request asks for, each resource by itself; one result per resource, in the request's order.
/// `is_incremental` says which of the two APIs it came by.
pub(super) async fn alter(
    broker: &Broker,
    context: &RequestContext,
    asked: Vec<AskedResource>,
    is_incremental: bool,
    validate_only: bool,
) -> Vec<Result<(), Refusal>> {
    let repeated = repeated(&asked);
    let mut results = Vec::with_capacity(asked.len());
    let mut alterations = Vec::new();
    for resource in asked {
        let is_repeated = repeated.contains(&(resource.type_id, resource.name.clone()));
        let checked = if is_repeated {
            Err(Refusal::new(ErrorCode::InvalidRequest, "Each resource must appear at most once."))
        } else {
            check(broker, context, resource, is_incremental, validate_only)
        };
        results.push(match checked {
            Ok(Some(alteration)) => {
                alterations.push(alteration);
                None
            }
            Ok(None) => Some(Ok(())),
            Err(refusal) => Some(Err(refusal)),
        });
    }
    let mut altered = submit(broker, alterations, validate_only).await.into_iter();
    results.into_iter().map(|result| result.or_else(|| altered.next()).unwrap_or(Ok(()))).collect()
}

/// The resources that are named more than once.
fn repeated(asked: &[AskedResource]) -> BTreeSet<(i8, String)> {
    let mut seen = BTreeSet::new();
    let names = asked.iter().map(|resource| (resource.type_id, resource.name.clone()));
    names.filter(|name| !seen.insert(name.clone())).collect()
}

/// Has the controller keep the changes, and waits until this broker goes by them.
async fn submit(broker: &Broker, resources: Vec<ConfigAlteration>, validate_only: bool) -> Vec<Result<(), Refusal>> {
    if resources.is_empty() {
        return Vec::new();
    }
    let count = resources.len();
    let rules = Arc::new(TableRules(broker.config.snapshot()));
    let all = |refusal: Refusal| vec![Err(refusal); count];
    let committed = match broker.controller.alter_configs(AlterConfigs { resources, validate_only, rules }).await {
        Ok(committed) => committed,
        Err(code) => return all(Refusal::new(code, String::new())),
    };
    match committed.response {
        Ok(results) => match broker.replicas_applied(committed.image_offset).await {
            Ok(()) => results,
            Err(code) => all(Refusal::new(code, String::new())),
        },
        Err(refusal) => all(refusal),
    }
}

/// What the controller is to be asked for; `None` where there is nothing left to ask.
fn check(
    broker: &Broker,
    context: &RequestContext,
    asked: AskedResource,
    is_incremental: bool,
    validate_only: bool,
) -> Result<Option<ConfigAlteration>, Refusal> {
    let invalid = |message: String| Refusal::new(ErrorCode::InvalidRequest, message);
    expect_sound(&asked)?;
    // Loggers are no configuration that is kept, and the older API does not reach them.
    let known = ConfigResourceType::from_id(asked.type_id);
    let known = known.filter(|one| is_incremental || *one != ConfigResourceType::BrokerLogger);
    let resource_type = known.ok_or_else(|| invalid(format!("Unknown resource type {}", asked.type_id)))?;
    let denied = |code| Refusal::new(code, String::new());
    authorize(resource_type, context, Operation::AlterConfigs, &asked.name).map_err(denied)?;
    let resource = match resource_type {
        ConfigResourceType::Topic => ConfigResource::Topic(asked.name.as_str().into()),
        ConfigResourceType::ClientMetrics => ConfigResource::ClientMetrics(asked.name.as_str().into()),
        ConfigResourceType::Group => ConfigResource::Group(asked.name.as_str().into()),
        ConfigResourceType::BrokerLogger => {
            super::broker_loggers::alter(broker, &asked, validate_only)?;
            return Ok(None);
        }
        ConfigResourceType::Broker if asked.name.is_empty() => ConfigResource::Broker(None),
        ConfigResourceType::Broker => {
            let id = broker_id("Node", &asked.name).map_err(invalid)?;
            if id != broker.node_id {
                let message = format!("Unexpected broker id, expected {}, but received {}", broker.node_id, asked.name);
                return Err(invalid(message));
            }
            ConfigResource::Broker(Some(id))
        }
    };
    let change = change(asked.keys, is_incremental)?;
    if let ConfigResource::Broker(id) = &resource {
        let after = proposed(broker, &resource, &change)?;
        let checked = broker.config.snapshot().validate_dynamic(&after, id.is_none());
        checked.map_err(|error| invalid(error.to_string()))?;
    }
    Ok(Some(ConfigAlteration { resource, change }))
}

/// No key twice, and no value missing.
fn expect_sound(asked: &AskedResource) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    if !asked.keys.iter().all(|key| seen.insert(&key.name)) {
        return Err(Refusal::new(ErrorCode::InvalidRequest, "Error due to duplicate config keys"));
    }
    let lacks_value = |key: &&AskedKey| key.value.is_none() && key.operation != Some(DELETE);
    let without: Vec<&str> = asked.keys.iter().filter(lacks_value).map(|key| key.name.as_str()).collect();
    if without.is_empty() {
        return Ok(());
    }
    let message = format!("Null value not supported for : {}", without.join(", "));
    Err(Refusal::new(ErrorCode::InvalidRequest, message))
}

fn change(keys: Vec<AskedKey>, is_incremental: bool) -> Result<ConfigsChange, Refusal> {
    if !is_incremental {
        let configs = keys.into_iter().filter_map(|key| Some((key.name, key.value?)));
        return Ok(ConfigsChange::Replace(configs.collect()));
    }
    let operation = |key: AskedKey| {
        let value = key.value.unwrap_or_default();
        let operation = match key.operation.unwrap_or(SET) {
            SET => ConfigOperation::Set(value),
            DELETE => ConfigOperation::Delete,
            APPEND => ConfigOperation::Append(value),
            SUBTRACT => ConfigOperation::Subtract(value),
            other => {
                return Err(Refusal::new(ErrorCode::InvalidRequest, format!("Unknown operations type {other}")));
            }
        };
        Ok((key.name, operation))
    };
    Ok(ConfigsChange::Incremental(keys.into_iter().map(operation).collect::<Result<_, _>>()?))
}

/// What a broker's dynamic configuration would be, to be checked; the controller computes it anew from what it then has.
fn proposed(
    broker: &Broker,
    resource: &ConfigResource,
    change: &ConfigsChange,
) -> Result<BTreeMap<String, String>, Refusal> {
    let operations = match change {
        ConfigsChange::Replace(configs) => return Ok(configs.clone()),
        ConfigsChange::Incremental(operations) => operations,
    };
    let mut after = broker.image().configs(resource).cloned().unwrap_or_default();
    for (key, operation) in operations {
        let current = after.get(key).cloned();
        let list = |name: &str| {
            let row = keys::dynamic_broker_key(key).filter(|row| row.kind == Kind::List).ok_or_else(|| {
                let message = format!("Config value {name} is not allowed for config key: {key}");
                Refusal::new(ErrorCode::InvalidConfig, message)
            })?;
            Ok(current.clone().unwrap_or_else(|| row.default.unwrap_or_default().to_owned()))
        };
        match operation {
            ConfigOperation::Set(value) => drop(after.insert(key.clone(), value.clone())),
            ConfigOperation::Delete => drop(after.remove(key)),
            // Whether the items may stand in the list is checked with the items alone: all of them stay.
            ConfigOperation::Append(items) => {
                let list = list("append")?;
                let joined = if list.is_empty() { items.clone() } else { format!("{list},{items}") };
                after.insert(key.clone(), joined);
            }
            ConfigOperation::Subtract(_) => {
                let list = list("subtract")?;
                after.insert(key.clone(), list);
            }
        }
    }
    Ok(after)
}

/// The code and the message of a result, as both APIs answer them.
pub(super) fn told(result: Result<(), Refusal>) -> (i16, Option<String>) {
    match result {
        Ok(()) => (0, None),
        Err(refusal) => (refusal.code.code(), Some(refusal.message).filter(|message| !message.is_empty())),
    }
}
