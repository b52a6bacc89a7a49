//! The levels of loggers, which IncrementalAlterConfigs sets until the process ends (`RuntimeLoggerManager`, KIP-412).

use std::collections::BTreeMap;

use super::asked_configs::AskedResource;
use super::config_resource::broker_id;
use crate::broker::Broker;
use crate::broker::loggers::{LogLevel, ROOT_LOGGER};
use crate::config::alter_config_op::{APPEND, DELETE, SET, SUBTRACT};
use crate::controller::Refusal;
use crate::protocol::ErrorCode;

/// The loggers with their levels; none where whoever started the broker keeps logging to itself.
pub(super) fn levels(broker: &Broker) -> BTreeMap<String, LogLevel> {
    broker.loggers.as_ref().map(|loggers| loggers.levels()).unwrap_or_default()
}

/// Carries out what is asked for, all of it or nothing.
pub(super) fn alter(broker: &Broker, asked: &AskedResource, validate_only: bool) -> Result<(), Refusal> {
    let invalid = |message: String| Refusal::new(ErrorCode::InvalidRequest, message);
    let id = broker_id("Node", &asked.name).map_err(invalid)?;
    if id != broker.node_id {
        return Err(invalid(format!("Unexpected node id. Expected {}, but received {id}", broker.node_id)));
    }
    let changes = changes(asked, &levels(broker))?;
    if let Some(loggers) = broker.loggers.as_ref().filter(|_| !validate_only) {
        loggers.set(&changes);
        for (logger, level) in &changes {
            let level = level.map_or("that of the logger above it", LogLevel::name);
            tracing::info!("the level of the logger {logger} is now {level}");
        }
    }
    Ok(())
}

/// Kafka's checks, in its order.
fn changes(
    asked: &AskedResource,
    known: &BTreeMap<String, LogLevel>,
) -> Result<Vec<(String, Option<LogLevel>)>, Refusal> {
    let invalid = |message: String| Err(Refusal::new(ErrorCode::InvalidRequest, message));
    let mut changes = Vec::new();
    for key in &asked.keys {
        let name = &key.name;
        let missing = || Refusal::new(ErrorCode::InvalidConfig, format!("Logger {name} does not exist!"));
        let exists = || known.get(name).map(drop).ok_or_else(missing);
        match key.operation.unwrap_or(SET) {
            SET => {
                exists()?;
                let wanted = key.value.as_deref().unwrap_or_default();
                let level = LogLevel::from_name(wanted).ok_or_else(|| unknown_level(name, wanted))?;
                changes.push((name.clone(), Some(level)));
            }
            DELETE => {
                exists()?;
                if name == ROOT_LOGGER {
                    return invalid(format!("Removing the log level of the {ROOT_LOGGER} logger is not allowed"));
                }
                changes.push((name.clone(), None));
            }
            APPEND => return invalid("APPEND operation is not allowed for the BROKER_LOGGER resource".to_owned()),
            SUBTRACT => return invalid("SUBTRACT operation is not allowed for the BROKER_LOGGER resource".to_owned()),
            other => {
                let message = format!("Unknown operation type {other} is not allowed for the BROKER_LOGGER resource");
                return invalid(message);
            }
        }
    }
    Ok(changes)
}

fn unknown_level(logger: &str, level: &str) -> Refusal {
    let levels = LogLevel::ALL.map(LogLevel::name).join(", ");
    let message = format!(
        "Cannot set the log level of {logger} to {level} as it is not a supported log level. Valid log levels are {levels}"
    );
    Refusal::new(ErrorCode::InvalidConfig, message)
}
