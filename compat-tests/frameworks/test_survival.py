"""Frameworks that keep their state in compacted topics, on a broker that is killed under them: nothing is lost."""

import itertools
import time

import confluent_kafka
from confluent_kafka import TopicPartition
from connect import put_connector, worker_properties
from programs import PATIENCE_S, crash, create, produce, running, until

from harness.broker import free_port

COMPACTED_AT_ONCE = {"segment.ms": "200", "min.cleanable.dirty.ratio": "0.01"}
WORKER = {
    "key.converter": "org.apache.kafka.connect.storage.StringConverter",
    "value.converter": "org.apache.kafka.connect.storage.StringConverter",
    "offset.flush.interval.ms": "200",
}
EARLIER, LATER = range(300), range(300, 600)


def last_values(bootstrap, topic):
    """The last value of each key of a topic's only partition, as a reader from the beginning sees it."""
    options = {"bootstrap.servers": bootstrap, "group.id": "nobody", "enable.partition.eof": True}
    consumer = confluent_kafka.Consumer({**options, "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, 0, confluent_kafka.OFFSET_BEGINNING)])
    values, deadline = {}, time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is None:
            continue
        if message.error() is not None:
            break
        values[message.key()] = message.value()
    consumer.close()
    return values


def is_compacted(bootstrap, topic):
    """Whether records are missing between a topic's first and last offset."""
    options = {"bootstrap.servers": bootstrap, "group.id": "nobody"}
    consumer = confluent_kafka.Consumer({**options, "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, 0, confluent_kafka.OFFSET_BEGINNING)])
    seen = 0
    while (message := consumer.poll(PATIENCE_S)) is not None and message.error() is None:
        seen += 1
    _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0))
    consumer.close()
    return seen < end


def words(numbers):
    """Ten letters' words."""
    return [f"{'abcdefghij'[number % 10]}{number}" for number in numbers]


def collected(bootstrap, topic):
    """All the words that the application has written, over all letters."""
    return {word for value in last_values(bootstrap, topic).values() for word in value.decode().split()}


def test_streams_loses_no_word(broker, name, tmp_path):
    """A changelog and a repartition topic over `kill -9`; a second instance restores its store from the changelog."""
    log, output = tmp_path / "streams.log", f"{name}-collected"
    for topic in (name, output):
        create(broker.bootstrap, topic)

    def all_are_there(numbers):
        def missing():
            return set(words(numbers)) - collected(broker.bootstrap, output)

        until(lambda: not missing(), lambda: f"missing: {sorted(missing())}", log)

    with running(log, tmp_path, "klamm.CollectedWords", broker.bootstrap, name, tmp_path / "first"):
        produce(broker.bootstrap, name, words(EARLIER))
        all_are_there(range(1))
        crash(broker)
        produce(broker.bootstrap, name, words(LATER))
        all_are_there(range(600))
        changelog = f"{name}-words-changelog"
        until(lambda: is_compacted(broker.bootstrap, changelog), lambda: f"{changelog} is not compacted", log)
    crash(broker)
    # The new store knows of the first 600 words only what the changelog tells.
    with running(log, tmp_path, "klamm.CollectedWords", broker.bootstrap, name, tmp_path / "second"):
        produce(broker.bootstrap, name, words(range(600, 610)))
        all_are_there(range(610))


def test_connect_loses_no_line(broker, name, tmp_path):
    """A file's lines through a topic into another file, over `kill -9` of the broker and of the worker."""
    port, log = free_port(), tmp_path / "connect.log"
    properties, source, sink = (tmp_path / file for file in ("worker.properties", "source.txt", "sink.txt"))
    properties.write_text(worker_properties(broker.bootstrap, port, WORKER, COMPACTED_AT_ONCE))

    def write(numbers):
        with source.open("a") as file:
            file.writelines(f"line {number}\n" for number in numbers)

    def all_are_there(numbers):
        def missing():
            written = sink.read_text().splitlines() if sink.exists() else []
            return {f"line {number}" for number in numbers}.difference(written)

        until(lambda: not missing(), lambda: f"missing: {sorted(missing())}", log)

    worker = ("org.apache.kafka.connect.cli.ConnectDistributed", properties)
    write(EARLIER)
    with running(log, tmp_path, *worker):
        stream = "org.apache.kafka.connect.file.FileStream"
        put_connector(port, "source", log, connector_class=f"{stream}SourceConnector", file=str(source), topic=name)
        put_connector(port, "sink", log, connector_class=f"{stream}SinkConnector", file=str(sink), topics=name)
        all_are_there(range(1))
        crash(broker)
        write(LATER)
        all_are_there(range(600))
        more = itertools.count(600)

        def has_become_compact():
            # Each new position of the source replaces the one before.
            write([next(more)])
            return is_compacted(broker.bootstrap, "connect-offset")

        until(has_become_compact, lambda: "connect-offset is not compacted", log)
    crash(broker)
    # A new worker knows its connectors, and where the source was, from the compacted topics.
    with running(log, tmp_path, *worker):
        last = next(more)
        write([last])
        all_are_there(range(last + 1))
    assert sink.read_text().count("line 0\n") == 1, "the source has begun again"
