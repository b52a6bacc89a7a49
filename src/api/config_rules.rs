//! What is valid in configurations, for the controller: Kafka's `ControllerConfigurationValidator`, by the table of keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{ClientMetricsError, Config, Key, Kind, keys, validate_client_metrics};
use crate::controller::{ConfigRules, Refusal};
use crate::metadata::{ConfigResource, topic_name};
use crate::protocol::ErrorCode;

/// The rules under this broker's configuration.
#[derive(Debug)]
pub(super) struct TableRules(pub(super) Arc<Config>);

impl ConfigRules for TableRules {
    fn list_default(&self, resource: &ConfigResource, key: &str) -> Option<String> {
        let row = row(resource, key).filter(|row| row.kind == Kind::List)?;
        Some(row.default.unwrap_or_default().to_owned())
    }

    fn validate(
        &self,
        resource: &ConfigResource,
        after: &BTreeMap<String, String>,
        _before: &BTreeMap<String, String>,
    ) -> Result<(), Refusal> {
        let after = || after.iter().map(|(key, text)| (key.as_str(), text.as_str()));
        match resource {
            ConfigResource::Topic(name) => {
                expect_topic_name(name)?;
                let checked = self.0.validate_topic(after().map(|(key, text)| (key, Some(text))));
                checked.map_err(|error| Refusal::new(ErrorCode::InvalidConfig, error.to_string()))
            }
            // The broker itself has checked it, against what it is configured with.
            ConfigResource::Broker(_) => Ok(()),
            ConfigResource::ClientMetrics(name) => {
                validate_client_metrics(name, &after().collect()).map_err(|error| client_metrics_refusal(&error))
            }
            ConfigResource::Group(name) if name.is_empty() => {
                Err(Refusal::new(ErrorCode::InvalidRequest, "Default group resources are not allowed."))
            }
            ConfigResource::Group(_) => {
                let checked = self.0.validate_group(&after().collect());
                checked.map_err(|error| Refusal::new(ErrorCode::InvalidConfig, error.to_string()))
            }
        }
    }
}

/// The row of a key of `resource`, where its type is known to what adds to lists: as in Kafka (`KafkaRaftServer.configSchema`),
/// whose controller knows those of topics' and brokers' keys alone.
fn row(resource: &ConfigResource, key: &str) -> Option<&'static Key> {
    match resource {
        ConfigResource::Topic(_) => keys::topic_key_rows(key).next(),
        ConfigResource::Broker(_) => keys::dynamic_broker_key(key),
        ConfigResource::ClientMetrics(_) | ConfigResource::Group(_) => None,
    }
}

fn expect_topic_name(name: &str) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(Refusal::new(ErrorCode::InvalidRequest, "Default topic resources are not allowed."));
    }
    match topic_name::reason_invalid(name) {
        Some(reason) => Err(Refusal::new(ErrorCode::InvalidTopicException, format!("Topic name is invalid: {reason}"))),
        None => Ok(()),
    }
}

fn client_metrics_refusal(error: &ClientMetricsError) -> Refusal {
    let code = match error {
        ClientMetricsError::NoName | ClientMetricsError::UnknownKey(_) | ClientMetricsError::Interval(_) => {
            ErrorCode::InvalidRequest
        }
        ClientMetricsError::Invalid(_) | ClientMetricsError::Pattern(_) => ErrorCode::InvalidConfig,
    };
    Refusal::new(code, error.to_string())
}
