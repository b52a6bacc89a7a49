"""What programs do that start a container of Kafka's: the command they force, the script they bring, what they wait for."""

from dataclasses import dataclass, field

# As their sources have it: the script is copied into the container that waits for it already.
WAIT = "while [ ! -f {script} ]; do sleep 0.1; done; {run}"
RUNNING = r".*Transitioning from RECOVERY to RUNNING.*"
STARTED = r".*\[KafkaServer id=\d+\] started.*"

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
CONFIGURE_AND_LAUNCH = ". /etc/confluent/docker/bash-config\n/etc/confluent/docker/configure\n/etc/confluent/docker/launch\n"


@dataclass
class Module:
    """One way to start a container: `script` is brought to `path`, and `command` waits for it; none is the image's own."""

    name: str
    environment: dict
    port: int = 9092
    waits_for: str = RUNNING
    command: list = field(default_factory=lambda: ["/etc/kafka/docker/run"])
    path: str = ""
    script: str = ""


def module(name, shell, path, run, script, environment, **rest):
    """One that brings a script; `run` is how its command starts it."""
    command = [shell, "-c", WAIT.format(script=path, run=run)]
    return Module(name, environment, command=command, path=path, script=script, **rest)


TMP = "/tmp/testcontainers_start.sh"
MODULES = [
    Module("the image alone, as docker run and GitHub's services start it", {}),
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
        port=9093, waits_for=r".*Kafka Server started.*",
    ),
    module(
        "Node", "sh", TMP, TMP, f"#!/bin/bash\n{ADVERTISED_9093}/etc/confluent/docker/run\n", KRAFT | ON_9093,
        port=9093,
    ),
    module(
        ".NET", "/bin/sh", "/testcontainers.sh", "/testcontainers.sh",
        "#!/bin/bash\nexport KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://127.0.0.1:9092,BROKER://$(hostname):9093,\n"
        "exec /etc/kafka/docker/run\n",
        KRAFT | {"KAFKA_LISTENERS": "PLAINTEXT://:9092,BROKER://:9093,CONTROLLER://:9094", "KAFKA_BROKER_ID": "1"},
    ),
    module(
        "Rust", "bash", "/opt/kafka/testcontainers_start.sh", "/opt/kafka/testcontainers_start.sh",
        f"#!/usr/bin/env bash\n{ADVERTISED_9092}/etc/kafka/docker/run\n",
        {key: value for key, value in (KRAFT | ON_9092).items() if key != "KAFKA_NODE_ID"} | {"KAFKA_BROKER_ID": "1"},
        waits_for=r".*Kafka Server started.*",
    ),
]  # fmt: skip
