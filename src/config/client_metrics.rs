//! The configs of client metrics subscriptions (KIP-714): Kafka's checks on what a client asks for.
//!
//! They are stored, checked and told of, while no client is asked for its metrics.

use std::collections::BTreeMap;

use super::keys;
use super::value::{FromValue, InvalidValue};

/// Why a subscription may not have the configs that a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientMetricsError {
    /// A subscription needs a name; Kafka answers `INVALID_REQUEST`.
    #[error("Subscription name can't be empty")]
    NoName,
    /// There is no such key; Kafka answers `INVALID_REQUEST`.
    #[error("Unknown client metrics configuration: {0}")]
    UnknownKey(String),
    /// The interval is out of bounds; Kafka answers `INVALID_REQUEST`.
    #[error("Invalid value {0} for interval.ms, interval must be between 100 and 3600000 (1 hour)")]
    Interval(i32),
    /// The value is wrong for its key; Kafka answers `INVALID_CONFIG`.
    #[error(transparent)]
    Invalid(#[from] InvalidValue),
    /// A client cannot be chosen by this; Kafka answers `INVALID_CONFIG`.
    #[error("Illegal client matching pattern: {0}")]
    Pattern(String),
}

/// What clients may be chosen by (`ClientMetricsConfigs`).
const MATCHED: &[&str] = &[
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

/// The shortest and the longest time between two pushes, in milliseconds.
const INTERVAL_MS: std::ops::RangeInclusive<i32> = 100..=3_600_000;

/// Kafka's checks, in its order (`ClientMetricsConfigs.validate`).
///
/// # Errors
/// The first thing that is wrong.
pub fn validate_client_metrics(name: &str, given: &BTreeMap<&str, &str>) -> Result<(), ClientMetricsError> {
    if name.is_empty() {
        return Err(ClientMetricsError::NoName);
    }
    if let Some(unknown) = given.keys().find(|key| keys::client_metrics_key(key).is_none()) {
        return Err(ClientMetricsError::UnknownKey((*unknown).to_owned()));
    }
    for (key, text) in given {
        if let Some(row) = keys::client_metrics_key(key) {
            row.check(key, text)?;
        }
    }
    let interval = given.get("interval.ms").and_then(|text| i32::from_value(text).ok());
    if let Some(interval) = interval.filter(|interval| !INTERVAL_MS.contains(interval)) {
        return Err(ClientMetricsError::Interval(interval));
    }
    let patterns = given.get("match").and_then(|text| Vec::<String>::from_value(text).ok()).unwrap_or_default();
    match patterns.into_iter().find(|pattern| !is_pattern(pattern)) {
        Some(pattern) => Err(ClientMetricsError::Pattern(pattern)),
        None => Ok(()),
    }
}

/// Unlike Kafka, which compiles it, what stands behind the equals sign is not checked: no client is chosen by it here.
fn is_pattern(pattern: &str) -> bool {
    let Some((name, expression)) = pattern.split_once('=') else { return false };
    MATCHED.contains(&name.trim()) && !expression.is_empty() && !expression.trim_end_matches('=').contains('=')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str, pairs: &[(&str, &str)]) -> Result<(), String> {
        validate_client_metrics(name, &pairs.iter().copied().collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_subscription_is_checked_as_kafka_checks_it() {
        let good =
            [("interval.ms", "100"), ("metrics", "org.apache"), ("match", "client_id=a.*, client_source_port=9")];
        assert_eq!(told("s", &good), Ok(()));
        assert_eq!(told("", &[]), Err("Subscription name can't be empty".to_owned()));
        assert_eq!(told("s", &[("interval", "1")]), Err("Unknown client metrics configuration: interval".to_owned()));
        assert_eq!(
            told("s", &[("interval.ms", "99")]),
            Err("Invalid value 99 for interval.ms, interval must be between 100 and 3600000 (1 hour)".to_owned())
        );
        assert_eq!(
            told("s", &[("interval.ms", "x")]),
            Err("Invalid value x for configuration interval.ms: Not a number of type INT".to_owned())
        );
        for pattern in ["client_id", "client_id=", "client_id=a=b", "=a", "client=a"] {
            assert_eq!(told("s", &[("match", pattern)]), Err(format!("Illegal client matching pattern: {pattern}")));
        }
    }
}
