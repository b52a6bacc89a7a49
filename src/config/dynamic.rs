//! What clients may set of a broker's configuration while it runs (`DynamicBrokerConfig`).

use std::collections::BTreeMap;

use super::error::{ConfigError, ConfigErrors};
use super::key::{Key, UpdateMode};
use super::keys;
use super::resolved::Config;
use super::value::{FromValue, InvalidValue};

/// Why a broker may not have the dynamic configuration that a client asks for; Kafka answers `INVALID_REQUEST` with this
/// text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DynamicConfigError {
    /// Keys that hold from the start to the stop.
    #[error("Cannot update these configs dynamically: Set({})", .0.join(", "))]
    ReadOnly(Vec<&'static str>),
    /// Keys that every broker has for itself.
    #[error(
        "Cannot update these configs at default cluster level, broker id must be specified: Set({})", .0.join(", ")
    )]
    PerBroker(Vec<&'static str>),
    /// The value is wrong for its key.
    #[error(transparent)]
    Invalid(#[from] InvalidValue),
    /// What is set does not go together with what was set before the start.
    #[error("{0}")]
    Contradiction(ConfigErrors),
    /// The change is larger than Kafka allows at once.
    #[error(
        "Invalid value org.apache.kafka.common.config.ConfigException: {0} for configuration Invalid dynamic configuration"
    )]
    TooFar(String),
}

/// Numbers of threads, which Kafka lets grow and shrink by half or double only. These have no effect here.
const THREAD_POOLS: &[&str] = &[
    "background.threads",
    "num.io.threads",
    "num.network.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.fetchers",
];

/// Limits that may not be 0 while a broker runs: nobody could lift them again.
const NEVER_ZERO: &[&str] = &["max.connections", "max.connection.creation.rate"];

impl Config {
    /// Checks what would be the whole dynamic configuration of this broker, or, with `for_all`, of all brokers, with
    /// Kafka's checks in Kafka's order. Keys that Klamm does not know are as good as any, as in Kafka.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate_dynamic(
        &self,
        proposed: &BTreeMap<String, String>,
        for_all: bool,
    ) -> Result<(), DynamicConfigError> {
        let known: Vec<(&'static Key, &str)> =
            proposed.iter().filter_map(|(name, text)| Some((keys::dynamic_broker_key(name)?, text.as_str()))).collect();
        let named = |is_meant: fn(&Key) -> bool| {
            let meant: Vec<_> = known.iter().filter(|(key, _)| is_meant(key)).map(|(key, _)| key.name).collect();
            (!meant.is_empty()).then_some(meant)
        };
        if let Some(read_only) = named(Key::is_read_only) {
            return Err(DynamicConfigError::ReadOnly(read_only));
        }
        for (key, text) in &known {
            key.check(key.name, text)?;
        }
        if let Some(per_broker) = named(|key| key.update_mode == UpdateMode::PerBroker).filter(|_| for_all) {
            return Err(DynamicConfigError::PerBroker(per_broker));
        }
        let after = if for_all {
            self.with_dynamic(proposed.clone(), self.layers.per_broker.clone())
        } else {
            self.with_dynamic(self.layers.cluster_wide.clone(), proposed.clone())
        };
        let after = after.map_err(|errors| match errors.0.as_slice() {
            [ConfigError::Invalid { error, .. }, ..] => DynamicConfigError::Invalid(error.clone()),
            _ => DynamicConfigError::Contradiction(errors),
        })?;
        self.expect_near(&after)
    }

    /// Kafka's checks on how far a change goes.
    fn expect_near(&self, after: &Self) -> Result<(), DynamicConfigError> {
        let number = |config: &Self, name: &str| config.text(name).and_then(|text| i64::from_value(&text).ok());
        for name in THREAD_POOLS {
            let (Some(old), Some(new)) = (number(self, name), number(after, name)) else { continue };
            let reason = match new {
                _ if new == old => continue,
                ..=0 => "value should be at least 1".to_owned(),
                _ if new < old / 2 => format!("value should be at least half the current value {old}"),
                _ if new > old * 2 => format!("value should not be greater than double the current value {old}"),
                _ => continue,
            };
            let what = format!("Dynamic thread count update validation failed for {name}={new}");
            return Err(DynamicConfigError::TooFar(format!("{what}, {reason}")));
        }
        let cleaners = "log.cleaner.threads";
        if let (Some(old), Some(new)) = (number(self, cleaners), number(after, cleaners)) {
            let reason = match new {
                ..=0 => "should be at least 1".to_owned(),
                _ if new < old / 2 => format!("cannot be reduced to less than half the current value {old}"),
                _ if new > old * 2 => format!("cannot be increased to more than double the current value {old}"),
                _ => String::new(),
            };
            if new != old && !reason.is_empty() {
                return Err(DynamicConfigError::TooFar(format!("Log cleaner threads {reason}")));
            }
        }
        let zero = NEVER_ZERO.iter().find(|name| number(after, name) == Some(0) && number(self, name) != Some(0));
        zero.map_or(Ok(()), |name| Err(DynamicConfigError::TooFar(format!("Invalid {name} 0"))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(pairs: &[(&str, &str)], for_all: bool) -> Result<(), String> {
        let config = Config::with(&[("log.retention.ms", "5")]).unwrap();
        let proposed = pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        config.validate_dynamic(&proposed, for_all).map_err(|error| error.to_string())
    }

    #[test]
    fn what_may_change_is_taken() {
        let good = [("message.max.bytes", "5"), ("leader.replication.throttled.rate", "9"), ("my.own.key", "x")];
        for for_all in [true, false] {
            assert_eq!(told(&good, for_all), Ok(()));
            assert_eq!(told(&[], for_all), Ok(()));
        }
    }

    #[test]
    fn what_may_not_is_refused_with_what_is_wrong() {
        let cases = [
            (
                [("num.partitions", "2"), ("log.dirs", "x")].as_slice(),
                "Cannot update these configs dynamically: Set(log.dirs, num.partitions)",
            ),
            (
                &[("message.max.bytes", "-1")],
                "Invalid value -1 for configuration message.max.bytes: Value must be at least 0",
            ),
            (&[("log.retention.ms", "0")], "log retention must be unlimited (-1) or at least 1"),
            (
                &[("num.io.threads", "17")],
                "num.io.threads=17, value should not be greater than double the current value 8",
            ),
            (&[("num.io.threads", "3")], "value should be at least half the current value 8"),
            (&[("log.cleaner.threads", "3")], "Log cleaner threads cannot be increased to more than double"),
            (&[("max.connections", "0")], "Invalid max.connections 0"),
        ];
        for (pairs, reason) in cases {
            let told = told(pairs, false).expect_err(reason);
            assert!(told.contains(reason), "{told}");
        }
    }
}
