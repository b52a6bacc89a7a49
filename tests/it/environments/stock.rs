//! The properties that Apache Kafka comes with: each file's keys and values, read from its own repository.
//!
//! 3.9 is the release branch; 4.0 is `config/broker.properties` of the commit that is 4.0.0, and the combined node of the
//! weeks before it; 4.1's `config/server.properties` is that of published copies of its distribution; the last two are the
//! newest of the main branch that could be had. 4.1's broker lies between 4.0's and the newest, which differ in nothing but
//! the threads for recovery: whichever of the two a release between them has, 4.3 included, its file is one of these.

use klamm::config::{Config, Environment, Settings};
use klamm::server::Server;

/// What all of them set.
const COMMON: &[(&str, &str)] = &[
    ("num.network.threads", "3"),
    ("num.io.threads", "8"),
    ("socket.send.buffer.bytes", "102400"),
    ("socket.receive.buffer.bytes", "102400"),
    ("socket.request.max.bytes", "104857600"),
    ("num.partitions", "1"),
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("log.retention.hours", "168"),
    ("log.retention.check.interval.ms", "300000"),
];

/// What those without `ZooKeeper` set besides.
const KRAFT: &[(&str, &str)] = &[
    ("inter.broker.listener.name", "PLAINTEXT"),
    ("controller.listener.names", "CONTROLLER"),
    ("log.segment.bytes", "1073741824"),
    (
        "listener.security.protocol.map",
        "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL",
    ),
];

const COMBINED: &[(&str, &str)] = &[
    ("process.roles", "broker,controller"),
    ("node.id", "1"),
    ("listeners", "PLAINTEXT://:9092,CONTROLLER://:9093"),
    ("advertised.listeners", "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093"),
    ("log.dirs", "/tmp/kraft-combined-logs"),
];

const BROKER: &[(&str, &str)] = &[
    ("process.roles", "broker"),
    ("node.id", "2"),
    ("listeners", "PLAINTEXT://localhost:9092"),
    ("advertised.listeners", "PLAINTEXT://localhost:9092"),
    ("log.dirs", "/tmp/kraft-broker-logs"),
];

const ZOOKEEPER: &[(&str, &str)] = &[
    ("broker.id", "0"),
    ("log.dirs", "/tmp/kafka-logs"),
    ("zookeeper.connect", "localhost:2181"),
    ("zookeeper.connection.timeout.ms", "18000"),
    ("group.initial.rebalance.delay.ms", "0"),
];

const VOTERS: (&str, &str) = ("controller.quorum.voters", "1@localhost:9093");
const BOOTSTRAP: (&str, &str) = ("controller.quorum.bootstrap.servers", "localhost:9093");
const ONE_THREAD: (&str, &str) = ("num.recovery.threads.per.data.dir", "1");
const TWO_THREADS: (&str, &str) = ("num.recovery.threads.per.data.dir", "2");
const SHARES: &[(&str, &str)] =
    &[("share.coordinator.state.topic.replication.factor", "1"), ("share.coordinator.state.topic.min.isr", "1")];

/// One file: its name, what it sets beside what all set, its node, and how many of its keys are passed over.
struct Stock {
    name: &'static str,
    own: Vec<(&'static str, &'static str)>,
    node_id: i32,
    passed_over: usize,
}

fn stocks() -> Vec<Stock> {
    let stock = |name, parts: &[&[(&'static str, &'static str)]], node_id, passed_over| {
        let own = [COMMON, parts.concat().as_slice()].concat();
        Stock { name, own, node_id, passed_over }
    };
    vec![
        stock("3.9 config/server", &[ZOOKEEPER, &[ONE_THREAD]], 0, 2),
        stock("3.9 config/kraft/server", &[KRAFT, COMBINED, &[VOTERS, ONE_THREAD]], 1, 0),
        stock("3.9 config/kraft/reconfig-server", &[KRAFT, COMBINED, &[BOOTSTRAP, ONE_THREAD]], 1, 0),
        stock("3.9 config/kraft/broker", &[KRAFT, BROKER, &[BOOTSTRAP, ONE_THREAD]], 2, 0),
        stock("4.0 config/kraft/server", &[KRAFT, COMBINED, SHARES, &[VOTERS, ONE_THREAD]], 1, 0),
        stock("4.0 config/broker", &[KRAFT, BROKER, SHARES, &[BOOTSTRAP, ONE_THREAD]], 2, 0),
        stock("4.1 config/server", &[KRAFT, COMBINED, SHARES, &[BOOTSTRAP, ONE_THREAD]], 1, 0),
        stock("4.1 config/broker", &[KRAFT, BROKER, SHARES, &[BOOTSTRAP, ONE_THREAD]], 2, 0),
        stock("later config/server", &[KRAFT, COMBINED, SHARES, &[BOOTSTRAP, TWO_THREADS]], 1, 0),
        stock("later config/broker", &[KRAFT, BROKER, SHARES, &[BOOTSTRAP, TWO_THREADS]], 2, 0),
    ]
}

/// The configuration of a file with these keys.
fn configured(own: &[(&str, &str)], change: impl Fn(&str, &str) -> String) -> Config {
    let lines: Vec<String> = own.iter().map(|(key, value)| format!("{key}={}", change(key, value))).collect();
    let mut settings = Settings::default();
    settings.read_file("server.properties", &lines.join("\n"), &Environment::new()).unwrap();
    Config::new(settings).unwrap()
}

#[tokio::test]
async fn the_properties_that_kafka_comes_with_start_a_broker() {
    for Stock { name, own, node_id, passed_over } in stocks() {
        let config = configured(&own, |_, value| value.to_owned());
        assert_eq!((config.node_id, config.passed_over().len()), (node_id, passed_over), "{name}");
        assert_eq!(config.listeners.len(), 1, "{name}");
        let advertised = config.listeners[0].advertised.as_ref().map(ToString::to_string);
        assert!(advertised.is_none_or(|address| address == "localhost:9092"), "{name}");
        // The same with ports and a directory of its own: others may be at Kafka's.
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().display().to_string();
        let config = configured(&own, |key, value| match key {
            "log.dirs" => data.clone(),
            _ if key.ends_with("listeners") => value.replace(":9092", ":0").replace(":9093", ":0"),
            _ => value.to_owned(),
        });
        let is_default = !own.iter().any(|(key, _)| *key == "listeners");
        let config = if is_default { on_any_port(&own, &data) } else { config };
        let server = Server::start(config).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(server.listeners().len(), 1, "{name}");
        server.stop().await.unwrap();
    }
}

/// A file that leaves `listeners` out, with a port that is free.
fn on_any_port(own: &[(&str, &str)], data: &str) -> Config {
    let own = [own, &[("listeners", "PLAINTEXT://localhost:0")]].concat();
    configured(&own, |key, value| if key == "log.dirs" { data.to_owned() } else { value.to_owned() })
}
