//! Configs on the command line: their changes, `--set KEY=VALUE` and `--unset KEY`, and what is said of them.

use clap::Args;

use super::{Failure, key_and_value};
use crate::client::{ClientError, ConfigChange};
use crate::config::{ConfigSource, closest, keys};
use crate::protocol::ErrorCode;

/// The configs that get or lose a value.
#[derive(Debug, Clone, Args)]
pub(super) struct ChangeArguments {
    /// Give a config a value, such as compression.type=zstd; can be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
    /// Take a config's value away, so that its default holds again; can be repeated.
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
}

impl ChangeArguments {
    /// The changes in the order in which they are told: what is set, then what is unset.
    pub(super) fn changes(&self) -> Vec<ConfigChange> {
        let set = self.set.iter().map(|(key, value)| ConfigChange::Set(key.clone(), value.clone()));
        set.chain(self.unset.iter().cloned().map(ConfigChange::Delete)).collect()
    }
}

/// What is said of configs of `whose` that a broker refuses: a key that does not exist comes with the nearest that does.
pub(super) fn refused<'a>(
    whose: &str,
    error: &ClientError,
    given: impl Iterator<Item = &'a str>,
    known: &[&'static str],
) -> Failure {
    let mut unknown = given.filter(|key| !known.contains(key));
    let nearest = unknown.find_map(|key| closest(key, known.iter().copied()));
    let is_about_configs = error.code() == Some(ErrorCode::InvalidConfig);
    let hint = nearest.filter(|_| is_about_configs).map(|key| format!("did you mean \"{key}\"?"));
    Failure { what: format!("{whose}: {error}"), hint }
}

/// The keys that a topic may have.
pub(super) fn topic_keys() -> Vec<&'static str> {
    keys::all().filter_map(crate::config::Key::topic_key).collect()
}

/// Where a value comes from, in a word or two.
pub(super) fn origin(layer: ConfigSource) -> &'static str {
    match layer {
        ConfigSource::Topic => "topic",
        ConfigSource::DynamicBroker => "broker, dynamic",
        ConfigSource::DynamicDefaultBroker => "all brokers, dynamic",
        ConfigSource::StaticBroker => "broker's file or flags",
        ConfigSource::Default => "default",
        ConfigSource::BrokerLogger => "logger",
        ConfigSource::ClientMetrics => "subscription",
        ConfigSource::Group => "group",
        ConfigSource::Unknown => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelled_key_comes_with_the_nearest() {
        let error = ClientError::check(40, Some("Unknown topic config name: retention.m")).expect_err("a code");
        let failure = refused("topic t", &error, ["retention.m"].into_iter(), &topic_keys());
        assert_eq!(failure.what, "topic t: Unknown topic config name: retention.m");
        assert_eq!(failure.hint.as_deref(), Some("did you mean \"retention.ms\"?"));
        let failure = refused("topic t", &error, ["retention.ms"].into_iter(), &topic_keys());
        assert_eq!(failure.hint, None);
    }
}
