//! Configuration: every key once, its value from the strongest source, and typed views for the floors above.
//!
//! [`keys`] is the table. [`Settings`] collects what files, the environment and flags set, with its place; [`Config`] is what follows
//! from that, from what clients set while the broker runs, and from the table's defaults. Precedence, from weak to
//! strong: defaults, file, environment variables, flags, `--set`, the dynamic configuration of all brokers, that of this broker.
//! Nothing here opens a file or a socket; texts come in from `cli/` and from the metadata.

mod client_metrics;
mod describe;
mod dynamic;
mod environment;
mod error;
mod file;
mod file_entry;
mod group;
mod initial_topics;
mod interpolation;
mod jaas;
mod kafka_numbers;
mod key;
pub mod keys;
mod listener;
mod log_levels;
mod origin;
mod other_format;
mod quorum;
pub mod reference;
mod resolved;
mod sections;
mod settings;
mod several;
mod suggestion;
mod topic;
mod typed;
mod unserved;
mod value;
mod yaml;

pub use client_metrics::{ClientMetricsError, validate_client_metrics};
pub use describe::{ConfigSynonym, DescribedConfig, describe_client_metrics};
pub use dynamic::DynamicConfigError;
pub use error::{ConfigError, ConfigErrors};
pub use file::java_properties;
pub use group::GroupConfigError;
pub use initial_topics::InitialTopic;
pub use interpolation::Environment;
pub use kafka_numbers::{ConfigResourceType, ConfigSource, alter_config_op};
pub use key::{Importance, Key, Scope, UpdateMode};
pub use keys::{broker_keys, topic_keys};
pub use listener::{HostPort, Listener, SecurityProtocol};
pub use origin::Origin;
pub use quorum::QuorumVoter;
pub use resolved::{Config, DataDirectories, LogFormat, RESOLVED_KEYS, Storage};
pub use settings::Settings;
pub use suggestion::closest;
pub use topic::TopicConfigError;
pub use typed::{BrokerConfig, CleanupPolicy, CompressionType, TopicConfig};
pub use value::{FromValue, InvalidValue, Kind, Valid};

#[cfg(test)]
mod tests;
