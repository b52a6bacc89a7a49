"""MirrorMaker 2 on a Connect worker whose sources are exactly-once: worker and target broker are killed in mid-flight."""

import itertools
import os
import threading
import time
from contextlib import contextmanager

import confluent_kafka
import pytest
from confluent_kafka import IsolationLevel, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from connect import put_connector, worker_properties
from programs import PATIENCE_S, create, running, until

from harness.broker import broker_class, free_port

PARTITIONS = 3
A_TRANSACTION = 30
CONNECTOR, GROUP = "mirror", "connect"
# A worker on the target, whose source tasks commit records and their offsets in one transaction.
WORKER = {
    "exactly.once.source.support": "enabled",
    "key.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
    "value.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
    # A new worker reads all offsets, to the end and as committed, before it fences anybody: where a killed task was
    # about to commit, it waits for as long as the coordinator does. With Apache Kafka as well.
    "producer.transaction.timeout.ms": "8000",
    # A killed worker is to be missed soon.
    "session.timeout.ms": "3000",
    "heartbeat.interval.ms": "500",
    "scheduled.rebalance.max.delay.ms": "0",
}


@pytest.fixture
def target():
    """The broker to which records are mirrored, and on which the worker keeps its own topics."""
    with broker_class(os.environ["AGAINST"])() as started:
        yield started


def messages(bootstrap, topic, partitions, isolation):
    """The messages of each partition, in their order, up to its end as a reader of this isolation level sees it."""
    options = {"bootstrap.servers": bootstrap, "group.id": "nobody", "isolation.level": isolation}
    consumer = confluent_kafka.Consumer({**options, "enable.partition.eof": True, "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, each, confluent_kafka.OFFSET_BEGINNING) for each in range(partitions)])
    found, ended = {each: [] for each in range(partitions)}, set()
    deadline = time.monotonic() + PATIENCE_S
    while len(ended) < partitions and time.monotonic() < deadline:
        for message in consumer.consume(500, 0.1):
            if message.error() is None:
                found[message.partition()].append(message)
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
    consumer.close()
    assert len(ended) == partitions, f"a reader never comes to the ends of {topic}"
    return found


def has_open_transaction(bootstrap, topic):
    """Whether there are records in a partition that a reader of what is committed must wait for."""
    # A new client each time: it would ask a restarted broker as of the leader's epoch that it once heard of.
    admin = AdminClient({"bootstrap.servers": bootstrap})

    def ends(isolation):
        wanted = {TopicPartition(topic, each): OffsetSpec.latest() for each in range(PARTITIONS)}
        found = admin.list_offsets(wanted, isolation_level=isolation)
        return {each.partition: future.result(PATIENCE_S).offset for each, future in found.items()}

    # In this order: an end that is still not stable was not stable before.
    written, stable = ends(IsolationLevel.READ_UNCOMMITTED), ends(IsolationLevel.READ_COMMITTED)
    return any(stable[each] < written[each] for each in written)


def values(bootstrap, topic, isolation):
    """What the messages of each partition say."""
    found = messages(bootstrap, topic, PARTITIONS, isolation)
    return {each: [message.value().decode() for message in those] for each, those in found.items()}


def transactional_ids(bootstrap, admin):
    """The ids in the coordinator's own topic, whose keys are a version of two bytes, a length of two and the id."""
    topic = "__transaction_state"
    partitions = len(admin.list_topics(topic, timeout=PATIENCE_S).topics[topic].partitions)
    found = messages(bootstrap, topic, partitions, "read_uncommitted")
    return {message.key()[4:].decode() for those in found.values() for message in those}


@contextmanager
def producing(bootstrap, topic):
    """Transactions while the block runs, each third of them aborted; yields what is committed, of each partition."""
    committed, over, failures = {each: [] for each in range(PARTITIONS)}, threading.Event(), []

    def produce():
        producer = confluent_kafka.Producer({"bootstrap.servers": bootstrap, "transactional.id": topic})
        producer.init_transactions(PATIENCE_S)
        for number in itertools.count():
            if over.wait(0.1):
                return
            aborted = number % 3 == 1
            producer.begin_transaction()
            for record in range(A_TRANSACTION):
                value = f"{'aborted' if aborted else 'committed'} {number} {record}"
                producer.produce(topic, value, partition=record % PARTITIONS)
            assert producer.flush(PATIENCE_S) == 0
            if aborted:
                producer.abort_transaction(PATIENCE_S)
                continue
            producer.commit_transaction(PATIENCE_S)
            for record in range(A_TRANSACTION):
                committed[record % PARTITIONS].append(f"committed {number} {record}")

    def run():
        try:
            produce()
        except Exception as error:  # It is raised again where the test sees it.
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield committed
    finally:
        over.set()
        thread.join()
    assert not failures, failures


def test_mirror_maker_copies_exactly_once(broker, target, name, tmp_path):
    """Each committed record arrives once and in order, and no aborted one, whichever of the two was killed."""
    log, properties, mirrored = tmp_path / "mirror.log", tmp_path / "worker.properties", f"here.{name}"
    create(broker.bootstrap, name, partitions=PARTITIONS)
    there = create(target.bootstrap, mirrored, partitions=PARTITIONS)
    port = free_port()
    properties.write_text(worker_properties(target.bootstrap, port, WORKER, {}))
    worker = ("org.apache.kafka.connect.cli.ConnectDistributed", properties)
    config = {
        "connector_class": "org.apache.kafka.connect.mirror.MirrorSourceConnector",
        "tasks_max": "2",
        "source_cluster_alias": "here",
        "target_cluster_alias": "there",
        "source_cluster_bootstrap_servers": broker.bootstrap,
        "target_cluster_bootstrap_servers": target.bootstrap,
        "topics": name,
        "replication_factor": "1",
        "offset-syncs_topic_replication_factor": "1",
        "offset-syncs_topic_location": "target",
        "sync_topic_acls_enabled": "false",
        "exactly_once_support": "required",
        # Long enough to be killed in. Offsets go into their topic where a transaction is committed, and nowhere else.
        "transaction_boundary": "interval",
        "transaction_boundary_interval_ms": "1000",
        "consumer_isolation_level": "read_committed",
    }

    def arrived():
        return sum(map(len, values(target.bootstrap, mirrored, "read_committed").values()))

    def goes_on():
        """Waits until more is committed, and then until a transaction is open: what follows happens to that."""
        before = arrived()
        until(lambda: arrived() > before + A_TRANSACTION, lambda: f"{arrived()} records after {before}", log)
        until(lambda: has_open_transaction(target.bootstrap, mirrored), lambda: "no transaction is open", log)

    with producing(broker.bootstrap, name) as committed:
        with running(log, tmp_path, *worker):
            put_connector(port, CONNECTOR, log, **config)
            goes_on()
        with running(log, tmp_path, *worker):
            goes_on()
            target.kill()
            target.start()
            goes_on()
    with running(log, tmp_path, *worker):
        wanted = sum(map(len, committed.values()))
        until(lambda: arrived() >= wanted, lambda: f"{arrived()} records of {wanted}", log)
    assert values(target.bootstrap, mirrored, "read_committed") == committed
    # The source does hold what must not have been copied.
    source = values(broker.bootstrap, name, "read_uncommitted")
    assert any(value.startswith("aborted") for found in source.values() for value in found)
    copied = values(target.bootstrap, mirrored, "read_uncommitted")
    assert not any(value.startswith("aborted") for found in copied.values() for value in found)
    assert sum(map(len, copied.values())) > wanted, "no transaction of a killed worker was aborted"
    # Connect names a task's transactional id after the group, the connector and the task; markers take offsets.
    assert f"{GROUP}-{CONNECTOR}-0" in transactional_ids(target.bootstrap, there)
    found = messages(target.bootstrap, mirrored, PARTITIONS, "read_uncommitted")
    assert all(those[-1].offset() >= len(those) for those in found.values()), "there are no markers"
    topics = there.list_topics(timeout=PATIENCE_S).topics
    assert {"connect-config", "connect-offset", "connect-status", "mm2-offset-syncs.here.internal"} <= set(topics)
