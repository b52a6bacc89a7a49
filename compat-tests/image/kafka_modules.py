"""The modules that start one of the images of Apache Kafka, Confluent or Strimzi, and the compose files that do."""

from contract import IS_HEALTHY, PORT_IS_OPEN, RAFT_STARTED, STARTED, Module, module

KRAFT = {
    "KAFKA_NODE_ID": "1",
    "KAFKA_PROCESS_ROLES": "broker,controller",
    "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
    "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9094",
    "KAFKA_INTER_BROKER_LISTENER_NAME": "BROKER",
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "BROKER:PLAINTEXT,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "1",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
    "KAFKA_LOG_FLUSH_INTERVAL_MESSAGES": "9223372036854775807",
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    "CLUSTER_ID": "4L6g3nShT-eMCtK--X86sw",
}
ZOOKEEPER = {
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "BROKER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "KAFKA_INTER_BROKER_LISTENER_NAME": "BROKER",
    "KAFKA_BROKER_ID": "1",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "1",
    "KAFKA_LOG_FLUSH_INTERVAL_MESSAGES": "9223372036854775807",
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
}
# The port that is published, and what clients are told: 9092 for some modules, 9093 for others.
ON_9092 = {"KAFKA_LISTENERS": "PLAINTEXT://0.0.0.0:9092,BROKER://0.0.0.0:9093,CONTROLLER://0.0.0.0:9094"}
ON_9093 = {"KAFKA_LISTENERS": "PLAINTEXT://0.0.0.0:9093,BROKER://0.0.0.0:9092,CONTROLLER://0.0.0.0:9094"}
ADVERTISED_9092 = "export KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:9092,BROKER://$(hostname):9093\n"
ADVERTISED_9093 = "export KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:9093,BROKER://$(hostname):9092\n"
START_ZOOKEEPER = (
    "echo 'clientPort=2181' > zookeeper.properties\n"
    "echo 'dataDir=/var/lib/zookeeper/data' >> zookeeper.properties\n"
    "zookeeper-server-start zookeeper.properties &\n"
)
FORMAT = (
    "sed -i '/KAFKA_ZOOKEEPER_CONNECT/d' /etc/confluent/docker/configure\n"
    "echo 'kafka-storage format --ignore-formatted -t \"$(kafka-storage random-uuid)\" -c /etc/kafka/kafka.properties'"
    " >> /etc/confluent/docker/configure\n"
)
CONFIGURE_AND_LAUNCH = (
    ". /etc/confluent/docker/bash-config\n/etc/confluent/docker/configure\n/etc/confluent/docker/launch\n"
)


TMP = "/tmp/testcontainers_start.sh"
IN_KAFKA = "/opt/kafka/testcontainers_start.sh"
SHARE_GROUPS = {
    "KAFKA_GROUP_COORDINATOR_REBALANCE_PROTOCOLS": "classic,consumer,share",
    "KAFKA_UNSTABLE_API_VERSIONS_ENABLE": "true",
    "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
}
NATIVE = "/work/run.sh"
NATIVE_STARTED = ".*Kafka broker started.*"
WRITE_NATIVE = ["sh", "-c", f'echo -e "SCRIPT" >> {NATIVE} && chmod 777 {NATIVE}']
STRIMZI = "/testcontainers_start.sh"
# Decimal 700 where octal was meant: the group may run the script, its owner may not even read it.
STRIMZI_MODE = 700
KRAFT_PROPERTIES = "/opt/kafka/config/kraft/server.properties"
STRIMZI_PROPERTIES = """
listeners=PLAINTEXT://0.0.0.0:9092,BROKER1://0.0.0.0:9091,CONTROLLER://0.0.0.0:9094
inter.broker.listener.name=BROKER1
advertised.listeners=PLAINTEXT://localhost:9092,BROKER1://broker-1:9091,CONTROLLER://broker-1:9094
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,BROKER1:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=/tmp/default-log-dir
num.partitions=1
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
controller.quorum.voters=1@broker-1:9094
"""
MODULES = [
    Module("the image alone, as docker run starts it"),
    Module(
        "GitHub Actions services, by the image's health check",
        {"KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT://localhost:9092", "KAFKA_CREATE_TOPICS": "orders:3:1"},
        waits_for=IS_HEALTHY,
    ),
    Module(
        "the compose file of Apache Kafka's examples",
        {
            "KAFKA_NODE_ID": "1",
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PLAINTEXT_HOST:PLAINTEXT",
            "KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT_HOST://localhost:9092,PLAINTEXT://broker:19092",
            "KAFKA_PROCESS_ROLES": "broker,controller",
            "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@broker:29093",
            "KAFKA_LISTENERS": "CONTROLLER://:29093,PLAINTEXT_HOST://:9092,PLAINTEXT://:19092",
            "KAFKA_INTER_BROKER_LISTENER_NAME": "PLAINTEXT",
            "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
            "CLUSTER_ID": "4L6g3nShT-eMCtK--X86sw",
            "KAFKA_LOG_DIRS": "/tmp/kraft-combined-logs",
        },
    ),
    Module(
        "cp-all-in-one's compose file of KRaft, which changes the image's scripts",
        {
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PLAINTEXT_HOST:PLAINTEXT",
            "KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT://broker:29092,PLAINTEXT_HOST://localhost:9092",
            "KAFKA_LISTENERS": "PLAINTEXT://broker:29092,CONTROLLER://broker:29093,PLAINTEXT_HOST://0.0.0.0:9092",
            "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
            "KAFKA_INTER_BROKER_LISTENER_NAME": "PLAINTEXT",
            "KAFKA_JMX_PORT": "9101",
        },
        command=["bash", "-c", "/tmp/update_run.sh && /etc/confluent/docker/run"],
        files={
            "/tmp/update_run.sh": "#!/bin/sh\nsed -i '/KAFKA_ZOOKEEPER_CONNECT/d' /etc/confluent/docker/configure\n"
            "sed -i 's/cub zk-ready/echo ignore zk-ready/' /etc/confluent/docker/ensure\n"
            'echo "kafka-storage format --ignore-formatted -t $(kafka-storage random-uuid) -c /etc/kafka/kafka.properties"'
            " >> /etc/confluent/docker/ensure\n"
        },
    ),
    Module(
        ".NET Aspire",
        {
            "KAFKA_LISTENERS": "PLAINTEXT://localhost:29092,CONTROLLER://localhost:29093,PLAINTEXT_HOST://0.0.0.0:9092",
            "KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT://localhost:29092,PLAINTEXT_HOST://localhost:9092",
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PLAINTEXT_HOST:PLAINTEXT",
        },
    ),
    module("Java, KafkaContainer", "sh", TMP, TMP, f"#!/bin/bash\n{ADVERTISED_9092}/etc/kafka/docker/run\n", KRAFT | ON_9092),
    module(
        "Java, ConfluentKafkaContainer", "sh", TMP, TMP,
        f"#!/bin/bash\n{ADVERTISED_9092}/etc/confluent/docker/run\n", KRAFT | ON_9092,
    ),
    module(
        "Java, the older KafkaContainer", "sh", TMP, TMP,
        f"#!/bin/bash\n{ADVERTISED_9093}{START_ZOOKEEPER}export KAFKA_ZOOKEEPER_CONNECT=localhost:2181\n"
        "echo '' > /etc/confluent/docker/ensure\n/etc/confluent/docker/run\n",
        ZOOKEEPER | {"KAFKA_LISTENERS": "PLAINTEXT://0.0.0.0:9093,BROKER://0.0.0.0:9092"},
        port=9093, waits_for=STARTED,
    ),
    module(
        "Java, the older KafkaContainer with KRaft", "sh", TMP, TMP,
        f"#!/bin/bash\n{ADVERTISED_9093}echo '' > /etc/confluent/docker/ensure\n{FORMAT}/etc/confluent/docker/run\n",
        KRAFT | ON_9093, port=9093,
    ),
    module(
        "Go", "sh", "/usr/sbin/testcontainers_start.sh", "bash /usr/sbin/testcontainers_start.sh",
        f"#!/bin/bash\nsource /etc/confluent/docker/bash-config\n{ADVERTISED_9093}{FORMAT}"
        "echo '' > /etc/confluent/docker/ensure\n/etc/confluent/docker/configure\n/etc/confluent/docker/launch\n",
        KRAFT | ON_9093, port=9093,
    ),
    module(
        "Python", "sh", "/tc-start.sh", "sh /tc-start.sh",
        "#!/bin/bash\nexport KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:9093,BROKER://$(hostname -i | cut -d' ' -f1):9092\n"
        f"{START_ZOOKEEPER}export KAFKA_ZOOKEEPER_CONNECT=localhost:2181\n{CONFIGURE_AND_LAUNCH}",
        ZOOKEEPER | {"KAFKA_LISTENERS": "PLAINTEXT://0.0.0.0:9093,BROKER://0.0.0.0:9092"},
        port=9093, waits_for=STARTED,
    ),
    module(
        "Python, with_kraft", "sh", "/tc-start.sh", "sh /tc-start.sh",
        f"#!/bin/bash\n{ADVERTISED_9093}{FORMAT}{CONFIGURE_AND_LAUNCH}", KRAFT | ON_9093,
        port=9093, waits_for=RAFT_STARTED,
    ),
    module(
        "Node", "sh", TMP, TMP, f"#!/bin/bash\n{ADVERTISED_9093}/etc/confluent/docker/run\n", KRAFT | ON_9093,
        port=9093, waits_for=PORT_IS_OPEN,
    ),
    module(
        ".NET", "/bin/sh", "/testcontainers.sh", "/testcontainers.sh",
        "#!/bin/bash\nexport KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://127.0.0.1:9092,BROKER://$(hostname):9093,\n"
        "exec /etc/kafka/docker/run\n",
        KRAFT | {"KAFKA_LISTENERS": "PLAINTEXT://:9092,BROKER://:9093,CONTROLLER://:9094", "KAFKA_BROKER_ID": "1"},
    ),
    module(
        "Rust", "bash", IN_KAFKA, f"chmod 755 {IN_KAFKA} && {IN_KAFKA}",
        f"#!/usr/bin/env bash\n{ADVERTISED_9092}/etc/kafka/docker/run \n",
        {key: value for key, value in (KRAFT | ON_9092).items() if key != "KAFKA_NODE_ID"} | {"KAFKA_BROKER_ID": "1"},
        runs=["sh", "-c", f"echo 'SCRIPT' > {IN_KAFKA}"], waits_for=RAFT_STARTED,
    ),
    module(
        "Strimzi's test container, and Quarkus with it", "sh", STRIMZI, STRIMZI,
        f"#!/bin/bash \nbin/kafka-storage.sh format -t=\"x\" -c {KRAFT_PROPERTIES} \n"
        f"bin/kafka-server-start.sh {KRAFT_PROPERTIES} \n",
        {"LOG_DIR": "/tmp"}, tests="-x", mode=STRIMZI_MODE, late_files={KRAFT_PROPERTIES: STRIMZI_PROPERTIES},
    ),
    module(
        "Strimzi's older test container, with overrides", "sh", STRIMZI, STRIMZI,
        "#!/bin/bash \nbin/kafka-storage.sh format -t x -c config/kraft/server.properties \n"
        "bin/kafka-server-start.sh config/kraft/server.properties"
        " --override listeners=PLAINTEXT://0.0.0.0:9092,BROKER1://0.0.0.0:9091,CONTROLLER://0.0.0.0:9094"
        " --override advertised.listeners=PLAINTEXT://localhost:9092,BROKER1://127.0.0.1:9091"
        " --override listener.security.protocol.map=PLAINTEXT:PLAINTEXT,BROKER1:PLAINTEXT,CONTROLLER:PLAINTEXT"
        " --override inter.broker.listener.name=BROKER1 --override controller.listener.names=CONTROLLER"
        " --override controller.quorum.voters=1@localhost:9094 --override broker.id=1\n",
        {"LOG_DIR": "/tmp"}, tests="-x", mode=STRIMZI_MODE,
    ),
    module(
        "Quarkus, official", "sh", TMP, TMP,
        f"#!/bin/bash\n{ADVERTISED_9092}if [ -f /opt/kafka/kafka.Kafka ]; then\n  exit 1\nelse\n"
        "  exec /etc/kafka/docker/run\nfi\n",
        KRAFT | ON_9092 | SHARE_GROUPS, tests="-x",
    ),
    module(
        "Quarkus, kafka-native", "sh", NATIVE, f"sleep 0.1; {NATIVE}",
        "#!/bin/bash\n/work/kafka -Dkafka.advertised.listeners=PLAINTEXT://localhost:9092", {},
        runs=WRITE_NATIVE, waits_for=NATIVE_STARTED,
    ),
    module(
        "Quarkus, kafka-native on a shared network", "sh", NATIVE, f"sleep 0.1; {NATIVE}",
        "#!/bin/bash\n/work/kafka -Dkafka.advertised.listeners=BROKER://kafka:9093,PLAINTEXT://localhost:9092"
        " -Dkafka.listeners=BROKER://:9093,PLAINTEXT://:9092,CONTROLLER://:9094"
        " -Dkafka.interbroker.listener.name=BROKER -Dkafka.controller.listener.names=CONTROLLER"
        " -Dkafka.listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT"
        " -Dkafka.early.start.listeners=BROKER,CONTROLLER,PLAINTEXT", {},
        runs=WRITE_NATIVE, waits_for=NATIVE_STARTED,
    ),
]  # fmt: skip
NOT_SERVED = [
    "Rust, kafka::confluent: it waits for lines of Kafka's log that would mean nothing here",
    "Node and Strimzi with TLS, SASL or OAuth: not served yet",
]
