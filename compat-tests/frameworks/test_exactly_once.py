"""Kafka Streams with `exactly_once_v2`, killed in mid-flight, and the broker too: every word is counted once."""

import time

import confluent_kafka
import pytest
from confluent_kafka import KafkaError, TopicPartition
from programs import PATIENCE_S, crash, create, produce, running, until

LETTERS = "abcdef"
WORDS_A_TIME = 1200


def words(numbers):
    """Words, in turn of each letter."""
    return [f"{LETTERS[number % len(LETTERS)]}{number}" for number in numbers]


def counts(bootstrap, topic):
    """All committed counts of each letter, in their order, from a topic's only partition."""
    options = {"bootstrap.servers": bootstrap, "group.id": "nobody", "isolation.level": "read_committed"}
    consumer = confluent_kafka.Consumer({**options, "enable.partition.eof": True, "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, 0, confluent_kafka.OFFSET_BEGINNING)])
    found, deadline = {letter: [] for letter in LETTERS}, time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for message in consumer.consume(500, 0.1):
            if message.error() is None:
                found[message.key().decode()].append(int(message.value()))
            elif message.error().code() == KafkaError._PARTITION_EOF:
                consumer.close()
                return found
    consumer.close()
    pytest.fail("a reader of what is committed never comes to the end")


def test_streams_counts_exactly_once(broker, name, tmp_path):
    """Each letter's counts are 1, 2, 3 and so on, whenever the application or the broker was killed."""
    log, output = tmp_path / "streams.log", f"{name}-counted"
    create(broker.bootstrap, name, partitions=2)
    create(broker.bootstrap, output)
    application = ("klamm.CountedWords", broker.bootstrap, name)
    sent = 0

    def send():
        nonlocal sent
        produce(broker.bootstrap, name, words(range(sent, sent + WORDS_A_TIME)))
        sent += WORDS_A_TIME

    def counted():
        return sum(map(len, counts(broker.bootstrap, output).values()))

    def are_on_their_way():
        before = sent - WORDS_A_TIME
        until(lambda: counted() > before, lambda: f"{counted()} counts after {sent} words", log)

    send()
    with running(log, tmp_path, *application, tmp_path / "first"):
        are_on_their_way()
    send()
    with running(log, tmp_path, *application, tmp_path / "first"):
        are_on_their_way()
        crash(broker)
        until(lambda: counted() >= sent, lambda: f"{counted()} counts after {sent} words", log)
        send()
        are_on_their_way()
    # A machine that knows nothing goes on from the changelog, and must wait for what the killed one left open.
    with running(log, tmp_path, *application, tmp_path / "second"):
        send()
        until(lambda: counted() >= sent, lambda: f"{counted()} counts after {sent} words", log)
    each = sent // len(LETTERS)
    for letter, found in counts(broker.bootstrap, output).items():
        assert found == list(range(1, each + 1)), f"{letter} is not counted 1 to {each}: {found}"
