//! The configs of topics, brokers, loggers, groups and subscriptions, and how they are changed (DescribeConfigs,
//! IncrementalAlterConfigs, ListConfigResources).

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsSynonym};
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest, ListConfigResourcesRequest};
use kafka_protocol::protocol::StrBytes;

use super::{ClientError, ClusterClient, To};
use crate::config::{ConfigResourceType, ConfigSource, alter_config_op};
use crate::protocol::ErrorCode;

/// One key of something that has configs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The key.
    pub name: String,
    /// Its value; none where it has none, or where it is a secret.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether the value is, or may be, a secret.
    pub is_sensitive: bool,
    /// Whether no client may set it.
    pub is_read_only: bool,
    /// What each layer says of it: the layer, the name that the key has there, the value. The strongest first; empty
    /// unless asked for.
    pub synonyms: Vec<(ConfigSource, String, Option<String>)>,
}

/// What is done to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigChange {
    /// It gets a value.
    Set(String, String),
    /// It gets back what it has without one.
    Delete(String),
}

impl ClusterClient {
    /// Every key of `name`, which is a `kind`, by name of the key.
    ///
    /// Errors: among others `UNKNOWN_TOPIC_OR_PARTITION`.
    pub async fn describe_configs(
        &mut self,
        kind: ConfigResourceType,
        name: &str,
        with_synonyms: bool,
    ) -> Result<Vec<ConfigEntry>, ClientError> {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(kind.id())
            .with_resource_name(text(name))
            .with_configuration_keys(None);
        let request =
            DescribeConfigsRequest::default().with_resources(vec![resource]).with_include_synonyms(with_synonyms);
        self.retry(async |client| {
            let response = client.ask(whom(kind, name), &request).await?;
            let result = response.results.into_iter().next();
            let result = result.ok_or_else(|| ClientError::refused(ErrorCode::UnknownServerError))?;
            ClientError::check(result.error_code, result.error_message.as_deref())?;
            let mut entries: Vec<_> = result.configs.into_iter().map(entry).collect();
            entries.sort_by(|one, other| one.name.cmp(&other.name));
            Ok(entries)
        })
        .await
    }

    /// Changes keys of `name`, which is a `kind`; all or none of them (IncrementalAlterConfigs, KIP-339).
    pub async fn alter_configs(
        &mut self,
        kind: ConfigResourceType,
        name: &str,
        changes: &[ConfigChange],
    ) -> Result<(), ClientError> {
        let resource = AlterConfigsResource::default()
            .with_resource_type(kind.id())
            .with_resource_name(text(name))
            .with_configs(changes.iter().map(alterable).collect());
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        self.retry(async |client| {
            let response = client.ask(whom(kind, name), &request).await?;
            let result = response.responses.first();
            let result = result.ok_or_else(|| ClientError::refused(ErrorCode::UnknownServerError))?;
            ClientError::check(result.error_code, result.error_message.as_deref())
        })
        .await
    }

    /// The names of what is of a `kind` and can have configs, or has some (KIP-1142).
    ///
    /// Errors: a broker before Kafka 4.1 knows only [`ConfigResourceType::ClientMetrics`], and says of the others that it has no
    /// version in common with us.
    pub async fn config_resources(&mut self, kind: ConfigResourceType) -> Result<Vec<String>, ClientError> {
        let request = ListConfigResourcesRequest::default().with_resource_types(vec![kind.id()]);
        self.retry(async |client| {
            let response = client.ask(To::Any, &request).await?;
            ClientError::check(response.error_code, None)?;
            let of_kind = response.config_resources.iter().filter(|resource| resource.resource_type == kind.id());
            Ok(of_kind.map(|resource| resource.resource_name.to_string()).collect())
        })
        .await
    }
}

/// Only a broker itself knows what stands in its file, and its loggers.
fn whom(kind: ConfigResourceType, name: &str) -> To {
    match (kind, name.parse()) {
        (ConfigResourceType::Broker | ConfigResourceType::BrokerLogger, Ok(id)) => To::Broker(id),
        _ => To::Any,
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn entry(config: DescribeConfigsResourceResult) -> ConfigEntry {
    let synonym = |synonym: DescribeConfigsSynonym| {
        let value = synonym.value.map(|value| value.to_string());
        (ConfigSource::from_id(synonym.source), synonym.name.to_string(), value)
    };
    ConfigEntry {
        name: config.name.to_string(),
        value: config.value.map(|value| value.to_string()),
        source: ConfigSource::from_id(config.config_source),
        is_sensitive: config.is_sensitive,
        is_read_only: config.read_only,
        synonyms: config.synonyms.into_iter().map(synonym).collect(),
    }
}

fn alterable(change: &ConfigChange) -> AlterableConfig {
    // The empty text of a deletion is what Kafka's tools send.
    let (name, operation, value) = match change {
        ConfigChange::Set(name, value) => (name, alter_config_op::SET, value.as_str()),
        ConfigChange::Delete(name) => (name, alter_config_op::DELETE, ""),
    };
    AlterableConfig::default().with_name(text(name)).with_config_operation(operation).with_value(Some(text(value)))
}
