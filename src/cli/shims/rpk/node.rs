//! What Redpanda's files and flags say of a node, and Kafka's keys for it.

use serde_yaml::{Mapping, Value};

use super::flags::Flags;

/// The port of Kafka's API where none is written.
const DEFAULT_PORT: u16 = 9092;
/// The name of a listener where none is written.
const DEFAULT_NAME: &str = "kafka";
/// Redpanda's properties that decide the same as a key of Kafka's.
const PROPERTIES: &[(&str, &str)] = &[
    ("auto_create_topics_enabled", "auto.create.topics.enable"),
    ("default_topic_partitions", "num.partitions"),
    ("group_initial_rebalance_delay", "group.initial.rebalance.delay.ms"),
    ("group_topic_partitions", "offsets.topic.num.partitions"),
    ("kafka_batch_max_bytes", "message.max.bytes"),
    ("log_segment_size", "log.segment.bytes"),
    ("log_retention_ms", "log.retention.ms"),
    ("delete_retention_ms", "log.retention.ms"),
    ("retention_bytes", "log.retention.bytes"),
];
/// Properties that must not be passed over when they are on.
const SECURITY: &[&str] = &["enable_sasl", "kafka_enable_authorization"];
const NO_SECURITY: &str = "SASL and ACLs are not served yet";

/// A listener, or what clients are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NamedAddress {
    name: String,
    /// `host:port`.
    address: String,
}

impl NamedAddress {
    /// From `name://host:port`, of which only the host is needed.
    fn of_flag(text: &str) -> Self {
        let (name, address) = text.split_once("://").unwrap_or((DEFAULT_NAME, text));
        let has_port = address.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && !port.contains(']'));
        let address = if has_port { address.to_owned() } else { format!("{address}:{DEFAULT_PORT}") };
        Self { name: name.to_ascii_uppercase(), address }
    }

    /// From an entry of `kafka_api` or `advertised_kafka_api`.
    fn of_file(entry: &Value) -> Result<Self, String> {
        let text = |key: &str| entry.get(key).and_then(scalar);
        let host = text("address").ok_or("an entry of kafka_api has no address")?;
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let port = text("port").unwrap_or_else(|| DEFAULT_PORT.to_string());
        if text("authentication_method").is_some_and(|method| method != "none") {
            return Err(format!("authentication_method: {NO_SECURITY}"));
        }
        let name = text("name").unwrap_or_else(|| DEFAULT_NAME.to_owned()).to_ascii_uppercase();
        Ok(Self { name, address: format!("{host}:{port}") })
    }

    /// As `listeners` and `advertised.listeners` have it.
    fn key(&self) -> String {
        format!("{}://{}", self.name, self.address)
    }

    fn port(&self) -> &str {
        self.address.rsplit_once(':').map_or("", |(_, port)| port)
    }
}

/// What is known of a node; nothing where nothing was said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Node {
    listeners: Vec<NamedAddress>,
    advertised: Vec<NamedAddress>,
    /// Other keys of Kafka's, the later the stronger.
    keys: Vec<(String, String)>,
}

impl Node {
    /// Takes what a `redpanda.yaml` says, or a `.bootstrap.yaml`, where properties of the cluster stand alone.
    ///
    /// # Errors
    /// It is no YAML, or asks for what would be dangerous to pass over.
    pub(super) fn read(&mut self, text: &str) -> Result<(), String> {
        let document: Value = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        let Some(root) = document.as_mapping() else { return Ok(()) };
        let node = root.get("redpanda").and_then(Value::as_mapping);
        let properties = root.iter().chain(node.into_iter().flatten());
        for (name, value) in properties.filter_map(|(name, value)| Some((name.as_str()?, scalar(value)?))) {
            self.set(name, value)?;
        }
        let Some(node) = node else { return Ok(()) };
        refuse_tls(node)?;
        self.listeners = endpoints(node.get("kafka_api"))?;
        self.advertised = endpoints(node.get("advertised_kafka_api"))?;
        Ok(())
    }

    /// Lays the flags of `rpk redpanda start` over what was read.
    ///
    /// # Errors
    /// One asks for what would be dangerous to pass over, or is of a wrong form.
    pub(super) fn apply(&mut self, flags: &Flags) -> Result<(), String> {
        let listed = |name: &str| flags.last(name).map(|list| list.split(',').map(NamedAddress::of_flag).collect());
        self.listeners = listed("kafka-addr").unwrap_or_else(|| std::mem::take(&mut self.listeners));
        self.advertised = listed("advertise-kafka-addr").unwrap_or_else(|| std::mem::take(&mut self.advertised));
        if flags.last("mode") == Some("dev-container") {
            // As Redpanda's mode of this name: nobody waits for a second member.
            self.set("group_initial_rebalance_delay", "0".to_owned())?;
        }
        if let Some(id) = flags.last("node-id") {
            self.set("node_id", id.to_owned())?;
        }
        for pair in flags.all("set") {
            let (name, value) = pair.split_once('=').ok_or_else(|| format!("--set {pair}: expected NAME=VALUE"))?;
            self.set(name.strip_prefix("redpanda.").unwrap_or(name), value.to_owned())?;
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), String> {
        if SECURITY.contains(&name) && value == "true" {
            return Err(format!("{name}: {NO_SECURITY}"));
        }
        let of_node = match name {
            "node_id" => Some("node.id"),
            "data_directory" => Some("log.dirs"),
            _ => PROPERTIES.iter().find(|(property, _)| *property == name).map(|(_, key)| *key),
        };
        self.keys.extend(of_node.map(|key| (key.to_owned(), value)));
        Ok(())
    }

    /// Kafka's keys for all of it.
    pub(super) fn keys(&self) -> Vec<(String, String)> {
        let mut keys = self.keys.clone();
        if let Some(first) = self.listeners.first() {
            let joined = |texts: Vec<String>| texts.join(",");
            let protocols = self.listeners.iter().map(|listener| format!("{}:PLAINTEXT", listener.name)).collect();
            keys.push(("listeners".to_owned(), joined(self.listeners.iter().map(NamedAddress::key).collect())));
            keys.push(("listener.security.protocol.map".to_owned(), joined(protocols)));
            keys.push(("inter.broker.listener.name".to_owned(), first.name.clone()));
        }
        if !self.advertised.is_empty() {
            let told = self.listeners.iter().map(|listener| self.told(listener)).collect::<Vec<_>>();
            keys.push(("advertised.listeners".to_owned(), told.join(",")));
        }
        keys
    }

    /// What clients of a listener are told; where that was not said, the address at which they come.
    fn told(&self, listener: &NamedAddress) -> String {
        let advertised = self.advertised.iter().find(|advertised| advertised.name == listener.name);
        advertised.map_or_else(|| format!("{}://:{}", listener.name, listener.port()), NamedAddress::key)
    }

    /// The address of this node from its own machine.
    pub(super) fn reachable_at(&self) -> String {
        let port = self.listeners.first().map_or("", NamedAddress::port);
        if port.is_empty() { format!("localhost:{DEFAULT_PORT}") } else { format!("localhost:{port}") }
    }
}

/// One entry, or a list of them.
fn endpoints(value: Option<&Value>) -> Result<Vec<NamedAddress>, String> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Sequence(entries)) => entries.iter().map(NamedAddress::of_file).collect(),
        Some(entry) => Ok(vec![NamedAddress::of_file(entry)?]),
    }
}

fn refuse_tls(node: &Mapping) -> Result<(), String> {
    let entries = node.get("kafka_api_tls").and_then(Value::as_sequence).into_iter().flatten();
    let is_on = |entry: &Value| entry.get("enabled").and_then(Value::as_bool).unwrap_or(false);
    if entries.into_iter().any(is_on) { Err("kafka_api_tls: TLS is not served yet".to_owned()) } else { Ok(()) }
}

/// The text of a value that is neither empty, nor a list, nor a mapping.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn flags(line: &str) -> Node {
        let mut node = Node::default();
        node.apply(&Flags::read(line.split(' ').map(str::to_owned))).unwrap();
        node
    }

    fn listeners(node: &Node) -> Vec<String> {
        let keys = node.keys();
        let pairs: Vec<_> = keys.iter().map(|(key, text)| (key.as_str(), text.as_str())).collect();
        let config = Config::with(&pairs).unwrap();
        let told = |listener: &crate::config::Listener| {
            format!("{} {} {}", listener.name, listener.bind, listener.advertised.as_ref().unwrap())
        };
        config.listeners.iter().map(told).collect()
    }

    #[test]
    fn the_flags_of_test_containers_are_listeners() {
        let python = flags(
            "redpanda start --mode dev-container --smp 1 --memory 1G --kafka-addr \
             PLAINTEXT://0.0.0.0:29092,OUTSIDE://0.0.0.0:9092 --advertise-kafka-addr \
             PLAINTEXT://127.0.0.1:29092,OUTSIDE://localhost:32771",
        );
        let expected = ["PLAINTEXT 0.0.0.0:29092 127.0.0.1:29092", "OUTSIDE 0.0.0.0:9092 localhost:32771"];
        assert_eq!(listeners(&python), expected);
        assert_eq!(python.reachable_at(), "localhost:29092");
        let quarkus = flags(
            "--node-id 0 --set redpanda.auto_create_topics_enabled=false --set redpanda.enable_transactions=true",
        );
        let expected = [("node.id", "0"), ("auto.create.topics.enable", "false")];
        assert_eq!(quarkus.keys(), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert_eq!(quarkus.reachable_at(), "localhost:9092");
        assert_eq!(
            listeners(&flags("--kafka-addr 0.0.0.0 --advertise-kafka-addr kafka:19092")),
            ["KAFKA 0.0.0.0:9092 kafka:19092"]
        );
    }

    #[test]
    fn a_file_of_a_node_is_listeners_and_flags_are_stronger() {
        let mut node = Node::default();
        node.read(
            "redpanda:\n  node_id: 3\n  data_directory: /d\n  kafka_api:\n  - {address: 0.0.0.0, name: external, port: 9092}\n  \
             - {address: '::', name: internal, port: 9093, authentication_method: none}\n  advertised_kafka_api:\n  \
             - {address: localhost, name: external, port: 32771}\npandaproxy: {}\n",
        )
        .unwrap();
        assert_eq!(listeners(&node), ["EXTERNAL 0.0.0.0:9092 localhost:32771", "INTERNAL [::]:9093 :9093"]);
        assert_eq!(node.keys()[..2], [("node.id".into(), "3".into()), ("log.dirs".into(), "/d".into())]);
        node.apply(&Flags::read(["--kafka-addr".to_owned(), "external://0.0.0.0:1".to_owned()])).unwrap();
        assert_eq!(listeners(&node), ["EXTERNAL 0.0.0.0:1 localhost:32771"]);
    }

    #[test]
    fn what_would_be_dangerous_to_pass_over_is_refused() {
        for (text, reason) in [
            ("redpanda:\n  kafka_api:\n  - {address: h, authentication_method: sasl}\n", "authentication_method: SASL"),
            (
                "redpanda:\n  kafka_api_tls:\n  - {name: external, enabled: true}\n",
                "kafka_api_tls: TLS is not served yet",
            ),
            ("kafka_enable_authorization: true\n", "kafka_enable_authorization: SASL and ACLs"),
            ("redpanda:\n  kafka_api: [{port: 1}]\n", "an entry of kafka_api has no address"),
            ("a: [", "did not find"),
        ] {
            let refused = Node::default().read(text).expect_err(text);
            assert!(refused.contains(reason), "{refused}");
        }
        Node::default().read("superusers: []\nkafka_enable_authorization: false\n").unwrap();
        let set = Flags::read(["--set".to_owned(), "redpanda.enable_sasl=true".to_owned()]);
        assert!(Node::default().apply(&set).is_err());
        assert!(Node::default().apply(&Flags::read(["--set=x".to_owned()])).is_err());
    }
}
