//! Configurations that people have: environment blocks of compose files and of test containers, stock properties, and our
//! own compose files.

mod blocks;
mod compose;

use klamm::config::{Config, Environment, Settings};
use klamm::server::Server;

/// `NAME bind advertised` of each listener, and which one brokers use.
fn listeners(config: &Config) -> Vec<String> {
    let told = |listener: &klamm::config::Listener| {
        let advertised = listener.advertised.as_ref().map_or("nothing".to_owned(), ToString::to_string);
        format!("{} {} {advertised}", listener.name, listener.bind)
    };
    let between = format!("between brokers {}", config.inter_broker_listener);
    config.listeners.iter().map(told).chain([between]).collect()
}

fn stock(text: &str) -> Config {
    let mut settings = Settings::default();
    settings.read_file("server.properties", text, &Environment::new()).unwrap();
    Config::new(settings).unwrap()
}

#[tokio::test]
async fn topics_that_are_asked_for_are_there_at_the_start_and_a_wrong_one_is_no_reason_not_to_start() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let topics = "payments:3:1:compact,unreplicable:1:3,odd:1:1:retention.ms=x";
    let pairs = [
        ("listeners", "PLAINTEXT://127.0.0.1:0"),
        ("log.dirs", data),
        ("klamm.create.topics", topics),
        ("klamm.cluster.id", "abc"),
    ];
    // The second start finds what is there.
    for _ in 0..2 {
        let server = Server::start(Config::with(&pairs).unwrap()).await.unwrap();
        let image = server.broker().image();
        let names: Vec<_> = image.topics().map(|topic| topic.name.to_string()).collect();
        assert_eq!(names, ["payments"]);
        let payments = image.topic("payments").unwrap();
        assert_eq!((payments.partitions.len(), &*payments.configs["cleanup.policy"]), (3, "compact"));
        assert_eq!(&**image.cluster_id(), "abc");
        server.stop().await;
    }
}

/// What all versions' `server.properties` have.
const COMMON: &str = "num.network.threads=3\nnum.io.threads=8\nsocket.send.buffer.bytes=102400\n\
                      socket.receive.buffer.bytes=102400\nsocket.request.max.bytes=104857600\nnum.partitions=1\n\
                      num.recovery.threads.per.data.dir=1\noffsets.topic.replication.factor=1\n\
                      transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
                      log.retention.hours=168\nlog.segment.bytes=1073741824\nlog.retention.check.interval.ms=300000\n";

/// What those of `KRaft` have besides.
const KRAFT: &str = "process.roles=broker,controller\nnode.id=1\nlisteners=PLAINTEXT://:9092,CONTROLLER://:9093\n\
                     inter.broker.listener.name=PLAINTEXT\nadvertised.listeners=PLAINTEXT://localhost:9092\n\
                     controller.listener.names=CONTROLLER\nlog.dirs=/tmp/kraft-combined-logs\n\
                     listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,\
                     SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL\n";

#[test]
fn the_properties_that_kafka_comes_with() {
    let zookeeper = "broker.id=0\nlog.dirs=/tmp/kafka-logs\nzookeeper.connect=localhost:2181\n\
                     zookeeper.connection.timeout.ms=18000\ngroup.initial.rebalance.delay.ms=0\n";
    let broker_3_9 = stock(&format!("{COMMON}{zookeeper}"));
    assert_eq!((broker_3_9.node_id, broker_3_9.passed_over().len()), (0, 2));
    for own in [
        // 3.9, 4.0, and from 4.1 on.
        "controller.quorum.voters=1@localhost:9093\n",
        "controller.quorum.bootstrap.servers=localhost:9093\nadvertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n",
        "controller.quorum.bootstrap.servers=localhost:9093\nadvertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n\
         share.coordinator.state.topic.replication.factor=1\nshare.coordinator.state.topic.min.isr=1\n",
    ] {
        let config = stock(&format!("{COMMON}{KRAFT}{own}"));
        assert_eq!(listeners(&config), ["PLAINTEXT :9092 localhost:9092", "between brokers PLAINTEXT"]);
        assert_eq!(config.passed_over(), [""; 0]);
    }
    let broker_alone = "process.roles=broker\nnode.id=2\nlisteners=PLAINTEXT://localhost:9092\n\
                        controller.listener.names=CONTROLLER\ncontroller.quorum.bootstrap.servers=localhost:9093\n";
    assert_eq!(stock(&format!("{COMMON}{broker_alone}")).node_id, 2);
}

#[test]
fn a_key_that_nobody_knows_is_passed_over_in_properties_alone() {
    let config = stock("num.partition=3\n");
    let note = "server.properties:1: unknown key \"num.partition\" is passed over (did you mean \"num.partitions\"?)";
    assert_eq!(config.passed_over(), [note]);
    let yaml = Settings::default().read_file("k.yaml", "num.partition: 3\n", &Environment::new()).unwrap_err();
    assert_eq!(yaml.to_string(), "k.yaml:1: unknown key \"num.partition\"");
}
