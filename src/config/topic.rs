//! The configs of topics: Kafka's checks on what a client asks for.

use std::collections::BTreeMap;

use super::keys;
use super::settings::Settings;
use super::value::{FromValue, InvalidValue};

/// Why a topic may not have the configs that a client asks for; Kafka answers `INVALID_CONFIG` with this text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicConfigError {
    /// Values are null.
    #[error("Null value not supported for topic configs: {}", .0.join(","))]
    Null(Vec<String>),
    /// There is no such key.
    #[error("Unknown topic config name: {0}")]
    UnknownKey(String),
    /// The value is wrong for its key.
    #[error(transparent)]
    Invalid(#[from] InvalidValue),
    /// A record would have to be compacted before it may be.
    #[error("conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})")]
    CompactionLags {
        /// `min.compaction.lag.ms`.
        min: i64,
        /// `max.compaction.lag.ms`.
        max: i64,
    },
    /// The topic asks for tiered storage.
    #[error(
        "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."
    )]
    TieredStorage,
}

/// Kafka's checks, in its order: null values, names, values, and what values mean together.
pub(super) fn validate<'a>(
    overrides: impl Iterator<Item = (&'a str, Option<&'a str>)>,
    settings: &Settings,
) -> Result<(), TopicConfigError> {
    let (given, null): (Vec<_>, Vec<_>) = overrides.partition(|(_, value)| value.is_some());
    if !null.is_empty() {
        return Err(TopicConfigError::Null(null.into_iter().map(|(key, _)| key.to_owned()).collect()));
    }
    let given: BTreeMap<&str, &str> = given.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    if let Some(unknown) = given.keys().find(|key| keys::topic_key_rows(key).next().is_none()) {
        return Err(TopicConfigError::UnknownKey((*unknown).to_owned()));
    }
    for (key, text) in &given {
        if let Some(row) = keys::topic_key_rows(key).next() {
            row.check(key, text)?;
        }
    }
    let effective = |key: &str| given.get(key).map(|text| (*text).to_owned()).or_else(|| settings.topic_text(key));
    let lag = |key: &str, unset: i64| effective(key).and_then(|text| i64::from_value(&text).ok()).unwrap_or(unset);
    let (min, max) = (lag("min.compaction.lag.ms", 0), lag("max.compaction.lag.ms", i64::MAX));
    if min > max {
        return Err(TopicConfigError::CompactionLags { min, max });
    }
    match given.get("remote.storage.enable").map(|text| bool::from_value(text)) {
        Some(Ok(true)) => Err(TopicConfigError::TieredStorage),
        _ => Ok(()),
    }
}
