//! Configurations that people have: environment blocks of compose files and of test containers, and stock properties.

mod compose;

use klamm::config::{Config, Settings, Storage};
use klamm::server::Server;

/// The configuration of a container with these lines of `NAME=value`.
fn container(block: &str) -> Config {
    let variables = block.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| {
        let (name, value) = line.split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    });
    let mut settings = Settings::default();
    settings.read_environment(variables, |path| Err(format!("{path} is not there"))).unwrap();
    Config::new(settings).unwrap()
}

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
    settings.read_file("server.properties", text).unwrap();
    Config::new(settings).unwrap()
}

#[test]
fn the_compose_example_of_apache_kafka() {
    let config = container(
        "KAFKA_NODE_ID=1
        KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PLAINTEXT_HOST:PLAINTEXT
        KAFKA_ADVERTISED_LISTENERS=PLAINTEXT_HOST://localhost:9092,PLAINTEXT://broker:19092
        KAFKA_PROCESS_ROLES=broker,controller
        KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR=1
        KAFKA_CONTROLLER_QUORUM_VOTERS=1@broker:29093
        KAFKA_LISTENERS=CONTROLLER://:29093,PLAINTEXT_HOST://:9092,PLAINTEXT://:19092
        KAFKA_INTER_BROKER_LISTENER_NAME=PLAINTEXT
        KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER
        CLUSTER_ID=4L6g3nShT-eMCtK--X86sw
        KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS=0
        KAFKA_TRANSACTION_STATE_LOG_MIN_ISR=1
        KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR=1
        KAFKA_LOG_DIRS=/tmp/kraft-combined-logs",
    );
    assert_eq!(
        listeners(&config),
        ["PLAINTEXT_HOST :9092 localhost:9092", "PLAINTEXT :19092 broker:19092", "between brokers PLAINTEXT"]
    );
    assert_eq!(config.cluster_id.as_deref(), Some("4L6g3nShT-eMCtK--X86sw"));
    assert_eq!(config.storage, Storage::Disk("/tmp/kraft-combined-logs".into()));
    assert_eq!(config.broker.group_initial_rebalance_delay_ms, 0);
    assert_eq!(config.passed_over(), [""; 0]);
}

#[test]
fn the_test_containers_of_java_and_dotnet() {
    let java = container(
        "KAFKA_LISTENERS=BROKER://0.0.0.0:9093,PLAINTEXT://0.0.0.0:9092,CONTROLLER://0.0.0.0:9094,TC-0://0.0.0.0:19092
        KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:32771,BROKER://4f1c:9093,TC-0://kafka:19092
        KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=BROKER:PLAINTEXT,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TC-0:PLAINTEXT
        KAFKA_INTER_BROKER_LISTENER_NAME=BROKER
        KAFKA_PROCESS_ROLES=broker,controller
        KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER
        KAFKA_NODE_ID=1
        KAFKA_CONTROLLER_QUORUM_VOTERS=1@localhost:9094
        KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS=1
        KAFKA_LOG_FLUSH_INTERVAL_MESSAGES=9223372036854775807
        CLUSTER_ID=4L6g3nShT-eMCtK--X86sw",
    );
    assert_eq!(
        listeners(&java),
        [
            "BROKER 0.0.0.0:9093 4f1c:9093",
            "PLAINTEXT 0.0.0.0:9092 localhost:32771",
            "TC-0 0.0.0.0:19092 kafka:19092",
            "between brokers BROKER"
        ]
    );
    let dotnet = container(
        "KAFKA_LISTENERS=PLAINTEXT://:9092,BROKER://:9093,CONTROLLER://:9094
        KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://127.0.0.1:32768,BROKER://172.17.0.3:9093,
        KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
        KAFKA_INTER_BROKER_LISTENER_NAME=BROKER
        KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER
        KAFKA_BROKER_ID=1
        KAFKA_NODE_ID=1",
    );
    assert_eq!(
        listeners(&dotnet),
        ["PLAINTEXT :9092 127.0.0.1:32768", "BROKER :9093 172.17.0.3:9093", "between brokers BROKER"]
    );
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

#[test]
fn what_other_images_are_told() {
    let aspire = container(
        "KAFKA_LISTENERS=PLAINTEXT://localhost:29092,CONTROLLER://localhost:29093,PLAINTEXT_HOST://0.0.0.0:9092
        KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:29092,PLAINTEXT_HOST://localhost:9092
        KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PLAINTEXT_HOST:PLAINTEXT
        KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER",
    );
    assert_eq!(listeners(&aspire).len(), 3);
    let bitnami = container(
        "KAFKA_CFG_NODE_ID=0
        KAFKA_CFG_PROCESS_ROLES=controller,broker
        KAFKA_CFG_LISTENERS=PLAINTEXT://:9092,CONTROLLER://:9093
        KAFKA_CFG_LISTENER_SECURITY_PROTOCOL_MAP=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
        KAFKA_CFG_CONTROLLER_QUORUM_VOTERS=0@kafka:9093
        KAFKA_CFG_CONTROLLER_LISTENER_NAMES=CONTROLLER
        KAFKA_CFG_ADVERTISED_LISTENERS=PLAINTEXT://:9092
        KAFKA_ENABLE_KRAFT=yes
        ALLOW_PLAINTEXT_LISTENER=yes
        KAFKA_KRAFT_CLUSTER_ID=abcdefghijklmnopqrstuv",
    );
    assert_eq!((bitnami.node_id, bitnami.passed_over().len()), (0, 0));
    assert_eq!(listeners(&bitnami), ["PLAINTEXT :9092 :9092", "between brokers PLAINTEXT"]);
    let wurstmeister = container(
        "KAFKA_ADVERTISED_LISTENERS=INSIDE://kafka:9093,OUTSIDE://localhost:9092
        KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=INSIDE:PLAINTEXT,OUTSIDE:PLAINTEXT
        KAFKA_INTER_BROKER_LISTENER_NAME=INSIDE
        KAFKA_ZOOKEEPER_CONNECT=zookeeper:2181
        KAFKA_CREATE_TOPICS=Topic1:1:3,Topic2:1:1:compact",
    );
    assert_eq!(listeners(&wurstmeister)[1], "OUTSIDE 0.0.0.0:9092 localhost:9092");
    assert_eq!((wurstmeister.initial_topics.len(), wurstmeister.passed_over().len()), (2, 1));
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
    let yaml = Settings::default().read_file("k.yaml", "num.partition: 3\n").unwrap_err();
    assert_eq!(yaml.to_string(), "k.yaml:1: unknown key \"num.partition\"");
}
