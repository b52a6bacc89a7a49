//! The configs of groups (KIP-848, KIP-932, KIP-1071): Kafka's checks on what a client asks for.
//!
//! They are stored, checked and told of, while the groups that go by them are not served.

use std::collections::BTreeMap;

use super::keys;
use super::settings::Settings;
use super::value::{FromValue, InvalidValue};

/// Why a group may not have the configs that a client asks for; Kafka answers `INVALID_CONFIG` with this text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupConfigError {
    /// There is no such key.
    #[error("Unknown group config name: {0}")]
    UnknownKey(String),
    /// The value is wrong for its key.
    #[error(transparent)]
    Invalid(#[from] InvalidValue),
    /// The value passes a bound that the broker sets.
    #[error("{key} must be {relation} {other}")]
    Bound {
        /// The group's key.
        key: &'static str,
        /// How it must stand to the other one.
        relation: &'static str,
        /// The broker's key, or the group's other one.
        other: &'static str,
    },
}

/// A group's key, and the broker's keys between whose values its value must lie, in the order of Kafka's checks.
pub(super) const BOUNDS: &[(&str, Option<&str>, &str)] = &[
    (
        "consumer.heartbeat.interval.ms",
        Some("group.consumer.min.heartbeat.interval.ms"),
        "group.consumer.max.heartbeat.interval.ms",
    ),
    (
        "consumer.session.timeout.ms",
        Some("group.consumer.min.session.timeout.ms"),
        "group.consumer.max.session.timeout.ms",
    ),
    (
        "share.heartbeat.interval.ms",
        Some("group.share.min.heartbeat.interval.ms"),
        "group.share.max.heartbeat.interval.ms",
    ),
    ("share.session.timeout.ms", Some("group.share.min.session.timeout.ms"), "group.share.max.session.timeout.ms"),
    (
        "share.record.lock.duration.ms",
        Some("group.share.min.record.lock.duration.ms"),
        "group.share.max.record.lock.duration.ms",
    ),
    (
        "streams.heartbeat.interval.ms",
        Some("group.streams.min.heartbeat.interval.ms"),
        "group.streams.max.heartbeat.interval.ms",
    ),
    (
        "streams.session.timeout.ms",
        Some("group.streams.min.session.timeout.ms"),
        "group.streams.max.session.timeout.ms",
    ),
    ("streams.num.standby.replicas", None, "group.streams.max.standby.replicas"),
];

/// Pairs of a group's keys of which the first must be the greater one.
const ORDERED: &[(&str, &str)] = &[
    ("consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"),
    ("share.session.timeout.ms", "share.heartbeat.interval.ms"),
    ("streams.session.timeout.ms", "streams.heartbeat.interval.ms"),
];

/// Kafka's checks, in its order: names, values, bounds, and what values mean together (`GroupConfig.validate`).
pub(super) fn validate(given: &BTreeMap<&str, &str>, settings: &Settings) -> Result<(), GroupConfigError> {
    if let Some(unknown) = given.keys().find(|key| keys::group_key(key).is_none()) {
        return Err(GroupConfigError::UnknownKey((*unknown).to_owned()));
    }
    for (key, text) in given {
        if let Some(row) = keys::group_key(key) {
            row.check(key, text)?;
        }
    }
    // What the group leaves out is compared with Kafka's default, and not with the broker's, as Kafka does.
    let value = |key: &str| {
        let text = given.get(key).copied().or_else(|| keys::group_key(key)?.default);
        text.and_then(|text| i64::from_value(text).ok()).unwrap_or_default()
    };
    let bound = |key: &str| settings.broker_text(key).and_then(|text| i64::from_value(&text).ok());
    let refuse = |key, relation, other| Err(GroupConfigError::Bound { key, relation, other });
    for (key, least_key, most_key) in BOUNDS {
        match least_key {
            Some(least) if bound(least).is_some_and(|bound| value(key) < bound) => {
                return refuse(*key, "greater than or equal to", *least);
            }
            _ if bound(most_key).is_some_and(|bound| value(key) > bound) => {
                return refuse(*key, "less than or equal to", *most_key);
            }
            _ => {}
        }
    }
    match ORDERED.iter().find(|(key, other)| value(key) <= value(other)) {
        Some((key, other)) => refuse(key, "greater than", other),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(pairs: &[(&str, &str)]) -> String {
        let given = pairs.iter().copied().collect();
        validate(&given, &Settings::default()).expect_err("accepted").to_string()
    }

    #[test]
    fn a_groups_configs_are_checked_as_kafka_checks_them() {
        let good = BTreeMap::from([("consumer.session.timeout.ms", "50000"), ("share.auto.offset.reset", "earliest")]);
        assert_eq!(validate(&good, &Settings::default()), Ok(()));
        assert_eq!(told(&[("session.timeout.ms", "1")]), "Unknown group config name: session.timeout.ms");
        assert_eq!(
            told(&[("consumer.session.timeout.ms", "x")]),
            "Invalid value x for configuration consumer.session.timeout.ms: Not a number of type INT"
        );
        assert_eq!(
            told(&[("consumer.session.timeout.ms", "44999")]),
            "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms"
        );
        assert_eq!(
            told(&[("streams.num.standby.replicas", "3")]),
            "streams.num.standby.replicas must be less than or equal to group.streams.max.standby.replicas"
        );
    }

    #[test]
    fn the_brokers_keys_move_the_bounds() {
        let mut settings = Settings::default();
        let flag = crate::config::Origin::Flag("--set");
        settings.set("group.consumer.min.session.timeout.ms", "1", flag).unwrap();
        let session = |text| validate(&BTreeMap::from([("consumer.session.timeout.ms", text)]), &settings);
        assert_eq!(session("5001"), Ok(()));
        assert_eq!(
            session("5000").expect_err("accepted").to_string(),
            "consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms"
        );
    }
}
