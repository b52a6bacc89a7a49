//! Keys of Kafka, of its older versions and of its distributions that have no row in the table, and what becomes of them.

/// What becomes of a key that is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unserved {
    /// It would be dangerous not to do what it says: the broker does not start.
    Refused(&'static str),
    /// It is passed over, with a line that says why.
    PassedOver(&'static str),
}

use Unserved::{PassedOver, Refused};

const TLS: Unserved = Refused("TLS is not served yet");
const SASL: Unserved = Refused("SASL is not served yet");
const TIERED: Unserved = PassedOver("tiered storage is not served: all segments stay on this disk");
const ZOOKEEPER: Unserved = PassedOver("there is no ZooKeeper: the metadata is in this broker");
const DISTRIBUTIONS: Unserved = PassedOver("it belongs to a distribution of Kafka, and is not served");

/// Beginnings of keys, the longer ones first.
const BEGINNINGS: &[(&str, Unserved)] = &[
    ("ssl.", TLS),
    ("sasl.", SASL),
    ("security.providers", TLS),
    ("zookeeper.", ZOOKEEPER),
    ("remote.log.", TIERED),
    ("rlmm.", TIERED),
    ("rsm.", TIERED),
    ("confluent.", DISTRIBUTIONS),
    ("rest.", DISTRIBUTIONS),
    ("schema.registry.", DISTRIBUTIONS),
    ("kafka.metrics.", PassedOver("Java classes that report metrics are not served")),
    ("password.encoder.", PassedOver("passwords are not kept in ZooKeeper")),
    ("super.users", PassedOver("without an authorizer everybody may do everything")),
    ("allow.everyone.if.no.acl.found", PassedOver("without an authorizer everybody may do everything")),
    ("inter.broker.protocol.version", PassedOver("the version is that of the metadata")),
    ("log.message.format.version", PassedOver("there is one format of messages")),
    (
        "log.message.timestamp.difference.max.ms",
        PassedOver("log.message.timestamp.before.max.ms and .after.max.ms hold"),
    ),
    ("control.plane.listener.name", ZOOKEEPER),
    ("broker.id.generation.enable", ZOOKEEPER),
    ("reserved.broker.max.id", ZOOKEEPER),
    ("host.name", PassedOver("listeners says where to listen")),
    ("advertised.host.name", PassedOver("advertised.listeners says what clients are told")),
    ("advertised.port", PassedOver("advertised.listeners says what clients are told")),
    ("port", PassedOver("listeners says where to listen")),
];

/// What becomes of the key called `name` when it is set to `value`; `None` for a key that nobody knows. A key that is set to
/// nothing asks for nothing.
pub(super) fn unserved(name: &str, value: &str) -> Option<Unserved> {
    let inner = name.strip_prefix("listener.name.").and_then(|rest| rest.split_once('.')).map_or(name, |(_, key)| key);
    let is_of_security = inner.contains("ssl.") || inner.contains("sasl.");
    let found = if inner != name && is_of_security {
        Some(if inner.contains("sasl.") { SASL } else { TLS })
    } else {
        let covers =
            |beginning: &str| if beginning.ends_with('.') { name.starts_with(beginning) } else { name == beginning };
        BEGINNINGS.iter().find(|(beginning, _)| covers(beginning)).map(|(_, becomes)| *becomes)
    };
    found.map(|becomes| match becomes {
        Refused(reason) if value.trim().is_empty() => PassedOver(reason),
        becomes => becomes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_dangerous_is_refused() {
        for name in [
            "ssl.keystore.location",
            "sasl.enabled.mechanisms",
            "sasl.mechanism.inter.broker.protocol",
            "listener.name.external.plain.sasl.jaas.config",
            "listener.name.external.ssl.keystore.location",
        ] {
            assert!(matches!(unserved(name, "x"), Some(Refused(_))), "{name}");
            assert!(matches!(unserved(name, " "), Some(PassedOver(_))), "{name} without a value");
        }
    }

    #[test]
    fn what_is_harmless_is_passed_over_and_the_rest_is_unknown() {
        for name in ["zookeeper.connect", "confluent.metrics.enable", "remote.log.storage.system.enable", "host.name"] {
            assert!(matches!(unserved(name, "x"), Some(PassedOver(_))), "{name}");
        }
        for name in ["ssl", "ports", "listener.name.x.max.connections", "nodeid"] {
            assert_eq!(unserved(name, "x"), None, "{name}");
        }
    }
}
