//! Kafka's numbers of what has configs, of where their values come from and of how they are changed, for those who ask and those who answer.

use std::fmt;

/// What can have configs (`ConfigResource.Type`); the discriminants are Kafka's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigResourceType {
    /// A topic.
    Topic = 2,
    /// A broker by its id; all of them by the empty name.
    Broker = 4,
    /// The loggers of a broker, by its id.
    BrokerLogger = 8,
    /// A subscription of client metrics (KIP-714).
    ClientMetrics = 16,
    /// A group.
    Group = 32,
}

impl ConfigResourceType {
    /// Every type, in the order of the numbers.
    const ALL: [Self; 5] = [Self::Topic, Self::Broker, Self::BrokerLogger, Self::ClientMetrics, Self::Group];

    /// The type with Kafka's number `id`; `None` where there is none.
    pub fn from_id(id: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.id() == id)
    }

    /// Kafka's number.
    pub fn id(self) -> i8 {
        self as i8
    }
}

/// Where a value comes from (`DescribeConfigsResponse.ConfigSource`); the discriminants are Kafka's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    /// Something that has no name here; a newer broker may say so.
    Unknown = 0,
    /// The topic's own configs.
    Topic = 1,
    /// What clients set for this broker.
    DynamicBroker = 2,
    /// What clients set for all brokers.
    DynamicDefaultBroker = 3,
    /// The broker's file and flags.
    StaticBroker = 4,
    /// The table of keys.
    Default = 5,
    /// The loggers of the process.
    BrokerLogger = 6,
    /// What clients set for the subscription.
    ClientMetrics = 7,
    /// The group's own configs.
    Group = 8,
}

impl ConfigSource {
    const NAMES: [(Self, &str); 9] = [
        (Self::Unknown, "UNKNOWN"),
        (Self::Topic, "DYNAMIC_TOPIC_CONFIG"),
        (Self::DynamicBroker, "DYNAMIC_BROKER_CONFIG"),
        (Self::DynamicDefaultBroker, "DYNAMIC_DEFAULT_BROKER_CONFIG"),
        (Self::StaticBroker, "STATIC_BROKER_CONFIG"),
        (Self::Default, "DEFAULT_CONFIG"),
        (Self::BrokerLogger, "DYNAMIC_BROKER_LOGGER_CONFIG"),
        (Self::ClientMetrics, "DYNAMIC_CLIENT_METRICS_CONFIG"),
        (Self::Group, "DYNAMIC_GROUP_CONFIG"),
    ];

    /// The source with Kafka's number `id`.
    pub fn from_id(id: i8) -> Self {
        Self::NAMES.into_iter().map(|(source, _)| source).find(|source| source.id() == id).unwrap_or(Self::Unknown)
    }

    /// Kafka's number.
    pub fn id(self) -> i8 {
        self as i8
    }
}

/// Kafka's name for it, such as `DYNAMIC_TOPIC_CONFIG`.
impl fmt::Display for ConfigSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::NAMES.into_iter().find(|(source, _)| source == self);
        formatter.write_str(named.map_or("UNKNOWN", |(_, name)| name))
    }
}

/// What IncrementalAlterConfigs does to a key (`AlterConfigOp.OpType`).
pub mod alter_config_op {
    /// Gives it a value.
    pub const SET: i8 = 0;
    /// Takes its value away, so that its default holds.
    pub const DELETE: i8 = 1;
    /// Adds elements to its list.
    pub const APPEND: i8 = 2;
    /// Takes elements from its list.
    pub const SUBTRACT: i8 = 3;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kafkas() {
        let types = [(2, "Topic"), (4, "Broker"), (8, "BrokerLogger"), (16, "ClientMetrics"), (32, "Group")];
        for id in i8::MIN..=i8::MAX {
            let expected = types.into_iter().find(|(number, _)| *number == id).map(|(_, name)| name.to_owned());
            assert_eq!(ConfigResourceType::from_id(id).map(|one| format!("{one:?}")), expected, "{id}");
            let source = ConfigSource::from_id(id);
            assert_eq!(source.id(), if (0..9).contains(&id) { id } else { 0 });
        }
        assert_eq!(ConfigSource::from_id(4).to_string(), "STATIC_BROKER_CONFIG");
        assert_eq!(ConfigSource::from_id(99).to_string(), "UNKNOWN");
    }
}
