"""A changed config acts without a restart, and is still there after kill -9."""

import os

import confluent_kafka
import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource
from libraries import PATIENCE_S, opened, wait_until

from harness.broker import broker_class


@pytest.fixture(scope="module")
def broker():
    """A broker of this module's own, which looks for what to delete every 200 ms."""
    settings = {"log.retention.check.interval.ms": "200", "log.initial.task.delay.ms": "100"}
    with broker_class(os.environ["AGAINST"])(settings) as started:
        yield started


@pytest.fixture(scope="module")
def clients(broker):
    """Clients of that broker; they find it again after its crash, for its port stays."""
    yield from opened(broker.bootstrap)


def change(clients, kind, name, **configs):
    """Sets configs while the broker runs."""
    operation = AlterConfigOpType.SET
    entries = [
        ConfigEntry(key.replace("_", "."), value, incremental_operation=operation) for key, value in configs.items()
    ]
    resource = ConfigResource(kind, name, incremental_configs=entries)
    clients.confluent.incremental_alter_configs([resource])[resource].result(PATIENCE_S)


def segments(broker, topic):
    """How many segments partition 0 has on disk."""
    return len(list((broker.data / f"{topic}-0").glob("*.log")))


def codec(broker, topic):
    """The compression codec of the newest batch of partition 0's only segment: bits 0 to 2 of its attributes."""
    (segment,) = (broker.data / f"{topic}-0").glob("*.log")
    content, at, attributes = segment.read_bytes(), 0, 0
    while at + 23 <= len(content):
        attributes = int.from_bytes(content[at + 21 : at + 23], "big")
        at += 12 + int.from_bytes(content[at + 8 : at + 12], "big")
    return attributes & 7


def is_refused(clients, topic, size):
    """Whether a record of this size is too large for the broker."""
    errors = []
    producer = confluent_kafka.Producer({"bootstrap.servers": clients.bootstrap, "message.max.bytes": 10_000_000})
    producer.produce(topic, b"x" * size, partition=0, on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(PATIENCE_S) == 0
    if errors[0] is not None:
        assert errors[0].code() == confluent_kafka.KafkaError.MSG_SIZE_TOO_LARGE, errors[0]
    return errors[0] is not None


def crash(broker, clients):
    """Kills the broker and starts it again."""
    broker.kill()
    broker.start()
    clients.reconnect()


def test_message_size(broker, clients, name):
    clients.create(name)
    assert not is_refused(clients, name, 5000)
    change(clients, "topic", name, max_message_bytes="2000")
    assert is_refused(clients, name, 5000) and not is_refused(clients, name, 500)
    crash(broker, clients)
    assert is_refused(clients, name, 5000) and not is_refused(clients, name, 500)


def test_message_size_of_all_topics(broker, clients, name):
    clients.create(name)
    change(clients, "broker", "1", message_max_bytes="2000")
    wait_until(lambda: is_refused(clients, name, 5000))
    crash(broker, clients)
    assert is_refused(clients, name, 5000)
    change(clients, "broker", "1", message_max_bytes="1048588")
    wait_until(lambda: not is_refused(clients, name, 5000))


def test_compression(broker, clients, name):
    clients.create(name)
    clients.fill(name, 1)
    assert codec(broker, name) == 0
    change(clients, "topic", name, compression_type="zstd")
    clients.fill(name, 1)
    assert codec(broker, name) == 4
    crash(broker, clients)
    change(clients, "topic", name, compression_type="gzip")
    clients.fill(name, 1)
    assert codec(broker, name) == 1


def test_segment_size(broker, clients, name):
    """Kafka allows segments of 1 MB at least."""
    clients.create(name)
    for _ in range(3):
        assert not is_refused(clients, name, 700_000)
    assert segments(broker, name) == 1
    change(clients, "topic", name, segment_bytes="1048576")
    for number in range(2, 4):
        assert not is_refused(clients, name, 700_000)
        assert segments(broker, name) == number
    crash(broker, clients)
    assert not is_refused(clients, name, 700_000)
    assert segments(broker, name) == 4


def test_retention(broker, clients, name):
    """The size and the age that a log may reach are lowered while it is open."""
    clients.create(name, segment_bytes="1048576")
    for _ in range(4):
        assert not is_refused(clients, name, 700_000)
    assert clients.start_offset(name) == 0
    change(clients, "topic", name, retention_bytes="1500000")
    wait_until(lambda: clients.start_offset(name) == 1)
    crash(broker, clients)
    assert clients.topic_configs(name)["retention.bytes"] == "1500000"
    change(clients, "topic", name, retention_ms="100")
    wait_until(lambda: clients.start_offset(name) == 4)
