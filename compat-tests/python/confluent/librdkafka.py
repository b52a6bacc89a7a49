"""Clients of librdkafka for the tests of this folder, and what their tests share."""

import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

PATIENCE_S = 20


class Clients:
    """Makes clients of one broker and closes its consumers."""

    def __init__(self, bootstrap):
        self.bootstrap = {"bootstrap.servers": bootstrap}
        self.admin = AdminClient(self.bootstrap)
        self.consumers = []

    def producer(self, **options):
        """A producer; option names are librdkafka's with underscores."""
        return Producer({**self.bootstrap, "linger.ms": 0, **dotted(options)})

    def consumer(self, group, **options):
        """A consumer of a group that starts at the beginning and commits only when told."""
        defaults = {"group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
        quick = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 300, "topic.metadata.refresh.interval.ms": 1000}
        self.consumers.append(Consumer({**self.bootstrap, **defaults, **quick, **dotted(options)}))
        return self.consumers[-1]

    def create(self, topic, partitions=1, **configs):
        """Creates a topic and returns its name."""
        self.admin.create_topics([NewTopic(topic, partitions, 1, config=dotted(configs))])[topic].result(PATIENCE_S)
        return topic

    def fill(self, topic, values, partition=0, **options):
        """Sends values to one partition; returns the delivered messages. A failed delivery raises."""
        producer, delivered = self.producer(**options), []

        def done(error, message):
            delivered.append(error or message)

        for value in values:
            producer.produce(topic, value, partition=partition, on_delivery=done)
        producer.flush(PATIENCE_S)
        for outcome in delivered:
            if isinstance(outcome, KafkaError):
                raise KafkaException(outcome)
        return delivered


def dotted(options):
    """Kafka's names of options that Python wants with underscores."""
    return {key.replace("_", "."): value for key, value in options.items()}


def read(consumer, count):
    """Polls until `count` messages came."""
    messages = []
    deadline = time.monotonic() + PATIENCE_S
    while len(messages) < count and time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is not None:
            assert message.error() is None, message.error()
            messages.append(message)
    assert len(messages) == count
    return messages


def values(messages):
    """The messages' values as strings."""
    return [message.value().decode() for message in messages]
