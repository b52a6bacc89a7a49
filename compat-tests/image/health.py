"""Health checks that people paste into compose files: each succeeds with a broker, and fails without one."""

CHECKS = [
    "klamm healthcheck",
    "nc -z localhost 9092",
    "nc -vz localhost 9092",
    "cub kafka-ready -b localhost:9092 1 2",
    "rpk cluster health | grep -E 'Healthy:.+true'",
    "rpk cluster health -X brokers=localhost:9092 | grep -q 'Healthy:.*true'",
    "/opt/kafka/bin/kafka-topics.sh --bootstrap-server localhost:9092 --list",
    "kafka-topics --bootstrap-server localhost:9092 --list || exit 1",
    "kafka-topics.sh --list --bootstrap-server localhost:9092",
    "kafka-broker-api-versions --bootstrap-server localhost:9092",
    "/opt/kafka/bin/kafka-broker-api-versions.sh --bootstrap-server localhost:9092 > /dev/null 2>&1",
    "kafka-cluster.sh cluster-id --bootstrap-server localhost:9092",
    "kafka-cluster cluster-id --bootstrap-server localhost:9092",
    "/opt/kafka/bin/kafka-cluster.sh cluster-id --bootstrap-server localhost:9092 || exit 1",
    "/opt/bitnami/kafka/bin/kafka-cluster.sh cluster-id --bootstrap-server localhost:9092",
]
