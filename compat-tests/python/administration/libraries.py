"""Clients of two libraries for one broker, and what the tests do with both."""

import time

import confluent_kafka
import kafka
from confluent_kafka.admin import AdminClient
from kafka import KafkaAdminClient

PATIENCE_S = 20


def wait_until(condition):
    """Waits until a condition holds; a broker's own configs act a moment after the answer."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


class Clients:
    """An admin client of kafka-python and one of confluent-kafka, and what the tests do with both."""

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.python = KafkaAdminClient(bootstrap_servers=bootstrap)
        self.confluent = AdminClient({"bootstrap.servers": bootstrap})

    def reconnect(self):
        """A new client of kafka-python, which does not find a broker again that was away."""
        self.python.close()
        self.python = KafkaAdminClient(bootstrap_servers=self.bootstrap)

    def create(self, topic, partitions=1, **configs):
        """Creates a topic; returns its name."""
        entries = {key.replace("_", "."): value for key, value in configs.items()}
        new = confluent_kafka.admin.NewTopic(topic, partitions, 1, config=entries)
        self.confluent.create_topics([new])[topic].result(PATIENCE_S)
        return topic

    def fill(self, topic, count, **options):
        """Sends records of ten bytes to partition 0, each in a batch of its own; returns the producer."""
        options = {key.replace("_", "."): value for key, value in options.items()}
        producer = confluent_kafka.Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 0, **options})
        for number in range(count):
            producer.produce(topic, b"%010d" % number, partition=0)
            assert producer.flush(PATIENCE_S) == 0
        return producer

    def start_offset(self, topic):
        """The log start offset of partition 0, asked by kafka-python."""
        partition = kafka.TopicPartition(topic, 0)
        listed = self.python.list_partition_offsets({partition: kafka.admin.OffsetSpec.EARLIEST})
        return listed[partition].offset

    def topic_configs(self, topic):
        """The configs that are not defaults, read by kafka-python: key -> value."""
        resource = kafka.admin.ConfigResource(kafka.admin.ConfigResourceType.TOPIC, topic)
        described = self.python.describe_configs([resource])["topic"][topic]
        return {key: config["value"] for key, config in described.items()}


def opened(bootstrap):
    """Clients of a broker, for a fixture to yield; closed afterwards."""
    made = Clients(bootstrap)
    yield made
    made.python.close()
